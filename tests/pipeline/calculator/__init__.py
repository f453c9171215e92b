"""The marts worked out in plain Python from a portal's rows, apart from the product's own SQL.

It follows the catalogue of marts and shares no code with the product, so that equal answers mean something.
"""

from collections.abc import Mapping, Sequence
from datetime import UTC, datetime
from typing import Any
from zoneinfo import ZoneInfo

from .alerts import funnel_alerts, read_thresholds
from .attribution import attribute_deals
from .calls import call_analytics
from .campaigns import campaign_engagement
from .channels import ChannelMap
from .clients import client_abc
from .facts import Facts, allocated, build_facts, read_plans, read_spend
from .forecast import revenue_forecast
from .funnel import deal_stage_progress, funnel_stage_conversion, funnel_stage_flow
from .invoices import invoice_summary
from .items import Item, read_invoices, read_process_items
from .journey import deal_journey
from .loyalty import client_cohort, client_rating, client_retention, unit_economics
from .managers import department_performance, manager_cells, manager_performance
from .periods import period_comparison
from .plans import sales_plan_fact
from .processes import process_efficiency
from .products import product_performance
from .projects import project_performance
from .quality import data_quality
from .receipts import recognise_revenue
from .responses import Responses
from .results import lead_statistics, loss_analysis, manager_channel_performance, repeat_sales
from .sales import channel_roi, sales_dynamics
from .service import read_tickets, service_quality
from .settings import DEFAULTS, Settings
from .tasks import task_efficiency
from .values import Clock, Rates, currency_code, flag, rows_of
from .work_time import time_allocation

__all__ = ["Settings", "allocated", "calculate"]

MartRows = list[dict[str, Any]]


def calculate(
    truth: Mapping[str, Any],
    *,
    ad_spend: Sequence[Mapping[str, str]],
    sales_plan: Sequence[Mapping[str, str]],
    as_of: datetime,
    channel_map: Sequence[Mapping[str, str]] = (),
    settings: Settings = DEFAULTS,
    reporting_tz: str = "Europe/Moscow",
    reporting_currency: str | None = None,
    rate_history: Sequence[tuple[datetime, Sequence[Mapping[str, Any]]]] | None = None,
    product_history: Sequence[tuple[datetime, Sequence[Mapping[str, Any]]]] | None = None,
    product_cost: Sequence[Mapping[str, str]] = (),
    holidays: Sequence[Mapping[str, str]] = (),
    client_merge_map: Sequence[Mapping[str, str]] = (),
    fx_rates_manual: Sequence[Mapping[str, str]] = (),
    alert_thresholds: Sequence[Mapping[str, str]] = (),
    project_budget: Sequence[Mapping[str, str]] = (),
    support_sources: Sequence[Mapping[str, str]] = (),
    survey_answers: Sequence[Mapping[str, str]] = (),
    campaign_messages: Sequence[Mapping[str, str]] = (),
    web_sessions: Sequence[Mapping[str, str]] = (),
    files: Mapping[str, Sequence[Mapping[str, str]]] | None = None,
) -> dict[str, MartRows]:
    """Work out the marts.

    Args:
        truth: table name -> rows as the REST list methods render them, deleted rows absent.
        ad_spend: rows of ad_spend.csv as text.
        sales_plan: rows of sales_plan.csv as text, in the order of the file.
        as_of: the moment called now, with an offset.
        settings: what the catalogue calls vars.
        reporting_tz: IANA name of the zone that dates are cut in.
        reporting_currency: its code; the portal's base currency if None.
        rate_history: (when first seen, rows of the currency list); by default today's list, seen now.
        product_history: the same of the list of products.
        channel_map, product_cost, holidays, client_merge_map, fx_rates_manual: rows of these files as text.
        alert_thresholds: those of funnel_alert_thresholds.csv.
        project_budget, support_sources, survey_answers, campaign_messages, web_sessions: rows of these files as text.
        files: all input files by name.
    Returns:
        mart name -> rows without readable labels; money Decimal with two digits, instants in UTC.
    """
    clock = Clock(as_of.astimezone(UTC), ZoneInfo(reporting_tz))
    currencies = rows_of(truth, "currencies")
    base = next((row["currency"] for row in currencies if flag(row.get("base"))), None)
    seen = [(clock.today, currencies)]
    if rate_history is not None:
        seen = [(clock.day(at), rows_of({"currencies": rows}, "currencies")) for at, rows in rate_history]
    known = {currency_code(row["currency"]) for _, rows in seen for row in rows}
    bank = [row for row in rows_of(truth, "cbr_rates") if settings.fx_source == "cbr" and row["char_code"] in known]
    rates = Rates(seen, reporting_currency or base or truth["meta"]["base_currency"], fx_rates_manual, bank)
    channels = ChannelMap(channel_map)

    prices_seen = [
        (clock.day(at), rows_of({"products": rows}, "products"))
        for at, rows in product_history or [(as_of, truth.get("products") or [])]
    ]
    facts = build_facts(truth, clock, rates, channels, product_cost, client_merge_map, holidays, settings, prices_seen)
    invoices = read_invoices(truth, facts, rates)
    recognise_revenue(truth, facts, rates, invoices)
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
        "sales_plan_fact": sales_plan_fact(facts, plans),
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
    items = read_process_items(truth, facts, rates)
    tickets = read_tickets(truth, facts, items, support_sources)
    marts |= {
        "process_efficiency": process_efficiency(items, clock),
        "project_performance": project_performance(facts, truth, project_budget, rates),
        "service_quality": service_quality(facts, tickets, survey_answers),
        "data_quality": data_quality(facts, truth, rates, files or {}),
        "campaign_engagement": campaign_engagement(
            campaign_messages, web_sessions, marts["channel_roi"], rates, facts.clock.running_month
        ),
    }
    return marts | _marts_of_work(truth, facts, marts, invoices, alert_thresholds)


def _marts_of_work(
    truth: Mapping[str, Any],
    facts: Facts,
    marts: Mapping[str, MartRows],
    invoices: Sequence[Item],
    alert_thresholds: Sequence[Mapping[str, str]],
) -> dict[str, MartRows]:
    clock, thresholds = facts.clock, read_thresholds(alert_thresholds)
    return {
        "call_analytics": call_analytics(facts),
        "task_efficiency": task_efficiency(facts),
        "invoice_summary": invoice_summary(invoices, clock),
        "funnel_alerts": funnel_alerts(marts["funnel_stage_flow"], marts["channel_roi"], thresholds, clock),
        "time_allocation": time_allocation(facts, truth),
    }
