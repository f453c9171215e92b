"""Methods of everything beside the CRM: workgroups, calendars, logs of tasks, open lines, the registry of fields."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from datetime import timedelta
from typing import Any

from demo.server import fields as f
from demo.server import filters
from demo.server.answers import CUSTOM_FIELD_TABLES, Answer, Method, View
from demo.server.errors import RestError
from demo.server.fields import Entity, Field, fields_of, to_camel
from demo.server.filters import FilterRules, Row
from demo.server.listings import Listing
from demo.server.paging import Family, cut
from demo.server.parameters import Params, array_items, array_values, parse_instant, to_int, to_text
from demo.server.rendering import Render
from demo.server.store import Matches, Order
from demo.world.meetings import occurrences

_GROUP_RULES = FilterRules.of("> >= < <= = ! != % =% %= !% !=% !%=")
WORKGROUPS = Entity(
    "workgroups",
    {
        name: Field(to_camel(name), field.kind)
        for name, field in fields_of(
            integer="ID OWNER_ID SUBJECT_ID NUMBER_OF_MEMBERS NUMBER_OF_MODERATORS IMAGE_ID SCRUM_OWNER_ID "
            "SCRUM_MASTER_ID SCRUM_SPRINT_DURATION",
            text="NAME DESCRIPTION KEYWORDS TYPE INITIATE_PERMS AVATAR_TYPE SCRUM_TASK_RESPONSIBLE",
            flag="ACTIVE VISIBLE OPENED CLOSED PROJECT LANDING",
            time="DATE_CREATE DATE_UPDATE DATE_ACTIVITY PROJECT_DATE_START PROJECT_DATE_FINISH",
        ).items()
    },
    id_key="id",
)
_SONET_KEYS = (
    "ID", "NAME", "DESCRIPTION", "DATE_CREATE", "DATE_UPDATE", "ACTIVE", "VISIBLE", "OPENED", "CLOSED", "SUBJECT_ID",
    "OWNER_ID", "KEYWORDS", "NUMBER_OF_MEMBERS", "DATE_ACTIVITY", "PROJECT",
)  # fmt: skip
_CALENDAR_PAST, _CALENDAR_AHEAD = timedelta(days=30), timedelta(days=90)
_LINES_LIMIT, _MOST_LINES = 50, 200


def _given(params: Params, name: str) -> Any:
    return next((value for key, value in params.items() if key.upper() == name.upper()), None)


def _required(params: Params, name: str) -> Any:
    value = _given(params, name)
    if value is None:
        raise RestError(400, "100", f"Could not find value for parameter {{{name}}}")
    return value


# workgroups


def _visible_groups(view: View, params: Params) -> Mapping[str, Any]:
    """Hide secret groups, unless an administrator asks for all."""
    settings = dict(array_items(_given(params, "params"))) | dict(params)
    sees_all = view.is_admin and to_text(settings.get("IS_ADMIN")) == "Y"
    group = _given(params, "GROUP_ID")
    return {**({} if sees_all else {"VISIBLE": "Y"}), **({"ID": group} if group else {})}


def _show_groups(_: View, __: Entity, select: Sequence[str], ___: Params) -> Render:
    """Show what is named; nothing named is the id alone."""
    names = {to_camel(name) for name in select or ("ID",)}
    if "*" in select:
        return lambda rows: [dict(row) for row in rows]
    return lambda rows: [{key: value for key, value in row.items() if key in names} for row in rows]


def _show_sonet_groups(_: View, __: Entity, ___: Sequence[str], ____: Params) -> Render:
    def upper(row: Row) -> Row:
        known = {name: row[to_camel(name)] for name in _SONET_KEYS}
        return {**known, "SITE_ID": "s1", "SUBJECT_NAME": "Рабочие группы", "IS_EXTRANET": "N"}

    return lambda rows: [upper(row) for row in rows]


_GROUP_LISTINGS = {
    "socialnetwork.api.workgroup.list": Listing(
        scope="socialnetwork",
        family=Family.CONTROLLER,
        rules=_GROUP_RULES,
        entity=WORKGROUPS,
        rows_key="workgroups",
        render=_show_groups,
        own=_visible_groups,
    ),
    "sonet_group.get": Listing(
        scope="sonet_group",
        family=Family.LEGACY,
        rules=_GROUP_RULES,
        entity=WORKGROUPS,
        render=_show_sonet_groups,
        own=_visible_groups,
    ),
}


# tasks


_HISTORY = Entity("task_history", fields_of(integer="id taskId", text="field", time="createdDate"), id_key="id")
_HISTORY_FILTERS = {"FIELD": _HISTORY.fields["field"], "CREATED_DATE": _HISTORY.fields["createdDate"]}


def _task_history(view: View, params: Params) -> Answer:
    """Answer `tasks.task.history.list`: the whole log of one task, newest first unless asked otherwise."""
    task = to_int(_required(params, "taskId"))
    where = {key.upper(): value for key, value in array_items(_given(params, "filter"))}
    clauses = filters.compile_filter({"taskId": task}, _HISTORY.fields, filters.OLD_CRM, view.store.zone)
    clauses += filters.compile_filter(where, _HISTORY_FILTERS, filters.OLD_CRM, view.store.zone)
    direction = next((to_text(value) for _, value in array_items(_given(params, "order"))), "desc")
    order: Order = ((_HISTORY.fields["id"], direction.lower() == "desc"),)
    index = view.store[_HISTORY.table]
    matches = index.matching(_HISTORY, clauses, order)
    rows = index.rows(matches.take(0, len(matches)))
    for row in rows:
        del row["taskId"]
    return Answer({"list": rows}, rows=len(rows), is_page=True)


# calendars


def _calendar_owner(params: Params) -> Mapping[str, Any]:
    kind = to_text(_given(params, "type"))
    owner = _given(params, "ownerId")
    if not kind or (owner is None and kind != "company_calendar"):
        raise RestError(400, "", "Не задан обязательный параметр")
    return {"CAL_TYPE": kind, "OWNER_ID": to_int(owner)}


_EVENTS = Entity("calendar_events", fields_of(integer="ID OWNER_ID SECT_ID", code="CAL_TYPE"))
_SECTIONS = Entity("calendar_sections", fields_of(integer="ID OWNER_ID", code="CAL_TYPE"))


def _owned(view: View, entity: Entity, where: Mapping[str, Any]) -> list[Row]:
    clauses = filters.compile_filter(where, entity.fields, filters.OLD_CRM, view.store.zone)
    index = view.store[entity.table]
    matches = index.matching(entity, clauses, ((entity.fields["ID"], False),))
    return index.rows(matches.take(0, len(matches)))


def _calendar_events(view: View, params: Params) -> Answer:
    """Answer `calendar.event.get`: every occurrence that touches a window, of one owner."""
    where = dict(_calendar_owner(params))
    if sections := array_values(_given(params, "section")):
        where["SECT_ID"] = sections
    start, end = _window(view, params)
    rows = [
        day
        for event in _owned(view, _EVENTS, where)
        for day in occurrences(event)
        if int(day["DATE_TO_TS_UTC"]) >= start and int(day["DATE_FROM_TS_UTC"]) <= end
    ]
    return Answer(rows, rows=len(rows), is_page=True)


def _window(view: View, params: Params) -> tuple[float, float]:
    """Return the instants asked for: a month back and three ahead by default; with `from` alone, no end."""
    first, last = (_given(params, name) for name in ("from", "to"))
    start = parse_instant(first, view.store.zone)
    end = parse_instant(last, view.store.zone)
    if end is not None and len(to_text(last)) == len("2026-06-15"):
        end += timedelta(days=1).total_seconds() - 1  # a date alone means all of its day
    if start is None:
        start = (view.now() - _CALENDAR_PAST).timestamp()
        end = end if end is not None else (view.now() + _CALENDAR_AHEAD).timestamp()
    return start, end if end is not None else float("inf")


def _calendar_sections(view: View, params: Params) -> Answer:
    rows = _owned(view, _SECTIONS, _calendar_owner(params))
    return Answer(rows, rows=len(rows), is_page=True)


# open lines


def _session_history(view: View, params: Params) -> Answer:
    """Answer `imopenlines.session.history.get`: one chat, whole."""
    session, chat = _given(params, "SESSION_ID"), _given(params, "CHAT_ID")
    if session is None and chat is None:
        raise RestError(400, "MISSING_REQUIRED_PARAM", "Missing required parameter SESSION_ID")
    rows = view.store["openline_sessions"].table.rows
    if session is not None:
        if to_int(session) <= 0:
            raise RestError(400, "INVALID_SESSION_ID", "Session ID is invalid")
        row = rows.get(to_int(session))
    else:
        row = next((row for row in rows.values() if row["chatId"] == to_int(chat)), None)
    if row is None:
        raise RestError(400, "ACCESS_DENIED", "You do not have access to this dialog")
    return Answer(row, rows=len(row["message"]))


def _lines(view: View, params: Params) -> Answer:
    """Answer `imopenlines.config.list.get`, which pages by its own `limit` and `offset`."""
    asked = {key.lower(): value for key, value in array_items(_given(params, "PARAMS"))}
    limit = min(to_int(asked.get("limit")) or _LINES_LIMIT, _MOST_LINES)
    offset = to_int(asked.get("offset"))
    wanted = {key.lstrip("="): to_text(value) for key, value in array_items(asked.get("filter"))}
    select = set(array_values(asked.get("select")))
    rows = [
        {key: value for key, value in row.items() if not select or "*" in select or key in select}
        for row in view.store["openline_configs"].table.rows.values()
        if all(to_text(row.get(key)) == value for key, value in wanted.items())
    ]
    return Answer(rows[offset : offset + limit], rows=len(rows[offset : offset + limit]), is_page=True)


# the registry of custom fields


_CONFIG_FIELDS = {to_camel(name): field for name, field in f.CUSTOM_FIELDS.fields.items()}
_CONFIG_KEYS = (
    "ID", "ENTITY_ID", "FIELD_NAME", "USER_TYPE_ID", "XML_ID", "SORT", "MULTIPLE", "MANDATORY", "SHOW_FILTER",
    "SHOW_IN_LIST", "EDIT_IN_LIST", "IS_SEARCHABLE", "SETTINGS",
)  # fmt: skip
_LABELS = ("EDIT_FORM_LABEL", "LIST_COLUMN_LABEL", "LIST_FILTER_LABEL")


def _crm_only(view: View, params: Params) -> None:
    module = _required(params, "moduleId")
    if to_text(module) != "crm" or "crm" not in view.scopes:
        raise RestError(400, "ACCESS_DENIED", f"You have no access to the custom fields of module {module}")


def _config(row: Row, language: str) -> Row:
    shown = {to_camel(key): row.get(key) for key in _CONFIG_KEYS}
    labels = {key: row.get(key) for key in _LABELS} if language else {}
    told = {key: label if isinstance(label, dict) else {language: label} for key, label in labels.items()}
    return {**shown, **{to_camel(key): label for key, label in told.items()}}


def _field_configs(view: View, params: Params) -> Answer:
    """Answer `userfieldconfig.list`: fields of all entities, without options; labels if a language is selected."""
    _crm_only(view, params)
    rows = [row for name in CUSTOM_FIELD_TABLES for row in view.store[name].table.rows.values()]
    clauses = filters.compile_filter(_given(params, "filter"), _CONFIG_FIELDS, filters.ITEMS, view.store.zone)
    tests = [clause.predicate(view.store.zone) for clause in clauses]
    found = {to_int(row["ID"]): row for row in rows if all(test(row) for test in tests)}
    backwards = any(
        to_camel(key) == "id" and to_text(value).upper() == "DESC"
        for key, value in array_items(_given(params, "order"))
    )
    ids = sorted(found)
    page = cut(Matches(ids, 0, len(ids), backwards), to_int(params.get("start")), Family.CONTROLLER)
    language = to_text(dict(array_items(_given(params, "select"))).get("language"))
    shown = [_config(found[number], language) for number in page.ids]
    return Answer({"fields": shown}, page.total, page.next, rows=len(shown), is_page=True)


def _field_config(view: View, params: Params) -> Answer:
    """Answer `userfieldconfig.get`: one field with labels and options."""
    _crm_only(view, params)
    number = to_int(_required(params, "id"))
    row = next((rows[number] for name in CUSTOM_FIELD_TABLES if number in (rows := view.store[name].table.rows)), None)
    if row is None:
        raise RestError(400, "NOT_FOUND", "Field is not found")
    shown = _config(row, "ru")
    if row["USER_TYPE_ID"] == "enumeration":
        shown["enum"] = [
            {"id": item["ID"], "value": item["VALUE"], "xmlId": item.get("XML_ID"), "def": "N", "sort": item["SORT"]}
            for item in row.get("LIST") or row.get("ENUM") or ()
        ]
    return Answer({"field": shown}, rows=1)


OFFICE_METHODS = (
    *(Method(name, listing.scope, listing.run) for name, listing in _GROUP_LISTINGS.items()),
    Method("tasks.task.history.list", "task", _task_history),
    Method("calendar.event.get", "calendar", _calendar_events),
    Method("calendar.section.get", "calendar", _calendar_sections),
    Method("imopenlines.session.history.get", "imopenlines", _session_history),
    Method("imopenlines.config.list.get", "imopenlines", _lines),
    Method("userfieldconfig.list", "userfieldconfig", _field_configs),
    Method("userfieldconfig.get", "userfieldconfig", _field_config),
)
