"""Business facts out of the portal's rows: leads, deals, calls, activities, tasks (2.2, 2.5, 2.6, R8 to R12)."""

import json
import re
from collections import Counter, defaultdict
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import date, datetime, timedelta
from decimal import Decimal
from fractions import Fraction
from functools import cached_property
from typing import Any

from .channels import ChannelMap, normal
from .settings import DEFAULTS, Settings
from .stages import LEADS, StageOrder, Stay, stays_by_owner
from .values import (
    ZERO,
    Clock,
    Rates,
    Row,
    amount_of,
    as_money,
    calendar_date,
    converted,
    currency_code,
    exact,
    flag,
    reference,
    rounded,
    rows_of,
    text,
    total,
    whole,
)

UNKNOWN_CLIENT = "unknown"
LEAD, DEAL, CONTACT, COMPANY = 1, 2, 3, 4
MEETING, CALL, EMAIL = 1, 2, 4
OUTGOING = 2
WAITING, IN_PROGRESS, AWAITING_CONTROL, DONE, DEFERRED = 2, 3, 4, 5, 6
SHORT_CALL_SECONDS = 60
BORN_FROM_CALL = timedelta(minutes=5)
NO_PRODUCT, FREE_TEXT_PRODUCT = 0, -1
NO_MANAGER = 0
OPEN_LINE_SESSION = "IMOPENLINES_SESSION"
SYSTEM = "0"  # who writes that an operator has come
NO_PROJECT = 0
FIRST_DAY_OFF = 5  # Saturday, counted from Monday as 0

_ENTITY_TYPES = {"LEAD": LEAD, "DEAL": DEAL, "CONTACT": CONTACT, "COMPANY": COMPANY}
_DIRECTIONS = {1: "out", 4: "out", 2: "in", 3: "in", 5: "info"}

Owner = tuple[int, int]  # entity type id, id
PlanKey = tuple[date, str, str, str]  # month, scope, its key, metric


@dataclass
class Lead:
    """An in-scope lead."""

    id: int
    manager_key: int
    outcome: str
    created_at: datetime
    is_repeat: bool
    channel_key: str
    utm_campaign: str
    phones: frozenset[str]
    row: Row
    status_id: str
    closed_at: datetime | None
    amount_rc: Decimal | None
    stays: list[Stay]
    client_key: str = UNKNOWN_CLIENT
    is_qualified: bool = False
    loss_reason: str | None = None

    @property
    def is_junk(self) -> bool:
        """Closed without success."""
        return self.outcome == "junk"


@dataclass
class ProductRow:
    """A product row of a deal, in the reporting currency; `allocated_rc` is its part of the deal's amount.

    `is_cost_dated`: its cost is that of its day, not today's.
    """

    id: int
    product_key: int
    quantity: Decimal = Decimal(0)
    amount_rc: Decimal | None = ZERO
    discount_rc: Decimal | None = ZERO
    cost_rc: Decimal | None = None
    is_cost_dated: bool = False
    allocated_rc: Decimal | None = None


