"""The portal itself: who may ask what, how often, and what comes back."""

from __future__ import annotations

import hashlib
import logging
import re
import time
from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import datetime
from pathlib import Path
from typing import Any, NamedTuple, Protocol

import orjson

from demo.server import batch, rest_v3
from demo.server.answers import Method, View
from demo.server.clock import Monotonic, PortalClock
from demo.server.errors import RestError, operation_limit, query_limit
from demo.server.faults import BREAKAGES, DELAYS, HTML_PAGES, METHOD_LIMIT, NONE, REFUSALS, FaultPlan, FaultSource
from demo.server.generated import GeneratedIndex
from demo.server.limits import LeakyBucket, OperatingBudget
from demo.server.methods import ALL_SCOPES, METHODS
from demo.server.mutations import Mutator
from demo.server.packing import dumps
from demo.server.parameters import Params, array_items
from demo.server.statistics import Statistics
from demo.server.store import RowTable, Store
from demo.world.fields import TABLE_ENTITIES
from demo.world.generated import GeneratedDeals

SECTIONS = "catalog.section.list"
logger = logging.getLogger("demo.portal")


class World(Protocol):
    """The data behind the portal, as `demo.world.World` gives it."""

    deleted: dict[str, list[int]]

    @property
    def now(self) -> datetime:
        """The moment up to which the data has been lived, in the portal's zone."""

    @property
    def tables(self) -> dict[str, Any]:
        """Tables by the names of the raw schema."""

    def advance(
        self, days: int, *, deletions: bool = ..., merges: bool = ..., restores: bool = ..., silent: bool = ...
    ) -> None:
        """Let days pass from `now` on; the rest is what happens at the end."""

    def change_custom_field(self, operation: str, entity: str, field_name: str, **details: Any) -> dict[str, Any]:
        """Change a custom field and return its definition."""

    def truth(self) -> dict[str, Any]:
        """Return everything as JSON-able values."""

    def bank_rates(self) -> list[dict[str, Any]]:
        """Return the rates of the bank beside the portal."""

    def write_inputs(self, folder: Path) -> None:
        """Write the input files of the company."""


def derived_code(seed: int) -> str:
    """Return the webhook's secret for a seed: 16 letters and digits, as portals make them."""
    return hashlib.sha256(f"stand-in portal {seed}".encode()).hexdigest()[:16]


class Webhook(NamedTuple):
    """One way in: whose it is, and its secret."""

    user_id: int
    code: str

    def __repr__(self) -> str:
        return f"Webhook(user_id={self.user_id})"


@dataclass(kw_only=True)
class PortalOptions:
    """How a portal behaves.

    Attributes:
        seed: of the webhook's code, the faults and the mutations.
        code: the webhook's secret; derived from the seed when empty.
        user_id: whose webhook it is; the first user when no such user exists.
        webhooks: how many webhooks there are, each of another administrator with an operating budget of its own; the
            bucket of requests is common to all.
        generated_deals: deals are a table of so many rows made from their ids, not those of the world; 0: the world's.
        id_gaps: share of the ids of such deals that no row has.
        frozen: the portal's clock stands still.
        limits: False switches the leaky bucket and the operating budget off; answers then name no `operating`.
        rate, burst: the leaky bucket, in requests per second and requests.
        operating_budget, operating_window: seconds of work per method within seconds of time.
        seconds_per_command, seconds_per_row: the work that is accounted; `real_time` also sleeps it.
        request_seconds: a request with more work than this ends in a gateway's 504.
        crm_mode: 1 classic; 2 simple: lists of leads are empty.
        sections_at_top: `catalog.section.list` answers `sections` beside `time`, without `result`.
        owner_array: what an array in `=ownerId` of product rows gets: "refuse" (400), "in" (rows of all), "first".
        truth_folder, inputs_folder: where truth.json and the CSV inputs are written, again after each advance.
    """

    seed: int = 7
    code: str = field(default="", repr=False)
    user_id: int = 1
    webhooks: int = 1
    generated_deals: int = 0
    id_gaps: float = 0.0
    frozen: bool = False
    limits: bool = True
    rate: float = 2.0
    burst: float = 50.0
    operating_budget: float = 480.0
    operating_window: float = 600.0
    seconds_per_command: float = 0.02
    seconds_per_row: float = 0.0002
    real_time: bool = False
    request_seconds: float = 60.0
    crm_mode: int = 1
    sections_at_top: bool = False
    owner_array: str = "refuse"
    faults: FaultPlan = field(default_factory=FaultPlan)
    truth_folder: Path | None = None
    inputs_folder: Path | None = None


