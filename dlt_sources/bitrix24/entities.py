"""What is read from a portal: one declaration per list method; another table needs one here and one in schema.py.

Lists that a portal may have any number of (smart processes, catalogues) are built from what it says about itself:
`process_entities`, `catalog_entities`.
"""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field, replace
from datetime import UTC, datetime
from enum import Enum
from typing import Any, Literal

from dlt_sources.bitrix24 import schema
from dlt_sources.bitrix24.client import PAGE_SIZE


class Family(Enum):
    """How a table is walked and kept up to date."""

    DICTIONARY = "dictionary"  # small: read whole on each run; pages by offset, if any
    KEYED_DICTIONARY = "keyed dictionary"  # the same, walked by id
    CHANGES = "changes"  # walked by id once, then by a modification time
    JOURNAL = "journal"  # rows are only added: walked by id, with a second look at the latest ones


# How rows that are gone are noticed: their ids are compared once a night; the list is read whole, so what it lacks is
# gone; they vanish with their owner; or the portal never removes any.
DeletedBy = Literal["sweep", "replaced", "owner", "never"]


@dataclass(frozen=True)
class Entity:
    """One list and the raw table that its rows go to.

    Attributes:
        table: raw table; several lists may feed one.
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
        part: tells the lists of one table apart.
        constants: columns that are the same in all rows of this list, whether the rows have them or not. They, and
            `skip`, also say which rows of the table are this list's: no other row is gone because this list lacks it.
        json_rest: column that takes all custom fields (`UF_*`) of a row as one JSON object.
        sweep_select: what to change in `params` so that hardly more than ids comes; None where the method cannot.
        deleted_by: how rows that are gone are noticed.
        owner_table: table of the owners that rows vanish with, where `deleted_by` is "owner". If its key has more
            columns than the id, the rows have them too, under the same names.
        owner_column: column that holds the owner's id.
        admin_only: whether the portal serves it to administrators alone.
        ends_short: whether pages by offset end with a page of fewer than 50 rows, for no answer names a next one.
        skip: values of columns; rows that have them are another list's, which brings more of them.
        twin: the same rows by another method, whose working time the portal counts apart.
        daily: whether a list that is read whole is read by the first run of a day only.
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
    part: str = ""
    constants: Mapping[str, str] = field(default_factory=dict)
    json_rest: str = ""
    sweep_select: Mapping[str, Any] | None = None
    deleted_by: DeletedBy = "sweep"
    owner_table: str = ""
    owner_column: str = ""
    admin_only: bool = False
    ends_short: bool = False
    skip: Mapping[str, tuple[str, ...]] = field(default_factory=dict)
    daily: bool = False
    twin: "Entity | None" = None

    @property
    def name(self) -> str:
        """Under which its progress is kept."""
        return f"{self.table}/{self.part}" if self.part else self.table

    def ids_only(self) -> "Entity":
        """Return the same list with little more than ids in its rows; a method without a choice stays as it is."""
        params = {**self.params, **(self.sweep_select or {})}
        return replace(self, params=params, twin=self.twin and self.twin.ids_only())

    def page(self, after: int | str, where: Mapping[str, Any] | None = None) -> dict[str, Any]:
        """Parameters of the first 50 rows whose id is above `after`, by ascending id."""
        return self._walk(self.params, {**(where or {}), f">{self.filter_id}": after}, "ASC")

    def newest(self) -> dict[str, Any]:
        """Parameters of the newest row, which tells the highest id."""
        params = dict(self.ids_only().params)
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


IDS = {"select": ["ID"]}
ITEM_IDS = {"select": ["id"]}


def _crm_list(entity: str, table: str, columns: tuple[str, ...], cursor: str, **options: Any) -> Entity:
    """Build an old-style CRM list; unknown names in `select` are ignored by the portal, `*` would bring long texts."""
    select = [column.upper() for column in columns if column != "custom_fields"]
    if table in schema.WITH_CUSTOM_FIELDS or "custom_fields" in columns:
        select.append("UF_*")
    return Entity(
        table, f"crm.{entity}.list", "crm", Family.CHANGES, {"select": select},
        cursor=cursor, sweep_select=IDS, **options,
    )  # fmt: skip


def _items(table: str, entity_type_id: int, **options: Any) -> Entity:
    """Build a list of universal items, whole rows with custom fields under their own codes.

    `select` would save little here, and together with original names it loses the other half of each row: the portal
    then returns items without their system fields (issues 263 and 368 of bitrix-tools/b24-rest-docs). So ids alone
    are asked for without original names.
    """
    return Entity(
        table, "crm.item.list", "crm", Family.CHANGES,
        {"entityTypeId": entity_type_id, "select": ["*"], "useOriginalUfNames": "Y"},
        path=("items",), id="id", filter_id="id", cursor="updatedTime", optional=True, json_rest="custom_fields",
        sweep_select={**ITEM_IDS, "useOriginalUfNames": "N"}, **options,
    )  # fmt: skip


def _links(table: str, entity_type_id: int, owners: str, key: str) -> Entity:
    """Build a list of all rows of a type with nothing but the ids of what each is linked to."""
    return Entity(
        table, "crm.item.list", "crm", Family.CHANGES,
        {"entityTypeId": entity_type_id, "select": ["id", key, "updatedTime"]},
        path=("items",), id="id", filter_id="id", cursor="updatedTime", optional=True, sweep_select=ITEM_IDS,
        deleted_by="owner", owner_table=owners, owner_column="id",
    )  # fmt: skip


def _stage_history(table: str, entity_type_id: int, owners: str, **options: Any) -> Entity:
    columns = [column.upper() for column in schema.TABLES[table] if column not in options.get("constants", ())]
    return Entity(
        table, "crm.stagehistory.list", "crm", Family.JOURNAL, {"entityTypeId": entity_type_id, "select": columns},
        path=("items",), cursor="CREATED_TIME", sweep_select=IDS,
        deleted_by="owner", owner_table=owners, owner_column="owner_id", **options,
    )  # fmt: skip


def _pipelines(entity_type_id: int, **options: Any) -> Entity:
    return Entity(
        "pipelines", "crm.category.list", "crm", Family.DICTIONARY, {"entityTypeId": entity_type_id},
        path=("categories",), id="id", deleted_by="replaced", part=str(entity_type_id),
        constants={"entity_type_id": str(entity_type_id)}, **options,
    )  # fmt: skip


# entities whose custom fields have a method of their own, which also tells the options of lists
FIELDS_OF = {name: f"CRM_{name.upper()}" for name in ("lead", "deal", "contact", "company", "quote")}


def _custom_fields(entity: str) -> Entity:
    # labels come only with a language
    return Entity(
        "custom_fields",
        f"crm.{entity}.userfield.list",
        "crm",
        Family.DICTIONARY,
        {"order": {"ID": "ASC"}, "filter": {"LANG": "ru"}},
        optional=True,
        part=entity,
        constants={"entity_id": FIELDS_OF[entity]},
        deleted_by="replaced",
    )


# in the answer `status` is the real status (asked for as REAL_STATUS), `subStatus` has the overdue marks (STATUS)
_TASK_SELECT = [
    *(column.upper() for column in schema.TASKS if column not in ("status", "sub_status")),
    "REAL_STATUS",
    "STATUS",
]


def _camel(column: str) -> str:
    head, *tail = column.split("_")
    return head + "".join(word.capitalize() for word in tail)


ENTITIES: tuple[Entity, ...] = (
    # definitions come first: their codes become columns
    *(_custom_fields(entity) for entity in FIELDS_OF),
    # those of smart invoices and smart processes; the method cannot be asked for one entity alone, and tells no options
    Entity(
        "custom_fields", "userfieldconfig.list", "userfieldconfig", Family.DICTIONARY,
        {"moduleId": "crm", "select": {"0": "*", "language": "ru"}, "order": {"id": "ASC"}},
        path=("fields",), id="id", optional=True, part="items", deleted_by="replaced",
        skip={"entity_id": tuple(FIELDS_OF.values())},
    ),
    Entity(
        "statuses", "crm.status.list", "crm", Family.DICTIONARY, {"order": {"ID": "ASC"}},
        starts=False, deleted_by="replaced",
    ),
    _pipelines(2),
    _pipelines(31, optional=True),
    Entity("currencies", "crm.currency.list", "crm", Family.DICTIONARY, id="CURRENCY", deleted_by="replaced"),
    Entity(
        "users", "user.get", "user", Family.KEYED_DICTIONARY, {"sort": "ID", "order": "ASC"},
        filter_key="FILTER", order_key=None, optional=True, deleted_by="replaced",
    ),
    # its page names the offset START, all other pages `start`
    Entity(
        "departments", "department.get", "department", Family.DICTIONARY, {"sort": "ID", "order": "ASC"},
        offset_keys=("start", "START"), optional=True, deleted_by="replaced",
    ),
    # process_entities and catalog_entities turn the rows of these two into further lists
    Entity(
        "process_types", "crm.type.list", "crm", Family.DICTIONARY, {"order": {"id": "ASC"}},
        path=("types",), id="id", optional=True, deleted_by="replaced", admin_only=True,
    ),
    Entity(
        "catalogs", "catalog.catalog.list", "catalog", Family.DICTIONARY,
        {"select": [_camel(column) for column in schema.CATALOGS], "order": {"id": "ASC"}},
        path=("catalogs",), id="id", optional=True, deleted_by="replaced", admin_only=True,
    ),
    _crm_list("lead", "leads", schema.LEADS, "DATE_MODIFY"),
    # deals are the longest list with values that both methods spell well enough alike
    replace(
        _crm_list("deal", "deals", schema.DEALS, "DATE_MODIFY"), twin=replace(_items("deals", 2), json_rest="")
    ),
    _crm_list("contact", "contacts", schema.CONTACTS, "DATE_MODIFY"),
    _crm_list("company", "companies", schema.COMPANIES, "DATE_MODIFY"),
    _crm_list("quote", "quotes", schema.QUOTES, "DATE_MODIFY", optional=True, json_rest="custom_fields"),
    _items("smart_invoices", 31),
    _stage_history("deal_stage_history", 2, "deals"),
    _stage_history("lead_stage_history", 1, "leads"),
    _stage_history("smart_invoice_stage_history", 31, "smart_invoices", optional=True),
    _links("deal_contacts", 2, "deals", "contactIds"),
    _links("contact_companies", 3, "contacts", "companyIds"),
    _crm_list("activity", "activities", schema.ACTIVITIES, "LAST_UPDATED"),
    # votes and recordings reach a call days later, and nothing tells that it changed
    Entity(
        "calls", "voximplant.statistic.get", "telephony", Family.JOURNAL, {"SORT": "ID", "ORDER": "ASC"},
        filter_key="FILTER", order_key=None, cursor="CALL_START_DATE", wide_days=7, optional=True, deleted_by="never",
    ),
    Entity(
        "tasks", "tasks.task.list", "task", Family.CHANGES, {"select": _TASK_SELECT},
        path=("tasks",), id="id", cursor="CHANGED_DATE", optional=True, sweep_select=IDS,
    ),
    # parameters count by position, even when they are sent by name; task 0 means all tasks
    Entity(
        "time_entries", "task.elapseditem.getlist", "task", Family.JOURNAL,
        {
            "TASKID": 0, "ORDER": {}, "FILTER": {}, "SELECT": [column.upper() for column in schema.TIME_ENTRIES],
            "PARAMS": {"NAV_PARAMS": {"nPageSize": PAGE_SIZE, "iNumPage": 1}},
        },
        filter_key="FILTER", order_key="ORDER", starts=False, cursor="CREATED_DATE", wide_days=7, optional=True,
        sweep_select={"SELECT": ["ID"]},
    ),
    # nothing tells that a payment was made good, returned or changed, so all are read again
    Entity(
        "payments", "sale.payment.list", "sale", Family.KEYED_DICTIONARY,
        {"select": [_camel(column) for column in schema.PAYMENTS]},
        path=("payments",), id="id", filter_id="id", optional=True, sweep_select=ITEM_IDS,
        deleted_by="replaced", admin_only=True,
    ),
    # rows have no id: pages by offset, in an order that no other row can come between
    Entity(
        "order_entities", "crm.orderentity.list", "crm", Family.DICTIONARY,
        {
            "select": [_camel(column) for column in schema.ORDER_ENTITIES],
            "order": {_camel(column): "asc" for column in schema.ORDER_ENTITIES},
        },
        path=("orderEntity",), id="orderId", optional=True, deleted_by="replaced",
    ),
    Entity(
        "product_prices", "catalog.price.list", "catalog", Family.CHANGES,
        {"select": [_camel(column) for column in schema.PRODUCT_PRICES]},
        path=("prices",), id="id", filter_id="id", cursor="timestampX", optional=True, sweep_select=ITEM_IDS,
    ),
    # IS_ADMIN shows an administrator the groups he is not in; it is ignored for others
    Entity(
        "workgroups", "socialnetwork.api.workgroup.list", "socialnetwork", Family.KEYED_DICTIONARY,
        {"select": [column.upper() for column in schema.WORKGROUPS], "params": {"IS_ADMIN": "Y"}},
        path=("workgroups",), id="id", optional=True, sweep_select=IDS, deleted_by="replaced",
    ),
    # the portal seems to collect all rows that match before it cuts the page, so short ranges of ids cost less
    _crm_list("requisite", "requisites", schema.REQUISITES, "DATE_MODIFY", optional=True),
    # no id, no `total` to rely on, no `next`: pages of 50 by `start`, in the order of the key, until a page is shorter
    Entity(
        "addresses", "crm.address.list", "crm", Family.DICTIONARY,
        {
            "select": [column.upper() for column in schema.ADDRESSES],
            "order": {column.upper(): "ASC" for column in schema.KEYS["addresses"]},
        },
        id="ENTITY_ID", optional=True, ends_short=True, deleted_by="replaced", daily=True,
    ),
    # it has its own limit, 200 at most; nobody has as many lines, so there is no second page
    Entity(
        "openline_configs", "imopenlines.config.list.get", "imopenlines", Family.DICTIONARY,
        {
            "PARAMS": {
                "select": [column.upper() for column in schema.OPENLINE_CONFIGS], "order": {"ID": "ASC"},
                "filter": {}, "limit": 200, "offset": 0,
            }
        },
        optional=True, deleted_by="replaced",
    ),
)  # fmt: skip


def process_entities(types: Iterable[Mapping[str, Any]]) -> tuple[Entity, ...]:
    """Return the lists of all smart processes: items, moves between stages, pipelines.

    Args:
        types: rows of `process_types`, keys as the portal sent them.
    """
    entities: list[Entity] = []
    for row in types:
        type_id = int(row["entityTypeId"])
        own: dict[str, Any] = {"part": str(type_id), "constants": {"entity_type_id": str(type_id)}}
        entities.append(_items("process_items", type_id, **own))
        if row.get("isStagesEnabled") == "Y":
            entities.append(_stage_history("process_stage_history", type_id, "process_items", optional=True, **own))
        if row.get("isCategoriesEnabled") == "Y":
            entities.append(_pipelines(type_id, optional=True))
    return tuple(entities)


def catalog_entities(catalogs: Iterable[Mapping[str, Any]]) -> tuple[Entity, ...]:
    """Return the lists of all catalogues, those of variations too: products and their sections.

    Args:
        catalogs: rows of `catalogs`, keys as the portal sent them.
    """
    entities: list[Entity] = []
    for row in catalogs:
        iblock = int(row["iblockId"])
        # a catalogue of variations names that of their products
        entities.append(_variations(iblock) if row.get("productIblockId") else _products(iblock))
        entities.append(_product_sections(iblock))
    return tuple(entities)


def _products(iblock: int) -> Entity:
    # the method refuses a select without iblockId
    select = [_camel(column) for column in schema.PRODUCTS if column != "parent_id"]
    return Entity(
        "products", "catalog.product.list", "catalog", Family.CHANGES,
        {"select": select, "filter": {"iblockId": iblock}},
        path=("products",), id="id", filter_id="id", cursor="timestampX", optional=True,
        sweep_select={"select": ["id", "iblockId"]}, part=str(iblock), constants={"iblock_id": str(iblock)},
    )  # fmt: skip


def _variations(iblock: int) -> Entity:
    # the only method that tells the product of a variation; deals mostly sell variations
    select = [_camel(column) for column in schema.PRODUCTS]
    return replace(
        _products(iblock), method="catalog.product.offer.list", path=("offers",), admin_only=True,
        params={"select": select, "filter": {"iblockId": iblock}},
    )  # fmt: skip


def _product_sections(iblock: int) -> Entity:
    # the sample on the method's page has `sections` beside `result` instead of inside: both may come
    return Entity(
        "product_sections", "catalog.section.list", "catalog", Family.KEYED_DICTIONARY,
        {"select": [_camel(column) for column in schema.PRODUCT_SECTIONS], "filter": {"iblockId": iblock}},
        path=("sections",), id="id", filter_id="id", optional=True, sweep_select=ITEM_IDS,
        deleted_by="replaced", admin_only=True, part=str(iblock), constants={"iblock_id": str(iblock)},
    )  # fmt: skip
