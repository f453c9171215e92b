"""What a person reads when something is wrong: one message with the next step, an exit code, no traceback."""

import json
import os
from collections.abc import Callable

import psycopg
import pytest
from pipeline.rehearsal import TwoDays

from demo.server.running import PortalProcess
from orchestration.cli import main
from warehouse.lock import WarehouseLock
from warehouse.settings import Settings

Said = Callable[..., str]
pytestmark = pytest.mark.filterwarnings("default")  # the command runs in this process, with its libraries' own


@pytest.fixture
def said(two_days: TwoDays, monkeypatch: pytest.MonkeyPatch, capfd: pytest.CaptureFixture[str]) -> Said:
    """The one message of a command that must fail; in this process, since importing Dagster takes long."""

    def run(*arguments: str, **environment: str) -> str:
        for name, value in (two_days.rehearsal.environment | environment).items():
            monkeypatch.setenv(name, value)
        monkeypatch.delenv("DAGSTER_HOME", raising=False)
        monkeypatch.chdir(two_days.rehearsal.folder)
        monkeypatch.setattr("sys.argv", ["b24", *arguments])
        with pytest.raises(SystemExit) as ending:
            main()
        os.environ.pop("DAGSTER_HOME", None)
        out, err = capfd.readouterr()
        assert ending.value.code == 1
        assert "Traceback" not in out + err
        assert out.count("Error:") == 1
        return " ".join(out.partition("Error:")[2].split())

    return run


@pytest.mark.parametrize(
    ("environment", "message"),
    [
        ({"BITRIX24_WEBHOOK_URL": ""}, "BITRIX24_WEBHOOK_URL is not set"),
        ({"BITRIX24_WEBHOOK_URL": "http://acme.example/rest/1/abcdefgh12/"}, "must use https"),
        ({"BITRIX24_WEBHOOK_URL": "https://acme.example/"}, "is not complete"),
        ({"REPORTING_TZ": "Moscow"}, "REPORTING_TZ must be an IANA time zone"),
        ({"WAREHOUSE_PATH": "/proc/company.duckdb"}, "Make its folder writable"),
    ],
)
def test_a_wrong_setting_is_named(said: Said, environment: dict[str, str], message: str) -> None:
    """A setting that is found wrong deep inside a run ends in a message about something else."""
    assert message in said("sync", **environment)


def test_a_second_sync_names_the_first(two_days: TwoDays, said: Said) -> None:
    """Two writers of one DuckDB file; the second must not wait without a word."""
    with WarehouseLock(
        Settings(warehouse_path=two_days.rehearsal.folder / "company.duckdb").warehouse_path, "b24 sync"
    ):
        assert f"in use by `b24 sync`, process {os.getpid()}" in said("sync")


def test_another_portal_is_refused(said: Said) -> None:
    """Ids of two portals in one table would give numbers of neither."""
    with PortalProcess.start(seed=1, deals=10) as other:
        assert "Set WAREHOUSE_PATH to another file" in said("sync", BITRIX24_WEBHOOK_URL=other.webhook_url)


def test_an_earlier_as_of_is_refused(said: Said) -> None:
    """State columns cannot be rolled back: the marts would mix two moments."""
    assert "cannot be rolled back" in said("sync", "--as-of", "2026-06-01T00:00:00")


@pytest.mark.long  # two syncs; unit tests tell each message
def test_a_bad_input_file_is_named_and_the_reports_go_on(two_days: TwoDays) -> None:
    """A typo in a plan must neither stop the CRM's figures nor become a month without a plan."""
    rehearsed = two_days.rehearsal
    plan = rehearsed.folder / "inputs" / "sales_plan.csv"
    good = plan.read_bytes()
    query = "select * from marts.fct_sales_plan order by period_month, scope, scope_key, metric"
    with psycopg.connect(rehearsed.url()) as reader:
        before = reader.execute(query).fetchall()
        [(run_before,)] = reader.execute("select run_id from marts.publish_info").fetchall()
    rows = len(rehearsed.inputs("sales_plan"))
    plan.write_bytes(good.replace(b"company", b"compony", 1))
    try:
        done = rehearsed.b24("sync", "--json", "bad_file.json")
    finally:
        plan.write_bytes(good)
    [warning] = [
        text for text in json.loads((rehearsed.folder / "bad_file.json").read_text())["warnings"] if "plan" in text
    ]
    assert warning == (
        "sales_plan.csv, row 2, column scope: one of company, department, manager, pipeline is expected, found "
        f"'compony'. The file is left out: the {rows:,} rows of its last good version stay."
    )
    assert "sales_plan.csv, row 2, column scope" in done.stdout
    with psycopg.connect(rehearsed.url()) as reader:
        assert reader.execute(query).fetchall() == before
        assert reader.execute("select run_id from marts.publish_info").fetchall() != [(run_before,)]


def test_a_reader_reads_and_cannot_write(two_days: TwoDays) -> None:
    """A BI tool's account that can write is an accident waiting."""
    with psycopg.connect(two_days.rehearsal.url(), autocommit=True) as reader:
        for mart in two_days.second.marts:
            assert reader.execute(f"select count(*) from marts.{mart}").fetchone() != (0,)
        with pytest.raises(psycopg.errors.ReadOnlySqlTransaction):
            reader.execute("delete from marts.channel_roi")
        reader.execute("set default_transaction_read_only = off")
        with pytest.raises(psycopg.errors.InsufficientPrivilege):
            reader.execute("delete from marts.channel_roi")
