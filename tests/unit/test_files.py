"""Input files: what is accepted, how a wrong cell is named, and what a bad file leaves alone."""

import re
from collections.abc import Sequence
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import dlt
import duckdb
import openpyxl
import pyarrow as pa
import pytest

from demo.world import World
from dlt_sources.files import FileRead, InputFileError, csv_text, load_files, raw_columns, read_file
from dlt_sources.files.schema import FILES
from dlt_sources.files.workbook import MAX_MB
from warehouse.ledger import Ledger

AS_OF = datetime(2026, 6, 15, 9, 0, tzinfo=UTC)
NEXT_DAY = datetime(2026, 6, 16, 9, 0, tzinfo=UTC)
NOW = datetime.fromisoformat("2026-06-15T12:00:00+03:00")
PLAN = "period_month,scope,scope_key,metric,plan_value\n"
RULE = "priority,match_field,pattern,channel_key,name_ru,channel_group,is_paid\n"


def written(folder: Path, name: str, text: str, encoding: str = "utf-8") -> Path:
    path = folder / name
    path.write_bytes(text.encode(encoding))
    return path


def rows_of(folder: Path, name: str, text: str, encoding: str = "utf-8") -> list[dict[str, Any]]:
    path = written(folder, name, text, encoding)
    return read_file(path, path.stem, AS_OF)[0].to_pylist()


def refusal(folder: Path, name: str, text: str | bytes) -> InputFileError:
    path = folder / name
    path.write_bytes(text if isinstance(text, bytes) else text.encode())
    with pytest.raises(InputFileError) as refused:
        read_file(path, path.stem, AS_OF)
    return refused.value


class Warehouse:
    """A folder of files and the warehouse that they are loaded into."""

    def __init__(self, folder: Path) -> None:
        self.inputs = folder / "inputs"
        self.inputs.mkdir()
        self.path, self._working = folder / "w.duckdb", folder / "dlt"

    def load(self, as_of: datetime = AS_OF, **files: str | None) -> dict[str, FileRead]:
        """Write files (None: take away), load the folder."""
        for name, text in files.items():
            path = self.inputs / f"{name}.csv"
            if text is None:
                path.unlink()
            else:
                path.write_text(text, encoding="utf-8")
        return {read.file: read for read in load_files(self.inputs, self.path, self._working, as_of=as_of)}

    def rows(self, table: str, columns: str) -> list[tuple[Any, ...]]:
        with duckdb.connect(str(self.path), read_only=True) as warehouse:
            return warehouse.execute(f"select {columns} from raw_files.{table} order by all").fetchall()


@pytest.fixture
def warehouse(tmp_path: Path) -> Warehouse:
    return Warehouse(tmp_path)


# what is accepted


def test_a_file_saved_by_russian_excel_is_read(tmp_path: Path) -> None:
    """Semicolons, Windows-1251, a decimal comma, grouped digits and turned dates are what a Russian Excel writes."""
    rows = rows_of(
        tmp_path,
        "ad_spend.csv",
        "Spend_Date;Campaign_Name;Cost;Clicks;Currency;;\r\n2026-03-01;Весна;1250,50;7;RUB;;\r\n"
        "02.03.2026;;1\u00a0234\u00a0567,5;1 000;;;\r\n;;;;;;\r\n2026-03-04;;99;;;;\r\n",
        "cp1251",
    )
    assert [
        (row["spend_date"], row["campaign_name"], row["cost"], row["clicks"], row["row_number"]) for row in rows
    ] == [
        ("2026-03-01", "Весна", "1250.50", "7", "2"),
        ("2026-03-02", "", "1234567.5", "1000", "3"),
        ("2026-03-04", "", "99", None, "5"),
    ]


@pytest.mark.parametrize("encoding", ["utf-8", "utf-8-sig", "cp1251", "utf-16"])
@pytest.mark.parametrize("separator", [",", ";", "\t"])
def test_encodings_and_separators_give_the_same_rows(tmp_path: Path, encoding: str, separator: str) -> None:
    """A mark at the start of the file must not become part of the first column's name."""
    text = 'spend_date,campaign_name,cost\n2026-03-01,"Весна, лето; ""осень""\tзима",5.5\n'
    if separator != ",":
        text = text.replace(",", separator).replace(f"Весна{separator} лето", "Весна, лето")
    [row] = rows_of(tmp_path, "ad_spend.csv", text, encoding)
    assert (row["spend_date"], row["campaign_name"], row["cost"]) == (
        "2026-03-01", 'Весна, лето; "осень"\tзима', "5.5",
    )  # fmt: skip


