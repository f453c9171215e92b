"""`b24 reconcile` against a stand-in portal and a warehouse with known differences: each has its own reason."""

from collections.abc import Iterator
from datetime import UTC, date, datetime, timedelta, timezone
from decimal import Decimal
from pathlib import Path
from typing import Any
from zoneinfo import ZoneInfo

import duckdb
import pytest

from demo.server import PortalOptions, running_portal
from demo.world import World
from dlt_sources.bitrix24.client import BitrixClient
from dlt_sources.bitrix24.webhook import Webhook
from orchestration import reconcile
from orchestration.reconcile import Effect, Line, Reconciliation, last_full_month, print_lines
from orchestration.report import Silent
from warehouse.errors import WarehouseError
from warehouse.ledger import Ledger
from warehouse.settings import Settings

NOW = datetime(2026, 6, 15, 12, tzinfo=timezone(timedelta(hours=3)))
AS_OF = datetime(2026, 6, 14, 9, tzinfo=UTC)
MARCH = date(2026, 3, 1)
BEFORE, AFTER = "2026-03-10T12:00:00+03:00", "2026-06-14T13:00:00+03:00"
WON = {
    "CATEGORY_ID": "5", "STAGE_ID": "C5:WON", "STAGE_SEMANTIC_ID": "S", "OPPORTUNITY": "100.00", "CURRENCY_ID": "RUB",
    "CLOSEDATE": "2026-03-10T03:00:00+03:00", "DATE_CREATE": "2026-02-01T12:00:00+03:00", "DATE_MODIFY": BEFORE,
    "TITLE": "Поставка", "IS_RECURRING": "N",
}  # fmt: skip
# what differs in the portal, and here, of nine deals won in March; a name says what is meant
THERE: dict[str, dict[str, str]] = {
    "equal": {},
    "test": {"TITLE": "Тест"},
    "template": {"IS_RECURRING": "Y"},
    "moved out": {},
    "moved in": {"CLOSEDATE": "2026-04-01T03:00:00+03:00"},
    "foreign": {"CURRENCY_ID": "USD"},
    "missing": {},
    "tombstone": {},
    "changed": {"OPPORTUNITY": "170.00", "DATE_MODIFY": AFTER},
    "won since": {"DATE_MODIFY": AFTER},
    "other amount": {"OPPORTUNITY": "130.00"},
    "phone": {"OPPORTUNITY": "7916123456789261234567.00"},
}
HERE: dict[str, dict[str, Any]] = {
    "test": {"is_in_scope": False},
    "template": {"is_in_scope": False},
    "moved out": {"won_date": date(2026, 4, 2)},
    "moved in": {"won_date": date(2026, 3, 31)},
    "foreign": {"revenue_rc": 9000},
    "tombstone": {"is_deleted": True, "is_in_scope": False},
    "changed": {"amount": 100, "revenue_rc": 100},
    "won since": {"outcome": "open", "stage_id": "C5:NEW", "won_date": None, "revenue_rc": 0},
    "other amount": {"amount": 100, "revenue_rc": 100},
}
GONE_ID = 99_999


@pytest.fixture(scope="module")
def lines(tmp_path_factory: pytest.TempPathFactory) -> Iterator[dict[tuple[str, str, str], Line]]:
    folder = tmp_path_factory.mktemp("reconcile")
    settings = Settings(_env_file=None, warehouse_path=folder / "company.duckdb", rules_path=folder / "rules.yml")
    settings.rules_path.write_text("test_title_regex: '^тест'\n")
    with (
        running_portal(World.generate(5, 70, NOW), PortalOptions(limits=False, frozen=True)) as portal,
        BitrixClient(Webhook.parse(portal.webhook_url)) as client,
    ):
        taken = [row["ID"] for row in portal.truth()["deals"] if row["CATEGORY_ID"] != "5"][: len(THERE)]
        names = dict(zip(THERE, taken, strict=True))
        for name, there in THERE.items():
            portal.mutate("update", table="deals", row_id=int(names[name]), values=WON | there)
        build(settings.warehouse_path, portal.truth(), names)
        found = Reconciliation(client, settings, Silent(), MARCH).run()
        with pytest.raises(WarehouseError, match="no deal pipeline 77"):
            Reconciliation(client, settings, Silent(), MARCH, 77).run()
        of_one = Reconciliation(client, settings, Silent(), MARCH, 5).run()
    assert {line.pipeline for line in of_one} == {"Партнёрские продажи"}
    yield {(line.what, line.pipeline, line.stage): line for line in found}


