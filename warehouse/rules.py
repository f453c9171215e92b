"""What the numbers mean to this company: the values of `rules.yml`, checked before anything runs.

`python -m warehouse.rules` prints the table of docs/configuration.md.
"""

import difflib
import json
import re
from pathlib import Path
from typing import Annotated, Any, Literal, get_args, get_origin

import duckdb
import yaml
from pydantic import AfterValidator, BaseModel, BeforeValidator, ConfigDict, Field, ValidationError, model_validator

from warehouse.errors import SettingsError

WHERE = "docs/configuration.md tells what each key means"


# dbt spells \w and \b out for Cyrillic letters: \b takes the character beside it, and a class cannot hold another
NOT_SPELLED_OUT = re.compile(r"\[[^\]]*\\[wWb]|[^(|:^]\\b[^)|$]")


def _check_regex(pattern: str) -> str:
    if NOT_SPELLED_OUT.search(pattern):
        raise ValueError
    try:
        duckdb.execute("select regexp_matches('', ?, 'i')", [pattern])  # the engine that will search with it
    except duckdb.Error:
        raise ValueError from None
    return pattern


def _check_ascending(bounds: list[float]) -> list[float]:
    if bounds[0] >= bounds[1]:
        raise ValueError
    return bounds


def _ids_as_text(value: Any) -> Any:
    """YAML reads the status 1 as a number."""
    return [str(one) if type(one) is int else one for one in value] if isinstance(value, list) else value


Share = Annotated[float, Field(ge=0, le=1)]
Days = Annotated[int, Field(ge=1)]
Bounds = Annotated[list[Annotated[float, Field(ge=0)]], Field(min_length=2, max_length=2)]
CustomField = Annotated[str, Field(pattern=r"^(?i:UF_[A-Z0-9_]+)$")]
IDS = "must be a list of whole numbers such as [7, 12], [] for none"
SHARE = "must be a share from 0 to 1, for example"
COUNT = "must be a whole number, 1 or more, for example"
DAYS = "must be a whole number of days, 1 or more, for example"
CUSTOM_FIELD = "must be the code of a custom field such as UF_CRM_1717100010, or null"


def _rule(default: Any, meaning: str, must: str = "", example: Any = None) -> Any:
    """A key: what it means, the rest of the sentence "KEY must be ...", a value other than the default."""
    extra = {"example": example}
    return Field(default, title=meaning, description=must, json_schema_extra=extra, validate_default=False)


