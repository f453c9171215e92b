"""Personal data: what is stored of it, against answers worked out in plain Python."""

import hashlib
import hmac
import json
import logging
import re
import time
from pathlib import Path
from typing import get_args

import duckdb
import pytest
from hypothesis import given
from hypothesis import strategies as st

from dlt_sources.bitrix24 import privacy, schema
from dlt_sources.bitrix24.privacy import PersonalData, Treatment, expression, fingerprint, prepare, treatment
from warehouse.settings import Settings

KEY = b"a key of thirty-two or more bytes"
DOCS = Path(__file__).parents[2] / "docs" / "personal-data.md"


def keyed(text: str, key: bytes = KEY) -> str:
    """The hash that stands for a text."""
    return hmac.new(key, text.encode(), hashlib.sha256).hexdigest()[:32]


def connect(key: bytes = KEY) -> duckdb.DuckDBPyConnection:
    con = duckdb.connect()
    prepare(con, key)
    return con


@pytest.fixture(scope="module")
def con() -> duckdb.DuckDBPyConnection:
    return connect()


def stored(
    con: duckdb.DuckDBPyConnection,
    table: str,
    column: str,
    value: str | None,
    mode: PersonalData = "hash",
    field_type: str | None = None,
) -> str | None:
    """What is stored of one value."""
    sql = expression(table, column, mode, field_type)
    if sql is None:
        return value
    row = con.execute(f"select {sql.format(value='raw')} from (select cast($1 as varchar) as raw)", [value]).fetchone()
    assert row is not None
    assert row[0] is None or isinstance(row[0], str)
    return row[0]


# phones, e-mails


@pytest.mark.parametrize(
    ("phone", "digits"),
    [
        ("+7 (900) 000-00-01", "79000000001"),
        ("8 900 000 00 01", "79000000001"),
        ("89000000001", "79000000001"),
        ("79000000001", "79000000001"),
        ("9000000001", "79000000001"),
        ("\u00a0+7\u2011900\u2011000\u201100\u201101\n", "79000000001"),
        ("+375 29 123-45-67", "375291234567"),
        ("101", "101"),
        ("8", "8"),
        ("+7 900 000-00-01 доб. 12", "7900000000112"),
        ("1'; drop table contacts; --\0", "1"),
        ("☎ 8-900-000-00-01 📞", "79000000001"),
    ],
)
def test_a_phone_becomes_the_keyed_hash_of_its_digits(con: duckdb.DuckDBPyConnection, phone: str, digits: str) -> None:
    """A call would not find its contact when one wrote 8 and the other +7."""
    assert stored(con, "calls", "phone_number", phone) == keyed(digits)
    assert stored(con, "quotes", "client_phone", phone) == keyed(digits)


@pytest.mark.parametrize("text", ["hidden", " ", "нет", "\0", "+"])
def test_what_has_no_digit_is_no_phone(con: duckdb.DuckDBPyConnection, text: str) -> None:
    """All hidden numbers would be one caller, and meet every contact whose phone is "none"."""
    assert stored(con, "calls", "phone_number", text) is None


@pytest.mark.parametrize(
    ("email", "plain"),
    [
        ("Anna@Example.TEST", "anna@example.test"),
        (" \u00a0anna@example.test\r\n", "anna@example.test"),
        ("Анна@Почта.РФ", "анна@почта.рф"),
        ('o\'hara+"x"@example.test', 'o\'hara+"x"@example.test'),
        ("a\0@example.test", "a\0@example.test"),
    ],
)
def test_an_email_becomes_the_keyed_hash_of_its_lower_case(
    con: duckdb.DuckDBPyConnection, email: str, plain: str
) -> None:
    """One address written twice would be two clients."""
    assert stored(con, "requisites", "rq_email", email) == keyed(plain)
    assert stored(con, "contacts", "email", email) == keyed(plain)
    assert stored(con, "requisites", "rq_email", "none") is None


@pytest.mark.parametrize("key", [b"k", b"k" * 64, b"k" * 65, bytes(range(256))])
def test_any_length_of_key_makes_an_hmac(key: bytes) -> None:
    """The halves of the HMAC are put together by hand, and keys above one block are hashed first."""
    assert stored(connect(key), "calls", "phone_number", "101") == keyed("101", key)


