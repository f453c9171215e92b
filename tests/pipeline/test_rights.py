"""Who sees which rows: a user of one department tries to see more, on a real server; and what publishes change."""

import json
import re
from collections.abc import Iterator, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import psycopg
import pytest
from pipeline.small_company import SCRIPT, SECRETS, TABLES
from pipeline.small_server import admin_url, execute, fill, reachable_folder, read, run, running_server
from typer.testing import CliRunner

from orchestration.bi import bi_app, data_source_file
from warehouse import publish as publishing
from warehouse.errors import PostgresError
from warehouse.postgres import EmbeddedPostgres, ExternalPostgres
from warehouse.rights import RestrictedUser, grant, restricted_users, revoke

SEEN = [(1, 10), (2, 10), (3, 11), (4, 11)]  # deal, manager: what the sales department has


@pytest.fixture(scope="module")
def folder() -> Iterator[Path]:
    with reachable_folder() as path:
        yield path


@pytest.fixture(scope="module")
def server(folder: Path) -> Iterator[EmbeddedPostgres]:
    """A server with the small company published once; tests that publish again put it back."""
    with running_server(folder) as running:
        fill(folder / "crm.duckdb", SCRIPT)
        run(folder / "crm.duckdb", running, TABLES)
        execute(running, "create view analyst.titles as select title from marts.fct_deals", "bi_author")
        yield running


@pytest.fixture(scope="module")
def warehouse(folder: Path, server: EmbeddedPostgres) -> Path:
    return folder / "crm.duckdb"


@pytest.fixture(scope="module")
def head(server: EmbeddedPostgres) -> str:
    """URL of a user who heads the sales department."""
    url = grant(server, "i.ivanov@north", ["Отдел продаж"]).url
    assert url is not None
    return url


def ask(url: str, *statements: str) -> str:
    """Run statements as one session would; everything that came back: rows, notices, errors with all their parts."""
    heard: list[str] = []

    def listen(notice: psycopg.errors.Diagnostic) -> None:
        heard.append(str(notice.message_primary))

    with psycopg.connect(url, autocommit=True) as con:
        con.add_notice_handler(listen)
        con.execute("set default_transaction_read_only = off")
        for statement in statements:
            try:
                if statement.startswith("copy"):
                    with con.cursor().copy(statement.encode()) as copy:
                        heard += [bytes(data).decode() for data in copy]
                    continue
                cursor = con.execute(statement.encode())
                if cursor.description:
                    heard += [str(row) for row in cursor.fetchall()]
            except psycopg.Error as error:
                parts = (getattr(error.diag, name) for name in ("message_primary", "message_detail", "context"))
                heard += [f"ERROR {error.sqlstate} {type(error).__name__}", *map(str, parts)]
    return "\n".join(heard)


def secrets_in(heard: str) -> list[str]:
    return [line for line in heard.splitlines() if any(secret in line.casefold() for secret in SECRETS)]


def managers_deals(url: str) -> list[tuple[Any, ...]]:
    with psycopg.connect(url) as con:
        return con.execute("select deal_id, manager_key from marts.fct_deals order by 1").fetchall()


# what he sees


def test_a_head_sees_his_department_and_those_below(server: EmbeddedPostgres, head: str) -> None:
    """Each kind of table: by manager, by department, shared, without either, with columns that tell of others."""
    assert managers_deals(head) == SEEN
    with psycopg.connect(head) as con:
        assert con.execute("select manager_key, full_name from dim_manager order by 1").fetchall() == [
            (10, "Орлова Анна"),
            (11, "Белов Иван"),
        ]
        assert con.execute("select * from department_plan order by 1").fetchall() == [(2, 1000), (3, 400)]
        assert con.execute("select count(*) from dim_department").fetchone() == (5,)
        assert con.execute("select manager_key, revenue from manager_performance order by 1").fetchall() == [
            (10, 350),
            (11, 50),
        ]
        assert con.execute("select run_id from publish_info").fetchone() == ("r1",)
        assert con.execute(
            "select table_name from information_schema.tables where table_schema = 'marts' order by 1"
        ).fetchall() == [
            ("bridge_department",),
            ("department_plan",),
            ("dim_channel",),
            ("dim_department",),
            ("dim_manager",),
            ("fct_calls",),
            ("fct_deals",),
            ("manager_performance",),
            ("publish_info",),
        ]
        assert con.execute("show statement_timeout").fetchone() == ("2min",)
        assert con.execute("show default_transaction_isolation").fetchone() == ("repeatable read",)
    assert read(server, "show statement_timeout") == [("2min",)]


