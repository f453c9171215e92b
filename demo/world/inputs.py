"""The files a company would keep beside its portal: advertising spend per day and the sales plan."""

from __future__ import annotations

import csv
import random
from collections import defaultdict
from collections.abc import Iterable, Sequence
from datetime import date
from decimal import Decimal
from pathlib import Path

from demo.world.channels import CAMPAIGNS, Campaign
from demo.world.clock import date_of, day_weight, local_day
from demo.world.engine import Engine
from demo.world.model import Row
from demo.world.portal_setup import in_base_currency
from demo.world.quirks import GLUED_PHONES

AD_SPEND_COLUMNS = (
    "spend_date",
    "source_system",
    "account",
    "campaign_id",
    "campaign_name",
    "utm_campaign",
    "channel_key",
    "impressions",
    "clicks",
    "cost",
    "currency",
    "cost_type",
)
SALES_PLAN_COLUMNS = ("period_month", "scope", "scope_key", "metric", "plan_value")
PLANNED_MONTHS = 24
EXHIBITION_COST = 380_000
CALL_CENTRE_COST = 95_000
Figures = dict[str, tuple[Decimal, int]]  # month -> revenue in the base currency, deals won


def write_ad_spend(engine: Engine, path: Path, start: int, leads_per_weight: float) -> None:
    """Write what each campaign cost on each full day since `start`.

    Args:
        engine: the world; its seed and the day decide a day's noise, so a day never changes afterwards.
        path: the file to write.
        start: first instant.
        leads_per_weight: leads of all channels per unit of `day_weight`.
    """
    with path.open("w", encoding="utf-8", newline="") as file:
        writer = csv.writer(file, lineterminator="\n")
        writer.writerow(AD_SPEND_COLUMNS)
        for day in range(local_day(start), local_day(engine.now)):
            leads = day_weight(day, weekend=0.4) * leads_per_weight
            for campaign in CAMPAIGNS:
                if campaign.lead_cost:
                    writer.writerow(campaign_day(engine.seed, campaign, day, leads))
            writer.writerows(_other_costs(day))


def campaign_day(seed: int, campaign: Campaign, day: int, leads: float) -> Sequence[object]:
    """Return the line of one campaign and day; `leads` is the day's number over all channels."""
    noise = random.Random(f"{seed}/{campaign.campaign_id}/{day}")
    cost = leads * campaign.share * campaign.lead_cost * noise.uniform(0.7, 1.3)
    clicks = max(round(cost / campaign.click_cost * noise.uniform(0.85, 1.15)), 1)
    impressions = round(clicks / noise.uniform(0.008, 0.05))
    # older exports of the cabinet named the currency, newer ones leave it to the reader
    currency = campaign.currency or ("RUB" if date_of(day).month == 1 else "")
    return (
        date_of(day).isoformat(),
        campaign.system,
        campaign.account,
        campaign.campaign_id,
        campaign.name,
        campaign.utm_campaign,
        campaign.channel,
        impressions,
        clicks,
        f"{cost:.2f}",
        currency,
        "",
    )


def _other_costs(day: int) -> Iterable[Sequence[object]]:
    when = date_of(day)
    if when.day == 15 and when.month in (4, 10):
        name = 'Стенд; выставка "Нефтегаз", павильон 2'
        cost = f"{EXHIBITION_COST:.2f}"
        yield (when.isoformat(), "manual", "", "", name, "", "trade_show", "", "", cost, "RUB", "other_marketing")
    if when.day == 1:
        cost = f"{CALL_CENTRE_COST:.2f}"
        yield (when.isoformat(), "manual", "", "", "SEO и контент", "", "", "", "", cost, "", "other_marketing")
        yield (when.isoformat(), "manual", "", "", "Колл-центр", "", "", "", "", cost, "", "sales")


def write_sales_plan(engine: Engine, path: Path) -> None:
    """Write monthly plans of the company, departments, managers and pipelines: last months' sales and a bit more."""
    months = _months_until(date_of(local_day(engine.now)))
    with path.open("w", encoding="utf-8", newline="") as file:
        writer = csv.writer(file, lineterminator="\n")
        writer.writerow(SALES_PLAN_COLUMNS)
        # a plan corrected later: the row further down the file wins
        writer.writerow((months[0], "company", "all", "revenue", "1.00"))
        for (scope, key), figures in sorted(_figures(engine).items()):
            for month in months:
                revenue, won = _plan(figures, month, months)
                if won:
                    writer.writerow((month, scope, key, "revenue", f"{revenue:.2f}"))
                    writer.writerow((month, scope, key, "deals_won", won))


def _months_until(today: date) -> list[str]:
    last = today.year * 12 + today.month - 1
    return [f"{month // 12:04d}-{month % 12 + 1:02d}-01" for month in range(last - PLANNED_MONTHS + 1, last + 1)]


def _figures(engine: Engine) -> dict[tuple[str, str], Figures]:
    """Return sales by scope and month, from the rows as they stand."""
    departments = _departments_of_users(engine)
    figures: dict[tuple[str, str], Figures] = defaultdict(dict)
    for deal in engine.tables["deals"].rows.values():
        if deal["STAGE_SEMANTIC_ID"] != "S" or deal["IS_RECURRING"] == "Y" or deal["OPPORTUNITY"] == GLUED_PHONES:
            continue
        month = f"{(deal['MOVED_TIME'] or deal['DATE_CREATE'])[:7]}-01"
        amount = in_base_currency(Decimal(deal["OPPORTUNITY"]), deal["CURRENCY_ID"])
        user = deal["ASSIGNED_BY_ID"] or "0"
        scopes = [("company", "all"), ("pipeline", deal["CATEGORY_ID"])]
        if user != "0":
            scopes.append(("manager", user))
        scopes += [("department", department) for department in departments.get(user, ())]
        for scope in scopes:
            revenue, won = figures[scope].get(month, (Decimal(0), 0))
            figures[scope][month] = (revenue + amount, won + 1)
    return figures


def _departments_of_users(engine: Engine) -> dict[str, list[str]]:
    """Return each user's main department and all above it."""
    tree: dict[int, Row] = engine.tables["departments"].rows
    found: dict[str, list[str]] = {}
    for user in engine.tables["users"].rows.values():
        chain: list[str] = []
        department = str(user["UF_DEPARTMENT"][0]) if user["UF_DEPARTMENT"] else None
        while department is not None:
            chain.append(department)
            department = tree[int(department)].get("PARENT")
        found[user["ID"]] = chain
    return found


def _plan(figures: Figures, month: str, months: list[str]) -> tuple[Decimal, int]:
    """Return a plan for one month: the mean of this and the two months around it, plus a tenth, in round numbers."""
    place = months.index(month)
    near = [figures.get(other, (Decimal(0), 0)) for other in months[max(place - 1, 0) : place + 2]]
    revenue = sum((revenue for revenue, _ in near), Decimal(0)) / len(near) * Decimal("1.1")
    won = round(sum(won for _, won in near) / len(near) * 1.1)
    return (revenue / 1000).quantize(Decimal(1)) * 1000, won