def test_a_call_joins_a_contact_whose_phone_is_written_otherwise(con: duckdb.DuckDBPyConnection) -> None:
    """First response and clients of calls rest on this join."""
    con.execute("create or replace temp table raw_calls as select '89000000001' as phone_number")
    con.execute(
        "create or replace temp table raw_contacts as "
        """select '[{"ID":"1","VALUE_TYPE":"WORK","VALUE":"+7 (900) 000-00-01","TYPE_ID":"PHONE"}]' as phone"""
    )
    call, contact = expression("calls", "phone_number", "hash"), expression("contacts", "phone", "hash")
    assert call
    assert contact
    assert con.execute(
        f"select count(*) from (select {call.format(value='phone_number')} as phone from raw_calls) as calls "
        f"inner join (select {contact.format(value='phone')} as phones from raw_contacts) as contacts "
        "on calls.phone = json_extract_string(contacts.phones, '$[0].VALUE')"
    ).fetchone() == (1,)


def test_another_key_makes_other_hashes() -> None:
    """Without a key, all eleven-digit phones are tried within minutes."""
    one, other = (stored(connect(key), "calls", "phone_number", "79000000001") for key in (b"one", b"other"))
    assert one != other
    assert keyed("79000000001", b"") not in (one, other)
    with pytest.raises(ValueError, match="empty key"):
        connect(b"")


# multi-fields


@pytest.mark.parametrize("table", ["leads", "contacts", "companies"])
def test_a_multi_field_keeps_its_shape(con: duckdb.DuckDBPyConnection, table: str) -> None:
    """Staging reads `$[0].VALUE`; both spellings of the API, and a plain text, must come through."""
    old: list[dict[str, str | None]] = [
        {"ID": "91", "VALUE_TYPE": "WORK", "VALUE": "+7 (900) 000-00-01", "TYPE_ID": "PHONE"},
        {"ID": "92", "VALUE_TYPE": "HOME", "VALUE": "", "TYPE_ID": "PHONE"},
        {"ID": "93", "VALUE_TYPE": "HOME", "VALUE": None, "TYPE_ID": "PHONE"},
    ]
    hashed = [{**old[0], "VALUE": keyed("79000000001")}, old[1], old[2]]
    assert json.loads(stored(con, table, "phone", json.dumps(old)) or "") == hashed
    by_number = {str(number): element for number, element in enumerate(old)}  # PHP's list with gaps
    assert json.loads(stored(con, table, "phone", json.dumps(by_number)) or "") == hashed

    new = [{"id": 101, "valueType": "WORK", "value": "8-900-000-00-01", "typeId": "PHONE"}]
    assert json.loads(stored(con, table, "phone", json.dumps(new)) or "") == [{**new[0], "value": keyed("79000000001")}]
    email = [{"ID": "7", "VALUE_TYPE": "WORK", "VALUE": "Анна@Example.test", "TYPE_ID": "EMAIL"}]
    assert json.loads(stored(con, table, "email", json.dumps(email)) or "") == [
        {**email[0], "VALUE": keyed("анна@example.test")}
    ]

    assert json.loads(stored(con, table, "phone", '["89000000001"]') or "") == [keyed("79000000001")]
    assert stored(con, table, "phone", "8 (900) 000-00-01") == keyed("79000000001")
    assert stored(con, table, "email", "anna@example.test") == keyed("anna@example.test")
    assert stored(con, table, "phone", "[]") == "[]"


SECRET = "9001234567"


@pytest.mark.parametrize(
    "text",
    [
        '[{"VALUE":"+79001234567"',
        '{"VALUE":"+79001234567"',
        '[{"VALUE":"\\ud83d +79001234567"}]',
        "  [+79001234567]",
        "\n{+79001234567}",
        '[{"VALUE":"\\x +79001234567"}] and more',
        "[" * 100_000 + "79001234567",
    ],
)
def test_a_broken_multi_field_becomes_null(con: duckdb.DuckDBPyConnection, text: str) -> None:
    """One cut answer must neither stop a run nor let a phone through."""
    assert stored(con, "contacts", "phone", text) is None
    assert stored(con, "contacts", "email", text) is None


@pytest.mark.parametrize(
    "text",
    [
        '[{"VALUE":{"VALUE":"+79001234567"}}]',
        '[{"VALUE":["+79001234567"]}]',
        '[{"VALUE":79001234567}]',
        '[{"VALUE":"x","value":"+79001234567","COMMENT":"+79001234567"}]',
        '[{"VALUE":"x","VALUE":"+79001234567"}]',
        '[{"Value":"+79001234567","phone":"+79001234567"}]',
        '{"VALUE":"+79001234567","TYPE_ID":"PHONE"}',
        '[79001234567,null,true,["+79001234567"],{},"+79001234567"]',
        '[[[{"VALUE":"+79001234567"}]]]',
        '[{"VALUE":"\\u0000+7900\\u00001234567"}]',
        '"+79001234567"',
        "79001234567",
        "(900)1234567",
    ],
)
def test_no_odd_shape_lets_a_phone_through(con: duckdb.DuckDBPyConnection, text: str) -> None:
    """Applications write into the portal what they like."""
    for column in ("phone", "email"):
        result = stored(con, "contacts", column, text)
        assert SECRET not in (result or "")
        assert "1234567" not in (result or "")