@dataclass
class Deal:
    """An in-scope deal."""

    id: int
    pipeline_key: int
    stage_id: str
    outcome: str
    manager_key: int
    client_key: str
    lead_id: int | None
    row: Row
    deal_type: str | None
    amount_rc: Decimal | None
    created_at: datetime
    created_date: date
    closed_at: datetime | None
    closed_date: date | None
    moved_at: datetime | None
    channel_key: str
    utm_campaign: str
    stays: list[Stay]
    product_rows: list[ProductRow]
    probability: int | None
    planned_close: date | None
    last_activity_at: datetime | None = None
    acquisition_at: datetime | None = None
    won_number: int | None = None
    is_repeat_sale: bool = False
    is_repeat: bool = False  # the portal's own flag
    loss_reason: str | None = None
    received_rc: Decimal | None = None  # what was paid for it, where that is the revenue
    cost_rate: Decimal | None = None  # taken for costs that nobody knows
    first_touch: tuple[str, str] = ("", "")
    last_touch: tuple[str, str] = ("", "")

    @property
    def is_won(self) -> bool:
        """Closed with success."""
        return self.outcome == "won"

    @property
    def is_lost(self) -> bool:
        """Closed without success."""
        return self.outcome == "lost"

    @property
    def is_open(self) -> bool:
        """Neither won nor lost."""
        return self.outcome == "open"

    @property
    def revenue_rc(self) -> Decimal:
        """The amount if won, or what was paid."""
        if self.received_rc is not None:
            return self.received_rc
        return (self.amount_rc or ZERO) if self.is_won else ZERO

    @property
    def discount_rc(self) -> Decimal:
        """Discounts of all product rows."""
        return total(row.discount_rc for row in self.product_rows)

    @property
    def row_amount_rc(self) -> Decimal:
        """Amounts of all product rows, which may differ from the deal's."""
        return total(row.amount_rc for row in self.product_rows)

    @property
    def gross_profit_rc(self) -> Decimal | None:
        """Revenue without purchase costs; None unless every product row has its cost, or a rate stands for it."""
        if self.amount_rc is None and self.received_rc is None:
            return None
        costs = [row.cost_rc for row in self.parts]
        if None not in costs:
            return self.revenue_rc - total(costs)
        return None if self.cost_rate is None else converted(1 - self.cost_rate, self.revenue_rc)

    @property
    def is_carried_by_rows(self) -> bool:
        """Whether product rows share the amount; else a row without a product has it all."""
        return bool(self.row_amount_rc)

    @property
    def parts(self) -> list[ProductRow]:
        """Product rows, and the row without a product if they do not carry the amount."""
        if self.is_carried_by_rows:
            return self.product_rows
        return [*self.product_rows, ProductRow(-self.id, NO_PRODUCT, allocated_rc=self.amount_rc)]

    @property
    def cycle_days(self) -> int:
        """Whole days from creation to closing."""
        return (self.closed_date - self.created_date).days if self.closed_date else 0

    @property
    def reopen_count(self) -> int:
        """How often it came back from a final stage."""
        return sum(stay.is_reopen for stay in self.stays)

    @property
    def main_product_key(self) -> int:
        """Product of the largest row, the earliest of equals."""
        if not self.product_rows:
            return NO_PRODUCT
        smallest = Decimal("-Infinity")
        return max(
            self.product_rows, key=lambda row: (smallest if row.amount_rc is None else row.amount_rc, -row.id)
        ).product_key


@dataclass
class Call:
    """A call, its legs together."""

    direction: str
    manager_key: int
    started_at: datetime
    duration_seconds: int
    is_connected: bool
    line: str
    phone: str | None
    entity: Owner | None
    activity_id: int | None
    cost_rc: Decimal | None = None

    @property
    def is_missed(self) -> bool:
        """Incoming and nobody spoke."""
        return self.direction == "in" and not self.is_connected

    @property
    def is_short(self) -> bool:
        """Connected for less than a minute."""
        return self.is_connected and self.duration_seconds < SHORT_CALL_SECONDS


@dataclass
class Activity:
    """A CRM activity."""

    id: int
    type_id: int
    direction: int
    is_completed: bool
    manager_key: int
    created_at: datetime | None
    started_at: datetime | None
    completed_at: datetime | None
    owner: Owner | None
    bindings: frozenset[Owner]
    ended_at: datetime | None = None
    session_id: int | None = None  # of the chat it is the card of

    @property
    def is_response(self) -> bool:
        """What answers a request: a completed outgoing call or letter, or a meeting."""
        sent = self.type_id in {CALL, EMAIL} and self.direction == OUTGOING
        return self.is_completed and (sent or self.type_id == MEETING)


@dataclass
class Chat:
    """Messages of a session of an open line: all of them, and those that operators wrote."""

    moments: list[datetime]
    answers: list[datetime]


@dataclass
class Task:
    """A task."""

    id: int
    manager_key: int
    status: int
    created_at: datetime
    closed_at: datetime | None
    deadline_at: datetime | None
    deal_id: int | None
    project_key: int = NO_PROJECT
    estimate_seconds: int = 0
    spent_seconds: int = 0
    mark: str | None = None
    returns_count: int = 0

    @property
    def is_done(self) -> bool:
        """Status 5."""
        return self.status == DONE

    def is_overdue(self, as_of: datetime) -> bool:
        """Closed after its deadline, or still open after it."""
        return self.deadline_at is not None and (self.closed_at or as_of) > self.deadline_at


@dataclass
class TimeEntry:
    """Elapsed time written to a task."""

    task_id: int
    seconds: int
    started_at: datetime
    manager_key: int = NO_MANAGER


@dataclass(frozen=True)
class Receipt:
    """Revenue of a deal and the day it is recognised on."""

    deal: "Deal"
    day: date
    amount_rc: Decimal