def test_others_see_everything(server: EmbeddedPostgres, head: str) -> None:
    """Rights by department must not take a row from those who had all of them."""
    for role in ("bi_reader", "bi_author"):
        assert read(server, "select count(*), sum(amount_rc)::int from marts.fct_deals", role) == [(7, 2331726)]
        assert read(server, "select count(*) from marts.dim_manager", role) == [(5,)]
        assert read(server, "select max(rank_revenue) from marts.manager_performance", role) == [(3,)]
    assert read(server, "select count(*) from analyst.titles") == [(7,)]


# ways around it: each shows the secrets to the owner of the marts, and none to the user

TITLES = "select title from marts.fct_deals"
READING: Sequence[tuple[str, ...]] = (
    (TITLES,),
    ("select string_agg(title, ',') from marts.fct_deals",),
    ("select * from marts.fct_deals where title like 'Тай%'",),
    ("select (select title from marts.fct_deals where manager_key = 12)",),
    ("select m.full_name from marts.dim_channel left join marts.dim_manager as m on true",),
    ("select to_json(d) from marts.fct_deals as d",),
    ("select title from marts.fct_deals where ctid = '(0,5)'",),
    ("select title from marts.fct_deals tablesample system (100)",),
    ("table marts.department_plan",),
    ("copy (select title from marts.fct_deals) to stdout",),
    ("copy marts.fct_deals to stdout",),
    # functions that run a query of their own
    (f"select * from ts_stat('select to_tsvector(''simple'', title) from ({TITLES}) as t')",),
    ("do $$ begin raise notice '%', (select string_agg(title, ',') from marts.fct_deals); end $$",),
    # the message of a failure quotes the value
    ("select title::int from marts.fct_deals where manager_key = 12",),
    ("select 1 from marts.fct_deals where deal_id = 5 and title::date > now()",),
    ("select 1 from marts.fct_deals where manager_key in (0, 12) and (title || chr(1))::regclass is null",),
    ("select full_name::inet from marts.dim_manager where manager_key = 13",),
    # a plan that was made before, and cursors
    (f"prepare p as {TITLES} where manager_key = $1::bigint", "execute p(12)"),
    ("begin", f"declare c scroll cursor for {TITLES}", "fetch all from c", "fetch backward 3 from c", "commit"),
    ("begin", f"declare c cursor with hold for {TITLES}", "commit", "fetch all from c"),
    # samples that PostgreSQL keeps for its planner
    ("select most_common_vals, histogram_bounds from pg_stats where tablename = 'fct_deals'",),
)


@pytest.mark.parametrize("attempt", READING, ids=lambda attempt: attempt[-1][:60])
def test_no_way_of_reading_shows_a_hidden_row(attempt: Sequence[str], server: EmbeddedPostgres, head: str) -> None:
    """The same statements as the owner prove that each attempt would show something."""
    assert secrets_in(ask(server.publisher_url(), *attempt))
    assert secrets_in(ask(head, *attempt)) == []


def test_a_failure_tells_nothing_by_happening(server: EmbeddedPostgres, head: str) -> None:
    """A division by zero where a hidden amount equals a guess answers the guess."""
    guess = "select count(*) from marts.fct_deals where 1 / (amount_rc - {}) > 0 and manager_key = {}"
    assert "DivisionByZero" in ask(server.url(), guess.format(777012, 12))
    assert "DivisionByZero" in ask(head, guess.format(300, 11))
    assert ask(head, guess.format(777012, 12)) == "(0,)"
    cast = "select count(*) from marts.fct_deals where cast(title as integer) = 1 and deal_id = {}"
    assert "InvalidTextRepresentation" in ask(head, cast.format(1))
    assert ask(head, cast.format(5)) == "(0,)"


PRETENDING: Sequence[str] = (
    "set role bi_restricted",
    "set role none",
    "reset session authorization",
    "select set_config('role', 'bi_restricted', false)",
    "set search_path = pg_temp, marts",
    "set session_replication_role = replica",
    "set row_security = on",
    "set row_security = off",
    "set marts_rights.user_name = 'postgres'",
    "select set_config('session_authorization', 'marts_owner', false)",
    "set role marts_owner",
    "set role bi_reader",
    "set session authorization marts_owner",
)


