"""What a row of each input file must look like; the columns of raw are the fields, in this order, as text.

What staging compares in one case is brought to that case here, so that a key which is unique in the file stays unique.
A field's description completes the sentence "... is expected".
"""

import re
from datetime import date, datetime
from decimal import Decimal
from typing import Annotated, ClassVar, Literal

import duckdb
import pyarrow as pa
from pydantic import (
    AfterValidator,
    BaseModel,
    BeforeValidator,
    Field,
    PlainSerializer,
    StringConstraints,
    ValidationInfo,
    field_validator,
)

LARGEST = 10**12  # of one cell: sums of such amounts still fit DECIMAL(18,2)
RUSSIAN_DAY = re.compile(r"(\d\d)\.(\d\d)\.(\d{4})")
ISO_DAY = re.compile(r"\d{4}-\d\d-\d\d")
SHORT_HOUR = re.compile(r" (\d:)")
GROUPED_DIGITS = re.compile(r"[-+]?\d{1,3}(?:[ \u00a0\u202f]\d{3})+(?:[.,]\d+)?")
GAPS = re.compile(r"[ \u00a0\u202f]")
RUSSIAN_FLAGS = {"да": "true", "истина": "true", "нет": "false", "ложь": "false"}


def _to_iso(value: object) -> object:
    """A day first: 2026-03-01, or 01.03.2026 9:05 as Russian Excel writes it."""
    text = SHORT_HOUR.sub(r" 0\1", str(value))
    if RUSSIAN_DAY.match(text):
        text = RUSSIAN_DAY.sub(r"\3-\2-\1", text, count=1)
    if not ISO_DAY.match(text):  # a bare number would be taken for seconds since 1970
        raise ValueError("no date")
    return text


def _to_number(value: object, info: ValidationInfo) -> object:
    text = str(value)
    if GROUPED_DIGITS.fullmatch(text):
        text = GAPS.sub("", text)
    if info.context and info.context.get("decimal_comma"):
        text = text.replace(",", ".")
    return text


def _to_flag(value: object) -> object:
    return RUSSIAN_FLAGS.get(str(value).lower(), value)


def _first_of_month(day: date) -> date:
    if day.day != 1:
        raise ValueError("not the first day")
    return day


def _empty_to_none(value: object) -> object:
    return None if value == "" else value


def _as_rub(code: str) -> str:
    return "RUB" if code == "RUR" else code


def _regular_expression(pattern: str) -> str:
    try:
        duckdb.execute("select regexp_full_match('', ?)", [pattern])  # as the models will use it
    except duckdb.Error as error:
        raise ValueError("no regular expression") from error
    return pattern


def _plain(value: Decimal) -> str:
    return format(value, "f")


