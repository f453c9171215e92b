"""The table of every method that the portal knows."""

from __future__ import annotations

from typing import Any

from demo.server import fields as f
from demo.server.answers import Answer, Method, View
from demo.server.errors import RestError
from demo.server.fields import Entity, Field, Kind
from demo.server.filters import Row
from demo.server.listings import LIST_METHODS, item_entity
from demo.server.parameters import Params, array_items, array_values, to_bool, to_int, to_text

ALL_SCOPES = (
    "catalog",
    "crm",
    "department",
    "task",
    "telephony",
    "user",
)
_OWNER_TYPES = (
    (1, "Лид", "LEAD", "L"),
    (2, "Сделка", "DEAL", "D"),
    (3, "Контакт", "CONTACT", "C"),
    (4, "Компания", "COMPANY", "CO"),
    (7, "Предложение", "QUOTE", "Q"),
    (8, "Реквизиты", "REQUISITE", "RQ"),
    (14, "Заказ", "ORDER", "O"),
    (31, "Счёт", "SMART_INVOICE", "SI"),
)
_READ_ONLY = {"ID", "DATE_CREATE", "DATE_MODIFY", "CREATED_BY_ID", "MODIFY_BY_ID", "MOVED_BY_ID", "MOVED_TIME"}


def _required_id(params: Params) -> int:
    value = next((value for key, value in params.items() if key.upper() == "ID"), None)
    if value is None or to_int(value) <= 0:
        raise RestError(400, "", "ID is not defined or invalid.")
    return to_int(value)


def _owned_deal(view: View, params: Params) -> Row:
    row: Row | None = view.store["deals"].table.rows.get(_required_id(params))
    if row is None:
        raise RestError(400, "", "Not found")
    return row


def _deal_product_rows(view: View, params: Params) -> Answer:
    deal_id = to_int(_owned_deal(view, params)["ID"])
    listing = next(method for method in LIST_METHODS if method.name == "crm.productrow.list")
    rows: list[Row] = []
    while True:
        last = to_int(rows[-1]["ID"]) if rows else 0
        where = {"OWNER_ID": deal_id, "OWNER_TYPE": "D", ">ID": last}
        page = listing.run(view, {"filter": where, "order": {"ID": "ASC"}, "start": -1}).result
        if not page:
            return Answer(rows, rows=len(rows), is_page=True)
        rows += page


def _deal_contacts(view: View, params: Params) -> Answer:
    contact_id = to_int(_owned_deal(view, params).get("CONTACT_ID"))
    links = [{"CONTACT_ID": contact_id, "SORT": 100, "ROLE_ID": 0, "IS_PRIMARY": "Y"}] if contact_id else []
    return Answer(links, rows=len(links))


def _description(title: str, field: Field, *, custom: Row | None) -> dict[str, Any]:
    name = field.key
    described: dict[str, Any] = {
        "type": (custom["USER_TYPE_ID"] if custom else field.kind.value),
        "isRequired": custom is not None and custom["MANDATORY"] == "Y",
        "isReadOnly": name in _READ_ONLY,
        "isImmutable": False,
        "isMultiple": field.multiple or field.kind is Kind.CONTACTS,
        "isDynamic": custom is not None,
        "title": title,
    }
    if custom:
        label = custom.get("EDIT_FORM_LABEL") or name
        described |= {"listLabel": custom.get("LIST_COLUMN_LABEL") or label, "formLabel": label}
        if custom["USER_TYPE_ID"] == "enumeration":
            described["items"] = [{"ID": item["ID"], "VALUE": item["VALUE"]} for item in custom.get("LIST") or ()]
    return described


def _old_fields(entity: Entity) -> Method:
    def run(view: View, _: Params) -> Answer:
        custom = {row["FIELD_NAME"]: row for row in view.custom_field_rows(entity)}
        fields = view.fields(entity)
        return Answer({name: _description(name, field, custom=custom.get(name)) for name, field in fields.items()})

    name = next(name for name, known in f.CRM_ENTITIES.items() if known is entity)
    return Method(f"crm.{name}.fields", "crm", run)