def test_columns_that_nobody_knows_are_told(tmp_path: Path) -> None:
    """A misspelled optional column would otherwise be lost without a word."""
    path = written(tmp_path, "ad_spend.csv", "spend_date,cost,Click,notes\n2026-03-01,5,7,x\n")
    rows, note = read_file(path, "ad_spend", AS_OF)
    assert rows.num_rows == 1
    assert note == "columns that are not used: Click, notes"


GOOD = {
    "ad_spend": "spend_date,cost\n2026-03-01,5\n",
    "sales_plan": PLAN + "2026-03-01,company,all,revenue,5\n",
    "kpi_targets": "metric,scope,scope_key,target,direction,valid_from\nWin_Rate,company,,0.3,up,2026-01-01\n",
    "survey_answers": "answered_at,survey,score,client_key\n2026-03-01 14:30,nps,10,c15\n01.03.2026 9:05,csat,5,\n",
    "campaign_messages": "send_date,channel,campaign,sent,opened\n2026-03-01,sms,Акция,100,\n",
    "project_budget": "project_id,period_month,budget_plan\n12,2026-03-01,500000\n",
    "product_cost": "product_id,valid_from,cost\n7,2026-01-01,10.25\n",
    "support_sources": "source_type,entity_type_id,pipeline_key\nprocess,1036,4\nopenline,,\n",
    "holidays": "date,is_workday\n2026-01-01,false\n2026-11-07,ИСТИНА\n",
    "channel_map": RULE + r"5,utm_source,dzen\d*,Dzen,Дзен,social,true" + "\n",
    "client_merge_map": "old_key,new_key\nC5,p7\nP7,C9\n",
    "process_changes": "change_date,pipeline_key,description\n2026-03-01,,Новый скрипт\n",
    "funnel_alert_thresholds": "pipeline_key,stage_id,min_conversion\n0,NEW,0.25\n",
    "fx_rates_manual": "rate_date,currency,rate\n2026-03-01,rur,1\n2026-03-01,usd,92.505800\n",
    "web_sessions": "date,utm_source,visits\n2026-03-01,Yandex,100\n2026-03-01,,50\n",
}


def test_a_small_file_of_each_kind_is_accepted(warehouse: Warehouse) -> None:
    """A kind of file whose own example is refused cannot be used by anybody."""
    assert GOOD.keys() == FILES.keys()
    reads = warehouse.load(**GOOD)
    assert {name: read.error for name, read in reads.items() if read.error} == {}
    assert {read.table: read.rows for read in reads.values()} == {
        name: text.count("\n") - 1 for name, text in GOOD.items()
    }
    assert warehouse.rows("kpi_targets", "metric, scope_key, valid_from") == [("win_rate", "all", "2026-01-01")]
    assert warehouse.rows("survey_answers", "answered_at, score, client_key") == [
        ("2026-03-01T09:05:00", "5", ""), ("2026-03-01T14:30:00", "10", "C15"),
    ]  # fmt: skip
    assert warehouse.rows("campaign_messages", "sent, opened") == [("100", None)]
    assert warehouse.rows("holidays", "date, is_workday") == [("2026-01-01", "False"), ("2026-11-07", "True")]
    assert warehouse.rows("client_merge_map", "old_key, new_key") == [("C5", "P7"), ("P7", "C9")]
    assert warehouse.rows("fx_rates_manual", "currency, rate") == [("RUB", "1"), ("USD", "92.505800")]
    assert warehouse.rows("web_sessions", "utm_source, visits") == [("", "50"), ("yandex", "100")]


# one refusal per kind of mistake


