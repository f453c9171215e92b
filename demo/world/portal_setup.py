"""What an administrator set up: pipelines with stages, dictionaries, currencies, money rules."""

from __future__ import annotations

from dataclasses import dataclass, field
from decimal import ROUND_HALF_UP, Decimal

from demo.world.clock import DAY_S, portal_stamp
from demo.world.engine import Engine
from demo.world.model import Row

BASE_CURRENCY = "RUB"
# code, nominal, rate to the base currency for that nominal, full name, share of deals
CURRENCIES = (
    ("RUB", 1, "1.0000", "Российский рубль", 0.90),
    ("USD", 1, "81.4375", "Доллар США", 0.045),
    ("EUR", 1, "94.2018", "Евро", 0.04),
    ("KZT", 100, "15.6231", "Казахстанский тенге", 0.015),
)
RATES = {code: Decimal(rate) / nominal for code, nominal, rate, _, _ in CURRENCIES}
CURRENCY_CODES = [code for code, *_ in CURRENCIES]
CURRENCY_SHARES = [share for *_, share in CURRENCIES]


@dataclass(frozen=True)
class Stage:
    """One stage. `removed_at` is when an administrator deleted it (seconds since 1970), None while it lives."""

    code: str
    name: str
    sort: int
    semantics: str  # P in work, S success, F failure
    system: bool = False
    removed_at: int | None = None

    def lives(self, moment: int) -> bool:
        """Tell whether the stage exists at a moment."""
        return self.removed_at is None or moment < self.removed_at


@dataclass
class Pipeline:
    """One deal pipeline and how business runs in it.

    Attributes:
        share: share of new deals. loss: chance that a step ends in a failure stage.
        pace_days: median days in a stage. amount: median deal amount in the base currency.
        removed_at: when the whole pipeline was deleted from the portal; its deals stay.
    """

    id: int
    name: str
    sort: int
    stages: tuple[Stage, ...]
    team: str
    share: float
    loss: float
    pace_days: float
    amount: float
    removed_at: int | None = None
    path: tuple[Stage, ...] = field(init=False)
    won: Stage = field(init=False)
    failures: tuple[Stage, ...] = field(init=False)

    def __post_init__(self) -> None:
        """Split the stages by meaning; equal sort orders stand in the order of creation."""
        self.path = tuple(sorted((s for s in self.stages if s.semantics == "P"), key=lambda stage: stage.sort))
        self.won = next(stage for stage in self.stages if stage.semantics == "S")
        self.failures = tuple(stage for stage in self.stages if stage.semantics == "F")

    def living_path(self, moment: int) -> list[Stage]:
        """Return the stages in work that exist at a moment, in order."""
        return [stage for stage in self.path if stage.lives(moment)]


def _stages(prefix: str, *rows: tuple[str, str, int, str], removed: dict[str, int] | None = None) -> tuple[Stage, ...]:
    removed = removed or {}
    return tuple(
        Stage(f"{prefix}{code}", name, sort, semantics, not code.startswith("UC_"), removed.get(code))
        for code, name, sort, semantics in rows
    )


