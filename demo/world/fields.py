"""Custom fields of every type on leads, deals, contacts and companies, and values for them."""

from __future__ import annotations

from collections.abc import Callable, Collection, Sequence
from dataclasses import dataclass

from demo.world.clock import DAY_S, date_stamp, local_day, portal_stamp
from demo.world.engine import Engine
from demo.world.model import Row
from demo.world.names import Names
from demo.world.portal_setup import money_text
from demo.world.staff import Staff

LATER_FILL = 0.4  # share of rows that hold a value of a field created later
ABSENT = object()
Value = object


@dataclass(frozen=True)
class FieldSpec:
    """One custom field. `fill` is the share of rows that hold a value."""

    code: str
    kind: str
    label: str
    fill: float
    multiple: bool = False
    options: tuple[str, ...] = ()

    @property
    def empties(self) -> tuple[Value, ...]:
        """Return the ways in which this field shows that it holds nothing."""
        if self.multiple:
            return (False, [], ABSENT)
        if self.kind == "boolean":
            return ("0", "", None)
        if self.kind == "file":
            return (None, ABSENT)
        return ("", None, ABSENT)


SPECS: dict[str, tuple[FieldSpec, ...]] = {
    "CRM_LEAD": (
        FieldSpec("UF_CRM_1717000001", "string", "Город клиента", 0.5),
        FieldSpec("UF_CRM_1717000002", "enumeration", "Интерес", 0.6, options=("Насосы", "Компрессоры", "Сервис")),
        FieldSpec("UF_CRM_1717000003", "boolean", "Согласие на рассылку", 0.5),
        FieldSpec("UF_CRM_1717000004", "integer", "Число сотрудников", 0.2),
        FieldSpec("UF_CRM_1717000005", "datetime", "Удобное время звонка", 0.15),
        FieldSpec("UF_CRM_1717000006", "url", "Страница захвата", 0.3),
        FieldSpec("UF_CRM_1717000007", "string", "Комментарий", 0.2, multiple=True),
    ),
    "CRM_DEAL": (
        FieldSpec("UF_CRM_1717100001", "string", "Номер договора", 0.5),
        FieldSpec("UF_CRM_1717100002", "integer", "Срок поставки, дней", 0.4),
        FieldSpec("UF_CRM_1717100003", "double", "Скидка, %", 0.3),
        FieldSpec("UF_CRM_1717100004", "boolean", "Нужен монтаж", 0.6),
        FieldSpec("UF_CRM_1717100005", "datetime", "Дата и время отгрузки", 0.25),
        FieldSpec("UF_CRM_1717100006", "date", "Дата договора", 0.4),
        FieldSpec("UF_CRM_1717100007", "money", "Себестоимость", 0.35),
        FieldSpec("UF_CRM_1717100008", "url", "Ссылка на тендер", 0.1),
        FieldSpec("UF_CRM_1717100009", "address", "Адрес объекта", 0.3),
        FieldSpec(
            "UF_CRM_1717100010", "enumeration", "Причина отказа", 0.25,
            options=("Дорого", "Долго", "Купили у конкурента", "Проект заморожен", "Не дозвонились"),
        ),
        FieldSpec(
            "UF_CRM_1717100011", "enumeration", "Состав поставки", 0.35, multiple=True,
            options=("Насос", "Двигатель", "Шкаф управления", "Монтаж", "ЗИП; комплект"),
        ),
        FieldSpec("UF_CRM_1717100012", "file", "Скан договора", 0.1),
        FieldSpec("UF_CRM_1717100013", "employee", "Инженер проекта", 0.3),
        FieldSpec("UF_CRM_1717100014", "crm_status", "Отрасль объекта", 0.3),
        FieldSpec("UF_CRM_1717100015", "crm", "Посредник", 0.1),
        FieldSpec("UF_CRM_1717100016", "string", "Комментарий", 0.2),
        FieldSpec("UF_CRM_1717100017", "string", "Комментарий", 0.1),
        FieldSpec("UF_CRM_1717100018", "string", "🔥🔥🔥", 0.05),
        FieldSpec("UF_CRM_DELIVERY_KM", "double", "Расстояние доставки, км", 0.2),
    ),
    "CRM_CONTACT": (
        FieldSpec("UF_CRM_1717200001", "date", "Дата последней встречи", 0.2),
        FieldSpec("UF_CRM_1717200002", "enumeration", "Роль в закупке", 0.4, options=("ЛПР", "Эксперт", "Снабжение")),
        FieldSpec("UF_CRM_1717200003", "employee", "Кураторы", 0.15, multiple=True),
        FieldSpec("UF_CRM_1717200004", "boolean", "VIP", 0.3),
        FieldSpec("UF_CRM_1717200005", "crm", "Связанные компании", 0.1, multiple=True),
    ),
    "CRM_COMPANY": (
        FieldSpec("UF_CRM_1717300001", "string", "ИНН", 0.8),
        FieldSpec("UF_CRM_1717300002", "money", "Кредитный лимит", 0.3),
        FieldSpec("UF_CRM_1717300003", "enumeration", "Сегмент", 0.5, options=("A", "B", "C")),
        FieldSpec("UF_CRM_1717300004", "address", "Адрес доставки", 0.3, multiple=True),
        FieldSpec("UF_CRM_1717300005", "crm_status", "Отрасль по ОКВЭД", 0.3),
        FieldSpec("UF_CRM_1717300006", "integer", "Парк оборудования, шт.", 0.2),
        FieldSpec("UF_CRM_1717300007", "file", "Карточка предприятия", 0.1, multiple=True),
    ),
}  # fmt: skip
# an option that was removed from its list (by its place there) while rows still hold its id
REMOVED_OPTION = ("UF_CRM_1717100010", 4)
TABLE_ENTITIES = {"leads": "CRM_LEAD", "deals": "CRM_DEAL", "contacts": "CRM_CONTACT", "companies": "CRM_COMPANY"}


