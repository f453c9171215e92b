"""Rules of the marts that hold for any history: the dbt project's own models on rows made up by chance."""

from collections import defaultdict
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from decimal import ROUND_HALF_UP, Decimal
from itertools import pairwise
from typing import Any
from zoneinfo import ZoneInfo

from hypothesis import given, settings
from hypothesis import strategies as st
from pipeline.calculator import allocated
from pipeline.calculator.alerts import funnel_alerts, read_thresholds
from pipeline.calculator.values import Clock
from pipeline.compare import compare
from traps.sql_project import LATER, Project

STEPS = ("NEW", "PREPARATION", "EXECUTING", "FINAL_INVOICE")
WON, LOST = "WON", "LOSE"
SEMANTICS = {**dict.fromkeys(STEPS, "P"), WON: "S", LOST: "F"}
BEGIN = datetime.fromisoformat("2026-03-02T09:00:00+03:00")
AS_IT_WAS, STEPPED_BACK, STEPPED_FORWARD = 7, 8, 9  # each history three times, under another manager

PROJECT = Project()  # compiling the models takes longer than running them


@dataclass(frozen=True)
class Walk:
    """Stages that a deal went through, and where it makes one more step.

    Attributes:
        stages: indexes into STEPS; repeated ones are one stay.
        end: the final stage, if it has ended. after: the step after which the additional one is made.
        back, forward: where it leads to, if there is a stage below or above.
    """

    stages: tuple[int, ...]
    end: str | None
    after: int
    back: int | None
    forward: int | None

    def with_step(self, manager: int) -> list[str]:
        step = {STEPPED_BACK: self.back, STEPPED_FORWARD: self.forward}.get(manager)
        extra = [] if step is None else [step]
        stages = [*self.stages[: self.after + 1], *extra, *self.stages[self.after + 1 :]]
        return [STEPS[stage] for stage in stages] + ([self.end] if self.end else [])


@st.composite
def walks(draw: st.DrawFn) -> Walk:
    stages = draw(st.lists(st.integers(0, len(STEPS) - 1), min_size=1, max_size=6))
    after = draw(st.integers(0, len(stages) - 1))
    stage, last = stages[after], len(STEPS) - 1
    return Walk(
        tuple(stages),
        draw(st.sampled_from([None, WON, LOST])),
        after,
        draw(st.integers(0, stage - 1)) if stage else None,
        draw(st.integers(stage + 1, last)) if stage < last else None,
    )


def company(*, deals: Sequence[dict[str, Any]], history: Sequence[dict[str, Any]] = ()) -> Project:
    PROJECT.restart()
    rouble = {"CURRENCY": "RUB", "AMOUNT_CNT": "1", "AMOUNT": "1.0000", "BASE": "Y"}
    PROJECT.raw("currencies", rouble)
    PROJECT.raw("currency_rates", {**rouble, "seen_date": "2026-06-15"})
    PROJECT.raw("pipelines", {"id": 0, "name": "Общая", "sort": 1, "entityTypeId": 2, "isDefault": "Y"})
    stages = ({"ID": str(n), "STATUS_ID": code, "SEMANTICS": SEMANTICS[code]} for n, code in enumerate(SEMANTICS, 1))
    PROJECT.raw("statuses", *({"ENTITY_ID": "DEAL_STAGE", "SORT": "10", **stage} for stage in stages))
    PROJECT.raw("deals", *deals)
    if history:
        PROJECT.raw("deal_stage_history", *history)
    return PROJECT


def deal(number: int, stage: str, **fields: Any) -> dict[str, Any]:
    return {
        "ID": str(number),
        "TITLE": f"Сделка {number}",
        "CATEGORY_ID": "0",
        "STAGE_ID": stage,
        "STAGE_SEMANTIC_ID": SEMANTICS[stage],
        "CURRENCY_ID": "RUB",
        "OPPORTUNITY": "100.00",
        "DATE_CREATE": BEGIN.isoformat(),
        "MOVED_TIME": BEGIN.isoformat(),
        **fields,
    }


