"""The SQL that other BI tools send, on a real server, for one who reads everything and for one of one department."""

from collections.abc import Iterator
from dataclasses import dataclass
from datetime import datetime
from decimal import Decimal
from pathlib import Path
from typing import Any

import psycopg
import pytest
from pipeline.small_company import SCRIPT, TABLES
from pipeline.small_server import fill, reachable_folder, run, running_server

from warehouse.rights import grant


@dataclass(frozen=True)
class Readers:
    """URLs of the two."""

    reader: str
    head: str


@pytest.fixture(scope="module")
def readers() -> Iterator[Readers]:
    with reachable_folder() as folder, running_server(folder) as server:
        fill(folder / "crm.duckdb", SCRIPT)
        run(Path(folder / "crm.duckdb"), server, TABLES)
        url = grant(server, "head", ["Отдел продаж"]).url
        assert url is not None
        yield Readers(server.url(), url)


def answer(url: str, query: str, parameters: tuple[Any, ...] = ()) -> list[tuple[Any, ...]]:
    with psycopg.connect(url) as con:
        return con.execute(query.encode(), parameters).fetchall()


def both(readers: Readers, query: str, parameters: tuple[Any, ...] = ()) -> tuple[list[Any], list[Any]]:
    return answer(readers.reader, query, parameters), answer(readers.head, query, parameters)


JANUARY, FEBRUARY, MARCH = datetime(2026, 1, 1), datetime(2026, 2, 1), datetime(2026, 3, 1)

# DataLens: every column under an alias, dates and numbers cast, groups repeated as expressions


def test_measures_by_month(readers: Readers) -> None:
    """A line chart: truncated dates, sums as floats, a share by `sum(case …)`."""
    all_rows, own = both(
        readers,
        """
        SELECT
            date_trunc('month', CAST(t1.created_date AS TIMESTAMP)) AS res_0,
            CAST(sum(t1.amount_rc) AS DOUBLE PRECISION) AS res_1,
            count(DISTINCT t1.manager_key) AS res_2,
            CAST(sum(CASE WHEN t1.is_won = true THEN 1 ELSE 0 END) AS DOUBLE PRECISION)
                / nullif(CAST(count(*) AS DOUBLE PRECISION), 0) AS res_3
        FROM marts.fct_deals AS t1
        WHERE t1.created_date BETWEEN CAST('2026-01-01' AS DATE) AND CAST('2026-03-31' AS DATE)
        GROUP BY date_trunc('month', CAST(t1.created_date AS TIMESTAMP))
        ORDER BY res_0 ASC
        LIMIT 1000001
        """,
    )
    assert all_rows == [
        (JANUARY, 100.0, 1, 1.0),
        (FEBRUARY, 250.5 + 300 + 50 + 777012, 3, 0.75),
        (MARCH, 777013.0 + 777000, 2, 0.0),
    ]
    assert own == [(JANUARY, 100.0, 1, 1.0), (FEBRUARY, 600.5, 2, pytest.approx(2 / 3))]


def test_quantile_and_join(readers: Readers) -> None:
    """A dataset of two tables; the median is an ordered-set aggregate; a filter by several values."""
    all_rows, own = both(
        readers,
        """
        SELECT t2.name_ru AS res_0, percentile_disc(0.5) WITHIN GROUP (ORDER BY t1.amount_rc) AS res_1,
            min(t1.amount_rc) AS res_2, max(CAST(t1.amount_rc AS DOUBLE PRECISION)) AS res_3
        FROM marts.fct_deals AS t1
        LEFT OUTER JOIN marts.dim_channel AS t2 ON t1.channel_key = t2.channel_key
        WHERE t1.channel_key IN ('ads', 'site')
        GROUP BY t2.name_ru
        HAVING count(*) > 0
        ORDER BY res_0 ASC NULLS LAST
        """,
    )
    assert all_rows == [
        ("Реклама", Decimal("100.00"), Decimal("50.00"), 777013.0),
        ("Сайт", Decimal("777000.00"), Decimal("250.50"), 777012.0),
    ]
    assert own == [
        ("Реклама", Decimal("100.00"), Decimal("50.00"), 300.0),
        ("Сайт", Decimal("250.50"), Decimal("250.50"), 250.5),
    ]


@pytest.mark.parametrize(
    ("pattern", "found"), [("%0!%%", [3]), ("%!_5%", [4]), ("поставка%", [1, 2]), ("%тайна%", [5, 6, 7])]
)
def test_search_in_text(pattern: str, found: list[int], readers: Readers) -> None:
    """Signs of LIKE in what a person types are escaped; case is folded by lower()."""
    query = """
        SELECT t1.deal_id AS res_0 FROM marts.fct_deals AS t1
        WHERE lower(CAST(t1.title AS TEXT)) LIKE lower(%s) ESCAPE '!' GROUP BY t1.deal_id ORDER BY res_0
    """
    all_rows, own = both(readers, query, (pattern,))
    assert all_rows == [(deal,) for deal in found]
    assert own == [(deal,) for deal in found if deal < 5]


