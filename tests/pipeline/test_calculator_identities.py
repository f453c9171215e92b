"""What must hold between marts whatever the data, on the stand-in portal's own world."""

import csv
from collections import Counter, defaultdict
from collections.abc import Iterable
from datetime import datetime
from decimal import ROUND_HALF_UP, Decimal
from itertools import groupby, pairwise
from pathlib import Path
from typing import Any

import pytest
from pipeline.calculator import calculate
from pipeline.compare import PRIMARY_KEYS

from demo.world import World

NOW = datetime.fromisoformat("2026-06-15T12:00:00+03:00")
PAIRS = [(model, basis) for model in ("first_touch", "last_touch") for basis in ("cohort", "event")]

Row = dict[str, Any]
Marts = dict[str, list[Row]]


@pytest.fixture(scope="module")
def world() -> World:
    return World.generate(seed=7, deals=600, now=NOW)


@pytest.fixture(scope="module")
def truth(world: World) -> dict[str, Any]:
    return world.truth() | {"cbr_rates": []}  # so that a currency has one rate, the portal's of today


@pytest.fixture(scope="module")
def inputs(world: World, tmp_path_factory: pytest.TempPathFactory) -> dict[str, list[dict[str, str]]]:
    folder: Path = tmp_path_factory.mktemp("inputs")
    world.write_inputs(folder)
    files = {}
    for name in ("ad_spend", "sales_plan", "campaign_messages", "support_sources"):
        with (folder / f"{name}.csv").open(encoding="utf-8-sig", newline="") as file:
            files[name] = list(csv.DictReader(file))
    return files


@pytest.fixture(scope="module")
def marts(truth: dict[str, Any], inputs: dict[str, list[dict[str, str]]]) -> Marts:
    return calculate(truth, **inputs, as_of=NOW)


@pytest.fixture(scope="module")
def deals(truth: dict[str, Any]) -> list[Row]:
    return [deal for deal in truth["deals"] if deal["IS_RECURRING"] != "Y"]


def in_roubles(truth: dict[str, Any], amount: str | None, currency: str) -> Decimal:
    """An amount by today's rate, the only one the portal tells; 0 if it can not be told."""
    code = {"RUR": "RUB", "": "RUB"}.get(currency, currency)
    rates = {rate["CURRENCY"]: Decimal(rate["AMOUNT"]) / Decimal(rate["AMOUNT_CNT"]) for rate in truth["currencies"]}
    exact = Decimal(amount or 0)
    if code not in rates or exact >= Decimal(10) ** 16:
        return Decimal(0)
    return (exact * rates[code] / rates["RUB"]).quantize(Decimal("0.01"), ROUND_HALF_UP)


def revenue_of(truth: dict[str, Any], deals: Iterable[Row]) -> Decimal:
    won = (deal for deal in deals if deal["STAGE_SEMANTIC_ID"] == "S")
    return sum((in_roubles(truth, deal["OPPORTUNITY"], deal["CURRENCY_ID"]) for deal in won), Decimal(0))


def buyers(truth: dict[str, Any], deals: Iterable[Row]) -> set[tuple[str, str]]:
    """Companies that are not our own, else contacts, of the won deals."""
    ours = {company["ID"] for company in truth["companies"] if company["IS_MY_COMPANY"] == "Y"}
    found = set()
    for deal in deals:
        company, contact = deal["COMPANY_ID"] or "0", deal["CONTACT_ID"] or "0"
        client = ("company", company) if company not in {"0", *ours} else ("contact", contact)
        if deal["STAGE_SEMANTIC_ID"] == "S" and client[1] != "0":
            found.add(client)
    return found


def summed(rows: Iterable[Row], column: str, by: str | None = None) -> Any:
    if by is None:
        return sum(row[column] for row in rows)
    totals: dict[Any, Any] = Counter()
    for row in rows:
        totals[row[by].replace(day=1)] += row[column]
    return {month: value for month, value in totals.items() if value}


@pytest.mark.parametrize("mart", PRIMARY_KEYS)
def test_every_mart_has_rows_with_unique_keys(marts: Marts, mart: str) -> None:
    """An empty mart would satisfy every identity."""
    keys = [tuple(row[column] for column in PRIMARY_KEYS[mart]) for row in marts[mart]]
    assert keys
    assert len(set(keys)) == len(keys)
    assert all(value is not None for key in keys for value in key)
    assert len({frozenset(row) for row in marts[mart]}) == 1