def funnels_of(found: Sequence[Walk]) -> dict[tuple[str, int], list[tuple[Any, ...]]]:
    """Columns of `funnel_stage_conversion` in the order of stages, by funnel type and manager."""
    deals, history = [], []
    for walk in found:
        for manager in (AS_IT_WAS, STEPPED_BACK, STEPPED_FORWARD):
            stages = walk.with_step(manager)
            deals.append(deal(len(deals) + 1, stages[-1], ASSIGNED_BY_ID=str(manager)))
            for number, stage in enumerate(stages):
                entry = {
                    "ID": len(history) + 1,
                    "TYPE_ID": 2,
                    "OWNER_ID": len(deals),
                    "CREATED_TIME": (BEGIN + timedelta(hours=number)).isoformat(),
                    "CATEGORY_ID": 0,
                    "STAGE_SEMANTIC_ID": SEMANTICS[stage],
                    "STAGE_ID": stage,
                }
                history.append(entry)
    columns = (
        "funnel_type, manager_key, stage_position, deals_total, deals_entered, deals_open, deals_lost, deals_skipped"
    )
    funnels = defaultdict(list)
    for funnel_type, manager, *row in company(deals=deals, history=history).read("funnel_stage_conversion", columns):
        funnels[funnel_type, manager].append(tuple(row))
    return funnels


histories = st.lists(walks(), min_size=1, max_size=40)
few = settings(max_examples=8)


@given(found=histories)
@few
def test_a_step_back_changes_no_conversion_and_a_step_forward_lowers_none(found: list[Walk]) -> None:
    """A manager who corrects a stage would change what is said of a whole month."""
    funnels = funnels_of(found)
    entered = {manager: [row[2] for row in rows] for (kind, manager), rows in funnels.items() if kind == "conversion"}
    assert entered[STEPPED_BACK] == entered[AS_IT_WAS]
    assert all(after >= before for before, after in zip(entered[AS_IT_WAS], entered[STEPPED_FORWARD], strict=True))


@given(found=histories)
@few
def test_both_funnels_account_for_every_deal(found: list[Walk]) -> None:
    """A deal that no stage tells of, or two do, makes the drop between stages a wrong number (C7 to C9)."""
    funnels = funnels_of(found)
    for manager in (AS_IT_WAS, STEPPED_BACK, STEPPED_FORWARD):
        conversion, classic = funnels["conversion", manager], funnels["classic", manager]
        won = sum(walk.end == WON for walk in found)
        for rows in (conversion, classic):
            assert [row[0] for row in rows] == [1, 2, 3, 4, 5]
            assert {row[1] for row in rows} == {len(found)}
            assert sum(row[3] + row[4] for row in rows) + won == len(found)
            assert rows[-1][2] == won
        assert conversion[0][2] == len(found)
        for (_, _, entered, is_open, lost, _), (_, _, following, *_) in pairwise(conversion):
            assert entered - following == is_open + lost
        for stage, real in zip(conversion, classic, strict=True):
            assert stage[2] == real[2] + real[5]


# ABC


kopecks = st.one_of(st.sampled_from([-2000, 0, 1, 5000, 5000_00]), st.integers(-100, 10_000_00))


@given(values=st.lists(kopecks, min_size=1, max_size=40))
@few
def test_classes_follow_values(values: list[int]) -> None:
    """A client with more revenue in a lower class, or two equal ones in different classes, is told a lie (C17)."""
    deals = [
        deal(number, WON, COMPANY_ID=str(number), OPPORTUNITY=str(Decimal(value) / 100))
        for number, value in enumerate(values, 1)
    ]
    rows = company(deals=deals).read("client_abc", "as_of_month, client_key, basis_value, abc_class, cum_share")
    for month in {row[0] for row in rows}:
        found = [(value, abc_class) for of_month, _, value, abc_class, _ in rows if of_month == month]
        assert sorted(value for value, _ in found) == sorted(Decimal(value) / 100 for value in values)
        by_class: dict[str, list[Decimal]] = defaultdict(list)
        for value, abc_class in found:
            by_class[abc_class].append(value)
        present = [by_class[abc_class] for abc_class in "ABCN" if abc_class in by_class]
        for better, worse in pairwise(present):
            assert min(better) > max(worse)
        whole = sum(value for value, _ in found if value > 0)
        assert sum(by_class["A"]) >= Decimal("0.8") * whole
        assert all(value <= 0 for value in by_class["N"]) and all(value > 0 for value in by_class["C"])
        assert max((row[4] for row in rows if row[0] == month and row[4] is not None), default=1) == 1


