"""What stands behind the numbers of the marts: for each column the rows that it counts. One place, checked by tests.

A column is a sum of `value` over the rows of a relation that fulfil `where`; `keys` say which row of the mart a row
belongs to. In SQL, `getvariable('as_of_date')` and `getvariable('reporting_tz')` are those of the last build.
"""

from collections.abc import Mapping
from dataclasses import dataclass, field, replace

from warehouse.rules import Rules


@dataclass(frozen=True)
class Measure:
    """A column: what is added up, over which rows, and, where the mart has a date, dated by what.

    Attributes:
        needs_all: one row without a value makes the whole sum unknown.
    """

    value: str = "1"
    where: str = "true"
    dated: str = ""
    needs_all: bool = False


@dataclass(frozen=True)
class Rows:
    """Rows behind some columns of one mart.

    Attributes:
        things: what a row is, in Russian.
        relation: SQL of a subquery; counted rows only.
        keys: key of the mart -> expression over the relation; `{dated}` is the measure's date.
        shown: columns of the relation that a person needs to judge a row.
        measures: by column of the mart.
    """

    things: str
    relation: str
    keys: Mapping[str, str]
    shown: tuple[str, ...]
    measures: Mapping[str, Measure]


@dataclass(frozen=True)
class Explained:
    """A mart: rows behind its sums, and its ratios by numerator and denominator, both sums over rows of the mart."""

    rows: tuple[Rows, ...]
    ratios: Mapping[str, tuple[str, str]] = field(default_factory=dict)

    def find(self, column: str) -> tuple[Rows, Measure] | None:
        """The rows and the measure of a column."""
        return next(((rows, rows.measures[column]) for rows in self.rows if column in rows.measures), None)

    @property
    def columns(self) -> list[str]:
        """Every column that can be explained."""
        return [*(column for rows in self.rows for column in rows.measures), *self.ratios]


DAY, MONTH = "{dated}", "cast(date_trunc('month', {dated}) as date)"
HERE = "at time zone getvariable('reporting_tz')"

DEALS = "select * from core.fct_deals where is_in_scope"
DEAL_SHOWN = (
    "deal_id", "title", "outcome", "stage_id", "manager_key", "client_key", "created_date", "closed_date",
    "amount", "currency", "amount_rc",
)  # fmt: skip
CREATED = {"deals_created": Measure(dated="created_date")}
CLOSED = {
    "deals_won": Measure("1", "outcome = 'won'", "won_date"),
    "revenue": Measure("coalesce(revenue_rc, 0)", "outcome = 'won'", "won_date"),
    "deals_lost": Measure("1", "outcome = 'lost'", "lost_date"),
}
LOST_AMOUNT = {"lost_amount": Measure("coalesce(amount_rc, 0)", "outcome = 'lost'", "lost_date")}
COHORT = {"cohort_won": Measure("1", "outcome = 'won'", "created_date")}
WIN_RATE = {"win_rate": ("deals_won", "deals_won + deals_lost")}
AVG_CHECK = {"avg_check": ("revenue", "deals_won")}
COHORT_CONVERSION = {"cohort_conversion": ("cohort_won", "deals_created")}

CALLS = "select * from core.fct_calls where is_in_scope and started_at is not null"
CALL_SHOWN = (
    "call_id", "started_at", "direction", "manager_key", "client_key", "portal_number", "result_code",
    "duration_seconds", "is_connected", "is_missed", "is_short",
)  # fmt: skip
TASK_EVENTS = """
    select events.*, tasks.title, tasks.created_at, tasks.deadline_at, tasks.closed_at
    from intermediate.int_tasks__events as events inner join core.fct_tasks as tasks on tasks.task_id = events.task_id
"""
TASK_SHOWN = (
    "task_id", "title", "event", "manager_key", "project_key", "created_at", "deadline_at", "closed_at", "is_on_time",
)  # fmt: skip
TASKS = {
    "tasks_closed": Measure("1", "event = 'closed'"),
    "tasks_on_time": Measure("1", "event = 'closed' and is_on_time"),
    "tasks_with_deadline_closed": Measure("1", "event = 'closed' and has_deadline"),
    "tasks_overdue": Measure("1", "event = 'overdue'"),
}
LEADS = """
    select
        leads.*, coalesce(leads.utm_campaign, '') as campaign, requests.response_seconds,
        date_diff('second', leads.created_at, leads.closed_at) as close_seconds,
        date_diff('day', leads.created_date, won.won_date) as days_to_won,
        coalesce(sales.revenue_rc, 0) as revenue_of_deals
    from core.fct_leads as leads
    left join core.fct_requests as requests on requests.request_type = 'lead' and requests.lead_id = leads.lead_id
    left join core.fct_deals as won on won.deal_id = leads.won_deal_id and won.is_in_scope and won.outcome = 'won'
    left join (
        select lead_id, sum(revenue_rc) as revenue_rc from core.fct_deals
        where is_in_scope and outcome = 'won' and lead_id is not null group by lead_id
    ) as sales on sales.lead_id = leads.lead_id
    where leads.is_in_scope
"""
LEAD_SHOWN = (
    "lead_id", "title", "outcome", "status_id", "manager_key", "client_key", "channel_key", "campaign", "created_at",
    "first_response_at", "closed_at", "converted_deal_id", "won_deal_id", "is_qualified",
)  # fmt: skip