class Rules(BaseModel):
    """The vars of dbt that give a number its meaning; the same names and defaults as in dbt_project.yml."""

    model_config = ConfigDict(extra="forbid", strict=True, frozen=True)

    # what is left out of every figure
    excluded_category_ids: list[int] = _rule(
        [], "Pipelines (of deals and smart processes) that count nowhere.", IDS, [7]
    )
    excluded_user_ids: list[int] = _rule(
        [], "Users whose deals, leads, calls and tasks count nowhere: robots, integrations.", IDS, [19]
    )
    test_title_regex: Annotated[str, AfterValidator(_check_regex)] | None = _rule(
        None,
        "Deals, leads and tasks whose title matches anywhere, whatever the case, count nowhere.",
        "must be a regular expression in quotes such as '^(тест|test)', \\b at edges only, no \\w in brackets, or null",
        "^(тест|test)",
    )

    # sales
    close_date_source: Literal["stage_history", "closedate"] = _rule(
        "stage_history",
        "When a deal is won or lost: its move to the final stage, or the editable field CLOSEDATE.",
        example="closedate",
    )
    deal_created_source: Literal["date_create"] = _rule("date_create", "When a deal is created: DATE_CREATE.")
    revenue_basis: Literal["deal_amount", "invoice_paid", "payment"] = _rule(
        "deal_amount",
        "What revenue is: amounts of won deals, paid smart invoices, or payments. Counts of deals stay.",
        example="payment",
    )
    repeat_rule: Literal["computed"] = _rule("computed", "What a repeat sale is: by the client's own won deals.")
    funnel_pipeline_rule: Literal["current"] = _rule(
        "current", "The funnel of a deal that changed pipelines: the present one."
    )
    stage_order: Literal["current"] = _rule("current", "Which order of stages holds for the past: today's.")
    manager_attribution: Literal["current", "at_close"] = _rule(
        "current", "Whose deal it is: the present responsible's, or his at whom it was closed.", example="at_close"
    )
    department_as_of: Literal["current", "event"] = _rule(
        "current", "A manager's department: the present one, or that at the time of the event.", example="event"
    )
    default_cost_rate: Share | None = _rule(
        None, "Cost as a share of the amount, where product rows know none; null: profit is unknown.",
        f"{SHARE} 0.65, or null", 0.65,
    )  # fmt: skip
    loss_reason_field: CustomField | None = _rule(
        None,
        "Custom field of deals (and leads) with the reason of a loss; null: the failure stage's name.",
        CUSTOM_FIELD,
        "UF_CRM_1717100010",
    )
    sales_department_ids: list[int] = _rule(
        [], "Departments whose people are salesmen (`dim_manager.is_sales`); []: all.", IDS, [3, 4]
    )
    fx_source: Literal["cbr", "portal"] = _rule(
        "cbr", "Rates of the Central Bank of Russia before the portal's, or the portal's alone.", example="portal"
    )
    stale_min_days: Days = _rule(14, "A deal is stale after so many days without a move at the least.", f"{DAYS} 14")
    stale_multiplier: Annotated[float, Field(gt=0)] = _rule(
        3, "… and after so many medians of the time in its stage.", "must be a number above 0, for example 3"
    )
    forecast_min_sample: Annotated[int, Field(ge=1)] = _rule(
        20, "Closed deals needed before their share of wins is a probability.", f"{COUNT} 20"
    )
    alert_days: Annotated[list[Days], Field(min_length=2, max_length=2)] = _rule(
        [14, 84], "Days of the window and of the base before it that alerts compare.",
        "must be two whole numbers of days such as [14, 84]", [28, 84],
    )  # fmt: skip
    alert_drop: Share = _rule(0.15, "An alert needs a fall of conversion by this share.", f"{SHARE} 0.15")
    alert_z: Annotated[float, Field(gt=0)] = _rule(
        3.0, "… and so many standard errors.", "must be a number above 0, for example 3.0"
    )
    alert_min_exits: Annotated[int, Field(ge=1)] = _rule(20, "… and so many exits in both windows.", f"{COUNT} 20")

    # leads, channels, clients
    lead_mode: Literal["leads", "requests"] = _rule(
        "leads", "What counts as a lead: leads alone, or also deals without one (simple CRM).", example="requests"
    )
    qualified_lead_status_ids: Annotated[list[str], BeforeValidator(_ids_as_text)] = _rule(
        [], "Lead statuses that make a lead qualified once reached; []: converted ones only.",
        "must be a list of ids of lead statuses such as [IN_PROCESS, UC_3SK1T9], [] for none", ["IN_PROCESS"],
    )  # fmt: skip
    attribution_window_days: Days = _rule(90, "How far back a touch counts for a deal or a lead.", f"{DAYS} 90", 30)
    cpa_action: Literal["deal", "lead_qualified", "deal_won"] = _rule(
        "deal", "The action of cost per action.", example="deal_won"
    )
    ad_spend_vat: Literal["incl"] = _rule("incl", "Amounts and costs of advertising are both with VAT.")
    unmapped_warn_share: Share = _rule(
        0.05, "A larger share of leads of the last 30 days without a channel is warned of.", f"{SHARE} 0.05"
    )
    client_priority: Literal["company_first", "contact_first"] = _rule(
        "company_first", "Who the client is when a deal has a company and a contact (B2C: the contact).",
        example="contact_first",
    )  # fmt: skip
    rollup_contact_to_company: bool = _rule(
        False, "Whether a contact counts as its company.", "must be true or false", True
    )
    regular_min_won: Annotated[int, Field(ge=1)] = _rule(
        2, "A client with so many won deals is a regular one.", f"{COUNT} 2", 3
    )
    churn_inactivity_days: Days = _rule(
        180, "A client without a purchase for so long is lost; about 2-3 medians between purchases.", f"{DAYS} 180", 365
    )
    portal_id: None = _rule(None, "One portal per warehouse, so keys bear no portal.", "must be null")

    # work of people, service
    response_clock: Literal["calendar", "working"] = _rule(
        "calendar", "Time to the first response: by the clock, or working hours (9-18 on work days).", example="working"
    )
    first_response_requires_connect: bool = _rule(
        False, "Whether only a call that got through is a response.", "must be true or false", True
    )
    missed_codes: Literal["all_but_200"] = _rule("all_but_200", "Which incoming calls are missed: all not connected.")
    short_call_seconds: Annotated[int, Field(ge=1)] = _rule(
        60, "A connected call below so many seconds is short.", f"{COUNT} 60", 30
    )
    load_task_weight: Annotated[float, Field(ge=0)] = _rule(
        0.5, "What an open task weighs in the load, an open deal being 1.", "must be a number, 0 or more"
    )
    load_bounds: Annotated[Bounds, AfterValidator(_check_ascending)] = _rule(
        [0.5, 1.5], "Load to the department's average from which a manager is under- and overloaded.",
        "must be two ascending numbers such as [0.5, 1.5]", [0.7, 1.3],
    )  # fmt: skip
    fcr_window_days: Days = _rule(
        7, "A ticket is solved at first contact when the client asks no more for so long.", f"{DAYS} 7", 14
    )
    csat_field: CustomField | None = _rule(
        None, "Custom field of tickets with the client's mark (1 to 5).", CUSTOM_FIELD, "UF_CRM_9_1717100011"
    )

    # ABC, XYZ
    abc_a: Share = _rule(0.80, "Class A: clients, the largest first, up to this share of the sum.", f"{SHARE} 0.8", 0.7)
    abc_b: Share = _rule(0.95, "Class B: up to this share; above abc_a.", f"{SHARE} 0.95, above abc_a", 0.9)
    abc_method: Literal["cumulative", "by_count"] = _rule(
        "cumulative", "By share of the sum, or by number of clients (20/30/50 %).", example="by_count"
    )
    abc_basis: Literal["revenue", "gross_profit"] = _rule(
        "revenue", "What is shared out among the classes.", example="gross_profit"
    )
    abc_window_months: Annotated[int, Field(ge=1)] = _rule(12, "Months that a class looks back.", f"{COUNT} 12", 6)
    abc_months_back: Annotated[int, Field(ge=1)] = _rule(13, "Months for which classes are kept.", f"{COUNT} 13", 25)
    xyz_bounds: Annotated[Bounds, AfterValidator(_check_ascending)] = _rule(
        [0.10, 0.25], "Coefficients of variation up to which a client is X, and Y.",
        "must be two ascending numbers such as [0.1, 0.25]", [0.15, 0.3],
    )  # fmt: skip

    @model_validator(mode="after")
    def _borders_ascend(self) -> "Rules":
        if self.abc_a >= self.abc_b:
            raise ValueError("abc_b")
        return self

    def dbt_vars(self) -> dict[str, Any]:
        """What differs from nothing said: dbt_project.yml knows the rest."""
        return self.model_dump(exclude_unset=True)


