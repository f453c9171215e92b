"""What smart invoices and smart processes have in common: camelCase rows, stages, one history of moves."""

from __future__ import annotations

from collections.abc import Sequence

from demo.world.clock import date_stamp, local_day, portal_stamp, utc_stamp
from demo.world.dice import Dice
from demo.world.engine import Engine
from demo.world.model import Row
from demo.world.portal_setup import Stage, stage_row

CREATED, MOVED, FINISHED, PIPELINE_CHANGED = 1, 2, 3, 5


class ItemHistory:
    """Numbers the moves of all these types in one sequence, as the portal's one table does."""

    def __init__(self, engine: Engine) -> None:
        """Begin empty."""
        self._engine = engine
        self._last_id = 0

    def record(self, table: str, kind: int, row: Row, semantics: str) -> None:
        """Write down where an item stands now."""
        self._last_id += 1
        entry = {
            "ID": self._last_id,
            "TYPE_ID": kind,
            "OWNER_ID": row["id"],
            "CREATED_TIME": utc_stamp(self._engine.now),
            "CATEGORY_ID": row["categoryId"],
            "STAGE_SEMANTIC_ID": semantics,
            "STAGE_ID": row["stageId"],
        }
        self._engine.tables[table].put(self._last_id, entry)


def write_pipeline(
    engine: Engine, type_id: int, entity: str, category: int, name: str, stages: Sequence[Stage]
) -> tuple[Stage, ...]:
    """Write a pipeline of a type with its stages; return these under their full codes."""
    table = engine.tables["item_pipelines"]
    is_default = not any(row["entityTypeId"] == type_id for row in table.rows.values())
    row: Row = {"id": category, "name": name, "sort": 100 + category, "entityTypeId": type_id}
    table.put(category, row | {"isDefault": "Y" if is_default else "N", "originId": "", "originatorId": ""})
    full = tuple(
        Stage(f"DT{type_id}_{category}:{stage.code}", stage.name, stage.sort, stage.semantics, stage.system)
        for stage in stages
    )
    for stage in full:
        status = stage_row(f"{entity}_STAGE_{category}", stage, category)
        status["ID"] = str(engine.tables["statuses"].add(status))
    return full


def write_plain_category(engine: Engine, category: int) -> None:
    """Spend the id of the hidden category of a type without pipelines."""
    engine.tables["item_pipelines"].last_id = category


def common_columns(engine: Engine, type_id: int, title: str, user: str) -> Row:
    """Return the columns of every item that is created now by a user."""
    now, who = portal_stamp(engine.now), int(user)
    return {
        "id": 0,
        "entityTypeId": type_id,
        "title": title,
        "xmlId": "",
        "createdTime": now,
        "updatedTime": now,
        "createdBy": who,
        "updatedBy": who,
        "assignedById": who,
        "opened": "Y",
        "lastActivityBy": who,
        "lastActivityTime": now,
        "webformId": 0,
    }


def stage_columns(engine: Engine, user: str, category: int, stage: Stage) -> Row:
    """Return the columns of an item that begins in a stage."""
    return {
        "movedBy": int(user),
        "movedTime": portal_stamp(engine.now),
        "categoryId": category,
        "stageId": stage.code,
        "previousStageId": "",
    }


def client_columns(deal_row: Row) -> Row:
    """Return the client of a deal as an item has it: 0 for nobody."""
    company, contact = int(deal_row["COMPANY_ID"] or 0), int(deal_row["CONTACT_ID"] or 0)
    return {"companyId": company, "contactId": contact, "contactIds": [contact] if contact else []}


def date_columns(engine: Engine, dice: Dice) -> Row:
    """Return the planned dates of an item."""
    today = local_day(engine.now)
    return {"begindate": date_stamp(today), "closedate": date_stamp(today + dice.number(3, 21))}


def touch(engine: Engine, row: Row) -> None:
    """Mark an item as modified now by its responsible."""
    row["updatedTime"], row["updatedBy"] = portal_stamp(engine.now), row["assignedById"]


def move(engine: Engine, row: Row, stage: Stage) -> None:
    """Put an item into a stage."""
    row["previousStageId"], row["stageId"] = row["stageId"], stage.code
    row["movedTime"], row["movedBy"] = portal_stamp(engine.now), row["assignedById"]
    touch(engine, row)