@dataclass
class Spend:
    """A row of advertising costs."""

    spend_date: date
    channel_key: str
    utm_campaign: str
    impressions: int
    clicks: int
    cost_rc: Decimal | None
    cost_type: str


@dataclass
class User:
    """A portal user as far as the marts need him."""

    is_active: bool
    department_key: int


@dataclass
class Facts:
    """All facts in scope."""

    clock: Clock
    order: StageOrder
    settings: Settings = DEFAULTS
    leads: dict[int, Lead] = field(default_factory=dict)
    deals: dict[int, Deal] = field(default_factory=dict)
    calls: list[Call] = field(default_factory=list)
    activities: list[Activity] = field(default_factory=list)
    chats: dict[int, Chat] = field(default_factory=dict)  # by session
    tasks: dict[int, Task] = field(default_factory=dict)
    time_entries: list[TimeEntry] = field(default_factory=list)
    receipts: list[Receipt] = field(default_factory=list)
    changed_days: Mapping[date, bool] = field(default_factory=dict)  # workdays and days off by the file
    users: dict[int, User] = field(default_factory=dict)
    parents: dict[int, int | None] = field(default_factory=dict)  # of departments
    my_companies: frozenset[int] = frozenset()
    merged_clients: Mapping[str, str] = field(default_factory=dict)
    employers: Mapping[int, int | None] = field(default_factory=dict)  # companies of contacts

    @cached_property
    def deals_by_lead(self) -> dict[int, list[Deal]]:
        """Deals of each lead, by id."""
        result: dict[int, list[Deal]] = defaultdict(list)
        for deal in self.deals.values():
            if deal.lead_id in self.leads:
                result[deal.lead_id].append(deal)
        return result

    @property
    def deals_without_lead(self) -> list[Deal]:
        """Deals that are requests of their own, where such are asked for (D8)."""
        if self.settings.lead_mode != "requests":
            return []
        return [deal for deal in self.deals.values() if deal.lead_id not in self.leads]

    def department_of(self, manager_key: int) -> int:
        """Main department of a user; 0 for nobody's and unknown ones."""
        user = self.users.get(manager_key)
        return user.department_key if user else 0

    def departments_above(self, department_key: int) -> list[int]:
        """A department and all it belongs to; those of a ring belong to none."""
        chain = [department_key]
        while parent := self._parent(chain[-1]):
            chain.append(parent)
        return chain

    def _parent(self, department_key: int) -> int | None:
        passed = set()
        above = parent = self.parents.get(department_key)
        while above and above not in passed:
            passed.add(above)
            above = self.parents.get(above)
        return parent if department_key not in passed and parent in self.parents else None

    def client_of(self, owner: Owner | None) -> str:
        """Client of the element a call or an activity belongs to."""
        kind, number = owner or (0, 0)
        if kind == LEAD and number in self.leads:
            return self.leads[number].client_key
        if kind == DEAL and number in self.deals:
            return self.deals[number].client_key
        if kind == CONTACT:
            return self.client(None, number)
        if kind == COMPANY:
            return self.client(number, None)
        return UNKNOWN_CLIENT

    def client(self, company_id: int | None, contact_id: int | None) -> str:
        """The company unless it is one of our own, else the contact, else unknown; whoever they were merged into."""
        company = f"C{company_id}" if company_id and company_id not in self.my_companies else None
        contact = self._contact(contact_id) if contact_id else None
        if self.settings.client_priority == "contact_first":
            key = contact or company or UNKNOWN_CLIENT
        else:
            key = company or contact or UNKNOWN_CLIENT
        passed = set()
        while key in self.merged_clients and key not in passed:
            passed.add(key)
            key = self.merged_clients[key]
        return key

    def _contact(self, contact_id: int) -> str:
        employer = self.employers.get(contact_id) if self.settings.rollup_contact_to_company else None
        return f"C{employer}" if employer and employer not in self.my_companies else f"P{contact_id}"

    def counts(self, user_id: int | None, title: Any = None, pipeline_key: int | None = None) -> bool:
        """Whether what a user is responsible for, with that title and pipeline, is in scope (R8)."""
        pattern = self.settings.test_title_regex
        is_test = pattern is not None and re.search(pattern, text(title) or "", re.IGNORECASE) is not None
        return (
            (user_id or NO_MANAGER) not in self.settings.excluded_user_ids
            and pipeline_key not in self.settings.excluded_category_ids
            and not is_test
        )