def test_c1_revenue_is_the_same_everywhere(marts: Marts, truth: dict[str, Any], deals: list[Row]) -> None:
    """Revenue by day, by manager and of the deals themselves, in total and per month."""
    won = revenue_of(truth, deals)
    assert won > 0
    assert summed(marts["sales_dynamics"], "revenue") == won
    for column in ("revenue", "deals_won", "deals_lost", "deals_created", "lost_amount", "cycle_days_sum"):
        by_day = summed(marts["sales_dynamics"], column, by="date_day")
        assert by_day == summed(marts["manager_performance"], column, by="period_month")


def test_c2_channels_share_out_everything(
    marts: Marts, truth: dict[str, Any], deals: list[Row], inputs: dict[str, list[dict[str, str]]]
) -> None:
    """Each model and basis holds every deal, sale, rouble of revenue and of spend exactly once."""
    costs = [row for row in inputs["ad_spend"] if (row["cost_type"] or "ad") in {"ad", "other_marketing"}]
    spent = sum(in_roubles(truth, row["cost"], row["currency"]) for row in costs)
    won = revenue_of(truth, deals)
    new_clients = set()
    for model, basis in PAIRS:
        rows = [row for row in marts["channel_roi"] if (row["attribution_model"], row["date_basis"]) == (model, basis)]
        assert summed(rows, "revenue") == won
        assert summed(rows, "deals") == len(deals)
        assert summed(rows, "deals_won") == sum(deal["STAGE_SEMANTIC_ID"] == "S" for deal in deals)
        assert summed(rows, "deals_lost") == sum(deal["STAGE_SEMANTIC_ID"] == "F" for deal in deals)
        assert summed(rows, "spend") == spent > 0
        new_clients.add(summed(rows, "new_clients"))
    assert new_clients == {len(buyers(truth, deals))}


def test_c6_every_deal_is_won_lost_or_open(marts: Marts, deals: list[Row]) -> None:
    """A deal whose closing moment got lost would vanish from the months."""
    won, lost = summed(marts["sales_dynamics"], "deals_won"), summed(marts["sales_dynamics"], "deals_lost")
    still_open = sum(deal["STAGE_SEMANTIC_ID"] not in {"S", "F"} for deal in deals)
    assert won + lost + still_open == len(deals) == summed(marts["sales_dynamics"], "deals_created")


def funnels(marts: Marts, funnel_type: str) -> dict[tuple[Any, ...], list[Row]]:
    cells: dict[tuple[Any, ...], list[Row]] = defaultdict(list)
    for row in marts["funnel_stage_conversion"]:
        if row["funnel_type"] == funnel_type:
            cells[row["pipeline_key"], row["cohort_month"], row["manager_key"], row["channel_key"]].append(row)
    return {cell: sorted(rows, key=lambda row: row["stage_position"]) for cell, rows in cells.items()}


def won_by_cell(marts: Marts) -> Counter[tuple[Any, ...]]:
    return Counter(
        (row["pipeline_key"], row["cohort_month"], row["manager_key"], row["channel_key"])
        for row in marts["deal_stage_progress"]
        if row["outcome"] == "won" and row["stage_position"] == 1
    )


def test_c7_c8_conversion_funnel_only_narrows(marts: Marts) -> None:
    """What does not go on to the next stage is open or lost at this one."""
    won = won_by_cell(marts)
    for cell, rows in funnels(marts, "conversion").items():
        assert rows[0]["deals_entered"] == rows[0]["deals_total"]
        assert rows[-1]["deals_entered"] == won[cell]
        for row, following in pairwise(rows):
            dropped = row["deals_entered"] - following["deals_entered"]
            assert 0 <= dropped == row["deals_dropped"] == row["deals_open"] + row["deals_lost"]


@pytest.mark.parametrize("funnel_type", ["conversion", "classic"])
def test_c8_open_lost_and_won_make_all(marts: Marts, funnel_type: str) -> None:
    """No deal stands at two stages or at none."""
    won = won_by_cell(marts)
    for cell, rows in funnels(marts, funnel_type).items():
        assert summed(rows, "deals_open") + summed(rows, "deals_lost") + won[cell] == rows[0]["deals_total"]


