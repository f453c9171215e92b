"""Custom fields of quotes, smart invoices and smart processes, and values for them."""

from __future__ import annotations

from demo.world.clock import DAY_S, date_stamp, local_day, portal_stamp
from demo.world.dice import Dice
from demo.world.engine import Engine
from demo.world.fields import FieldSpec
from demo.world.model import Row

FIRST_FIELD_ID, FIRST_OPTION_ID = 1001, 9001  # above those of deals, leads and clients

SPECS: dict[str, tuple[FieldSpec, ...]] = {
    "CRM_QUOTE": (
        FieldSpec("UF_CRM_1717400001", "string", "Условия оплаты", 0.5),
        FieldSpec("UF_CRM_1717400002", "integer", "Срок действия, дней", 0.6),
        FieldSpec("UF_CRM_1717400003", "enumeration", "Вид КП", 0.7, options=("Типовое", "Индивидуальное", "Тендер")),
        FieldSpec("UF_CRM_1717400004", "boolean", "С монтажом", 0.4),
    ),
    "CRM_SMART_INVOICE": (
        FieldSpec("UF_CRM_SMART_INVOICE_1717500001", "string", "Номер договора", 0.5),
        FieldSpec("UF_CRM_SMART_INVOICE_1717500002", "date", "Срок оплаты по договору", 0.4),
        FieldSpec(
            "UF_CRM_SMART_INVOICE_1717500003", "enumeration", "Вид счёта", 0.8, options=("Аванс", "Остаток", "Полный")
        ),
    ),
    "CRM_1": (
        FieldSpec("UF_CRM_1_1717600001", "string", "Поставщик", 0.7),
        FieldSpec("UF_CRM_1_1717600002", "money", "Бюджет закупки", 0.5),
        FieldSpec("UF_CRM_1_1717600003", "datetime", "Плановая отгрузка", 0.4),
        FieldSpec("UF_CRM_1_1717600004", "string", "Артикулы", 0.3, multiple=True),
    ),
    "CRM_2": (
        FieldSpec(
            "UF_CRM_2_1717700001", "enumeration", "Тема обращения", 0.9,
            options=("Поломка", "Гарантия", "Документы", "Сроки поставки", "Другое"),
        ),
        FieldSpec(
            "UF_CRM_2_1717700002", "enumeration", "Канал обращения", 0.8, options=("Телефон", "Почта", "Чат", "Форма")
        ),
        FieldSpec("UF_CRM_2_1717700003", "boolean", "Решено с первого раза", 0.6),
        FieldSpec("UF_CRM_2_1717700004", "integer", "Оценка клиента, 1–5", 0.3),
        FieldSpec("UF_CRM_2_1717700005", "datetime", "Первый ответ", 0.7),
    ),
    "CRM_4": (
        FieldSpec("UF_CRM_4_1717800001", "string", "Номер", 0.9),
        FieldSpec("UF_CRM_4_1717800002", "double", "Пени, % в день", 0.3),
        FieldSpec("UF_CRM_4_1717800003", "boolean", "Подписан", 0.8),
    ),
}  # fmt: skip


class ItemFields:
    """The registry of these fields, and a source of values."""

    def __init__(self, engine: Engine) -> None:
        """Register the fields."""
        self._engine = engine
        self._dice = Dice(engine.seed, "item fields")
        self._options: dict[str, list[str]] = {}
        self._next_option = FIRST_OPTION_ID
        table = engine.tables["item_custom_fields"]
        table.last_id = FIRST_FIELD_ID - 1
        for entity_id, specs in SPECS.items():
            for position, spec in enumerate(specs, 1):
                row = self._registered(entity_id, spec, position * 100)
                row["ID"] = str(table.add(row))

    def values(self, entity_id: str) -> Row:
        """Return the custom columns of a new row, all keys present; an empty one is null, or [] if multiple."""
        return {
            spec.code: self._value(spec) if self._dice.chance(spec.fill) else ([] if spec.multiple else None)
            for spec in SPECS[entity_id]
        }

    def change_one(self, entity_id: str, row: Row) -> None:
        """Give one custom field of a row a new value; the caller marks the row as modified."""
        spec = self._dice.pick(SPECS[entity_id])
        row[spec.code] = self._value(spec)

    def _value(self, spec: FieldSpec) -> object:
        if spec.multiple:
            return [f"АРТ-{self._dice.number(100, 999)}" for _ in range(self._dice.number(1, 3))]
        dice, now = self._dice, self._engine.now
        match spec.kind:
            case "enumeration":
                return dice.pick(self._options[spec.code])
            case "boolean":
                # old lists tell 1 and 0, the universal one Y and N
                return dice.pick(("1", "1", "0") if spec in SPECS["CRM_QUOTE"] else ("Y", "Y", "N"))
            case "integer":
                return str(dice.number(1, 5) if "1–5" in spec.label else dice.number(3, 60))
            case "double":
                return f"{dice.number(1, 50) / 100}"
            case "money":
                return f"{dice.number(10, 900) * 1000}.00|RUB"
            case "date":
                return date_stamp(local_day(now) - dice.number(0, 30))
            case "datetime":
                return portal_stamp(now - dice.number(0, 2 * DAY_S))
            case _:
                return dice.pick(("100 % предоплата", "отсрочка 14 дней", f"Д-{dice.number(1, 999)}/25", "«Завод»; №1"))

    def _registered(self, entity_id: str, spec: FieldSpec, sort: int) -> Row:
        """Describe a field as the only method that lists it does.

        Those of quotes have one of their own; the registry of all fields tells labels by language, and options (ENUM)
        one field at a time.
        """
        has_own_method = entity_id == "CRM_QUOTE"
        label: object = spec.label if has_own_method else {"ru": spec.label}
        row: Row = {
            "ID": "",
            "ENTITY_ID": entity_id,
            "FIELD_NAME": spec.code,
            "USER_TYPE_ID": spec.kind,
            "XML_ID": None,
            "SORT": str(sort),
            "MULTIPLE": "Y" if spec.multiple else "N",
            "MANDATORY": "N",
            "SHOW_FILTER": "E",
            "SHOW_IN_LIST": "Y",
            "EDIT_IN_LIST": "Y",
            "IS_SEARCHABLE": "N",
            "SETTINGS": {"DISPLAY": "LIST"} if spec.options else [],
            **dict.fromkeys(("EDIT_FORM_LABEL", "LIST_COLUMN_LABEL", "LIST_FILTER_LABEL"), label),
        }
        if spec.options:
            options = range(self._next_option, self._next_option + 2 * len(spec.options), 2)
            self._next_option = options.stop
            self._options[spec.code] = [str(number) for number in options]
            row["LIST" if has_own_method else "ENUM"] = [
                {"ID": str(number), "SORT": str(place * 10), "VALUE": text, "DEF": "N", "XML_ID": f"o{number}"}
                for place, (number, text) in enumerate(zip(options, spec.options, strict=True), 1)
            ]
        return row