def is_workday(day: date, changed_days: Mapping[date, bool]) -> bool:
    """Monday to Friday unless the file says otherwise."""
    return changed_days.get(day, day.weekday() < FIRST_DAY_OFF)


def allocated(amount: Decimal, row_amounts: Sequence[Decimal]) -> list[Decimal]:
    """Shares of a deal's amount by its product rows (2.7), in their order; they sum up to the amount.

    Rows that sum up to nothing get nothing: the amount then belongs to no product.
    """
    whole_sum = Fraction(sum(row_amounts, ZERO))
    if not whole_sum:
        return [ZERO for _ in row_amounts]
    shares, running, before = [], Fraction(0), ZERO
    for row_amount in row_amounts:
        running += Fraction(row_amount)
        upto = rounded(Fraction(amount) * running / whole_sum, 2)
        shares.append(upto - before)
        before = upto
    return shares


def phone_number(value: Any) -> str | None:
    """The last ten digits: how numbers are compared everywhere."""
    return re.sub(r"\D", "", text(value) or "")[-10:] or None


def _listed(value: Any) -> list[Any]:
    if isinstance(value, str):
        value = json.loads(value) if value.startswith("[") else []
    return value if isinstance(value, list) else []


def _outcome(semantics: Any, won: str, lost: str) -> str:
    return {"S": won, "F": lost}.get(text(semantics) or "P", "open")


def _users(truth: Mapping[str, Any]) -> dict[int, User]:
    users = {}
    for row in rows_of(truth, "users"):
        departments = _listed(row.get("uf_department"))
        users[int(row["id"])] = User(flag(row.get("active")), reference(departments[0]) or 0 if departments else 0)
    return users


def _leads(truth: Mapping[str, Any], facts: Facts, channels: ChannelMap, rates: Rates) -> None:
    clock = facts.clock
    history = [
        {**row, "category_id": LEADS, "stage_id": row["status_id"], "stage_semantic_id": row.get("status_semantic_id")}
        for row in rows_of(truth, "lead_stage_history")
    ]
    stays = stays_by_owner(history, facts.order, clock)
    reasons = Labels(truth, facts.settings.loss_reason_field)
    statuses_of: dict[int, set[str]] = defaultdict(set)
    for row in history:
        statuses_of[whole(row.get("owner_id"))].add(str(row["stage_id"]))
    for row in rows_of(truth, "leads"):
        created_at = clock.instant(row["date_create"])
        assert created_at
        number = int(row["id"])
        if not facts.counts(reference(row.get("assigned_by_id")), row.get("title")):
            continue
        outcome = _outcome(row.get("status_semantic_id"), "converted", "junk")
        closed_at = None if outcome == "open" else clock.instant(row.get("date_closed"))
        rate = rates.on(currency_code(row.get("currency_id")), clock.day(closed_at) if closed_at else clock.today)
        phones = (phone_number(phone.get("VALUE")) for phone in _listed(row.get("phone")))
        facts.leads[number] = Lead(
            id=number,
            manager_key=reference(row.get("assigned_by_id")) or NO_MANAGER,
            outcome=outcome,
            created_at=created_at,
            is_repeat=flag(row.get("is_return_customer")),
            channel_key=channels.channel(row),
            utm_campaign=normal(row.get("utm_campaign")),
            phones=frozenset(phone for phone in phones if phone),
            row=row,
            status_id=str(row["status_id"]),
            closed_at=closed_at,
            amount_rc=converted(rate, amount_of(row.get("opportunity"))),
            stays=stays.get(number, []),
            client_key=facts.client(reference(row.get("company_id")), reference(row.get("contact_id"))),
            is_qualified=outcome == "converted"
            or bool({str(row["status_id"]), *statuses_of[number]} & set(facts.settings.qualified_lead_status_ids)),
            loss_reason=reasons.of(row),
        )


def _product_rows(truth: Mapping[str, Any]) -> dict[int, list[dict[str, Any]]]:
    result: dict[int, list[dict[str, Any]]] = defaultdict(list)
    for row in rows_of(truth, "deal_product_rows"):
        if reference(row.get("id")):
            result[int(row["owner_id"])].append(row)
    return result


