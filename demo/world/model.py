"""Shapes that all parts of the generator share: a row, a table of rows, and the portal's time zone."""

from __future__ import annotations

from dataclasses import dataclass, field
from datetime import timedelta, timezone
from typing import Any

Row = dict[str, Any]

PORTAL_TZ = timezone(timedelta(hours=3))

# names as in dlt_sources.bitrix24.schema.TABLES; options of enumerations lie inside custom_fields["LIST"]
TABLE_NAMES = (
    "leads",
    "deals",
    "contacts",
    "companies",
    "deal_stage_history",
    "lead_stage_history",
    "statuses",
    "pipelines",
    "users",
    "departments",
    "currencies",
    "activities",
    "calls",
    "tasks",
    "time_entries",
    "custom_fields",
    "deal_product_rows",
    "quotes",
    "smart_invoices",
    "smart_invoice_stage_history",
    "process_types",
    "process_items",
    "process_stage_history",
    "payments",
    "order_entities",
    "product_rows",
    "catalogs",
    "products",
    "product_sections",
    "product_prices",
    "deal_contacts",
    "contact_companies",
    "openline_sessions",
    "openline_configs",
    "task_history",
    "workgroups",
    "calendar_events",
    "calendar_sections",
    "work_time_records",
    "requisites",
    "addresses",
)
# the name of the id key inside a row; currencies and statuses are keyed by a running number in `Table.rows`
ID_FIELDS = {
    **dict.fromkeys(TABLE_NAMES, "ID"),
    "pipelines": "id",
    "tasks": "id",
    "deal_product_rows": "id",
    "currencies": "CURRENCY",
    **dict.fromkeys(
        (
            "smart_invoices",
            "process_types",
            "process_items",
            "payments",
            "product_rows",
            "catalogs",
            "products",
            "product_sections",
            "product_prices",
            "task_history",
            "workgroups",
            "work_time_records",
        ),
        "id",
    ),
    "openline_sessions": "sessionId",
}
# kept apart from what deals have, shown together with it: table -> the name under which the truth has both
KEPT_APART = {"item_pipelines": "pipelines", "item_custom_fields": "custom_fields"}
# rows of these have no id of their own: `Table.rows` is keyed by a running number
WITHOUT_ID = ("order_entities", "deal_contacts", "contact_companies", "addresses")


@dataclass
class Table:
    """Rows of one entity, keyed by integer id; insertion order is ascending id.

    `last_id` never falls: the id of a deleted row is not given out again.
    """

    name: str
    rows: dict[int, Row] = field(default_factory=dict)
    last_id: int = 0

    def add(self, row: Row, *, step: int = 1) -> int:
        """Store a row under the next id (or `step` ids further, which leaves a gap) and return that id.

        The caller writes the id into the row, since its name and type differ between methods.
        """
        self.last_id += step
        self.rows[self.last_id] = row
        return self.last_id

    def put(self, row_id: int, row: Row) -> None:
        """Store a row under a chosen id, larger than all before; the default pipeline alone has id 0."""
        if row_id < self.last_id or row_id in self.rows:
            raise ValueError(f"{self.name}: id {row_id} is not larger than {self.last_id}")
        self.last_id = row_id
        self.rows[row_id] = row
