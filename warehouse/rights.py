"""Who sees which rows of the marts: a restricted user reads what belongs to his departments and those below them."""

import contextlib
import re
import secrets
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

import psycopg
from psycopg import sql

from warehouse.errors import PostgresError
from warehouse.postgres import (
    AUTHOR,
    MARTS,
    OWNER,
    READER,
    READER_SETTINGS,
    RESTRICTED,
    PublishTarget,
    connect,
    create_role,
    explain,
    role_exists,
    take_turn,
)

# Who was given which department; BI roles may use nothing of it but the two functions, and these only inside policies.
SCHEMA = "marts_rights"
KEYS = ("manager_key", "department_key")  # a table is divided by the first of them that it has
# Statistics of these columns would tell anybody, as EXPLAIN's estimates, how many rows a colleague has.
UNCOUNTED = ("manager_key", "manager_name", "department_key", "department_name")
NO_DEPARTMENT = 0
USER_NAME = r"[a-z_][a-z0-9_.@-]{0,62}"

# `session_user` cannot be changed by `set role`. The bodies are checked when they run: the tables may come later.
_FUNCTIONS = """
set local check_function_bodies = off;
create or replace function marts_rights.my_departments() returns setof bigint
language sql stable security definer set search_path = pg_catalog, pg_temp as $$
    select tree.descendant_key
    from marts_rights.scopes as mine
    join marts.bridge_department as tree on tree.ancestor_key = mine.department_key
    where mine.user_name = session_user and tree.descendant_key <> 0
$$;
create or replace function marts_rights.my_managers() returns setof bigint
language sql stable security definer set search_path = pg_catalog, pg_temp as $$
    select manager_key from marts.dim_manager
    where manager_key <> 0 and department_key in (select marts_rights.my_departments())
$$;
revoke all on all functions in schema marts_rights from public;
"""
_ROWS = {
    "manager_key": "manager_key in (select marts_rights.my_managers())",
    "department_key": "department_key in (select marts_rights.my_departments())",
}
CLEARS_STATISTICS = 180_000  # PostgreSQL 18 can forget a column's statistics


@dataclass(frozen=True)
class TableRights:
    """One published table as the rights see it.

    Attributes:
        name: of the table in schema `marts`.
        columns: name -> PostgreSQL type.
        primary_key: its columns.
        shared: whether restricted users read all of it.
        leaks: columns that tell about other managers; restricted users do not get them.
    """

    name: str
    columns: Mapping[str, str]
    primary_key: tuple[str, ...]
    shared: bool = False
    leaks: frozenset[str] = field(default_factory=frozenset)

    @property
    def key(self) -> str | None:
        """The column that says whose a row is; None for a table that is shared, or that nobody restricted reads."""
        return None if self.shared else next((key for key in KEYS if self.columns.get(key) == "bigint"), None)

    @property
    def is_readable(self) -> bool:
        """Whether restricted users read any of it."""
        return self.shared or self.key is not None

    @property
    def policies(self) -> set[str]:
        """Names of the policies it must have."""
        return {"everybody", f"rows_by_{self.key}"} if self.key else set()

    @property
    def witness(self) -> str | None:
        """A column on which REFERENCES shows the keys in information_schema, and lets nobody make a foreign key.

        A foreign key needs that right on all columns of a unique key.
        """
        others = [column for column in self.columns if column not in self.leaks.union(self.primary_key)]
        return others[0] if others else self.primary_key[0] if len(self.primary_key) > 1 else None


@dataclass(frozen=True)
class Granted:
    """What `grant` did: the departments' paths, the connection string if the login is new, and a remark."""

    departments: tuple[str, ...]
    url: str | None
    note: str | None


@dataclass(frozen=True)
class RestrictedUser:
    """A user and what he sees: paths of the departments given to him, departments and managers in all."""

    name: str
    given: tuple[str, ...]
    departments: int
    managers: int