OR_NONE = BeforeValidator(_empty_to_none)
Day = Annotated[date, BeforeValidator(_to_iso), Field(description="a date such as 2026-03-01")]
Month = Annotated[
    date,
    BeforeValidator(_to_iso),
    AfterValidator(_first_of_month),
    Field(description="the first day of a month, such as 2026-03-01,"),
]
Moment = Annotated[datetime, BeforeValidator(_to_iso), Field(description="a time such as 2026-03-01 14:30")]
_Decimal = Annotated[
    Decimal,
    Field(ge=-LARGEST, le=LARGEST, allow_inf_nan=False),
    PlainSerializer(_plain, return_type=str),
    BeforeValidator(_to_number),
]
Amount = Annotated[_Decimal, Field(description="a number such as 1250.50")]
Price = Annotated[_Decimal, Field(ge=0, description="a number such as 1250.50, 0 or more,")]
AmountOrNone = Annotated[_Decimal | None, OR_NONE, Field(description="a number such as 1250.50, or nothing,")]
Share = Annotated[_Decimal, Field(ge=0, le=1, description="a share from 0 to 1, such as 0.25,")]
Rate = Annotated[
    Decimal,
    Field(ge=Decimal("0.000001"), le=LARGEST, allow_inf_nan=False),  # the models keep six digits
    PlainSerializer(_plain, return_type=str),
    BeforeValidator(_to_number),
    Field(description="a number above 0, such as 92.5058,"),
]
_Count = Annotated[int, Field(ge=0, le=LARGEST), BeforeValidator(_to_number)]
Count = Annotated[_Count | None, OR_NONE, Field(description="a whole number, 0 or more, or nothing,")]
CountGiven = Annotated[_Count, Field(description="a whole number, 0 or more,")]
Id = Annotated[int, Field(ge=1, le=LARGEST, description="an id of the portal, a whole number,")]
_IdOrZero = Annotated[int, Field(ge=0, le=LARGEST)]
IdOrNone = Annotated[_IdOrZero | None, OR_NONE, Field(description="an id of the portal, or nothing,")]
PipelineId = Annotated[_IdOrZero, Field(description="a pipeline's id (0 is the general one)")]
_Hour = Annotated[int, Field(ge=0, le=23)]
Hour = Annotated[_Hour | None, OR_NONE, Field(description="an hour from 0 to 23, or nothing,")]
Text = Annotated[str, StringConstraints(min_length=1), Field(description="a text")]
Tag = Annotated[str, StringConstraints(to_lower=True)]
TagGiven = Annotated[str, StringConstraints(to_lower=True, min_length=1), Field(description="a key")]
Flag = Annotated[bool, BeforeValidator(_to_flag), Field(description="true or false")]
Currency = Annotated[
    str,
    Field(pattern=r"^([A-Za-z]{3})?$", description="a currency code such as RUB, or nothing for the reporting one,"),
]
CurrencyGiven = Annotated[
    str,
    StringConstraints(to_upper=True, pattern=r"^[A-Za-z]{3}$"),
    AfterValidator(_as_rub),
    Field(description="a currency code such as USD"),
]
ClientKey = Annotated[
    str,
    StringConstraints(to_upper=True, pattern=r"^[CPcp][1-9][0-9]*$"),
    Field(description="a client's key such as C15 (company 15) or P7 (contact 7)"),
]
ClientKeyOrNone = Annotated[
    str,
    StringConstraints(to_upper=True, pattern=r"^([CPcp][1-9][0-9]*)?$"),
    Field(description="a client's key such as C15 (company 15) or P7 (contact 7), or nothing,"),
]
Pattern = Annotated[
    str, StringConstraints(min_length=1), AfterValidator(_regular_expression), Field(description="a regular expression")
]
PatternOrNone = Annotated[
    str, AfterValidator(_regular_expression), Field(description="a regular expression, or nothing,")
]
Scope = Literal["company", "department", "manager", "pipeline"]
ScopeKey = Annotated[str, AfterValidator(lambda key: key or "all")]


class InputRow(BaseModel):
    """One line of a file. No two lines agree in all columns of `key`."""

    key: ClassVar[tuple[str, ...]] = ()

    @staticmethod
    def misfit(_: pa.Table) -> tuple[str, str, str] | None:
        """What only the whole file shows: row, column and what is expected there."""
        return None


class AdSpendRow(InputRow):
    """One day of one campaign: `ad_spend.csv`; lines that agree add up."""

    spend_date: Day
    source_system: str = ""
    account: str = ""
    campaign_id: str = ""
    campaign_name: str = ""
    utm_campaign: str = ""
    channel_key: str = ""
    impressions: Count = None
    clicks: Count = None
    cost: Amount
    currency: Currency = ""
    cost_type: Literal["", "ad", "other_marketing", "sales"] = ""


class SalesPlanRow(InputRow):
    """One target: `sales_plan.csv`; a later line replaces an earlier one."""

    period_month: Month
    scope: Scope
    scope_key: str
    metric: Literal["revenue", "deals_won"]
    plan_value: Amount


class KpiTargetRow(InputRow):
    """What a figure of the marts should be: `kpi_targets.csv`."""

    key: ClassVar[tuple[str, ...]] = ("metric", "scope", "scope_key", "valid_from")

    metric: TagGiven
    scope: Scope
    scope_key: ScopeKey = "all"
    target: Amount
    direction: Literal["up", "down"]
    valid_from: Day


class SurveyAnswerRow(InputRow):
    """One answer of a client: `survey_answers.csv`."""

    answered_at: Moment
    survey: Literal["nps", "csat"]
    score: Annotated[int, Field(description="0 to 10 for nps, 1 to 5 for csat")]
    ticket_id: str = ""
    deal_id: IdOrNone = None
    client_key: ClientKeyOrNone = ""
    manager_key: IdOrNone = None

    @field_validator("score")
    @classmethod
    def _is_on_the_scale(cls, score: int, info: ValidationInfo) -> int:
        low, high = (0, 10) if info.data.get("survey") == "nps" else (1, 5)
        if not low <= score <= high:
            raise ValueError("off the scale")
        return score


class CampaignMessageRow(InputRow):
    """One mailing, variant and hour: `campaign_messages.csv`."""

    key: ClassVar[tuple[str, ...]] = ("send_date", "channel", "campaign", "variant", "send_hour")

    send_date: Day
    channel: Literal["email", "sms"]
    campaign: Text
    utm_campaign: Tag = ""
    variant: str = ""
    send_hour: Hour = None
    sent: CountGiven
    delivered: Count = None
    opened: Count = None
    clicked: Count = None
    unsubscribed: Count = None
    bounced: Count = None
    spent: AmountOrNone = None
    currency: Currency = ""


