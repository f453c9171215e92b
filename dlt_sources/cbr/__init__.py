"""Official rates of the Central Bank of Russia, loaded into `raw_cbr.rates`.

Only currencies that the portal knows are asked for: their history once, from the first day that has amounts on, then
the days that are missing. A bank that does not answer stops nothing: what was loaded before stays.
"""

from collections.abc import Iterator
from dataclasses import dataclass
from datetime import date, datetime, timedelta
from pathlib import Path
from zoneinfo import ZoneInfo

import dlt
import duckdb
import httpx
import pyarrow as pa
from dlt.extract import DltSource

from dlt_sources.cbr.bank import Bank
from dlt_sources.cbr.errors import BankError

__all__ = ["COLUMNS", "BankError", "RatesRead", "load_rates"]

DATASET = "raw_cbr"
COLUMNS = ("rate_date", "char_code", "nominal", "value", "asked_from", "_loaded_at")
KEY = ["rate_date", "char_code"]
ROUBLES = {"RUB", "RUR"}
BANK_ZONE = ZoneInfo("Europe/Moscow")
FIRST_DAY = date(1998, 1, 1)  # before it the rouble was another one
DEFAULT_DAYS = 30
DAYS_OFF = timedelta(days=15)  # so many, and some, a rate may hold around New Year


@dataclass(frozen=True)
class RatesRead:
    """What became of one look at the bank.

    Attributes:
        rows: new rates.
        warning: what a run says of it, if anything.
    """

    rows: int = 0
    warning: str | None = None


@dataclass(frozen=True)
class _Held:
    asked_from: date
    newest: date


def load_rates(
    url: str | None,
    warehouse_path: Path,
    working_dir: Path,
    *,
    as_of: datetime,
    transport: httpx.BaseTransport | None = None,
) -> RatesRead:
    """Load the rates that are missing up to the day after `as_of`; without an address only make sure of the table."""
    last = as_of.astimezone(BANK_ZONE).date() + timedelta(days=1)  # the bank gives a day's rate the day before
    with duckdb.connect(str(warehouse_path)) as warehouse:
        is_new = not _exists(warehouse, DATASET, "rates")
        held = {} if is_new else _held(warehouse)
        currencies = _currencies(warehouse)
        first = max(FIRST_DAY, _first_day(warehouse) or last - timedelta(days=DEFAULT_DAYS)) - DAYS_OFF
    rows: list[dict[str, str]] = []
    warning = None
    if url and any(_missing(held.get(code), first, last) for code in currencies):
        with Bank(url, transport=transport) as bank:
            try:
                for of_currency in _read(bank, currencies, held, first, last):
                    rows += of_currency  # stays, whatever befalls the next one
            except BankError as error:
                warning = (
                    f"rates of the Central Bank: {error}. What was loaded before stays, the portal's rates serve where "
                    "there is nothing; the next run asks again (CBR_URL=off: none does)."
                )
    if rows or is_new:
        _load(rows, as_of, warehouse_path, working_dir)
    return RatesRead(len(rows), warning)


def _read(
    bank: Bank, currencies: set[str], held: dict[str, _Held], first: date, last: date
) -> Iterator[list[dict[str, str]]]:
    """What the bank has of each currency and we have not; a currency that it does not list has no rates."""
    newest, ids = bank.listed(last)
    for code in sorted(currencies & ids.keys()):
        start = _missing(held.get(code), first, newest)
        if start is None:
            continue
        asked_from = min(start, held[code].asked_from) if code in held else start
        yield [
            {
                "rate_date": rate.rate_date.isoformat(),
                "char_code": code,
                "nominal": rate.nominal,
                "value": rate.value,
                "asked_from": asked_from.isoformat(),
            }
            for rate in bank.rates(ids[code], start, last)
        ]


def _missing(held: _Held | None, first: date, last: date) -> date | None:
    """The first day from which to ask for a currency; None if all is there."""
    if held is None or held.asked_from > first:
        return first
    return held.newest + timedelta(days=1) if held.newest < last else None


def _exists(warehouse: duckdb.DuckDBPyConnection, schema: str, table: str) -> bool:
    query = "select 1 from information_schema.tables where table_schema = ? and table_name = ?"
    return warehouse.execute(query, [schema, table]).fetchone() is not None


def _held(warehouse: duckdb.DuckDBPyConnection) -> dict[str, _Held]:
    found = warehouse.execute(
        "select char_code, min(cast(asked_from as date)), max(cast(rate_date as date)) from raw_cbr.rates group by all"
    ).fetchall()
    return {code: _Held(asked, newest) for code, asked, newest in found}


def _currencies(warehouse: duckdb.DuckDBPyConnection) -> set[str]:
    """Codes of the portal; the rouble is what rates are told in."""
    found = warehouse.execute("select distinct upper(trim(currency)) from raw_bitrix24.currencies").fetchall()
    return {code for (code,) in found if code} - ROUBLES


def _first_day(warehouse: duckdb.DuckDBPyConnection) -> date | None:
    """The earliest day that an amount of a deal, a lead or the spend may be converted at."""
    found = warehouse.execute(
        "select min(day) from ("
        " select min(least(try_cast(left(date_create, 10) as date), try_cast(left(closedate, 10) as date))) as day"
        " from raw_bitrix24.deals"
        " union all select min(try_cast(left(date_create, 10) as date)) from raw_bitrix24.leads"
        " union all select min(try_cast(left(spend_date, 10) as date)) from raw_files.ad_spend)"
    ).fetchone()
    return found[0] if found else None


def _load(rows: list[dict[str, str]], as_of: datetime, warehouse_path: Path, working_dir: Path) -> None:
    pipeline = dlt.pipeline(
        "cbr",
        pipelines_dir=str(working_dir),
        destination=dlt.destinations.duckdb(str(warehouse_path)),
        dataset_name=DATASET,
    )
    pipeline.abort_packages()  # what a killed run left; its days are asked for again
    pipeline.extract(_source([row | {"_loaded_at": as_of.isoformat()} for row in rows]))
    pipeline.normalize()
    pipeline.load()


def _source(rows: list[dict[str, str]]) -> DltSource:
    @dlt.source(name="cbr")
    def source() -> Iterator[dlt.sources.DltResource]:
        declared = pa.schema([pa.field(name, pa.string(), nullable=name not in KEY) for name in COLUMNS])
        yield dlt.resource(
            [pa.Table.from_pylist(rows, declared)],
            name="rates",
            primary_key=KEY,
            write_disposition="merge",
            columns={name: {"data_type": "text"} for name in COLUMNS},
        )

    return source()
