"""Rates of the Central Bank: few requests, nothing asked for twice, and no fault of the bank that stops a run."""

from collections.abc import Callable
from datetime import date, datetime
from pathlib import Path
from urllib.parse import parse_qs

import duckdb
import httpx
import pytest

from demo.server import bank as stand_in
from demo.world.bank import bank_rates, rate_days
from dlt_sources.cbr import bank, load_rates
from dlt_sources.cbr.bank import Bank
from dlt_sources.cbr.errors import BankError

URL = "https://bank.test/scripts/"
TUESDAY = datetime.fromisoformat("2026-06-16T12:00:00+03:00")
Answer = Callable[[httpx.Request], httpx.Response]


class Office:
    """A bank that keeps what it was asked for, and a warehouse beside it."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.path = folder / "company.duckdb"
        self.asked: list[str] = []
        self.published = bank_rates(7, date(2024, 1, 1), date(2026, 12, 31))
        with duckdb.connect(str(self.path)) as warehouse:
            warehouse.execute("create schema raw_bitrix24; create schema raw_files")
            warehouse.execute("create table raw_bitrix24.currencies (currency varchar)")
            warehouse.execute("create table raw_bitrix24.deals (date_create varchar, closedate varchar)")
            warehouse.execute("create table raw_bitrix24.leads (date_create varchar)")
            warehouse.execute("create table raw_files.ad_spend (spend_date varchar)")
            warehouse.execute("insert into raw_bitrix24.currencies values ('RUB'), ('USD'), ('KZT'), ('GEL')")
            warehouse.execute("insert into raw_bitrix24.deals values ('2026-06-01T10:00:00+03:00', '2026-05-20')")

    def execute(self, sql: str) -> list[tuple[object, ...]]:
        with duckdb.connect(str(self.path)) as warehouse:
            return warehouse.execute(sql).fetchall()

    def load(self, as_of: datetime = TUESDAY, *, answer: Answer | None = None, url: str | None = URL) -> str | None:
        """What a run does; returns its warning. Keeps what was asked: `daily`, or a currency and its first day."""
        self.asked = []

        def receive(request: httpx.Request) -> httpx.Response:
            query = {name: values[0] for name, values in parse_qs(request.url.query.decode()).items()}
            script = request.url.path.rpartition("/")[2]
            is_daily = script == "XML_daily.asp"
            self.asked.append("daily" if is_daily else f"{query['VAL_NM_RQ']} {query['date_req1']}")
            if answer:
                return answer(request)
            body = (stand_in.daily if is_daily else stand_in.dynamic)(self.published, query)
            return httpx.Response(200, content=body)

        transport = httpx.MockTransport(receive)
        return load_rates(url, self.path, self.folder / "dlt", as_of=as_of, transport=transport).warning

    def hold(self, *rates: tuple[str, str]) -> None:
        """Rates that an earlier run read, each the newest of its currency; asked for since 5 May."""
        self.execute("create schema raw_cbr")
        names = ["rate_date", "char_code", "nominal", "value", "asked_from", "_loaded_at", "_dlt_load_id", "_dlt_id"]
        self.execute(f"create table raw_cbr.rates ({', '.join(f'{name} varchar' for name in names)})")
        for code, day in rates:
            self.execute(
                "insert into raw_cbr.rates (rate_date, char_code, nominal, value, asked_from)"
                f" values ('{day}', '{code}', '1', '80,0', '2026-05-05')"
            )

    def rates(self) -> list[tuple[object, ...]]:
        return self.execute("select rate_date, char_code, nominal, value from raw_cbr.rates order by all")


@pytest.fixture
def office(tmp_path: Path) -> Office:
    return Office(tmp_path)


def test_what_is_loaded_is_what_the_bank_printed(office: Office) -> None:
    """From 15 days before the first amount (closed on 20 May), so that this day has a rate after any holidays."""
    assert office.load() is None
    expected = [
        (rate["date"], rate["char_code"], str(rate["nominal"]), rate["value"])
        for rate in office.published
        if rate["char_code"] in {"USD", "KZT"} and "2026-05-05" <= rate["date"] <= "2026-06-17"
    ]
    assert sorted(expected) == office.rates()
    assert {"1", "100"} == {row[2] for row in office.rates()}
    assert all("," in str(row[3]) for row in office.rates())
    assert office.asked == ["daily", "R01335 05/05/2026", "R01235 05/05/2026"]


def test_nothing_is_asked_for_twice(office: Office) -> None:
    """An hourly run asks at most which rates are the newest; the portal's lari is none of the bank's."""
    office.load()
    assert office.load() is None
    assert office.asked == ["daily"]
    before = office.rates()
    assert office.load(datetime.fromisoformat("2026-06-18T12:00:00+03:00")) is None
    assert office.asked == ["daily", "R01335 18/06/2026", "R01235 18/06/2026"]
    new = [row[:2] for row in office.rates() if row not in before]
    assert new == [(f"2026-06-{day}", code) for day in (18, 19) for code in ("KZT", "USD")]


def test_a_portal_whose_currencies_are_all_there_asks_nothing(office: Office) -> None:
    office.hold(("USD", "2026-06-17"), ("KZT", "2026-06-17"))
    office.execute("delete from raw_bitrix24.currencies where currency = 'GEL'")
    office.load()
    assert office.asked == []
    office.execute("delete from raw_bitrix24.currencies where currency <> 'RUB'")
    office.load(datetime.fromisoformat("2026-09-01T12:00:00+03:00"))
    assert office.asked == []


def test_an_earlier_amount_asks_for_the_years_before_it(office: Office) -> None:
    """`b24 sync --since` loads what is recent first."""
    office.load()
    office.execute("insert into raw_files.ad_spend values ('2025-01-03')")
    assert office.load() is None
    assert office.asked == ["daily", "R01335 19/12/2024", "R01235 19/12/2024"]
    assert office.rates()[0][0] == "2024-12-19"
    assert len(office.rates()) == len(set(office.rates()))
    office.load()
    assert office.asked == ["daily"]


def test_days_without_amounts_begin_a_month_ago(office: Office) -> None:
    """An empty portal; and a date typed wrong does not reach into the rouble before 1998."""

    def nothing(request: httpx.Request) -> httpx.Response:
        is_daily = request.url.path.endswith("daily.asp")
        return httpx.Response(200, content=_given(office, request) if is_daily else b"<ValCurs/>")

    office.hold()
    office.execute("delete from raw_bitrix24.deals")
    office.load(answer=nothing)
    assert office.asked[1] == "R01335 03/05/2026"
    office.execute("insert into raw_bitrix24.leads values ('0202-06-01')")
    office.load(answer=nothing)
    assert office.asked[1] == "R01335 17/12/1997"


def refused(request: httpx.Request) -> httpx.Response:
    raise httpx.ConnectTimeout("timed out", request=request)


@pytest.mark.parametrize(
    ("answer", "told"),
    [
        (refused, "bank.test cannot be reached (ConnectTimeout)"),
        (lambda _: httpx.Response(200, text="<html><body>Техработы</body></html>"), "something else than rates"),
        (lambda _: httpx.Response(200, content=b"\x00\xff not xml"), "something else than rates"),
        (lambda _: httpx.Response(200, text='<!DOCTYPE a [<!ENTITY b "c">]><ValCurs/>'), "something else than rates"),
        (lambda _: httpx.Response(200, text="<ValCurs Date='16.06.2026'/>"), "without currencies"),
        (lambda _: httpx.Response(302, headers={"location": "/scripts/XML_daily.asp"}), "TooManyRedirects"),
        (lambda _: httpx.Response(403, text="no"), "HTTP 403"),
    ],
)
def test_a_bank_that_fails_stops_nothing(office: Office, answer: Answer, told: str) -> None:
    """What was loaded stays, and the run says what happened in one line."""
    office.hold(("USD", "2026-06-11"))
    before = office.rates()
    warning = str(office.load(answer=answer))
    assert told in warning
    assert "\n" not in warning
    assert office.rates() == before


def test_the_table_is_there_without_any_answer(office: Office) -> None:
    """Staging reads it in the first run, too."""
    assert "HTTP 500" in str(office.load(answer=lambda _: httpx.Response(500)))
    assert office.rates() == []


@pytest.mark.parametrize("value", ["", "-1,5", "81,4375x", "NaN"])
def test_a_rate_that_is_no_number_is_refused(office: Office, value: str) -> None:
    """No such text becomes a rate of null, or a crash of the build."""
    office.hold(("KZT", "2026-06-17"))
    before = office.rates()

    def answer(request: httpx.Request) -> httpx.Response:
        if b"R01235" not in request.url.query:
            return httpx.Response(200, content=_given(office, request))
        text = f'<ValCurs><Record Date="16.06.2026"><Nominal>1</Nominal><Value>{value}</Value></Record></ValCurs>'
        return httpx.Response(200, text=text)

    assert "a rate that is no number" in str(office.load(answer=answer))
    assert office.rates() == before


def test_currencies_read_before_a_fault_are_kept(office: Office) -> None:
    """The next run goes on with the others."""

    def answer(request: httpx.Request) -> httpx.Response:
        is_dollar = b"R01235" in request.url.query
        return httpx.Response(200, content=b"<html>" if is_dollar else _given(office, request))

    assert "something else than rates" in str(office.load(answer=answer))
    assert {row[1] for row in office.rates()} == {"KZT"}
    assert office.load() is None
    assert office.asked == ["daily", "R01235 05/05/2026"]
    assert {row[1] for row in office.rates()} == {"KZT", "USD"}


def _given(office: Office, request: httpx.Request) -> bytes:
    query = {name: values[0] for name, values in parse_qs(request.url.query.decode()).items()}
    script = stand_in.daily if request.url.path.endswith("daily.asp") else stand_in.dynamic
    return script(office.published, query)


def test_a_bank_that_is_switched_off_is_not_asked(office: Office) -> None:
    assert office.load(url=None) is None
    assert (office.asked, office.rates()) == ([], [])


def test_a_fault_of_a_moment_is_tried_once_more(office: Office) -> None:
    """The bank's server drops a connection now and then."""
    faults = iter([httpx.Response(502), None])

    def answer(request: httpx.Request) -> httpx.Response:
        return next(faults, None) or httpx.Response(200, content=_given(office, request))

    assert office.load(answer=answer) is None
    assert office.asked[:2] == ["daily", "daily"]
    assert office.rates()


