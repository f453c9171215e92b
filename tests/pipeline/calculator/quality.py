"""Those checks of `data_quality` (3.29) that follow from the portal's rows and the input files."""

from collections.abc import Mapping, Sequence
from datetime import timedelta
from typing import Any

from .channels import UNKNOWN, UNMAPPED
from .facts import UNKNOWN_CLIENT, Facts
from .values import Rates, Row, currency_code, ratio, total

MartRow = dict[str, Any]

RECENT = timedelta(days=30)
LISTS = (
    "leads",
    "deals",
    "contacts",
    "companies",
    "activities",
    "calls",
    "tasks",
    "smart_invoices",
    "process_items",
)


def data_quality(
    facts: Facts, truth: Mapping[str, Any], rates: Rates, files: Mapping[str, Sequence[Row]]
) -> list[MartRow]:
    """Counts and shares by check and subject; an input file of the stand-in company is always a good one."""
    counts = {("source_rows", name): len(truth.get(name) or []) for name in LISTS}
    for name, rows in files.items():
        counts |= {("input_file_rows", f"{name}.csv"): len(rows), ("input_file_refused", f"{name}.csv"): 0}
    values = {**counts, **_of_leads(facts), **_of_deals(facts, rates)}
    return [{"check_name": check, "subject": subject, "value": value} for (check, subject), value in values.items()]


def _of_leads(facts: Facts) -> dict[tuple[str, str], float | None]:
    channels = [lead.channel_key for lead in facts.leads.values() if lead.created_at > facts.clock.as_of - RECENT]
    return {
        ("unmapped_channel_share", "leads"): ratio(channels.count(UNMAPPED), len(channels)),
        ("unknown_channel_share", "leads"): ratio(channels.count(UNKNOWN), len(channels)),
    }


def _of_deals(facts: Facts, rates: Rates) -> dict[tuple[str, str], float | None]:
    deals = list(facts.deals.values())
    known = [deal for deal in deals if deal.is_won and deal.client_key != UNKNOWN_CLIENT]
    sold = [part for deal in deals if deal.is_won for part in deal.parts]
    revenue = total(part.allocated_rc for part in sold)
    approximate = sum(
        rates.is_approximate(currency_code(deal.row.get("currency_id")), deal.closed_date or facts.clock.today)
        for deal in deals
    )
    return {
        ("unknown_client_share", "deals"): ratio(sum(deal.client_key == UNKNOWN_CLIENT for deal in deals), len(deals)),
        ("no_history_share", "deals"): ratio(sum(not deal.stays for deal in deals), len(deals)),
        ("fx_approximate_share", "deals"): ratio(approximate, len(deals)),
        ("repeat_flag_difference_share", "deals"): ratio(
            sum(deal.is_repeat_sale != deal.is_repeat for deal in known), len(known)
        ),
        ("cost_missing_share", "deals"): ratio(
            total(part.allocated_rc for part in sold if part.cost_rc is None), revenue
        ),
    }
