"""Other values of vars in the reference calculator, each against an answer worked out by hand."""

from datetime import date, datetime
from decimal import Decimal
from typing import Any

import pytest
from pipeline.calculator import Settings, calculate

Row = dict[str, Any]

FEBRUARY, MARCH, APRIL = (date(2026, month, 1) for month in (2, 3, 4))
STAGES = (("NEW", None), ("WON", "S"), ("LOSE", "F"))


def moscow(day: str, time: str = "12:00") -> str:
    """`02.03` is a day of 2026."""
    day_number, month = day.split(".")
    return f"2026-{month}-{day_number}T{time}:00+03:00"


def deal(number: int, amount: int, created: str, won: str | None = None, **fields: Any) -> Row:
    return {
        "ID": str(number),
        "CATEGORY_ID": "0",
        "STAGE_ID": "WON" if won else "NEW",
        "STAGE_SEMANTIC_ID": "S" if won else "P",
        "ASSIGNED_BY_ID": "7",
        "CONTACT_ID": "1",
        "OPPORTUNITY": str(amount),
        "CURRENCY_ID": "RUB",
        "DATE_CREATE": moscow(created),
        "MOVED_TIME": moscow(won or created),
        **fields,
    }


def lead(number: int, created: str, **fields: Any) -> Row:
    return {"ID": str(number), "STATUS_ID": "NEW", "ASSIGNED_BY_ID": "7", "DATE_CREATE": created, **fields}


def call(start: str, code: str = "200") -> Row:
    return {
        "ID": "1",
        "CALL_ID": "a",
        "PORTAL_USER_ID": "7",
        "CALL_TYPE": "1",
        "CALL_FAILED_CODE": code,
        "CALL_DURATION": "60" if code == "200" else "0",
        "CALL_START_DATE": start,
        "CRM_ENTITY_TYPE": "LEAD",
        "CRM_ENTITY_ID": "1",
        "CRM_ACTIVITY_ID": "5",
    }


def marts_of(truth: dict[str, list[Row]], holidays: list[Row] | None = None, **settings: Any) -> dict[str, list[Row]]:
    statuses = [
        {
            "ID": str(n),
            "ENTITY_ID": "DEAL_STAGE",
            "STATUS_ID": code,
            "NAME": code,
            "SORT": str(n),
            "SEMANTICS": semantics,
        }
        for n, (code, semantics) in enumerate(STAGES)
    ]
    currencies = [{"CURRENCY": "RUB", "AMOUNT_CNT": "1", "AMOUNT": "1.0000", "BASE": "Y"}]
    return calculate(
        {"statuses": statuses, "currencies": currencies, **truth},
        ad_spend=[],
        sales_plan=[],
        holidays=holidays or [],
        as_of=datetime.fromisoformat(moscow("10.04")),
        settings=Settings(**settings),
    )


def payment(number: int, order: int, amount: str, paid: str, is_return: str = "N") -> Row:
    row = {"id": number, "orderId": order, "sum": amount, "currency": "RUB", "paid": "Y", "isReturn": is_return}
    return {**row, "datePaid": moscow(paid)}


# the first was paid before and after it was won, with a return; the second is open, its order that of an invoice
PAID = {
    "deals": [deal(1, 100, "01.02", "10.03"), deal(2, 500, "01.02")],
    "deal_product_rows": [
        {"id": str(n), "ownerId": "1", "productId": str(n), "price": "10", "quantity": "1"} for n in (1, 2, 3)
    ],
    "order_entities": [
        {"orderId": 10, "ownerTypeId": 2, "ownerId": 1},
        {"orderId": 20, "ownerTypeId": 31, "ownerId": 8},
    ],
    "payments": [
        payment(1, 10, "60", "28.02"),
        payment(2, 10, "60", "01.04"),
        payment(3, 10, "20", "02.04", "Y"),
        payment(4, 20, "50", "05.04"),
        payment(5, 30, "999", "05.04"),
        {**payment(6, 10, "999", "05.04"), "paid": "N"},
    ],
    "smart_invoices": [
        {
            "id": number,
            "categoryId": 11,
            "stageId": stage,
            "assignedById": 7,
            "parentId2": owner,
            "opportunity": amount,
            "currencyId": "RUB",
            "createdTime": moscow("20.02"),
            "movedTime": moscow("03.04"),
        }
        for number, stage, owner, amount in ((8, "DT31_11:P", 2, 70), (9, "DT31_11:N", 1, 30))
    ],
}
INVOICE_STAGES = [
    {"ID": "91", "ENTITY_ID": "SMART_INVOICE_STAGE_11", "STATUS_ID": "DT31_11:P", "SORT": "10", "SEMANTICS": "S"},
    {"ID": "92", "ENTITY_ID": "SMART_INVOICE_STAGE_11", "STATUS_ID": "DT31_11:N", "SORT": "20", "SEMANTICS": None},
]