def ensure(con: psycopg.Connection[Any]) -> None:
    """Make or renew what the policies call; as the role that owns the marts, alone."""
    with con.transaction():
        if _scalar(con, "select to_regnamespace(%s)", [SCHEMA]) is None:
            con.execute("create schema marts_rights")
        con.execute(
            "create table if not exists marts_rights.scopes "
            "(user_name name, department_key bigint, primary key (user_name, department_key))"
        )
        con.execute(_FUNCTIONS)
        if role_exists(con, RESTRICTED):
            con.execute("grant execute on all functions in schema marts_rights to bi_restricted")
            con.execute("grant usage on schema marts to bi_restricted")


def needs_lock(con: psycopg.Connection[Any], table: TableRights) -> bool:
    """Whether `protect` would have to keep readers off the table."""
    return role_exists(con, RESTRICTED) and _policies(con, table.name) != table.policies


def release(con: psycopg.Connection[Any], name: str, columns: Sequence[str]) -> None:
    """Let go of columns that are about to be dropped; `protect` has to follow in the same transaction."""
    for column in set(columns) & set(KEYS):
        con.execute(sql.SQL("drop policy if exists {} on {}").format(_id(f"rows_by_{column}"), _mart(name)))


def protect(con: psycopg.Connection[Any], table: TableRights) -> None:
    """Give each BI role its part of a published table; writes only what differs."""
    mart, known = _mart(table.name), role_exists(con, RESTRICTED)
    if known and (present := _policies(con, table.name)) != table.policies:
        for policy in present:
            con.execute(sql.SQL("drop policy {} on {}").format(_id(policy), mart))
        con.execute(
            sql.SQL("alter table {} {} row level security").format(mart, sql.SQL("enable" if table.key else "disable"))
        )
        if table.key:
            con.execute(sql.SQL("create policy everybody on {} for select using (true)").format(mart))
            con.execute(
                sql.SQL("create policy {} on {} as restrictive for select to bi_restricted using ({})").format(
                    _id(f"rows_by_{table.key}"), mart, sql.SQL(_ROWS[table.key])
                )
            )
    for column in set(UNCOUNTED) & set(table.columns) if table.key else ():
        _stop_counting(con, table.name, column)
    references = {("REFERENCES", table.witness)} if table.witness else set()
    if role_exists(con, READER):
        _give(con, table.name, READER, {("SELECT", ""), *references})
    if known and table.is_readable:
        open_columns = [column for column in table.columns if column not in table.leaks]
        select = {("SELECT", column) for column in open_columns} if table.leaks else {("SELECT", "")}
        _give(con, table.name, RESTRICTED, select | references)
    elif known:
        _give(con, table.name, RESTRICTED, set())


def grant(target: PublishTarget, user: str, departments: Sequence[str]) -> Granted:
    """Let a user see some departments with all below them, instead of what he was granted before.

    Args:
        target: the server with the published marts.
        user: a new login, or one that was made here before; its password then stays.
        departments: names, paths or keys.
    Raises:
        PostgresError: nothing was changed; the message tells the next step.
    """
    if not re.fullmatch(USER_NAME, user) or user.startswith("pg_") or user in (READER, AUTHOR, RESTRICTED, OWNER):
        raise PostgresError(
            f"`{user}` cannot be the name of a user: take up to 63 small Latin letters, digits, and _ . @ - "
            "(starting with a letter), not one of the names that PostgreSQL or this program uses."
        )
    target.prepare()
    try:
        with connect(target.administrator_url()) as con:
            take_turn(con, target.address)
            chosen = _chosen(con, departments)
            note = None
            with con.transaction():
                url = _login(con, target, user)
                con.execute("delete from marts_rights.scopes where user_name = %s", [user])
                for key in chosen:
                    con.execute("insert into marts_rights.scopes values (%s, %s)", [user, key])
            if not _scalar(con, "select has_any_column_privilege(%s, 'marts.dim_manager', 'select')", [user]):
                note = "The marts were published before there were restricted users: run `b24 publish` once."
    except psycopg.errors.UndefinedTable:
        raise PostgresError(
            f"The departments are not known at {target.address}: run `b24 publish` (or `b24 sync`) first."
        ) from None
    except psycopg.Error as error:
        raise PostgresError(explain(error, target.address)) from None
    return Granted(tuple(chosen.values()), url, note)


