"""What `b24 explain` tells: the rows behind a number, whether they add up, and what there is when asked wrongly."""

import re
from collections.abc import Iterator
from datetime import datetime
from decimal import Decimal
from pathlib import Path

import duckdb
import pytest

from bi.dictionary import load_dictionary
from orchestration.explain import differences, explain, prepare, print_answer, reading, rule_of, show, write_csv
from orchestration.explanations import MARTS
from warehouse.errors import WarehouseError
from warehouse.rules import Rules
from warehouse.settings import Settings

MART = "invoice_summary"
NEEDED = (
    "sales_dynamics", "manager_performance", "department_performance", "manager_channel_performance", "repeat_sales",
    "lead_statistics", "channel_roi", "funnel_stage_conversion", "loss_analysis", "call_analytics", "task_efficiency",
    "client_rating", "client_abc", "product_performance", "invoice_summary", "funnel_stage_flow", "process_efficiency",
    "project_performance", "service_quality", "campaign_engagement", "time_allocation",
)  # fmt: skip


@pytest.fixture
def warehouse(tmp_path: Path) -> Path:
    """Three counted invoices and one that is not; the mart beside them."""
    path = tmp_path / "company.duckdb"
    with duckdb.connect(str(path)) as con:
        con.execute(
            """
            create schema core; create schema marts; create schema ops;
            create table ops.sync_runs (as_of timestamptz, started_at timestamptz);
            insert into ops.sync_runs values
                ('2026-04-09 22:30:00+00', '2026-04-09 22:30:00+00'),
                ('2026-03-01 09:00:00+00', '2026-03-01 09:00:00+00');
            create table core.dim_manager (manager_key bigint, full_name text);
            insert into core.dim_manager values (7, 'Ким Анна');
            create table core.dim_client (client_key text, name text);
            insert into core.dim_client values ('C5', 'ООО «Ромашка»');
            create table core.fct_invoices (
                invoice_id bigint, title text, outcome text, pipeline_key bigint, manager_key bigint, client_key text,
                deal_id bigint, created_date date, due_date date, paid_date date, amount decimal(18, 2), currency text,
                amount_rc decimal(18, 2), is_in_scope boolean
            );
            insert into core.fct_invoices values
                (1, 'Счёт 1', 'won', 11, 7, 'C5', 70, '2026-03-02', '2026-03-20', '2026-03-09', 100, 'RUB', 100, true),
                (2, 'Счёт 2', 'won', 11, 7, 'C5', 71, '2026-03-03', '2026-03-20', '2026-04-01', 200, 'RUB', 200, true),
                (3, 'Счёт 3', 'open', 11, 7, 'C5', 72, '2026-03-04', '2026-04-09', null, 50, 'USD', 4500.5, true),
                (4, 'Тест', 'won', 11, 7, 'C5', 73, '2026-03-05', '2026-03-20', '2026-03-10', 900, 'RUB', 900, false);
            create table marts.invoice_summary (
                period_month date, pipeline_key bigint, manager_key bigint, manager_name text, invoices_created bigint,
                invoices_amount decimal(18, 2), invoices_paid bigint, paid_amount decimal(18, 2),
                invoices_overdue bigint
            );
            insert into marts.invoice_summary values
                ('2026-03-01', 11, 7, 'Ким Анна', 3, 4800.5, 1, 100, 0),
                ('2026-04-01', 11, 7, 'Ким Анна', 0, 0, 1, 200, 1);
            """
        )
    return path


@pytest.fixture
def con(warehouse: Path) -> Iterator[duckdb.DuckDBPyConnection]:
    settings = Settings(_env_file=None, warehouse_path=warehouse)
    with reading(settings) as connection:
        yield connection