@pytest.mark.parametrize("pretence", PRETENDING)
def test_nobody_becomes_somebody_else(pretence: str, head: str) -> None:
    """Rows are chosen by the user who logged in, whatever a session says afterwards."""
    counted = ask(head, pretence, "select count(*) from marts.fct_deals")
    assert counted.endswith("(4,)") or "row-level security policy" in counted


REFUSED: Sequence[str] = (
    # other schemas, tables and columns
    "select * from marts_rights.scopes",
    "select marts_rights.my_managers()",
    "insert into marts_rights.scopes values ('i.ivanov@north', 1)",
    "select * from marts_publish.tables",
    "select * from analyst.titles",
    "select * from marts.channel_roi",
    "select rank_revenue from marts.manager_performance",
    "select * from marts.manager_performance",
    "select manager_key from marts.manager_performance order by rank_revenue",
    "select p from marts.manager_performance as p",
    "select count(*) from marts.manager_performance group by rank_revenue",
    "select * from pg_statistic",
    "select * from pg_authid",
    # objects of one's own
    "create schema mine",
    "create view marts.mine as select 1",
    "create view analyst.mine as select 1",
    "create temp table mine (x int)",
    "create temp view mine as select * from marts.fct_deals",
    "create function marts.leak(text) returns boolean language sql as 'select true'",
    "create function pg_temp.leak(text) returns boolean language sql as 'select true'",
    "create operator marts.<<< (leftarg = text, rightarg = text, function = texteq)",
    "create table public.mine (deal bigint references marts.fct_deals)",
    "create extension dblink",
    "create server elsewhere foreign data wrapper postgres_fdw",
    "create publication p for table marts.fct_deals",
    "create role mine",
    # the marts and their policies
    "insert into marts.fct_deals (deal_id) values (1)",
    "update marts.fct_deals set manager_key = 10",
    "delete from marts.dim_manager",
    "truncate marts.fct_deals",
    "select * from marts.fct_deals for update",
    "do $$ begin execute 'lock table marts.fct_deals in exclusive mode'; end $$",
    "alter table marts.fct_deals disable row level security",
    "drop policy rows_by_manager_key on marts.fct_deals",
    "create policy mine on marts.fct_deals using (true)",
    "create trigger t after insert on marts.fct_deals execute function suppress_redundant_updates_trigger()",
    "create index on marts.fct_deals (title)",
    "create statistics marts.s on title, manager_key from marts.fct_deals",
    "grant select on marts.channel_roi to bi_restricted",
    "alter role bi_restricted bypassrls",
    'alter role "i.ivanov@north" superuser',
    "grant marts_owner to bi_restricted",
    "alter function marts_rights.my_managers() owner to bi_restricted",
    # the server's files and programs
    "copy marts.fct_deals to '/tmp/x'",
    "copy (select 1) to program 'cat'",
    "create table marts.x (t text)",
    "select pg_read_file('postgresql.conf')",
    "select pg_ls_dir('.')",
    "select lo_import('/etc/passwd')",
    "select lo_export(1, '/tmp/x')",
    "select lo_create(0)",
    "select lo_from_bytea(0, 'x')",
    "alter system set row_security = off",
    "load 'auto_explain'",
    "select pg_reload_conf()",
)


@pytest.mark.parametrize("attempt", REFUSED)
def test_what_a_restricted_user_may_not_do(attempt: str, head: str) -> None:
    """Refused by rights (or, without a right even to the name, as unknown), not by a setting."""
    heard = ask(head, attempt)
    assert re.match(r"ERROR (42501 InsufficientPrivilege|0A000 FeatureNotSupported|42704 UndefinedObject)", heard), (
        heard
    )
    assert secrets_in(heard) == []


def test_no_module_reaches_out_of_the_database(server: EmbeddedPostgres) -> None:
    """dblink or a foreign server could come back as somebody else."""
    assert read(server, "select extname from pg_extension") == [("plpgsql",)]
    assert read(server, "select count(*) from pg_foreign_server") == [(0,)]


