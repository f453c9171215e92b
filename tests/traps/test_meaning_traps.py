"""Traps of values and of meaning: what the portal sent must be told right by the models.

Each test is the one of a trap in the table of the Bitrix24 API (section 11) and carries its number. The models are the
dbt project's own, run on raw rows that are loaded as a run loads them.
"""

import re
from datetime import UTC, date, datetime, timedelta
from decimal import Decimal
from pathlib import Path
from typing import Any

import duckdb
import pytest
from traps.mechanism import Edited, Setting, trap
from traps.sql_project import LATER, LOADED_AT, Project
from traps.stand_in import NOW, StandIn, listed, numbers, sync

from demo.server.faults import FaultPlan
from dlt_sources.bitrix24.load import Position

RAW_TEXT = "macros/raw_text.sql"
JUNE_15 = date(2026, 6, 15)


@pytest.fixture
def project(defence: int | None) -> Project:
    """Made after the defence is switched off, for it reads the macros."""
    return Project()


def deal(number: int, **values: Any) -> dict[str, Any]:
    return {
        "ID": str(number), "TITLE": f"Сделка {number}", "CATEGORY_ID": "0", "STAGE_ID": "NEW", "STAGE_SEMANTIC_ID": "P",
        "ASSIGNED_BY_ID": "7", "OPPORTUNITY": "100.00", "CURRENCY_ID": "RUB", "IS_RECURRING": "N",
        "DATE_CREATE": "2026-06-01T10:00:00+03:00", "DATE_MODIFY": "2026-06-02T10:00:00+03:00", **values,
    }  # fmt: skip


def stage(number: int, code: str, sort: int, semantics: str | None = None, dictionary: str = "DEAL_STAGE") -> Any:
    return {
        "ID": str(number), "ENTITY_ID": dictionary, "STATUS_ID": code, "NAME": code.title(), "SORT": str(sort),
        "SEMANTICS": semantics, "EXTRA": [],
    }  # fmt: skip


def move(number: int, owner: int, at: str, code: str, semantics: str = "P", kind: int = 2, pipeline: int = 0) -> Any:
    return {
        "ID": number, "TYPE_ID": kind, "OWNER_ID": owner, "CREATED_TIME": f"2026-06-{at}:00+00:00",
        "CATEGORY_ID": pipeline, "STAGE_SEMANTIC_ID": semantics, "STAGE_ID": code,
    }  # fmt: skip


STAGES = (
    stage(1, "NEW", 10), stage(2, "TALK", 20), stage(3, "OFFER", 30),
    stage(4, "WON", 40, "S"), stage(5, "LOSE", 50, "F"),
    stage(6, "C1:NEW", 10, dictionary="DEAL_STAGE_1"), stage(7, "C1:TALK", 20, dictionary="DEAL_STAGE_1"),
    stage(8, "C1:WON", 30, "S", "DEAL_STAGE_1"),
)  # fmt: skip


# values


@trap(
    8,
    "the portal's zone is not the user's nor UTC, and its offset changes",
    Edited(
        RAW_TEXT,
        "to_instant",
        "then try_cast({{ text }} as timestamptz)",
        "then try_cast(left({{ text }}, 19) as timestamptz)",
    ),
    saying="an instant moved with the portal's offset",
)
def test_trap_08_offset_of_the_portal(project: Project) -> None:
    portal = StandIn()
    found, place = sync(portal.client(), listed("deals"), Position())
    project.raw("deals", *found)
    before = project.read("stg_bitrix24__deals", "deal_id, created_at, modified_at")

    portal.portal.set_faults(FaultPlan(zone="+05:00"))
    again, _ = sync(portal.client(), listed("deals"), Position())
    assert [row["DATE_CREATE"] for row in again] != [row["DATE_CREATE"] for row in found]
    moved = Project()
    moved.raw("deals", *again)
    after = moved.read("stg_bitrix24__deals", "deal_id, created_at, modified_at")
    assert after == before, "an instant moved with the portal's offset"
    # the filter by time carries an offset of its own, so the next run reads what changed and no more
    changed = portal.ids("deals")[3]
    portal.portal.mutate("update", table="deals", row_id=changed)
    delta, _ = sync(portal.client(), listed("deals"), place, NOW + timedelta(minutes=5))
    assert changed in numbers(delta)
    assert len(delta) < len(found)