def test_server_side_cursor(readers: Readers) -> None:
    """Large answers are fetched in pieces through a named cursor, in the read-only transaction of the role."""
    for url, expected in ((readers.reader, [1, 2, 3, 4, 5, 6, 7]), (readers.head, [1, 2, 3, 4])):
        with psycopg.connect(url) as con, con.cursor(name="piecewise") as cursor:
            cursor.itersize = 2
            cursor.execute("SELECT t1.deal_id AS res_0 FROM marts.fct_deals AS t1 ORDER BY res_0 ASC")
            assert [row[0] for row in cursor] == expected


def test_values_for_a_selector_and_totals(readers: Readers) -> None:
    """A filter's list of values; a row of totals without groups; the number of rows; windows over aggregates."""
    people = "SELECT DISTINCT t1.full_name AS res_0 FROM marts.dim_manager AS t1 ORDER BY res_0 LIMIT 100"
    assert answer(readers.head, people) == [("Белов Иван",), ("Орлова Анна",)]
    totals = "SELECT CAST(sum(t1.amount_rc) AS DOUBLE PRECISION) AS res_0, count(*) AS res_1 FROM marts.fct_deals AS t1"
    assert both(readers, totals) == ([(700.5 + 777012 + 777013 + 777000, 7)], [(700.5, 4)])
    shares = """
        SELECT t1.manager_key AS res_0, sum(sum(t1.amount_rc)) OVER (ORDER BY t1.manager_key) AS res_1
        FROM marts.fct_deals AS t1 WHERE t1.manager_key IN (10, 11) GROUP BY t1.manager_key ORDER BY res_0
    """
    running = [(10, Decimal("350.50")), (11, Decimal("700.50"))]
    assert both(readers, shares) == (running, running)


# Power BI: what its connector reads of the catalogue before it shows a table, and the shape of a DirectQuery

SHARED = ["bridge_department", "dim_channel", "dim_department", "publish_info"]
OWN = ["department_plan", "dim_manager", "fct_calls", "fct_deals", "manager_performance"]
KEYS = {
    "bridge_department": ["ancestor_key", "descendant_key"],
    "channel_roi": ["channel_key"],
    "department_plan": ["department_key"],
    "dim_channel": ["channel_key"],
    "dim_department": ["department_key"],
    "dim_manager": ["manager_key"],
    "fct_calls": ["call_id"],
    "fct_deals": ["deal_id"],
    "manager_performance": ["period_month", "manager_key"],
    "publish_info": ["run_id"],
}


def test_tables_in_the_navigator(readers: Readers) -> None:
    """Everything that may be read, and no word of what may not."""
    query = """
        select TABLE_SCHEMA, TABLE_NAME, TABLE_TYPE from INFORMATION_SCHEMA.tables
        where TABLE_SCHEMA not in ('information_schema', 'pg_catalog') order by TABLE_SCHEMA, TABLE_NAME
    """
    all_rows, own = both(readers, query)
    assert all_rows == [("marts", name, "BASE TABLE") for name in sorted(KEYS)]
    assert own == [("marts", name, "BASE TABLE") for name in sorted(SHARED + OWN)]


def test_columns_with_types(readers: Readers) -> None:
    """In their order; a column that is not granted is not there."""
    query = """
        select COLUMN_NAME, ORDINAL_POSITION, IS_NULLABLE,
            case when (data_type like '%%unsigned%%') then DATA_TYPE || ' unsigned' else DATA_TYPE end as DATA_TYPE
        from INFORMATION_SCHEMA.columns where TABLE_SCHEMA = 'marts' and TABLE_NAME = %s
        order by TABLE_SCHEMA, TABLE_NAME, ORDINAL_POSITION
    """
    columns = [
        ("deal_id", 1, "NO", "bigint"),
        ("manager_key", 2, "YES", "bigint"),
        ("title", 3, "YES", "text"),
        ("amount_rc", 4, "YES", "numeric"),
        ("channel_key", 5, "YES", "text"),
        ("is_won", 6, "YES", "boolean"),
        ("created_date", 7, "YES", "date"),
        ("created_at", 8, "YES", "timestamp with time zone"),
    ]

    assert both(readers, query, ("fct_deals",)) == (columns, columns)
    all_rows, own = both(readers, query, ("manager_performance",))
    assert [row[0] for row in all_rows if row not in own] == ["rank_revenue"]