SALES_DYNAMICS = Explained(
    rows=(
        Rows(
            "сделки",
            DEALS,
            {
                "date_day": DAY, "pipeline_key": "pipeline_key", "manager_key": "manager_key",
                "channel_key": "last_touch_channel_key", "is_repeat_sale": "is_repeat_sale",
            },
            DEAL_SHOWN,
            CREATED | CLOSED | LOST_AMOUNT | {
                "amount_created": Measure("coalesce(amount_rc, 0)", dated="created_date"),
                "cycle_days_sum": Measure("coalesce(cycle_days, 0)", "outcome = 'won'", "won_date"),
                "discount_amount": Measure("coalesce(discount_rc, 0)", "outcome = 'won'", "won_date"),
                "gross_profit": Measure("gross_profit_rc", "outcome = 'won'", "won_date", needs_all=True),
            },
        ),
    )
)  # fmt: skip

MANAGER = {"period_month": MONTH, "manager_key": "manager_key"}
MANAGER_ROWS = (
    Rows(
        "сделки",
        DEALS,
        MANAGER,
        DEAL_SHOWN,
        CREATED | CLOSED | LOST_AMOUNT | COHORT | {
            "revenue_repeat": Measure("coalesce(revenue_rc, 0)", "outcome = 'won' and is_repeat_sale", "won_date"),
            "deals_won_repeat": Measure("1", "outcome = 'won' and is_repeat_sale", "won_date"),
            "deals_closed": Measure("1", "outcome <> 'open'", "closed_date"),
            "cycle_days_sum": Measure("coalesce(cycle_days, 0)", "outcome = 'won'", "won_date"),
        },
    ),
    Rows(
        "лиды",
        LEADS,
        MANAGER,
        LEAD_SHOWN,
        {
            "leads_assigned": Measure(dated="created_date"),
            "leads_with_won": Measure("1", "won_deal_id is not null", "created_date"),
        },
    ),
    Rows(
        "обращения",
        "select * from core.fct_requests where is_in_scope",
        MANAGER,
        (
            "request_key", "request_type", "manager_key", "client_key", "channel_key", "created_at",
            "first_response_at", "response_seconds",
        ),
        {
            "requests": Measure(dated="created_date"),
            "requests_answered": Measure("1", "response_seconds is not null", "created_date"),
            "first_response_minutes_sum": Measure(
                "response_seconds / 60.0", "response_seconds is not null", "created_date"
            ),
        },
    ),
    Rows(
        "переходы сделок",
        """
        select stays.*, deals.manager_key, deals.title
        from core.fct_deal_stage_history as stays inner join core.fct_deals as deals on deals.deal_id = stays.deal_id
        where stays.is_in_scope
        """,
        MANAGER,
        (
            "interval_id", "deal_id", "title", "manager_key", "prev_stage_id", "stage_id", "entered_at", "is_forward",
            "skipped_count",
        ),
        {
            "deals_moved_forward": Measure("1", "is_forward", "entered_date"),
            "stages_skipped": Measure("skipped_count", "skipped_count > 0", "entered_date"),
        },
    ),
    Rows(
        "звонки",
        CALLS,
        MANAGER,
        CALL_SHOWN,
        {
            "calls_total": Measure(dated="started_date"),
            "calls_out": Measure("1", "direction = 'out'", "started_date"),
            "calls_in": Measure("1", "direction = 'in'", "started_date"),
            "calls_connected": Measure("1", "is_connected", "started_date"),
            "calls_missed": Measure("1", "is_missed", "started_date"),
            "calls_short": Measure("1", "is_short", "started_date"),
            "talk_hours": Measure("duration_seconds / 3600.0", "is_connected", "started_date"),
        },
    ),
    Rows("задачи", TASK_EVENTS, MANAGER | {"period_month": "period_month"}, TASK_SHOWN, TASKS),
    Rows(
        "дела",
        "select * from core.fct_activities where is_in_scope and completed_date is not null",
        MANAGER,
        ("activity_id", "activity_type", "direction", "manager_key", "client_key", "created_at", "completed_at"),
        {
            "activities_done": Measure(dated="completed_date"),
            "meetings_done": Measure("1", "activity_type = 'meeting'", "completed_date"),
            "emails_out": Measure("1", "activity_type = 'email' and direction = 'out'", "completed_date"),
        },
    ),
)  # fmt: skip
MANAGER_RATIOS = WIN_RATE | AVG_CHECK | COHORT_CONVERSION | {
    "cycle_days_avg": ("cycle_days_sum", "deals_won"),
    "lead_to_won": ("leads_with_won", "leads_assigned"),
    "missed_rate": ("calls_missed", "calls_in"),
    "short_call_share": ("calls_short", "calls_connected"),
    "calls_per_won": ("calls_total", "deals_won"),
    "tasks_on_time_rate": ("tasks_on_time", "tasks_with_deadline_closed"),
    "plan_attainment": ("revenue", "plan_revenue"),
}  # fmt: skip


