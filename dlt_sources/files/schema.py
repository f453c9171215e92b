"""What a row of each input file must look like; the columns of raw are the fields, in this order, as text."""

from datetime import date
from decimal import Decimal
from typing import Annotated, Literal

from pydantic import AfterValidator, BaseModel, BeforeValidator, Field, PlainSerializer


def _first_of_month(day: date) -> date:
    if day.day != 1:
        raise ValueError("must be the first day of a month, such as 2026-03-01")
    return day


def _empty_to_none(value: object) -> object:
    return None if value == "" else value


def _plain(value: Decimal) -> str:
    return format(value, "f")


Amount = Annotated[
    Decimal, Field(max_digits=18, decimal_places=4, allow_inf_nan=False), PlainSerializer(_plain, return_type=str)
]
Count = Annotated[Annotated[int, Field(ge=0)] | None, BeforeValidator(_empty_to_none)]


class AdSpendRow(BaseModel):
    """One day of one campaign: `ad_spend.csv`."""

    spend_date: date
    source_system: str = ""
    account: str = ""
    campaign_id: str = ""
    campaign_name: str = ""
    utm_campaign: str = ""
    channel_key: str = ""
    impressions: Count = None
    clicks: Count = None
    cost: Amount
    currency: Annotated[str, Field(pattern=r"^([A-Za-z]{3})?$")] = ""
    cost_type: Literal["", "ad", "other_marketing", "sales"] = ""


class SalesPlanRow(BaseModel):
    """One target: `sales_plan.csv`."""

    period_month: Annotated[date, AfterValidator(_first_of_month)]
    scope: Literal["company", "department", "manager", "pipeline"]
    scope_key: str
    metric: Literal["revenue", "deals_won"]
    plan_value: Amount


FILES: dict[str, type[BaseModel]] = {"ad_spend": AdSpendRow, "sales_plan": SalesPlanRow}
