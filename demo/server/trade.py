"""List methods of the catalogue, payments, requisites and addresses."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace
from typing import Any

from demo.server import filters, rendering
from demo.server.answers import Answer, Method, View
from demo.server.errors import RestError
from demo.server.fields import Entity, fields_of
from demo.server.filters import FilterRules, Row
from demo.server.listings import Listing, Query
from demo.server.paging import Family
from demo.server.parameters import Params, array_items, to_int
from demo.server.rendering import Render

CATALOG_DENIED = 200040300010
_RULES = FilterRules.of("= ! != > >= < <= @ !@ % =% %= !% !=% !%=")

CATALOGS = Entity(
    "catalogs",
    fields_of(
        integer="id iblockId iblockTypeId productIblockId skuPropertyId vatId", text="name lid", flag="subscription"
    ),
    id_key="id",
)
PRODUCTS = Entity(
    "products",
    fields_of(
        integer="id iblockId iblockSectionId createdBy modifiedBy measure sort type vatId quantity quantityReserved",
        number="purchasingPrice weight",
        text="name code xmlId purchasingCurrency",
        flag="active available bundle vatIncluded",
        time="dateCreate timestampX dateActiveFrom dateActiveTo",
    ),
    id_key="id",
)
SECTIONS = Entity(
    "product_sections",
    fields_of(integer="id iblockId iblockSectionId sort", text="name code xmlId", flag="active"),
    id_key="id",
)
PRICES = Entity(
    "product_prices",
    fields_of(
        integer="id productId catalogGroupId quantityFrom quantityTo extraId",
        number="price priceScale",
        text="currency",
        time="timestampX",
    ),
    id_key="id",
    keyed=True,
)
PAYMENTS = Entity(
    "payments",
    fields_of(
        integer="id orderId paySystemId responsibleId empPaidId companyId",
        number="sum psSum",
        text="accountNumber paySystemName currency xmlId psStatus",
        flag="paid isReturn marked",
        time="datePaid dateBill payReturnDate",
    ),
    id_key="id",
)
ORDER_ENTITIES = Entity("order_entities", fields_of(integer="orderId ownerId ownerTypeId"), id_key="orderId")
REQUISITES = Entity(
    "requisites",
    fields_of(
        integer="ID ENTITY_TYPE_ID ENTITY_ID PRESET_ID CREATED_BY_ID MODIFY_BY_ID SORT",
        text="NAME CODE XML_ID ORIGINATOR_ID RQ_NAME RQ_COMPANY_NAME RQ_COMPANY_FULL_NAME RQ_INN RQ_KPP RQ_OGRN "
        "RQ_OGRNIP RQ_OKVED RQ_IIN RQ_BIN RQ_EDRPOU RQ_VAT_ID",
        flag="ACTIVE ADDRESS_ONLY",
        time="DATE_CREATE DATE_MODIFY",
    ),
)
ADDRESSES = Entity(
    "addresses",
    fields_of(
        integer="TYPE_ID ENTITY_TYPE_ID ENTITY_ID ANCHOR_TYPE_ID ANCHOR_ID LOC_ADDR_ID",
        text="ADDRESS_1 ADDRESS_2 CITY POSTAL_CODE REGION PROVINCE COUNTRY COUNTRY_CODE",
    ),
    keyed=False,
)


def _named(_: View, __: Entity, select: Sequence[str], ___: Params) -> Render:
    return rendering.plain(select)


def _without_parents(_: View, __: Entity, select: Sequence[str], ___: Params) -> Render:
    """Show products; `parentId` is a key of the method for variations alone."""
    show = rendering.plain(select)
    return lambda rows: [{key: value for key, value in row.items() if key != "parentId"} for row in show(rows)]


def _catalog_admin(view: View, query: Query) -> Query:
    if not view.is_admin:
        raise RestError(400, CATALOG_DENIED, "Access Denied")
    return query


def _sale_admin(view: View, query: Query) -> Query:
    if not view.is_admin:
        raise RestError(400, str(CATALOG_DENIED), "Access Denied")
    return query


def _need_iblock(query: Query, *selected: str) -> None:
    given = {key.lstrip("=@") for key, _ in array_items(query.filter)}
    if "iblockId" not in given or not set(selected) <= set(query.select):
        raise RestError(400, 0, "Required select and filter fields: id, iblockId")


def _check_products(_: View, query: Query) -> Query:
    _need_iblock(query, "id", "iblockId")
    return query


def _check_sections(view: View, query: Query) -> Query:
    _need_iblock(query)
    return _catalog_admin(view, query)


def _behind_requisites(_: View, query: Query) -> Query:
    """Read a filter by contacts or companies as one by what stands behind their requisites."""
    given = dict(array_items(query.filter))
    of_client = any(key.lstrip("=@") == "ENTITY_TYPE_ID" and str(value) in ("3", "4") for key, value in given.items())
    if not of_client:
        return query
    return replace(query, filter={key.replace("ENTITY_", "ANCHOR_"): value for key, value in given.items()})


def _controller(
    entity: Entity, scope: str, rows_key: str, check: Callable[[View, Query], Query] | None = None
) -> Listing:
    return Listing(
        scope=scope,
        family=Family.CONTROLLER,
        rules=_RULES,
        entity=entity,
        rows_key=rows_key,
        render=_named,
        default_order=(entity.id_key, False),
        check=check,
    )


def _products_of_type(kind: int, rows_key: str) -> Listing:
    listing = _controller(PRODUCTS, "catalog", rows_key, _check_products)
    return replace(listing, own=lambda _, __: {"type": kind})


LISTINGS: Mapping[str, Listing] = {
    "catalog.catalog.list": _controller(CATALOGS, "catalog", "catalogs", _catalog_admin),
    "catalog.product.list": replace(
        _controller(PRODUCTS, "catalog", "products", _check_products), render=_without_parents
    ),
    "catalog.product.offer.list": _products_of_type(4, "offers"),
    "catalog.product.sku.list": _products_of_type(3, "units"),
    "catalog.section.list": _controller(SECTIONS, "catalog", "sections", _check_sections),
    "catalog.price.list": _controller(PRICES, "catalog", "prices"),
    "sale.payment.list": _controller(PAYMENTS, "sale", "payments", _sale_admin),
    "crm.orderentity.list": _controller(ORDER_ENTITIES, "crm", "orderEntity"),
    "crm.requisite.list": Listing(
        scope="crm",
        family=Family.LEGACY,
        rules=_RULES,
        entity=REQUISITES,
        render=lambda _, __, select, ___: rendering.old_list(select, ()),
    ),
    "crm.address.list": Listing(
        scope="crm",
        family=Family.ORM,
        rules=_RULES,
        entity=ADDRESSES,
        render=_named,
        default_order=("ENTITY_ID", True),
        check=_behind_requisites,
        no_total=True,
    ),
}
_ITEM_PAYMENT = "id accountNumber paid datePaid empPaidId paySystemId sum currency paySystemName".split()  # noqa: SIM905


def item_payments(view: View, params: Params) -> Answer:
    """Answer `crm.item.payment.list`: the payments of all orders of one CRM item, not paged."""
    owner: dict[str, int] = {}
    for name in ("entityId", "entityTypeId"):
        value = next((value for key, value in params.items() if key.upper() == name.upper()), None)
        if value is None:
            raise RestError(400, "100", f"Could not find value for parameter {{{name}}}")
        owner[name] = to_int(value)
    orders = _found(view, ORDER_ENTITIES, {"ownerId": owner["entityId"], "ownerTypeId": owner["entityTypeId"]})
    payments = _found(view, PAYMENTS, {"@orderId": [row["orderId"] for row in orders]}) if orders else []
    rows = [{key: row[key] for key in _ITEM_PAYMENT} for row in payments]
    return Answer(rows, rows=len(rows), is_page=True)


def _found(view: View, entity: Entity, where: Mapping[str, Any]) -> list[Row]:
    clauses = filters.compile_filter(where, entity.fields, filters.OLD_CRM, view.store.zone)
    index = view.store[entity.table]
    matches = index.matching(entity, clauses, ((entity.fields[entity.id_key], False),))
    return index.rows(matches.take(0, len(matches)))


TRADE_METHODS = (
    *(Method(name, listing.scope, listing.run) for name, listing in LISTINGS.items()),
    Method("crm.item.payment.list", "crm", item_payments),
)