class ProjectBudgetRow(InputRow):
    """One month of a project: `project_budget.csv`."""

    key: ClassVar[tuple[str, ...]] = ("project_id", "period_month", "currency")

    project_id: Id
    period_month: Month
    budget_plan: Amount
    budget_fact: AmountOrNone = None
    currency: Currency = ""


class ProductCostRow(InputRow):
    """What a product costs from a day on: `product_cost.csv`."""

    key: ClassVar[tuple[str, ...]] = ("product_id", "valid_from")

    product_id: Id
    valid_from: Day
    cost: Price
    currency: Currency = ""


class SupportSourceRow(InputRow):
    """Where support tickets come from: `support_sources.csv`."""

    key: ClassVar[tuple[str, ...]] = ("source_type", "entity_type_id", "pipeline_key")

    source_type: Literal["process", "pipeline", "openline", "csv"]
    entity_type_id: IdOrNone = None
    pipeline_key: IdOrNone = None
    topic_field: str = ""


class HolidayRow(InputRow):
    """A day that breaks the rule "Monday to Friday": `holidays.csv`."""

    key: ClassVar[tuple[str, ...]] = ("date",)

    date: Day
    is_workday: Flag


class ChannelRuleRow(InputRow):
    """One rule of the map of channels: `channel_map.csv`."""

    key: ClassVar[tuple[str, ...]] = ("priority",)

    priority: CountGiven
    match_field: Literal["utm_source", "source_id", "portal_number"]
    pattern: Pattern
    utm_medium_pattern: PatternOrNone = ""
    channel_key: TagGiven
    name_ru: Text
    channel_group: Literal[
        "context", "social", "email", "referral", "direct", "partner", "call", "offline", "other", "unknown"
    ]
    is_paid: Flag


class ClientMergeRow(InputRow):
    """A client that was merged into another: `client_merge_map.csv`."""

    key: ClassVar[tuple[str, ...]] = ("old_key",)

    old_key: ClientKey
    new_key: ClientKey

    @staticmethod
    def misfit(lines: pa.Table) -> tuple[str, str, str] | None:
        """A chain of merges that leads round in a circle has no end."""
        following = dict(zip(lines["old_key"].to_pylist(), lines["new_key"].to_pylist(), strict=True))
        for row, start in zip(lines["row_number"].to_pylist(), following, strict=True):
            seen, at = {start}, following[start]
            while at in following and at not in seen:
                seen.add(at)
                at = following[at]
            if at in seen:
                return row, "new_key", f"a client that does not lead back to {at}"
        return None


class ProcessChangeRow(InputRow):
    """A change of the way of selling: `process_changes.csv`."""

    change_date: Day
    pipeline_key: IdOrNone = None
    description: Text


class FunnelAlertThresholdRow(InputRow):
    """The conversion below which a stage is told of: `funnel_alert_thresholds.csv`."""

    key: ClassVar[tuple[str, ...]] = ("pipeline_key", "stage_id")

    pipeline_key: PipelineId
    stage_id: Text
    min_conversion: Share


class ManualRateRow(InputRow):
    """A rate of a day, for one unit, in the reporting currency: `fx_rates_manual.csv`."""

    key: ClassVar[tuple[str, ...]] = ("rate_date", "currency")

    rate_date: Day
    currency: CurrencyGiven
    rate: Rate


class WebSessionRow(InputRow):
    """Visits of a day by their tags: `web_sessions.csv`."""

    key: ClassVar[tuple[str, ...]] = ("date", "utm_source", "utm_medium", "utm_campaign")

    date: Day
    utm_source: Tag = ""
    utm_medium: Tag = ""
    utm_campaign: Tag = ""
    visits: CountGiven
    users: Count = None
    goal_reaches: Count = None


FILES: dict[str, type[InputRow]] = {
    "ad_spend": AdSpendRow,
    "sales_plan": SalesPlanRow,
    "kpi_targets": KpiTargetRow,
    "survey_answers": SurveyAnswerRow,
    "campaign_messages": CampaignMessageRow,
    "project_budget": ProjectBudgetRow,
    "product_cost": ProductCostRow,
    "support_sources": SupportSourceRow,
    "holidays": HolidayRow,
    "channel_map": ChannelRuleRow,
    "client_merge_map": ClientMergeRow,
    "process_changes": ProcessChangeRow,
    "funnel_alert_thresholds": FunnelAlertThresholdRow,
    "fx_rates_manual": ManualRateRow,
    "web_sessions": WebSessionRow,
}