# allocation


prices = st.one_of(
    st.sampled_from(["0.00", "0.01", "10.00", "33.33"]), st.integers(0, 10**8).map(lambda n: f"{n / 100:.2f}")
)
quantities = st.sampled_from(["1", "2", "3", "0.5", "7"])
orders = st.tuples(kopecks, st.lists(st.tuples(prices, quantities), max_size=6))


@given(found=st.lists(orders, min_size=1, max_size=40))
@few
def test_shares_of_an_amount_add_up_to_the_kopeck(found: list[tuple[int, list[tuple[str, str]]]]) -> None:
    """Revenue by product that differs from revenue by a kopeck cannot be reconciled with anything."""
    amounts = [Decimal(amount) / 100 for amount, _ in found]
    deals = [deal(number, "NEW", OPPORTUNITY=str(amount)) for number, amount in enumerate(amounts, 1)]
    project = company(deals=deals)
    rows = [
        {"id": number * 10 + place, "ownerId": number, "ownerType": "D", "price": price, "quantity": quantity}
        for number, (_, lines) in enumerate(found, 1)
        for place, (price, quantity) in enumerate(lines)
    ]
    if rows:
        project.raw("product_rows", *rows)
    shares = defaultdict(list)
    columns = "deal_id, row_id, row_amount_rc, allocated_amount_rc"
    for number, row_id, row_amount, share in project.read("fct_deal_products", columns):
        shares[number].append((row_id, row_amount, share))
    for number, (amount, (_, lines)) in enumerate(zip(amounts, found, strict=True), 1):
        assert sum(share for _, _, share in shares[number]) == amount
        real = [(row_amount, share) for row_id, row_amount, share in shares[number] if row_id > 0]
        exact = [Decimal(price) * Decimal(quantity) for price, quantity in lines]
        rounded = [product.quantize(Decimal("0.01"), ROUND_HALF_UP) for product in exact]
        assert [row_amount for row_amount, _ in real] == rounded
        assert [share for _, share in real] == allocated(amount, [row_amount for row_amount, _ in real])


# retention and periods


# where the half-year of activity ends with a month, and the days beside
borders = [datetime(2026, month, 1, 12, tzinfo=LATER.tzinfo) - timedelta(days=180) for month in (2, 3, 4, 5, 6)]
moments = st.one_of(
    st.integers(0, 1000).map(lambda age: LATER - timedelta(days=age)),
    st.builds(lambda border, days: border + timedelta(days=days), st.sampled_from(borders), st.integers(-1, 1)),
)
sales = st.tuples(st.integers(1, 8), moments, kopecks)


def won_deals(found: Sequence[tuple[int, datetime, int]]) -> list[dict[str, Any]]:
    return [
        deal(
            number,
            WON,
            COMPANY_ID=str(client),
            OPPORTUNITY=str(Decimal(amount) / 100),
            DATE_CREATE=at.isoformat(),
            MOVED_TIME=at.isoformat(),
        )
        for number, (client, at, amount) in enumerate(found, 1)
    ]


@given(found=st.lists(sales, min_size=1, max_size=60))
@few
def test_clients_who_stay_come_and_leave_account_for_each_other(found: list[tuple[int, datetime, int]]) -> None:
    """A client who is neither kept nor lost makes churn a matter of taste (C15)."""
    columns = (
        "period_month, clients_active_start, clients_new, clients_reactivated, clients_churned, clients_active_end"
    )
    rows = company(deals=won_deals(found)).read("client_retention", columns)
    for _, start, new, reactivated, churned, end in rows:
        assert end == start + new + reactivated - churned
        assert 0 <= churned <= start
    for (month, *_, end), (following, start, *_) in pairwise(rows):
        assert following == (month + timedelta(days=31)).replace(day=1)
        assert start == end
    running = LATER.date().replace(day=1)
    assert all(month < running for month, *_ in rows)
    assert sum(new for _, _, new, *_ in rows) == len({client for client, at, _ in found if at.date() < running})