def build_pipelines(start: int, now: int) -> list[Pipeline]:
    """Return all pipelines that ever existed, the deleted one included.

    Args:
        start: first second of the company's life in the portal.
        now: the moment of generation; deletions of stages and of a pipeline lie between.
    """
    span = now - start
    pipeline_removed, stages_removed = start + int(span * 0.45), start + int(span * 0.65)
    return [
        Pipeline(
            0,
            "Продажа оборудования",
            100,
            _stages(
                "",
                ("NEW", "Новая заявка", 10, "P"),
                ("PREPARATION", "Подбор и КП", 20, "P"),
                ("PREPAYMENT_INVOICE", "Счёт на предоплату", 30, "P"),
                ("UC_K7R2QD", "Согласование договора", 30, "P"),
                ("EXECUTING", "Поставка", 70, "P"),
                ("FINAL_INVOICE", "Финальный счёт", 80, "P"),
                ("WON", "Сделка успешна", 90, "S"),
                ("LOSE", "Сделка провалена", 100, "F"),
                ("APOLOGY", "Анализ причины провала", 110, "F"),
                ("UC_NOBUDG", "Нет бюджета", 120, "F"),
                ("UC_RIVAL1", "Ушли к конкуренту", 120, "F"),
            ),
            "sales",
            0.50,
            0.235,
            4.5,
            340_000,
        ),
        Pipeline(
            1,
            "Сервис и ремонт",
            200,
            _stages(
                "C1:",
                ("NEW", "Обращение", 10, "P"),
                ("PREPARATION", "Диагностика", 20, "P"),
                ("EXECUTING", "Ремонт", 40, "P"),
                ("WON", "Выполнено", 50, "S"),
                ("LOSE", "Отказ клиента", 60, "F"),
                ("APOLOGY", "Не подлежит ремонту", 70, "F"),
            ),
            "service",
            0.27,
            0.27,
            2.0,
            46_000,
        ),
        Pipeline(
            3,
            "Тендеры 44-ФЗ / 223-ФЗ",
            200,
            _stages(
                "C3:",
                ("NEW", "Найден тендер", 10, "P"),
                ("UC_OLDCHK", "Проверка документации", 20, "P"),
                ("PREPARATION", "Подготовка заявки", 30, "P"),
                ("UC_OLDBAN", "Обеспечение", 40, "P"),
                ("EXECUTING", "Торги", 50, "P"),
                ("UC_3CNTRC", "Контракт", 55, "P"),
                ("WON", "Тендер выигран", 60, "S"),
                ("LOSE", "Тендер проигран", 70, "F"),
                ("UC_3CANCL", "Закупка отменена", 75, "F"),
                removed={"UC_OLDCHK": stages_removed, "UC_OLDBAN": stages_removed},
            ),
            "tenders",
            0.10,
            0.30,
            5.0,
            1_150_000,
        ),
        Pipeline(
            5,
            "Партнёрские продажи",
            500,
            _stages(
                "C5:",
                ("NEW", "Заявка партнёра", 100, "P"),
                ("UC_5REGIS", "Регистрация проекта", 100, "P"),
                ("PREPARATION", "КП партнёру", 300, "P"),
                ("EXECUTING", "Отгрузка", 900, "P"),
                ("WON", "Закрыта успешно", 1000, "S"),
                ("LOSE", "Партнёр отказался", 1010, "F"),
            ),
            "partners",
            0.13,
            0.26,
            4.0,
            210_000,
        ),
        Pipeline(
            7,
            "Запчасти (старая)",
            700,
            _stages(
                "C7:",
                ("NEW", "Запрос", 10, "P"),
                ("PREPARATION", "Подбор", 20, "P"),
                ("WON", "Отгружено", 30, "S"),
                ("LOSE", "Отмена", 40, "F"),
            ),
            "sales",
            0.08,
            0.35,
            3.0,
            28_000,
            removed_at=pipeline_removed,
        ),
    ]


LEAD_STAGES = (
    Stage("NEW", "Не обработан", 10, "P", True),
    Stage("IN_PROCESS", "В работе", 20, "P", True),
    Stage("PROCESSED", "Обработан", 40, "P", True),
    Stage("UC_QUAL01", "Квалифицирован", 40, "P"),
    Stage("CONVERTED", "Качественный лид", 50, "S", True),
    Stage("JUNK", "Некачественный лид", 60, "F", True),
    Stage("UC_SPAM01", "Спам / ошиблись номером", 65, "F"),
)

DICTIONARIES: dict[str, tuple[tuple[str, str], ...]] = {
    "SOURCE": (
        ("CALL", "Звонок"),
        ("EMAIL", "Электронная почта"),
        ("WEB", "Веб-сайт"),
        ("ADVERTISING", "Реклама"),
        ("PARTNER", "Существующий клиент"),
        ("RECOMMENDATION", "По рекомендации"),
        ("TRADE_SHOW", "Выставка"),
        ("WEBFORM", "CRM-форма"),
        ("CALLBACK", "Обратный звонок"),
        ("RC_GENERATOR", "Генератор продаж"),
        ("STORE", "Интернет-магазин"),
        ("OTHER", "Другое"),
        ("1|OPENLINE", "Онлайн-чат — Открытая линия"),
        ("UC_AVITO7", "Авито"),
    ),
    "DEAL_TYPE": (
        ("SALE", "Продажа"),
        ("COMPLEX", "Комплексная продажа"),
        ("GOODS", "Продажа товара"),
        ("SERVICES", "Услуги"),
        ("SERVICE", "Сервисное обслуживание"),
    ),
    "CONTACT_TYPE": (("CLIENT", "Клиенты"), ("SUPPLIER", "Поставщики"), ("PARTNER", "Партнёры"), ("OTHER", "Другое")),
    "COMPANY_TYPE": (
        ("CUSTOMER", "Клиент"),
        ("SUPPLIER", "Поставщик"),
        ("COMPETITOR", "Конкурент"),
        ("PARTNER", "Партнёр"),
        ("OTHER", "Другое"),
    ),
    "INDUSTRY": (
        ("MANUFACTURING", "Производство"),
        ("DELIVERY", "Логистика"),
        ("CONSULTING", "Консалтинг"),
        ("GOVERNMENT", "Госсектор"),
        ("IT", "Информационные технологии"),
        ("TELECOM", "Связь"),
        ("OTHER", "Другое"),
    ),
    "EMPLOYEES": (
        ("EMPLOYEES_1", "менее 50"),
        ("EMPLOYEES_2", "50–250"),
        ("EMPLOYEES_3", "250–500"),
        ("EMPLOYEES_4", "более 500"),
    ),
    "HONORIFIC": (("HNR_RU_1", "г-н"), ("HNR_RU_2", "г-жа")),
}

