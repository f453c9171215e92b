"""REST 3.0 beside the old one: its own path, filters, pages and errors."""

from __future__ import annotations

from typing import Any

from demo.server import filters
from demo.server.answers import Answer, Method, View
from demo.server.errors import RestError
from demo.server.fields import Entity, fields_of
from demo.server.filters import FilterRules
from demo.server.parameters import Params, array_items, array_values, is_array, to_int, to_text
from demo.server.store import Order

_PAGE, _MOST_ROWS = 50, 1000
_RULES = FilterRules.of("= ! != > >= < <= @", strict=False)
WORK_TIME = Entity(
    "work_time_records",
    fields_of(integer="id userId duration breakLength", time="startTime endTime", flag="isApproved", text="state"),
    id_key="id",
)
_SORTABLE = ("id", "userId", "startTime", "endTime", "duration")
_FILTERABLE = {"userId": ("=", "in"), "startTime": ("=", ">", ">=", "<", "<=", "between")}


class V3Error(RestError):
    """A refusal in the envelope of REST 3.0; `field` is what did not pass validation."""

    def __init__(self, status: int, name: str, message: str, field: str = "") -> None:
        super().__init__(status, f"BITRIX_REST_V3_EXCEPTION_{name}", message)
        self._field = field

    def body(self) -> dict[str, Any]:
        """Return the JSON body."""
        told: dict[str, Any] = {"code": self.code, "message": self.description}
        if self._field:
            told["validation"] = [{"field": self._field, "message": self.description}]
        return {"error": told}


def unknown_method(name: str) -> V3Error:
    """Return the refusal of a method that REST 3.0 lacks."""
    return V3Error(404, "METHODNOTFOUNDEXCEPTION", f"Method `{name}` was not found")


def _invalid(message: str) -> V3Error:
    return V3Error(400, "INVALIDFILTEREXCEPTION", message)


def _conditions(raw: Any) -> list[tuple[str, str, Any]]:
    """Read `["field", "op", value]`; a pair means equality."""
    found = []
    for item in array_values(raw):
        parts = array_values(item)
        if len(parts) not in (2, 3):
            raise _invalid("A condition is a list of field, operator and value")
        field, operator, value = (parts[0], "=", parts[1]) if len(parts) == 2 else parts
        if operator not in _FILTERABLE.get(to_text(field), ()):
            raise _invalid(f"Field `{field}` cannot be filtered by `{operator}`")
        found.append((to_text(field), to_text(operator), value))
    return found


def _work_time(view: View, params: Params) -> Answer:
    """Answer `timeman.record.list`: the days of exactly one user."""
    conditions = _conditions(params.get("filter"))
    users = [value for field, _, value in conditions if field == "userId"]
    if len(users) != 1 or (is_array(users[0]) and len(array_values(users[0])) != 1):
        raise _invalid("Filter must hold exactly one userId")
    user = to_int(array_values(users[0])[0] if is_array(users[0]) else users[0])
    if not view.is_admin and user != view.user_id:
        raise V3Error(403, "ACCESSDENIEDEXCEPTION", "Access denied")
    where: dict[str, Any] = {"userId": user}
    for field, operator, value in conditions:
        if field == "startTime" and operator == "between":
            low, high = (*array_values(value), None, None)[:2]
            where |= {">=startTime": low, "<=startTime": high}
        elif field == "startTime":
            where[operator + field] = value
    order: Order = tuple(
        (WORK_TIME.fields[key], to_text(direction).upper() == "DESC")
        for key, direction in array_items(params.get("order"))
        if key in _SORTABLE
    ) or ((WORK_TIME.fields["id"], False),)
    clauses = filters.compile_filter(where, WORK_TIME.fields, _RULES, view.store.zone)
    index = view.store[WORK_TIME.table]
    matches = index.matching(WORK_TIME, clauses, order)
    paging = dict(array_items(params.get("pagination")))
    limit = min(to_int(paging.get("limit")) or _PAGE, _MOST_ROWS)
    offset = to_int(paging.get("offset")) or (max(to_int(paging.get("page")), 1) - 1) * limit
    select = {to_text(name) for name in array_values(params.get("select"))}
    rows = [
        {key: value for key, value in row.items() if not select or key in select}
        for row in index.rows(matches.take(offset, limit))
    ]
    return Answer({"items": rows}, rows=len(rows), is_page=True)


METHODS = {"timeman.record.list": Method("timeman.record.list", "timeman", _work_time)}
