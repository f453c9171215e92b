"""The smaller files a company would keep beside its portal: targets, surveys, mailings, budgets, visits and the like.

Figures that the portal, the spend and the plan decide stay as they are: rates by hand are of a currency that no deal
has, the cost is that of a product that nobody buys, and no client is merged by a file.
"""

from __future__ import annotations

import csv
import random
from collections.abc import Iterable, Sequence
from datetime import date, datetime, timedelta
from pathlib import Path

from demo.world.channels import CAMPAIGNS
from demo.world.clock import HOLIDAYS, date_of, day_weight, local_day
from demo.world.engine import Engine
from demo.world.inputs import campaign_day
from demo.world.model import Row
from demo.world.processes import TICKETS

Line = Sequence[object]
YEAR_AHEAD = 365
WORKING_SATURDAYS = (date(2024, 11, 2), date(2024, 12, 28), date(2025, 11, 1))
WEB_DAYS = 60
MAILING_MONTHS = 12
BUDGET_MONTHS = 6
ANSWER_SHARE = 0.12  # of won deals
TICKET_ANSWER_SHARE = 0.4  # of solved tickets
TICKET_TOPIC = "UF_CRM_2_1717700001"
COLUMNS = {
    "kpi_targets": "metric,scope,scope_key,target,direction,valid_from",
    "survey_answers": "answered_at,survey,score,ticket_id,deal_id,client_key,manager_key",
    "campaign_messages": "send_date,channel,campaign,utm_campaign,variant,send_hour,sent,delivered,opened,clicked,"
    "unsubscribed,bounced,spent,currency",
    "project_budget": "project_id,period_month,budget_plan,budget_fact,currency",
    "product_cost": "product_id,valid_from,cost,currency",
    "support_sources": "source_type,entity_type_id,pipeline_key,topic_field",
    "holidays": "date,is_workday",
    "channel_map": "priority,match_field,pattern,utm_medium_pattern,channel_key,name_ru,channel_group,is_paid",
    "client_merge_map": "old_key,new_key",
    "process_changes": "change_date,pipeline_key,description",
    "funnel_alert_thresholds": "pipeline_key,stage_id,min_conversion",
    "fx_rates_manual": "rate_date,currency,rate",
    "web_sessions": "date,utm_source,utm_medium,utm_campaign,visits,users,goal_reaches",
}


def write_small_inputs(engine: Engine, folder: Path, start: int, leads_per_weight: float) -> None:
    """Write every file; the seed and what a line tells of decide it, so a line never changes afterwards.

    Args:
        engine: the world.
        folder: where the files go.
        start: first instant.
        leads_per_weight: leads of all channels per unit of `day_weight`.
    """
    first, today = date_of(local_day(start)), date_of(local_day(engine.now))
    lines: dict[str, Iterable[Line]] = {
        "kpi_targets": _targets(first),
        "survey_answers": _answers(engine),
        "campaign_messages": _mailings(engine.seed, today),
        "project_budget": _budgets(engine, today),
        "product_cost": [(130, first, "118400.00", "RUB"), (130, date(today.year, 1, 1), "126900.00", "")],
        "support_sources": [
            *(("process", TICKETS.type_id, pipeline, TICKET_TOPIC) for pipeline, _ in TICKETS.categories),
            ("openline", "", "", ""),
        ],
        "holidays": _holidays(first, today),
        "channel_map": [(75, "utm_source", "dzen.*|zen", "", "dzen", "Дзен", "social", "true")],
        "client_merge_map": [],
        "process_changes": [
            (first + timedelta(days=240), 0, "Новый регламент подготовки КП: не дольше двух дней"),
            (first + timedelta(days=470), "", "Отдел заявок отвечает и по субботам"),
            (first + timedelta(days=610), 3, "Проверка документации передана юристам"),
        ],
        "funnel_alert_thresholds": [(0, "NEW", "0.05"), (0, "PREPARATION", "0.05"), (1, "C1:NEW", "0.05")],
        "fx_rates_manual": [
            (month, "CNY", f"{random.Random(f'{engine.seed}/cny/{month}').uniform(10.9, 11.6):.4f}")
            for month in _months(today, 3)
        ],
        "web_sessions": _visits(engine, local_day(start), leads_per_weight),
    }
    for name, columns in COLUMNS.items():
        with (folder / f"{name}.csv").open("w", encoding="utf-8", newline="") as file:
            writer = csv.writer(file, lineterminator="\n")
            writer.writerow(columns.split(","))
            writer.writerows(lines[name])


def _targets(first: date) -> Iterable[Line]:
    next_year = date(first.year + 1, 1, 1)
    return [
        ("win_rate", "company", "all", "0.55", "up", first),
        ("win_rate", "company", "all", "0.60", "up", next_year),
        ("first_response_minutes_median", "company", "all", "60", "down", first),
        ("avg_check", "pipeline", "0", "400000", "up", first),
        ("avg_check", "pipeline", "1", "50000", "up", first),
        ("calls_missed", "company", "all", "40", "down", next_year),
    ]