def load_rules(path: Path) -> Rules:
    """Read the rules; a file that is not there says nothing, so the defaults hold.

    Raises:
        SettingsError: the file cannot be read, or one sentence per wrong key; it holds no value.
    """
    try:
        text = path.read_text(encoding="utf-8-sig")
    except FileNotFoundError:
        return Rules()
    except (OSError, UnicodeDecodeError) as error:
        raise SettingsError(
            f"{path.name} cannot be read ({type(error).__name__}): make it readable text in UTF-8."
        ) from None
    return parse_rules(text, path.name)


def parse_rules(text: str, name: str) -> Rules:
    """Read the text of a rules file; see `load_rules`."""
    try:
        values = yaml.load(text, Loader=_UniqueKeys) or {}  # noqa: S506 - a SafeLoader
    except yaml.MarkedYAMLError as error:
        place = f"line {error.problem_mark.line + 1}: " if error.problem_mark else ""
        raise SettingsError(f"{name} is not YAML, {place}{error.problem}. Mend that line; {WHERE}.") from None
    except yaml.YAMLError:
        raise SettingsError(
            f"{name} is not YAML: it has characters that no text has. Write it anew; {WHERE}."
        ) from None
    if not isinstance(values, dict):
        raise SettingsError(f"{name} must be lines such as `churn_inactivity_days: 365`; {WHERE}.")
    try:
        return Rules.model_validate({str(key): value for key, value in values.items()})
    except ValidationError as invalid:
        sentences = _sentences(invalid)
    raise SettingsError("\n".join(f"{name}: {sentence}" for sentence in sentences))


