"""Lists that a portal gives for one owner at a time: product rows of a deal, the history of a task, a chat, a calendar.

Each is a long backfill of its own: so many owners per run, the most wanted first, and read again when an owner's
version is another one. Which owners were read, and in which version, stands in the ledger.
"""

from collections import deque
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import nullcontext
from dataclasses import dataclass, field
from datetime import UTC, date, datetime, time, timedelta
from itertools import pairwise
from typing import Any, Protocol
from zoneinfo import ZoneInfo

import dlt
import orjson
import pyarrow as pa

from dlt_sources.bitrix24 import DATASET, records, schema
from dlt_sources.bitrix24.client import BATCH_SIZE, OF_ONE_METHOD, BitrixClient, Command, CommandError, Envelope, Usage
from dlt_sources.bitrix24.entities import FIELDS_OF, Entity, Family
from dlt_sources.bitrix24.errors import PortalError
from dlt_sources.bitrix24.load import EntityReport, Loading, Package, Progress, charge
from dlt_sources.bitrix24.walks import ANY_REFUSAL, KeysetWalk, Reader, Row, SingleCall, Walk, rows_at

PACKAGE_OWNERS = 3_000  # sixty batches
HISTORY = timedelta(days=5 * 365)  # how far back, where the portal does not tell when it began
TAKEN = Envelope(b"null")  # in the place of an answer that is much longer than what is kept of it
V3_PAGE = 1_000
V3_IN_FLIGHT = 4
# refusals of a method itself; others may be about one owner, and the portal has many words for them
OF_THE_METHOD = OF_ONE_METHOD | {
    "insufficient_scope",
    "error_method_not_found",
    "allowed_only_intranet_user",
    "bitrix_rest_v3_exception_methodnotfoundexception",
}


@dataclass(frozen=True)
class Window:
    """Days that are read again each time; the first reading goes back to the portal's beginning.

    Attributes:
        back, ahead: days before and after the present one.
        step: days per command; 0 for all at once.
        at: SQL of the instant by which a row lies in the window. A row that a later reading lacks is gone.
    """

    back: int
    ahead: int
    step: int
    at: str


@dataclass(frozen=True)
class Detail:
    """Rows of one owner, how they are asked for, and which owners are asked.

    SQL is about the owners' raw table and may name `moment.today` (the run's day, ISO, reporting zone) and
    `moment.as_of` (its instant). In `params` and `given`, `{id}` and `{type}` stand for the owner, `{from}` and `{to}`
    for the days of a window, other names for his `values`.

    Attributes:
        table: raw table; several details may feed one.
        method: REST method.
        scope: permission the webhook needs.
        owners: raw table of the owners.
        version: SQL of a text. An owner's rows are read again when it is another one than at their last reading.
        params: parameters of the command.
        given: columns that the rows lack.
        path: keys from `result` down to the rows.
        key: id of a row, where the portal sends 50 at a time; all come at once where it is empty.
        make: turns a `result` of another shape into rows.
        type: SQL of the owner's type.
        id: SQL of the owner's id.
        where: SQL of who is asked.
        values: SQL of what else of the owner is needed, by name.
        first: SQL of the owners that are read before all others, the latest by `latest` at the head. The others follow,
            the newest first.
        follows: column that holds the id of the owner's row, where rows vanish with it.
        window: where rows are asked for by days.
        is_v3: whether the method belongs to REST 3.0, which knows no batch.
        idle_days: for how long an owner is left alone who had no rows.
    """

    table: str
    method: str
    scope: str
    owners: str
    version: str
    params: Mapping[str, Any]
    given: Mapping[str, str]
    path: tuple[str, ...] = ()
    key: str = ""
    make: Callable[[Any], Iterable[Mapping[str, Any]]] | None = None
    type: str = "''"
    id: str = "id"
    where: str = "true"
    values: Mapping[str, str] = field(default_factory=dict)
    first: str = "false"
    latest: str = "null"
    follows: str = ""
    window: Window | None = None
    is_v3: bool = False
    idle_days: int = 0


@dataclass(frozen=True)
class Owner:
    """One owner whose rows are to be read; `read_at` tells when they were, None if never."""

    type: str
    id: int
    version: str
    read_at: datetime | None = None
    values: Mapping[str, str] = field(default_factory=dict)