class Prices:
    """Purchase prices: those of the file from their day on, else those seen in the catalogue by then, else today's."""

    def __init__(
        self,
        products: Iterable[Row],
        seen: Iterable[tuple[date, Iterable[Row]]],
        product_cost: Iterable[Row],
        rates: Rates,
    ) -> None:
        self._rates = rates
        self._catalogue = {int(row["id"]): row for row in products}
        self._seen = sorted(((day, {int(row["id"]): row for row in rows}) for day, rows in seen), key=lambda at: at[0])
        self._dated: dict[int, list[tuple[date, Row]]] = defaultdict(list)
        for row in product_cost:
            if valid_from := calendar_date(row.get("valid_from")):
                self._dated[int(row["product_id"])].append((valid_from, row))

    def cost_rc(self, product_key: int, quantity: Decimal, day: date) -> tuple[Decimal | None, bool]:
        """What a quantity cost by the rate of a day, and whether the price is of that day too."""
        dated = [(since, row) for since, row in self._dated.get(product_key, []) if since <= day]
        if dated:
            row = max(dated, key=lambda entry: entry[0])[1]
            currency = currency_code(row.get("currency")) or self._rates.reporting_currency
            return converted(self._rates.on(currency, day), exact(row["cost"]), quantity), True
        versions = [rows[product_key] for since, rows in self._seen if since <= day and product_key in rows]
        is_dated = bool(versions) and exact(versions[-1].get("purchasing_price")) is not None
        product = versions[-1] if is_dated else self._catalogue.get(product_key, {})
        rate = self._rates.on(currency_code(product.get("purchasing_currency")), day)
        return converted(rate, exact(product.get("purchasing_price")), quantity), is_dated


def _priced(
    rows: Iterable[Row], amount: Decimal | None, rate: Decimal | None, prices: Prices, day: date
) -> list[ProductRow]:
    result = []
    for row in sorted(rows, key=lambda row: int(row["id"])):
        quantity = exact(row.get("quantity")) or Decimal(0)
        product_key = reference(row.get("product_id")) or FREE_TEXT_PRODUCT
        cost_rc, is_cost_dated = prices.cost_rc(product_key, quantity, day)
        result.append(
            ProductRow(
                id=int(row["id"]),
                product_key=product_key,
                quantity=quantity,
                amount_rc=converted(rate, exact(row.get("price")), quantity),
                discount_rc=converted(rate, exact(row.get("discount_sum")), quantity),
                cost_rc=cost_rc,
                is_cost_dated=is_cost_dated,
            )
        )
    if amount is not None:
        for row, part in zip(result, allocated(amount, [row.amount_rc or ZERO for row in result]), strict=True):
            row.allocated_rc = part
    return result


class Labels:
    """What is chosen in one custom field, as the portal shows it."""

    def __init__(self, truth: Mapping[str, Any], name: str | None) -> None:
        self._column = (name or "").lower()
        self._labels = {
            str(option["ID"]): text(option["VALUE"])
            for field in rows_of(truth, "custom_fields")
            if str(field.get("field_name")).lower() == self._column
            for option in field.get("list") or field.get("enum") or []
        }

    def of(self, row: Row) -> str | None:
        """The label of what is chosen on a card, an id if the option is no more (R7); None if nothing is."""
        chosen = text(row.get(self._column))
        return (self._labels.get(chosen) or f"#{chosen}") if chosen else None


def closed_at_of(row: Row, stays: Sequence[Stay], clock: Clock, source: str = "stage_history") -> datetime | None:
    """When a won or lost element closed (R11)."""
    if source == "closedate" and (named := calendar_date(row.get("closedate"))):
        return clock.midnight(named)
    if stays and stays[-1].stage_id == row["stage_id"]:
        return stays[-1].entered_at
    if moved_at := clock.instant(row.get("moved_time")):
        return moved_at
    planned = calendar_date(row.get("closedate"))
    return clock.midnight(planned) if planned else clock.instant(row.get("date_modify"))


