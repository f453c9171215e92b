"""Contacts and companies: who buys, who buys again, and our own legal entities among them."""

from __future__ import annotations

from dataclasses import dataclass, field

from demo.world.channels import NO_UTM, Origin
from demo.world.clock import date_stamp, portal_stamp
from demo.world.engine import Engine
from demo.world.fields import CustomFields
from demo.world.model import Row
from demo.world.names import Names, Person, write_phone
from demo.world.quirks import ODD_COMMENTS, every
from demo.world.staff import Seller

OWN_COMPANIES = ("ООО «ПромЭнергоСервис»", "ИП Соколов (сервис)")
COMPANY_SHARE = 0.62  # of new clients; the rest are persons
EDIT_CHANCE = 0.12


@dataclass
class Client:
    """Who stands behind deals: a company with contacts, or a contact alone.

    Attributes:
        phone: ten digits. won, lost: deals closed so far. lead_ids: converted leads that have a deal.
    """

    company_id: int | None
    contact_ids: list[int]
    name: str
    phone: str
    email: str
    seller: Seller | None = None
    won: int = 0
    lost: int = 0
    lead_ids: list[int] = field(default_factory=list)

    @property
    def contact_id(self) -> int | None:
        """Return the main contact."""
        return self.contact_ids[0] if self.contact_ids else None