@pytest.mark.parametrize(
    ("table", "text", "message"),
    [
        (
            "ad_spend",
            "spend_date,cost\n2026-03-01,5\nlast week,6\n",
            "ad_spend.csv, row 3, column spend_date: a date such as 2026-03-01 is expected, found 'last week'",
        ),
        (
            "ad_spend",
            "spend_date,cost\n2026-03-01,5\n\n31.02.2026,6\n",
            "ad_spend.csv, row 4, column spend_date: a date such as 2026-03-01 is expected, found '31.02.2026'",
        ),
        (
            "ad_spend",
            "spend_date,cost\n20260301,5\n",
            "ad_spend.csv, row 2, column spend_date: a date such as 2026-03-01 is expected, found '20260301'",
        ),
        (
            "ad_spend",
            "spend_date,cost\n2026-03-01,twelve\n",
            "ad_spend.csv, row 2, column cost: a number such as 1250.50 is expected, found 'twelve'",
        ),
        (
            "ad_spend",
            'spend_date,cost\n2026-03-01,"1250,50"\n',
            "ad_spend.csv, row 2, column cost: a number such as 1250.50 is expected, found '1250,50'",
        ),
        (
            "ad_spend",
            "spend_date,cost\n2026-03-01,1250,50\n",
            "ad_spend.csv, row 2: it has more cells than the 2 columns; a text or number that holds a comma must "
            "stand in quotes",
        ),
        (
            "ad_spend",
            "spend_date,cost,cost_type\n2026-03-01,5,rent\n",
            "ad_spend.csv, row 2, column cost_type: one of nothing, ad, other_marketing, sales is expected, "
            "found 'rent'",
        ),
        (
            "sales_plan",
            PLAN + "2026-03-15,company,all,revenue,5\n",
            "sales_plan.csv, row 2, column period_month: the first day of a month, such as 2026-03-01, is expected, "
            "found '2026-03-15'",
        ),
        (
            "sales_plan",
            PLAN + "2026-03-01,team,1,revenue,5\n",
            "sales_plan.csv, row 2, column scope: one of company, department, manager, pipeline is expected, "
            "found 'team'",
        ),
        (
            "survey_answers",
            "answered_at,survey,score\n2026-03-01,nps,0\n2026-03-01,csat,0\n",
            "survey_answers.csv, row 3, column score: 0 to 10 for nps, 1 to 5 for csat is expected, found '0'",
        ),
        (
            "channel_map",
            RULE + "5,utm_source,(dzen,dzen,Дзен,social,true\n",
            "channel_map.csv, row 2, column pattern: a regular expression is expected, found '(dzen'",
        ),
        (
            "client_merge_map",
            "old_key,new_key\nC1,C2\nC2,C3\nC3,C2\n",
            "client_merge_map.csv, row 2, column new_key: a client that does not lead back to C2 is expected, "
            "found 'C2'",
        ),
        (
            "funnel_alert_thresholds",
            "pipeline_key,stage_id,min_conversion\n0,NEW,30\n",
            "funnel_alert_thresholds.csv, row 2, column min_conversion: a share from 0 to 1, such as 0.25, "
            "is expected, found '30'",
        ),
        (
            "holidays",
            "date,is_workday\n2026-01-01,false\n2026-01-02,no\n01.01.2026,true\n",
            "holidays.csv, row 4, column date: date 2026-01-01 stands in row 2 already",
        ),
        (
            "fx_rates_manual",
            "rate_date,currency,rate\n2026-01-01,USD,90\n2026-01-01,usd,91\n",
            "fx_rates_manual.csv, row 3, column rate_date: rate_date 2026-01-01, currency USD stands in row 2 already",
        ),
    ],
)
def test_a_wrong_cell_is_named_by_file_row_and_column(tmp_path: Path, table: str, text: str, message: str) -> None:
    """A message without the place, or without what is expected, sends a person through thousands of rows."""
    assert str(refusal(tmp_path, f"{table}.csv", text)) == message


def test_a_refusal_keeps_its_place_apart_from_its_words(tmp_path: Path) -> None:
    """A table of what is wrong with the files is sorted and filtered by row and column."""
    refused = refusal(tmp_path, "ad_spend.csv", "spend_date,cost\n2026-03-01,5\n2026-03-02,x\n")
    assert (refused.row, refused.column) == (3, "cost")


