"""Rows of a small portal, written by hand, for the worked examples of the catalogue of marts."""

from collections.abc import Iterable, Sequence
from datetime import UTC, date, datetime
from decimal import Decimal
from typing import Any

from pipeline.calculator import calculate

Row = dict[str, Any]

STAGES = (("NEW", None), ("PREPARATION", ""), ("EXECUTING", "P"), ("FINAL_INVOICE", None), ("WON", "S"), ("LOSE", "F"))
SEMANTICS = {stage: semantics or "P" for stage, semantics in STAGES}
MARCH, APRIL = date(2026, 3, 1), date(2026, 4, 1)


def moscow(day: str, time: str = "09:00") -> str:
    """`02.03` is a day of 2026, `02.03.25` one of 2025."""
    day_number, month, *year = day.split(".")
    return f"20{year[0] if year else '26'}-{month}-{day_number}T{time}:00+03:00"


def utc(moment: str) -> str:
    return datetime.fromisoformat(moment).astimezone(UTC).isoformat()


def statuses() -> list[Row]:
    return [
        {
            "ID": str(100 + number),
            "ENTITY_ID": "DEAL_STAGE",
            "STATUS_ID": stage,
            "NAME": stage.capitalize(),
            "SORT": "10",
            "SEMANTICS": semantics,
        }
        for number, (stage, semantics) in enumerate(STAGES)
    ]


def currencies() -> list[Row]:
    return [
        {"CURRENCY": "RUB", "AMOUNT_CNT": "1", "AMOUNT": "1.0000", "BASE": "Y"},
        {"CURRENCY": "KZT", "AMOUNT_CNT": "100", "AMOUNT": "17.5400", "BASE": "N"},
    ]


def deal(number: int, amount: float, created: str, **fields: Any) -> Row:
    stage = fields.pop("STAGE_ID", "NEW")
    return {
        "ID": str(number),
        "TITLE": f"Сделка {number}",
        "TYPE_ID": "SALE",
        "CATEGORY_ID": "0",
        "STAGE_ID": stage,
        "STAGE_SEMANTIC_ID": SEMANTICS[stage],
        "IS_RECURRING": "N",
        "CURRENCY_ID": "RUB",
        "OPPORTUNITY": f"{amount:.2f}",
        "COMPANY_ID": "0",
        "CONTACT_ID": None,
        "LEAD_ID": None,
        "ASSIGNED_BY_ID": "7",
        "DATE_CREATE": created,
        "MOVED_TIME": created,
        "CLOSEDATE": moscow("31.12"),
        **fields,
    }


def lead(number: int, created: str, status: str, **fields: Any) -> Row:
    return {
        "ID": str(number),
        "STATUS_ID": status,
        "STATUS_SEMANTIC_ID": {"CONVERTED": "S", "JUNK": "F"}.get(status, "P"),
        "IS_RETURN_CUSTOMER": "N",
        "COMPANY_ID": "0",
        "CONTACT_ID": "0",
        "ASSIGNED_BY_ID": "7",
        "DATE_CREATE": created,
        **fields,
    }


def history(deal_id: int, stays: Iterable[tuple[str, str]], first_id: int = 1) -> list[Row]:
    return [
        {
            "ID": first_id + number,
            "TYPE_ID": 1 if number == 0 else 3 if SEMANTICS[stage] != "P" else 2,
            "OWNER_ID": deal_id,
            "CREATED_TIME": utc(entered),
            "CATEGORY_ID": 0,
            "STAGE_SEMANTIC_ID": SEMANTICS[stage],
            "STAGE_ID": stage,
        }
        for number, (stage, entered) in enumerate(stays)
    ]


def marts_of(
    truth: dict[str, list[Row]],
    as_of: str,
    *,
    ad_spend: Sequence[dict[str, str]] = (),
    sales_plan: Sequence[dict[str, str]] = (),
    **files: Sequence[dict[str, str]],
) -> dict[str, list[Row]]:
    portal = {"statuses": statuses(), "currencies": currencies(), **truth}
    return calculate(
        portal, ad_spend=ad_spend, sales_plan=sales_plan, as_of=datetime.fromisoformat(moscow(as_of, "12:00")), **files
    )


def picked(rows: Iterable[Row], columns: Sequence[str], **where: Any) -> list[tuple[Any, ...]]:
    return [
        tuple(row[column] for column in columns)
        for row in rows
        if all(row[column] == value for column, value in where.items())
    ]