def _by_department(rows: Rows) -> Rows:
    """The same rows once for each department that counts them."""
    members = """
        select manager_key, department_key, 'own' as rollup from core.dim_manager
        union all
        select managers.manager_key, tree.ancestor_key as department_key, 'with_children' as rollup
        from core.dim_manager as managers
        inner join core.bridge_department as tree on tree.descendant_key = managers.department_key
    """
    return replace(
        rows,
        relation=f"""
        select counted.*, members.department_key, members.rollup
        from ({rows.relation}) as counted
        inner join ({members}) as members on members.manager_key = counted.manager_key
        """,
        keys={"period_month": rows.keys["period_month"], "department_key": "department_key", "rollup": "rollup"},
    )


def _attributed(relation: str, first: str, last: str) -> str:
    """Rows once for each model of attribution and basis of dates."""
    return f"""
        select counted.*, models.attribution_model, bases.date_basis,
            case models.attribution_model when 'first_touch' then {first}_channel_key else {last}_channel_key end
                as touch_channel_key,
            case models.attribution_model when 'first_touch' then {first}_utm_campaign else {last}_utm_campaign end
                as touch_campaign
        from ({relation}) as counted
        cross join (values ('first_touch'), ('last_touch')) as models (attribution_model)
        cross join (values ('cohort'), ('event')) as bases (date_basis)
    """


ROI_KEYS = {
    "attribution_model": "attribution_model", "date_basis": "date_basis", "period_month": MONTH,
    "channel_key": "touch_channel_key", "utm_campaign": "touch_campaign",
}  # fmt: skip


def _of_basis(event: str) -> str:
    return f"case date_basis when 'cohort' then cast(acquisition_at {HERE} as date) else {event} end"


CHANNEL_ROI = Explained(
    rows=(
        Rows(
            "расходы",
            """
            select spend.*, models.attribution_model, bases.date_basis
            from core.fct_ad_spend as spend
            cross join (values ('first_touch'), ('last_touch')) as models (attribution_model)
            cross join (values ('cohort'), ('event')) as bases (date_basis)
            where cost_type in ('ad', 'other_marketing')
            """,
            ROI_KEYS | {"channel_key": "channel_key", "utm_campaign": "utm_campaign"},
            (
                "spend_date", "source_system", "account", "campaign_name", "utm_campaign", "channel_key", "cost_type",
                "impressions", "clicks", "cost", "currency", "cost_rc",
            ),
            {
                "spend": Measure("coalesce(cost_rc, 0)", dated="spend_date"),
                "impressions": Measure("impressions", dated="spend_date"),
                "clicks": Measure("clicks", dated="spend_date"),
            },
        ),
        Rows(
            "обращения",
            _attributed(
                """
                select requests.*,
                    coalesce(leads.first_touch_channel_key, deals.first_touch_channel_key) as first_channel_key,
                    coalesce(leads.first_touch_utm_campaign, deals.first_touch_utm_campaign) as first_utm_campaign,
                    coalesce(leads.last_touch_channel_key, deals.last_touch_channel_key) as last_channel_key,
                    coalesce(leads.last_touch_utm_campaign, deals.last_touch_utm_campaign) as last_utm_campaign
                from core.fct_requests as requests
                left join intermediate.int_leads__touches as leads
                    on requests.request_type = 'lead' and leads.lead_id = requests.lead_id
                left join intermediate.int_deals__touches as deals
                    on requests.request_type = 'deal' and deals.deal_id = requests.deal_id
                where requests.is_in_scope
                """,
                "first",
                "last",
            ),
            ROI_KEYS,
            (
                "request_key", "manager_key", "client_key", "channel_key", "touch_channel_key", "touch_campaign",
                "created_at", "deal_id", "won_deal_id", "is_qualified", "is_junk", "is_repeat",
            ),
            {
                "leads": Measure(dated="created_date"),
                "leads_repeat": Measure("1", "is_repeat", "created_date"),
                "leads_qualified": Measure("1", "is_qualified", "created_date"),
                "leads_junk": Measure("1", "is_junk", "created_date"),
                "leads_with_deal": Measure("1", "deal_id is not null", "created_date"),
                "leads_with_won": Measure("1", "won_deal_id is not null", "created_date"),
            },
        ),
        Rows(
            "сделки",
            _attributed(
                """
                select deals.*, touches.first_touch_utm_campaign, touches.last_touch_utm_campaign
                from core.fct_deals as deals
                inner join intermediate.int_deals__touches as touches on touches.deal_id = deals.deal_id
                where deals.is_in_scope
                """,
                "first_touch",
                "last_touch",
            ),
            ROI_KEYS,
            (*DEAL_SHOWN, "touch_channel_key", "touch_campaign", "acquisition_at"),
            {
                "deals": Measure(dated=_of_basis("created_date")),
                "deals_won": Measure("1", "outcome = 'won'", _of_basis("won_date")),
                "deals_lost": Measure("1", "outcome = 'lost'", _of_basis("lost_date")),
                "new_clients": Measure("1", "outcome = 'won' and client_won_number = 1", _of_basis("won_date")),
                "revenue": Measure("coalesce(revenue_rc, 0)", "outcome = 'won'", _of_basis("won_date")),
                "gross_profit": Measure("gross_profit_rc", "outcome = 'won'", _of_basis("won_date"), needs_all=True),
            },
        ),
    ),
    ratios={
        "ctr": ("clicks", "impressions"),
        "cpc": ("nullif(spend, 0)", "clicks"),
        "cpl": ("nullif(spend, 0)", "leads"),
        "cpql": ("nullif(spend, 0)", "leads_qualified"),
        "cpo": ("nullif(spend, 0)", "deals_won"),
        "cac": ("nullif(spend, 0)", "new_clients"),
        "lead_to_deal": ("leads_with_deal", "leads"),
        "lead_to_won": ("leads_with_won", "leads"),
        "romi": ("revenue - spend", "spend"),
        "roi": ("gross_profit - spend", "spend"),
        "roas": ("revenue", "spend"),
        "cost_revenue_ratio": ("spend", "revenue"),
    },
)  # fmt: skip

