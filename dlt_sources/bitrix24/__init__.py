"""Bitrix24 for dlt: one resource per raw table. The rows come ready, as columns of text."""

from collections.abc import Iterable, Mapping
from typing import Any

import dlt
import pyarrow as pa
from dlt.extract import DltResource

from dlt_sources.bitrix24 import schema

DATASET = "raw_bitrix24"


@dlt.source(name="bitrix24")
def bitrix24(package: Mapping[str, pa.Table]) -> Iterable[DltResource]:
    """Build the resources of one load package.

    Args:
        package: raw table to its rows, as `records.to_columns` makes them; a table without rows is still created.
    """
    for table, rows in package.items():
        yield table_resource(table, rows)


def table_resource(table: str, rows: pa.Table) -> DltResource:
    """Return one raw table's resource: the latest version of a key wins; a deal's product rows are replaced together.

    Rows of a package are unique by key already, which saves dlt a sort over the whole package.
    """
    key: dict[str, Any] = {"merge_key" if table == "deal_product_rows" else "primary_key": schema.KEYS[table]}
    resource: DltResource = dlt.resource(
        [rows],
        name=table,
        **key,
        write_disposition={"disposition": "merge", "strategy": "delete-insert", "deduplicated": True},
        columns={field.name: {"data_type": "text", "nullable": field.nullable} for field in rows.schema},
        schema_contract={"tables": "evolve", "columns": "evolve", "data_type": "freeze"},
    )
    return resource
