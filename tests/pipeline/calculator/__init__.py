"""The marts worked out in plain Python from a portal's rows, apart from the product's own SQL.

It follows the catalogue of marts with its default settings and shares no code with the product, so that
equal answers mean something. Purchase costs, invoices, open lines and task histories are not among its inputs.
"""

from collections.abc import Mapping, Sequence
from datetime import UTC, date, datetime
from typing import Any
from zoneinfo import ZoneInfo

from .attribution import attribute_deals
from .channels import DEFAULT_CHANNEL_MAP, ChannelMap
from .clients import client_abc
from .facts import allocated, build_facts, read_manager_plans, read_spend
from .funnel import deal_stage_progress, funnel_stage_conversion, funnel_stage_flow
from .managers import manager_performance
from .responses import Responses
from .sales import channel_roi, sales_dynamics
from .values import Clock, Rates, flag, rows_of

__all__ = ["DEFAULT_CHANNEL_MAP", "allocated", "calculate"]

MartRows = list[dict[str, Any]]


def calculate(
    truth: Mapping[str, Any],
    *,
    ad_spend: Sequence[Mapping[str, str]],
    sales_plan: Sequence[Mapping[str, str]],
    as_of: datetime,
    channel_map: Sequence[Mapping[str, str]] = DEFAULT_CHANNEL_MAP,
    reporting_tz: str = "Europe/Moscow",
    rate_history: Sequence[tuple[date, Sequence[Mapping[str, Any]]]] | None = None,
) -> dict[str, MartRows]:
    """Work out the seven marts of the first wave.

    Args:
        truth: table name -> rows as the REST list methods render them, deleted rows absent.
        ad_spend: rows of ad_spend.csv as text.
        sales_plan: rows of sales_plan.csv as text, in the order of the file.
        as_of: the moment called now, with an offset.
        channel_map: rows with priority, match_field, pattern, utm_medium_pattern, channel_key.
        reporting_tz: IANA name of the zone that dates are cut in.
        rate_history: (day first seen, rows of the currency list); by default today's list, seen today.
    Returns:
        mart name -> rows without readable labels; money Decimal with two digits, instants in UTC.
    """
    clock = Clock(as_of.astimezone(UTC), ZoneInfo(reporting_tz))
    currencies = rows_of(truth, "currencies")
    base = next((row["currency"] for row in currencies if flag(row.get("base"))), None)
    seen = [(clock.today, currencies)]
    if rate_history is not None:
        seen = [(day, rows_of({"currencies": rows}, "currencies")) for day, rows in rate_history]
    rates = Rates(seen, base or truth["meta"]["base_currency"])
    channels = ChannelMap(channel_map)

    facts = build_facts(truth, clock, rates, channels)
    if channels.reads_lines:
        responses = Responses(facts)
        for lead in facts.leads.values():
            call = responses.birth_call(lead)
            lead.channel_key = channels.channel(lead.row, call.line if call else None)
    attribute_deals(facts)

    progress = deal_stage_progress(facts)
    return {
        "deal_stage_progress": progress,
        "funnel_stage_conversion": funnel_stage_conversion(facts, progress),
        "funnel_stage_flow": funnel_stage_flow(facts),
        "channel_roi": channel_roi(facts, read_spend(ad_spend, rates, clock)),
        "manager_performance": manager_performance(facts, read_manager_plans(sales_plan)),
        "client_abc": client_abc(facts),
        "sales_dynamics": sales_dynamics(facts),
    }
