"""What the portal forgets: rates of days before the first load, and the values that a card had before."""

from collections.abc import Sequence
from datetime import date, datetime, timedelta
from decimal import Decimal
from typing import Any

import duckdb
import pytest
from pipeline.rehearsal import Rehearsal, TwoDays, rehearsal

SOURCES = {
    "snap_deals": ("deal_id", "manager_id", "amount", "source_id", "pipeline_key"),
    "snap_users": ("user_id", "department_id", "is_active"),
    "snap_products": ("product_key", "purchase_price", "purchase_currency"),
    "snap_statuses": ("status_row_id", "name", "sort"),
}


def query(two_days: TwoDays, sql: str) -> list[tuple[Any, ...]]:
    return ask(two_days.rehearsal, sql)


def ask(rehearsed: Rehearsal, sql: str) -> list[tuple[Any, ...]]:
    with duckdb.connect(str(rehearsed.folder / "company.duckdb"), read_only=True) as warehouse:
        warehouse.execute("set TimeZone = 'UTC'")
        return warehouse.execute(sql).fetchall()


def as_of(two_days: TwoDays) -> tuple[datetime, datetime]:
    first, second = (datetime.fromisoformat(sync.summary["as_of"]) for sync in (two_days.first, two_days.second))
    return first, second


def number(value: Any) -> int | None:
    return int(value) or None if value else None


def money(text: str) -> Decimal | None:
    """An amount that fits the columns; some managers type a phone number there."""
    value = Decimal(text)
    return value if abs(value) < 10**16 else None


def present(truth: dict[str, Any], table: str) -> set[Sequence[Any]]:
    """What the portal holds now, in the order of `SOURCES`."""
    match table:
        case "snap_deals":
            return {
                (int(row["ID"]), number(row["ASSIGNED_BY_ID"]), money(row["OPPORTUNITY"]), row["SOURCE_ID"] or None,
                 int(row["CATEGORY_ID"]))
                for row in truth["deals"]
            }  # fmt: skip
        case "snap_users":
            return {(int(row["ID"]), next(iter(row["UF_DEPARTMENT"]), None), row["ACTIVE"]) for row in truth["users"]}
        case "snap_products":
            return {
                (row["id"], Decimal(str(row["purchasingPrice"])) if row["purchasingPrice"] else None,
                 row["purchasingCurrency"] or None)
                for row in truth["products"]
            }  # fmt: skip
    return {(int(row["ID"]), row["NAME"], int(row["SORT"])) for row in truth["statuses"]}


def test_the_rates_of_the_bank_are_loaded_since_the_first_amount(two_days: TwoDays) -> None:
    """As printed, of the portal's currencies alone, up to the day after the run."""
    truth = two_days.rehearsal.portal.truth()
    known = {row["CURRENCY"] for row in truth["currencies"]}
    amounts = [row["DATE_CREATE"][:10] for table in ("deals", "leads") for row in truth[table]]
    amounts += [row["CLOSEDATE"][:10] for row in truth["deals"] if row["CLOSEDATE"]]
    amounts += [row["spend_date"] for row in two_days.rehearsal.inputs("ad_spend")]
    since = (date.fromisoformat(min(amounts)) - timedelta(days=15)).isoformat()
    expected = {
        (rate["date"], rate["char_code"], str(rate["nominal"]), rate["value"])
        for rate in truth["cbr_rates"]
        if rate["char_code"] in known and rate["date"] >= since
    }
    assert set(query(two_days, "select rate_date, char_code, nominal, value from raw_cbr.rates")) == expected
    assert [sync.summary["bank_rates"] > 0 for sync in (two_days.first, two_days.second)] == [True, True]
    assert max(rate[0] for rate in expected) == "2026-06-17"