def test_functions_and_operators_of_his_own_see_no_hidden_row(server: EmbeddedPostgres, head: str) -> None:
    """Where everybody may make temporary things: even the cheapest function is called after the policy."""
    with psycopg.connect(server.administrator_url(), autocommit=True) as con:
        con.execute("grant temp on database marts to bi_restricted, marts_owner")
    peeking = (
        "create function pg_temp.leak(text) returns boolean language plpgsql cost 0.0000001 as "
        "$$ begin raise notice 'peeked: %', $1; return true; end $$",
        "create function pg_temp.spy(text, text) returns boolean language plpgsql cost 0.0000001 as "
        "$$ begin raise notice 'spied: %', $1; return true; end $$",
        "create operator pg_temp.<<< (leftarg = text, rightarg = text, function = pg_temp.spy)",
        "create temp view peek as select title from marts.fct_deals where pg_temp.leak(title)",
        "select count(*) from peek",
        "select count(*) from marts.fct_deals where title operator(pg_temp.<<<) 'x'",
        "select count(*) from marts.fct_deals as d join marts.dim_manager as m on pg_temp.leak(m.full_name)",
    )
    try:
        assert len(secrets_in(ask(server.publisher_url(), *peeking))) > 5
        heard = ask(head, *peeking)
        assert "peeked: Поставка 1" in heard
        assert "spied: скидка_5" in heard
        assert secrets_in(heard) == []
        # not even a function of the same name in front of the policy's own
        shadow = (
            "create table pg_temp.dim_manager as select 12::bigint as manager_key, 2::bigint as department_key",
            "create function pg_temp.my_managers() returns setof bigint language sql as 'select 12::bigint'",
            "set search_path = pg_temp, marts",
            "select count(*) from marts.fct_deals",
        )
        assert ask(head, *shadow).endswith("(4,)")
    finally:
        with psycopg.connect(server.administrator_url(), autocommit=True) as con:
            con.execute("revoke temp on database marts from bi_restricted, marts_owner")


def test_estimates_do_not_count_a_colleagues_rows(server: EmbeddedPostgres, head: str) -> None:
    """EXPLAIN answers from samples of all rows; 2000 calls are manager 12's, none are of 99."""

    def estimate(manager: int) -> str:
        plan = ask(head, f"explain (format json) select * from marts.fct_calls where manager_key = {manager}")
        found = re.search(r"'Plan Rows': (\d+)", plan)
        assert found is not None, plan
        return found[1]

    assert estimate(12) == estimate(99) == estimate(10)
    statistics = "select attname from pg_stats where schemaname = 'marts' and tablename = 'fct_calls'"
    assert read(server, statistics, "marts_owner") == [("call_id",)]
    assert ask(head, statistics) == ""


def test_the_list_of_grants_is_hidden(head: str) -> None:
    """Its place may be known, its rows not."""
    heard = ask(
        head,
        "select has_any_column_privilege(oid, 'select') from pg_class where relname = 'scopes'",
        "select has_schema_privilege('marts_rights', 'usage'), has_schema_privilege('analyst', 'usage')",
        "select has_column_privilege('marts.manager_performance', 'rank_revenue', 'select')",
        "select count(*) from pg_stats where schemaname = 'marts_rights'",
        "select shobj_description(oid, 'pg_authid') from pg_roles where rolname = current_user",
        "select current_setting('is_superuser')",
    )
    assert heard.splitlines() == ["(False,)", "(False, False)", "(False,)", "(0,)", "(None,)", "('off',)"]


def test_references_show_keys_and_hold_nothing(server: EmbeddedPostgres, warehouse: Path) -> None:
    """A foreign key of a reader's own table would stop the next publish from deleting rows."""
    execute(server, "create schema mine; grant all on schema mine to bi_reader", "marts_owner")
    with psycopg.connect(server.administrator_url(), autocommit=True) as con:
        con.execute("grant create on schema mine to bi_restricted")
    for statement in (
        "create table mine.t (deal_id bigint references marts.fct_deals)",
        "create table mine.t (manager_key bigint references marts.dim_manager)",
        "create table mine.t (a bigint, b bigint, foreign key (a, b) references marts.bridge_department)",
    ):
        assert "InsufficientPrivilege" in ask(server.url(), "set default_transaction_read_only = off", statement)
    execute(server, "drop schema mine", "marts_owner")


# granting