def by_month(rows: list[Row], column: str, day: str = "period_month") -> dict[date, Any]:
    sums: dict[date, Any] = {}
    for row in rows:
        month = row[day].replace(day=1)
        sums[month] = sums.get(month, 0) + row[column]
    return {month: value for month, value in sums.items() if value}


@pytest.mark.parametrize(
    ("basis", "revenue"),
    [
        ("deal_amount", {MARCH: 100}),
        ("payment", {FEBRUARY: 60, APRIL: 90}),
        ("invoice_paid", {APRIL: 70}),
    ],
)
def test_revenue_is_recognised_where_it_is_told_to_be(basis: str, revenue: dict[date, int]) -> None:
    """Money moves to the days of payment, in every mart alike; the sale stays where it was won."""
    marts = marts_of({**PAID, "statuses": INVOICE_STAGES}, revenue_basis=basis)
    expected = {month: Decimal(value) for month, value in revenue.items()}
    for mart, day in (
        ("sales_dynamics", "date_day"),
        ("manager_performance", "period_month"),
        ("manager_channel_performance", "period_month"),
        ("repeat_sales", "period_month"),
        ("product_performance", "period_month"),
    ):
        assert by_month(marts[mart], "revenue", day) == expected, mart
    events = [
        row for row in marts["channel_roi"] if (row["attribution_model"], row["date_basis"]) == ("last_touch", "event")
    ]
    assert by_month(events, "revenue") == expected
    assert [row["revenue_rc"] for row in marts["deal_journey"]] == {
        "deal_amount": [100, 0],
        "payment": [100, 50],
        "invoice_paid": [0, 70],
    }[basis]


def test_payments_are_shared_by_products_and_count_from_the_first_sale() -> None:
    """60 by three equal rows; what came in February belongs to the cohort of March, 50 for the open deal to April."""
    marts = marts_of(PAID, revenue_basis="payment")
    february = [row for row in marts["product_performance"] if row["period_month"] == FEBRUARY]
    assert {row["product_key"]: row["revenue"] for row in february} == {1: 20, 2: 20, 3: 20}
    (cohort,) = marts["client_cohort"]
    assert (cohort["cohort_month"], cohort["revenue"]) == (MARCH, 60)
    (client,) = [row for row in marts["client_abc"] if row["as_of_month"] == APRIL]
    assert (client["revenue"], client["deals_won"], client["recency_days"]) == (150, 1, 31)
    (client,) = [row for row in marts["client_abc"] if row["as_of_month"] == FEBRUARY]
    assert (client["revenue"], client["deals_won"], client["recency_days"]) == (60, 0, 0)


@pytest.mark.parametrize(
    ("settings", "minutes"),
    [({}, 3900.0), ({"response_clock": "working"}, 120.0), ({"first_response_requires_connect": True}, 0.0)],
)
def test_a_response_by_the_clock_by_working_hours_and_by_a_talk(settings: Row, minutes: float) -> None:
    """Asked on Friday at 17:00, called in vain on Monday at 10:00; the card of that call is no talk."""
    card = {"ID": "5", "TYPE_ID": "2", "DIRECTION": "2", "COMPLETED": "Y", "RESPONSIBLE_ID": "7"}
    card |= {"OWNER_TYPE_ID": "1", "OWNER_ID": "1", "START_TIME": moscow("09.03", "10:00")}
    truth = {
        "leads": [lead(1, moscow("06.03", "17:00"))],
        "calls": [call(moscow("09.03", "10:00"), "304")],
        "activities": [card],
    }
    (row,) = marts_of(truth, **settings)["lead_statistics"]
    assert row["first_response_minutes_sum"] == minutes


def test_a_holiday_is_no_working_time() -> None:
    truth = {"leads": [lead(1, moscow("06.03", "17:00"))], "calls": [call(moscow("10.03", "10:00"))]}
    holiday = [{"date": "2026-03-09", "is_workday": "0"}]
    (row,) = marts_of(truth, holiday, response_clock="working")["lead_statistics"]
    assert row["first_response_minutes_sum"] == 120.0


def test_requests_of_a_portal_without_leads() -> None:
    """Deals without a lead are requests; they have led to themselves."""
    deals = [deal(1, 10, "01.03", "10.03", LEAD_ID="5"), deal(2, 10, "02.03", "11.03"), deal(3, 10, "03.03")]
    truth = {"deals": deals, "leads": [lead(5, moscow("01.03"))]}
    counts = ("leads", "leads_qualified", "leads_with_deal", "leads_with_won")
    told = {}
    for mode in ("leads", "requests"):
        rows = marts_of(truth, lead_mode=mode)["channel_roi"]
        chosen = [row for row in rows if (row["attribution_model"], row["date_basis"]) == ("last_touch", "cohort")]
        told[mode] = tuple(sum(row[count] for row in chosen) for count in counts)
    assert told == {"leads": (1, 0, 1, 1), "requests": (3, 2, 3, 2)}


