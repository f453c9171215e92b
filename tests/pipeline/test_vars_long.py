"""Other values of dbt vars: one loaded warehouse, its models rebuilt by each set of them, every cell compared."""

import json
import os
import shutil
import subprocess
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from datetime import UTC, datetime
from decimal import Decimal
from pathlib import Path
from typing import Any

import duckdb
import pytest
from pipeline.calculator import Settings
from pipeline.compare import PRIMARY_KEYS, compare
from pipeline.rehearsal import Rehearsal, rehearsal
from pipeline.test_marts import MARTS

from orchestration.dbt import BUILD, DBT

pytestmark = [pytest.mark.long, pytest.mark.timeout(3600)]

PROJECT = Path(__file__).parents[2] / "dbt_project"


@dataclass(frozen=True)
class Case:
    """A set of vars, and what the calculator is told of them."""

    settings: Settings
    reporting_tz: str
    reporting_currency: str
    others: Mapping[str, Any] = field(default_factory=dict)

    @property
    def dbt_vars(self) -> dict[str, Any]:
        """Those that differ from the defaults, as `--vars` takes them."""
        defaults, told = vars(Settings()), vars(self.settings)
        return {
            "reporting_tz": self.reporting_tz,
            "reporting_currency": self.reporting_currency,
            **{name: _plain(value) for name, value in told.items() if value != defaults[name]},
        }


def _plain(value: Any) -> Any:
    return float(value) if isinstance(value, Decimal) else list(value) if isinstance(value, tuple) else value


CASES = {
    # west of UTC with summer time; another currency; requests instead of leads, contacts instead of companies
    "payments of people, in New York": Case(
        Settings(
            revenue_basis="payment",
            lead_mode="requests",
            client_priority="contact_first",
            qualified_lead_status_ids=("IN_PROCESS", "UC_QUAL01"),
            attribution_window_days=30,
            cpa_action="lead_qualified",
            response_clock="working",
            abc_method="by_count",
        ),
        "America/New_York",
        "USD",
    ),
    # east of UTC with summer time
    "invoices of holdings, in Berlin": Case(
        Settings(
            revenue_basis="invoice_paid",
            rollup_contact_to_company=True,
            default_cost_rate=Decimal("0.6"),
            abc_basis="gross_profit",
            loss_reason_field="UF_CRM_1717100010",
            first_response_requires_connect=True,
            cpa_action="deal_won",
        ),
        "Europe/Berlin",
        "EUR",
    ),
    # west of UTC without summer time
    "dates of cards, and what is left out": Case(
        Settings(
            close_date_source="closedate",
            excluded_category_ids=(5, 17),
            excluded_user_ids=(34, 6),
            test_title_regex="^тест|инвентаризация",
            attribution_window_days=7,
        ),
        "America/Sao_Paulo",
        "KZT",
    ),
}


@pytest.fixture(scope="module")
def loaded() -> Iterator[tuple[Rehearsal, datetime]]:
    """A portal read once, and the moment called now."""
    with rehearsal(seed=23, deals=400) as rehearsed:
        yield rehearsed, datetime.fromisoformat(rehearsed.sync()["as_of"])


def rebuilt(warehouse: Path, folder: Path, dbt_vars: Mapping[str, Any]) -> dict[str, list[dict[str, Any]]]:
    """The marts of a copy of a warehouse after `dbt build` with these vars; a data test that fails there fails here."""
    copy = folder / "rebuilt.duckdb"
    shutil.copy(warehouse, copy)
    folders = ["--profiles-dir", PROJECT, "--project-dir", PROJECT, "--target-path", folder / "target"]
    done = subprocess.run(
        [DBT, *BUILD, *folders, "--vars", json.dumps(dbt_vars)],
        env={**os.environ, "WAREHOUSE_PATH": str(copy), "DBT_LOG_PATH": str(folder)},
        capture_output=True,
        text=True,
    )
    assert not done.returncode, done.stdout[-8000:] + done.stderr
    with duckdb.connect(str(copy), read_only=True) as connection:
        connection.execute("set TimeZone = 'UTC'")
        return {mart: _rows(connection, mart) for mart in MARTS}


def _rows(connection: duckdb.DuckDBPyConnection, mart: str) -> list[dict[str, Any]]:
    found = connection.execute(f"select * from marts.{mart}")
    names = [column[0] for column in found.description or []]
    return [{name: _aware(value) for name, value in zip(names, row, strict=True)} for row in found.fetchall()]


def _aware(value: Any) -> Any:
    return value.astimezone(UTC) if isinstance(value, datetime) else value


@pytest.mark.parametrize("name", CASES)
def test_marts_are_right_for_other_settings(loaded: tuple[Rehearsal, datetime], name: str, tmp_path: Path) -> None:
    """A setting that only half of the marts obey makes them tell different companies."""
    rehearsed, as_of = loaded
    case = CASES[name]
    marts = rebuilt(rehearsed.folder / "company.duckdb", tmp_path, case.dbt_vars)
    answers = rehearsed.answers(
        as_of.isoformat(),
        settings=case.settings,
        reporting_tz=case.reporting_tz,
        reporting_currency=case.reporting_currency,
    )
    differences = [
        difference for mart in MARTS for difference in compare(mart, PRIMARY_KEYS[mart], answers[mart], marts[mart])
    ]
    assert not differences, "\n".join(differences)