def test_deals_of_the_years_before_the_first_load_have_a_real_rate(two_days: TwoDays) -> None:
    """The portal alone knows no rate before the day it was first read."""
    sql = "select count(*) from core.fct_deals where currency <> 'RUB' and closed_date < '2026-06-15'"
    assert query(two_days, sql)[0][0] > 50
    assert query(two_days, f"{sql} and is_fx_approximate") == [(0,)]
    dollars = (
        "select closed_date, amount, amount_rc from core.fct_deals"
        " where currency = 'USD' and closed_date is not null and amount_rc is not null"
    )
    printed = {
        date.fromisoformat(rate["date"]): Decimal(rate["value"].replace(",", "."))
        for rate in two_days.rehearsal.portal.truth()["cbr_rates"]
        if rate["char_code"] == "USD"
    }
    found = query(two_days, dollars)
    assert found
    for day, amount, amount_rc in found:
        rate = printed[max(known for known in printed if known <= day)]
        assert abs(amount * rate - amount_rc) <= Decimal("0.005")


@pytest.mark.parametrize("table", list(SOURCES))
def test_the_present_version_of_a_snapshot_is_what_the_portal_holds(two_days: TwoDays, table: str) -> None:
    """And the key of a row stands in it once."""
    names = ", ".join(SOURCES[table])
    held = query(two_days, f"select {names} from snapshots.{table} where valid_to is null")
    assert len({row[0] for row in held}) == len(held)
    assert present(two_days.rehearsal.portal.truth(), table) <= set(held)


@pytest.mark.parametrize("table", list(SOURCES))
def test_versions_follow_one_another_by_the_portals_clock(two_days: TwoDays, table: str) -> None:
    """A version begins with a run and ends with the next that saw another value; what is the same begins nothing."""
    first, second = as_of(two_days)
    key, *values = SOURCES[table]
    found = query(two_days, f"select {key}, valid_from, valid_to from snapshots.{table} order by 1, 2")
    assert {start for _, start, _ in found} <= {first, second}
    assert {(start, end) for _, start, end in found} <= {(first, None), (first, second), (second, None)}
    ended = {row[0] for row in found if row[2] == second}
    begun = {row[0] for row in found if row[1] == second}
    known_before = {row[0] for row in found if row[1] == first}
    assert ended == begun & known_before
    if table in {"snap_deals", "snap_products"}:  # a day changes some of them
        same = " and ".join(f"before.{name} is not distinct from after.{name}" for name in values)
        if table == "snap_products":
            same += " and before.base_price is not distinct from after.base_price"
        unchanged = query(
            two_days,
            f"select count(*) from snapshots.{table} as before inner join snapshots.{table} as after"
            f" on after.{key} = before.{key} and after.valid_from = before.valid_to where {same}",
        )
        assert ended
        assert unchanged == [(0,)]


def test_a_sale_after_a_price_list_was_seen_has_the_cost_of_its_day(two_days: TwoDays) -> None:
    """Days before the first load have today's price, and say so."""
    rows = query(
        two_days,
        "select closed_date >= '2026-06-15', bool_and(is_cost_historical), bool_or(is_cost_historical)"
        " from core.fct_deal_products as products inner join core.fct_deals as deals using (deal_id)"
        " where products.has_cost and products.product_key <> 130 and deals.outcome = 'won' group by all order by all",
    )
    assert rows == [(False, False, False), (True, True, True)]


@pytest.mark.long  # two syncs of its own
def test_a_second_run_at_one_moment_leaves_one_version() -> None:
    """A restart after a failure reads what changed meanwhile, by a clock that stands still; and the bank is gone."""
    with rehearsal(seed=3, deals=60) as rehearsed:
        rehearsed.sync()
        rates = ask(rehearsed, "select * from raw_cbr.rates order by all")
        (deal, before), *_ = ask(rehearsed, "select deal_id, manager_id from snapshots.snap_deals order by all")
        after = 3 if before != 3 else 4
        rehearsed.portal.mutate("update", table="deals", row_id=deal, values={"ASSIGNED_BY_ID": str(after)})
        rehearsed.environment["CBR_URL"] = "http://127.0.0.1:9/"
        summary = rehearsed.sync()
        assert summary["warnings"] == []  # nothing was missing, so nobody was asked
        assert ask(rehearsed, "select * from raw_cbr.rates order by all") == rates
        held = ask(
            rehearsed, f"select manager_id, valid_from, valid_to from snapshots.snap_deals where deal_id = {deal}"
        )
        assert held == [(after, datetime.fromisoformat(summary["as_of"]), None)]