def test_departments_are_named_in_any_way(server: EmbeddedPostgres) -> None:
    """By name, path or number; a second grant changes what is seen and keeps the password."""
    first = grant(server, "petrov", [" отдел ПРОДАЖ ", "4"])
    assert first.departments == ("Компания / Отдел продаж", "Компания / Маркетинг")
    assert first.url is not None
    assert [deal for deal, _ in managers_deals(first.url)] == [1, 2, 3, 4, 5]
    again = grant(server, "petrov", ["Компания / Отдел продаж / Группа А"])
    assert again.url is None
    assert managers_deals(first.url) == [(3, 11), (4, 11)]
    assert RestrictedUser("petrov", ("Компания / Отдел продаж / Группа А",), 1, 1) in restricted_users(server)
    grant(server, "petrov", ["Компания"])
    assert [deal for deal, _ in managers_deals(first.url)] == [
        1,
        2,
        3,
        4,
        5,
    ]  # nobody's are nobody's
    revoke(server, "petrov")


@pytest.mark.parametrize(
    ("user", "departments", "message"),
    [
        ("petrov", ["Отдел продажи"], "`Отдел продажи` is no department of the published marts:\n- 1: Компания\n"),
        ("petrov", ["0"], "`0` is no department"),
        ("petrov", ["Не определено"], "`Не определено` is no department"),
        ("petrov", [""], "`` is no department"),
        ("bi_reader", ["2"], "cannot be the name of a user"),
        ("Иванов", ["2"], "cannot be the name of a user"),
        ("pg_monitor", ["2"], "cannot be the name of a user"),
        ('a"; drop role bi_reader; --', ["2"], "cannot be the name of a user"),
        ("superset", ["2"], "is not one of the restricted users"),
        ("postgres", ["2"], "is not one of the restricted users"),
    ],
)
def test_a_wrong_grant_changes_nothing(
    user: str, departments: list[str], message: str, server: EmbeddedPostgres, head: str
) -> None:
    """The message says what is meant and what there is."""
    server.app_database("superset")
    with pytest.raises(PostgresError) as caught:
        grant(server, user, departments)
    assert message in str(caught.value)
    assert [one.name for one in restricted_users(server)] == ["i.ivanov@north"]


def test_two_departments_of_one_name(server: EmbeddedPostgres, warehouse: Path) -> None:
    """Removed ones do not count; of two living ones the number decides."""
    row = "insert into core.dim_department values (6, 'Группа А', 4, 'Компания / Маркетинг / Группа А', {})"
    fill(warehouse, row.format("true"))
    run(warehouse, server, TABLES)
    assert grant(server, "petrov", ["Группа А"]).departments == ("Компания / Отдел продаж / Группа А",)
    fill(warehouse, "update core.dim_department set is_deleted = false")
    run(warehouse, server, TABLES)
    with pytest.raises(PostgresError, match=r"several departments(.|\n)*- 6: .*\n- 3: "):
        grant(server, "petrov", ["Группа А"])
    assert grant(server, "petrov", ["6"]).departments == ("Компания / Маркетинг / Группа А",)
    revoke(server, "petrov")
    fill(warehouse, "delete from core.dim_department where department_key = 6")
    run(warehouse, server, TABLES)


def test_who_is_revoked_is_out_at_once(server: EmbeddedPostgres) -> None:
    """Also the session that he has open; nothing of him waits for the next user of that name."""
    url = grant(server, "petrov", ["4"]).url
    assert url is not None
    with psycopg.connect(url) as con:
        con.execute("select count(*) from marts.fct_deals")
        revoke(server, "petrov")
        with pytest.raises(psycopg.OperationalError):
            con.execute("select count(*) from marts.fct_deals")
    with pytest.raises(psycopg.OperationalError, match="password authentication failed"):
        psycopg.connect(url)
    assert read(server, "select count(*) from marts_rights.scopes where user_name = 'petrov'", "marts_owner") == [(0,)]
    with pytest.raises(PostgresError, match="There is no restricted user petrov"):
        revoke(server, "petrov")
    again = grant(server, "petrov", ["3"]).url
    assert again is not None
    assert managers_deals(again) == [(3, 11), (4, 11)]
    revoke(server, "petrov")


def test_the_password_is_nowhere_but_in_the_answer(server: EmbeddedPostgres) -> None:
    """Not in the server's log, whatever it logs, nor beside the other passwords."""
    execute(server, "select 1", "bi_reader")
    with psycopg.connect(admin_url(server), autocommit=True) as con:
        con.execute("alter system set log_statement = 'all'")
        con.execute("select pg_reload_conf()")
        url = grant(server, "petrov", ["4"]).url
        con.execute("alter system reset log_statement")
        con.execute("select pg_reload_conf()")
    assert url is not None
    password = url.split(":")[2].split("@")[0]
    assert len(password) >= 32
    assert "petrov" in server.log.read_text()
    assert password not in server.log.read_text()
    assert password not in (server.folder / "credentials.json").read_text()
    revoke(server, "petrov")


