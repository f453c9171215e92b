"""Input files: what is accepted, and how a wrong cell is named."""

from datetime import UTC, datetime
from pathlib import Path

import pytest

from dlt_sources.files import InputFileError, load_files, read_rows

AS_OF = datetime(2026, 6, 15, 9, 0, tzinfo=UTC)


def written(folder: Path, name: str, text: str, encoding: str = "utf-8") -> Path:
    path = folder / name
    path.write_bytes(text.encode(encoding))
    return path


def test_a_file_saved_by_russian_excel_is_read(tmp_path: Path) -> None:
    """Semicolons, Windows-1251 and a decimal comma are what a Russian Excel writes."""
    path = written(
        tmp_path,
        "ad_spend.csv",
        "Spend_Date;Campaign_Name;Cost;Clicks;Currency\r\n2026-03-01;Весна;1250,50;7;RUB\r\n2026-03-02;;99;;\r\n",
        "cp1251",
    )
    rows = read_rows(path, "ad_spend", AS_OF).to_pylist()
    assert [
        (row["spend_date"], row["campaign_name"], row["cost"], row["clicks"], row["row_number"]) for row in rows
    ] == [
        ("2026-03-01", "Весна", "1250.50", "7", "2"),
        ("2026-03-02", "", "99", None, "3"),
    ]


@pytest.mark.parametrize(
    ("table", "text", "message"),
    [
        ("ad_spend", "spend_date,cost\n2026-03-01,5\n01.03.2026,6\n", "ad_spend.csv, row 3, column spend_date"),
        ("ad_spend", "spend_date,cost\n2026-03-01,12 000\n", "ad_spend.csv, row 2, column cost"),
        ("ad_spend", "spend_date\n2026-03-01\n", "ad_spend.csv: column cost is missing"),
        ("ad_spend", "", "ad_spend.csv: not a CSV table"),
        ("ad_spend", "spend_date,cost,Cost \n2026-03-01,5,6\n", "ad_spend.csv: column cost stands there twice"),
        ("ad_spend", "spend_date,cost\n2026-03-01,5\n\nlast week,6\n", "ad_spend.csv, row 4, column spend_date"),
        (
            "sales_plan",
            "period_month,scope,scope_key,metric,plan_value\n2026-03-15,company,all,revenue,5\n",
            "sales_plan.csv, row 2, column period_month",
        ),
        (
            "sales_plan",
            "period_month,scope,scope_key,metric,plan_value\n2026-03-01,team,1,revenue,5\n",
            "sales_plan.csv, row 2, column scope",
        ),
    ],
)
def test_a_wrong_cell_is_named_by_file_row_and_column(tmp_path: Path, table: str, text: str, message: str) -> None:
    """A message without the place sends a person through thousands of rows."""
    with pytest.raises(InputFileError, match=message):
        read_rows(written(tmp_path, f"{table}.csv", text), table, AS_OF)


def test_tables_exist_without_files_and_follow_the_files(tmp_path: Path) -> None:
    """Staging reads the tables whether or not a company has files; a row removed from a file leaves the warehouse."""
    warehouse, working = tmp_path / "w.duckdb", tmp_path / "dlt"
    assert load_files(tmp_path, warehouse, working, as_of=AS_OF) == {"ad_spend": 0, "sales_plan": 0}
    written(tmp_path, "ad_spend.csv", "spend_date,cost\n2026-03-01,5\n2026-03-02,6\n")
    assert load_files(tmp_path, warehouse, working, as_of=AS_OF) == {"ad_spend": 2, "sales_plan": 0}
    written(tmp_path, "ad_spend.csv", "spend_date,cost\n2026-03-02,6\n")
    assert load_files(tmp_path, warehouse, working, as_of=AS_OF) == {"ad_spend": 1, "sales_plan": 0}