class AddressBook:
    """Creates contacts and companies and remembers which of them buy again."""

    def __init__(self, engine: Engine, names: Names, fields: CustomFields) -> None:
        """Write our own legal entities, which come first on every portal."""
        self._engine = engine
        self._names = names
        self._fields = fields
        self._buyers: list[Client] = []
        self.own_company_ids = [self._write_company(title, None, "1", NO_UTM, own=True) for title in OWN_COMPANIES]

    def new_client(self, origin: Origin, seller: Seller, *, lead: Row | None = None) -> Client:
        """Write a company with one to three contacts, or a contact alone; a lead's name and phone are kept."""
        lead_id = int(lead["ID"]) if lead else None
        person = self._names.person()
        client = Client(None, [], person.last, self._names.phone(), self._names.email(person), seller)
        if lead:
            client.phone, client.email = lead_phone(lead) or client.phone, lead_email(lead) or client.email
        if self._engine.chance(COMPANY_SHARE):
            client.name = (lead and lead["COMPANY_TITLE"]) or self._names.company()
            columns = origin.utm | ({"PHONE": client.phone} if self._engine.chance(0.7) else {})
            columns |= {"EMAIL": client.email} if self._engine.chance(0.3) else {}
            client.company_id = self._write_company(client.name, lead_id, seller.user_id, columns)
            for _ in range(self._engine.rng.choices((0, 1, 2), (60, 28, 12))[0]):
                extra = self._names.person()
                phone, email = self._names.phone(), self._names.email(extra)
                client.contact_ids.append(
                    self._write_contact(extra, phone, email, client.company_id, None, seller, origin)
                )
        contact = self._write_contact(person, client.phone, client.email, client.company_id, lead_id, seller, origin)
        client.contact_ids.insert(0, contact)
        self._engine.tell("client created", client)
        return client

    def remember_sale(self, client: Client) -> None:
        """Count a won deal; a client that won may come back, and its company is now a customer."""
        client.won += 1
        if client.won == 1:
            self._buyers.append(client)
            company = self._engine.tables["companies"].rows.get(client.company_id or 0)
            if company is not None:
                company["COMPANY_TYPE"] = "CUSTOMER"
                self._engine.touch(company, company["ASSIGNED_BY_ID"])

    def buyer(self) -> Client | None:
        """Return a client that has bought before, a few of them far more often than others; None if there is none."""
        if not self._buyers:
            return None
        client = self._buyers[int(len(self._buyers) * self._engine.rng.random() ** 2)]
        return client if self._is_whole(client) else None

    def _is_whole(self, client: Client) -> bool:
        exists = self._engine.exists
        company = client.company_id is None or exists("companies", client.company_id)
        return company and all(exists("contacts", contact_id) for contact_id in client.contact_ids)

    def edit(self, table: str, row_id: int) -> None:
        """Change something small on a contact or company: a phone, an address or a custom field."""
        row = self._engine.tables[table].rows.get(row_id)
        if row is None:
            return
        if self._engine.chance(0.4):
            row["PHONE"] = [*row.get("PHONE", []), self._phone(self._names.phone(), "MOBILE")]
            row["HAS_PHONE"] = "Y"
        elif self._engine.chance(0.5):
            row["ADDRESS_CITY"] = self._names.city()
        else:
            self._fields.change_one(table, row)
        self._engine.touch(row, row["ASSIGNED_BY_ID"] or "1")

    def _phone(self, digits: str, kind: str = "WORK") -> Row:
        return self._engine.multifield("PHONE", write_phone(digits, self._engine.rng.randint(0, 4)), kind)

    def _write_company(self, title: str, lead_id: int | None, user: str, columns: Row, *, own: bool = False) -> int:
        phone, email = columns.get("PHONE"), columns.get("EMAIL")
        row: Row = {
            "ID": "",
            "TITLE": title,
            "COMPANY_TYPE": self._engine.pick(("CUSTOMER", "OTHER", "PARTNER", "OTHER", "")),
            "LOGO": None,
            "INDUSTRY": self._engine.pick(
                ("MANUFACTURING", "MANUFACTURING", "DELIVERY", "GOVERNMENT", "IT", "OTHER", None)
            ),
            "EMPLOYEES": f"EMPLOYEES_{self._engine.rng.randint(1, 4)}",
            "REVENUE": self._engine.pick(("0", "0.00", "125000000.50", None)),
            "CURRENCY_ID": "RUB",
            "BANKING_DETAILS": None,
            "COMMENTS": self._comment("companies"),
            "OPENED": "Y",
            "IS_MY_COMPANY": "Y" if own else "N",
            "HAS_PHONE": "Y" if phone else "N",
            "HAS_EMAIL": "Y" if email else "N",
            "HAS_IMOL": "N",
            "LEAD_ID": str(lead_id) if lead_id else self._engine.pick((None, "0")),
            **self._common(user, columns),
        }
        if phone:
            row["PHONE"] = [self._phone(phone)]
        if email:
            row["EMAIL"] = [self._engine.multifield("EMAIL", email)]
        row |= self._fields.values("companies")
        return self._stored("companies", row)

    def _write_contact(
        self,
        person: Person,
        phone: str,
        email: str,
        company_id: int | None,
        lead_id: int | None,
        seller: Seller,
        origin: Origin,
    ) -> int:
        has_email = self._engine.chance(0.7)
        row: Row = {
            "ID": "",
            "HONORIFIC": person.honorific if self._engine.chance(0.5) else None,
            "NAME": person.first,
            "SECOND_NAME": person.middle if self._engine.chance(0.5) else "",
            "LAST_NAME": person.last if self._engine.chance(0.93) else "",
            "PHOTO": None,
            "POST": self._names.job() or None,
            "COMMENTS": self._comment("contacts"),
            "LEAD_ID": str(lead_id) if lead_id else None,
            "TYPE_ID": self._engine.pick(("CLIENT", "CLIENT", "CLIENT", "PARTNER", None)),
            "SOURCE_ID": origin.source_id,
            "SOURCE_DESCRIPTION": origin.description,
            "COMPANY_ID": str(company_id) if company_id else self._engine.pick((None, "0")),
            "BIRTHDATE": date_stamp(self._engine.rng.randint(-1000, 11_000)) if self._engine.chance(0.1) else "",
            "EXPORT": "Y",
            "HAS_PHONE": "Y",
            "HAS_EMAIL": "Y" if has_email else "N",
            "HAS_IMOL": "N",
            "OPENED": "Y",
            **self._common(seller.user_id, origin.utm),
            "PHONE": [self._phone(phone, self._engine.pick(("WORK", "MOBILE")))],
        }
        if has_email:
            row["EMAIL"] = [self._engine.multifield("EMAIL", email)]
        row |= self._fields.values("contacts")
        return self._stored("contacts", row)

    def _stored(self, table: str, row: Row) -> int:
        row_id = self._engine.add(table, row)
        self._engine.tell(f"{table} created", row_id, row)
        if self._engine.chance(EDIT_CHANCE):
            self._engine.after(self._engine.days(60), lambda: self.edit(table, row_id))
        return row_id

    def _comment(self, table: str) -> str | None:
        number = self._engine.tables[table].last_id
        if every(number, 40, 7):
            return self._engine.pick(ODD_COMMENTS)
        return self._names.sentence() if self._engine.chance(0.2) else self._engine.pick((None, ""))

    def _common(self, user: str, columns: Row) -> Row:
        now = portal_stamp(self._engine.now)
        return {
            "ASSIGNED_BY_ID": user,
            "CREATED_BY_ID": user,
            "MODIFY_BY_ID": user,
            "DATE_CREATE": now,
            "DATE_MODIFY": now,
            "ORIGINATOR_ID": None,
            "ORIGIN_ID": None,
            "ORIGIN_VERSION": None,
            "ADDRESS": self._names.address() if self._engine.chance(0.2) else None,
            "ADDRESS_CITY": self._names.city() if self._engine.chance(0.5) else None,
            **{name: columns.get(name) for name in NO_UTM},
            "LAST_ACTIVITY_TIME": now,
            "LAST_ACTIVITY_BY": user,
        }


def lead_phone(lead: Row) -> str | None:
    """Return the ten digits of a lead's first phone."""
    entries = lead.get("PHONE")
    if not entries:
        return None
    return "".join(symbol for symbol in entries[0]["VALUE"] if symbol.isdigit())[-10:]


def lead_email(lead: Row) -> str | None:
    """Return a lead's first e-mail address."""
    entries = lead.get("EMAIL")
    return str(entries[0]["VALUE"]) if entries else None