def test_a_status_once_reached_qualifies() -> None:
    history = [{"ID": "1", "OWNER_ID": "1", "STATUS_ID": "GOOD", "CREATED_TIME": moscow("02.03")}]
    truth = {"leads": [lead(1, moscow("01.03"))], "lead_stage_history": history}
    assert [
        sum(row["leads_qualified"] for row in marts_of(truth, qualified_lead_status_ids=ids)["lead_statistics"])
        for ids in ((), ("GOOD",), ("OTHER",))
    ] == [0, 1, 0]


def test_dates_of_cards() -> None:
    truth = {"deals": [deal(1, 100, "01.02", "10.03", CLOSEDATE="2026-02-20T03:00:00+03:00")]}
    assert by_month(marts_of(truth)["sales_dynamics"], "revenue", "date_day") == {MARCH: 100}
    by_card = marts_of(truth, close_date_source="closedate")
    assert by_month(by_card["sales_dynamics"], "revenue", "date_day") == {FEBRUARY: 100}


@pytest.mark.parametrize(
    ("settings", "key"),
    [({}, "C4"), ({"client_priority": "contact_first"}, "P1"), ({"rollup_contact_to_company": True}, "C4")],
)
def test_clients(settings: Row, key: str) -> None:
    """A deal of a company and a contact, and one of the contact alone, who works for company 9."""
    deals = [deal(1, 100, "01.02", COMPANY_ID="4"), deal(2, 100, "01.02")]
    contacts = [{"ID": "1", "COMPANY_ID": "9"}]
    rows = marts_of({"deals": deals, "contacts": contacts}, **settings)["deal_journey"]
    alone = "C9" if "rollup_contact_to_company" in settings else "P1"
    assert [row["client_key"] for row in rows] == [key, alone]


def test_what_is_left_out() -> None:
    deals = [
        deal(1, 1, "01.02"),
        deal(2, 1, "01.02", CATEGORY_ID="4"),
        deal(3, 1, "01.02", ASSIGNED_BY_ID="8"),
        deal(4, 1, "01.02", TITLE="Это ТЕСТ"),
    ]
    marts = marts_of({"deals": deals}, excluded_category_ids=(4,), excluded_user_ids=(8,), test_title_regex="тест")
    assert [row["deal_id"] for row in marts["deal_journey"]] == [1]


def test_a_rate_stands_for_unknown_costs() -> None:
    """60 % of 100 are cost; then clients can be ranked by profit."""
    truth = {"deals": [deal(1, 100, "01.02", "10.03")]}
    assert [row["gross_profit"] for row in marts_of(truth)["client_rating"]] == [None]
    marts = marts_of(truth, default_cost_rate=Decimal("0.6"), abc_basis="gross_profit")
    assert [row["gross_profit"] for row in marts["client_rating"]] == [Decimal(40)]
    assert {row["basis_value"] for row in marts["client_abc"]} == {Decimal(40)}


BANK = [
    {"date": "2026-03-13", "char_code": "USD", "nominal": 1, "value": "80,0000"},
    {"date": "2026-03-13", "char_code": "KZT", "nominal": 100, "value": "16,0000"},
    {"date": "2026-02-20", "char_code": "EUR", "nominal": 1, "value": "90,0000"},
]


@pytest.mark.parametrize(
    ("reporting_currency", "source", "amounts"),
    [
        # Friday's rates hold on Sunday, the portal's of that day only for the euro, told 23 days before
        ("RUB", "cbr", {"USD": 8000, "KZT": 16, "EUR": 9500, "RUB": 100}),
        # by the rouble: 0.16 / 80, 1 / 80; on Sunday both of the portal's, 95 / 70
        ("USD", "cbr", {"USD": 100, "KZT": "0.20", "EUR": "135.71", "RUB": "1.25"}),
        ("RUB", "portal", {"USD": 7000, "KZT": 17, "EUR": 9500, "RUB": 100}),
    ],
)
def test_rates_of_the_bank_win_over_those_of_the_portal(
    reporting_currency: str, source: str, amounts: dict[str, Any]
) -> None:
    sunday = datetime.fromisoformat(moscow("15.03"))
    seen = [
        {"CURRENCY": code, "AMOUNT_CNT": count, "AMOUNT": amount, "BASE": "N"}
        for code, count, amount in (("RUB", "1", "1"), ("USD", "1", "70"), ("EUR", "1", "95"), ("KZT", "100", "17"))
    ]
    deals = [deal(number, 100, "01.02", "15.03", CURRENCY_ID=code) for number, code in enumerate(amounts, start=1)]
    marts = calculate(
        {"deals": deals, "currencies": seen, "cbr_rates": BANK},
        ad_spend=[],
        sales_plan=[],
        as_of=sunday,
        reporting_currency=reporting_currency,
        settings=Settings(fx_source=source),
    )
    found = dict(zip(amounts, (row["amount_rc"] for row in marts["deal_journey"]), strict=True))
    assert found == {code: Decimal(amount) for code, amount in amounts.items()}
