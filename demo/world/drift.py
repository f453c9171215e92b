"""Custom fields that change under a reader: what an administrator of the portal does to them.

None of it marks a row as modified: definitions change at once, and values are simply shown another way.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from demo.world.engine import Engine
from demo.world.fields import TABLE_ENTITIES, CustomFields
from demo.world.model import Row

TABLES = {entity: table for table, entity in TABLE_ENTITIES.items()}
LABELS = ("EDIT_FORM_LABEL", "LIST_COLUMN_LABEL", "LIST_FILTER_LABEL")
OPERATIONS = ("add", "rename", "retype", "multiple", "remove", "add_option", "remove_option")


class FieldDrift:
    """Adds, changes and removes custom fields of leads, deals, contacts and companies."""

    def __init__(self, engine: Engine, fields: CustomFields) -> None:
        """Take the registry, which values of later rows come from."""
        self._engine = engine
        self._fields = fields

    def apply(
        self,
        operation: str,
        entity: str,
        field_name: str,
        *,
        label: str = "",
        user_type: str = "string",
        multiple: bool = True,
        options: Sequence[str] = (),
        option: str = "",
    ) -> Row:
        """Do one change and return the field's definition as it is now (as it was, of a removed one).

        Args:
            operation: one of OPERATIONS.
            entity: CRM_LEAD, CRM_DEAL, CRM_CONTACT or CRM_COMPANY.
            field_name: `UF_CRM_...`.
            label: of a new or renamed field.
            user_type: of a new or retyped field; the portal makes such a field anew, under the same name. What of a
                value cannot be read as the new type is emptied.
            multiple: whether the field holds several values: lists, or `false` when empty. A new one does not.
            options: texts of a new or retyped enumeration.
            option: the text to add, or the text or id to remove; rows keep the id.
        Raises:
            ValueError: an unknown operation, entity, type, field or option; a field that is there already.
        """
        if entity not in TABLES:
            raise ValueError(f"unknown entity {entity!r}: choose {', '.join(TABLES)}")
        if user_type not in self._fields.kinds:
            raise ValueError(f"unknown type {user_type!r}: choose {', '.join(self._fields.kinds)}")
        if operation == "add":
            self._add(entity, field_name, user_type, label, options)
            return self._definition(entity, field_name)
        definition = self._definition(entity, field_name)
        match operation:
            case "rename":
                definition.update(dict.fromkeys(LABELS, label))
            case "retype":
                self._retype(definition, user_type, options)
                definition = self._definition(entity, field_name)
            case "multiple":
                self._set_multiple(definition, multiple)
            case "remove":
                self._remove(definition)
            case "add_option":
                definition.setdefault("LIST", []).extend(self._fields.new_options([option]))
            case "remove_option":
                kept = [item for item in definition.get("LIST", ()) if option not in (item["ID"], item["VALUE"])]
                if len(kept) == len(definition.get("LIST", ())):
                    raise ValueError(f"{field_name} has no option {option!r}")
                definition["LIST"] = kept
            case _:
                raise ValueError(f"unknown operation {operation!r}: choose {', '.join(OPERATIONS)}")
        self._fields.refresh()
        return definition

    def _definition(self, entity: str, name: str) -> Row:
        definition = self._find(entity, name)
        if definition is None:
            raise ValueError(f"{entity} has no field {name}")
        return definition

    def _find(self, entity: str, name: str) -> Row | None:
        rows = self._engine.tables["custom_fields"].rows.values()
        return next((row for row in rows if (row["ENTITY_ID"], row["FIELD_NAME"]) == (entity, name)), None)

    def _rows(self, entity: str) -> list[Row]:
        return list(self._engine.tables[TABLES[entity]].rows.values())

    def _add(self, entity: str, name: str, user_type: str, label: str, options: Sequence[str]) -> None:
        if self._find(entity, name) is not None:
            raise ValueError(f"{entity} has {name} already")
        self._fields.register(entity, name, user_type, label, options)
        for row in self._rows(entity):
            row[name] = None

    def _remove(self, definition: Row) -> None:
        del self._engine.tables["custom_fields"].rows[int(definition["ID"])]
        for row in self._rows(definition["ENTITY_ID"]):
            row.pop(definition["FIELD_NAME"], None)

    def _retype(self, definition: Row, user_type: str, options: Sequence[str]) -> None:
        entity, name, label = definition["ENTITY_ID"], definition["FIELD_NAME"], definition["EDIT_FORM_LABEL"]
        texts = {item["ID"]: item["VALUE"] for item in definition.get("LIST", ())}
        del self._engine.tables["custom_fields"].rows[int(definition["ID"])]
        self._fields.register(entity, name, user_type, label, options)
        new = self._definition(entity, name)
        new["MULTIPLE"] = definition["MULTIPLE"]
        ids = {item["VALUE"]: item["ID"] for item in new.get("LIST", ())}
        for row in self._rows(entity):
            if name not in row:
                continue
            value = row[name]
            if isinstance(value, list):
                cast = [_cast(texts.get(item, item), user_type, ids) for item in value]
                row[name] = [item for item in cast if item not in (None, "")] or False
            elif value is not False:
                row[name] = _cast(texts.get(value, value) if isinstance(value, str) else value, user_type, ids)

    def _set_multiple(self, definition: Row, multiple: bool) -> None:
        definition["MULTIPLE"] = "Y" if multiple else "N"
        name = definition["FIELD_NAME"]
        for row in self._rows(definition["ENTITY_ID"]):
            if name not in row:
                continue
            value = row[name]
            if not multiple:
                row[name] = value[0] if isinstance(value, list) and value else "" if isinstance(value, list) else value
                row[name] = "" if row[name] is False else row[name]
            elif not isinstance(value, list):
                row[name] = [value] if value not in (None, "", False) else False


def _cast(value: Any, user_type: str, option_ids: dict[str, str]) -> Any:
    """Return what a value becomes under another type; an empty text when nothing of it can be kept."""
    if value in (None, ""):
        return value
    if user_type == "file" or isinstance(value, dict):
        return None
    text = str(value)
    number = text.split("|")[0]
    is_number = number.lstrip("-").replace(".", "", 1).isdecimal()
    match user_type:
        case "string" | "url" | "address":
            return text
        case "integer":
            return number.split(".")[0] if is_number else ""
        case "double":
            return number if is_number else ""
        case "money":
            return f"{float(number):.2f}|RUB" if is_number else ""
        case "boolean":
            return "0" if text in ("0", "N") else "1"
        case "enumeration":
            return option_ids.get(text, "")
        case "date" | "datetime":
            return text if len(text) == 25 and text[10:11] == "T" else ""
        case _:
            return ""