@dataclass(frozen=True)
class OwnerRead:
    """What came of an owner: how many rows, or the portal's reason why none."""

    owner: Owner
    rows: int = 0
    refusal: str = ""


@dataclass(frozen=True)
class Moment:
    """When a run takes place: by the portal's clock, and on which day in the reporting zone."""

    as_of: datetime
    today: date

    @classmethod
    def of(cls, as_of: datetime, reporting_tz: str) -> "Moment":
        """Return the moment of a run."""
        return cls(as_of, as_of.astimezone(ZoneInfo(reporting_tz)).date())


class Ledger(Protocol):
    """Where it is kept which owners were read."""

    def owners_to_read(self, detail: Detail, moment: Moment, limit: int) -> list[Owner]:
        """Return the owners whose rows were never read or may have changed, the most wanted first."""

    def save_owners(self, table: str, moment: Moment, owners: Sequence[OwnerRead]) -> None:
        """Keep what came of some owners; called after each load package is committed."""


def _product_rows(owners: str, owner_type: str, version: str, **options: Any) -> Detail:
    # both keys are needed, with `=` and one value each: there is no way to read the rows of many owners by one command
    return Detail(
        "product_rows", "crm.item.productrow.list", "crm", owners, version,
        {"filter": {"=ownerType": "{type}", "=ownerId": "{id}"}},
        {"owner_type": "{type}", "owner_id": "{id}"},
        path=("productRows",), key="id", type=owner_type, follows="owner_id", **options,
    )  # fmt: skip


def _task_changes(result: Any) -> Iterator[Mapping[str, Any]]:
    """Make rows of a task's history; of the user, who comes with his name, only the id."""
    for row in _objects(_object(result).get("list")):
        value, user = _object(row.get("value")), _object(row.get("user"))
        yield {
            "id": row.get("id"),
            "created_date": row.get("createdDate"),
            "field": row.get("field"),
            "value_from": value.get("from"),
            "value_to": value.get("to"),
            "user_id": user.get("id"),
        }


def _chat_messages(result: Any) -> Iterator[Mapping[str, Any]]:
    """Make rows of a chat's messages, without any text or name."""
    users = _object(_object(result).get("users"))
    for message in _objects(_object(result).get("message")):
        sender = str(message.get("senderid") or 0)
        user = users.get(sender)
        yield {
            "message_id": message.get("id"),
            "chat_id": message.get("chatid"),
            "sender_id": sender,
            "is_client": bool(user.get("connector")) if isinstance(user, Mapping) else False if sender == "0" else None,
            "is_bot": bool(user.get("bot")) if isinstance(user, Mapping) else None,
            "sent_at": message.get("date"),
        }


def _options(result: Any) -> Iterator[Mapping[str, Any]]:
    """Make rows of the options of a custom field."""
    for option in _objects(_object(_object(result).get("field")).get("enum")):
        yield {
            "id": option.get("id"),
            "value": option.get("value"),
            "sort": option.get("sort"),
            "xml_id": option.get("xmlId"),
        }


def _object(value: Any) -> Mapping[str, Any]:
    return value if isinstance(value, Mapping) else {}  # PHP writes an empty map as a list


def _objects(value: Any) -> list[Mapping[str, Any]]:
    found = value.values() if isinstance(value, Mapping) else value if isinstance(value, list) else ()
    return [row for row in found if isinstance(row, Mapping)]


_EMPLOYEES = "coalesce(user_type, 'employee') = 'employee'"
_PEOPLE = "coalesce(user_type, 'employee') in ('employee', 'extranet')"  # the others are bots and senders of e-mails
# who has left is looked at once more, then never again
_EACH_DAY_OF_EMPLOYEES = "case when lower(active) in ('true', 'y', '1') then moment.today else 'left' end"
_PORTAL_BEGAN = {"since": f"(select left(min(date_register), 10) from {DATASET}.users)"}  # noqa: S608
_NEWEST = "{table}._loaded_at = (select max(_loaded_at) from {table})"  # others are not listed any more
_WITH_PRODUCTS = f"""entity_type_id in (
    select entity_type_id from {DATASET}.process_types
    where is_link_with_products_enabled = 'Y' and {_NEWEST.format(table=f"{DATASET}.process_types")}
)"""  # noqa: S608
_LISTS_OF_ITEMS = f"""user_type_id = 'enumeration'
    and entity_id not in ({", ".join(f"'{name}'" for name in FIELDS_OF.values())})
    and {_NEWEST.format(table=f"{DATASET}.custom_fields")}"""