@trap(
    9,
    "dates arrive as datetimes with odd hours",
    Edited(
        RAW_TEXT,
        "to_calendar_date",
        "try_cast(left({{ text }}, 10) as date),",
        "cast(try_cast({{ text }} as timestamptz) at time zone 'UTC' as date),",
    ),
    saying="a date fell on another day",
)
def test_trap_09_dates_with_hours(project: Project) -> None:
    odd = ("2026-06-15T02:00:00+03:00", "2026-06-15T00:00:00+05:00", "2026-06-15T23:30:00-05:00", "15.06.2026", "")
    project.raw("deals", *(deal(number, BEGINDATE=text) for number, text in enumerate(odd, 1)))
    found = [day for _, day in project.read("stg_bitrix24__deals", "deal_id, begin_date")]
    assert found == [JUNE_15] * 4 + [None], "a date fell on another day"


@trap(
    20,
    "an object {} stands where a value is expected",
    Edited(RAW_TEXT, "to_instant", "local_midnight('try_cast(' ~ text", "local_midnight('cast(' ~ text"),
    fails=duckdb.ConversionException,
    saying="[{][}]",
)
def test_trap_20_objects_for_values(project: Project) -> None:
    project.raw("calls", {"ID": "1", "CALL_START_DATE": {}, "CALL_DURATION": {}, "CALL_TYPE": "2", "CALL_VOTE": {}})
    project.raw("users", {"ID": "7", "ACTIVE": True, "NAME": "Иван", "DATE_REGISTER": {}, "UF_EMPLOYMENT_DATE": {}})
    calls = project.read("stg_bitrix24__calls", "call_leg_id, started_at, duration_seconds, vote")
    assert calls == [(1, None, 0, None)]
    assert project.read("stg_bitrix24__users", "user_id, registered_at, employment_date") == [(7, None, None)]
    assert project.read("int_managers__calls_monthly", "*") == []  # of no month


@trap(
    21,
    'nothing is "", null, "0", 0, false, [] or an absent key',
    Edited(RAW_TEXT, "to_id", "nullif(try_cast({{ text }} as bigint), 0)", "try_cast({{ text }} as bigint)"),
    saying="nothing was taken for a client",
)
def test_trap_21_kinds_of_nothing(project: Project) -> None:
    nothing: tuple[Any, ...] = ("", None, "0", 0, False, [], "null")
    keys = ("COMPANY_ID", "CONTACT_ID", "LEAD_ID", "SOURCE_ID", "MOVED_TIME")
    rows = [deal(number, **dict.fromkeys(keys, value)) for number, value in enumerate(nothing, 1)]
    project.raw("deals", *rows, deal(8))  # the last one has none of the keys
    found = project.read("stg_bitrix24__deals", "company_id, contact_id, lead_id, moved_at")
    assert found == [(None, None, None, None)] * 8, "nothing was taken for a client"
    sources = {row[0] for row in project.read("stg_bitrix24__deals", "source_id")}
    assert sources == {None, "0"}  # a code may be 0