def test_an_answer_without_end_is_left(monkeypatch: pytest.MonkeyPatch) -> None:
    """A trickle of bytes keeps every timeout of a connection from coming; so does a flood."""

    class Trickle(httpx.SyncByteStream):
        def __iter__(self):  # type: ignore[no-untyped-def]
            while True:
                yield b"<ValCurs>" * 100

    def transport() -> httpx.MockTransport:
        return httpx.MockTransport(lambda _: httpx.Response(200, stream=Trickle()))

    seconds = iter(range(1000))
    with Bank(URL, transport=transport(), clock=lambda: float(next(seconds))) as slow:
        with pytest.raises(BankError, match="does not come to an end"):
            slow.listed(date(2026, 6, 16))
        assert next(seconds) < 15
    monkeypatch.setattr(bank, "MAX_BYTES", 10_000)
    with (
        Bank(URL, transport=transport(), clock=lambda: 0.0) as flooding,
        pytest.raises(BankError, match="does not come to an end"),
    ):
        flooding.listed(date(2026, 6, 16))


def test_the_stand_in_gives_no_rate_for_the_day_after_a_day_off() -> None:
    """The bank sets rates on working days for the next day: Sundays and Mondays have none of their own."""
    days = rate_days(date(2026, 6, 8), date(2026, 6, 17))
    # 12 June is a holiday: no rate begins to hold on the 13th
    assert [day.day for day in days] == [9, 10, 11, 12, 16, 17]
    answer = stand_in.daily(bank_rates(7, date(2026, 6, 1), date(2026, 6, 30)), {"date_req": "15/06/2026"})
    assert b'Date="12.06.2026"' in answer
    assert "Доллар США" in answer.decode("cp1251")