TEXTS = st.text(st.characters(codec="utf-8"))
ODD_JSON = st.recursive(
    st.none() | TEXTS, lambda inner: st.lists(inner) | st.dictionaries(st.sampled_from(["VALUE", "value", "x"]), inner)
).map(json.dumps)


@given(text=TEXTS | ODD_JSON)
def test_nothing_raises(con: duckdb.DuckDBPyConnection, text: str) -> None:
    """One value in a million would stop every run of that portal."""
    for (table, column), kind in TREATED.items():
        result = stored(con, table, column, text)
        if kind in (Treatment.PHONE, Treatment.EMAIL, Treatment.PERSON_ID):
            assert result is None or result == "" or re.fullmatch("[0-9a-f]{32}", result)
        if kind is Treatment.PERSON_NAME:
            assert len(result or "") <= 4


# one column of each treatment
TREATED = {
    place: kind
    for kind in Treatment
    for place in [next(place for place, other in privacy.TREATMENTS.items() if other is kind)]
}


# names, dates, texts


@pytest.mark.parametrize(
    ("name", "initial"),
    [
        ("Анна", "А."),
        ("анна", "А."),
        ("Анна-Мария", "А."),
        ("  Ёлкина", "Ё."),
        ("\u00a0\tAnna Test", "A."),
        ("😀 Ирина", "И."),
        ("О'Хара", "О."),
        ("«Мария»", "М."),
        ("李雷", "李."),
        ("\0Пётр", "П."),
        ("+7 900 000-00-01", None),
        ("😀", None),
        (" ", None),
        ("Я" * 1_000_000, "Я."),
    ],
)
def test_a_name_becomes_its_initial(con: duckdb.DuckDBPyConnection, name: str, initial: str | None) -> None:
    """A phone typed into the name must not survive as an initial either."""
    assert stored(con, "contacts", "last_name", name) == initial
    assert stored(con, "leads", "name", name) == initial


@pytest.mark.parametrize(
    ("text", "year"),
    [
        ("1980-01-01", "1980"),
        ("1980-12-31T03:00:00+03:00", "1980"),
        ("1980-13-01", None),
        ("01.01.1980", None),
        ("19800101", None),
        ("+7 900 000-00-01", None),
        ("Анна", None),
    ],
)
def test_a_date_of_birth_becomes_its_year(con: duckdb.DuckDBPyConnection, text: str, year: str | None) -> None:
    """Anything else that stands in the field could be anything."""
    assert stored(con, "contacts", "birthdate", text) == year


@pytest.mark.parametrize(
    ("title", "masked"),
    [
        ("ТЕСТ заявка 12", "ТЕСТ заявка 12"),
        ("Входящий звонок от +79000000001", "Входящий звонок от ***"),
        ("Звонок 8 (900) 000-00-01 и 8(900)0000002", "Звонок *** и ***"),
        ("тел.89000000001,89000000002;(495) 123-45-67", "тел.***,***;***"),
        ("900 000 00 01 Анна", "*** Анна"),
        ("+375 29 123-45-67", "***"),
        ("Письмо от Anna.Test+1@mail.example.test: счёт", "Письмо от ***: счёт"),
        ("анна@почта.рф", "***"),
        ("89000000001@mail.test", "***"),
        ("9000000001", "***"),
        ("ИНН 7700000000, до 1772463540", "ИНН 7700000000, до 1772463540"),
        ("Договор 2026/118 от 31.01.2026 на 1 500 000 руб.", "Договор 2026/118 от 31.01.2026 на 1 500 000 руб."),
        ("2026-01-31 10:30:00", "2026-01-31 10:30:00"),
        ("C7:WON", "C7:WON"),
        ('О\'Хара "x" \\1 \0 😀 a@b', 'О\'Хара "x" \\1 \0 😀 a@b'),
        ("x" * 1_000_000 + " +79000000001", "x" * 1_000_000 + " ***"),
    ],
)
def test_a_title_stays_readable_without_phones_and_emails(
    con: duckdb.DuckDBPyConnection, title: str, masked: str
) -> None:
    """Test records are found by their title, so it cannot go; the portal writes callers' phones into titles."""
    assert stored(con, "deals", "title", title) == masked
    assert stored(con, "leads", "title", title) == masked
    assert stored(con, "tasks", "title", title) == masked


