"""Bitrix24 for dlt: one resource per raw table. The rows come ready, as columns of text."""

from collections.abc import Iterable, Mapping
from typing import Any

import dlt
import pyarrow as pa
from dlt.extract import DltResource

from dlt_sources.bitrix24 import schema

DATASET = "raw_bitrix24"


@dlt.source(name="bitrix24")
def bitrix24(package: Mapping[str, tuple[pa.Table, bool]]) -> Iterable[DltResource]:
    """Build the resources of one load package.

    Args:
        package: raw table to its rows, as `records.ColumnWriter` makes them, and whether the warehouse has some of
            their keys; a table without rows is still created.
    """
    for table, (rows, has_known) in package.items():
        yield table_resource(table, rows, has_known=has_known)


def table_resource(table: str, rows: pa.Table, *, has_known: bool = True) -> DltResource:
    """Return one raw table's resource: the latest version of a key wins; rows read by owner are replaced by owner.

    Rows of a package are unique by key already, which saves dlt a sort over the whole package. Where the warehouse
    has none of them, as in a first load, they are appended, which is the same and quicker.
    """
    owner = schema.REPLACED.get(table)
    key: dict[str, Any] = {"merge_key": owner} if owner else {"primary_key": schema.KEYS[table]}
    merge: Any = {"disposition": "merge", "strategy": "delete-insert", "deduplicated": True}
    resource: DltResource = dlt.resource(
        [rows],
        name=table,
        **key,
        write_disposition=merge if has_known or owner else "append",
        columns={field.name: {"data_type": "text", "nullable": field.nullable} for field in rows.schema},
        schema_contract={"tables": "evolve", "columns": "evolve", "data_type": "freeze"},
    )
    return resource
