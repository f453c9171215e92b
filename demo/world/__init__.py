"""The data of a stand-in Bitrix24 portal: a synthetic Russian B2B company, the same for the same seed.

Rows have the shape in which the portal's list methods render them with everything selected:
UPPER_CASE strings for the old methods, camelCase for tasks, product rows and pipelines.
"""

from demo.world.model import ID_FIELDS, PORTAL_TZ, TABLE_NAMES, WITHOUT_ID, Row, Table
from demo.world.world import World

__all__ = ["ID_FIELDS", "PORTAL_TZ", "TABLE_NAMES", "WITHOUT_ID", "Row", "Table", "World"]