def revoke(target: PublishTarget, user: str) -> None:
    """Take everything from a restricted user, end his sessions and drop his login.

    Raises:
        PostgresError: there is no such user, or something else on the server hangs on him; he sees nothing then.
    """
    target.prepare()
    try:
        with connect(target.administrator_url()) as con:
            if not _is_restricted(con, user):
                raise PostgresError(f"There is no restricted user {user}; `b24 bi users` lists them.")
            con.execute("delete from marts_rights.scopes where user_name = %s", [user])
            con.execute(sql.SQL("alter role {} nologin").format(_id(user)))
            with contextlib.suppress(psycopg.errors.InsufficientPrivilege):  # what is left of them sees nothing
                con.execute("select pg_terminate_backend(pid) from pg_stat_activity where usename = %s", [user])
            con.execute(sql.SQL("drop role {}").format(_id(user)))
    except psycopg.errors.DependentObjectsStillExist:
        raise PostgresError(
            f"{user} cannot log in any more and sees nothing, but owns or was granted something beside the marts, so "
            f'the role stays. As an administrator: `drop owned by "{user}"` in each database, then `drop role`.'
        ) from None
    except psycopg.Error as error:
        raise PostgresError(explain(error, target.address)) from None


def restricted_users(target: PublishTarget) -> list[RestrictedUser]:
    """All restricted users, by name, with what they see now."""
    target.prepare()
    try:
        with connect(target.administrator_url()) as con:
            if not role_exists(con, RESTRICTED):
                return []
            rows = con.execute(
                """
                with users as (
                    select u.rolname as name
                    from pg_auth_members as m
                    join pg_roles as u on u.oid = m.member
                    join pg_roles as g on g.oid = m.roleid
                    where g.rolname = 'bi_restricted' and u.rolcanlogin and u.rolname <> current_user
                ),
                seen as (
                    select distinct s.user_name, b.descendant_key as department_key
                    from marts_rights.scopes as s
                    join marts.bridge_department as b on b.ancestor_key = s.department_key
                    where b.descendant_key <> 0
                )
                select
                    u.name,
                    array(
                        select coalesce(d.path, '#' || s.department_key)
                        from marts_rights.scopes as s
                        left join marts.dim_department as d on d.department_key = s.department_key
                        where s.user_name = u.name
                        order by 1
                    ),
                    (select count(*) from seen as s where s.user_name = u.name),
                    (
                        select count(*) from marts.dim_manager as m
                        join seen as s on s.department_key = m.department_key
                        where s.user_name = u.name and m.manager_key <> 0
                    )
                from users as u
                order by u.name
                """
            ).fetchall()
    except psycopg.errors.UndefinedTable:
        raise PostgresError(f"Nothing is published at {target.address} yet: run `b24 sync` first.") from None
    except psycopg.Error as error:
        raise PostgresError(explain(error, target.address)) from None
    return [RestrictedUser(name, tuple(given), departments, managers) for name, given, departments, managers in rows]


def _chosen(con: psycopg.Connection[Any], wanted: Sequence[str]) -> dict[int, str]:
    """Keys and paths of the departments that are meant."""
    departments = [
        (int(key), str(name), str(path), bool(is_deleted))
        for key, name, path, is_deleted in con.execute(
            "select department_key, name, path, is_deleted from marts.dim_department where department_key <> %s "
            "order by path",
            [NO_DEPARTMENT],
        ).fetchall()
    ]
    chosen: dict[int, str] = {}
    for text in (text.strip() for text in wanted):
        found = [one for one in departments if text.casefold() in (str(one[0]), one[1].casefold(), one[2].casefold())]
        found = [one for one in found if not one[3]] or found
        if len(found) != 1:
            listed = "\n".join(f"- {key}: {path}" for key, _, path, _ in found or departments)
            problem = "is the name of several departments, say which by its number" if found else "is no department of"
            raise PostgresError(f"`{text}` {problem} {'' if found else 'the published marts'}:\n{listed}")
        chosen[found[0][0]] = found[0][2]
    if not chosen:
        raise PostgresError("Name at least one department.")
    return chosen