def test_a_missing_column_is_named_with_those_expected(tmp_path: Path) -> None:
    """The first line decides; a person must see at once what the file should look like."""
    assert str(refusal(tmp_path, "holidays.csv", "day,is_workday\n2026-01-01,no\n")) == (
        "holidays.csv: column date is missing; expected are date, is_workday"
    )


def test_a_column_that_stands_there_twice_is_refused(tmp_path: Path) -> None:
    """Which of the two is meant, nobody can know."""
    refused = refusal(tmp_path, "ad_spend.csv", "spend_date,cost,Cost \n2026-03-01,5,6\n")
    assert str(refused) == "ad_spend.csv: column cost stands there twice"


@pytest.mark.parametrize("text", ["", "\n\n", ";;;\r\n", "\ufeff"])
def test_an_empty_file_is_refused(tmp_path: Path, text: str) -> None:
    """An export that failed leaves an empty file; taken at its word it would empty the table."""
    assert str(refusal(tmp_path, "ad_spend.csv", text)) == "ad_spend.csv: the file is empty"


def test_a_file_of_names_alone_is_an_empty_table(tmp_path: Path) -> None:
    """This is how a person says that there is nothing."""
    assert rows_of(tmp_path, "ad_spend.csv", "spend_date,cost\n") == []


@pytest.mark.parametrize(
    ("content", "message"),
    [
        (b"spend_date,cost,account\n2026-03-01,5,\x98\xff\n", "the text is neither UTF-8 nor Windows-1251"),
        ("spend_date,cost\n".encode("utf-16-le"), "this is no text"),
        (b"PK\x03\x04\x14\x00\x06\x00", "this is an Excel workbook, not CSV; save it as CSV"),
        (b"spend_date,cost\n" + b"2026-03-01,5\n" * 99_999 + b"2026-03-01,5\x98\n", "neither UTF-8 nor Windows-1251"),
    ],
)
def test_what_is_no_text_in_a_known_encoding_is_refused(tmp_path: Path, content: bytes, message: str) -> None:
    """Bytes read in the wrong encoding become names that no campaign has."""
    assert message in str(refusal(tmp_path, "ad_spend.csv", content))


@pytest.mark.parametrize("line", ['2026-03-01,5,"Spring', "2026-03-01,5" + ",x" * 40])
def test_a_text_that_is_no_table_is_refused(tmp_path: Path, line: str) -> None:
    """A quote that is never closed swallows the rest of the file."""
    text = f"spend_date,cost,campaign_name\n{line}\n2026-03-02,6,b\n"
    assert str(refusal(tmp_path, "ad_spend.csv", text)).startswith("ad_spend.csv: not a CSV table: ")


def workbook(path: Path, *rows: Sequence[object]) -> Path:
    book = openpyxl.Workbook()
    for row in rows:
        book.active.append(row)
    book.create_sheet("notes of a person").append(["of no", "interest"])
    book.save(path)
    return path


def test_a_workbook_is_read_as_it_looks(tmp_path: Path) -> None:
    """Excel keeps days as days and numbers as numbers; a person types some of them as texts."""
    path = workbook(
        tmp_path / "ad_spend.xlsx",
        ["Расходы за март"],
        [],
        ["spend_date", "cost", "impressions", "campaign_name", None],
        [datetime(2026, 3, 1), 1250.5, 100, "весна"],
        ["02.03.2026", "12 000,25", None, " лето "],
        [None, None, None, None],
    )
    rows, note = read_file(path, "ad_spend", AS_OF)
    picked = rows.select(["spend_date", "cost", "impressions", "campaign_name", "row_number"]).to_pylist()
    assert [tuple(row.values()) for row in picked] == [
        ("2026-03-01", "1250.5", "100", "весна", "4"),
        ("2026-03-02", "12000.25", None, "лето", "5"),
    ]
    assert note is None


@pytest.mark.parametrize(
    ("rows", "message"),
    [
        ([["spend_date", "cost"], [datetime(2026, 3, 1), "five"]], "ad_spend.xlsx, row 2, column cost: a number"),
        ([["spend_date", "cost"], [46082, 5]], "ad_spend.xlsx, row 2, column spend_date: a date"),
        ([["spend_date", "price"]], "ad_spend.xlsx: column cost is missing"),
        ([["spend_date", "cost"], [datetime(2026, 3, 1), 5, "x"]], "row 2: it has more cells than the 2 columns"),
        ([], "ad_spend.xlsx: the file is empty"),
    ],
)
def test_a_workbook_that_does_not_fit_is_refused_with_the_place(
    tmp_path: Path, rows: list[list[object]], message: str
) -> None:
    """The same words as for a text."""
    with pytest.raises(InputFileError, match=re.escape(message)):
        read_file(workbook(tmp_path / "ad_spend.xlsx", *rows), "ad_spend", AS_OF)