@trap(
    22,
    'numbers come as "15000.00", 15000, 899.1, "0.0000"',
    Edited(
        RAW_TEXT,
        "to_decimal",
        "try_cast(try_cast({{ text }} as decimal(38, 8)) as",
        "try_cast(try_cast({{ text }} as double) as",
    ),
    saying="an amount was rounded",
)
def test_trap_22_shapes_of_numbers(project: Project) -> None:
    amounts = ("15000.00", 15000, 899.1, "0.0000", "1234567890123456.78", "15 000.00", "15,000.00", "", "1e3")
    project.raw("deals", *(deal(number, OPPORTUNITY=amount) for number, amount in enumerate(amounts, 1)))
    found = [amount for _, amount in project.read("stg_bitrix24__deals", "deal_id, amount")]
    exact = [Decimal(text) for text in ("15000", "15000", "899.10", "0", "1234567890123456.78")]
    # thousands with separators are no numbers: better none than 15
    assert found == [*exact, None, None, None, Decimal(1000)], "an amount was rounded"


@trap(
    23,
    "booleans are Y/N, true/false and 1/0 in one portal",
    Edited(
        RAW_TEXT,
        "to_flag",
        "coalesce(lower(trim({{ text }})) in ('y', 'true', '1'), false)",
        "coalesce({{ text }} = 'Y', false)",
    ),
    saying="a flag was misread",
)
def test_trap_23_shapes_of_booleans(project: Project) -> None:
    flags = ("Y", "N", True, False, 1, 0, "1", "0", "", None)
    project.raw("users", *({"ID": str(number), "ACTIVE": flag} for number, flag in enumerate(flags, 1)))
    found = [active for _, active in project.read("stg_bitrix24__users", "user_id, is_active")]
    assert found == [True, False, True, False, True, False, True, False, False, False], "a flag was misread"


# meaning


@trap(
    26,
    "an option of a list is deleted while rows hold it",
    Edited(
        "models/staging/bitrix24/stg_bitrix24__custom_field_options.sql",
        "from",
        "\nfrom source\n",
        "\nfrom source where _loaded_at = (select max(_loaded_at) from source)\n",
    ),
    saying="the label of a deleted option is lost",
)
def test_trap_26_deleted_option(project: Project) -> None:
    code = "UF_CRM_1717100010"
    field = {"ENTITY_ID": "CRM_DEAL", "FIELD_NAME": code, "ID": "1", "USER_TYPE_ID": "enumeration", "MULTIPLE": "N"}
    option = {"ENTITY_ID": "CRM_DEAL", "FIELD_NAME": code, "SORT": "10"}
    project.raw("custom_fields", field, loaded_at=LATER)
    project.raw("custom_field_options", {**option, "ID": "3001", "VALUE": "Дорого"}, loaded_at=LOADED_AT)
    project.raw("custom_field_options", {**option, "ID": "3003", "VALUE": "Долго"}, loaded_at=LATER)
    project.execute("insert into ops.custom_field_names values ('CRM_DEAL', ?, 'prichina', 'Причина', now())", code)
    project.raw("deals", *(deal(number, **{code: value}) for number, value in enumerate(("3001", "3003", "3005"), 1)))
    found = project.read("deal_fields", "deal_id, prichina")
    # an option that was gone before the first load has no label anywhere
    assert found == [(1, "Дорого"), (2, "Долго"), (3, "#3005")], "the label of a deleted option is lost"


@trap(
    27,
    "a stage is deleted while deals and history name it",
    Edited("models/core/dim_stage.sql", "unlisted", "where place = 1", "where false"),
    saying="a deleted stage is in no table",
)
def test_trap_27_deleted_stage(project: Project) -> None:
    project.raw("statuses", stage(9, "PAUSE", 25), loaded_at=LOADED_AT)  # listed once, deleted since
    project.raw("statuses", *STAGES, loaded_at=LATER)
    project.raw("deals", deal(1, STAGE_ID="PAUSE"), deal(2, STAGE_ID="OLD"), deal(3, STAGE_ID="GONE"))
    project.raw("deal_stage_history", move(1, 3, "01T10:00", "GONE", "F", 3))
    found = project.read(
        "dim_stage", "stage_id, name, semantics, is_active", "entity = 'deal' and stage_id in ('PAUSE', 'OLD', 'GONE')"
    )
    # the meaning of one that was never listed stands in the rows that name it
    assert found == [("GONE", "#GONE", "F", False), ("OLD", "#OLD", "P", False), ("PAUSE", "Pause", "P", False)], (
        "a deleted stage is in no table"
    )