FUNNEL = Explained(
    rows=(
        Rows(
            "сделки",
            """
            select steps.*, deals.title, types.funnel_type,
                case types.funnel_type when 'classic' then is_visited else is_reached end as is_entered,
                case types.funnel_type when 'classic' then is_open_actual else is_open_progress end as is_open,
                case types.funnel_type when 'classic' then is_lost_actual else is_lost_progress end as is_lost,
                visits > 0 and not has_open_stay and stage_position <= pipelines.path_stage_count as has_left
            from marts.deal_stage_progress as steps
            inner join core.fct_deals as deals on deals.deal_id = steps.deal_id
            inner join core.dim_pipeline as pipelines on pipelines.pipeline_key = steps.pipeline_key
            cross join (values ('conversion'), ('classic')) as types (funnel_type)
            """,
            {
                key: key
                for key in (
                    "funnel_type", "pipeline_key", "cohort_month", "manager_key", "channel_key", "stage_position",
                )
            },
            (
                "deal_id", "title", "outcome", "manager_key", "client_key", "amount_rc", "stage_name", "is_reached",
                "is_visited", "is_skipped", "visits", "first_entered_at", "stay_seconds",
            ),
            {
                "deals_total": Measure(),
                "deals_entered": Measure("1", "is_entered"),
                "amount_entered": Measure("coalesce(amount_rc, 0)", "is_entered"),
                "deals_open": Measure("1", "is_open"),
                "deals_lost": Measure("1", "is_lost"),
                "amount_lost": Measure("coalesce(amount_rc, 0)", "is_lost"),
                "deals_skipped": Measure("1", "is_skipped"),
                "deals_returned": Measure("1", "visits >= 2"),
                "deals_left": Measure("1", "has_left"),
                "stay_hours_sum": Measure("stay_seconds / 3600.0", "has_left"),
            },
        ),
    ),
    ratios={
        "stage_conversion": ("deals_entered", "deals_entered_prev"),
        "cumulative_conversion": ("deals_entered", "deals_total"),
        "lost_share": ("deals_lost", "deals_entered"),
    },
)  # fmt: skip

LOSS = Explained(
    rows=(
        Rows(
            "проигранные сделки и некачественные лиды",
            """
            with lead_steps as (
                select lead_id, stage_position
                from core.fct_lead_status_history
                where semantics = 'P' and stage_position is not null
                qualify row_number() over (partition by lead_id order by entered_at desc, interval_id desc) = 1
            ),

            losses as (
                select 'deal' as entity, deal_id as id, title, lost_date, created_date, pipeline_key,
                    lost_from_position, stage_id, loss_reason, manager_key, client_key,
                    last_touch_channel_key as channel_key, amount_rc
                from core.fct_deals where is_in_scope and outcome = 'lost'
                union all
                select 'lead', leads.lead_id, leads.title, leads.closed_date, leads.created_date, 0,
                    coalesce(lead_steps.stage_position, 1), leads.status_id, reasons.loss_reason, leads.manager_key,
                    leads.client_key, leads.channel_key, leads.amount_rc
                from core.fct_leads as leads
                left join lead_steps on lead_steps.lead_id = leads.lead_id
                left join intermediate.int_loss_reasons as reasons
                    on reasons.entity = 'lead' and reasons.entity_id = leads.lead_id
                where leads.is_in_scope and leads.outcome = 'junk'
            )

            select losses.* replace (
                    coalesce(losses.loss_reason, stages.name, '#' || losses.stage_id) as loss_reason
                ),
                coalesce(path.stage_id, 'unknown') as lost_from_stage
            from losses
            left join intermediate.int_stages__positions as path
                on path.is_path_owner and path.entity = losses.entity and path.pipeline_key = losses.pipeline_key
                and path.stage_position = losses.lost_from_position
            left join core.dim_stage as stages
                on stages.entity = losses.entity and stages.pipeline_key = losses.pipeline_key
                and stages.stage_id = losses.stage_id
            """,
            {"period_month": MONTH} | {
                key: key
                for key in (
                    "entity", "pipeline_key", "lost_from_stage", "stage_id", "loss_reason", "manager_key",
                    "channel_key",
                )
            },
            (
                "entity", "id", "title", "manager_key", "client_key", "created_date", "lost_date", "lost_from_stage",
                "stage_id", "loss_reason", "amount_rc",
            ),
            {
                "deals_lost": Measure(dated="lost_date"),
                "lost_amount": Measure("coalesce(amount_rc, 0)", dated="lost_date"),
                "days_to_loss_sum": Measure("date_diff('day', created_date, lost_date)", dated="lost_date"),
            },
        ),
    )
)  # fmt: skip