def test_c9_funnels_differ_by_the_skipped(marts: Marts) -> None:
    """The classic funnel plus the skipped deals is the conversion funnel, stage by stage."""
    classic = funnels(marts, "classic")
    skipped = 0
    for cell, rows in funnels(marts, "conversion").items():
        for row, other in zip(rows, classic[cell], strict=True):
            assert other["deals_entered"] + other["deals_skipped"] == row["deals_entered"]
            assert row["deals_skipped"] == other["deals_skipped"]
            skipped += row["deals_skipped"]
    assert skipped > 0


def test_c10_funnels_hold_every_deal_once(marts: Marts, truth: dict[str, Any], deals: list[Row]) -> None:
    """All deals of pipelines that have stages."""
    entities = {status["ENTITY_ID"] for status in truth["statuses"]}
    names = ["DEAL_STAGE" + (f"_{deal['CATEGORY_ID']}" if deal["CATEGORY_ID"] != "0" else "") for deal in deals]
    first = [row for rows in funnels(marts, "conversion").values() for row in rows if row["stage_position"] == 1]
    assert summed(first, "deals_total") == sum(name in entities for name in names)


def test_c12_flow_counts_every_stay(marts: Marts, truth: dict[str, Any], deals: list[Row]) -> None:
    """Kinds of exits add up; entries are the stays in stages of work."""
    for row in marts["funnel_stage_flow"]:
        kinds = ("exits_forward", "exits_back", "exits_lost", "exits_moved", "exits_other")
        assert row["exits"] == sum(row[kind] for kind in kinds)
    records = sorted(
        truth["deal_stage_history"],
        key=lambda row: (int(row["OWNER_ID"]), datetime.fromisoformat(row["CREATED_TIME"]), int(row["ID"])),
    )
    live = {int(deal["ID"]) for deal in deals}
    stays = [
        next(group)
        for (owner, _, _), group in groupby(
            records, key=lambda row: (int(row["OWNER_ID"]), str(row["CATEGORY_ID"]), row["STAGE_ID"])
        )
        if owner in live
    ]
    assert summed(marts["funnel_stage_flow"], "entries") == sum(stay["STAGE_SEMANTIC_ID"] == "P" for stay in stays)


@pytest.mark.parametrize(("model", "basis"), PAIRS)
def test_c13_leads_are_all_there(marts: Marts, truth: dict[str, Any], model: str, basis: str) -> None:
    """Each lead belongs to one channel; managers and channels count the same leads."""
    rows = [row for row in marts["channel_roi"] if (row["attribution_model"], row["date_basis"]) == (model, basis)]
    states = Counter(lead["STATUS_SEMANTIC_ID"] for lead in truth["leads"])
    assert summed(rows, "leads") == len(truth["leads"]) == summed(marts["manager_performance"], "leads_assigned")
    assert summed(rows, "leads_qualified") == states["S"] > 0
    assert summed(rows, "leads_junk") == states["F"] > 0
    assert all(row["leads"] >= row["leads_with_deal"] >= row["leads_with_won"] for row in rows)
    assert summed(rows, "leads_with_won") == summed(marts["manager_performance"], "leads_with_won")


def test_c17_classes_follow_the_values(marts: Marts) -> None:
    """Equal clients share a class, a smaller one is never better, class A makes its share."""
    months = defaultdict(list)
    for row in marts["client_abc"]:
        if row["abc_class"] != "N":
            months[row["as_of_month"]].append(row)
    assert len(months) == 13
    for rows in months.values():
        rows.sort(key=lambda row: (-row["basis_value"], row["client_key"]))
        assert max(row["cum_share"] for row in rows) == 1.0
        assert rows[-1]["cum_value"] == summed(rows, "basis_value")
        for row, smaller in pairwise(rows):
            assert row["abc_class"] <= smaller["abc_class"]
            assert row["basis_value"] != smaller["basis_value"] or row["abc_class"] == smaller["abc_class"]
        best = sum(row["basis_value"] for row in rows if row["abc_class"] == "A")
        assert best >= Decimal("0.80") * rows[-1]["cum_value"]