def _answers(engine: Engine) -> list[Line]:
    """Some clients answer a few days after their purchase, to one survey in two both questions; others on a ticket."""
    answers: list[Line] = []
    for deal in engine.tables["deals"].rows.values():
        dice = random.Random(f"{engine.seed}/answer/{deal['ID']}")
        if deal["STAGE_SEMANTIC_ID"] != "S" or not deal["MOVED_TIME"] or dice.random() > ANSWER_SHARE:
            continue
        answered = datetime.fromisoformat(deal["MOVED_TIME"]) + timedelta(hours=dice.randint(20, 90))
        if answered.timestamp() > engine.now:
            continue
        who = ("", deal["ID"], _client_of(deal), deal["ASSIGNED_BY_ID"])
        nps = dice.choices((10, 9, 8, 7, 6, 3, 0), (30, 22, 16, 10, 8, 8, 6))[0]
        answers.append((answered.isoformat(), "nps", nps, *who))
        if dice.random() < 0.5:
            csat = dice.choices((5, 4, 3, 2, 1), (48, 28, 12, 7, 5))[0]
            answers.append((answered.isoformat(), "csat", csat, *who))
    for ticket in engine.tables[TICKETS.items].rows.values():
        dice = random.Random(f"{engine.seed}/ticket answer/{ticket['id']}")
        answered = datetime.fromisoformat(ticket["movedTime"]) + timedelta(hours=dice.randint(1, 30))
        is_asked = ticket["stageId"].endswith(":SUCCESS") and answered.timestamp() <= engine.now
        if is_asked and dice.random() < TICKET_ANSWER_SHARE:
            csat = dice.choices((5, 4, 3, 2, 1), (50, 25, 12, 8, 5))[0]
            answers.append(
                (answered.isoformat(), "csat", csat, f"process_{TICKETS.type_id}_{ticket['id']}", "", "", "")
            )
    return answers


def _client_of(deal: Row) -> str:
    for letter, column in (("C", "COMPANY_ID"), ("P", "CONTACT_ID")):
        if deal[column] not in (None, "", "0"):
            return f"{letter}{deal[column]}"
    return ""


def _mailings(seed: int, today: date) -> Iterable[Line]:
    """A digest in two variants each month, and a text message before each quarter's end."""
    for month in _months(today, MAILING_MONTHS):
        day = month + timedelta(days=9)
        if day >= today:
            continue
        for variant in ("A", "B"):
            dice = random.Random(f"{seed}/mail/{month}/{variant}")
            sent = dice.randint(700, 900)
            bounced = round(sent * dice.uniform(0.01, 0.04))
            opened = round((sent - bounced) * dice.uniform(0.18, 0.34))
            clicked = round(opened * dice.uniform(0.08, 0.22))
            counts = (sent, sent - bounced, opened, clicked, dice.randint(0, 6), bounced)
            yield (day, "email", "Дайджест", "digest", variant, 10, *counts, f"{sent * 0.35:.2f}", "RUB")
        if month.month % 3 == 0:
            dice = random.Random(f"{seed}/sms/{month}")
            sent = dice.randint(250, 400)
            delivered = sent - dice.randint(3, 20)
            cost = f"{sent * 4.2:.2f}"
            yield (day, "sms", "Склад до конца квартала", "", "", 12, sent, delivered, "", dice.randint(2, 15), "",
                   sent - delivered, cost, "")  # fmt: skip


def _budgets(engine: Engine, today: date) -> Iterable[Line]:
    """The projects have a budget each month; what the running one costs is not known yet."""
    for group in engine.tables["workgroups"].rows.values():
        if group["project"] != "Y":
            continue
        for month in _months(today, BUDGET_MONTHS):
            dice = random.Random(f"{engine.seed}/budget/{group['id']}/{month}")
            plan = dice.randint(20, 90) * 10_000
            fact = f"{plan * dice.uniform(0.8, 1.3):.2f}" if month < date(today.year, today.month, 1) else ""
            yield (group["id"], month, f"{plan:.2f}", fact, "RUB")


def _holidays(first: date, today: date) -> Iterable[Line]:
    for number in range((today - first).days + YEAR_AHEAD):
        day = first + timedelta(days=number)
        if (day.month, day.day) in HOLIDAYS:
            yield (day, "false")
        elif day in WORKING_SATURDAYS:
            yield (day, "true")


def _visits(engine: Engine, first: int, leads_per_weight: float) -> Iterable[Line]:
    """Most clicks of the campaigns become visits; more come without any tag."""
    today = local_day(engine.now)
    for day in range(max(first, today - WEB_DAYS), today):
        leads = day_weight(day, weekend=0.4) * leads_per_weight
        for campaign in CAMPAIGNS:
            dice = random.Random(f"{engine.seed}/web/{campaign.utm_campaign}/{day}")
            clicks = dice.randint(5, 40)
            if campaign.lead_cost:
                clicks = int(str(campaign_day(engine.seed, campaign, day, leads)[8]))
            tags = (campaign.sources[0].strip().lower(), campaign.medium, campaign.utm_campaign)
            yield _visit(dice, day, tags, round(clicks * dice.uniform(0.8, 0.95)), leads * campaign.share)
        dice = random.Random(f"{engine.seed}/web/{day}")
        yield _visit(dice, day, ("", "", ""), dice.randint(150, 320), leads * 0.2)


def _visit(dice: random.Random, day: int, tags: tuple[str, str, str], visits: int, leads: float) -> Line:
    users = round(visits * dice.uniform(0.75, 0.95))
    return (date_of(day), *tags, visits, users, min(round(leads * dice.uniform(0.8, 1.6)), visits))


def _months(today: date, count: int) -> list[date]:
    """The first days of the last months, the running one included."""
    last = today.year * 12 + today.month - 1
    return [date(month // 12, month % 12 + 1, 1) for month in range(last - count + 1, last + 1)]