CALL_ANALYTICS = Explained(
    rows=(
        Rows(
            "звонки",
            CALLS,
            {
                "date_day": "started_date",
                "hour": f"cast(extract(hour from started_at {HERE}) as bigint)",
                "manager_key": "manager_key",
                "direction": "direction",
                "portal_number": "coalesce(portal_number, '')",
            },
            CALL_SHOWN,
            {
                "calls": Measure(),
                "calls_connected": Measure("1", "is_connected"),
                "calls_missed": Measure("1", "is_missed"),
                "calls_short": Measure("1", "is_short"),
                "talk_seconds": Measure("duration_seconds", "is_connected"),
                "cost": Measure("coalesce(cost_rc, 0)"),
            },
        ),
    )
)

TASK_EFFICIENCY = Explained(
    rows=(
        Rows(
            "задачи",
            TASK_EVENTS,
            {"period_month": "period_month", "manager_key": "manager_key", "project_key": "project_key"},
            TASK_SHOWN,
            TASKS | {
                "tasks_created": Measure("1", "event = 'created'"),
                "tasks_overdue_open": Measure("1", "event = 'overdue' and is_open"),
                "close_hours_sum": Measure("close_seconds / 3600.0", "event = 'closed'"),
                "estimate_hours": Measure("coalesce(estimate_seconds, 0) / 3600.0", "event = 'closed'"),
                "spent_hours": Measure("coalesce(spent_seconds, 0) / 3600.0", "event = 'closed'"),
                "marks_positive": Measure("1", "event = 'closed' and mark = 'P'"),
                "marks_negative": Measure("1", "event = 'closed' and mark = 'N'"),
                "task_returns": Measure("coalesce(returns_count, 0)", "event = 'closed'"),
            },
        ),
    ),
    ratios={
        "on_time_rate": ("tasks_on_time", "tasks_with_deadline_closed"),
        "positive_mark_rate": ("marks_positive", "marks_positive + marks_negative"),
    },
)  # fmt: skip

CLIENT_RATING = Explained(
    rows=(
        Rows(
            "сделки",
            DEALS,
            {"client_key": "client_key"},
            DEAL_SHOWN,
            {
                "deals_total": Measure(),
                "deals_won": Measure("1", "outcome = 'won'"),
                "deals_lost": Measure("1", "outcome = 'lost'"),
                "revenue": Measure("coalesce(revenue_rc, 0)", "outcome = 'won'"),
                "gross_profit": Measure("gross_profit_rc", "outcome = 'won'", needs_all=True),
            },
        ),
        Rows(
            "товарные строки",
            """
            select products.*, deals.title, deals.client_key, deals.won_date
            from core.fct_deal_products as products
            inner join core.fct_deals as deals on deals.deal_id = products.deal_id
            where deals.is_in_scope and deals.outcome = 'won'
            """,
            {"client_key": "client_key"},
            (
                "row_id", "deal_id", "title", "won_date", "product_key", "product_name", "quantity", "row_amount_rc",
                "discount_rc",
            ),
            {
                "discount_amount": Measure("coalesce(discount_rc, 0)"),
                "row_amount": Measure("coalesce(row_amount_rc, 0)"),
            },
        ),
    ),
    ratios=AVG_CHECK | {"discount_share": ("discount_amount", "discount_amount + row_amount")},
)  # fmt: skip

CLIENT_ABC = Explained(
    rows=(
        Rows(
            "сделки",
            """
            select windows.as_of_month, deals.*
            from intermediate.int_abc_windows as windows
            inner join core.fct_deals as deals
                on deals.won_date >= windows.window_start and deals.won_date <= windows.window_end
            where deals.is_in_scope and deals.outcome = 'won'
            """,
            {"as_of_month": "as_of_month", "client_key": "client_key"},
            DEAL_SHOWN,
            {
                "deals_won": Measure(),
                "frequency": Measure(),
                "revenue": Measure("coalesce(revenue_rc, 0)"),
                "monetary": Measure("coalesce(revenue_rc, 0)"),
                "gross_profit": Measure("gross_profit_rc", needs_all=True),
            },
        ),
    )
)

SOLD_ROWS = """
    select products.*, deals.title, deals.pipeline_key, deals.manager_key, deals.client_key, deals.outcome,
        deals.closed_date, coalesce(deals.closed_date, getvariable('as_of_date')) as event_date
    from core.fct_deal_products as products inner join core.fct_deals as deals on deals.deal_id = products.deal_id
    where deals.is_in_scope
"""
PRODUCT_KEYS = {
    "period_month": "cast(date_trunc('month', event_date) as date)",
    "product_key": "product_key",
    "pipeline_key": "pipeline_key",
}
PRODUCTS = Explained(
    rows=(
        Rows(
            "товарные строки",
            SOLD_ROWS,
            PRODUCT_KEYS,
            (
                "row_id", "deal_id", "title", "outcome", "closed_date", "product_name", "quantity", "unit_price",
                "row_amount_rc", "allocated_amount_rc", "discount_rc", "cost_rc",
            ),
            {
                "quantity": Measure("coalesce(quantity, 0)", "outcome = 'won'"),
                "revenue": Measure("coalesce(allocated_amount_rc, 0)", "outcome = 'won'"),
                "row_amount": Measure("coalesce(row_amount_rc, 0)", "outcome = 'won'"),
                "discount_amount": Measure("coalesce(discount_rc, 0)", "outcome = 'won'"),
                "cost": Measure("coalesce(cost_rc, 0)", "outcome = 'won'"),
                "revenue_with_cost": Measure("coalesce(allocated_amount_rc, 0)", "outcome = 'won' and has_cost"),
                "lost_amount": Measure("coalesce(allocated_amount_rc, 0)", "outcome = 'lost'"),
                "open_quantity": Measure("coalesce(quantity, 0)", "outcome = 'open'"),
                "open_amount": Measure("coalesce(allocated_amount_rc, 0)", "outcome = 'open'"),
            },
        ),
        Rows(
            "сделки",
            f"""
            select distinct deal_id, title, outcome, closed_date, event_date, product_key, pipeline_key, manager_key,
                client_key
            from ({SOLD_ROWS})
            """,
            PRODUCT_KEYS,
            ("deal_id", "title", "outcome", "closed_date", "product_key", "manager_key", "client_key"),
            {"deals_won": Measure("1", "outcome = 'won'")},
        ),
    ),
    ratios={
        "discount_share": ("discount_amount", "discount_amount + row_amount"),
        "cost_coverage": ("revenue_with_cost", "revenue"),
    },
)  # fmt: skip