def sale(number: int, amount: float, won: str, **fields: Any) -> Row:
    return deal(number, amount, moscow("01.01.25"), STAGE_ID="WON", MOVED_TIME=moscow(won), **fields)


def call(number: int, kind: str, code: str, seconds: int, **fields: Any) -> Row:
    return {
        "ID": str(number),
        "CALL_ID": f"call.{number}",
        "CALL_TYPE": kind,
        "PORTAL_USER_ID": "7",
        "CALL_START_DATE": moscow("02.03", "10:00"),
        "CALL_DURATION": str(seconds),
        "CALL_FAILED_CODE": code,
        **fields,
    }


def activity(number: int, kind: str, direction: str, at: str, **fields: Any) -> Row:
    return {
        "ID": str(number),
        "TYPE_ID": kind,
        "DIRECTION": direction,
        "COMPLETED": "Y",
        "RESPONSIBLE_ID": "7",
        "OWNER_TYPE_ID": "2",
        "CREATED": at,
        "START_TIME": at,
        "END_TIME": at,
        "LAST_UPDATED": at,
        "BINDINGS": [],
        **fields,
    }


def task(number: int, **fields: Any) -> Row:
    return {
        "id": str(number),
        "status": "5",
        "responsibleId": "7",
        "createdDate": moscow("02.03"),
        "closedDate": moscow("09.03"),
        "deadline": moscow("09.03"),
        **fields,
    }


def cells_of(table: str) -> list[list[Any]]:
    """A printed table: words, numbers, null."""

    def value(cell: str) -> Any:
        if cell == "null":
            return None
        return cell if not cell.lstrip("-").replace(".", "").isdigit() else Decimal(cell)

    return [[value(cell) for cell in line.split()] for line in table.strip().splitlines()]


def as_decimals(row: Iterable[Any]) -> list[Any]:
    return [Decimal(str(cell)) if isinstance(cell, (int, float)) and cell is not True else cell for cell in row]


# --- worked examples that several tests share


EX2_HISTORY = {
    1: [
        ("NEW", "02.03"),
        ("PREPARATION", "03.03"),
        ("EXECUTING", "05.03"),
        ("FINAL_INVOICE", "06.03"),
        ("WON", "10.03"),
    ],
    2: [("NEW", "02.03 10:00"), ("EXECUTING", "02.03 16:00"), ("WON", "04.03 10:00")],
    3: [("NEW", "04.03"), ("PREPARATION", "04.03 21:00"), ("LOSE", "07.03 21:00")],
    4: [("NEW", "05.03"), ("PREPARATION", "06.03"), ("EXECUTING", "08.03"), ("PREPARATION", "09.03")],
    5: [
        ("NEW", "06.03"),
        ("PREPARATION", "07.03"),
        ("EXECUTING", "08.03"),
        ("FINAL_INVOICE", "09.03"),
        ("WON", "10.03"),
        ("EXECUTING", "12.03"),
    ],
    6: [("EXECUTING", "10.03"), ("FINAL_INVOICE", "11.03"), ("LOSE", "14.03")],
    7: [("NEW", "11.03"), ("EXECUTING", "12.03"), ("NEW", "13.03"), ("LOSE", "15.03")],
}
EX2_AMOUNTS = {1: 100_000, 2: 50_000, 3: 30_000, 4: 40_000, 5: 80_000, 6: 60_000, 7: 20_000}
PATH = ("NEW", "PREPARATION", "EXECUTING", "FINAL_INVOICE", "WON")


def ex2_truth() -> dict[str, list[Row]]:
    deals, records = [], []
    for number, stays in EX2_HISTORY.items():
        moments = [(stage, moscow(*when.split())) for stage, when in stays]
        deals.append(deal(number, EX2_AMOUNTS[number], moments[0][1], STAGE_ID=stays[-1][0]))
        records += history(number, moments, first_id=number * 100)
    return {"deals": deals, "deal_stage_history": records}


