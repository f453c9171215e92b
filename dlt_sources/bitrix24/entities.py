"""What is read from a portal: one declaration per list method; another table needs one here and one in schema.py."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import UTC, datetime
from enum import Enum
from typing import Any

from dlt_sources.bitrix24 import schema
from dlt_sources.bitrix24.client import PAGE_SIZE


class Family(Enum):
    """How a table is walked and kept up to date."""

    DICTIONARY = "dictionary"  # small: read whole on each run; pages by offset, if any
    KEYED_DICTIONARY = "keyed dictionary"  # the same, walked by id
    CHANGES = "changes"  # walked by id once, then by a modification time
    JOURNAL = "journal"  # rows are only added: walked by id, with a second look at the latest ones


@dataclass(frozen=True)
class Entity:
    """One list method and the raw table that its rows go to.

    Attributes:
        table: raw table; several methods may feed one.
        method: REST method.
        scope: permission the webhook needs.
        family: how it is walked.
        params: fixed parameters, in the order the method wants them.
        path: keys from `result` down to the rows.
        id: key of the id in a row; `filter_id` in a filter or an order.
        filter_key: name of the filter parameter.
        order_key: name of the order parameter when it is an object; None where `params` fix the order as two scalars.
        offset_keys: names under which a list that is paged by offset takes it.
        starts: whether the method takes `start=-1`, which saves the portal its count(*).
        cursor: field that tells when a row changed, or, in a journal, when it was made.
        wide_days: how far back one run a day looks, for rows that changed or came late.
        optional: whether a refusal of this method alone is noted and skipped.
    """

    table: str
    method: str
    scope: str
    family: Family
    params: Mapping[str, Any] = field(default_factory=dict)
    path: tuple[str, ...] = ()
    id: str = "ID"
    filter_id: str = "ID"
    filter_key: str = "filter"
    order_key: str | None = "order"
    offset_keys: tuple[str, ...] = ("start",)
    starts: bool = True
    cursor: str | None = None
    wide_days: int = 2
    optional: bool = False

    def page(self, after: int | str, where: Mapping[str, Any] | None = None) -> dict[str, Any]:
        """Parameters of the first 50 rows whose id is above `after`, by ascending id."""
        return self._walk(self.params, {**(where or {}), f">{self.filter_id}": after}, "ASC")

    def newest(self) -> dict[str, Any]:
        """Parameters of the newest row, which tells the highest id."""
        params = dict(self.params)
        for key in ("select", "SELECT"):
            if key in params:
                params[key] = [self.filter_id]
        if self.order_key is None:
            params.update({key: "DESC" for key, value in params.items() if value == "ASC"})
        # a filter is sent even here: where parameters count by position, none may be missing
        return self._walk(params, {f">{self.filter_id}": 0}, "DESC")

    def _walk(self, params: Mapping[str, Any], where: Mapping[str, Any], direction: str) -> dict[str, Any]:
        walk = dict(params)
        if self.order_key:
            walk[self.order_key] = {self.filter_id: direction}
        walk[self.filter_key] = {**walk.get(self.filter_key, {}), **where}
        if self.starts:
            walk["start"] = -1
        return walk

    def after_reference(self, key: str) -> str:
        """Reference to the last id of a full page that the batch command `key` answers with."""
        keys = "".join(f"[{step}]" for step in (*self.path, PAGE_SIZE - 1, self.id))
        return f"$result[{key}]{keys}"

    def since(self, instant: datetime) -> dict[str, str]:
        """Filter on the cursor; in UTC with an explicit offset, because the portal's own zone may change."""
        return {f">={self.cursor}": instant.astimezone(UTC).isoformat(timespec="seconds")}


def _crm_list(entity: str, table: str, columns: tuple[str, ...], cursor: str) -> Entity:
    """Build an old-style CRM list; unknown names in `select` are ignored by the portal, `*` would bring long texts."""
    select = [column.upper() for column in columns]
    if table in schema.WITH_CUSTOM_FIELDS:
        select.append("UF_*")
    return Entity(table, f"crm.{entity}.list", "crm", Family.CHANGES, {"select": select}, cursor=cursor)