INVOICES = Explained(
    rows=(
        Rows(
            "счета",
            "select * from core.fct_invoices where is_in_scope",
            {"period_month": MONTH, "pipeline_key": "pipeline_key", "manager_key": "manager_key"},
            (
                "invoice_id", "title", "outcome", "manager_key", "client_key", "deal_id", "created_date", "due_date",
                "paid_date", "amount", "currency", "amount_rc",
            ),
            {
                "invoices_created": Measure(dated="created_date"),
                "invoices_amount": Measure("coalesce(amount_rc, 0)", dated="created_date"),
                "invoices_paid": Measure("1", "outcome = 'won'", "paid_date"),
                "paid_amount": Measure("coalesce(amount_rc, 0)", "outcome = 'won'", "paid_date"),
                "invoices_overdue": Measure(
                    "1", "outcome = 'open' and due_date < getvariable('as_of_date')", "due_date"
                ),
            },
        ),
    )
)  # fmt: skip

LEAD_STATISTICS = Explained(
    rows=(
        Rows(
            "лиды",
            LEADS,
            {
                "date_day": "created_date", "channel_key": "channel_key", "utm_campaign": "campaign",
                "manager_key": "manager_key",
            },
            LEAD_SHOWN,
            {
                "leads": Measure(),
                "leads_repeat": Measure("1", "is_repeat"),
                "leads_open": Measure("1", "outcome = 'open'"),
                "leads_junk": Measure("1", "outcome = 'junk'"),
                "leads_converted": Measure("1", "outcome = 'converted'"),
                "leads_qualified": Measure("1", "is_qualified"),
                "leads_with_deal": Measure("1", "converted_deal_id is not null"),
                "leads_with_won": Measure("1", "won_deal_id is not null"),
                "revenue": Measure("revenue_of_deals", "won_deal_id is not null"),
                "requests_answered": Measure("1", "response_seconds is not null"),
                "first_response_minutes_sum": Measure("response_seconds / 60.0", "response_seconds is not null"),
                "lead_close_hours_sum": Measure("close_seconds / 3600.0", "close_seconds is not null"),
                "leads_closed": Measure("1", "closed_at is not null"),
                "request_to_won_days_sum": Measure("days_to_won", "days_to_won is not null"),
            },
        ),
    ),
    ratios={
        "junk_rate": ("leads_junk", "leads"),
        "qualified_rate": ("leads_qualified", "leads"),
        "lead_to_deal": ("leads_with_deal", "leads"),
        "lead_to_won": ("leads_with_won", "leads"),
    },
)  # fmt: skip

FUNNEL_FLOW = Explained(
    rows=(
        Rows(
            "стоянки сделок в стадиях",
            f"""
            select visits.*, cast(visits.entered_at {HERE} as date) as entered_date,
                cast(visits.left_at {HERE} as date) as left_date,
                deals.title, deals.manager_key, deals.last_touch_channel_key as channel_key, deals.amount_rc
            from intermediate.int_deals__stage_visits as visits
            inner join core.fct_deals as deals on deals.deal_id = visits.deal_id
            where deals.is_in_scope and visits.semantics = 'P'
            """,
            {"date_day": DAY} | {key: key for key in ("pipeline_key", "stage_id", "manager_key", "channel_key")},
            (
                "deal_id", "title", "manager_key", "channel_key", "stage_id", "entered_at", "left_at", "next_stage_id",
                "exit_kind", "duration_seconds", "amount_rc",
            ),
            {
                "entries": Measure(dated="entered_date"),
                "exits": Measure("1", "exit_kind is not null", "left_date"),
                "amount_exits_lost": Measure("coalesce(amount_rc, 0)", "exit_kind = 'lost'", "left_date"),
                "stay_hours_sum": Measure("duration_seconds / 3600.0", "exit_kind is not null", "left_date"),
            }
            | {
                f"exits_{kind}": Measure("1", f"exit_kind = '{kind}'", "left_date")
                for kind in ("moved", "lost", "forward", "back", "other")
            },
        ),
    ),
    ratios={"exit_conversion": ("exits_forward", "exits - exits_moved - exits_other")},
)  # fmt: skip

