"""Pools of Russian names, companies and cities, drawn once from Faker, and the many ways to write a phone."""

from __future__ import annotations

from dataclasses import dataclass

from faker import Faker
from slugify import slugify

from demo.world.engine import Engine


@dataclass(frozen=True)
class Person:
    """A person's name."""

    first: str
    middle: str
    last: str
    is_woman: bool

    @property
    def honorific(self) -> str:
        """Code of the salutation in the dictionary HONORIFIC."""
        return "HNR_RU_2" if self.is_woman else "HNR_RU_1"


class Names:
    """Seeded pools; drawing from a pool costs next to nothing, asking Faker each time would."""

    def __init__(self, engine: Engine, companies: int) -> None:
        """Fill the pools; `companies` is about how many company names will be needed."""
        faker = Faker("ru_RU")
        faker.seed_instance(engine.seed)
        self._engine = engine
        self._men = (
            [faker.first_name_male() for _ in range(60)],
            [faker.middle_name_male() for _ in range(60)],
            [faker.last_name_male() for _ in range(250)],
        )
        self._women = (
            [faker.first_name_female() for _ in range(60)],
            [faker.middle_name_female() for _ in range(60)],
            [faker.last_name_female() for _ in range(250)],
        )
        # spelling a name in Latin letters is slow, and there are few names
        self._latin = {name: slugify(name) for name in (*self._men[2], *self._women[2])}
        self._companies = [faker.company() for _ in range(min(max(companies, 100), 2500))]
        self._cities = [faker.city_name() for _ in range(50)]
        self._streets = [faker.street_name() for _ in range(80)]
        self._jobs = ["Главный инженер", "Директор", "Снабженец", "Главный механик", "Закупки", "Технолог", ""]
        self._words = [faker.sentence(nb_words=7) for _ in range(200)]

    def person(self) -> Person:
        """Return a person, a man a little more often."""
        is_woman = self._engine.chance(0.42)
        first, middle, last = self._women if is_woman else self._men
        return Person(self._engine.pick(first), self._engine.pick(middle), self._engine.pick(last), is_woman)

    def company(self) -> str:
        """Return a company's name with its legal form."""
        return self._engine.pick(self._companies)

    def city(self) -> str:
        """Return a city, big ones far more often."""
        if self._engine.chance(0.4):
            return self._engine.pick(("Москва", "Москва", "Санкт-Петербург", "Екатеринбург", "Казань"))
        return self._engine.pick(self._cities)

    @property
    def cities(self) -> list[str]:
        """Return all cities."""
        return self._cities

    @property
    def streets(self) -> list[str]:
        """Return all streets."""
        return self._streets

    def address(self) -> str:
        """Return a street and a house."""
        return f"{self._engine.pick(self._streets)}, д. {self._engine.rng.randint(1, 90)}"

    def job(self) -> str:
        """Return a post, often none."""
        return self._engine.pick(self._jobs)

    def sentence(self) -> str:
        """Return a sentence for comments."""
        return self._engine.pick(self._words)

    def phone(self) -> str:
        """Return the ten digits of a mobile number, without the country code."""
        return f"9{self._engine.rng.randint(10**8, 10**9 - 1)}"

    def email(self, person: Person) -> str:
        """Return an address in a domain reserved for examples."""
        number = self._engine.rng.randint(1, 999)
        return f"{self._latin[person.last]}{number}@{self._engine.pick(('post', 'mail', 'zavod', 'office'))}.example"


def write_phone(digits: str, style: int) -> str:
    """Write ten digits in one of the ways people and telephone exchanges do.

    Args:
        digits: ten digits without the country code.
        style: any integer; it chooses the way.
    """
    code, first, second, third = digits[:3], digits[3:6], digits[6:8], digits[8:]
    return (
        f"+7 ({code}) {first}-{second}-{third}",
        f"8 {code} {first} {second} {third}",
        f"7{digits}",
        f"+7{digits}",
        f"8({code}){first}-{second}{third}",
    )[style % 5]