def test_the_rows_behind_a_number_are_found(con: duckdb.DuckDBPyConnection) -> None:
    """By the measure's own date, without what the rules leave out, with people by name."""
    answer = explain(con, MART, "paid_amount", "period_month = '2026-03-01'")
    assert (answer.value, answer.total, answer.mart_rows, answer.agrees) == (100.0, 100.0, 1, True)
    assert [dict(zip(answer.names, row, strict=True)) for row in answer.behind] == [
        {
            "invoice_id": 1, "title": "Счёт 1", "outcome": "won", "manager_key": "Ким Анна",
            "client_key": "C5 ООО «Ромашка»", "deal_id": 70, "created_date": datetime(2026, 3, 2).date(),
            "due_date": datetime(2026, 3, 20).date(), "paid_date": datetime(2026, 3, 9).date(),
            "amount": Decimal("100.00"), "currency": "RUB", "amount_rc": Decimal("100.00"),
            "counted": Decimal("100.00"),
        }
    ]  # fmt: skip
    assert rule_of(answer) == (
        "сумма amount_rc по строкам «счета», где outcome = 'won'; дата — paid_date; "
        "без удалённых и исключённых правилами"
    )


def test_several_rows_of_the_mart_are_added_up(con: duckdb.DuckDBPyConnection) -> None:
    answer = explain(con, MART, "invoices_amount", "")
    assert (answer.value, answer.total, answer.mart_rows, len(answer.behind)) == (4800.5, 4800.5, 2, 3)
    assert [row[0] for row in answer.behind] == [3, 2, 1]  # the largest first


def test_today_is_that_of_the_last_build_in_the_reporting_zone(con: duckdb.DuckDBPyConnection) -> None:
    """22:30 UTC is the next day in Moscow, when an invoice due on the 9th is overdue."""
    assert explain(con, MART, "invoices_overdue", "period_month = '2026-04-01'").total == 1


def test_a_mart_that_counts_otherwise_is_found_out(warehouse: Path) -> None:
    """A check that cannot fail would prove nothing about 200 columns."""
    with duckdb.connect(str(warehouse)) as con:
        prepare(con, "Europe/Moscow")
        assert not any(differences(con, MART, column) for column in MARTS[MART].columns)
        con.execute("update core.fct_invoices set is_in_scope = true")
        assert [row[-2:] for row in differences(con, MART, "paid_amount")] == [(Decimal("100.00"), Decimal("1000.00"))]
        assert differences(con, MART, "invoices_created")
        assert not explain(con, MART, "paid_amount", "period_month = '2026-03-01'").agrees
        con.execute("delete from core.fct_invoices")  # no row at all behind a number
        assert len(differences(con, MART, "paid_amount")) == 2


def test_a_ratio_is_told_by_its_parts(con: duckdb.DuckDBPyConnection) -> None:
    """Shares of several rows do not add up: their parts do."""
    with duckdb.connect() as other:
        other.execute(
            "create schema marts; create table marts.task_efficiency as "
            "select * from (values (7, 1, 4, 0.25), (8, 1, 1, 1.0)) "
            "as t (manager_key, tasks_on_time, tasks_with_deadline_closed, on_time_rate)"
        )
        answer = explain(other, "task_efficiency", "on_time_rate", "")
        assert answer.parts == (("tasks_on_time", 2.0), ("tasks_with_deadline_closed", 5.0))
        assert answer.value == 0.4
        assert explain(other, "task_efficiency", "on_time_rate", "manager_key = 8").value == 1
        assert not differences(other, "task_efficiency", "on_time_rate")
        other.execute("update marts.task_efficiency set on_time_rate = 0.3 where manager_key = 7")
        assert len(differences(other, "task_efficiency", "on_time_rate")) == 1
        other.execute("update marts.task_efficiency set on_time_rate = null")
        assert len(differences(other, "task_efficiency", "on_time_rate")) == 2


