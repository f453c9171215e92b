"""Declarations of lists: what is asked of the portal, and how their parts fit the raw tables."""

from collections import Counter

import pytest

from dlt_sources.bitrix24 import schema
from dlt_sources.bitrix24.entities import (
    ENTITIES,
    Entity,
    Family,
    catalog_entities,
    process_entities,
)
from dlt_sources.bitrix24.records import to_column_name

STAGED = {"entityTypeId": 128, "isStagesEnabled": "Y", "isCategoriesEnabled": "Y"}
PLAIN = {"entityTypeId": 1044, "isStagesEnabled": "N", "isCategoriesEnabled": "N"}
LISTS = (
    *ENTITIES,
    *process_entities([STAGED, PLAIN]),
    *catalog_entities([{"iblockId": 23, "productIblockId": None}, {"iblockId": 24, "productIblockId": 23}]),
)


def named(name: str) -> Entity:
    return next(entity for entity in LISTS if entity.name == name)


def test_every_list_keeps_its_own_progress() -> None:
    """Two lists under one name would go on from each other's place."""
    assert [name for name, count in Counter(entity.name for entity in LISTS).items() if count > 1] == []


@pytest.mark.parametrize("entity", LISTS, ids=lambda entity: entity.name)
def test_a_list_fits_its_raw_table(entity: Entity) -> None:
    """A column that is asked for and not declared is thrown away; one not asked for stays empty."""
    columns = schema.TABLES[entity.table]
    assert set(entity.constants) <= set(columns)
    assert set(entity.skip) <= set(columns)
    assert not entity.json_rest or entity.json_rest in columns
    select = entity.params.get("select", entity.params.get("SELECT"))
    if isinstance(select, list) and "*" not in select and entity.table != "tasks":
        asked = {to_column_name(key) for key in select if key != "UF_*"}
        expected = set(columns) - {entity.json_rest} - {"phone", "email"} - (set(entity.constants) - asked)
        if entity.method == "catalog.product.list":
            expected -= {"parent_id"}
        assert asked - {"phone", "email"} == expected


@pytest.mark.parametrize("entity", LISTS, ids=lambda entity: entity.name)
def test_rows_that_vanish_with_an_owner_know_him(entity: Entity) -> None:
    """Otherwise they outlive him."""
    if entity.deleted_by == "owner":
        assert entity.owner_column in schema.TABLES[entity.table]
        own_key = set(schema.KEYS[entity.owner_table]) - {"id"}
        assert own_key <= set(schema.TABLES[entity.table])
    else:
        assert (entity.owner_table, entity.owner_column) == ("", "")
    if entity.deleted_by == "sweep":
        assert entity.family in (Family.CHANGES, Family.JOURNAL)
        assert entity.sweep_select is not None


@pytest.mark.parametrize("entity", LISTS, ids=lambda entity: entity.name)
def test_reading_ids_only_keeps_the_order_of_parameters(entity: Entity) -> None:
    """Time entries take theirs by position, whatever their names."""
    params = entity.ids_only().params
    assert list(params) == list(entity.params)
    if entity.sweep_select is None:
        assert params == entity.params
    else:
        select = params.get("select", params.get("SELECT"))
        assert select in (["ID"], ["id"], ["id", "iblockId"])


def test_universal_items_are_read_whole_and_their_ids_without_original_names() -> None:
    """With original names and a select of its own the portal leaves out the system fields, the id among them."""
    invoices = named("smart_invoices")
    assert invoices.page(7, {">=updatedTime": "2026-01-01T00:00:00+00:00"}) == {
        "entityTypeId": 31,
        "select": ["*"],
        "useOriginalUfNames": "Y",
        "order": {"id": "ASC"},
        "filter": {">=updatedTime": "2026-01-01T00:00:00+00:00", ">id": 7},
        "start": -1,
    }
    assert invoices.ids_only().page(7) == {
        "entityTypeId": 31,
        "select": ["id"],
        "useOriginalUfNames": "N",
        "order": {"id": "ASC"},
        "filter": {">id": 7},
        "start": -1,
    }
    assert named("deal_contacts").page(7)["select"] == ["id", "contactIds", "updatedTime"]


def test_smart_processes_give_lists_of_what_they_have() -> None:
    """A type without stages has no history, and one without pipelines refuses to list them."""
    assert [entity.name for entity in process_entities([STAGED, PLAIN])] == [
        "process_items/128",
        "process_stage_history/128",
        "pipelines/128",
        "process_items/1044",
    ]
    history = named("process_stage_history/128")
    assert history.constants == {"entity_type_id": "128"}
    assert history.params["entityTypeId"] == 128
    assert "ENTITY_TYPE_ID" not in history.params["select"]


def test_products_are_asked_for_by_catalogue() -> None:
    """The portal refuses a product list without its catalogue in the filter and in the select."""
    products = named("products/23")
    assert products.page(5)["filter"] == {"iblockId": 23, ">id": 5}
    assert {"id", "iblockId"} <= set(products.params["select"])
    assert products.newest()["select"] == ["id", "iblockId"]
    variations = named("products/24")
    assert (variations.method, variations.path) == ("catalog.product.offer.list", ("offers",))
    assert variations.params["filter"] == {"iblockId": 24}
    assert "parentId" in variations.params["select"]


def test_addresses_come_in_the_order_of_their_key() -> None:
    """They have no id, so only a fixed order keeps pages by offset apart."""
    addresses = named("addresses")
    assert list(addresses.params["order"]) == [column.upper() for column in schema.KEYS["addresses"]]
    assert addresses.ends_short


def test_no_list_asks_for_passports() -> None:
    """Data that is not read cannot leak."""
    assert not [key for key in named("requisites").params["select"] if key.startswith("RQ_IDENT")]


def test_each_custom_field_has_one_list() -> None:
    """userfieldconfig.list knows the fields of leads and deals too, but not the options of their lists."""
    own = {entity.constants["entity_id"] for entity in ENTITIES if entity.method.endswith(".userfield.list")}
    assert set(named("custom_fields/items").skip["entity_id"]) == own