@trap(
    28,
    "deals change their pipeline, are opened again, skip stages",
    Edited(
        "macros/stage_visits.sql",
        "is_reopen",
        "coalesce(prev_semantics in ('S', 'F') and semantics = 'P', false) as is_reopen",
        "false as is_reopen",
    ),
    Edited(
        "models/intermediate/int_deals__progress.sql",
        "own_visits",
        "inner join deals on deals.deal_id = visits.deal_id and deals.pipeline_key = visits.pipeline_key",
        "inner join deals on deals.deal_id = visits.deal_id",
    ),
    saying="a deal opened again|a deal in another pipeline",
)
def test_trap_28_stages_are_no_straight_road(project: Project) -> None:
    project.raw("statuses", *STAGES)
    project.raw("pipelines", {"entity_type_id": "2", "id": 1, "name": "Вторая", "sort": 1, "isDefault": "N"})
    # won, opened again, then moved to another pipeline; the second deal jumps over a stage
    project.raw("deals", deal(1, CATEGORY_ID="1", STAGE_ID="C1:NEW"), deal(2, STAGE_ID="OFFER"))
    project.raw(
        "deal_stage_history",
        move(1, 1, "01T10:00", "NEW", kind=1), move(2, 1, "02T10:00", "OFFER"), move(3, 1, "03T10:00", "WON", "S", 3),
        move(4, 1, "04T10:00", "TALK"), move(5, 1, "05T10:00", "C1:NEW", kind=5, pipeline=1),
        move(6, 2, "01T10:00", "NEW", kind=1), move(7, 2, "01T10:00", "OFFER"),
    )  # fmt: skip
    visits = project.read(
        "int_deals__stage_visits", "interval_id, stage_id, is_reopen, is_pipeline_change, is_backward, skipped_count"
    )
    assert visits == [
        (1, "NEW", False, False, False, 0),
        (2, "OFFER", False, False, False, 1),
        (3, "WON", False, False, False, 0),
        (4, "TALK", True, False, False, 0),
        (5, "C1:NEW", False, True, False, 0),
        (6, "NEW", False, False, False, 0),
        (7, "OFFER", False, False, False, 1),
    ], "a deal opened again was not seen"
    progress = project.read("int_deals__progress", "deal_id, progress_position, reopen_count")
    assert progress == [(1, 1, 1), (2, 3, 0)], "a deal in another pipeline keeps the place it had in the old one"


@trap(
    29,
    "CLOSEDATE is typed by people",
    Setting("close_date_source", "closedate"),
    saying="the sale was dated by hand",
)
def test_trap_29_closedate_is_typed(project: Project) -> None:
    project.raw("statuses", *STAGES)
    won = {"STAGE_ID": "WON", "STAGE_SEMANTIC_ID": "S", "CLOSEDATE": "2027-01-31T03:00:00+03:00"}
    project.raw("deals", deal(1, **won), deal(2, MOVED_TIME="2026-06-09T10:00:00+03:00", **won))
    project.raw("deal_stage_history", move(1, 1, "01T10:00", "NEW", kind=1), move(2, 1, "08T10:00", "WON", "S", 3))
    found = project.read("int_deals__closed", "deal_id, won_date")
    # the second has no history, so its last move stands for it
    assert found == [(1, date(2026, 6, 8)), (2, date(2026, 6, 9))], "the sale was dated by hand"