def test_a_sum_that_one_row_makes_unknown_names_that_row(capsys: pytest.CaptureFixture[str]) -> None:
    """An empty gross profit sends people looking for the sale without a cost."""
    with duckdb.connect() as con:
        con.execute(
            """
            create schema core; create schema marts; create schema ops;
            create table ops.sync_runs as select timestamptz '2026-04-09 12:00:00+00' as as_of, now() as started_at;
            create table core.dim_manager (manager_key bigint, full_name text);
            create table core.dim_client (client_key text, name text);
            create table core.fct_deals as
                select deal_id, 'Сделка' as title, 'won' as outcome, 'WON' as stage_id, 7 as manager_key,
                    client_key, date '2026-03-01' as created_date, date '2026-03-02' as closed_date, 100 as amount,
                    'RUB' as currency, 100 as amount_rc, 100 as revenue_rc, gross_profit_rc, true as is_in_scope
                from (values (1, 'C1', 40), (2, 'C1', null), (3, 'C2', 30)) as t (deal_id, client_key, gross_profit_rc);
            create table marts.client_rating as
                select * from (values ('C1', null), ('C2', 30)) as t (client_key, gross_profit);
            """
        )
        prepare(con, "Europe/Moscow")
        answer = explain(con, "client_rating", "gross_profit", "client_key = 'C1'")
        assert (answer.value, answer.total, answer.unknown, answer.agrees) == (None, 0.0, 1, True)
        assert [row[-1] for row in answer.behind] == [40, None]
        both = explain(con, "client_rating", "gross_profit", "")
        assert (both.value, both.total, both.unknown, both.agrees) == (30.0, 30.0, 1, True)
        assert not differences(con, "client_rating", "gross_profit")
        print_answer(answer, limit=5)
        assert "У 1 из них значение неизвестно" in capsys.readouterr().out
        con.execute("update marts.client_rating set gross_profit = 40 where client_key = 'C1'")
        assert not explain(con, "client_rating", "gross_profit", "client_key = 'C1'").agrees
        assert not explain(con, "client_rating", "gross_profit", "").agrees
        assert len(differences(con, "client_rating", "gross_profit")) == 1


@pytest.mark.parametrize(
    ("mart", "column", "where", "told"),
    [
        ("invoices", "paid_amount", "", "Marts that can: sales_dynamics, "),
        (MART, "paid", "", "Columns that can: invoices_created, "),
        (MART, "paid_amount", "manger_key = 7", '"manger_key" not found'),
        (MART, "paid_amount", "manager_key = 8", "No row of invoice_summary fulfils"),
        (MART, "paid_amount", "manager_key =", "is no SQL on invoice_summary"),
        (MART, "paid_amount", "true); delete from marts.invoice_summary; select (1", "is no SQL on invoice_summary"),
        (MART, "paid_amount", "exists (from read_text('/etc/hostname'))", "Permission Error"),
        ("sales_dynamics", "revenue", "", "There are no marts yet"),
    ],
)
def test_a_wrong_question_is_answered_with_what_there_is(
    con: duckdb.DuckDBPyConnection, mart: str, column: str, where: str, told: str
) -> None:
    """Nobody knows the names of columns by heart."""
    with pytest.raises(WarehouseError) as error:
        explain(con, mart, column, where)
    assert told in str(error.value)
    assert len(str(error.value).splitlines()) == 1
    if mart == MART and column == "paid_amount":
        assert "Its columns: period_month, pipeline_key, manager_key" in str(error.value)


@pytest.mark.parametrize(
    ("rules", "mart", "column"),
    [
        (Rules(revenue_basis="payment"), "sales_dynamics", "revenue"),
        (Rules(department_as_of="event"), "department_performance", "deals_won"),
    ],
)
def test_what_a_rule_counts_from_other_rows_is_not_told_wrongly(
    con: duckdb.DuckDBPyConnection, rules: Rules, mart: str, column: str
) -> None:
    """Deals shown behind a sum of payments would be an explanation of another number."""
    with pytest.raises(WarehouseError, match="cannot be explained while"):
        explain(con, mart, column, "", rules)
    assert explain(con, MART, "paid_amount", "", rules).total == 300