SERVICE_KEYS = {"period_month": MONTH} | {key: key for key in ("source_type", "manager_key", "topic")}
SERVICE = Explained(
    rows=(
        Rows(
            "обращения в поддержку",
            "select * from core.fct_support_tickets where is_in_scope",
            SERVICE_KEYS,
            (
                "ticket_key", "source_type", "topic", "manager_key", "client_key", "created_at", "first_response_at",
                "resolved_at", "closed_at", "reopen_count", "is_fcr",
            ),
            {
                "tickets_created": Measure(dated="created_date"),
                "tickets_resolved": Measure("1", "resolved_at is not null", "resolved_date"),
                "answered": Measure("1", "first_response_at is not null", "created_date"),
                "first_response_minutes_sum": Measure("coalesce(response_seconds, 0) / 60.0", dated="created_date"),
                "resolved_cohort": Measure("1", "resolved_at is not null", "created_date"),
                "resolution_hours_sum": Measure("coalesce(resolution_seconds, 0) / 3600.0", dated="created_date"),
                "reopened": Measure("1", "reopen_count > 0", "created_date"),
            },
        ),
        Rows(
            "ответы клиентов",
            """
            select answers.*, coalesce(tickets.source_type, 'unknown') as source_type,
                coalesce(tickets.topic, 'Не определено') as topic
            from core.fct_survey_answers as answers
            left join core.fct_support_tickets as tickets
                on tickets.is_in_scope and tickets.ticket_key = answers.ticket_key
            """,
            SERVICE_KEYS,
            ("answer_key", "survey", "score", "answered_date", "ticket_key", "topic", "manager_key", "client_key"),
            {
                "csat_answers": Measure("1", "survey = 'csat'", "answered_date"),
                "csat_positive": Measure("1", "survey = 'csat' and score >= 4", "answered_date"),
                "nps_answers": Measure("1", "survey = 'nps'", "answered_date"),
                "promoters": Measure("1", "survey = 'nps' and score >= 9", "answered_date"),
                "detractors": Measure("1", "survey = 'nps' and score <= 6", "answered_date"),
            },
        ),
    ),
    ratios={
        "fcr_rate": ("fcr_tickets", "fcr_base"),
        "csat": ("csat_positive", "csat_answers"),
        "nps": ("promoters - detractors", "nps_answers"),
    },
)  # fmt: skip

PROJECTS = Explained(
    rows=(
        Rows(
            "задачи",
            "select * from core.fct_tasks where is_in_scope",
            {"project_key": "project_key"},
            (
                "task_id", "title", "manager_key", "created_at", "deadline_at", "closed_at", "is_done", "is_on_time",
                "is_overdue", "estimate_seconds", "spent_seconds", "returns_count",
            ),
            {
                "tasks_total": Measure(),
                "tasks_done": Measure("1", "is_done"),
                "tasks_on_time": Measure("1", "is_on_time"),
                "tasks_with_deadline_closed": Measure("1", "is_done and deadline_at is not null"),
                "tasks_overdue": Measure("1", "is_overdue"),
                "overdue_open": Measure("1", "is_overdue and closed_at is null"),
                "estimate_hours": Measure("coalesce(estimate_seconds, 0) / 3600.0"),
                "spent_hours": Measure("coalesce(spent_seconds, 0) / 3600.0"),
                "spent_hours_estimated": Measure("coalesce(spent_seconds, 0) / 3600.0", "estimate_seconds > 0"),
                "task_returns": Measure("coalesce(returns_count, 0)"),
                "tasks_returned": Measure("1", "is_done and returns_count > 0"),
            },
        ),
    ),
    ratios={
        "progress": ("tasks_done", "tasks_total"),
        "on_time_rate": ("tasks_on_time", "tasks_with_deadline_closed"),
        "budget_deviation": ("budget_fact - budget_plan", "budget_plan"),
        "return_rate": ("tasks_returned", "tasks_done"),
    },
)  # fmt: skip

ITEMS = "select * from core.fct_process_items where is_in_scope"
STAYS_OF_ITEMS = "select * from core.fct_process_stage_history where is_in_scope"
PROCESS_KEYS = {"period_month": MONTH} | {key: key for key in ("entity_type_id", "pipeline_key", "stage_id")}
ITEM_SHOWN = (
    "item_id", "title", "outcome", "stage_id", "manager_key", "client_key", "created_date", "closed_date",
    "cycle_seconds",
)  # fmt: skip
PROCESSES = Explained(
    rows=(
        Rows(
            "элементы процессов по первой стадии",
            f"""
            select items.* replace (
                coalesce(first_stays.pipeline_key, items.pipeline_key) as pipeline_key,
                coalesce(first_stays.stage_id, items.stage_id) as stage_id
            )
            from ({ITEMS}) as items
            left join ({STAYS_OF_ITEMS}) as first_stays
                on first_stays.entity_type_id = items.entity_type_id and first_stays.item_id = items.item_id
                and first_stays.prev_stage_id is null
            """,
            PROCESS_KEYS,
            ITEM_SHOWN,
            {"items_created": Measure(dated="created_date")},
        ),
        Rows(
            "элементы процессов",
            ITEMS,
            PROCESS_KEYS,
            ITEM_SHOWN,
            {
                "items_done": Measure("1", "outcome = 'won'", "closed_date"),
                "items_failed": Measure("1", "outcome = 'lost'", "closed_date"),
                "cycle_hours_sum": Measure("coalesce(cycle_seconds, 0) / 3600.0", "outcome <> 'open'", "closed_date"),
            },
        ),
        Rows(
            "стоянки элементов в стадиях",
            STAYS_OF_ITEMS,
            PROCESS_KEYS,
            ("interval_id", "item_id", "prev_stage_id", "stage_id", "entered_at", "left_at", "duration_seconds"),
            {
                "stage_entries": Measure(dated="entered_date"),
                "stage_exits": Measure("1", "left_at is not null", "left_date"),
                "stay_hours_sum": Measure("duration_seconds / 3600.0", "left_at is not null", "left_date"),
            },
        ),
    )
)

