"""Users and departments: a tree of four levels, sellers who differ, people who left and people who vanished."""

from __future__ import annotations

from dataclasses import dataclass

from slugify import slugify

from demo.world.clock import DAY_S, date_stamp, local_day, portal_stamp
from demo.world.engine import Engine
from demo.world.model import Row
from demo.world.names import Names

# id, name, parent, sort
DEPARTMENTS = (
    (1, "ООО «ПромЭнергоСервис»", None, 100),
    (2, "Коммерческий департамент", 1, 100),
    (3, "Отдел продаж оборудования", 2, 100),
    (4, "Группа «Москва»", 3, 100),
    (5, "Группа «Регионы»", 3, 100),
    (6, "Тендерный отдел", 2, 300),
    (8, "Отдел по работе с партнёрами", 2, 400),
    (9, "Сервисная служба", 1, 200),
    (10, "Диспетчерская", 9, 100),
    (11, "Выездные инженеры", 9, 200),
    (14, "Маркетинг", 1, 500),
    (15, "Бухгалтерия и финансы", 1, 500),
    (17, "Логистика и склад", 1, 600),
)
SALES_DEPARTMENT, CALL_CENTRE = 3, 10
# department, posts (the first is its head), team that takes deals
TEAMS: tuple[tuple[int, str, str, int, str], ...] = (
    (1, "Генеральный директор", "Системный администратор", 2, ""),
    (2, "Коммерческий директор", "Аналитик", 2, ""),
    (3, "Руководитель отдела продаж", "", 1, "sales"),
    (4, "Руководитель группы", "Менеджер по продажам", 8, "sales"),
    (5, "Руководитель группы", "Менеджер по продажам", 8, "sales"),
    (6, "Руководитель тендерного отдела", "Специалист по тендерам", 4, "tenders"),
    (8, "Руководитель отдела", "Менеджер по партнёрам", 4, "partners"),
    (9, "Руководитель сервиса", "", 1, ""),
    (10, "Старший диспетчер", "Диспетчер", 4, "service"),
    (11, "Ведущий инженер", "Инженер", 4, ""),
    (14, "Директор по маркетингу", "Маркетолог", 3, ""),
    (15, "Главный бухгалтер", "Бухгалтер", 2, ""),
    (17, "Начальник склада", "Логист", 2, ""),
)
VANISHED_SELLERS = 2
UNHEADED_DEPARTMENT = 15


@dataclass
class Seller:
    """A user who takes deals.

    Attributes:
        skill: 1 is average; higher loses fewer deals. weight: share of new work relative to others.
        leaves_at: the first second in which no new work comes, None while employed.
    """

    user_id: str
    team: str
    skill: float
    weight: float
    leaves_at: int | None = None