_COLORS = {"P": "#39A8EF", "S": "#7BD500", "F": "#FF5752"}


def status_row(entity_id: str, code: str, name: str, sort: int, *, system: bool = True) -> Row:
    """Return a row of `crm.status.list`; the caller gives it an id."""
    return {
        "ID": "",
        "ENTITY_ID": entity_id,
        "STATUS_ID": code,
        "NAME": name,
        "NAME_INIT": name if system else "",
        "SORT": str(sort),
        "SYSTEM": "Y" if system else "N",
        "CATEGORY_ID": None,
        "COLOR": "",
        "SEMANTICS": None,
    }


def stage_row(entity_id: str, stage: Stage, category: int | None) -> Row:
    """Return a stage's row of `crm.status.list`; the caller gives it an id."""
    apology = stage.code.endswith("APOLOGY")
    meaning = {"P": "process", "S": "success", "F": "apology" if apology else "failure"}[stage.semantics]
    row = status_row(entity_id, stage.code, stage.name, stage.sort, system=stage.system)
    row["CATEGORY_ID"] = None if category is None else str(category)
    row["COLOR"] = _COLORS[stage.semantics]
    # in work is printed both ways
    row["SEMANTICS"] = stage.semantics if stage.semantics != "P" else (None if stage.system else "")
    row["EXTRA"] = {"SEMANTICS": meaning, "COLOR": _COLORS[stage.semantics]}
    return row


def write_dictionaries(engine: Engine, pipelines: list[Pipeline], now: int) -> None:
    """Fill statuses, pipelines and currencies with what exists at `now`."""
    for stage in LEAD_STAGES:
        engine.add("statuses", stage_row("STATUS", stage, None))
    for entity_id, entries in DICTIONARIES.items():
        for position, (code, name) in enumerate(entries, 1):
            engine.add("statuses", status_row(entity_id, code, name, position * 10, system=not code.startswith("UC_")))
    for pipeline in pipelines:
        if pipeline.removed_at is not None:
            engine.tables["pipelines"].last_id = pipeline.id
            continue
        entity_id = f"DEAL_STAGE_{pipeline.id}" if pipeline.id else "DEAL_STAGE"
        for stage in pipeline.stages:
            if stage.lives(now):
                engine.add("statuses", stage_row(entity_id, stage, pipeline.id or None))
        _write_pipeline(engine, pipeline)
    for position, (code, nominal, rate, name, _) in enumerate(CURRENCIES, 1):
        engine.tables["currencies"].add(_currency_row(code, nominal, rate, name, position * 100, now - 20 * DAY_S))


def _write_pipeline(engine: Engine, pipeline: Pipeline) -> None:
    row: Row = {"id": pipeline.id, "name": pipeline.name, "sort": pipeline.sort, "entityTypeId": 2}
    row["isDefault"] = "N" if pipeline.id else "Y"
    if pipeline.id:
        row |= {"originId": "", "originatorId": ""}
    engine.tables["pipelines"].put(pipeline.id, row)


def _currency_row(code: str, nominal: int, rate: str, name: str, sort: int, updated: int) -> Row:
    return {
        "CURRENCY": code,
        "AMOUNT_CNT": str(nominal),
        "AMOUNT": rate,
        "SORT": str(sort),
        "BASE": "Y" if code == BASE_CURRENCY else "N",
        "FULL_NAME": name,
        "LID": "ru",
        "FORMAT_STRING": "# &#8381;" if code == BASE_CURRENCY else f"# {code}",
        "DEC_POINT": ",",
        "THOUSANDS_SEP": "&nbsp;" if code == BASE_CURRENCY else None,
        "DECIMALS": "2",
        "DATE_UPDATE": portal_stamp(updated),
    }


def money_text(minor: int) -> str:
    """Render an amount in hundredths as the portal does: `19999.99`."""
    return f"{minor // 100}.{minor % 100:02d}"


def in_base_currency(amount: Decimal, currency: str) -> Decimal:
    """Convert an amount by the portal's current rate, rounded half up to hundredths."""
    return (amount * RATES[currency]).quantize(Decimal("0.01"), rounding=ROUND_HALF_UP)