@trap(
    30,
    "deleted users, robots, integrators are named by rows and listed nowhere",
    Edited("models/core/dim_manager.sql", "named", "full outer join named", "left join named"),
    saying="a deal belongs to nobody",
)
def test_trap_30_users_that_are_not_listed(project: Project) -> None:
    project.raw("users", {"ID": "7", "ACTIVE": False, "NAME": "Иван", "LAST_NAME": "Тест", "USER_TYPE": "employee"})
    project.raw("deals", deal(1), deal(2, ASSIGNED_BY_ID="99"), deal(3, ASSIGNED_BY_ID="0"))
    managers = dict(project.read("dim_manager", "manager_key, full_name"))
    owners = {key for (key,) in project.read("int_deals__scoped", "manager_key")}
    assert owners <= managers.keys(), "a deal belongs to nobody"
    assert (managers[7], managers[99], managers[0]) == ("Тест Иван", "#99", "Не назначен")
    assert project.read("dim_manager", "is_dismissed", "manager_key = 7") == [(True,)]


@trap(
    32,
    "merging and restoring change identity: rows name cards that are gone",
    Edited("models/core/dim_client.sql", "inferred", "    from inferred\n", "    from inferred where false\n"),
    saying="a deal's client is in no table",
)
def test_trap_32_identity_changes(project: Project) -> None:
    project.raw("companies", {"ID": "5", "TITLE": "Осталась", "IS_MY_COMPANY": "N"})
    project.raw("companies", {"ID": "6", "TITLE": "Слита", "IS_MY_COMPANY": "N"})
    project.execute("update raw_bitrix24.companies set _deleted_at = _loaded_at where id = '6'")
    # 77 lost a merge before the first load
    project.raw("deals", *(deal(number, COMPANY_ID=str(company)) for number, company in enumerate((5, 6, 77), 1)))
    clients = dict(project.read("dim_client", "client_key, is_deleted"))
    links = {key for (key,) in project.read("int_client_links", "client_key", "entity = 'deal'")}
    assert links <= clients.keys(), "a deal's client is in no table"
    assert clients == {"C5": False, "C6": True, "C77": True, "unknown": False}


@trap(
    33,
    "templates of recurring deals and our own companies pollute the facts",
    Edited("models/intermediate/int_deals__scoped.sql", "is_in_scope", "        and not is_recurring\n", ""),
    Edited("models/core/dim_client.sql", "is_my_company", " where not is_my_company", ""),
    saying="a template was counted as a sale|our own company became a client",
)
def test_trap_33_templates_and_own_companies(project: Project) -> None:
    project.raw("companies", {"ID": "1", "TITLE": "Мы", "IS_MY_COMPANY": "Y"}, {"ID": "2", "TITLE": "Клиент"})
    project.raw("deals", deal(1, COMPANY_ID="2"), deal(2, COMPANY_ID="2", IS_RECURRING="Y"), deal(3, COMPANY_ID="1"))
    counted = [number for number, is_in in project.read("int_deals__scoped", "deal_id, is_in_scope") if is_in]
    assert counted == [1, 3], "a template was counted as a sale"
    assert project.read("dim_client", "client_key") == [("C2",), ("unknown",)], "our own company became a client"
    assert project.read("int_client_links", "client_key", "entity = 'deal' and entity_id = 3") == [("unknown",)]


def activity(number: int, **values: Any) -> dict[str, Any]:
    return {
        "ID": str(number), "OWNER_ID": "1", "OWNER_TYPE_ID": "2", "TYPE_ID": "6", "RESPONSIBLE_ID": "7",
        "COMPLETED": "Y", "CREATED": "2026-06-10T10:00:00+03:00", "LAST_UPDATED": "2026-06-10T11:00:00+03:00",
        "END_TIME": "2026-06-10T10:30:00+03:00", **values,
    }  # fmt: skip


