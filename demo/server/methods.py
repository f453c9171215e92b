"""The table of every method that the portal knows."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

from demo.server import fields as f
from demo.server import filters, rendering
from demo.server.answers import Answer, Handler, Method, View
from demo.server.errors import RestError
from demo.server.fields import Entity, Field, Kind, fields_of
from demo.server.filters import Row
from demo.server.item_types import entity_type, item_entity, process_types, short_code
from demo.server.listings import LIST_METHODS, Listing
from demo.server.office import OFFICE_METHODS
from demo.server.paging import Family
from demo.server.parameters import Params, to_bool, to_int, to_text
from demo.server.trade import TRADE_METHODS
from demo.world.links import CONTACT_COMPANIES, DEAL_CONTACTS, LinkKind

ALL_SCOPES = (
    "calendar",
    "catalog",
    "crm",
    "department",
    "imopenlines",
    "sale",
    "socialnetwork",
    "sonet_group",
    "task",
    "telephony",
    "timeman",
    "user",
    "userfieldconfig",
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
_ADDRESS_TYPES = (
    (1, "Фактический адрес"),
    (4, "Адрес регистрации"),
    (6, "Юридический адрес"),
    (8, "Адрес для корреспонденции"),
    (9, "Адрес бенефициара"),
    (11, "Адрес доставки"),
)
_READ_ONLY = {"ID", "DATE_CREATE", "DATE_MODIFY", "CREATED_BY_ID", "MODIFY_BY_ID", "MOVED_BY_ID", "MOVED_TIME"}


def _required_id(params: Params) -> int:
    value = next((value for key, value in params.items() if key.upper() == "ID"), None)
    if value is None or to_int(value) <= 0:
        raise RestError(400, "", "ID is not defined or invalid.")
    return to_int(value)


def _owner(view: View, entity: Entity, params: Params) -> Row:
    row: Row | None = view.store[entity.table].table.rows.get(_required_id(params))
    if row is None:
        raise RestError(400, "", "Not found")
    return row


def _product_rows(name: str, code: str) -> Method:
    """Build `crm.deal.productrows.get` and its twins, which give all rows of one owner at once."""
    listing = next(method for method in LIST_METHODS if method.name == "crm.productrow.list")

    def run(view: View, params: Params) -> Answer:
        owner = to_int(_owner(view, f.CRM_ENTITIES[name], params)["ID"])
        rows: list[Row] = []
        while True:
            last = to_int(rows[-1]["ID"]) if rows else 0
            where = {"OWNER_ID": owner, "OWNER_TYPE": code, ">ID": last}
            page = listing.run(view, {"filter": where, "order": {"ID": "ASC"}, "start": -1}).result
            if not page:
                return Answer(rows, rows=len(rows), is_page=True)
            rows += page

    return Method(f"crm.{name}.productrows.get", "crm", run)


_ONE_CONTACT = ("lead", "quote")


def _linked(entity: Entity, kind: LinkKind) -> Handler:
    """Build a method that gives the contacts of a deal, or the companies of a contact."""

    def run(view: View, params: Params) -> Answer:
        links = view.links(kind, _owner(view, entity, params))
        rows = [{key: value for key, value in link.items() if key != kind.owner_key} for link in links]
        return Answer(rows, rows=len(rows))

    return run


def _single_contact(entity: Entity) -> Handler:
    def run(view: View, params: Params) -> Answer:
        contact_id = to_int(_owner(view, entity, params).get("CONTACT_ID"))
        links = [{"CONTACT_ID": contact_id, "SORT": 100, "ROLE_ID": 0, "IS_PRIMARY": "Y"}] if contact_id else []
        return Answer(links, rows=len(links))

    return run


def _label(custom: Row, key: str) -> Any:
    label = custom.get(key)
    return label["ru"] if isinstance(label, dict) else label


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
        label = _label(custom, "EDIT_FORM_LABEL") or name
        described |= {"listLabel": _label(custom, "LIST_COLUMN_LABEL") or label, "formLabel": label}
        if custom["USER_TYPE_ID"] == "enumeration":
            described["items"] = [
                {"ID": item["ID"], "VALUE": item["VALUE"]} for item in custom.get("LIST") or custom.get("ENUM") or ()
            ]
    return described


def _old_fields(entity: Entity) -> Method:
    def run(view: View, _: Params) -> Answer:
        custom = {row["FIELD_NAME"]: row for row in view.custom_field_rows(entity)}
        fields = view.fields(entity)
        return Answer({name: _description(name, field, custom=custom.get(name)) for name, field in fields.items()})

    name = next(name for name, known in f.CRM_ENTITIES.items() if known is entity)
    return Method(f"crm.{name}.fields", "crm", run)


def _item_fields(view: View, params: Params) -> Answer:
    entity = item_entity(view, entity_type(params))
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


_TYPES = Listing(
    scope="crm",
    family=Family.CONTROLLER,
    rules=filters.ITEMS,
    entity=Entity(
        "process_types",
        fields_of(integer="id entityTypeId createdBy", text="title code", time="createdTime updatedTime"),
        id_key="id",
    ),
    rows_key="types",
    render=lambda _, __, ___, ____: rendering.as_is,
    default_order=("id", False),
)


def _types(view: View, params: Params) -> Answer:
    if not view.is_admin:
        raise RestError(400, "ACCESS_DENIED", "Access denied.")
    return _TYPES.run(view, params)


def _owner_types(view: View, _: Params) -> Answer:
    """Answer `crm.enum.ownertype`: the only way for anybody to learn of smart processes."""
    processes = (
        (row["entityTypeId"], row["title"], f"DYNAMIC_{row['entityTypeId']}", short_code(row["entityTypeId"]))
        for row in process_types(view)
    )
    return _enumeration((*_OWNER_TYPES, *processes))


def _address_types(_: View, __: Params) -> Answer:
    return _enumeration((number, name, None, None) for number, name in _ADDRESS_TYPES)


def _enumeration(entries: Iterable[tuple[int, str, str | None, str | None]]) -> Answer:
    return Answer(
        [
            {"ID": number, "NAME": name, "SYMBOL_CODE": code, "SYMBOL_CODE_SHORT": short}
            for number, name, code, short in entries
        ]
    )


_TABLE = (
    *LIST_METHODS,
    *(_old_fields(entity) for entity in f.CRM_ENTITIES.values()),
    Method("crm.item.fields", "crm", _item_fields),
    *(_product_rows(name, code) for name, code in (("deal", "D"), ("lead", "L"), ("quote", "Q"))),
    Method("crm.deal.contact.items.get", "crm", _linked(f.DEALS, DEAL_CONTACTS)),
    Method("crm.contact.company.items.get", "crm", _linked(f.CONTACTS, CONTACT_COMPANIES)),
    *(Method(f"crm.{name}.contact.items.get", "crm", _single_contact(f.CRM_ENTITIES[name])) for name in _ONE_CONTACT),
    Method("crm.currency.base.get", "crm", _base_currency),
    Method("crm.settings.mode.get", "crm", lambda view, _: Answer(view.crm_mode)),
    Method("crm.type.list", "crm", _types),
    Method("crm.enum.ownertype", "crm", _owner_types),
    Method("crm.enum.addresstype", "crm", _address_types),
    *TRADE_METHODS,
    *OFFICE_METHODS,
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