def _login(con: psycopg.Connection[Any], target: PublishTarget, user: str) -> str | None:
    """Make the login unless it is there; returns its URL if it is new."""
    if role_exists(con, user):
        if not _is_restricted(con, user):
            raise PostgresError(
                f"The role {user} exists on {target.address} and is not one of the restricted users: take another name."
            )
        return None
    password = secrets.token_urlsafe(24)
    try:
        with con.transaction():
            if not role_exists(con, RESTRICTED):
                create_role(con, RESTRICTED, None)
            create_role(con, user, password)
            con.execute(sql.SQL("grant bi_restricted to {}").format(_id(user)))
            for setting in (*READER_SETTINGS, "search_path = marts"):
                con.execute(sql.SQL("alter role {} set {}").format(_id(user), sql.SQL(setting)))
    except psycopg.errors.InsufficientPrivilege:
        raise PostgresError(
            f"The user of MARTS_POSTGRES_URL may not make roles on {target.address}. Ask its administrator for the "
            f"right (`alter role {con.info.user} createrole`); or for the roles themselves: "
            f'`create role {RESTRICTED} nologin; create role "{user}" login in role {RESTRICTED}`, with a password '
            "set by `\\password`. Then run this command again, and `b24 publish`."
        ) from None
    return target.login_url(user, password)


def _is_restricted(con: psycopg.Connection[Any], user: str) -> bool:
    """Whether this role is a login in the group of restricted users, and has no rights from anywhere else."""
    groups = con.execute(
        "select distinct g.rolname from pg_auth_members as m join pg_roles as g on g.oid = m.roleid "
        "join pg_roles as u on u.oid = m.member "
        "where u.rolname = %s and u.rolcanlogin and not u.rolsuper and not u.rolbypassrls and not u.rolcreaterole",
        [user],
    ).fetchall()
    return groups == [(RESTRICTED,)]


def _policies(con: psycopg.Connection[Any], name: str) -> set[str]:
    rows = con.execute("select polname from pg_policy where polrelid = to_regclass(%s)", [f'{MARTS}."{name}"'])
    return {row[0] for row in rows.fetchall()}


def _stop_counting(con: psycopg.Connection[Any], name: str, column: str) -> None:
    """Keep no statistics of a column, and forget those that are there."""
    where = "where attrelid = to_regclass(%s) and attname = %s"
    table = f'{MARTS}."{name}"'
    if _scalar(con, f"select attstattarget from pg_attribute {where}", [table, column]) == 0:  # noqa: S608
        return
    con.execute(sql.SQL("alter table {} alter column {} set statistics 0").format(_mart(name), _id(column)))
    if con.info.server_version >= CLEARS_STATISTICS:
        con.execute("select pg_clear_attribute_stats(%s, %s, %s, false)", [MARTS, name, column])


def _give(con: psycopg.Connection[Any], name: str, role: str, rights: set[tuple[str, str]]) -> None:
    """Make the rights of a role on a table these: pairs of a right and a column, or "" for the whole table."""
    table = f'{MARTS}."{name}"'
    present = con.execute(
        """
        select a.privilege_type, g.attname
        from (
            select relacl as acl, '' as attname from pg_class where oid = to_regclass(%(table)s)
            union all
            select attacl, attname from pg_attribute where attrelid = to_regclass(%(table)s) and not attisdropped
        ) as g
        cross join aclexplode(g.acl) as a
        where a.grantee = %(role)s::regrole
        """,
        {"table": table, "role": f'"{role}"'},
    ).fetchall()
    if {(str(right), str(column)) for right, column in present} == rights:
        return
    con.execute(sql.SQL("revoke all on {} from {}").format(_mart(name), _id(role)))
    for right in sorted({right for right, _ in rights}):
        columns = sorted(column for one, column in rights if one == right and column)
        listed = sql.SQL("({})").format(sql.SQL(", ").join(map(_id, columns))) if columns else sql.SQL("")
        con.execute(sql.SQL("grant {} {} on {} to {}").format(sql.SQL(right), listed, _mart(name), _id(role)))


def _mart(name: str) -> sql.Identifier:
    return sql.Identifier(MARTS, name)


def _id(name: str) -> sql.Identifier:
    return sql.Identifier(name)


def _scalar(con: psycopg.Connection[Any], query: Any, parameters: Sequence[Any] = ()) -> Any:
    row = con.execute(query, parameters).fetchone()
    return row[0] if row else None