def build(path: Path, truth: dict[str, list[dict[str, Any]]], names: dict[str, str]) -> None:
    """A warehouse that holds what the portal shows, but for HERE and a deal that the portal has no more."""
    changed = {names[name]: values for name, values in HERE.items()}
    deals = []
    for row in truth["deals"]:
        if row["ID"] == names["missing"]:
            continue
        is_won, amount = row["STAGE_SEMANTIC_ID"] == "S", Decimal(row["OPPORTUNITY"] or 0)
        amount = amount if amount < 10**16 else Decimal(0)
        deals.append(
            {
                "deal_id": int(row["ID"]), "is_in_scope": row["IS_RECURRING"] != "Y", "is_deleted": False,
                "pipeline_key": int(row["CATEGORY_ID"]), "stage_id": row["STAGE_ID"], "title": row["TITLE"],
                "manager_key": int(row["ASSIGNED_BY_ID"]), "outcome": "won" if is_won else "open",
                "created_date": date.fromisoformat(row["DATE_CREATE"][:10]),
                "won_date": date.fromisoformat(row["CLOSEDATE"][:10]) if is_won else None,
                "amount": amount, "currency": row["CURRENCY_ID"], "revenue_rc": amount if is_won else 0,
            }
            | changed.get(row["ID"], {})
        )  # fmt: skip
    deals.append(deals[-1] | {
        "deal_id": GONE_ID, "is_in_scope": True, "is_deleted": False, "pipeline_key": 5, "stage_id": "C5:WON",
        "outcome": "won", "won_date": date(2026, 3, 5), "amount": 55, "revenue_rc": 55,
        "created_date": date(2026, 3, 1),
    })  # fmt: skip
    Ledger(path).start_run("run", AS_OF)
    with duckdb.connect(str(path)) as con:
        for schema in ("core", "marts", "raw_bitrix24"):
            con.execute(f"create schema {schema}")
        con.execute(
            "create table core.fct_deals (deal_id bigint, is_in_scope boolean, is_deleted boolean, "
            "pipeline_key bigint, stage_id text, title text, manager_key bigint, outcome text, "
            "created_date date, won_date date, amount decimal(18, 2), currency text, revenue_rc decimal(18, 2))"
        )
        con.executemany(
            f"insert into core.fct_deals values ({', '.join('?' * 13)})", [list(deal.values()) for deal in deals]
        )
        recurring = [(row["ID"], row["IS_RECURRING"]) for row in truth["deals"]] + [(str(GONE_ID), "N")]
        con.execute("create table raw_bitrix24.deals (id text, is_recurring text)")
        con.executemany("insert into raw_bitrix24.deals values (?, ?)", recurring)
        con.execute(
            "create table core.fct_leads as select null::bigint as lead_id, true as is_in_scope, false as is_deleted, "
            "null::bigint as manager_key, null::text as title, null::text as outcome, null::date as created_date, "
            "null::decimal(18, 2) as amount, null::text as currency where false"
        )
        leads = [
            (int(row["ID"]), date.fromisoformat(row["DATE_CREATE"][:10]), row["TITLE"] or "") for row in truth["leads"]
        ]
        con.executemany(
            "insert into core.fct_leads values (?, true, false, 1, ?, 'open', ?, 0, 'RUB')",
            [(key, title, day) for key, day, title in leads],
        )
        con.execute(
            "create table marts.sales_dynamics as select won_date as date_day, pipeline_key, count(*) as deals_won, "
            "sum(revenue_rc) as revenue from core.fct_deals where is_in_scope and outcome = 'won' group by all"
        )