class CustomFields:
    """The registry of custom fields, and a source of values for them."""

    def __init__(self, engine: Engine, names: Names, staff: Staff) -> None:
        """Register the fields; option ids are unique over all fields, as on a portal."""
        self._engine = engine
        self._names = names
        self._staff = staff
        self._options: dict[str, list[str]] = {}
        self._next_option = 3001
        self._makers: dict[str, Callable[[FieldSpec], Value]] = {
            "string": self._string,
            "integer": lambda _: str(engine.rng.randint(1, 400)),
            "double": lambda _: f"{engine.rng.uniform(0, 90):.2f}".rstrip("0").rstrip("."),
            "boolean": lambda _: "1",
            "datetime": lambda _: portal_stamp(engine.now - engine.rng.randint(0, 30 * DAY_S)),
            "date": lambda _: date_stamp(local_day(engine.now) - engine.rng.randint(0, 60)),
            "money": lambda _: (
                f"{money_text(engine.rng.randint(1_000_00, 900_000_00))}|{engine.pick(('RUB', 'RUB', 'USD'))}"
            ),
            "url": lambda _: f"https://shop.example/catalog/{engine.rng.randint(1, 900)}?utm_source=yandex&x=«ы»",
            "address": lambda _: f"{names.city()}, {names.address()}|55.75;37.61",
            "enumeration": lambda spec: engine.pick(self._options[spec.code] or ("",)),
            "file": self._file,
            "employee": lambda _: staff.colleague(),
            "crm_status": lambda _: engine.pick(("MANUFACTURING", "DELIVERY", "GOVERNMENT", "OTHER")),
            "crm": lambda _: f"CO_{engine.rng.randint(1, max(engine.tables['companies'].last_id, 1))}",
        }
        self._specs: dict[str, tuple[FieldSpec, ...]] = dict(SPECS)
        for entity_id, specs in SPECS.items():
            for position, spec in enumerate(specs, 1):
                self._register(entity_id, spec, position * 100)

    @property
    def kinds(self) -> Collection[str]:
        """Return the types that a field may have."""
        return self._makers.keys()

    def register(self, entity_id: str, code: str, kind: str, label: str, options: Sequence[str] = ()) -> None:
        """Register a field that an administrator creates later; new rows and edits then give it values."""
        spec = FieldSpec(code, kind, label or code, LATER_FILL, options=tuple(options) or ("Да", "Нет"))
        self._register(entity_id, spec, 100 * (len(self._specs[entity_id]) + 1))
        self.refresh()

    def new_options(self, labels: Sequence[str]) -> list[Row]:
        """Return entries for the LIST of an enumeration, under new ids."""
        return self._list_options(FieldSpec("", "enumeration", "", 0, options=tuple(labels)))

    def refresh(self) -> None:
        """Take the fields as they are defined now."""
        fills = {spec.code: spec.fill for specs in SPECS.values() for spec in specs}
        specs: dict[str, list[FieldSpec]] = {entity_id: [] for entity_id in SPECS}
        for row in self._engine.tables["custom_fields"].rows.values():
            if row["ENTITY_ID"] not in specs:
                continue
            code, label = row["FIELD_NAME"], row["EDIT_FORM_LABEL"]
            fill, multiple = fills.get(code, LATER_FILL), row["MULTIPLE"] == "Y"
            specs[row["ENTITY_ID"]].append(FieldSpec(code, row["USER_TYPE_ID"], label, fill, multiple))
            self._options[code] = [item["ID"] for item in row.get("LIST", ())]
        self._specs = {entity_id: tuple(found) for entity_id, found in specs.items()}

    def values(self, table: str) -> Row:
        """Return the custom columns of a new row of leads, deals, contacts or companies; some keys are absent."""
        row: Row = {}
        for spec in self._specs[TABLE_ENTITIES[table]]:
            value = self._value(spec) if self._engine.rng.random() < spec.fill else self._engine.pick(spec.empties)
            if value is not ABSENT:
                row[spec.code] = value
        return row

    def change_one(self, table: str, row: Row) -> None:
        """Give one custom field of a row a new value; the caller marks the row as modified."""
        specs = self._specs[TABLE_ENTITIES[table]]
        if specs:
            spec = self._engine.pick(specs)
            row[spec.code] = self._value(spec)

    def _value(self, spec: FieldSpec) -> Value:
        make = self._makers[spec.kind]
        if not spec.multiple:
            return make(spec)
        values = [make(spec) for _ in range(self._engine.rng.randint(1, 3))]
        return list(dict.fromkeys(values)) if spec.kind != "file" else values

    def _string(self, spec: FieldSpec) -> str:
        if spec.label == "ИНН":
            return str(self._engine.rng.randint(10**9, 10**10 - 1))
        return self._names.sentence()

    def _file(self, _: FieldSpec) -> Row:
        number = self._engine.rng.randint(1000, 99_999)
        link = f"/bitrix/components/bitrix/crm.deal.show/show_file.php?fileId={number}"
        return {"id": str(number), "showUrl": link, "downloadUrl": f"{link}&download=1"}

    def _register(self, entity_id: str, spec: FieldSpec, sort: int) -> None:
        settings: Row = {"DISPLAY": "LIST"} if spec.kind == "enumeration" else {}
        if spec.kind == "crm_status":
            settings = {"ENTITY_TYPE": "INDUSTRY"}
        if spec.kind == "crm":
            settings = {"LEAD": "N", "CONTACT": "Y", "COMPANY": "Y", "DEAL": "N"}
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
            "SETTINGS": settings or [],
            "EDIT_FORM_LABEL": spec.label,
            "LIST_COLUMN_LABEL": spec.label,
            "LIST_FILTER_LABEL": spec.label,
        }
        if spec.kind == "enumeration":
            row["LIST"] = self._list_options(spec)
        self._engine.add("custom_fields", row)

    def _list_options(self, spec: FieldSpec) -> list[Row]:
        options: list[Row] = []
        ids = self._options[spec.code] = []
        for position, label in enumerate(spec.options):
            option_id = str(self._next_option)
            self._next_option += 2
            ids.append(option_id)
            if (spec.code, position) != REMOVED_OPTION:
                sort = str((position + 1) * 10)
                options.append({"ID": option_id, "SORT": sort, "VALUE": label, "DEF": "N", "XML_ID": f"o{option_id}"})
        return options