def ex4_truth() -> dict[str, list[Row]]:
    yandex, vk = {"UTM_SOURCE": " Yandex "}, {"UTM_SOURCE": "vk", "UTM_MEDIUM": "cpc"}
    return {
        "leads": [
            lead(1, moscow("02.03"), "CONVERTED", CONTACT_ID="101", **yandex),
            lead(2, moscow("05.03"), "JUNK", **yandex),
            lead(3, moscow("10.03"), "CONVERTED", CONTACT_ID="103", **vk),
            lead(4, moscow("20.03"), "NEW", **vk),
            lead(5, moscow("25.03"), "CONVERTED", CONTACT_ID="105"),
        ],
        "deals": [
            deal(11, 120_000, moscow("03.03"), STAGE_ID="WON", LEAD_ID="1", CONTACT_ID="101", **yandex)
            | {"MOVED_TIME": moscow("18.03")},
            deal(12, 80_000, moscow("11.03"), STAGE_ID="WON", LEAD_ID="3", CONTACT_ID="103", **yandex)
            | {"MOVED_TIME": moscow("02.04")},
            deal(13, 70_000, moscow("26.03"), STAGE_ID="LOSE", LEAD_ID="5", CONTACT_ID="105")
            | {"MOVED_TIME": moscow("30.03")},
            deal(14, 50_000, moscow("05.04"), STAGE_ID="WON", CONTACT_ID="101", SOURCE_ID="EMAIL")
            | {"MOVED_TIME": moscow("20.04")},
        ],
        "products": [
            {"id": 100 + n, "purchasingPrice": cost, "purchasingCurrency": "RUB"} for n, cost in EX4_COSTS.items()
        ],
        "deal_product_rows": [
            {"id": n, "ownerId": n, "productId": 100 + n, "price": 1, "quantity": 1} for n in EX4_COSTS
        ],
    }


EX4_COSTS = {11: 84_000, 12: 56_000, 14: 35_000}  # so profits are those printed


def spend(channel: str, cost: str, impressions: str, clicks: str, **fields: str) -> dict[str, str]:
    return {
        "spend_date": "2026-03-10",
        "source_system": "csv",
        "channel_key": channel,
        "impressions": impressions,
        "clicks": clicks,
        "cost": cost,
        **fields,
    }


EX4_SPEND = (
    spend("yandex_direct", "30000", "60000", "500"),
    spend("yandex_direct", "10000.00", "40000", "300", currency="RUB", cost_type="other_marketing"),
    spend("vk_ads", "20000", "250000", "500", utm_campaign="", currency=""),
    spend("vk_remarketing", "5000", "30000", "60"),
    spend("vk_ads", "9999", "1", "1", cost_type="sales"),
)
EX5_DEALS = (
    (1, "7", 100_000, "01.03", "WON", "11.03"),
    (2, "7", 60_000, "05.03", "WON", "25.03"),
    (3, "7", 40_000, "10.03", "LOSE", "20.03"),
    (4, "7", 20_000, "20.02", "WON", "02.03"),
    (5, "7", 90_000, "28.03", "NEW", "28.03"),
    (6, "8", 180_000, "03.03", "WON", "13.03"),
    (7, "8", 50_000, "15.03", "WON", "04.04"),
    (8, "8", 30_000, "15.01", "LOSE", "16.03"),
)
EX5_PLANS = tuple(
    {"period_month": "2026-03-01", "scope": scope, "scope_key": key, "metric": "revenue", "plan_value": value}
    for scope, key, value in (
        ("manager", "7", "1"),
        ("manager", "7", "200000"),
        ("manager", "8", "150000"),
        ("company", "all", "5"),
    )
)


EX5_USERS = (
    {"ID": "7", "ACTIVE": True, "UF_DEPARTMENT": [3, 4], "USER_TYPE": "employee"},
    {"ID": "8", "ACTIVE": True, "UF_DEPARTMENT": [3], "USER_TYPE": "employee"},
)


def ex5_marts(
    *, with_history: bool, users: Sequence[Row] = EX5_USERS, departments: Sequence[Row] = ()
) -> dict[str, list[Row]]:
    deals, records = [], []
    for number, manager, amount, created, stage, moved in EX5_DEALS:
        # the time of the last move is wrong on purpose where history knows better
        moved_time = moscow("09.04") if with_history and stage != "NEW" else moscow(moved)
        fields = {"ASSIGNED_BY_ID": manager, "STAGE_ID": stage, "MOVED_TIME": moved_time}
        deals.append(deal(number, amount, moscow(created), **fields))
        stays = [("NEW", moscow(created))] + ([(stage, moscow(moved))] if stage != "NEW" else [])
        records += history(number, stays, first_id=10 * number) if with_history else []
    truth = {"deals": deals, "deal_stage_history": records, "users": list(users), "departments": list(departments)}
    return marts_of(truth, "10.04", sales_plan=EX5_PLANS)