def test_each_won_deal_has_its_reason(lines: dict[tuple[str, str, str], Line]) -> None:
    """A head of sales who finds another sum in the portal wants to know which deals make it."""
    count = lines["Выиграно за 03.2026", "Партнёрские продажи", ""]
    known = {
        reconcile.TITLE: Effect(0, 1, Decimal("-100")),
        reconcile.RECURRING: Effect(0, 1, Decimal("-100")),
        reconcile.MOVED: Effect(1, 1, Decimal(0)),
        reconcile.GONE: Effect(1, 0, Decimal(55)),
        reconcile.CHANGED: Effect(0, 1, Decimal("-100")),
        reconcile.MISSING: Effect(0, 1, Decimal("-100")),
        reconcile.TOMBSTONE: Effect(0, 1, Decimal("-100")),
    }
    assert {name: count.reasons[name] for name in known} == known
    money = lines["Сумма выигранных за 03.2026", "Партнёрские продажи", ""]
    assert money.reasons == known | {
        reconcile.CONVERTED: Effect(0, 0, Decimal(8900)),
        reconcile.CHANGED: Effect(0, 1, Decimal(-100 - 70)),
        reconcile.UNEXPLAINED: Effect(0, 0, Decimal(-30)),
        reconcile.OUT_OF_RANGE: Effect(0, 0, Decimal("-7916123456789261234567.00")),
    }


def test_reasons_add_up_to_the_difference(lines: dict[tuple[str, str, str], Line]) -> None:
    """A reason that explains more or less than it says hides the next fault."""
    assert any(line.difference for line in lines.values())
    for line in lines.values():
        effects = line.reasons.values()
        total = sum(effect.amount if line.is_money else effect.rows for effect in effects)
        assert total == line.difference, line
    money = lines["Сумма выигранных за 03.2026", "Партнёрские продажи", ""]
    assert money.unexplained == -100 - 100 - 30  # missing, tombstone, other amount
    assert not money.is_explained


def test_deals_by_stage_are_compared_as_they_stand(lines: dict[tuple[str, str, str], Line]) -> None:
    won = lines["Сделки сейчас", "Партнёрские продажи", "Закрыта успешно"]
    assert won.reasons[reconcile.CHANGED] == Effect(0, 1, Decimal(0))  # won since
    assert won.reasons[reconcile.GONE] == Effect(1, 0, Decimal(0))
    assert won.reasons[reconcile.MISSING] == Effect(0, 1, Decimal(0))
    assert reconcile.MOVED not in won.reasons  # a day, not a stage
    equal = [line for line in lines.values() if line.what == "Сделки сейчас" and not line.difference]
    assert len(equal) > 10
    assert all(line.is_explained for line in equal)


def test_what_was_created_is_compared_too(lines: dict[tuple[str, str, str], Line]) -> None:
    created = lines["Создано сделок за 03.2026", "Партнёрские продажи", ""]
    assert created.reasons == {reconcile.GONE: Effect(1, 0, Decimal(0))}
    leads = lines["Создано лидов за 03.2026", "", ""]
    assert leads.portal == leads.marts > 0


def test_what_no_reason_covers_is_not_hidden() -> None:
    """The mart's own sum may be wrong although every deal agrees."""
    line = Line("Сумма", "Продажи", "", Decimal(100), Decimal(120), {reconcile.CONVERTED: Effect(0, 0, Decimal(15))})
    line.is_money = True
    assert line.unexplained == 5
    assert not line.is_explained
    assert line.to_dict()["reasons"] == {reconcile.CONVERTED: {"only_here": 0, "only_there": 0, "amount": Decimal(15)}}


def test_the_table_tells_what_differs(
    lines: dict[tuple[str, str, str], Line], capsys: pytest.CaptureFixture[str]
) -> None:
    print_lines(list(lines.values()), AS_OF)
    screen = capsys.readouterr().out
    assert "витрины на 14.06.2026 09:00 UTC" in screen
    assert "+1 −1: перешла в успешную" in screen, screen
    assert "−1: БЕЗ ОБЪЯСНЕНИЯ: нет в" in screen
    assert f"из {len(lines)}." in screen


@pytest.mark.parametrize(
    ("as_of", "month"),
    [
        (datetime(2026, 3, 31, 20, 59, tzinfo=UTC), date(2026, 2, 1)),
        (datetime(2026, 3, 31, 21, 0, tzinfo=UTC), date(2026, 3, 1)),  # April in Moscow
        (datetime(2026, 1, 15, 9, 0, tzinfo=UTC), date(2025, 12, 1)),
    ],
)
def test_the_last_full_month_is_that_of_the_reporting_zone(as_of: datetime, month: date) -> None:
    assert last_full_month(as_of, ZoneInfo("Europe/Moscow")) == month