def _deals(truth: Mapping[str, Any], facts: Facts, channels: ChannelMap, rates: Rates, prices: Prices) -> None:
    clock = facts.clock
    stays = stays_by_owner(rows_of(truth, "deal_stage_history"), facts.order, clock)
    product_rows = _product_rows(truth)
    reasons = Labels(truth, facts.settings.loss_reason_field)
    for row in rows_of(truth, "deals"):
        in_scope = facts.counts(reference(row.get("assigned_by_id")), row.get("title"), whole(row.get("category_id")))
        if flag(row.get("is_recurring")) or not in_scope:
            continue
        number = int(row["id"])
        outcome = _outcome(row.get("stage_semantic_id"), "won", "lost")
        created_at = clock.instant(row["date_create"])
        assert created_at
        closed_at = (
            None
            if outcome == "open"
            else closed_at_of(row, stays.get(number, []), clock, facts.settings.close_date_source)
        )
        closed_date = clock.day(closed_at) if closed_at else None
        rate = rates.on(currency_code(row.get("currency_id")), closed_date or clock.today)
        amount_rc = converted(rate, amount_of(row.get("opportunity")))
        cost_day = closed_date if closed_date and outcome == "won" else clock.today
        facts.deals[number] = Deal(
            id=number,
            pipeline_key=whole(row.get("category_id")),
            stage_id=str(row["stage_id"]),
            outcome=outcome,
            manager_key=reference(row.get("assigned_by_id")) or NO_MANAGER,
            client_key=facts.client(reference(row.get("company_id")), reference(row.get("contact_id"))),
            lead_id=reference(row.get("lead_id")),
            row=row,
            deal_type=text(row.get("type_id")),
            amount_rc=amount_rc,
            created_at=created_at,
            created_date=clock.day(created_at),
            closed_at=closed_at,
            closed_date=closed_date,
            moved_at=clock.instant(row.get("moved_time")),
            channel_key=channels.channel(row),
            utm_campaign=normal(row.get("utm_campaign")),
            stays=stays.get(number, []),
            product_rows=_priced(product_rows.get(number, []), amount_rc, rate, prices, cost_day),
            probability=whole(row.get("probability")) or None,
            planned_close=calendar_date(row.get("closedate")),
            last_activity_at=clock.instant(row.get("last_activity_time")),
            is_repeat=flag(row.get("is_return_customer")),
            loss_reason=reasons.of(row),
            cost_rate=facts.settings.default_cost_rate,
        )


def _activities(truth: Mapping[str, Any], facts: Facts) -> list[Activity]:
    activities, clock = [], facts.clock
    for row in rows_of(truth, "activities"):
        if not facts.counts(reference(row.get("responsible_id"))):
            continue
        is_completed = flag(row.get("completed"))
        ended_at, updated_at = clock.instant(row.get("end_time")), clock.instant(row.get("last_updated"))
        completed_at = ended_at if ended_at and updated_at and ended_at <= updated_at else updated_at
        owner = _owner(row.get("owner_type_id"), row.get("owner_id"))
        bindings = [_owner(bound.get("OWNER_TYPE_ID"), bound.get("OWNER_ID")) for bound in _listed(row.get("bindings"))]
        activities.append(
            Activity(
                id=int(row["id"]),
                type_id=whole(row.get("type_id")),
                direction=whole(row.get("direction")),
                is_completed=is_completed,
                manager_key=reference(row.get("responsible_id")) or NO_MANAGER,
                created_at=clock.instant(row.get("created")),
                started_at=clock.instant(row.get("start_time")),
                completed_at=completed_at if is_completed else None,
                owner=owner,
                bindings=frozenset(bound for bound in (owner, *bindings) if bound),
                ended_at=ended_at,
                session_id=reference(row.get("associated_entity_id"))
                if row.get("provider_id") == OPEN_LINE_SESSION
                else None,
            )
        )
    return activities


def _chats(truth: Mapping[str, Any], clock: Clock) -> dict[int, Chat]:
    chats = {}
    for session in rows_of(truth, "openline_sessions"):
        # a dismissed operator is not among the users of the chat
        others = {
            SYSTEM,
            *(str(key) for key, user in session["users"].items() if user["connector"] or user["bot"]),
        }
        messages = [
            (moment, str(message["senderid"]))
            for message in session["message"].values()
            if (moment := clock.instant(message["date"]))
        ]
        answers = [moment for moment, sender in messages if sender not in others]
        chats[whole(session["session_id"])] = Chat([moment for moment, _ in messages], answers)
    return chats


def _owner(kind: Any, number: Any) -> Owner | None:
    type_id, owner_id = reference(kind), reference(number)
    return (type_id, owner_id) if type_id and owner_id else None


def _is_connected(leg: Row) -> bool:
    return leg.get("call_failed_code") == "200" and whole(leg.get("call_duration")) > 0


