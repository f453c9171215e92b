"""What is left of clients' phones, e-mails and names on the disk: nothing, and everything still joins."""

import json
import re
from collections.abc import Iterable, Iterator
from typing import Any

import duckdb
import psycopg
import pytest
from pipeline.compare import PRIMARY_KEYS, compare
from pipeline.rehearsal import Rehearsal, TwoDays, rehearsal, synced
from psycopg import sql

pytestmark = pytest.mark.long  # whole syncs: some minutes


CLIENTS = ("contacts", "companies", "leads")
PHONE = re.compile(rb"[0-9][0-9() .\xa0\xc2-]{8,20}[0-9]")
EMAIL = re.compile(rb"[A-Za-z0-9._%+-]+@[A-Za-z0-9-]+(?:[.][A-Za-z0-9-]+)+")
WORD = re.compile(r"[А-ЯЁ][а-яё]+")
WORD_BYTES = re.compile(rb"(?:[\xd0\xd1][\x80-\xbf])+")


def digits(phone: str) -> str:
    """The ten digits that tell one phone from another."""
    return re.sub("[^0-9]", "", phone)[-10:]


def values(truth: dict[str, Any], kind: str, tables: Iterable[str] = CLIENTS) -> set[str]:
    return {one["VALUE"] for table in tables for row in truth[table] for one in row.get(kind) or []}


def words(value: Any) -> set[str]:
    return set(WORD.findall(json.dumps(value, ensure_ascii=False)))


def surnames(truth: dict[str, Any]) -> set[str]:
    """Surnames of clients that are not also a word of something else, such as a company's or an employee's name."""
    named = [row for table in ("contacts", "leads") for row in truth[table]]
    elsewhere: set[str] = set()
    for table, rows in truth.items():
        if isinstance(rows, list):
            kept = [{**row, "LAST_NAME": None} for row in rows] if table in ("contacts", "leads") else rows
            elsewhere |= words(kept)
    return {row["LAST_NAME"] for row in named if row["LAST_NAME"]} - elsewhere


class Search:
    """Finds what belongs to clients in bytes."""

    def __init__(self, truth: dict[str, Any]) -> None:
        own = {str(user.get("EMAIL")).lower() for user in truth["users"]}
        self.phones = {digits(phone) for phone in values(truth, "PHONE")} - {""}
        self.phones |= {digits(call["PHONE_NUMBER"]) for call in truth["calls"]}
        self.phones -= {digits(call["PORTAL_NUMBER"]) for call in truth["calls"]}
        self.emails = {email.lower() for email in values(truth, "EMAIL") if "@" in email} - own
        self.surnames = {name.encode() for name in surnames(truth)}

    def __call__(self, data: bytes) -> set[str]:
        found = {digits(one.decode("latin-1")) for one in PHONE.findall(data)} & self.phones
        found |= {one.decode().lower() for one in EMAIL.findall(data)} & self.emails
        return found | {one.decode() for one in self.surnames.intersection(WORD_BYTES.findall(data))}


def texts(rehearsed: Rehearsal) -> Iterator[tuple[str, bytes]]:
    """All that is written: files as they are, and tables as they read, for databases press texts together."""
    for path in rehearsed.folder.rglob("*"):
        if path.is_file():
            yield str(path.relative_to(rehearsed.folder)), path.read_bytes()
    with duckdb.connect(str(rehearsed.folder / "company.duckdb"), read_only=True) as connection:
        tables = connection.execute(
            "select schema_name, table_name from duckdb_tables() where database_name = current_database()"
        ).fetchall()
        for schema, table in tables:
            yield f"{schema}.{table}", repr(connection.table(f'"{schema}"."{table}"').fetchall()).encode()
    with psycopg.connect(rehearsed.url("bi_author")) as connection:
        published = connection.execute("select table_name from information_schema.tables where table_schema = 'marts'")
        for (table,) in published.fetchall():
            rows = connection.execute(sql.SQL("select * from marts.{}").format(sql.Identifier(table))).fetchall()
            yield f"PostgreSQL {table}", repr(rows).encode()
    yield "the screen", "".join(rehearsed.screens).encode()


def test_nothing_of_a_client_is_on_the_disk(two_days: TwoDays) -> None:
    """By default: not in the warehouse, not in the packages on the way there, not in PostgreSQL, in no log."""
    search = Search(two_days.rehearsal.portal.truth())
    assert min(len(search.phones), len(search.emails)) > 500
    assert len(search.surnames) >= 5
    searched = {name: search(data) for name, data in texts(two_days.rehearsal)}
    assert any(name.endswith("trace.pickle") for name in searched)
    assert {name: found for name, found in searched.items() if found} == {}


def test_the_search_finds_what_it_should(two_days: TwoDays) -> None:
    """A search that finds nothing anywhere proves nothing."""
    truth = two_days.rehearsal.portal.truth()
    search = Search(truth)
    phone, email, name = (sorted(values(truth, "PHONE"))[0], sorted(search.emails)[0], sorted(search.surnames)[0])
    assert search(f"x{phone}y".encode()) == {digits(phone)}
    assert search(f"\0{email.upper()} {name.decode()},".encode()) == {email, name.decode()}


def test_calls_still_meet_their_clients(two_days: TwoDays) -> None:
    """However a phone is written, in a call or in a contact: the same pairs as with the numbers themselves."""
    truth = two_days.rehearsal.portal.truth()
    by_phone: dict[str, set[str]] = {}
    for row in truth["contacts"]:
        for one in row.get("PHONE") or []:
            by_phone.setdefault(digits(one["VALUE"]), set()).add(row["ID"])
    expected = {
        (call["ID"], contact) for call in truth["calls"] for contact in by_phone.get(digits(call["PHONE_NUMBER"]), ())
    }
    with duckdb.connect(str(two_days.rehearsal.folder / "company.duckdb"), read_only=True) as connection:
        found = connection.execute(
            "select distinct calls.id, contacts.id "
            "from raw_bitrix24.calls as calls, raw_bitrix24.contacts as contacts, "
            "unnest(cast(json_extract(contacts.phone, '$[*]') as json[])) as phones(one) "
            "where json_extract_string(phones.one, '$.VALUE') = calls.phone_number"
        ).fetchall()
    assert len(expected) > 100
    assert set(found) == expected


@pytest.mark.long
def test_the_marts_are_the_same_with_personal_data_kept() -> None:
    """Whether phones come as numbers or as hashes must change no figure; the runs with hashes are in test_marts."""
    with rehearsal(seed=11, deals=300, settings={"PERSONAL_DATA": "keep"}) as rehearsed:
        sync = synced(rehearsed)
        search = Search(rehearsed.portal.truth())
        assert search(json.dumps(rehearsed.portal.truth(), ensure_ascii=False).encode())
        with duckdb.connect(str(rehearsed.folder / "company.duckdb"), read_only=True) as connection:
            assert search(repr(connection.table("raw_bitrix24.contacts").fetchall()).encode())
        for mart, key in PRIMARY_KEYS.items():
            assert not compare(mart, key, sync.answers[mart], sync.marts[mart]), mart
