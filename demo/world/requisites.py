"""Requisites with tax numbers, and their addresses with cities."""

from __future__ import annotations

from functools import partial

from demo.world.clock import DAY_S, portal_stamp
from demo.world.dice import Dice
from demo.world.engine import Engine
from demo.world.model import Row
from demo.world.names import Names

COMPANY, CONTACT = "4", "3"
OWNERS = {"companies": COMPANY, "contacts": CONTACT}
REQUISITE = "8"
ACTUAL, LEGAL, DELIVERY = "1", "6", "11"
TAX_FIELD = "UF_CRM_1717300001"
BIG_CITIES = ("Москва", "Москва", "Санкт-Петербург", "Екатеринбург", "Казань", "г. Тюмень", " Пермь")


class Requisites:
    """Gives companies, and a few persons, their requisites."""

    def __init__(self, engine: Engine, names: Names) -> None:
        """Wait for clients."""
        self._engine = engine
        self._dice = Dice(engine.seed, "requisites")
        self._names = names
        engine.hear("companies created", partial(self._on_client, "companies", 0.85))
        engine.hear("contacts created", partial(self._on_client, "contacts", 0.06))

    def one_day(self) -> None:
        """Correct one of the requisites, and an address."""
        rows, addresses = (self._engine.tables[name].rows for name in ("requisites", "addresses"))
        if rows:
            row = rows[self._dice.pick(list(rows))]
            row["RQ_KPP"] = str(self._dice.number(100_000_000, 999_999_999))
            row["DATE_MODIFY"] = portal_stamp(self._engine.now)
        if addresses:
            addresses[self._dice.pick(list(addresses))]["CITY"] = self._city()

    def forget(self, table: str, client_id: int) -> list[int]:
        """Delete the requisites of a client with their addresses; return the ids of the former."""
        rows, addresses = (self._engine.tables[name].rows for name in ("requisites", "addresses"))
        owner = (OWNERS[table], str(client_id))
        gone = [row_id for row_id, row in rows.items() if (row["ENTITY_TYPE_ID"], row["ENTITY_ID"]) == owner]
        for row_id in gone:
            del rows[row_id]
            for address in [number for number, row in addresses.items() if row["ENTITY_ID"] == str(row_id)]:
                del addresses[address]
        return gone

    def _on_client(self, table: str, share: float, client_id: int, client: Row) -> None:
        if self._dice.chance(share) or client.get("IS_MY_COMPANY") == "Y":
            self._engine.after(self._dice.number(0, 2 * DAY_S), partial(self._write, table, client_id, client))

    def _write(self, table: str, client_id: int, client: Row) -> None:
        if not self._engine.exists(table, client_id):
            return
        now, is_company = portal_stamp(self._engine.now), table == "companies"
        inn = client.get(TAX_FIELD) or str(self._dice.number(10**9, 10**10 - 1))
        name = client["TITLE"] if is_company else f"{client['LAST_NAME']} {client['NAME']}".strip()
        row: Row = {
            "ID": "",
            "ENTITY_TYPE_ID": OWNERS[table],
            "ENTITY_ID": str(client_id),
            "PRESET_ID": "1" if is_company else "3",
            "DATE_CREATE": now,
            "DATE_MODIFY": now,
            "CREATED_BY_ID": client["ASSIGNED_BY_ID"],
            "MODIFY_BY_ID": client["ASSIGNED_BY_ID"],
            "NAME": "Организация" if is_company else "Физ. лицо",
            "CODE": None,
            "XML_ID": None,
            "ORIGINATOR_ID": None,
            "ACTIVE": "Y",
            "ADDRESS_ONLY": "N",
            "SORT": "500",
            "RQ_NAME": None if is_company else name,
            "RQ_COMPANY_NAME": name if is_company else None,
            "RQ_COMPANY_FULL_NAME": f"Полное наименование: {name}" if is_company else None,
            "RQ_INN": inn if is_company or self._dice.chance(0.5) else "",
            "RQ_KPP": str(self._dice.number(100_000_000, 999_999_999)) if is_company else "",
            "RQ_OGRN": str(self._dice.number(10**12, 10**13 - 1)) if is_company else "",
            "RQ_OGRNIP": None,
            **dict.fromkeys(("RQ_IIN", "RQ_BIN", "RQ_EDRPOU", "RQ_VAT_ID"), ""),
            "RQ_OKVED": self._dice.pick(("28.13", "33.12", None, "")),
        }
        row_id = self._engine.tables["requisites"].add(row, step=2 if self._dice.chance(0.02) else 1)
        row["ID"] = str(row_id)
        kinds = [LEGAL] if self._dice.chance(0.8) else []
        kinds += [ACTUAL] if self._dice.chance(0.3) else []
        kinds += [DELIVERY] if self._dice.chance(0.15) else []
        for kind in kinds:
            self._engine.tables["addresses"].add(self._address(kind, row))

    def _address(self, kind: str, requisite: Row) -> Row:
        return {
            "TYPE_ID": kind,
            "ENTITY_TYPE_ID": REQUISITE,
            "ENTITY_ID": requisite["ID"],
            "ADDRESS_1": f"{self._dice.pick(self._names.streets)}, д. {self._dice.number(1, 90)}",
            "ADDRESS_2": self._dice.pick((None, "", "оф. 12; вход со двора")),
            "CITY": self._city(),
            "POSTAL_CODE": str(self._dice.number(101_000, 690_000)),
            "REGION": None,
            "PROVINCE": self._dice.pick((None, "", "Пермский край")),
            "COUNTRY": "Россия",
            "COUNTRY_CODE": None,
            "LOC_ADDR_ID": str(self._dice.number(1, 99_999)),
            "ANCHOR_TYPE_ID": requisite["ENTITY_TYPE_ID"],
            "ANCHOR_ID": requisite["ENTITY_ID"],
        }

    def _city(self) -> str | None:
        if self._dice.chance(0.04):
            return self._dice.pick((None, ""))
        return self._dice.pick(BIG_CITIES) if self._dice.chance(0.5) else self._dice.pick(self._names.cities)