def _calls(truth: Mapping[str, Any], facts: Facts, rates: Rates) -> list[Call]:
    clock = facts.clock
    legs_by_call: dict[str, list[dict[str, Any]]] = defaultdict(list)
    for row in rows_of(truth, "calls"):
        legs_by_call[text(row.get("call_id")) or f"row {row['id']}"].append(row)
    calls = []
    for legs in legs_by_call.values():
        legs.sort(key=lambda leg: int(leg["id"]))
        leg = next(filter(_is_connected, legs), legs[0])
        starts = [start for start in (clock.instant(each.get("call_start_date")) for each in legs) if start]
        direction = _DIRECTIONS.get(whole(leg.get("call_type")), "info")
        if direction == "info" or not starts or not facts.counts(reference(leg.get("portal_user_id"))):
            continue
        kind = _ENTITY_TYPES.get((text(leg.get("crm_entity_type")) or "").upper())
        currency = currency_code(leg.get("cost_currency")) or rates.reporting_currency
        calls.append(
            Call(
                direction=direction,
                manager_key=reference(leg.get("portal_user_id")) or NO_MANAGER,
                started_at=min(starts),
                duration_seconds=whole(leg.get("call_duration")),
                is_connected=_is_connected(leg),
                line=text(leg.get("portal_number")) or "",
                phone=phone_number(leg.get("phone_number")),
                entity=_owner(kind, leg.get("crm_entity_id")),
                activity_id=reference(leg.get("crm_activity_id")),
                cost_rc=converted(rates.on(currency, clock.day(min(starts))), amount_of(leg.get("cost"))),
            )
        )
    return calls


def _returns(truth: Mapping[str, Any]) -> Counter[int]:
    """How often each task came back from done, or from waiting for control, to work."""
    return Counter(
        whole(row.get("task_id"))
        for row in rows_of(truth, "task_history")
        if row.get("field") == "STATUS"
        and whole(row["value"].get("from")) in {AWAITING_CONTROL, DONE}
        and whole(row["value"].get("to")) in {WAITING, IN_PROGRESS}
    )


def _tasks(truth: Mapping[str, Any], facts: Facts) -> dict[int, Task]:
    tasks, returns, clock = {}, _returns(truth), facts.clock
    for row in rows_of(truth, "tasks"):
        if not facts.counts(reference(row.get("responsible_id")), row.get("title")):
            continue
        created_at = clock.instant(row.get("created_date"))
        assert created_at
        links = (str(link) for link in _listed(row.get("uf_crm_task")))
        deal_link = next((link for link in links if link.startswith("D_")), None)
        tasks[int(row["id"])] = Task(
            id=int(row["id"]),
            manager_key=reference(row.get("responsible_id")) or NO_MANAGER,
            status=whole(row.get("status")),
            created_at=created_at,
            closed_at=clock.instant(row.get("closed_date")),
            deadline_at=clock.instant(row.get("deadline")),
            deal_id=reference(deal_link[2:]) if deal_link else None,
            project_key=reference(row.get("group_id")) or NO_PROJECT,
            estimate_seconds=whole(row.get("time_estimate")),
            spent_seconds=whole(row.get("time_spent_in_logs")),
            mark=text(row.get("mark")),
            returns_count=returns[int(row["id"])],
        )
    return tasks


def _time_entries(truth: Mapping[str, Any], facts: Facts) -> list[TimeEntry]:
    entries, clock = [], facts.clock
    left_out = {int(row["id"]) for row in rows_of(truth, "tasks")} - facts.tasks.keys()
    for row in rows_of(truth, "time_entries"):
        if not facts.counts(reference(row.get("user_id"))) or whole(row.get("task_id")) in left_out:
            continue
        # an entry by hand for a past day has the day of work in CREATED_DATE, one by timer in DATE_START
        moments = (clock.instant(row.get("created_date")), clock.instant(row.get("date_start")))
        known = [moment for moment in moments if moment]
        task_id = reference(row.get("task_id"))
        if known and task_id:
            manager_key = reference(row.get("user_id")) or NO_MANAGER
            entries.append(TimeEntry(task_id, whole(row.get("seconds")), min(known), manager_key))
    return entries


def _resolve_lead_clients(facts: Facts) -> None:
    for lead in facts.leads.values():
        if lead.client_key == UNKNOWN_CLIENT:
            deals = sorted(facts.deals_by_lead.get(lead.id, []), key=lambda deal: deal.id)
            known = [deal.client_key for deal in deals if deal.client_key != UNKNOWN_CLIENT]
            lead.client_key = known[0] if known else UNKNOWN_CLIENT