def test_what_only_looks_like_a_workbook_is_refused(tmp_path: Path) -> None:
    """A workbook with a password is no zip archive; one of gigabytes would fill the memory."""
    path = tmp_path / "ad_spend.xlsx"
    for content in (b"\xd0\xcf\x11\xe0" * 100, b"PK\x03\x04", b""):
        path.write_bytes(content)
        with pytest.raises(
            InputFileError, match="cannot be read as an Excel workbook; save it anew, without a password"
        ):
            read_file(path, "ad_spend", AS_OF)
    with path.open("wb") as file:
        file.truncate(MAX_MB * 2**20 + 1)
    with pytest.raises(InputFileError, match="of workbooks at most 10 MB are read"):
        read_file(path, "ad_spend", AS_OF)


def test_a_file_above_the_limit_is_refused_with_the_limit(tmp_path: Path) -> None:
    """A log put into the folder by mistake must not fill the memory."""
    path = tmp_path / "ad_spend.csv"
    with path.open("wb") as file:
        file.truncate(csv_text.MAX_MB * 2**20 + 1)
    with pytest.raises(InputFileError, match=r"ad_spend.csv: 100 MB are too much, at most 100 MB are read"):
        read_file(path, "ad_spend", AS_OF)


def test_chunks_join_without_a_seam(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A large file is read in pieces; rows keep their numbers and a repeated key is seen across pieces."""
    monkeypatch.setattr(csv_text, "CHUNK_ROWS", 2)
    lines = [f"2026-01-0{day},{day},RUB" for day in range(1, 8)]
    text = "rate_date,rate,currency\n" + "\n".join(lines)
    rows = rows_of(tmp_path, "fx_rates_manual.csv", text)
    assert [(row["row_number"], row["rate"]) for row in rows] == [(str(day + 1), str(day)) for day in range(1, 8)]
    assert "row 9, column rate_date" in str(refusal(tmp_path, "fx_rates_manual.csv", f"{text}\n2026-01-02,9,RUB\n"))


# what the stand-in company writes


def test_the_files_of_the_stand_in_company_are_accepted(warehouse: Warehouse) -> None:
    """They are the examples that people copy; the same seed writes the same files."""
    for folder in (warehouse.inputs, warehouse.inputs / "again"):
        World.generate(5, 60, NOW).write_inputs(folder)
    again = warehouse.inputs / "again"
    assert {path.name: path.read_bytes() for path in again.iterdir()} == {
        path.name: path.read_bytes() for path in warehouse.inputs.glob("*.csv")
    }
    reads = warehouse.load()
    assert {read.table for read in reads.values()} == set(FILES)
    assert [read.warning for read in reads.values() if read.warning] == []
    assert {read.table for read in reads.values() if not read.rows} == {"client_merge_map"}


# reports of cabinets


YANDEX = (
    "Отчёт по кампаниям\nПериод: 01.05.2026 - 31.05.2026\n\n"
    "Дата;№ Кампании;Кампания;Группа;Показы;Клики;CTR (%);Расход (руб.);Ср. цена клика (руб.)\n"
    "01.05.2026;70110021;Бренд Москва;Группа 1;1 200;48;4,00;2 345,67;48,87\n"
    "01.05.2026;70110021;Бренд Москва;Группа 2;300;-;0,00;0,00;-\n"
    "Итого;;;;1 500;48;3,20;2 345,67;48,87\n"
)
VK = (
    "Дата,Название кампании,ID кампании,Показы,Клики,\"Потрачено всего, ₽\",CTR\n"
    '02.05.2026,VK лид-формы,5501,10000,120,"1 500,25","1,2"\n'
    '"Всего","","",10000,120,"1 500,25",""\n'
)  # fmt: skip
GOOGLE = (
    "Отчет о кампаниях\n1 мая 2026 г. – 31 мая 2026 г.\n"
    "День\tКампания\tИдентификатор кампании\tКод валюты\tСтоимость\tПоказы\tКлики\n"
    "2026-05-03\tEquipment search\t1899001\tUSD\t12,34\t1\u00a0000\t10\n"
    "4 мая 2026 г.\tEquipment search\t1899001\tUSD\t0,00\t --\t --\n"
    "Итого: аккаунт\t\t\t\t12,34\t1\u00a0000\t10\n"
)


@pytest.mark.parametrize(
    ("text", "encoding", "expected"),
    [
        (
            YANDEX,
            "cp1251",
            [
                ("2026-05-01", "yandex_direct", "70110021", "Бренд Москва", "1200", "48", "2345.67", "RUB", "5"),
                ("2026-05-01", "yandex_direct", "70110021", "Бренд Москва", "300", "0", "0.00", "RUB", "6"),
            ],
        ),
        (VK, "utf-8", [("2026-05-02", "vk_ads", "5501", "VK лид-формы", "10000", "120", "1500.25", "RUB", "2")]),
        (
            GOOGLE,
            "utf-16",
            [
                ("2026-05-03", "google_ads", "1899001", "Equipment search", "1000", "10", "12.34", "USD", "4"),
                ("2026-05-04", "google_ads", "1899001", "Equipment search", "0", "0", "0.00", "USD", "5"),
            ],
        ),
    ],
)
def test_a_report_of_a_cabinet_is_read_as_it_is(
    tmp_path: Path, text: str, encoding: str, expected: list[tuple[str, ...]]
) -> None:
    """Title, totals, units in headers, gaps in numbers: what a person would have to mend by hand each month."""
    rows, note = read_file(written(tmp_path, "ad_spend.csv", text, encoding), "ad_spend", AS_OF)
    found = [
        tuple(row[name] for name in (
            "spend_date", "source_system", "campaign_id", "campaign_name", "impressions", "clicks", "cost", "currency",
            "row_number",
        ))
        for row in rows.to_pylist()
    ]  # fmt: skip
    assert found == expected
    assert {row["channel_key"] for row in rows.to_pylist()} == {expected[0][1]}
    assert note is not None
    assert note.startswith("read as a report of")


def test_google_ads_is_told_from_yandex_by_its_code_of_currency(tmp_path: Path) -> None:
    """Both may call the cost Расход."""
    text = GOOGLE.replace("Стоимость", "Расходы")
    [first, *_] = rows_of(tmp_path, "ad_spend.csv", text)
    assert (first["source_system"], first["cost"]) == ("google_ads", "12.34")


def test_a_report_without_days_is_refused(tmp_path: Path) -> None:
    """Costs of a whole month on no day at all cannot be shown by months."""
    text = "Кампания;Показы;Клики;Расход (руб.)\nБренд;1;1;5,00\n"
    assert "a report of Yandex Direct without a day; build it by days" in str(refusal(tmp_path, "ad_spend.csv", text))


def test_costs_without_vat_are_told(tmp_path: Path) -> None:
    """The other spend is with VAT; a sum of both is neither."""
    path = written(tmp_path, "ad_spend.csv", YANDEX.replace("Расход (руб.)", "Расход (руб., без НДС)"))
    assert "without VAT" in (read_file(path, "ad_spend", AS_OF)[1] or "")


def test_several_files_of_spend_add_up_but_not_twice_the_same(warehouse: Warehouse) -> None:
    """Monthly reports lie side by side, under any name; one that is put there twice must not double the spend."""
    reads = warehouse.load(
        ad_spend="spend_date,cost\n2026-05-01,7\n", **{"Report 05": YANDEX, "ad_spend_vk": VK, "Report 05 (1)": YANDEX}
    )
    assert {name: (read.table, read.rows) for name, read in reads.items()} == {
        "ad_spend.csv": ("ad_spend", 1),
        "ad_spend_vk.csv": ("ad_spend", 1),
        "Report 05 (1).csv": ("ad_spend", 2),
        "Report 05.csv": ("ad_spend", 0),
    }
    assert reads["Report 05.csv"].error == (
        "Report 05.csv: the spend of 2026-05-01, yandex_direct, campaign Бренд Москва stands in Report 05 (1).csv too"
    )
    assert len(warehouse.rows("ad_spend", "cost")) == 4
    # one that comes later gives way to those that are there, whatever its name
    reads = warehouse.load(**{"A copy": YANDEX, "Report 05": None})
    assert reads["A copy.csv"].error
    assert reads["Report 05 (1).csv"].rows == 2


# what a bad file leaves alone


def test_tables_exist_without_files_and_follow_the_files(warehouse: Warehouse) -> None:
    """Staging reads the tables whether or not a company has files; a row removed from a file leaves the warehouse."""
    assert warehouse.load() == {}
    assert [warehouse.rows(table, "*") for table in FILES] == [[]] * len(FILES)
    warehouse.load(ad_spend="spend_date,cost\n2026-03-01,5\n2026-03-02,6\n")
    assert warehouse.rows("ad_spend", "cost") == [("5",), ("6",)]
    warehouse.load(ad_spend="spend_date,cost\n2026-03-02,6\n")
    assert warehouse.rows("ad_spend", "cost") == [("6",)]
    warehouse.load(ad_spend=None)
    assert warehouse.rows("ad_spend", "cost") == []


def test_a_folder_that_is_not_there_is_no_mistake(tmp_path: Path) -> None:
    """INPUTS_PATH has a default that few companies create."""
    assert load_files(tmp_path / "none", tmp_path / "w.duckdb", tmp_path / "dlt", as_of=AS_OF) == []


def test_a_folder_that_cannot_be_read_takes_no_rows_away(warehouse: Warehouse, monkeypatch: pytest.MonkeyPatch) -> None:
    """A disk that is not mounted for an hour must not empty every plan."""
    warehouse.load(ad_spend="spend_date,cost\n2026-03-01,5\n")

    def closed(_: Path) -> Any:
        raise PermissionError(13, "Permission denied")

    monkeypatch.setattr(Path, "iterdir", closed)
    [read] = warehouse.load().values()
    assert "the folder cannot be read (Permission denied)" in (read.error or "")
    assert warehouse.rows("ad_spend", "cost") == [("5",)]


def test_a_bad_file_keeps_its_last_good_rows_and_stops_no_other(warehouse: Warehouse) -> None:
    """A typo in the plan must neither stop the reports nor become a month without a plan."""
    good = PLAN + "2026-03-01,company,all,revenue,5\n2026-04-01,company,all,revenue,6\n"
    warehouse.load(sales_plan=good, ad_spend="spend_date,cost\n2026-03-01,5\n")
    reads = warehouse.load(NEXT_DAY, sales_plan=good.replace(",6", ",six"), ad_spend="spend_date,cost\n2026-03-01,9\n")
    assert reads["sales_plan.csv"] == FileRead(
        "sales_plan.csv",
        "sales_plan",
        rows=2,
        error="sales_plan.csv, row 3, column plan_value: a number such as 1250.50 is expected, found 'six'",
        row=3,
        column="plan_value",
    )
    assert (reads["sales_plan.csv"].warning or "").endswith(
        "found 'six'. The file is left out: the 2 rows of its last good version stay."
    )
    assert warehouse.rows("sales_plan", "plan_value, _loaded_at") == [
        ("5", AS_OF.isoformat()), ("6", AS_OF.isoformat()),
    ]  # fmt: skip
    assert warehouse.rows("ad_spend", "cost, _loaded_at") == [("9", NEXT_DAY.isoformat())]
    reads = warehouse.load(NEXT_DAY, sales_plan=good.replace(",6", ",7"))
    assert reads["sales_plan.csv"].warning is None
    assert warehouse.rows("sales_plan", "plan_value") == [("5",), ("7",)]


def test_a_bad_file_from_the_first_day_leaves_an_empty_table(warehouse: Warehouse) -> None:
    """Nothing good is known of it yet, and the models need their table."""
    reads = warehouse.load(holidays="date,is_workday\n2026-01-01,perhaps\n")
    assert (reads["holidays.csv"].warning or "").endswith("The file is left out: none of its rows is loaded.")
    assert warehouse.rows("holidays", "*") == []


def test_names_that_are_no_input_files_are_told(warehouse: Warehouse) -> None:
    """A misspelled name would otherwise be a file that is never read; workbooks, too."""
    (warehouse.inputs / "sales_plan.xls").write_bytes(b"PK\x03\x04")
    (warehouse.inputs / "~$sales_plan.xlsx").write_bytes(b"")
    (warehouse.inputs / "notes.txt").write_text("of a person")
    reads = warehouse.load(salesplan=PLAN, sales_plan=PLAN + "2026-03-01,company,all,revenue,5\n")
    assert set(reads) == {"sales_plan.csv", "sales_plan.xls", "salesplan.csv"}
    assert (reads["salesplan.csv"].error or "").startswith("salesplan.csv: no input file has this name")
    assert reads["sales_plan.xls"].error == (
        "sales_plan.xls: of workbooks only .xlsx is read; save it as one, or as CSV"
    )
    assert reads["sales_plan.csv"].error is None
    assert warehouse.rows("sales_plan", "plan_value") == [("5",)]


def test_lines_without_a_campaign_may_stand_in_several_files(warehouse: Warehouse) -> None:
    """Two costs of one day that name no campaign are two costs."""
    line = "spend_date,cost\n2026-05-01,7\n"
    reads = warehouse.load(ad_spend_rent=line, ad_spend_wages=line)
    assert [read.error for read in reads.values()] == [None, None]


def test_a_second_file_of_one_table_is_refused(warehouse: Warehouse) -> None:
    """Two plans would be mixed line by line."""
    (warehouse.inputs / "SALES_PLAN.CSV").write_text(PLAN + "2026-03-01,company,all,revenue,6\n")
    reads = warehouse.load(sales_plan=PLAN + "2026-03-01,company,all,revenue,5\n")
    assert reads["sales_plan.csv"].error == "sales_plan.csv: SALES_PLAN.CSV is sales_plan already"
    assert warehouse.rows("sales_plan", "plan_value") == [("6",)]


def test_a_table_of_an_older_version_keeps_its_rows(warehouse: Warehouse, tmp_path: Path) -> None:
    """Files were told apart by nothing before; a bad one right after an update must not empty its table."""
    older = [name for name in raw_columns("ad_spend") if name != "file_name"]
    row = dict.fromkeys(older, "") | {"spend_date": "2026-03-01", "cost": "5"}
    rows = pa.table({name: [value] for name, value in row.items()})
    destination = dlt.destinations.duckdb(str(warehouse.path))
    pipeline = dlt.pipeline(
        "files", pipelines_dir=str(tmp_path / "dlt"), destination=destination, dataset_name="raw_files"
    )
    pipeline.run(rows, table_name="ad_spend")
    reads = warehouse.load(ad_spend="spend_date,cost\n2026-03-01,x\n")
    assert reads["ad_spend.csv"].rows == 1
    assert warehouse.rows("ad_spend", "cost, file_name") == [("5", "ad_spend.csv")]


def test_the_ledger_holds_a_row_per_file_of_the_latest_run(warehouse: Warehouse) -> None:
    """What is wrong with the files is shown beside the figures, and goes when it is mended."""
    ledger = Ledger(warehouse.path)
    for text in ("spend_date,cost\n2026-03-01,x\n", "spend_date,cost,who\n2026-03-01,5,me\n"):
        reads = warehouse.load(ad_spend=text)
        ledger.save_input_files("run", list(reads.values()), AS_OF)
        with duckdb.connect(str(warehouse.path), read_only=True) as connection:
            [row] = connection.execute(
                "select file_name, table_name, is_accepted, rows, error, row_number, column_name, note, "
                "read_at = ? from ops.input_files",
                [AS_OF],
            ).fetchall()
        if "x" in text:
            assert row == ("ad_spend.csv", "ad_spend", False, 0, reads["ad_spend.csv"].error, 2, "cost", None, True)
        else:
            unused = "columns that are not used: who"
            assert row == ("ad_spend.csv", "ad_spend", True, 1, None, None, None, unused, True)


def test_raw_columns_are_those_of_the_file_and_their_origin() -> None:
    """The models read them by these names."""
    assert raw_columns("holidays") == ("date", "is_workday", "row_number", "file_name", "_loaded_at")
