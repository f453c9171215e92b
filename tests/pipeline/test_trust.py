"""What a person asks to believe a number: the rows behind it, and the portal's own figure."""

import json
from decimal import Decimal

import duckdb
import pytest
from pipeline.rehearsal import TwoDays

from orchestration.explain import differences, prepare
from orchestration.explanations import MARTS as EXPLAINED


@pytest.mark.parametrize("mart", EXPLAINED)
def test_every_number_is_the_sum_of_the_rows_that_explain_it(two_days: TwoDays, mart: str) -> None:
    """`b24 explain` shows rows that the mart did not count, or the mart counted rows that no rule names."""
    with duckdb.connect(str(two_days.rehearsal.folder / "company.duckdb"), read_only=True) as con:
        prepare(con, "Europe/Moscow")
        assert con.execute(f"select count(*) from marts.{mart}").fetchall()[0][0]
        found = {column: differences(con, mart, column)[:3] for column in EXPLAINED[mart].columns}
    assert {column: rows for column, rows in found.items() if rows} == {}


def test_the_portal_itself_tells_the_same_figures(two_days: TwoDays) -> None:
    """Counts and sums of the portal's own lists; what differs from the marts must have a reason."""
    rehearsed = two_days.rehearsal
    rehearsed.b24("reconcile", "--month", "2026-05", "--json", "figures.json")
    lines = json.loads((rehearsed.folder / "figures.json").read_text(encoding="utf-8"))
    deals = rehearsed.portal.truth()["deals"]
    won = [row for row in deals if row["STAGE_SEMANTIC_ID"] == "S" and row["CLOSEDATE"].startswith("2026-05")]
    listed = {str(row["id"]) for row in rehearsed.portal.truth()["pipelines"]}
    told = {kind: [line for line in lines if line["what"].startswith(kind)] for kind in ("Сделки", "Выиграно", "Сумма")}
    assert sum(int(line["portal"]) for line in told["Сделки"]) == sum(row["CATEGORY_ID"] in listed for row in deals)
    assert sum(int(line["portal"]) for line in told["Выиграно"]) == sum(row["CATEGORY_ID"] in listed for row in won) > 0
    assert any(Decimal(line["difference"]) for line in told["Сумма"])
    assert not [line for line in lines if Decimal(line["unexplained"])]