@dataclass(frozen=True)
class Reply:
    """An HTTP answer, how long to wait before it, and how it breaks ("reset", "truncate")."""

    status: int
    body: bytes
    content_type: str = "application/json; charset=utf-8"
    location: str = ""
    delay_s: float = 0.0
    breakage: str = ""


class Portal:
    """One portal with its webhooks.

    Not safe for threads: one event loop asks it, one request at a time.
    """

    def __init__(self, world: World, options: PortalOptions, *, monotonic: Monotonic = time.monotonic) -> None:
        self.world = world
        self.options = options
        self.statistics = Statistics()
        self.clock = PortalClock(world.now, frozen=options.frozen, monotonic=monotonic)
        zone = world.now.tzinfo
        if zone is None:
            raise ValueError("the world's clock must have an offset: it is the portal's zone")
        self._zone = zone
        self._monotonic = monotonic
        self._started_at = monotonic()
        self._generated = _generate_deals(world, options)
        self._store = Store(world, zone, {"deals": GeneratedIndex(self._generated, zone)} if self._generated else None)
        self._mutator = Mutator(world, self._store, options.seed, fixed=("deals",) if self._generated else ())
        self._faults = FaultSource(options.seed, options.faults)
        self._bucket = LeakyBucket(options.rate, options.burst, monotonic)
        self.webhooks = _issue_webhooks(world.tables["users"], options)
        self._budgets = {
            webhook: OperatingBudget(options.operating_budget, options.operating_window, monotonic)
            for webhook in self.webhooks
        }
        self._budget = self._budgets[self.webhooks[0]]  # of the webhook that is being answered
        self._view = View(
            self._store,
            self.clock.now,
            self.user_id,
            owner_array=options.owner_array,
            crm_mode=options.crm_mode,
        )
        self._work_s = 0.0
        self.set_faults(options.faults)
        self._write_files()

    @property
    def user_id(self) -> int:
        """Whose the first webhook is."""
        return self.webhooks[0].user_id

    @property
    def code(self) -> str:
        """The first webhook's secret."""
        return self.webhooks[0].code

    def uptime_s(self) -> float:
        """Return the seconds since the portal's start."""
        return self._monotonic() - self._started_at

    # what the control API does

    def set_faults(self, plan: FaultPlan) -> None:
        """Replace the whole plan of faults; the draw starts again from the seed."""
        self._faults = FaultSource(self.options.seed, plan)
        self._view.is_admin = not plan.not_admin
        self._view.scopes = tuple(scope for scope in ALL_SCOPES if scope not in plan.missing_scopes)
        self._admitted = 0
        self.clock.zone = plan.utc_offset()
        self._store.zone = self.clock.zone or self._zone
        self._store.cut_rights(plan.rights_cut)

    @property
    def faults(self) -> FaultPlan:
        """The plan in force."""
        return self._faults.plan

    def advance(self, days: int, **events: bool) -> None:
        """Let days pass; the clock then shows where the data ends, and limits start afresh.

        Args:
            days: how many.
            events: `deletions`, `merges` (with `silent`), `restores`.
        """
        self.world.advance(days, **{name: True for name, wanted in events.items() if wanted})
        if self._generated:
            self._generated.advance(int(self.world.now.timestamp()))
        self.clock.set(self.world.now)
        self._store.forget()
        self._bucket.empty()
        for budget in self._budgets.values():
            budget.empty()
        self._write_files()

    def truth(self) -> dict[str, Any]:
        """Return the world's truth; of generated deals only what tells how many there are."""
        truth = self.world.truth()
        if self._generated:
            truth |= {"deals": [], "meta": {**truth["meta"], "generated_deals": self._generated.summary()}}
        return truth

    def mutate(self, operation: str, **choice: Any) -> dict[str, Any]:
        """Insert, update or delete one CRM row; see `Mutator.apply`."""
        done = self._mutator.apply(operation, self.clock.now().astimezone(self._zone), **choice)
        if done:
            self.statistics.mutations[operation] += 1
        return done

    def change_custom_field(self, operation: str, entity: str, field_name: str, **details: Any) -> dict[str, Any]:
        """Change a custom field as an administrator would; see `FieldDrift.apply`."""
        definition = self.world.change_custom_field(operation, entity, field_name, **details)
        self._store.forget("custom_fields", *self.world.tables.keys() & TABLE_ENTITIES.keys())
        return definition

    def reset_statistics(self) -> None:
        """Start counting from zero."""
        self.statistics = Statistics()

    def _write_files(self) -> None:
        if folder := self.options.truth_folder:
            folder.mkdir(parents=True, exist_ok=True)
            (folder / "truth.json").write_bytes(orjson.dumps(self.truth()))
        if folder := self.options.inputs_folder:
            folder.mkdir(parents=True, exist_ok=True)
            self.world.write_inputs(folder)

    # what a webhook sees

    def receive(self, user: str, code: str, path: str, params: Params) -> Reply:
        """Answer one request to `/rest/<user>/<code>/<path>`; REST 3.0 lies under `/rest/api/<user>/<code>/<path>`."""
        methods, place = METHODS, f"{user}/{code}/{path}"
        if user == "api":
            methods = rest_v3.METHODS
            user, (code, _, path) = code, path.partition("/")
        name = path.removesuffix(".json").lower()
        self.statistics.requests += 1
        plan = self._faults.plan
        if plan.redirect:
            return Reply(302, b"", location=f"{plan.redirect.rstrip('/')}/rest/{place}")
        mutation, fault = self._faults.draw()
        if mutation != NONE:
            self.mutate(mutation)
        if fault != NONE:
            self.statistics.faults[fault] += 1
        if fault in HTML_PAGES:
            return _gateway_page(HTML_PAGES[fault])
        started = time.perf_counter()
        self._work_s = 0.0
        try:
            if fault in REFUSALS:
                raise RestError(*REFUSALS[fault])
            self._authorize(user, code)
            if self.options.limits and not self._bucket.admit():
                raise query_limit()
            envelope = self._dispatch(name, params, fault == METHOD_LIMIT, methods)
            if self.options.sections_at_top and name == SECTIONS:
                envelope |= envelope.pop("result")
        except RestError as error:
            self._count_error(error)
            reply = Reply(error.status, orjson.dumps(error.body()))
        else:
            reply = Reply(200, self._in_zone(dumps(envelope)))
            if self._work_s > self.options.request_seconds:
                reply = _gateway_page(504)
        logger.info("%s %d, %.3f s", name, reply.status, time.perf_counter() - started)
        delay = plan.slow_seconds if fault in DELAYS else 0.0
        return Reply(
            reply.status,
            reply.body,
            reply.content_type,
            delay_s=delay + (self._work_s if self.options.real_time else 0.0),
            breakage=fault if fault in BREAKAGES else "",
        )

    def _authorize(self, user: str, code: str) -> None:
        """Act as the webhook's user from here on."""
        webhook = Webhook(int(user) if user.isdecimal() else 0, code)
        budget = self._budgets.get(webhook)
        plan = self._faults.plan
        is_revoked = plan.revoked or 0 < plan.revoke_after <= self._admitted
        if budget is None or is_revoked:
            raise RestError(401, "NO_AUTH_FOUND", "Wrong authorization data")
        self._admitted += 1
        if plan.plan == "basic":
            raise RestError(403, "ACCESS_DENIED", "REST is available only on commercial plans.")
        self._budget = budget
        self._view.user_id = webhook.user_id

    def _dispatch(
        self, name: str, params: Params, blocked: bool, methods: Mapping[str, Method] = METHODS
    ) -> dict[str, Any]:
        if name != "batch" or methods is not METHODS:
            if blocked:
                raise operation_limit()
            return self._call(name, params, methods)
        self.statistics.batches += 1
        started = self.clock.now()
        count = len(array_items(params.get("cmd")))
        refused = self._faults.draw_commands(count)
        for error in refused.values():
            self.statistics.faults[f"command {error.code}"] += 1
        if blocked and count:
            refused[self._faults.random.randrange(count)] = operation_limit()
        outcome = batch.run(params, self._call_in_batch, refused)
        for error in outcome.result_error.values():
            self._count(error["error"])
        return {"result": outcome.to_json(), "time": self._time(started, "batch", 0.0)}

    def _call_in_batch(self, name: str, params: Params) -> dict[str, Any]:
        self.statistics.batch_commands[name.lower()] += 1
        return self._call(name.lower(), params)

    def _call(self, name: str, params: Params, methods: Mapping[str, Method] = METHODS) -> dict[str, Any]:
        """Run one method. The budget is looked at before anything else: a spent one refuses even a bad request."""
        started = self.clock.now()
        began = time.perf_counter()
        self.statistics.commands[name] += 1
        if self.options.limits and self._budget.is_spent(name):
            raise operation_limit()
        method = methods.get(name)
        if method is None and methods is not METHODS:
            raise rest_v3.unknown_method(name)
        if method is None:
            raise RestError(404, "ERROR_METHOD_NOT_FOUND", "Method not found!")
        self._check_scope(method)
        answer = method.run(self._view, params)
        seconds = self.options.seconds_per_command + self.options.seconds_per_row * answer.rows
        self._budget.add(name, seconds)
        self._work_s += seconds
        self.statistics.operating_seconds[name] += seconds
        if answer.is_page:
            self.statistics.pages[name] += 1
            self.statistics.rows[name] += answer.rows
        envelope = {"result": answer.result, "time": self._time(started, name, time.perf_counter() - began)}
        if answer.total is not None:
            envelope["total"] = answer.total
        if answer.next is not None:
            envelope["next"] = answer.next
        return envelope

    def _check_scope(self, method: Method) -> None:
        if method.scope is not None and method.scope not in self._view.scopes:
            raise RestError(
                403, "insufficient_scope", "The request requires higher privileges than provided by the webhook token"
            )

    def _time(self, started: datetime, method: str, processing: float) -> dict[str, Any]:
        finished = self.clock.now()
        start, finish = started.timestamp(), finished.timestamp()
        told: dict[str, Any] = {
            "start": start,
            "finish": finish,
            "duration": finish - start,
            "processing": processing,
            "date_start": started.isoformat(timespec="seconds"),
            "date_finish": finished.isoformat(timespec="seconds"),
        }
        if self.options.limits:
            told["operating_reset_at"] = int(finish + self._budget.reset_in(method))
            told["operating"] = self._budget.used(method)
        return told

    def _in_zone(self, body: bytes) -> bytes:
        """Show the data's times in the portal's zone, where that is another one now."""
        zone = self.clock.zone
        if zone is None:
            return body
        offset = f"{self.world.now:%z}"
        pattern = rf"\d{{4}}-\d\d-\d\dT\d\d:\d\d:\d\d{re.escape(f'{offset[:3]}:{offset[3:]}')}"
        return re.sub(
            pattern.encode(),
            lambda found: datetime.fromisoformat(found[0].decode()).astimezone(zone).isoformat().encode(),
            body,
        )

    def _count_error(self, error: RestError) -> None:
        self._count(error.code)

    def _count(self, code: str | int) -> None:
        refused = {"QUERY_LIMIT_EXCEEDED": "503", "OPERATION_TIME_LIMIT": "429"}.get(str(code))
        if refused:
            self.statistics.refusals[refused] += 1
        self.statistics.errors[str(code)] += 1


