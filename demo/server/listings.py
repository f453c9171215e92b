"""The list methods: one row of the table for each, one way to run them all."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any

from demo.server import fields as f
from demo.server import filters, rendering
from demo.server.answers import Answer, Method, View
from demo.server.errors import RestError, invalid_argument
from demo.server.fields import Entity, Field, to_upper_snake
from demo.server.filters import FilterRules, Row
from demo.server.item_types import entity_type, history_entity, item_entity, pipeline_entity
from demo.server.packing import JsonRows
from demo.server.paging import PAGE_ROWS, Family, cut
from demo.server.parameters import (
    Params,
    array_items,
    array_values,
    is_array,
    to_int,
    to_text,
)
from demo.server.rendering import Render
from demo.server.store import NO_MATCHES, Order


@dataclass(frozen=True)
class Query:
    """A list request, whatever its method calls the parts."""

    filter: Any
    order: Any
    select: Sequence[str]
    start: int


Reader = Callable[[Params], Query]
Renderer = Callable[[View, Entity, Sequence[str], Params], Render]


def _parameter(params: Params, name: str) -> Any:
    """Return a parameter whatever the case of its name."""
    return next((value for key, value in params.items() if key.upper() == name), None)


def _wants_original_names(params: Params) -> bool:
    return to_text(_parameter(params, "USEORIGINALUFNAMES")).upper() == "Y"


def _columns(value: Any) -> list[str]:
    return [to_text(item) for item in array_values(value)]


def read_common(params: Params) -> Query:
    """Read `filter`, `order`, `select` in any case, and `start` in lower case only."""
    for name in ("filter", "order", "select"):
        value = _parameter(params, name.upper())
        if value is not None and not is_array(value):
            raise RestError(400, "", f"Parameter '{name}' must be array.")
    return Query(
        _parameter(params, "FILTER"),
        _parameter(params, "ORDER"),
        _columns(_parameter(params, "SELECT")),
        to_int(params.get("start")),
    )


def read_sorted(params: Params) -> Query:
    """Read `SORT` and `ORDER` as two scalars; a filter may also lie at the top level."""
    own = {"SORT", "ORDER", "FILTER", "SELECT", "START", "ADMIN_MODE", "IMAGE_RESIZE"}
    loose = {key: value for key, value in params.items() if key.upper() not in own}
    nested = _parameter(params, "FILTER")
    sort = _parameter(params, "SORT")
    return Query(
        {**loose, **dict(array_items(nested))},
        {to_text(sort): _parameter(params, "ORDER")} if sort else None,
        _columns(_parameter(params, "SELECT")),
        to_int(params.get("start", params.get("START"))),
    )


@dataclass(frozen=True, kw_only=True)
class Listing:
    """A list method.

    Attributes:
        entity: what it lists, or a choice by parameters.
        rows_key: the key of the rows inside `result`; none when `result` is the list itself.
        default_order: field and whether it descends. Old lists promise none: theirs is not the id ascending, so that a
            keyset walk which forgets its order loses rows here as it would there.
        unknown_order: what an unknown order field gets: None ignores it.
        total: the fixed `total` of a method that does not count.
        no_total_past_end: `total` is left out past the end.
        check: refuses bad parameters before anything is read.
        own: conditions that the method adds to the filter; they cannot be replaced.
        no_total: neither `total` nor `next` is ever told.
        packed: rows are encoded at once and the bytes kept: for large tables.
    """

    scope: str
    family: Family
    rules: FilterRules
    entity: Entity | Callable[[View, Params], Entity]
    rows_key: str = ""
    read: Reader = read_common
    render: Renderer
    default_order: tuple[str, bool] = ("ID", True)
    unknown_order: Callable[[str], RestError] | None = None
    spell: Callable[[str], str] = str
    fields: Callable[[View, Entity], Mapping[str, Field]] = View.fields
    total: int | None = None
    no_total_past_end: bool = False
    check: Callable[[View, Query], Query] | None = None
    own: Callable[[View, Params], Mapping[str, Any]] | None = None
    no_total: bool = False
    packed: bool = False

    def run(self, view: View, params: Params) -> Answer:
        """Answer one request."""
        entity = self.entity if isinstance(self.entity, Entity) else self.entity(view, params)
        query = self.read(params)
        if self.check:
            query = self.check(view, query)
        known = self.fields(view, entity)
        wanted = {self._spell_key(key): value for key, value in array_items(query.filter)}
        clauses = filters.compile_filter(wanted, known, self.rules, view.store.zone)
        if self.own:
            clauses += filters.compile_filter(self.own(view, params), known, filters.OLD_CRM, view.store.zone)
        order = self._order(query.order, known)
        index = view.store[entity.table]
        matches = NO_MATCHES if view.hides(entity) else index.matching(entity, clauses, order)
        page = cut(matches, query.start, self.family)
        rows: JsonRows | list[Row]
        if self.packed:
            selection = (self.render, tuple(query.select), _wants_original_names(params))
            packer = view.packer(entity, selection, lambda: self.render(view, entity, query.select, params))
            rows = packer.pack(page.ids)
        else:
            rows = self.render(view, entity, query.select, params)(index.rows(page.ids))
        total = self.total if self.total is not None else page.total
        if self.no_total_past_end and query.start >= 0 and not rows:
            total = None
        if self.no_total:
            page, total = replace(page, next=None), None
        return Answer({self.rows_key: rows} if self.rows_key else rows, total, page.next, rows=len(rows), is_page=True)

    def _spell_key(self, key: str) -> str:
        prefix, name = self.rules.split(key)
        return prefix + self.spell(name)

    def _order(self, raw: Any, known: Mapping[str, Field]) -> Order:
        order: list[tuple[Field, bool]] = []
        for key, direction in array_items(raw):
            name = self.spell(key)
            if name in known:
                order.append((known[name], to_text(direction).upper() == "DESC"))
            elif self.unknown_order:
                raise self.unknown_order(key)
        name, descending = self.default_order
        return tuple(order) or ((known[name], descending),)


def _show_old(view: View, entity: Entity, select: Sequence[str], _: Params) -> Render:
    return rendering.old_list(select, view.custom_fields(entity))


def _show_activities(_: View, __: Entity, select: Sequence[str], ___: Params) -> Render:
    return rendering.old_list(select, (), rendering.ACTIVITY_EXTRAS)


def _show_plain(_: View, __: Entity, select: Sequence[str], ___: Params) -> Render:
    return rendering.plain(select)


def _show_users(_: View, entity: Entity, select: Sequence[str], __: Params) -> Render:
    return rendering.old_list(select, [name for name in entity.fields if name.startswith("UF_")], ())


def _show_tasks(_: View, entity: Entity, select: Sequence[str], __: Params) -> Render:
    return rendering.tasks(select, entity.fields)


def _show_items(view: View, entity: Entity, select: Sequence[str], params: Params) -> Render:
    return view.items(entity).render(select, _wants_original_names(params))


def _show_whole(_: View, __: Entity, ___: Sequence[str], ____: Params) -> Render:
    return rendering.as_is


def _show_upper(_: View, __: Entity, ___: Sequence[str], ____: Params) -> Render:
    return lambda rows: [rendering.product_row_upper(row) for row in rows]


_LABELS = ("EDIT_FORM_LABEL", "LIST_COLUMN_LABEL", "LIST_FILTER_LABEL", "ERROR_MESSAGE", "HELP_MESSAGE")


def _show_custom_fields(_: View, __: Entity, ___: Sequence[str], params: Params) -> Render:
    """Show labels only if the filter asks for a language."""
    if any(key.upper() == "LANG" and value for key, value in array_items(_parameter(params, "FILTER"))):
        return rendering.as_is
    return lambda rows: [{key: value for key, value in row.items() if key not in _LABELS} for row in rows]


def _old_crm(entity: Entity) -> Listing:
    return Listing(
        scope="crm", family=Family.LEGACY, rules=filters.OLD_CRM, entity=entity, render=_show_old, packed=True
    )


def _custom_fields_of(entity: Entity, described: Entity = f.CUSTOM_FIELDS) -> Listing:
    def own_only(_: View, query: Query) -> Query:
        wanted = {**dict(array_items(query.filter)), "ENTITY_ID": entity.custom_fields_of}
        return Query(wanted, query.order, query.select, query.start)

    return Listing(
        scope="crm",
        family=Family.WHOLE,
        rules=filters.OLD_CRM,
        entity=described,
        render=_show_custom_fields,
        default_order=("ID", False),
        check=own_only,
    )


def _unknown_item_order(key: str) -> RestError:
    return invalid_argument(f"Invalid order: field '{key}' is not allowed in order")


def _unknown_task_order(key: str) -> RestError:
    return RestError(400, "0", f"Unknown field {key} in order")


def _need_owner(view: View, query: Query) -> Query:
    """Both owner keys are mandatory, spelled exactly so; an array of owners is an accident of the portal's code.

    `View.owner_array` chooses what such an array gets: "in" rows of all of them, "first" rows of owner 1 (the array's
    cast to an integer), "refuse" 400.
    """
    given = dict(array_items(query.filter))
    for key in ("=ownerType", "=ownerId"):
        if key not in given:
            raise RestError(400, "100", f"Could not find value for parameter {{{key}}}")
    if is_array(given["=ownerId"]) and view.owner_array == "refuse":
        raise invalid_argument("Invalid filter: value of 'ownerId' must be a number")
    if is_array(given["=ownerId"]) and view.owner_array == "first":
        given["=ownerId"] = to_int(given["=ownerId"])
    return Query(given, query.order, query.select, query.start)


_OWNER_KEYS = {"OWNER_ID": "ownerId", "OWNER_TYPE": "ownerType"}


def _need_old_owner(_: View, query: Query) -> Query:
    given = {key.lstrip("="): value for key, value in array_items(query.filter)}
    for key in _OWNER_KEYS:
        if key not in given:
            raise RestError(400, "", f"Parameter '{key}' is required in filter.")
    return query


def product_rows_of(params: Params, key: str) -> Entity:
    """Return where the product rows of the owner type in the filter lie: those of deals have a table of their own."""
    given = {name.lstrip("="): value for name, value in array_items(_parameter(params, "FILTER"))}
    return f.PRODUCT_ROWS if to_text(given.get(key, "D")) == "D" else f.LATER_PRODUCT_ROWS


def _upper(entity: Entity) -> Entity:
    return replace(entity, fields={to_upper_snake(name): field for name, field in entity.fields.items()})


_UPPER_PRODUCT_ROWS = {entity.table: _upper(entity) for entity in (f.PRODUCT_ROWS, f.LATER_PRODUCT_ROWS)}


LISTINGS: dict[str, Listing] = {
    **{f"crm.{name}.list": _old_crm(entity) for name, entity in f.CRM_ENTITIES.items()},
    **{f"crm.{name}.userfield.list": _custom_fields_of(entity) for name, entity in f.CRM_ENTITIES.items()},
    "crm.quote.userfield.list": _custom_fields_of(f.QUOTES, f.LATER_CUSTOM_FIELDS),
    "crm.activity.list": Listing(
        scope="crm",
        family=Family.LEGACY,
        rules=filters.OLD_CRM,
        entity=f.ACTIVITIES,
        render=_show_activities,
        packed=True,
    ),
    "crm.item.list": Listing(
        scope="crm",
        family=Family.CONTROLLER,
        rules=filters.ITEMS,
        entity=lambda view, params: item_entity(view, entity_type(params)),
        rows_key="items",
        render=_show_items,
        packed=True,
        fields=lambda view, entity: view.items(entity).fields,
        default_order=("id", True),
        unknown_order=_unknown_item_order,
    ),
    "crm.stagehistory.list": Listing(
        scope="crm",
        family=Family.CONTROLLER,
        rules=filters.STAGE_HISTORY,
        entity=lambda view, params: history_entity(view, entity_type(params)),
        rows_key="items",
        render=_show_plain,
        packed=True,
    ),
    "crm.item.productrow.list": Listing(
        scope="crm",
        family=Family.CONTROLLER,
        rules=filters.PRODUCT_ROWS,
        entity=lambda _, params: product_rows_of(params, "ownerType"),
        rows_key="productRows",
        render=_show_whole,
        default_order=("id", False),
        unknown_order=_unknown_item_order,
        check=_need_owner,
    ),
    "crm.productrow.list": Listing(
        scope="crm",
        family=Family.LEGACY,
        rules=filters.OLD_CRM,
        entity=lambda _, params: _UPPER_PRODUCT_ROWS[product_rows_of(params, "OWNER_TYPE").table],
        render=_show_upper,
        default_order=("ID", False),
        check=_need_old_owner,
    ),
    "crm.status.list": Listing(
        scope="crm",
        family=Family.WHOLE,
        rules=filters.OLD_CRM,
        entity=f.STATUSES,
        render=_show_whole,
        default_order=("SORT", False),
    ),
    "crm.category.list": Listing(
        scope="crm",
        family=Family.WHOLE,
        rules=filters.EXACT,
        entity=lambda view, params: pipeline_entity(view, entity_type(params)),
        own=lambda _, params: {"entityTypeId": entity_type(params)},
        rows_key="categories",
        render=_show_whole,
        default_order=("sort", False),
    ),
    "crm.currency.list": Listing(
        scope="crm",
        family=Family.WHOLE,
        rules=filters.EXACT,
        entity=f.CURRENCIES,
        render=_show_whole,
        default_order=("SORT", False),
        total=0,
        check=lambda _, query: Query(None, query.order, (), 0),
    ),
    "user.get": Listing(
        scope="user",
        family=Family.ORM,
        rules=filters.USERS,
        entity=f.USERS,
        read=read_sorted,
        render=_show_users,
        default_order=("ID", False),
        no_total_past_end=True,
    ),
    "department.get": Listing(
        scope="department",
        family=Family.LEGACY,
        rules=filters.EXACT,
        entity=f.DEPARTMENTS,
        read=read_sorted,
        render=_show_whole,
        default_order=("ID", False),
    ),
    "voximplant.statistic.get": Listing(
        scope="telephony",
        family=Family.ORM,
        rules=filters.CALLS,
        entity=f.CALLS,
        read=read_sorted,
        render=_show_whole,
        packed=True,
        default_order=("CALL_START_DATE", True),
    ),
    "tasks.task.list": Listing(
        scope="task",
        family=Family.CONTROLLER,
        rules=filters.TASKS,
        entity=f.TASKS,
        rows_key="tasks",
        render=_show_tasks,
        packed=True,
        unknown_order=_unknown_task_order,
        spell=to_upper_snake,
    ),
}


def elapsed_items(view: View, params: Params) -> Answer:
    """Answer `task.elapseditem.getlist`, whose parameters count by position: task, order, filter, select, paging.

    A first argument that is no number means all tasks, and is the order itself. Without a task a page has 50 rows,
    with one and without NAV_PARAMS all come. An unknown key is refused with ERROR_CORE.
    """
    arguments = [value for key, value in params.items() if key not in ("start", "auth")]
    task_id = 0
    if arguments and not is_array(arguments[0]):
        task_id = to_int(arguments.pop(0))
    order_by, where, select, settings = (*arguments, None, None, None, None)[:4]
    entity, zone = f.TIME_ENTRIES, view.store.zone
    sortable = {"ID", "USER_ID", "MINUTES", "SECONDS", "CREATED_DATE", "DATE_START", "DATE_STOP"}
    filterable = {"ID", "USER_ID", "CREATED_DATE", "TASK_ID"}
    for name, raw, allowed in (("arOrder", order_by, sortable), ("arFilter", where, filterable)):
        for key, _ in array_items(raw):
            if filters.TIME_ENTRIES.split(key)[1] not in allowed:
                raise RestError(400, "ERROR_CORE", f'Param ({name}) must not contain key "{key}"')
    conditions = {**dict(array_items(where)), **({"TASK_ID": task_id} if task_id else {})}
    clauses = filters.compile_filter(conditions, entity.fields, filters.TIME_ENTRIES, zone)
    order: Order = tuple(
        (entity.fields[key], to_text(direction).upper() == "DESC") for key, direction in array_items(order_by)
    ) or ((entity.fields["ID"], True),)
    index = view.store[entity.table]
    matches = index.matching(entity, clauses, order)
    paging = dict(array_items(dict(array_items(settings)).get("NAV_PARAMS")))
    size = min(to_int(paging.get("nPageSize")) or PAGE_ROWS, PAGE_ROWS)
    offset = (max(to_int(paging.get("iNumPage")), 1) - 1) * size
    if task_id and not paging:
        offset, size = 0, len(matches)
    elif offset >= len(matches):
        offset = 0  # a legacy cursor: past the end the first page comes again
    rows = rendering.plain(_columns(select))(index.rows(matches.take(offset, size)))
    return Answer(rows, total=len(matches), rows=len(rows), is_page=True)


LIST_METHODS = (
    *(Method(name, listing.scope, listing.run) for name, listing in LISTINGS.items()),
    Method("task.elapseditem.getlist", "task", elapsed_items),
)
