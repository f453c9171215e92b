"""The marts worked out in plain Python from a portal's rows, apart from the product's own SQL.

It follows the catalogue of marts with its default settings and shares no code with the product, so that
equal answers mean something. Messages of open lines are not among its inputs.
"""

from collections.abc import Mapping, Sequence
from datetime import UTC, date, datetime
from typing import Any
from zoneinfo import ZoneInfo

from .alerts import funnel_alerts, read_thresholds
from .attribution import attribute_deals
from .calls import call_analytics
from .channels import ChannelMap
from .clients import client_abc
from .facts import Facts, allocated, build_facts, read_plans, read_spend
from .forecast import revenue_forecast
from .funnel import deal_stage_progress, funnel_stage_conversion, funnel_stage_flow
from .invoices import invoice_summary
from .items import read_invoices, read_process_items
from .journey import deal_journey
from .loyalty import client_cohort, client_rating, client_retention, unit_economics
from .managers import department_performance, manager_cells, manager_performance
from .periods import period_comparison
from .plans import sales_plan_fact
from .processes import process_efficiency
from .products import product_performance
from .responses import Responses
from .results import lead_statistics, loss_analysis, manager_channel_performance, repeat_sales
from .sales import channel_roi, sales_dynamics
from .tasks import task_efficiency
from .values import Clock, Rates, flag, rows_of
from .work_time import time_allocation

__all__ = ["allocated", "calculate"]

MartRows = list[dict[str, Any]]


def calculate(
    truth: Mapping[str, Any],
    *,
    ad_spend: Sequence[Mapping[str, str]],
    sales_plan: Sequence[Mapping[str, str]],
    as_of: datetime,
    channel_map: Sequence[Mapping[str, str]] = (),
    reporting_tz: str = "Europe/Moscow",
    rate_history: Sequence[tuple[date, Sequence[Mapping[str, Any]]]] | None = None,
    product_cost: Sequence[Mapping[str, str]] = (),
    holidays: Sequence[Mapping[str, str]] = (),
    client_merge_map: Sequence[Mapping[str, str]] = (),
    fx_rates_manual: Sequence[Mapping[str, str]] = (),
    alert_thresholds: Sequence[Mapping[str, str]] = (),
) -> dict[str, MartRows]:
    """Work out the marts.

    Args:
        truth: table name -> rows as the REST list methods render them, deleted rows absent.
        ad_spend: rows of ad_spend.csv as text.
        sales_plan: rows of sales_plan.csv as text, in the order of the file.
        as_of: the moment called now, with an offset.
        reporting_tz: IANA name of the zone that dates are cut in.
        rate_history: (day first seen, rows of the currency list); by default today's list, seen today.
        channel_map, product_cost, holidays, client_merge_map, fx_rates_manual: rows of these files as text.
        alert_thresholds: those of funnel_alert_thresholds.csv.
    Returns:
        mart name -> rows without readable labels; money Decimal with two digits, instants in UTC.
    """
    clock = Clock(as_of.astimezone(UTC), ZoneInfo(reporting_tz))
    currencies = rows_of(truth, "currencies")
    base = next((row["currency"] for row in currencies if flag(row.get("base"))), None)
    seen = [(clock.today, currencies)]
    if rate_history is not None:
        seen = [(day, rows_of({"currencies": rows}, "currencies")) for day, rows in rate_history]
    rates = Rates(seen, base or truth["meta"]["base_currency"], fx_rates_manual)
    channels = ChannelMap(channel_map)

    facts = build_facts(truth, clock, rates, channels, product_cost, client_merge_map)
    if channels.reads_lines:
        responses = Responses(facts)
        for lead in facts.leads.values():
            call = responses.birth_call(lead)
            lead.channel_key = channels.channel(lead.row, call.line if call else None)
    attribute_deals(facts)

    plans = read_plans(sales_plan)
    work = manager_cells(facts, plans)
    ads = read_spend(ad_spend, rates, clock)
    classes = client_abc(facts)
    progress = deal_stage_progress(facts)
    marts = {
        "deal_stage_progress": progress,
        "funnel_stage_conversion": funnel_stage_conversion(facts, progress),
        "funnel_stage_flow": funnel_stage_flow(facts),
        "channel_roi": channel_roi(facts, ads),
        "manager_performance": manager_performance(facts, work),
        "department_performance": department_performance(facts, work),
        "sales_plan_fact": sales_plan_fact(facts, plans, holidays),
        "period_comparison": period_comparison(facts),
        "client_abc": classes,
        "sales_dynamics": sales_dynamics(facts),
        "manager_channel_performance": manager_channel_performance(facts),
        "deal_journey": deal_journey(facts),
        "client_rating": client_rating(facts, classes),
        "client_cohort": client_cohort(facts),
        "client_retention": client_retention(facts),
        "revenue_forecast": revenue_forecast(facts),
        "product_performance": product_performance(facts),
        "unit_economics": unit_economics(facts, ads),
        "lead_statistics": lead_statistics(facts),
        "repeat_sales": repeat_sales(facts),
        "loss_analysis": loss_analysis(facts),
    }
    return marts | _marts_of_work(truth, facts, rates, marts, alert_thresholds)


def _marts_of_work(
    truth: Mapping[str, Any],
    facts: Facts,
    rates: Rates,
    marts: Mapping[str, MartRows],
    alert_thresholds: Sequence[Mapping[str, str]],
) -> dict[str, MartRows]:
    clock, thresholds = facts.clock, read_thresholds(alert_thresholds)
    return {
        "call_analytics": call_analytics(facts),
        "task_efficiency": task_efficiency(facts),
        "invoice_summary": invoice_summary(read_invoices(truth, clock, rates), clock),
        "process_efficiency": process_efficiency(read_process_items(truth, clock, rates), clock),
        "funnel_alerts": funnel_alerts(marts["funnel_stage_flow"], marts["channel_roi"], thresholds, clock),
        "time_allocation": time_allocation(facts, truth),
    }