def test_primary_keys(readers: Readers) -> None:
    """Of every table, with the columns in the order of the key."""
    query = """
        select k.TABLE_NAME, k.COLUMN_NAME, k.ORDINAL_POSITION, i.CONSTRAINT_SCHEMA || '_' || i.CONSTRAINT_NAME
        from INFORMATION_SCHEMA.table_constraints as i
        inner join INFORMATION_SCHEMA.key_column_usage as k
            on i.CONSTRAINT_SCHEMA = k.CONSTRAINT_SCHEMA and i.CONSTRAINT_NAME = k.CONSTRAINT_NAME
            and i.TABLE_SCHEMA = k.TABLE_SCHEMA and i.TABLE_NAME = k.TABLE_NAME
        where k.TABLE_SCHEMA = 'marts' and i.CONSTRAINT_TYPE in ('PRIMARY KEY', 'UNIQUE')
        order by k.TABLE_NAME, k.ORDINAL_POSITION
    """

    def expected(names: list[str]) -> list[tuple[str, str, int, str]]:
        return [
            (name, column, place, f"marts_{name}_pkey")
            for name in sorted(names)
            for place, column in enumerate(KEYS[name], start=1)
        ]

    assert both(readers, query) == (expected(list(KEYS)), expected(SHARED + OWN))


def test_relations(readers: Readers) -> None:
    """There are no foreign keys: the query answers, with nothing, and Power BI guesses relations by column names."""
    query = """
        select pkcol.COLUMN_NAME, fkcol.TABLE_SCHEMA, fkcol.TABLE_NAME, fkcol.COLUMN_NAME, fkcol.ORDINAL_POSITION,
            'marts_' || fkcol.TABLE_NAME || '_' || 'fct_deals' || '_' || fkcon.CONSTRAINT_NAME as FK_NAME
        from (select distinct constraint_catalog, constraint_schema, unique_constraint_schema, constraint_name,
            unique_constraint_name from INFORMATION_SCHEMA.referential_constraints) as fkcon
        inner join INFORMATION_SCHEMA.key_column_usage as fkcol
            on fkcon.CONSTRAINT_SCHEMA = fkcol.CONSTRAINT_SCHEMA and fkcon.CONSTRAINT_NAME = fkcol.CONSTRAINT_NAME
        inner join INFORMATION_SCHEMA.key_column_usage as pkcol
            on fkcon.UNIQUE_CONSTRAINT_SCHEMA = pkcol.CONSTRAINT_SCHEMA
            and fkcon.UNIQUE_CONSTRAINT_NAME = pkcol.CONSTRAINT_NAME
        where pkcol.TABLE_SCHEMA = 'marts' and pkcol.TABLE_NAME = 'fct_deals'
            and pkcol.ORDINAL_POSITION = fkcol.ORDINAL_POSITION
        order by FK_NAME, fkcol.ORDINAL_POSITION
    """
    assert both(readers, query) == ([], [])


def test_a_direct_query(readers: Readers) -> None:
    """A visual: subqueries with quoted names, an inner join, a limit."""
    query = """
        select "_"."full_name", "_"."a0" from (
            select "rows"."full_name" as "full_name", sum("rows"."amount_rc") as "a0"
            from (
                select "$Outer"."amount_rc", "$Inner"."full_name" from (
                    select "_"."manager_key", "_"."amount_rc" from "marts"."fct_deals" "_"
                    where "_"."is_won" = true and "_"."is_won" is not null
                ) as "$Outer"
                left outer join "marts"."dim_manager" as "$Inner" on ("$Outer"."manager_key" = "$Inner"."manager_key")
            ) as "rows"
            group by "full_name"
        ) as "_"
        where not "_"."a0" is null order by "_"."a0" desc limit 1000001
    """
    own = [("Орлова Анна", Decimal("350.50")), ("Белов Иван", Decimal("50.00"))]
    assert both(readers, query) == ([("Тайнова Вера", Decimal("777012.00")), *own], own)


def test_server_version_and_session(readers: Readers) -> None:
    """What drivers ask and set while they connect."""
    for url in (readers.reader, readers.head):
        with psycopg.connect(url, autocommit=True) as con:
            con.execute("SET datestyle TO 'ISO'; SET client_encoding TO 'UTF8'; SET extra_float_digits = 3")
            assert con.execute("SELECT version() LIKE 'PostgreSQL%'").fetchone() == (True,)
            assert con.execute(
                "SELECT count(*) > 50 FROM pg_type AS t JOIN pg_namespace AS n ON n.oid = t.typnamespace"
            ).fetchone() == (True,)
            con.execute("DISCARD ALL")
            with pytest.raises(psycopg.errors.ReadOnlySqlTransaction):
                con.execute("CREATE TABLE marts.t (x int)")