@trap(
    40,
    "the set of PROVIDER_ID grows with each release of the vendor",
    Edited(
        "models/intermediate/int_activities__scoped.sql",
        "activity_type",
        "else coalesce(lower(provider_id), 'unknown')",
        "else case when provider_id in ('CRM_TODO', 'CRM_WEBFORM') then lower(provider_id) end",
    ),
    saying="an activity of a new kind has none",
)
def test_trap_40_new_providers(project: Project) -> None:
    new = activity(1, PROVIDER_ID="CRM_TELEPATHY")
    project.raw("activities", new, activity(2, PROVIDER_ID="CRM_TODO"), activity(3, PROVIDER_ID=None))
    found = project.read("int_activities__scoped", "activity_id, activity_type, is_in_scope")
    assert found == [(1, "crm_telepathy", True), (2, "crm_todo", True), (3, "unknown", True)], (
        "an activity of a new kind has none"
    )
    assert project.read("int_managers__activities_monthly", "manager_key, activities_done") == [(7, 3)]


CALLS_MONTHLY = "models/intermediate/int_managers__calls_monthly.sql"


@trap(
    45,
    "one fact has two sources: calls, tasks, invoices",
    Edited(
        CALLS_MONTHLY,
        "calls",
        "select * from {{ ref('fct_calls') }} where is_in_scope and started_date is not null",
        "select manager_key, direction, started_date, is_connected, is_missed, is_short, duration_seconds"
        " from {{ ref('fct_calls') }} union all"
        " select manager_key, direction, completed_date, is_completed, false, false, 0"
        " from {{ ref('fct_activities') }} where activity_type = 'call'",
    ),
    saying="a call was counted twice",
)
def test_trap_45_two_sources_for_one_fact(project: Project) -> None:
    project.raw("currencies", {"CURRENCY": "RUB", "AMOUNT": "1.0000", "AMOUNT_CNT": "1", "BASE": "Y"})
    call = {"CALL_TYPE": "2", "CALL_DURATION": "95", "CALL_FAILED_CODE": "200", "PORTAL_USER_ID": "7"}
    project.raw("calls", {"ID": "1", "CALL_ID": "a", "CALL_START_DATE": "2026-06-10T10:00:00+03:00", **call})
    task = {"id": "4", "status": "5", "responsibleId": "7", "createdBy": "7", "title": "Позвонить"}
    project.raw(
        "tasks", {**task, "createdDate": "2026-06-09T10:00:00+03:00", "closedDate": "2026-06-10T10:00:00+03:00"}
    )
    # both leave a card in the timeline too
    project.raw(
        "activities",
        activity(1, TYPE_ID="2", PROVIDER_ID="VOXIMPLANT_CALL", DIRECTION="1"),
        activity(2, PROVIDER_ID="CRM_TASKS_TASK", ASSOCIATED_ENTITY_ID="4"),
    )
    calls = project.read("int_managers__calls_monthly", "manager_key, calls_total, talk_seconds")
    assert calls == [(7, 1, 95)], "a call was counted twice"
    assert project.read("int_managers__tasks_monthly", "manager_key, tasks_closed") == [(7, 1)]
    # invoices are the smart ones; old ones (type 5) are read by no list
    assert listed("smart_invoices").params["entityTypeId"] == 31


def test_every_trap_has_its_test() -> None:
    """The table has 45 rows; which of them a file holds is told by the names in it."""
    texts = [path.read_text(encoding="utf-8") for path in Path(__file__).parent.glob("test_*.py")]
    named = [int(number) for text in texts for number in re.findall(r"^def test_trap_(\d\d)_", text, re.MULTILINE)]
    assert sorted(named) == list(range(1, 46))


def test_rows_are_loaded_as_instants_of_utc(project: Project) -> None:
    """The models' clock: what tests load is read as a run's rows are."""
    project.raw("deals", deal(1))
    ((loaded_at, created_at),) = project.read("stg_bitrix24__deals", "loaded_at, created_at")
    assert loaded_at == LOADED_AT
    assert created_at == datetime(2026, 6, 1, 7, tzinfo=UTC)