def test_c18_calls_add_up(marts: Marts, truth: dict[str, Any]) -> None:
    """Legs of one call count once, information calls never."""
    for row in marts["manager_performance"]:
        assert row["calls_total"] == row["calls_out"] + row["calls_in"]
        assert row["calls_missed"] <= row["calls_in"]
        assert row["calls_short"] <= row["calls_connected"] <= row["calls_total"]
    calls = {call["CALL_ID"] for call in truth["calls"] if call["CALL_TYPE"] != "5"}
    assert summed(marts["manager_performance"], "calls_total") == len(calls) > 0


def test_open_deals_of_the_running_month_are_those_open_now(
    marts: Marts, deals: list[Row], truth: dict[str, Any]
) -> None:
    """Point columns of the running month show the present state, where history is up to date."""
    last_stage = {}
    for row in sorted(truth["deal_stage_history"], key=lambda row: int(row["ID"])):
        last_stage[int(row["OWNER_ID"])] = row["STAGE_SEMANTIC_ID"]
    states = [last_stage.get(int(deal["ID"]), deal["STAGE_SEMANTIC_ID"]) for deal in deals]
    running = [row for row in marts["manager_performance"] if row["period_month"] == NOW.date().replace(day=1)]
    assert summed(running, "open_deals_eop") == states.count("P")
    assert all(0 <= row["stale_deals_eop"] <= row["open_deals_eop"] for row in running)


def test_c1_c3_revenue_is_shared_out_without_a_rest(marts: Marts, truth: dict[str, Any], deals: list[Row]) -> None:
    """By channel of a manager, by kind of sale and by product: each rouble once."""
    won = revenue_of(truth, deals)
    for mart in ("manager_channel_performance", "repeat_sales", "product_performance"):
        assert summed(marts[mart], "revenue") == won
    company = [row for row in marts["period_comparison"] if (row["period_type"], row["pipeline_key"]) == ("year", -1)]
    assert sum(row["value"] for row in company if row["metric"] == "revenue") == won


def test_c4_c16_known_clients_bought_the_rest(marts: Marts, truth: dict[str, Any], deals: list[Row]) -> None:
    """Ratings and cohorts hold every buyer once; the running month has no cohort yet."""
    rating = [row for row in marts["client_rating"] if row["deals_won"]]
    assert len(rating) == len(buyers(truth, deals))
    assert 0 < summed(marts["client_rating"], "revenue") < revenue_of(truth, deals)
    this_month = NOW.date().replace(day=1)
    first = [row for row in marts["client_cohort"] if row["month_number"] == 0]
    assert summed(first, "cohort_size") == sum(row["first_won_date"] < this_month for row in rating)
    assert all(row["clients_active"] == row["cohort_size"] for row in first)


def test_c5_departments_add_up(marts: Marts) -> None:
    """Everybody belongs to one department of his own; the topmost one holds all the others."""
    own = [row for row in marts["department_performance"] if row["rollup"] == "own"]
    for column in ("revenue", "calls_total", "deals_created", "open_tasks_eop"):
        assert summed(own, column, by="period_month") == summed(marts["manager_performance"], column, by="period_month")
    above = {
        row["period_month"]: row
        for row in marts["department_performance"]
        if (row["department_key"], row["rollup"]) == (1, "with_children")
    }
    assert all(row["deals_won"] <= above[row["period_month"]]["deals_won"] for row in own if row["department_key"])


def test_c15_clients_of_a_month_are_those_of_the_month_before(marts: Marts) -> None:
    """Nobody appears or vanishes between two months."""
    rows = sorted(marts["client_retention"], key=lambda row: row["period_month"])
    for row, following in pairwise(rows):
        came = row["clients_new"] + row["clients_reactivated"]
        assert row["clients_active_end"] == row["clients_active_start"] + came - row["clients_churned"]
        assert following["clients_active_start"] == row["clients_active_end"]
    assert summed(rows, "clients_reactivated") > 0


def test_c21_every_open_deal_is_forecast(marts: Marts, deals: list[Row]) -> None:
    """Once, and for no more than its amount."""
    assert len(marts["revenue_forecast"]) == sum(deal["STAGE_SEMANTIC_ID"] not in {"S", "F"} for deal in deals)
    assert all(0 <= row["weighted_amount"] <= (row["amount_rc"] or 0) for row in marts["revenue_forecast"])