class Staff:
    """Who works here, and who takes the next deal."""

    def __init__(self, engine: Engine, names: Names, start: int, now: int) -> None:
        """Fill users and departments; the company is older than `start`, some people leave before `now`."""
        self._engine = engine
        self._names = names
        self._start = start
        self._now = now
        self.sellers: dict[str, list[Seller]] = {}
        self.user_ids: list[str] = []
        self._heads: dict[int, str] = {}
        for department, head, post, count, team in TEAMS:
            self._hire_team(department, head, post, count, team)
        self._hire_leavers()
        self._hire_oddities()
        self._write_departments()
        self.director = self._heads[1]

    def responsible(self, team: str) -> Seller:
        """Return who of a team takes a new piece of work now."""
        present = [s for s in self.sellers[team] if s.leaves_at is None or self._engine.now < s.leaves_at]
        return self._engine.rng.choices(present, [seller.weight for seller in present])[0]

    def employed(self) -> list[str]:
        """Return the ids of all in the directory who have not left yet."""
        sellers = (seller for team in self.sellers.values() for seller in team)
        left = {s.user_id for s in sellers if s.leaves_at is not None and self._engine.now >= s.leaves_at}
        return [user for user in self.user_ids if user not in left]

    def colleague(self) -> str:
        """Return the id of any user in the directory."""
        return self._engine.pick(self.user_ids)

    def _hire_team(self, department: int, head: str, post: str, count: int, team: str) -> None:
        for number in range(count + (self._engine.rng.randint(0, 1) if count > 2 else 0)):
            user_id = self._hire(department, head if number == 0 else post)
            if number == 0:
                self._heads[department] = user_id
            if team:
                self._let_sell(user_id, team)

    def _let_sell(self, user_id: str, team: str, leaves_at: int | None = None) -> None:
        skill = min(max(self._engine.rng.gauss(1.0, 0.16), 0.65), 1.4)
        weight = self._engine.rng.uniform(0.5, 1.5)
        self.sellers.setdefault(team, []).append(Seller(user_id, team, skill, weight, leaves_at))

    def _hire(self, department: int, post: str, *, gaps: bool = True) -> str:
        person = self._names.person()
        hired = self._start - int(self._engine.rng.uniform(20, 2500)) * DAY_S
        login = f"{slugify(person.last)}.{slugify(person.first)[:1]}"
        row: Row = {
            "ID": "",
            "XML_ID": "",
            "ACTIVE": True,
            "NAME": person.first,
            "LAST_NAME": person.last,
            "SECOND_NAME": person.middle,
            "EMAIL": f"{login}@prom.example",
            "LAST_LOGIN": portal_stamp(self._now - self._engine.rng.randint(60, 5 * DAY_S)),
            "DATE_REGISTER": date_stamp(local_day(hired)),
            "TIME_ZONE": "",
            "IS_ONLINE": "N",
            "TIMESTAMP_X": {},
            "LAST_ACTIVITY_DATE": {},
            "PERSONAL_GENDER": "F" if person.is_woman else "M",
            "PERSONAL_BIRTHDAY": "",
            "WORK_POSITION": post,
            "UF_EMPLOYMENT_DATE": date_stamp(local_day(hired)),
            "UF_DEPARTMENT": [department],
            "USER_TYPE": "employee",
        }
        user_id = str(self._engine.add("users", row, gaps=gaps))
        self.user_ids.append(user_id)
        return user_id

    def _hire_leavers(self) -> None:
        span = self._now - self._start
        for number, team in enumerate(("sales", "sales", "service", "partners")):
            user_id = self._hire(4 if team == "sales" else CALL_CENTRE, "Менеджер")
            self._let_sell(user_id, team, self._start + int(span * (0.35 + 0.15 * number)))
            self._engine.tables["users"].rows[int(user_id)]["ACTIVE"] = False
        for number in range(VANISHED_SELLERS):
            user_id = str(self._engine.burn_id("users"))
            self._let_sell(user_id, "sales", self._start + int(span * (0.3 + 0.3 * number)))

    def _hire_oddities(self) -> None:
        rows = self._engine.tables["users"].rows
        two_departments = rows[int(self._heads[6])]
        two_departments["UF_DEPARTMENT"] = [6, 2]
        nameless = rows[int(self._hire(14, ""))]
        nameless |= {"NAME": "", "LAST_NAME": "", "SECOND_NAME": "", "EMAIL": "robot@prom.example"}
        nameless["UF_EMPLOYMENT_DATE"] = ""
        del nameless["WORK_POSITION"], nameless["TIME_ZONE"]
        guest = rows[int(self._hire(1, "Подрядчик"))]
        guest |= {
            "USER_TYPE": "extranet",
            "UF_DEPARTMENT": [],
            "UF_EMPLOYMENT_DATE": {},
            "TIME_ZONE": "Asia/Yekaterinburg",
        }
        spaced = rows[int(self._heads[11])]
        spaced |= {"LAST_NAME": f" {spaced['LAST_NAME']} ", "SECOND_NAME": "", "EMAIL": None}

    def _write_departments(self) -> None:
        table = self._engine.tables["departments"]
        for department, name, parent, sort in DEPARTMENTS:
            row: Row = {"ID": str(department), "NAME": name, "SORT": sort}
            if parent is not None:
                row["PARENT"] = str(parent)
            if department != UNHEADED_DEPARTMENT:
                row["UF_HEAD"] = self._heads[department]
            table.put(department, row)