def _issue_webhooks(users: RowTable, options: PortalOptions) -> list[Webhook]:
    """Return the webhooks; each belongs to another user who is not dismissed.

    Raises:
        ValueError: fewer users than webhooks.
    """
    code = options.code or derived_code(options.seed)
    first = options.user_id if options.user_id in users.rows else next(iter(users.rows), options.user_id)
    others = (user_id for user_id, user in users.rows.items() if user_id != first and user.get("ACTIVE") is True)
    owners = [first, *(user_id for user_id, _ in zip(others, range(options.webhooks - 1), strict=False))]
    if len(owners) < options.webhooks:
        raise ValueError(f"the portal has only {len(owners)} users who can own a webhook")
    codes = (hashlib.sha256(f"{code}/{number}".encode()).hexdigest()[:16] for number in range(1, len(owners)))
    return [Webhook(user_id, secret) for user_id, secret in zip(owners, (code, *codes), strict=True)]


def _generate_deals(world: World, options: PortalOptions) -> GeneratedDeals | None:
    if not options.generated_deals:
        return None
    deals: RowTable = world.tables["deals"]
    return GeneratedDeals(
        list(deals.rows.values()), options.generated_deals, int(world.now.timestamp()), id_gaps=options.id_gaps
    )


def _gateway_page(status: int) -> Reply:
    page = f"<html><head><title>{status}</title></head><body><h1>{status}</h1>nginx</body></html>"
    return Reply(status, page.encode(), content_type="text/html")