SENT = ("sent", "delivered", "opened", "clicked", "unsubscribed", "bounced")
CAMPAIGNS = Explained(
    rows=(
        Rows(
            "рассылки",
            "select * from core.fct_campaign_messages",
            {key: key for key in ("send_date", "channel", "campaign", "variant", "send_hour")},
            ("send_date", "channel", "campaign", "variant", "send_hour", "utm_campaign", *SENT, "spent", "currency"),
            {name: Measure(name) for name in SENT} | {"spent": Measure("spent_rc")},
        ),
    ),
    ratios={
        "delivery_rate": ("delivered", "sent"),
        "open_rate": ("opened", "delivered"),
        "click_rate": ("clicked", "delivered"),
        "ctor": ("clicked", "opened"),
    },
)

WORK = f"""
    select date_day, manager_key, work_type, id, started_at, seconds
    from (
        select started_date as date_day, manager_key, 'call' as work_type, call_id as id, started_at,
            duration_seconds as seconds
        from core.fct_calls where is_in_scope and is_connected
        union all
        select started_date, manager_key, 'meeting', source_id, started_at, seconds from intermediate.int_meetings
        union all
        select started_date, manager_key, 'task', entry_id, started_at, seconds
        from core.fct_time_entries where is_in_scope
        union all
        select cast(started_at {HERE} as date), coalesce(manager_id, 0), 'workday', record_id, started_at,
            coalesce(duration_seconds, 0)
        from staging.stg_bitrix24__work_time_records where not is_deleted
    )
    where date_day <= getvariable('as_of_date')
"""
TIME = Explained(
    rows=(
        Rows(
            "звонки, встречи, записи времени и рабочие дни",
            WORK,
            {key: key for key in ("date_day", "manager_key", "work_type")},
            ("date_day", "manager_key", "work_type", "id", "started_at", "seconds"),
            {
                "seconds": Measure("coalesce(seconds, 0)"),
                "hours": Measure("coalesce(seconds, 0) / 3600.0"),
                "events": Measure(),
            },
        ),
    )
)

MARTS: dict[str, Explained] = {
    "sales_dynamics": SALES_DYNAMICS,
    "manager_performance": Explained(MANAGER_ROWS, MANAGER_RATIOS),
    "department_performance": Explained(tuple(map(_by_department, MANAGER_ROWS)), MANAGER_RATIOS),
    "manager_channel_performance": Explained(
        (
            Rows(
                "сделки",
                DEALS,
                MANAGER | {"channel_key": "last_touch_channel_key"},
                DEAL_SHOWN,
                CREATED | CLOSED | COHORT,
            ),
        ),
        WIN_RATE | AVG_CHECK | COHORT_CONVERSION,
    ),
    "repeat_sales": Explained(
        (
            Rows(
                "сделки",
                DEALS,
                MANAGER | {"pipeline_key": "pipeline_key", "is_repeat_sale": "is_repeat_sale"},
                DEAL_SHOWN,
                CLOSED | LOST_AMOUNT,
            ),
        )
    ),
    "lead_statistics": LEAD_STATISTICS,
    "channel_roi": CHANNEL_ROI,
    "funnel_stage_conversion": FUNNEL,
    "loss_analysis": LOSS,
    "call_analytics": CALL_ANALYTICS,
    "task_efficiency": TASK_EFFICIENCY,
    "client_rating": CLIENT_RATING,
    "client_abc": CLIENT_ABC,
    "product_performance": PRODUCTS,
    "invoice_summary": INVOICES,
    "funnel_stage_flow": FUNNEL_FLOW,
    "process_efficiency": PROCESSES,
    "project_performance": PROJECTS,
    "service_quality": SERVICE,
    "campaign_engagement": CAMPAIGNS,
    "time_allocation": TIME,
}

# of revenue that is made of invoices or payments
RECEIVED = frozenset(
    {
        "revenue", "revenue_repeat", "monetary", "revenue_with_cost", "avg_check", "cost_coverage", "plan_attainment",
        "romi", "roas", "cost_revenue_ratio",
    }
)  # fmt: skip


def closed_by(rules: Rules, mart: str, column: str) -> str:
    """The rule by which a column counts other rows than those told here, "" if there is none."""
    if rules.revenue_basis != "deal_amount" and column in RECEIVED:
        return f"revenue_basis is {rules.revenue_basis}"
    if rules.department_as_of != "current" and mart == "department_performance":
        return f"department_as_of is {rules.department_as_of}"
    return ""