def _number_sales(facts: Facts) -> None:
    won: dict[str, list[tuple[datetime, int]]] = defaultdict(list)
    for deal in facts.deals.values():
        if deal.is_won and deal.closed_at and deal.client_key != UNKNOWN_CLIENT:
            won[deal.client_key].append((deal.closed_at, deal.id))
    for sales in won.values():
        sales.sort()
    for deal in facts.deals.values():
        sales = won.get(deal.client_key, [])
        if deal.is_won and deal.closed_at and sales:
            deal.won_number = sales.index((deal.closed_at, deal.id)) + 1
            deal.is_repeat_sale = deal.won_number > 1
        elif sales and not deal.is_won:
            deal.is_repeat_sale = sales[0][0] < deal.created_at


def _complete_deals(facts: Facts) -> None:
    for activity in facts.activities:
        if activity.owner and activity.owner[0] == DEAL and activity.created_at:
            owner = facts.deals.get(activity.owner[1])
            if owner and (owner.last_activity_at is None or owner.last_activity_at < activity.created_at):
                owner.last_activity_at = activity.created_at
    for deal in facts.deals.values():
        lead = facts.leads.get(deal.lead_id or 0)
        deal.acquisition_at = lead.created_at if lead else deal.created_at


def build_facts(
    truth: Mapping[str, Any],
    clock: Clock,
    rates: Rates,
    channels: ChannelMap,
    product_cost: Sequence[Row] = (),
    client_merge_map: Sequence[Row] = (),
    holidays: Sequence[Row] = (),
    settings: Settings = DEFAULTS,
    product_history: Sequence[tuple[date, Sequence[Row]]] = (),
) -> Facts:
    """All in-scope facts of a portal, with clients, rates and sales numbered."""
    companies = rows_of(truth, "companies")
    facts = Facts(clock, StageOrder(rows_of(truth, "statuses")), settings)
    facts.changed_days = {date.fromisoformat(row["date"][:10]): flag(row["is_workday"]) for row in holidays}
    facts.employers = {int(row["id"]): reference(row.get("company_id")) for row in rows_of(truth, "contacts")}
    facts.my_companies = frozenset(int(row["id"]) for row in companies if flag(row.get("is_my_company")))
    facts.merged_clients = {row["old_key"].strip(): row["new_key"].strip() for row in client_merge_map}
    facts.users = _users(truth)
    facts.parents = {int(row["id"]): reference(row.get("parent")) for row in rows_of(truth, "departments")}
    _leads(truth, facts, channels, rates)
    prices = Prices(rows_of(truth, "products"), product_history, product_cost, rates)
    _deals(truth, facts, channels, rates, prices)
    facts.activities = _activities(truth, facts)
    facts.chats = _chats(truth, clock)
    facts.calls = _calls(truth, facts, rates)
    facts.tasks = _tasks(truth, facts)
    facts.time_entries = _time_entries(truth, facts)
    _resolve_lead_clients(facts)
    _number_sales(facts)
    _complete_deals(facts)
    return facts


def read_spend(rows: Iterable[Mapping[str, str]], rates: Rates, clock: Clock) -> list[Spend]:
    """Rows of the advertising costs file up to the running month; an empty currency is the reporting one."""
    spend = []
    for row in rows:
        spend_date = calendar_date(row.get("spend_date"))
        if spend_date is None or spend_date.replace(day=1) > clock.running_month:
            continue
        currency = currency_code(row.get("currency")) or rates.reporting_currency
        spend.append(
            Spend(
                spend_date=spend_date,
                channel_key=(row.get("channel_key") or "").strip(),
                utm_campaign=normal(row.get("utm_campaign")),
                impressions=whole(row.get("impressions")),
                clicks=whole(row.get("clicks")),
                cost_rc=converted(rates.on(currency, spend_date), amount_of(row.get("cost"))),
                cost_type=(row.get("cost_type") or "").strip() or "ad",
            )
        )
    return spend


def read_plans(rows: Iterable[Mapping[str, str]]) -> dict[PlanKey, Decimal]:
    """Plans by month, scope, its key and metric; of equal keys the later row wins."""
    plans: dict[PlanKey, Decimal] = {}
    for row in rows:
        month, value = calendar_date(row.get("period_month")), exact(row.get("plan_value"))
        if month and value is not None:
            scope, scope_key, metric = ((row.get(name) or "").strip() for name in ("scope", "scope_key", "metric"))
            plans[month.replace(day=1), scope, scope_key, metric] = as_money(value)
    return plans