def test_commands(server: EmbeddedPostgres, head: str, monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    """`b24 bi grant`, `users`, `revoke`, `powerbi`."""
    monkeypatch.setenv("MARTS_POSTGRES_URL", server.administrator_url())
    monkeypatch.setenv("COLUMNS", "200")

    def b24(*arguments: str) -> str:
        done = CliRunner().invoke(bi_app, arguments, catch_exceptions=False)
        assert done.exit_code == 0
        return done.output

    granted = b24("grant", "--user", "petrov", "--departments", "Маркетинг, 3")
    [url] = re.findall(r"^postgresql://petrov:\S+$", granted, re.MULTILINE)
    assert [deal for deal, _ in managers_deals(url)] == [3, 4, 5]
    assert "postgresql://" not in b24("grant", "--user", "petrov", "--departments", "3")
    listed = b24("users")
    assert re.search(r"petrov .*Компания / Отдел продаж / Группа А .*1 .*1", listed)
    assert re.search(r"i.ivanov@north .*Компания / Отдел продаж .*2 .*2", listed)
    assert "petrov is gone" in b24("revoke", "--user", "petrov")
    assert "petrov" not in b24("users")

    b24("powerbi", "--file", str(tmp_path / "marts.pbids"))
    written = json.loads((tmp_path / "marts.pbids").read_text())
    assert written == data_source_file(server.address)
    assert written == {
        "version": "0.1",
        "connections": [
            {
                "details": {
                    "protocol": "postgresql",
                    "address": {"server": server.address.removesuffix("/marts"), "database": "marts"},
                },
                "options": {},
            }
        ],
    }


# what publishes change


def test_rows_follow_people_and_departments(server: EmbeddedPostgres, warehouse: Path, head: str) -> None:
    """Who changed the department, a department that moved: seen with the publish that brings it, without a grant."""
    fill(warehouse, "update core.dim_manager set department_key = 3 where manager_key = 12")
    run(warehouse, server, TABLES)
    assert [deal for deal, _ in managers_deals(head)] == [1, 2, 3, 4, 5]
    fill(
        warehouse,
        "update core.dim_manager set department_key = 4 where manager_key = 12;"
        "delete from core.bridge_department where ancestor_key = 2 and descendant_key = 3",
    )
    run(warehouse, server, TABLES)
    assert managers_deals(head) == [(1, 10), (2, 10)]
    fill(warehouse, "insert into core.bridge_department values (2, 3, 1)")
    run(warehouse, server, TABLES)
    assert managers_deals(head) == SEEN


def test_new_and_changed_tables_are_divided_too(server: EmbeddedPostgres, warehouse: Path, head: str) -> None:
    """A new column, a key of another type and back, another column that leaks, a table that comes and goes."""
    by_name = {spec.name: spec for spec in TABLES}

    def published(**changed: Any) -> None:
        run(warehouse, server, [changed.get(name, spec) for name, spec in by_name.items()], allow_shrink=True)

    fill(warehouse, "alter table core.fct_deals add column secret varchar; update core.fct_deals set secret = 'Тайна'")
    published(fct_deals=replace(by_name["fct_deals"], leaks=frozenset({"secret"})))
    assert managers_deals(head) == SEEN
    assert "InsufficientPrivilege" in ask(head, "select secret from marts.fct_deals")
    assert (
        ask(head, "select sum(deals) from (select count(title) as deals from marts.fct_deals) as t")
        == "(Decimal('4'),)"
    )

    fill(warehouse, "alter table core.fct_deals drop secret; alter table core.fct_deals alter manager_key type varchar")
    published()
    assert "InsufficientPrivilege" in ask(head, TITLES)  # no key that the rights know: nothing rather than all
    fill(warehouse, "alter table core.fct_deals alter manager_key type bigint")
    published()
    assert managers_deals(head) == SEEN

    published(channel_roi=replace(by_name["channel_roi"], shared=True), dim_manager=by_name["dim_manager"])
    assert ask(head, "select spend from marts.channel_roi") == "(777666,)"
    published()
    assert "InsufficientPrivilege" in ask(head, "select spend from marts.channel_roi")

    published(department_plan=replace(by_name["department_plan"], shared=True))
    assert len(secrets_in(ask(head, "table marts.department_plan"))) == 2
    published()
    assert secrets_in(ask(head, "table marts.department_plan")) == []


def test_marts_of_an_earlier_version_are_divided_by_the_next_publish(
    server: EmbeddedPostgres, warehouse: Path, head: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Tables, grants and statistics as they were left; a reader who holds one open gets the usual message."""
    execute(server, "drop schema marts_rights cascade", "marts_owner")
    for spec in TABLES:
        execute(server, f"alter table marts.{spec.name} disable row level security", "marts_owner")
        execute(server, f"revoke all on marts.{spec.name} from bi_restricted, bi_reader", "marts_owner")
        execute(server, f"grant select on marts.{spec.name} to bi_reader", "marts_owner")
    execute(server, "drop policy everybody on marts.fct_deals", "marts_owner")
    execute(server, "alter table marts.fct_calls alter manager_key set statistics -1", "marts_owner")
    execute(server, "analyze marts.fct_calls", "marts_owner")
    with pytest.raises(PostgresError, match="run `b24 publish`"):
        grant(server, "petrov", ["4"])
    assert "InsufficientPrivilege" in ask(head, TITLES)

    monkeypatch.setattr(publishing, "LOCK_TRIES", 1)
    monkeypatch.setattr(publishing, "LOCK_WAIT_S", 0.2)
    monkeypatch.setattr(publishing, "LOCK_PAUSE_S", 0.0)
    with psycopg.connect(server.url()) as idle:
        idle.execute("select count(*) from marts.fct_deals")
        with pytest.raises(Exception, match=r"marts\.fct_deals gets other columns or rights, and bi_reader"):
            run(warehouse, server, TABLES)
    run(warehouse, server, TABLES)
    assert managers_deals(head) == []
    assert grant(server, "i.ivanov@north", ["2"]).url is None
    assert managers_deals(head) == SEEN
    test_estimates_do_not_count_a_colleagues_rows(server, head)


def test_large_tables_get_an_index_once(
    server: EmbeddedPostgres, warehouse: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """On the period and on the manager, unless the primary key starts with it; small tables get none."""
    monkeypatch.setattr(publishing, "INDEXED_ROWS", 7)
    timed = [replace(spec, time="created_date") if spec.name == "fct_deals" else spec for spec in TABLES]
    run(warehouse, server, timed)
    run(warehouse, server, timed, "r1")
    assert read(
        server,
        "select indexname from pg_indexes where schemaname = 'marts' and indexname not like '%pkey' order by 1",
    ) == [("fct_calls_manager_key_idx",), ("fct_deals_created_date_idx",), ("fct_deals_manager_key_idx",)]


# a server of one's own


def test_a_server_where_we_may_not_make_roles(server: EmbeddedPostgres, warehouse: Path) -> None:
    """The message gives the administrator's two ways; either lets the same command succeed."""
    address = server.address.removesuffix("/marts")
    with psycopg.connect(admin_url(server), autocommit=True) as con:
        con.execute("create role company login password 'company-7c1'")
        con.execute("create database company owner company")
    target = ExternalPostgres(f"postgresql://company:company-7c1@{address}/company")
    run(warehouse, target, TABLES)
    with pytest.raises(PostgresError) as caught:
        grant(target, "sidorov", ["2"])
    assert f"may not make roles on {address}/company" in str(caught.value)
    assert "`alter role company createrole`" in str(caught.value)
    assert 'create role "sidorov" login in role bi_restricted' in str(caught.value)
    with psycopg.connect(admin_url(server), autocommit=True) as con:
        con.execute("create role sidorov login password 'sidorov-7c1' in role bi_restricted")
    assert grant(target, "sidorov", ["2"]).url is None
    assert managers_deals(f"postgresql://sidorov:sidorov-7c1@{address}/company") == SEEN

    with psycopg.connect(admin_url(server), autocommit=True) as con:
        con.execute("alter role company createrole")
        con.execute("grant bi_restricted to company with admin option")
    url = grant(target, "popov", ["3"]).url
    assert url is not None
    assert managers_deals(url) == [(3, 11), (4, 11)]
    assert [one.name for one in restricted_users(target)] == ["i.ivanov@north", "popov", "sidorov"]
    revoke(target, "popov")
    with psycopg.connect(admin_url(server), autocommit=True) as con:
        con.execute("drop role sidorov")
