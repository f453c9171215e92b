"""What stands behind an `entityTypeId`: leads to quotes, smart invoices, and the smart processes of this portal."""

from __future__ import annotations

from dataclasses import replace
from functools import lru_cache

from demo.server import fields as f
from demo.server.answers import View
from demo.server.errors import RestError
from demo.server.fields import Entity, fields_of
from demo.server.filters import Row
from demo.server.parameters import Params, to_int

SMART_INVOICE, OLD_INVOICE, QUOTE = 31, 5, 7
_COMMON = fields_of(
    integer="id entityTypeId createdBy updatedBy assignedById lastActivityBy webformId categoryId parentId1 parentId2 "
    "parentId7 parentId31",
    text="title xmlId",
    flag="opened",
    time="createdTime updatedTime lastActivityTime",
)
# what each setting of a type brings
_BY_FLAG = {
    "isStagesEnabled": fields_of(integer="movedBy", code="stageId previousStageId", time="movedTime"),
    "isBeginCloseDatesEnabled": fields_of(date="begindate closedate"),
    "isClientEnabled": fields_of(integer="companyId contactId contactIds"),
    "isLinkWithProductsEnabled": fields_of(
        number="opportunity taxValue", flag="isManualOpportunity", code="currencyId"
    ),
    "isMycompanyEnabled": fields_of(integer="mycompanyId"),
    "isSourceEnabled": fields_of(code="sourceId", text="sourceDescription"),
    "isObserversEnabled": fields_of(integer="observers"),
}
_LISTS = ("contactIds", "observers")
INVOICES = Entity(
    "smart_invoices",
    {
        **_COMMON,
        **{name: field for fields in _BY_FLAG.values() for name, field in fields.items()},
        **fields_of(text="comments accountNumber", integer="locationId"),
    },
    id_key="id",
    type_id=SMART_INVOICE,
    custom_fields_of="CRM_SMART_INVOICE",
    native=True,
)
_ITEM_TYPES = {entity.type_id: entity for entity in f.CRM_ENTITIES.values()} | {SMART_INVOICE: INVOICES}
_HISTORIES = {
    1: f.LEAD_STAGE_HISTORY,
    2: f.DEAL_STAGE_HISTORY,
    SMART_INVOICE: replace(f.DEAL_STAGE_HISTORY, table="smart_invoice_stage_history"),
}


def process_types(view: View) -> list[Row]:
    """Return the portal's smart processes."""
    return list(view.store["process_types"].table.rows.values())


def short_code(type_id: int) -> str:
    """Return the code under which product rows and custom fields know a smart process: 128 is T80."""
    return f"T{type_id:x}"


@lru_cache(maxsize=32)
def _process(type_id: int, number: int, on: frozenset[str]) -> Entity:
    fields = _COMMON | {name: field for flag in _BY_FLAG if flag in on for name, field in _BY_FLAG[flag].items()}
    return Entity(
        f"process_items_{type_id}",
        {name: replace(field, multiple=name in _LISTS) for name, field in fields.items()},
        id_key="id",
        type_id=type_id,
        custom_fields_of=f"CRM_{number}",
        native=True,
    )


def _process_row(view: View, type_id: int) -> Row | None:
    return next((row for row in process_types(view) if row["entityTypeId"] == type_id), None)


def item_entity(view: View, type_id: int) -> Entity:
    """Return the entity of a `crm.item.*` request.

    Raises:
        RestError: 400 NOT_FOUND for a type that the portal lacks, ENTITY_TYPE_NOT_SUPPORTED for old invoices.
    """
    if type_id in _ITEM_TYPES:
        return _ITEM_TYPES[type_id]
    if type_id == OLD_INVOICE:
        raise RestError(400, "ENTITY_TYPE_NOT_SUPPORTED", "Entity type is not supported")
    row = _process_row(view, type_id)
    if row is None:
        raise RestError(400, "NOT_FOUND", "Smart process not found")
    return _process(type_id, row["id"], frozenset(flag for flag in _BY_FLAG if row[flag] == "Y"))


def history_entity(view: View, type_id: int) -> Entity:
    """Return the entity of a `crm.stagehistory.list` request.

    Raises:
        RestError: 400 ENTITY_TYPE_NOT_SUPPORTED for quotes, and for types without stages.
    """
    if type_id in _HISTORIES:
        return _HISTORIES[type_id]
    row = _process_row(view, type_id)
    if row is None or row["isStagesEnabled"] != "Y":
        raise RestError(400, "ENTITY_TYPE_NOT_SUPPORTED", f"Entity type {type_id} is not supported")
    return replace(f.DEAL_STAGE_HISTORY, table=f"process_stage_history_{type_id}")


def pipeline_entity(view: View, type_id: int) -> Entity:
    """Return the entity of a `crm.category.list` request.

    Raises:
        RestError: 400 ENTITY_TYPE_NOT_SUPPORTED for a type without pipelines.
    """
    if type_id == f.DEALS.type_id:
        return f.PIPELINES
    row = _process_row(view, type_id)
    if type_id != SMART_INVOICE and (row is None or row["isCategoriesEnabled"] != "Y"):
        raise RestError(400, "ENTITY_TYPE_NOT_SUPPORTED", "Entity type does not support categories")
    return f.LATER_PIPELINES


def entity_type(params: Params) -> int:
    """Return `entityTypeId`.

    Raises:
        RestError: 400 `100` without it.
    """
    value = next((value for key, value in params.items() if key.upper() == "ENTITYTYPEID"), None)
    if value is None:
        raise RestError(400, "100", "Could not find value for parameter {entityTypeId}")
    return to_int(value)