def _item_fields(view: View, params: Params) -> Answer:
    entity = item_entity(params)
    custom = {row["FIELD_NAME"]: row for row in view.custom_field_rows(entity)}
    described = {
        name: {**_description(upper, field, custom=custom.get(upper)), "upperName": upper}
        for name, upper, field in view.items(entity).describe()
    }
    return Answer({"fields": described})


def _base_currency(view: View, _: Params) -> Answer:
    rows = view.store["currencies"].table.rows.values()
    return Answer(next((row["CURRENCY"] for row in rows if row["BASE"] == "Y"), None))


def _user(view: View) -> Row:
    return view.store["users"].table.rows.get(view.user_id, {"ID": str(view.user_id), "NAME": "", "LAST_NAME": ""})


def _profile(view: View, _: Params) -> Answer:
    user = _user(view)
    return Answer(
        {
            "ID": user["ID"],
            "ADMIN": view.is_admin,
            "NAME": user.get("NAME", ""),
            "LAST_NAME": user.get("LAST_NAME", ""),
            "PERSONAL_GENDER": "",
            "TIME_ZONE": user.get("TIME_ZONE", ""),
        }
    )


def _scope(view: View, params: Params) -> Answer:
    return Answer(list(ALL_SCOPES if to_bool(params.get("full")) else view.scopes))


def _is_available(view: View, method: Method) -> bool:
    return method.scope is None or method.scope in view.scopes


def _methods(view: View, _: Params) -> Answer:
    return Answer([name for name, method in METHODS.items() if _is_available(view, method)] + ["batch"])


def _method_get(view: View, params: Params) -> Answer:
    name = to_text(params.get("name"))
    method = METHODS.get(name)
    is_batch = name == "batch"
    is_available = is_batch or (method is not None and _is_available(view, method))
    return Answer({"isExisting": is_batch or method is not None, "isAvailable": is_available})


def _feature_get(_: View, params: Params) -> Answer:
    if not next((value for key, value in params.items() if key.upper() == "CODE"), None):
        raise RestError(400, "CODE_EMPTY", "CODE can't be empty")
    return Answer({"value": "N"})


def _app_info(_: View, __: Params) -> Answer:
    raise RestError(400, "ACCESS_DENIED", "Access denied! Application context required")


def _catalogue(_: View, params: Params) -> Answer:
    where = dict(array_items(params.get("filter")))
    selected = array_values(params.get("select"))
    if not any(key.lstrip("=@") == "iblockId" for key in where) or not {"id", "iblockId"} <= set(selected):
        raise RestError(400, 0, "Required select and filter fields: id, iblockId")
    is_counted = to_int(params.get("start")) >= 0
    return Answer({"products": []}, total=0 if is_counted else None, is_page=True)


_TABLE = (
    *LIST_METHODS,
    *(_old_fields(entity) for entity in f.CRM_ENTITIES.values()),
    Method("crm.item.fields", "crm", _item_fields),
    Method("crm.deal.productrows.get", "crm", _deal_product_rows),
    Method("crm.deal.contact.items.get", "crm", _deal_contacts),
    Method("crm.currency.base.get", "crm", _base_currency),
    Method("crm.settings.mode.get", "crm", lambda _, __: Answer(1)),
    Method("crm.type.list", "crm", lambda _, __: Answer({"types": []}, total=0, is_page=True)),
    Method(
        "crm.enum.ownertype",
        "crm",
        lambda _, __: Answer(
            [
                {"ID": type_id, "NAME": name, "SYMBOL_CODE": code, "SYMBOL_CODE_SHORT": short}
                for type_id, name, code, short in _OWNER_TYPES
            ]
        ),
    ),
    Method("catalog.product.list", "catalog", _catalogue),
    Method("user.current", "user", lambda view, _: Answer(_user(view), rows=1)),
    Method("profile", None, _profile),
    Method("scope", None, _scope),
    Method("server.time", None, lambda view, _: Answer(view.now().isoformat(timespec="seconds"))),
    Method("methods", None, _methods),
    Method("method.get", None, _method_get),
    Method("feature.get", None, _feature_get),
    Method("app.info", None, _app_info),
)
METHODS = {method.name: method for method in _TABLE}
