"""The rules of the numbers: one list in dbt, in the checks and in the documentation; errors name the key."""

import re
from pathlib import Path
from typing import Any

import pytest
import yaml

from orchestration.dbt import PROJECT_DIR, dbt_arguments
from orchestration.report import Silent
from orchestration.sync import run_build, run_sync
from warehouse.errors import SettingsError
from warehouse.rules import Rules, allowed, load_rules, parse_rules, reference
from warehouse.settings import Settings

ROOT = Path(__file__).parents[2]
OF_THE_RUN = {"as_of"}
SETTINGS = {"reporting_tz", "reporting_currency"}


def project_vars() -> dict[str, Any]:
    return dict(yaml.safe_load((PROJECT_DIR / "dbt_project.yml").read_text(encoding="utf-8"))["vars"])


def test_the_keys_and_defaults_are_those_of_dbt() -> None:
    """A var that no rule sets cannot be changed; a default that differs makes the documentation lie."""
    rules = {name: field.default for name, field in Rules.model_fields.items()}
    assert rules == {name: value for name, value in project_vars().items() if name not in OF_THE_RUN | SETTINGS}


def test_what_is_allowed_is_what_is_built() -> None:
    """A value that the models refuse would be told only after the portal was read."""
    built: dict[str, set[str]] = {}
    for path in (PROJECT_DIR / "models").rglob("*.sql"):
        for name, values in re.findall(r"only_supported\('(\w+)', \[(.*?)\]\)", path.read_text(encoding="utf-8")):
            built[name] = {value.strip("' ") for value in values.split(",")}
    assert len(built) >= 15
    del built["portal_id"]  # null alone
    assert {name: set(allowed(name)) for name in built} == built


def test_the_documentation_lists_every_key_as_it_is() -> None:
    """The table is made by `python -m warehouse.rules`; an old one tells of keys that are gone."""
    assert reference() in (ROOT / "docs" / "configuration.md").read_text(encoding="utf-8")


def test_every_example_of_the_documentation_is_accepted() -> None:
    """An example that is refused teaches that nothing there is true."""
    examples = re.findall(r"`(\w+: [^`]+)` \|$", reference().replace("\\|", "|"), re.MULTILINE)
    assert len(examples) > 25
    for example in examples:
        name = example.partition(":")[0]
        assert getattr(parse_rules(example, "rules.yml"), name) != Rules.model_fields[name].default, example


def test_no_file_means_the_defaults_of_dbt(tmp_path: Path) -> None:
    """Nothing configured must not pass fifty values to dbt, nor an empty file."""
    assert load_rules(tmp_path / "rules.yml").dbt_vars() == {}
    assert parse_rules("# a comment\n", "rules.yml").dbt_vars() == {}


def test_what_the_file_says_reaches_dbt(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A rule that stays in the file changes no number."""
    monkeypatch.chdir(tmp_path)
    (tmp_path / "rules.yml").write_text("\ufeffabc_a: 0.7\nqualified_lead_status_ids: [1, UC_9]\n", encoding="utf-8")
    arguments = yaml.safe_load(dbt_arguments(Settings())[1])
    assert arguments == {
        "reporting_tz": "Europe/Moscow", "reporting_currency": None,
        "abc_a": 0.7, "qualified_lead_status_ids": ["1", "UC_9"],
    }  # fmt: skip


@pytest.mark.parametrize(
    ("text", "told"),
    [
        ("churn_inactivity_day: 7c1", "churn_inactivity_day is no rule. Did you mean churn_inactivity_days?"),
        ("qqq: 7c1", "qqq is no rule. Remove the line"),
        ("reporting_tz: Europe/7c1", "reporting_tz is a setting of .env, REPORTING_TZ."),
        ("revenue_basis: 7c1", "revenue_basis must be deal_amount or invoice_paid or payment."),
        ("close_date_source: [stage_history]", "close_date_source must be stage_history or closedate."),
        ("excluded_category_ids: 7", "excluded_category_ids must be a list of whole numbers"),
        ("excluded_category_ids: ['7c1']", "excluded_category_ids must be a list of whole numbers"),
        ("excluded_user_ids: [true]", "excluded_user_ids must be a list of whole numbers"),
        ("test_title_regex: '7c1('", "test_title_regex must be a regular expression"),
        ("test_title_regex: '(?<=x)7c1'", "test_title_regex must be a regular expression"),
        (r"test_title_regex: '7c1\b 7c1'", "test_title_regex must be a regular expression"),
        (r"test_title_regex: '[\w-]7c1'", "test_title_regex must be a regular expression"),
        ("loss_reason_field: 7c1", "loss_reason_field must be the code of a custom field"),
        ("rollup_contact_to_company: 1", "rollup_contact_to_company must be true or false"),
        ("default_cost_rate: 65", "default_cost_rate must be a share from 0 to 1"),
        ("default_cost_rate: .nan", "default_cost_rate must be a share from 0 to 1"),
        ("churn_inactivity_days: '7c1'", "churn_inactivity_days must be a whole number of days"),
        ("churn_inactivity_days: 0", "churn_inactivity_days must be a whole number of days"),
        ("xyz_bounds: [0.25, 0.1]", "xyz_bounds must be two ascending numbers"),
        ("alert_days: [14]", "alert_days must be two whole numbers of days"),
        ("abc_a: 0.9\nabc_b: 0.9", "abc_b must be a share from 0 to 1, for example 0.95, above abc_a."),
        ("portal_id: 7", "portal_id must be null."),
        ("abc_a: 0.7\nabc_a: 0.8", "is not YAML, line 2: abc_a stands there twice."),
        ("abc_a: [0.7", "is not YAML, line 1:"),
        ("- abc_a", "must be lines such as"),
        ("7c1", "must be lines such as"),
    ],
)  # fmt: skip
def test_a_wrong_line_is_told_by_its_key_and_with_the_next_step(text: str, told: str) -> None:
    """Whoever wrote the line must find it again, and know what to write; the value itself may be a secret."""
    with pytest.raises(SettingsError) as error:
        parse_rules(text, "rules.yml")
    message = str(error.value)
    assert told in message
    assert message.startswith("rules.yml")
    assert len(message.splitlines()) == 1
    assert re.search(r"(docs/configuration\.md|Write it there)", message)
    assert "7c1" not in message
    assert error.value.__cause__ is None


def test_every_wrong_line_is_told_at_once() -> None:
    """One error a run would take as many runs as there are errors."""
    with pytest.raises(SettingsError) as error:
        parse_rules("abc_b: x\nabc_a: 2\nnonsense: 1\n", "rules.yml")
    assert [line.split()[1] for line in str(error.value).splitlines()] == ["abc_a", "abc_b", "nonsense"]


@pytest.mark.parametrize("command", ["sync", "build"])
def test_a_wrong_rule_stops_a_run_before_it_does_anything(
    command: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Told after the extraction, it would cost hours of a first load."""
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("DAGSTER_HOME", str(tmp_path / "dagster"))
    (tmp_path / "rules.yml").write_text("lead_mode: both\n")
    settings = Settings(
        _env_file=None, warehouse_path=tmp_path / "x.duckdb", bitrix24_webhook_url="http://127.0.0.1:9/rest/1/x7c1/"
    )
    with pytest.raises(SettingsError, match="lead_mode must be leads or requests"):
        run_sync(settings, Silent(), {}) if command == "sync" else run_build(settings, Silent())
    assert not (tmp_path / "x.duckdb").exists()
