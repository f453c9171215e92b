"""`docs/metrics.md`: current, whole, and right about where a table comes from."""

import re

import pytest

from bi.dictionary import Dataset, load_dictionary
from bi.metrics import PAGE, origin, page


@pytest.fixture(scope="module")
def text() -> str:
    return PAGE.read_text(encoding="utf-8")


@pytest.fixture(scope="module")
def dictionary() -> dict[str, Dataset]:
    return load_dictionary()


def test_the_page_is_what_the_dictionary_makes(text: str) -> None:
    assert text == page(), "run `python -m bi.metrics`"


def test_every_table_column_and_metric_is_told_under_its_own_heading(text: str, dictionary: dict[str, Dataset]) -> None:
    parts = dict(re.findall(r'^<a id="(\w+)"></a>\n(.*?)(?=^<a id=|\Z)', text, re.DOTALL | re.MULTILINE))
    assert parts.keys() == dictionary.keys()
    for name, dataset in dictionary.items():
        rows = re.findall(r"^\| (?:[^|]+ \| )?`(\w+)` \| ([^|]*) \|", parts[name], re.MULTILINE)
        assert {column.name for column in dataset.columns} <= {row[0] for row in rows}
        assert {metric.name for metric in dataset.metrics} <= {row[0] for row in rows}
        assert ("Выберите одно значение" in parts[name]) == bool(dataset.pick_one)


def test_every_link_leads_somewhere(text: str) -> None:
    anchors = set(re.findall(r'<a id="(\w+)">', text))
    assert set(re.findall(r"\]\(#(\w+)\)", text)) == anchors


def test_what_does_not_add_up_carries_no_sign_of_a_sum(text: str) -> None:
    """A reader who sums a column must be able to trust the sign."""
    signed = set(re.findall(r"^\| `(\w+)` \|[^|]*\|[^|]*\| Σ \|", text, re.MULTILINE))
    assert {"revenue", "deals_entered", "calls_missed", "stay_hours_sum"} <= signed
    assert not [name for name in signed if re.search(r"(_rate|_median|_avg|_position|_key|_id|_num|^rank_)", name)]
    assert not signed & {"hour", "month_number", "unique_numbers", "clients_entered", "period_month", "win_probability"}


@pytest.mark.parametrize(
    ("table", "parents", "rules"),
    [
        # its own SQL
        ("client_retention", {"fct_deals"}, {"churn_inactivity_days"}),
        # what a macro reads; the vars of invoices, payments and deals are told there
        (
            "unit_economics",
            {"fct_ad_spend", "fct_deals", "fct_invoices", "fct_payments"},
            set(),
        ),
        # its own, beside those of a mart that it reads
        (
            "client_rating",
            {
                "client_abc",
                "dim_client",
                "dim_product",
                "fct_deal_products",
                "fct_deals",
            },
            {"regular_min_won"},
        ),
        ("fct_time_entries", {"fct_tasks"}, set()),
        ("fct_tasks", set(), {"excluded_user_ids", "test_title_regex"}),
        # the currency and the zone are everybody's
        ("fx_rates_daily", set(), {"fx_source"}),
    ],
)
def test_a_table_tells_what_it_is_made_from(
    table: str, parents: set[str], rules: set[str], dictionary: dict[str, Dataset]
) -> None:
    assert origin(table, frozenset(dictionary)) == (parents, rules)