class _UniqueKeys(yaml.SafeLoader):  # type: ignore[misc]
    """Refuses a key that stands there twice, of which YAML would take the last without a word."""

    def construct_mapping(self, node: yaml.MappingNode, deep: bool = False) -> dict[Any, Any]:
        seen = set()
        for key, _ in node.value:
            if key.value in seen:
                raise yaml.MarkedYAMLError(problem=f"{key.value} stands there twice", problem_mark=key.start_mark)
            seen.add(key.value)
        return dict(super().construct_mapping(node, deep))


def _sentences(invalid: ValidationError) -> list[str]:
    """One sentence per wrong key, in the order of their declaration; keys that are none come last."""
    problems = invalid.errors(include_input=False, include_url=False)
    names = {str(problem["loc"][0]) if problem["loc"] else "abc_b" for problem in problems}
    return [
        f"{name} {must(name)}. Mend the line, or remove it for the default {shown(field.default)}; {WHERE}."
        for name, field in Rules.model_fields.items()
        if name in names
    ] + [_unknown(name) for name in sorted(names - Rules.model_fields.keys())]


def _unknown(name: str) -> str:
    if name in {"reporting_tz", "reporting_currency"}:
        return f"{name} is a setting of .env, {name.upper()}. Write it there and remove the line here."
    close = difflib.get_close_matches(name, Rules.model_fields, n=1)
    meant = f"Did you mean {close[0]}? " if close else "Remove the line; "
    return f"{name} is no rule. {meant}{WHERE}."


def must(name: str) -> str:
    """What a value has to be: the rest of a sentence that begins with its key."""
    field = Rules.model_fields[name]
    if field.description:
        return field.description
    return f"must be {' or '.join(allowed(name))}"


def allowed(name: str) -> tuple[str, ...]:
    """The values of a key that knows a few words only."""
    annotation = Rules.model_fields[name].annotation
    return get_args(annotation) if get_origin(annotation) is Literal else ()


def shown(value: Any) -> str:
    """A value as it is written in the file."""
    return value if isinstance(value, str) and value.isidentifier() else json.dumps(value, ensure_ascii=False)


def reference() -> str:
    """The table of docs/configuration.md."""
    lines = ["| Key | Meaning | Default | Values | Example |", "|---|---|---|---|---|"]
    for name, field in Rules.model_fields.items():
        extra = field.json_schema_extra if isinstance(field.json_schema_extra, dict) else {}
        example = extra.get("example")
        cells = (
            f"`{name}`",
            str(field.title),
            f"`{shown(field.default)}`",
            must(name).removeprefix("must be "),
            "" if example is None else f"`{name}: {shown(example)}`",
        )
        lines.append("| " + " | ".join(cell.replace("|", "\\|") for cell in cells) + " |")
    return "\n".join(lines) + "\n"


if __name__ == "__main__":
    print(reference(), end="")  # noqa: T201