@pytest.mark.parametrize(
    ("place", "value"),
    [
        (("activities", "subject"), "Анна, +7 900 000-00-01"),
        (("addresses", "address_1"), "ул. Ленина, 1, кв. 2"),
        (("requisites", "rq_ident_doc_num"), "123456"),
    ],
)
def test_what_no_report_needs_is_not_stored(con: duckdb.DuckDBPyConnection, place: tuple[str, str], value: str) -> None:
    """Names cannot be found in a text, so the text goes."""
    assert stored(con, *place, value) is None


def test_a_tax_number_stays_if_it_is_an_organisations(con: duckdb.DuckDBPyConnection) -> None:
    """An organisation's INN has ten digits, a person's twelve."""
    assert stored(con, "requisites", "rq_inn", "7700000000") == "7700000000"
    assert stored(con, "requisites", "rq_inn", "7700000000", "drop") == "7700000000"
    assert stored(con, "requisites", "rq_inn", "770000000000") == keyed("770000000000")
    assert stored(con, "requisites", "rq_inn", "770000000000", "drop") is None
    assert stored(con, "requisites", "rq_inn", "") == ""
    assert stored(con, "requisites", "rq_pesel", "4405 1401 359") == keyed("44051401359")


@pytest.mark.parametrize("mode", ["hash", "drop"])
def test_the_history_of_tasks_keeps_its_numbers(con: duckdb.DuckDBPyConnection, mode: PersonalData) -> None:
    """Its values are those of any field: statuses, which reports count, and whole descriptions."""
    for number in ("5", "-2", "1772463540"):
        assert stored(con, "task_history", "value_to", number, mode) == number
    for text in ("Позвонить Анне", "9000000001", "79000000001", "5\n"):
        assert stored(con, "task_history", "value_to", text, mode) is None


def test_custom_fields_are_treated_by_their_type(con: duckdb.DuckDBPyConnection) -> None:
    """Nobody declares them, and people type phones into them."""
    text, field = "Позвонить +7 900 000-00-01", "uf_crm_1720019876534"
    assert stored(con, "deals", field, text) == "Позвонить ***"
    assert stored(con, "deals", field, text, field_type="rest_1_own") == "Позвонить ***"
    assert stored(con, "deals", field, text, "drop", "string") is None
    assert stored(con, "contacts", field, "ул. Ленина, 1|55.7;37.6", field_type="address") is None
    assert stored(con, "deals", field, '["+79000000001","x"]') == '["***","x"]'
    for mode in get_args(PersonalData):
        assert stored(con, "deals", field, "79000000001", mode, "enumeration") == "79000000001"
        assert treatment("tasks", "uf_crm_task") is treatment("users", "uf_department") is Treatment.KEPT


# modes


@pytest.mark.parametrize("place", privacy.TREATMENTS)
def test_null_stays_null_and_empty_stays_empty(con: duckdb.DuckDBPyConnection, place: tuple[str, str]) -> None:
    """`has a phone` and `has none` must not change places."""
    assert stored(con, *place, None) is None
    assert stored(con, *place, "") == ""
    assert stored(con, *place, None, "drop") is None
    assert expression(*place, "keep") is None


def test_drop_stores_none_of_it(con: duckdb.DuckDBPyConnection) -> None:
    """The promise of the mode."""
    for place, kind in privacy.TREATMENTS.items():
        if kind is not Treatment.KEPT:
            assert stored(con, *place, "Анна +79000000001 anna@example.test", "drop") is None


@pytest.mark.parametrize("mode", get_args(PersonalData))
def test_employees_stay_as_they_are(mode: PersonalData) -> None:
    """Reports are about them, by name."""
    for table in ("users", "departments"):
        assert all(expression(table, column, mode) is None for column in schema.TABLES[table])


def test_the_modes_are_those_of_the_setting() -> None:
    """A mode that only one of both knows fails in the middle of a run."""
    assert get_args(Settings.model_fields["personal_data"].annotation) == get_args(PersonalData)


def test_treated_columns_exist_and_keys_are_not_among_them() -> None:
    """A treatment of a column that was renamed treats nothing; one of a key would make two rows of one."""
    declared = {(table, column) for table, columns in schema.TABLES.items() for column in columns}
    assert not set(privacy.TREATMENTS) - declared - set(privacy.DECIDED_BEFOREHAND)
    for table, key in schema.KEYS.items():
        assert all(treatment(table, column) is Treatment.KEPT for column in key)