def _stage_history(table: str, entity_type_id: int, columns: tuple[str, ...]) -> Entity:
    params = {"entityTypeId": entity_type_id, "select": [column.upper() for column in columns]}
    return Entity(table, "crm.stagehistory.list", "crm", Family.JOURNAL, params, path=("items",), cursor="CREATED_TIME")


def _custom_fields(entity: str) -> Entity:
    # labels come only with a language
    return Entity(
        "custom_fields",
        f"crm.{entity}.userfield.list",
        "crm",
        Family.DICTIONARY,
        {"order": {"ID": "ASC"}, "filter": {"LANG": "ru"}},
        optional=True,
    )


# in the answer `status` is the real status (asked for as REAL_STATUS), `subStatus` has the overdue marks (STATUS)
_TASK_SELECT = [
    *(column.upper() for column in schema.TASKS if column not in ("status", "sub_status")),
    "REAL_STATUS",
    "STATUS",
]

ENTITIES: tuple[Entity, ...] = (
    # definitions come first: their codes become columns
    *(_custom_fields(entity) for entity in ("lead", "deal", "contact", "company")),
    Entity("statuses", "crm.status.list", "crm", Family.DICTIONARY, {"order": {"ID": "ASC"}}, starts=False),
    Entity(
        "pipelines", "crm.category.list", "crm", Family.DICTIONARY, {"entityTypeId": 2}, path=("categories",), id="id"
    ),
    Entity("currencies", "crm.currency.list", "crm", Family.DICTIONARY, id="CURRENCY"),
    Entity(
        "users", "user.get", "user", Family.KEYED_DICTIONARY, {"sort": "ID", "order": "ASC"},
        filter_key="FILTER", order_key=None, optional=True,
    ),
    # its page names the offset START, all other pages `start`
    Entity(
        "departments", "department.get", "department", Family.DICTIONARY, {"sort": "ID", "order": "ASC"},
        offset_keys=("start", "START"), optional=True,
    ),
    _crm_list("lead", "leads", schema.LEADS, "DATE_MODIFY"),
    _crm_list("deal", "deals", schema.DEALS, "DATE_MODIFY"),
    _crm_list("contact", "contacts", schema.CONTACTS, "DATE_MODIFY"),
    _crm_list("company", "companies", schema.COMPANIES, "DATE_MODIFY"),
    _stage_history("deal_stage_history", 2, schema.DEAL_STAGE_HISTORY),
    _stage_history("lead_stage_history", 1, schema.LEAD_STAGE_HISTORY),
    _crm_list("activity", "activities", schema.ACTIVITIES, "LAST_UPDATED"),
    # votes and recordings reach a call days later, and nothing tells that it changed
    Entity(
        "calls", "voximplant.statistic.get", "telephony", Family.JOURNAL, {"SORT": "ID", "ORDER": "ASC"},
        filter_key="FILTER", order_key=None, cursor="CALL_START_DATE", wide_days=7, optional=True,
    ),
    Entity(
        "tasks", "tasks.task.list", "task", Family.CHANGES, {"select": _TASK_SELECT},
        path=("tasks",), id="id", cursor="CHANGED_DATE", optional=True,
    ),
    # parameters count by position, even when they are sent by name; task 0 means all tasks
    Entity(
        "time_entries", "task.elapseditem.getlist", "task", Family.JOURNAL,
        {
            "TASKID": 0, "ORDER": {}, "FILTER": {}, "SELECT": [column.upper() for column in schema.TIME_ENTRIES],
            "PARAMS": {"NAV_PARAMS": {"nPageSize": PAGE_SIZE, "iNumPage": 1}},
        },
        filter_key="FILTER", order_key="ORDER", starts=False, cursor="CREATED_DATE", wide_days=7, optional=True,
    ),
)  # fmt: skip

PRODUCT_ROWS = Entity(
    "deal_product_rows",
    "crm.item.productrow.list",
    "crm",
    Family.JOURNAL,
    {"filter": {"=ownerType": "D"}},
    path=("productRows",),
    id="id",
    filter_id="id",
)