_CALENDAR_DAYS = Window(back=30, ahead=90, step=91, at="to_timestamp(try_cast(date_from_ts_utc as bigint))")
_CALENDAR = {"type": "{type}", "ownerId": "{id}", "from": "{from}", "to": "{to}"}
_IN_CALENDAR = {"cal_type": "{type}", "owner_id": "{id}"}

DETAILS: tuple[Detail, ...] = (
    # revenue by product needs the deals that were won, the latest first
    _product_rows("deals", "'D'", "date_modify", first="closed = 'Y'", latest="moved_time"),
    _product_rows("leads", "'L'", "date_modify"),
    _product_rows("quotes", "'Q'", "date_modify"),
    _product_rows("smart_invoices", "'SI'", "updated_time"),
    _product_rows(
        "process_items", "'T' || lower(to_hex(cast(entity_type_id as bigint)))", "updated_time",
        where=_WITH_PRODUCTS,
    ),
    Detail(
        "task_history", "tasks.task.history.list", "task", "tasks", "changed_date",
        {"taskId": "{id}"}, {"task_id": "{id}"},
        make=_task_changes, first="closed_date <> ''", latest="closed_date", follows="task_id",
    ),
    # a message leaves no mark on the activity, so young chats are read again each day, and once more afterwards
    Detail(
        "openline_sessions", "imopenlines.session.history.get", "imopenlines", "activities",
        """coalesce(last_updated, '') || case
            when try_cast(created as timestamptz) > moment.as_of - interval 3 day then ' ' || moment.today else ''
        end""",
        {"SESSION_ID": "{id}"}, {"session_id": "{id}", "activity_id": "{activity_id}"},
        make=_chat_messages, id="associated_entity_id", values={"activity_id": "id"}, follows="activity_id",
        where="provider_id = 'IMOPENLINES_SESSION' and try_cast(associated_entity_id as bigint) > 0",
    ),
    # changes leave no usable mark in a calendar, so the days around the present one are read each day
    Detail(
        "calendar_events", "calendar.event.get", "calendar", "users", "moment.today", _CALENDAR, _IN_CALENDAR,
        type="'company_calendar'", id="0", values=_PORTAL_BEGAN, window=_CALENDAR_DAYS,
    ),
    Detail(
        "calendar_events", "calendar.event.get", "calendar", "users", _EACH_DAY_OF_EMPLOYEES, _CALENDAR, _IN_CALENDAR,
        type="'user'", where=_PEOPLE, values=_PORTAL_BEGAN, window=_CALENDAR_DAYS,
    ),
    # days are corrected and approved later, without a mark; a portal may not use them at all, hence the idle days
    Detail(
        "work_time_records", "timeman.record.list", "timeman", "users", _EACH_DAY_OF_EMPLOYEES,
        {
            "filter": [["userId", "=", "{id}"], ["startTime", ">=", "{from}T00:00:00+00:00"]],
            "order": {"id": "asc"},
        },
        {"user_id": "{id}"}, path=("items",), where=_EMPLOYEES, values=_PORTAL_BEGAN, is_v3=True, idle_days=7,
        window=Window(back=60, ahead=1, step=0, at="try_cast(start_time as timestamptz)"),
    ),
    # the registry of fields lists them without options
    Detail(
        "custom_field_options", "userfieldconfig.get", "userfieldconfig", "custom_fields", "moment.today",
        {"moduleId": "crm", "id": "{id}"}, {"entity_id": "{entity_id}", "field_name": "{field_name}"},
        make=_options, values={"entity_id": "entity_id", "field_name": "field_name"},
        where=_LISTS_OF_ITEMS,
    ),
)  # fmt: skip

# raw tables that are filled here, with the tables of their owners; options are also rows of another list
TABLES: dict[str, tuple[str, ...]] = {
    table: tuple(dict.fromkeys(detail.owners for detail in DETAILS if detail.table == table))
    for table in dict.fromkeys(detail.table for detail in DETAILS)
}