SUSPICIOUS = re.compile("name|phone|mail|title|subject|descr|comment|addr|birth|client|post|inn$|text|number$|reason")
FLAG_OR_ID = re.compile("^(is|has)_|_(id|only)$")


def test_every_column_that_sounds_personal_was_decided_on() -> None:
    """A column added to the schema is stored as it is unless somebody thinks of this page."""
    undecided = [
        f"{table}.{column}"
        for table, columns in schema.TABLES.items()
        for column in columns
        if SUSPICIOUS.search(column) and not FLAG_OR_ID.search(column) and (table, column) not in privacy.TREATMENTS
    ]
    assert not undecided, f"decide on them in privacy.TREATMENTS: {undecided}"


# the key


def test_the_key_stands_in_no_sql(caplog: pytest.LogCaptureFixture) -> None:
    """SQL texts get into logs and error messages."""
    con = duckdb.connect()
    con.execute("set enable_logging = true")
    with caplog.at_level(logging.DEBUG):
        prepare(con, b"secret-7c1-secret-7c1")
        assert expression("calls", "phone_number", "hash") == "pd_phone({value})"
        con.execute("select pd_phone('1')").fetchall()
        with pytest.raises(duckdb.Error) as caught:
            con.execute("select pd_phone('1'), cast('x' as integer)").fetchall()
    told = f"{caught.value}{caplog.text}{con.execute('select * from duckdb_logs').fetchall()}"
    assert "7c1" not in told
    assert "set variable pd_inner" in told


def test_without_the_key_nothing_is_stored() -> None:
    """A forgotten call of `prepare` must not store phones as they are."""
    with pytest.raises(duckdb.CatalogException):
        stored(duckdb.connect(), "calls", "phone_number", "79000000001")
    unkeyed = connect()
    unkeyed.execute("reset variable pd_inner")
    assert stored(unkeyed, "calls", "phone_number", "79000000001") is None


def test_the_fingerprint_tells_keys_and_modes_apart() -> None:
    """Rows hashed under two keys do not join, and nothing else would show it."""
    marks = {fingerprint(mode, key) for mode in get_args(PersonalData) for key in (b"one", b"other")}
    assert len(marks) == 4  # without hashes the key does not matter
    assert fingerprint("hash", KEY) == fingerprint("hash", KEY)
    assert all(len(mark) <= 24 for mark in marks)
    assert hmac.new(KEY, b"", hashlib.sha256).hexdigest()[:12] not in fingerprint("hash", KEY)


def test_the_docs_show_the_present_treatments() -> None:
    """A promise must be the one that is kept; `python -m dlt_sources.bitrix24.privacy` prints the table."""
    assert privacy.markdown_table() in DOCS.read_text(encoding="utf-8")


def test_speed(con: duckdb.DuckDBPyConnection) -> None:
    """Printed, not asserted: a first load treats hundreds of thousands of contacts."""
    con.execute(
        """create or replace temp table raw_contacts as select
            cast(i as varchar) as id, 'Анна' || i as name, 'Петровна' as second_name, 'Иванова' || i as last_name,
            '1980-01-01' as birthdate, 'Форма обратной связи на сайте, номер ' || i as source_description,
            '[{"ID":"' || i || '","VALUE_TYPE":"WORK","VALUE":"+7 (900) ' || (1000000 + i) || '","TYPE_ID":"PHONE"}]'
                as phone,
            '[{"ID":"' || i || '","VALUE_TYPE":"WORK","VALUE":"Anna' || i || '@Example.test","TYPE_ID":"EMAIL"}]'
                as email
        from range(200000) as numbers(i)"""
    )
    columns = ("id", "name", "second_name", "last_name", "birthdate", "source_description", "phone", "email")
    select = ", ".join(
        f"{(expression('contacts', column, 'hash') or '{value}').format(value=column)} as {column}"
        for column in columns
    )
    started = time.perf_counter()
    con.execute(f"create or replace temp table treated as select {select} from raw_contacts")
    print(f"200 000 contacts: {time.perf_counter() - started:.2f} s")  # noqa: T201
    row = con.execute("select * from treated where id = '7'").fetchone()
    assert row is not None
    assert row[:6] == ("7", "А.", "П.", "И.", "1980", "Форма обратной связи на сайте, номер 7")
    assert json.loads(row[6])[0]["VALUE"] == keyed("79001000007")
    assert json.loads(row[7])[0]["VALUE"] == keyed("anna7@example.test")