def test_tables_of_another_version_are_told_of(warehouse: Path) -> None:
    """After an update the warehouse is that of the old models until the next build."""
    with duckdb.connect(str(warehouse)) as con:
        prepare(con, "Europe/Moscow")
        con.execute("alter table core.fct_invoices drop column paid_date")
        with pytest.raises(WarehouseError, match=r"another version: .*paid_date.* Run `b24 build` first") as error:
            explain(con, MART, "paid_amount", "")
    assert len(str(error.value).splitlines()) == 1


def test_a_comment_in_the_condition_hides_nothing(con: duckdb.DuckDBPyConnection) -> None:
    assert explain(con, MART, "paid_amount", "period_month = '2026-03-01' -- March").total == 100


def test_the_screen_and_the_file(
    con: duckdb.DuckDBPyConnection, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """Russian names on the screen; a file that Russian Excel opens with its columns apart."""
    answer = explain(con, MART, "invoices_created", "period_month = '2026-03-01'")
    print_answer(answer, limit=2)
    screen = capsys.readouterr().out
    for text in (
        "Счета по месяцам: Выставлено счетов",
        "За числом: строк 3, в сумме 3: сходится",
        "Ким Анна",
        "и ещё 1",
    ):
        assert text in screen, screen
    write_csv(answer, tmp_path / "rows.csv")
    lines = (tmp_path / "rows.csv").read_bytes().decode("utf-8-sig").splitlines()
    assert lines[0].startswith("invoice_id;title;outcome;")
    assert len(lines) == 4
    assert lines[3].endswith(";50,00;USD;4500,50;1")  # numbers for Russian Excel
    with pytest.raises(WarehouseError, match="cannot be written"):
        write_csv(answer, tmp_path / "none" / "rows.csv")


def test_every_name_of_the_table_is_there() -> None:
    """A column that was renamed would be told as unknown only when somebody asks."""
    dictionary = load_dictionary()
    assert set(NEEDED) <= MARTS.keys()
    for mart, explained in MARTS.items():
        columns = {column.name for column in dictionary[mart].columns}
        assert len(explained.columns) == len(set(explained.columns)), mart
        assert set(explained.columns) <= columns, mart
        for rows in explained.rows:
            assert rows.keys.keys() == set(dictionary[mart].primary_key), mart
            for name, measure in rows.measures.items():
                assert bool(measure.dated) == any("{dated}" in key for key in rows.keys.values()), (mart, name)
        for numerator, denominator in explained.ratios.values():
            names = set(re.findall(r"[a-z_]+", f"{numerator} {denominator}")) - {"nullif"}
            assert names <= columns, mart


def test_every_sum_of_an_explained_mart_can_be_explained() -> None:
    """What adds up and is missing here needs a reason, stated by its name."""
    without_a_road = {
        "funnel_stage_flow": {"stage_position"},  # describes the stage
        "project_performance": {"owner_key", "budget_plan", "budget_fact"},  # lines of a file, at its rates
        "service_quality": {"fcr_base", "fcr_tickets"},  # depend on the window of a repeated request
    }
    dictionary = load_dictionary()
    for mart in (
        "sales_dynamics",
        "manager_channel_performance",
        "lead_statistics",
        "loss_analysis",
        "invoice_summary",
        "funnel_stage_flow",
        "project_performance",
        "service_quality",
        "time_allocation",
    ):
        numbers = {
            column.name
            for column in dictionary[mart].columns
            if column.additive
            and column.type in ("bigint", "decimal(18,2)", "double")
            and column.name not in dictionary[mart].primary_key
        }
        assert numbers - set(MARTS[mart].columns) == without_a_road.get(mart, set()), mart


def test_numbers_are_written_in_russian() -> None:
    assert [show(value) for value in (None, 1234567.0, 1234.5)] == ["нет", "1\u00a0234\u00a0567", "1\u00a0234.50"]