def details_followers(owners: str, constants: Mapping[str, str]) -> list[tuple[str, str, dict[str, str]]]:
    """Return the raw tables whose rows vanish with an owner: table, column of his id, values of his rows.

    Args:
        owners: raw table of the owner.
        constants: what tells its lists apart: the type of a smart process.
    """
    found = []
    for detail in DETAILS:
        if detail.follows and detail.owners == owners:
            own = {}
            if detail.table == "product_rows":
                type_id = constants.get("entity_type_id")
                own = {"owner_type": f"T{int(type_id):x}" if type_id else detail.type.strip("'")}
            found.append((detail.table, detail.follows, own))
    return found


def rows_of(detail: Detail, answer: Envelope) -> list[Row]:
    """Return the rows of one answer.

    Raises:
        PortalError: the answer has another shape.
    """
    if detail.make:
        return [Row(orjson.dumps(row)) for row in detail.make(answer.result)]
    return rows_at(answer, detail.path, detail.method)


def load_details(
    client: BitrixClient,
    pipeline: dlt.Pipeline,
    ledger: Ledger,
    *,
    moment: Moment,
    limits: Mapping[str, int],
    progress: Progress,
    writer: records.ColumnWriter | None = None,
    package_owners: int = PACKAGE_OWNERS,
    details: Sequence[Detail] = DETAILS,
    loading: Loading = nullcontext,
) -> list[EntityReport]:
    """Read the rows of owners that the ledger names, and replace what the warehouse has of them.

    Tables take turns in packages, so that one whose method must rest holds up no other.

    Args:
        moment: of the run.
        limits: owners per run, by raw table.
        writer: turns rows into columns.
        package_owners: owners per package; a killed run loses at most one package.
        loading: entered around the loading of each package.
    Returns:
        totals by raw table. What the portal refuses is counted in the note: an owner is tried again after a day, a
        method in the next run.
    Raises:
        AccessError, PortalUnavailable, PortalError: as the client; what was committed stays.
    """
    package = Package(pipeline, moment.as_of, writer or records.ColumnWriter(), loading)
    queues: dict[str, _Queue] = {}
    for detail in details:
        queue = queues.setdefault(detail.table, _Queue(EntityReport(detail.table, "delta")))
        queue.add(detail, ledger.owners_to_read(detail, moment, limits[detail.table] - queue.total))
    while waiting := [queue for queue in queues.values() if queue.left]:
        taken = [(queue, queue.take(max(1, package_owners // len(waiting)), moment)) for queue in waiting]
        _read(client, taken, progress)
        for queue, readings in taken:
            queue.judge(readings)
            for reading in readings:
                reading.keep(package, queue.report)
        package.commit()
        for queue, readings in taken:
            _mark_gone(pipeline, moment, [reading for reading in readings if not reading.refusal])
            ledger.save_owners(queue.report.entity, moment, [r.outcome for r in readings if not r.is_of_the_method])
    for table, queue in queues.items():
        queue.report.rows_new, queue.report.rows_changed = package.rows_new[table], package.rows_changed[table]
    return [queue.report for queue in queues.values()]


class _Reading:
    """The rows of one owner on their way."""

    def __init__(self, detail: Detail, owner: Owner, moment: Moment) -> None:
        self.detail, self.owner = detail, owner
        self.names = {**owner.values, "type": owner.type, "id": str(owner.id)}
        self.days = _days(detail.window, owner, moment)
        self.rows: list[Row] = []
        self.refusal, self.is_of_the_method = "", False
        self.walks: list[Walk] = []
        if not detail.is_v3:
            self.walks = [_walk(detail, {**self.names, **names}) for names in self.windows()]

    def windows(self) -> Iterator[dict[str, str]]:
        """Yield the names of each window; one without names where there are no windows."""
        if not self.days:
            yield {}
        for start, end in self.days:
            yield {"from": start.isoformat(), "to": end.isoformat()}

    def take(self, walk: Walk, rows: Sequence[Row]) -> int:
        """Take what a walk brought and return how many rows it is."""
        before = len(self.rows)
        self.rows += rows
        if isinstance(walk, SingleCall) and walk.answer is not None:
            walk.usage.pages += 1
            try:
                self.rows += rows_of(self.detail, walk.answer)
            except PortalError as odd:
                self.refuse(str(odd), "")
            walk.answer = TAKEN
        elif walk.note:
            self.refuse(walk.note, walk.failure.code if walk.failure else "")
        return len(self.rows) - before

    def refuse(self, reason: str, code: str) -> None:
        """Note why the owner's rows did not come."""
        self.refusal = self.refusal or reason
        self.is_of_the_method = self.is_of_the_method or code.lower() in OF_THE_METHOD

    def keep(self, package: Package, report: EntityReport) -> None:
        """Hand the rows to a package; an owner of product rows who has none leaves one without an id."""
        if self.refusal:
            return
        report.rows_read += len(self.rows)
        rows = self.rows or ([Row(b"{}")] if self.detail.table in schema.WITH_EMPTY_OWNERS else [])
        given = {column: str(_filled(value, self.names)) for column, value in self.detail.given.items()}
        package.keep(self.detail.table, rows, given, self.detail.method)

    @property
    def outcome(self) -> OwnerRead:
        """What the ledger is told."""
        return OwnerRead(self.owner, 0 if self.refusal else len(self.rows), self.refusal)


@dataclass
class _Queue:
    """Owners of one raw table that are still to be read in this run."""

    report: EntityReport
    left: deque[tuple[Detail, Owner]] = field(default_factory=deque)
    total: int = 0
    rows: int = 0  # so far
    done: float = 0.0  # owners so far
    refused: int = 0
    reason: str = ""

    def add(self, detail: Detail, owners: Sequence[Owner]) -> None:
        """Put owners behind those that are there."""
        self.left.extend((detail, owner) for owner in owners)
        self.total += len(owners)

    def take(self, count: int, moment: Moment) -> list[_Reading]:
        """Take the next owners, about as many as commands; at first so few that a refused method costs one request."""
        if not self.done:
            count = min(count, 1 if self.left[0][0].window else BATCH_SIZE)
        readings: list[_Reading] = []
        commands = 0
        while self.left and commands < count:
            readings.append(_Reading(*self.left.popleft(), moment))
            commands += len(readings[-1].days) or 1
        return readings

    def show(self, progress: Progress) -> None:
        """Tell how far it is."""
        progress(self.report.entity, self.rows, min(1.0, self.done / self.total))

    def judge(self, readings: Sequence[_Reading]) -> None:
        """Count what was refused; where a whole batch was, the rest is not asked for in this run."""
        for reading in readings:
            charge(self.report, reading.walks)
        refused = [reading for reading in readings if reading.refusal]
        if not refused:
            return
        self.refused += len(refused)
        self.reason = self.reason or refused[0].refusal
        self.report.note = f"{self.refused:,} of {self.total:,} not read: {self.reason}"
        of_the_method = next((reading for reading in refused if reading.is_of_the_method), None)
        if of_the_method:
            self.report.note = of_the_method.refusal
        if of_the_method or len(refused) == len(readings) >= BATCH_SIZE:
            self.left.clear()


def _read(client: BitrixClient, taken: Sequence[tuple[_Queue, Sequence[_Reading]]], progress: Progress) -> None:
    """Read some owners of each table to their ends."""
    of = {id(walk): (queue, reading) for queue, readings in taken for reading in readings for walk in reading.walks}
    walks = [walk for _, readings in taken for reading in readings for walk in reading.walks]
    for brought in Reader(client).read(walks):
        touched: dict[str, _Queue] = {}
        for walk, rows in brought:
            queue, reading = of[id(walk)]
            queue.rows += reading.take(walk, rows)
            queue.done += walk.done / len(reading.walks)
            touched[queue.report.entity] = queue
        for queue in touched.values():
            queue.show(progress)
    for queue, readings in taken:
        if readings and readings[0].detail.is_v3:
            _read_v3(client, queue, readings, progress)


def _walk(detail: Detail, names: Mapping[str, str]) -> Walk:
    params = _filled(detail.params, names)
    if not detail.key:
        return SingleCall(Command(detail.method, params), optional=True)
    entity = Entity(
        detail.table, detail.method, detail.scope, Family.JOURNAL, params,
        path=detail.path, id=detail.key, filter_id=detail.key,
    )  # fmt: skip
    # an owner may vanish or be locked away between his own reading and that of his rows
    return KeysetWalk(entity, tolerates=ANY_REFUSAL)


def _filled(value: Any, names: Mapping[str, str]) -> Any:
    """Put names into the texts of parameters; an id that stands alone stays a number."""
    if value == "{id}":
        return int(names["id"])
    if isinstance(value, str):
        return value.format_map(names)
    if isinstance(value, Mapping):
        return {key: _filled(inner, names) for key, inner in value.items()}
    return [_filled(inner, names) for inner in value] if isinstance(value, list) else value


def _days(window: Window | None, owner: Owner, moment: Moment) -> list[tuple[date, date]]:
    """Return the days to ask for, cut into commands: the window, and before it what was never read."""
    if window is None:
        return []
    near, end = moment.today - timedelta(days=window.back), moment.today + timedelta(days=window.ahead)
    if owner.read_at is None:
        start = _day(owner.values.get("since", "")) or moment.today - HISTORY
    elif owner.read_at.date() < near:
        start = owner.read_at.date() - timedelta(days=window.back)  # nobody has looked for a while
    else:
        start = near
    if not window.step:
        return [(min(start, near), end)]
    starts = [start + timedelta(days=days) for days in range(0, (near - start).days, window.step)]
    return [*pairwise([*starts, near]), (near, end)]


def _day(text: str) -> date | None:
    try:
        return date.fromisoformat(text)
    except ValueError:
        return None


def _read_v3(client: BitrixClient, queue: _Queue, readings: Sequence[_Reading], progress: Progress) -> None:
    """Read some owners one request after the other, a few at a time: there is no batch."""

    def ask(reading: _Reading) -> tuple[list[Row], CommandError | None, Usage]:
        usage, rows = Usage(), list[Row]()
        for names in reading.windows():
            params = _filled(reading.detail.params, {**reading.names, **names})
            page, is_full = 1, True
            while is_full:
                paged = {**params, "pagination": {"page": page, "limit": V3_PAGE}}
                answer = client.call_v3(reading.detail.method, paged, usage=usage)
                if isinstance(answer, CommandError):
                    return [], answer, usage
                found = rows_of(reading.detail, answer)
                rows += found
                page, is_full = page + 1, len(found) == V3_PAGE
        return rows, None, usage

    pool = ThreadPoolExecutor(min(V3_IN_FLIGHT, client.in_flight), thread_name_prefix="bitrix24-v3")
    try:
        for reading, (rows, error, usage) in zip(readings, pool.map(ask, readings), strict=True):
            reading.rows += rows
            if error:
                reading.refuse(client.describe(error.method, error.failure), error.failure.code)
            queue.rows += len(rows)
            queue.done += 1
            report = queue.report
            report.requests += usage.requests
            report.commands += usage.commands
            report.pages += usage.commands - (error is not None)
            report.operating_seconds += sum(usage.operating_s.values())
            report.refusals += usage.refusals
            report.retries += usage.retries
            queue.show(progress)
    finally:
        pool.shutdown(wait=False, cancel_futures=True)


def _mark_gone(pipeline: dlt.Pipeline, moment: Moment, readings: Sequence[_Reading]) -> None:
    """Give a tombstone to rows in the days just read that did not come again; theirs goes when they do."""
    readings = [reading for reading in readings if reading.days]
    if not readings:
        return
    detail, window = readings[0].detail, readings[0].detail.window
    # a day less at both ends, for the portal's days begin in its own zone
    bounds = [(reading.days[0][0] + timedelta(days=1), reading.days[-1][1] - timedelta(days=1)) for reading in readings]
    chosen = {
        column: pa.array([_filled(value, reading.names) for reading in readings]).cast(pa.string())
        for column, value in detail.given.items()
    }
    for name, side in (("low", 0), ("high", 1)):
        instants = [datetime.combine(bound[side], time(), UTC) for bound in bounds]
        chosen[name] = pa.array(instants, pa.timestamp("us", tz="UTC"))
    same = " and ".join(f'stored."{column}" = chosen."{column}"' for column in detail.given)
    loaded_at = records.to_instant_text(moment.as_of)
    with pipeline.sql_client() as sql:
        warehouse = sql.native_connection
        warehouse.register("chosen", pa.table(chosen))
        try:
            warehouse.execute(
                f'update "{DATASET}"."{detail.table}" as stored set _deleted_at = ? from chosen '  # noqa: S608
                f"where stored._deleted_at is null and stored._loaded_at <> ? and {same} "
                f"and {window.at if window else 'null'} between chosen.low and chosen.high",
                [loaded_at, loaded_at],
            )
        finally:
            warehouse.unregister("chosen")