@given(found=st.lists(sales, min_size=1, max_size=60))
@few
def test_periods_of_every_length_tell_of_the_same_sales(found: list[tuple[int, datetime, int]]) -> None:
    """A day that falls between two weeks, or a period set beside the wrong one, shows as growth."""
    columns = "metric, period_type, period_start, value, value_prev, value_prev_same_days, value_yoy, is_complete"
    periods = defaultdict(list)
    for metric, kind, *row in company(deals=won_deals(found)).read("period_comparison", columns, "pipeline_key = -1"):
        periods[metric, kind].append(row)
    totals = {"deals_won": len(found), "revenue": sum(Decimal(amount) / 100 for _, _, amount in found)}
    for metric, total in totals.items():
        for kind in ("week", "month", "quarter", "year"):
            values = [row[1] for row in periods[metric, kind]]
            assert sum(values) == total
            assert [row[2] for row in periods[metric, kind]] == [None, *values[:-1]]
            assert [row[-1] for row in periods[metric, kind]] == [True] * (len(values) - 1) + [False]
    for kind, a_year in (("month", 12), ("quarter", 4), ("year", 1)):
        values = [row[1] for row in periods["deals_won", kind]]
        assert [row[4] for row in periods["deals_won", kind]] == ([None] * a_year + values)[: len(values)]
        # part of a period is never more than the whole
        assert all(row[3] <= row[2] for row in periods["deals_won", kind][1:])


# alerts


@st.composite
def flows(draw: st.DrawFn) -> tuple[str, list[tuple[int, int, int]]]:
    """The threshold of a stage, and (day, exits, exits forward) in both windows and beside them."""
    shares = st.sampled_from([Decimal(share) for share in ("0", "0.1", "0.3", "0.5", "0.6", "0.85", "1")])
    windows = [
        (draw(st.sampled_from(days)), draw(st.sampled_from(counts)), draw(shares))
        for days, counts in (
            ((-14, -1), (10, 19, 20, 40, 100, 400)),
            ((-98, -15), (10, 19, 20, 40, 100, 400)),
            ((-99, 0), (0, 1000)),
        )
    ]
    return str(draw(shares)), [(day, count, int(count * share)) for day, count, share in windows]


@given(found=st.lists(flows(), min_size=40, max_size=80))
@few
def test_alerts_of_the_model_are_those_of_the_text(found: list[tuple[str, list[tuple[int, int, int]]]]) -> None:
    """Borders of size, certainty and days, read twice: by the model and by the reference calculator."""
    today = LATER.date()
    rows: list[dict[str, Any]] = [
        {
            "pipeline_key": number,
            "stage_id": "NEW",
            "date_day": today + timedelta(days=day),
            "exits": count + 3,
            "exits_moved": 1,
            "exits_other": 2,
            "exits_forward": forward,
        }
        for number, (_, windows) in enumerate(found)
        for day, count, forward in windows
    ]
    least = [{"pipeline_key": str(n), "stage_id": "NEW", "min_conversion": share} for n, (share, _) in enumerate(found)]
    PROJECT.restart()
    types = "pipeline_key bigint, stage_id varchar, date_day date, exits bigint, exits_moved bigint, exits_other bigint"
    PROJECT.give("funnel_stage_flow", f"{types}, exits_forward bigint", [tuple(row.values()) for row in rows])
    types = "pipeline_key bigint, stage_id varchar, min_conversion decimal(5, 4)"
    PROJECT.give("stg_files__funnel_alert_thresholds", types, [tuple(row.values()) for row in least])
    types = "attribution_model varchar, date_basis varchar, period_month date, channel_name_ru varchar"
    PROJECT.give("channel_roi", f"{types}, zero_conversion_months bigint", [])
    PROJECT.give("dim_pipeline", "pipeline_key bigint, name varchar", [])
    PROJECT.give("dim_stage", "entity varchar, pipeline_key bigint, stage_id varchar, name varchar", [])
    key = ("date_day", "pipeline_key", "stage_id", "alert_type")
    shown = (*key, "n1", "n0", "c1", "c0", "relative_change", "z_score", "threshold", "severity")
    told = [dict(zip(shown, row, strict=True)) for row in PROJECT.read("funnel_alerts", ", ".join(shown))]
    right = funnel_alerts(rows, [], read_thresholds(least), Clock(LATER, ZoneInfo("Europe/Moscow")))
    assert not compare("funnel_alerts", key, right, told)
