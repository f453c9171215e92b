"""The settings of section 5 that other answers follow from, each with its default."""

from collections.abc import Collection
from dataclasses import dataclass
from decimal import Decimal


@dataclass(frozen=True)
class Settings:
    """Named as the catalogue names them."""

    revenue_basis: str = "deal_amount"
    close_date_source: str = "stage_history"
    fx_source: str = "cbr"
    default_cost_rate: Decimal | None = None
    loss_reason_field: str | None = None
    excluded_category_ids: Collection[int] = ()
    excluded_user_ids: Collection[int] = ()
    test_title_regex: str | None = None
    lead_mode: str = "leads"
    qualified_lead_status_ids: Collection[str] = ()
    attribution_window_days: int = 90
    cpa_action: str = "deal"
    client_priority: str = "company_first"
    rollup_contact_to_company: bool = False
    response_clock: str = "calendar"
    first_response_requires_connect: bool = False
    abc_method: str = "cumulative"
    abc_basis: str = "revenue"


DEFAULTS = Settings()
