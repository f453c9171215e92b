"""What `b24 configure` makes of a portal: each line with its measured reason, and accepted by the checks of rules."""

from collections.abc import Mapping, Sequence
from datetime import datetime, timedelta, timezone
from pathlib import Path
from typing import Any

import duckdb
import pytest

from demo.server import PortalOptions, running_portal
from demo.world import World
from dlt_sources.bitrix24.client import BitrixClient
from dlt_sources.bitrix24.webhook import Webhook
from dlt_sources.files.schema import FILES
from orchestration.configure import Proposed, channel_rules, propose, support_sources, write
from orchestration.survey import Portal, Question, count_here, survey_portal
from warehouse.rules import parse_rules
from warehouse.settings import Settings

NOW = datetime(2026, 6, 15, 12, tzinfo=timezone(timedelta(hours=3)))
USER = {"active": "true", "user_type": "employee", "work_position": "", "uf_department": "[5]"}
DICTIONARIES: dict[str, list[dict[str, Any]]] = {
    "pipelines": [
        {"entity_type_id": "2", "id": "0", "name": "Продажи"},
        {"entity_type_id": "2", "id": "7", "name": "Тест (не удалять)"},
        {"entity_type_id": "2", "id": "9", "name": "Тестирование приборов и аттестация"},
        {"entity_type_id": "2", "id": "11", "name": "Аттестация"},
        {"entity_type_id": "130", "id": "21", "name": "Общая"},
        {"entity_type_id": "140", "id": "31", "name": "Общая"},
    ],
    "process_types": [
        {"entity_type_id": "130", "title": "Рекламации"},
        {"entity_type_id": "140", "title": "Закупки"},
    ],
    "users": [
        USER | {"id": "1", "name": "Анна", "last_name": "Ким"},
        USER | {"id": "2", "name": "Робот", "last_name": "1С"},
        USER | {"id": "3", "name": "Олег", "last_name": "Ботов", "active": "false"},
        USER | {"id": "4", "name": "", "last_name": "", "uf_department": "[]"},
    ],
    "departments": [
        {"id": "1", "name": "Компания", "parent": None},
        {"id": "5", "name": "Отдел продаж", "parent": "1"},
        {"id": "6", "name": "Группа «Север»", "parent": "5"},
        {"id": "8", "name": "Бухгалтерия", "parent": "1"},
    ],
    "statuses": [
        {"entity_id": "STATUS", "status_id": "NEW", "name": "Новый", "semantics": None},
        {"entity_id": "STATUS", "status_id": "7", "name": "Целевой", "semantics": ""},
        {"entity_id": "STATUS", "status_id": "UC_1", "name": "Нецелевой", "semantics": ""},
        {"entity_id": "STATUS", "status_id": "JUNK", "name": "Не квалифицирован", "semantics": "F"},
        {"entity_id": "SOURCE", "status_id": "WEB", "name": "Веб-сайт", "semantics": None},
        {"entity_id": "SOURCE", "status_id": "UC_AV", "name": "Авито", "semantics": None},
        {"entity_id": "SOURCE", "status_id": "UC_NO", "name": "Никто", "semantics": None},
    ],
    "custom_fields": [
        {"entity_id": "CRM_DEAL", "field_name": "UF_CRM_1", "user_type_id": "enumeration", "edit_form_label": "Почему"},
        {
            "entity_id": "CRM_DEAL", "field_name": "UF_CRM_2", "user_type_id": "enumeration",
            "edit_form_label": '{"ru":"Причина отказа"}',
        },
        {"entity_id": "CRM_DEAL", "field_name": "UF_CRM_3", "user_type_id": "date", "edit_form_label": "Дата отказа"},
        {"entity_id": "CRM_1", "field_name": "UF_CRM_1_5", "user_type_id": "integer", "edit_form_label": "Оценка"},
    ],
    "currencies": [{"currency": "RUB"}, {"currency": "USD"}, {"currency": "EUR"}],
}  # fmt: skip
COUNTS: dict[tuple[str, tuple[tuple[str, Any], ...]], int] = {
    ("deals", ()): 1500,
    ("leads", ()): 400,
    ("deals", (("CATEGORY_ID", "0"),)): 1376,
    ("deals", (("CATEGORY_ID", "7"),)): 12,
    ("deals", (("CATEGORY_ID", "9"),)): 101,
    ("deals", (("ASSIGNED_BY_ID", "2"),)): 21,
    ("deals", (("ASSIGNED_BY_ID", "3"),)): 150,
    ("deals", (("ASSIGNED_BY_ID", "4"),)): 2,
    ("deals", (("=%TITLE", "тест%"),)): 3,
    ("leads", (("=%TITLE", "test%"),)): 1,
    ("leads", (("STATUS_ID", "7"),)): 44,
    ("deals", (("STAGE_SEMANTIC_ID", "F"),)): 200,
    ("deals", (("!UF_CRM_1", ""),)): 100,
    ("deals", (("!UF_CRM_1", ""), ("STAGE_SEMANTIC_ID", "F"))): 90,
    ("deals", (("!UF_CRM_2", ""),)): 60,
    ("deals", (("!UF_CRM_2", ""), ("STAGE_SEMANTIC_ID", "F"))): 45,
    ("deals", ((">COMPANY_ID", 0),)): 500,
    ("deals", ((">CONTACT_ID", 0),)): 1200,
    ("deals", ((">COMPANY_ID", 0), (">CONTACT_ID", 0))): 300,
    ("leads", (("SOURCE_ID", "UC_AV"),)): 30,
    ("deals", (("SOURCE_ID", "UC_AV"),)): 11,
    ("deals", (("CURRENCY_ID", "RUB"),)): 1400,
    ("deals", (("CURRENCY_ID", "EUR"),)): 100,
    ("deals", ((">TAX_VALUE", 0),)): 750,
}


def portal(changed: Mapping[tuple[str, tuple[tuple[str, Any], ...]], int] | None = None) -> Portal:
    counts = COUNTS | dict(changed or {})

    def count(questions: Sequence[Question]) -> list[int]:
        return [counts.get((table, tuple(where.items())), 0) for table, where in questions]

    return Portal("портал crm.test", count, DICTIONARIES)


def proposed(changed: Mapping[tuple[str, tuple[tuple[str, Any], ...]], int] | None = None) -> Proposed:
    return propose(portal(changed), [{"match_field": "source_id", "pattern": "web", "priority": "140"}])


def test_what_a_portal_shows_is_proposed() -> None:
    """Names with the word are meant, names that only contain it are not; "нецелевой" is no "целевой"."""
    assert proposed().values() == {
        "excluded_category_ids": [7],
        "excluded_user_ids": [2],
        "test_title_regex": "^(тест|test)",
        "qualified_lead_status_ids": ["7"],
        "loss_reason_field": "UF_CRM_2",
        "csat_field": "UF_CRM_1_5",
        "sales_department_ids": [5, 6],
        "client_priority": "contact_first",
    }


@pytest.mark.parametrize(
    "reason",
    [
        "воронка «Тест (не удалять)» (id 7): 12 сделок, имя похоже на проверочную",
        "1С Робот (id 2): 21 сделка, имя или должность похожи на робота или интеграцию",
        "без имени (id 4, employee): 2 сделки; сотрудник ли это?",
        "уволенных 1, у них 150 из 1 500 сделок (10 %)",
        "название начинается на «тест» или «test»: 3 сделки, 1 лид",
        "статус лида «Целевой» (7): сейчас в нём 44 лида, имя похоже на отбор",
        "поле сделки «Причина отказа»: заполнено у 60, из них проиграно 45 (75 %); всего проиграно 200",
        "поле сделки «Почему»: заполнено у 100, из них проиграно 90 (90 %)",
        "поле смарт-процесса «Оценка»",
        "отдел «Группа «Север»» (id 6): 0 человек, входит в «Отдел продаж»",
        "только с контактом 900 (60 %): покупают люди, поэтому клиент — контакт",
        "ещё 11 в воронках, которых в портале уже нет",
        "нет в карте каналов: source_id «Авито» (uc_av), лидов и сделок 41",
        "обращения: смарт-процесс «Рекламации», воронка «Общая»",
        "валюты сделок: RUB 1 400, EUR 100;",
        "налог указан в 750 из 1 500 сделок (50 %)",
    ],
)
def test_every_proposal_has_its_measured_reason(reason: str) -> None:
    """A line without a number has to be believed; with one it can be looked at in the portal."""
    assert reason in proposed().to_yaml().replace("\u00a0", " ")


def test_what_is_not_sure_does_not_take_effect() -> None:
    """A field that is filled on lost deals may be anything; a user without a name may be a person."""
    lines = proposed().to_yaml().splitlines()
    assert "# loss_reason_field: UF_CRM_1" in lines
    assert "# excluded_user_ids: [2, 4]" in lines


def test_a_product_that_is_called_like_a_test_is_not_excluded() -> None:
    """Who sells testers would lose his sales to a regular expression."""
    found = proposed({("deals", (("=%TITLE", "тест%"),)): 200})
    assert "test_title_regex" not in found.values()
    assert '# test_title_regex: "^(тест|test)"' in found.to_yaml()


def test_without_leads_requests_are_counted() -> None:
    """In simple CRM mode all figures of leads would be 0."""
    found = proposed({("leads", ()): 0})
    assert found.values()["lead_mode"] == "requests"
    assert "qualified_lead_status_ids" not in found.values()
    assert "lead_mode" not in proposed({("leads", ()): 0, ("deals", ()): 0}).values()  # nothing there yet


def test_a_portal_with_nothing_in_it_needs_no_rules() -> None:
    """A company that has just begun, or a webhook that may see nothing."""
    found = propose(Portal("портал", lambda questions: [0] * len(questions)), [])
    assert found.values() == {}
    assert found.inputs == {}
    assert parse_rules(found.to_yaml(), "rules.yml").dbt_vars() == {}


def test_the_proposal_is_accepted_as_it_is() -> None:
    """A file of ours that our own check refuses would stop the next run."""
    found = proposed()
    assert parse_rules(found.to_yaml(), "rules.yml").dbt_vars() == found.values()


def test_names_of_the_portal_cannot_break_out_of_their_comment() -> None:
    """A department may be called anything, a line break in it too."""
    changed = [{"entity_type_id": "2", "id": "7", "name": "Тест\nabc_a: 0.1\r\nabc_b: 0.2\u2028x"}]
    found = propose(Portal("портал", portal().count, DICTIONARIES | {"pipelines": changed}), [])
    assert parse_rules(found.to_yaml(), "rules.yml").dbt_vars() == found.values()


def test_lines_of_input_files_fit_their_files() -> None:
    """Copied into `inputs`, they must not be refused there."""
    found = proposed()
    assert {name: len(rows) for name, rows in found.inputs.items()} == {"channel_map": 1, "support_sources": 1}
    for name, rows in found.inputs.items():
        for row in rows:
            FILES[name].model_validate({key: value for key, value in row.items() if value})
    assert found.inputs["channel_map"][0]["priority"] == "150"
    assert found.inputs["support_sources"] == [
        {"source_type": "process", "entity_type_id": "130", "pipeline_key": "21", "topic_field": ""}
    ]


@pytest.mark.parametrize(
    ("lines", "proposals"),
    [
        ("process;130;21;UF_CRM_1", 0),  # the topic is the person's own
        ("process;130;;", 0),  # all of its pipelines
        ("process;130;22;", 1),
        ("pipeline;130;21;", 1),
        ("telepathy;130;21;", 1),  # a run would refuse it
    ],
)
def test_named_sources_of_tickets_are_not_proposed_again(tmp_path: Path, lines: str, proposals: int) -> None:
    """A second line for one pipeline would stop the file at the next run. The file is one that Excel saved."""
    text = f"source_type;entity_type_id;pipeline_key;topic_field\r\n{lines}\r\n"
    (tmp_path / "support_sources.csv").write_bytes(text.encode("cp1251"))
    found = propose(portal(), [], support_sources(tmp_path))
    assert len(found.inputs.get("support_sources", [])) == proposals
    assert sum("обращения" in remark for remark in found.remarks) == proposals


def test_a_file_that_is_there_is_left_alone_and_compared(tmp_path: Path) -> None:
    """Weeks of a person's decisions must not go because somebody was curious."""
    settings = Settings(_env_file=None, rules_path=tmp_path / "rules.yml", inputs_path=tmp_path / "inputs")
    mine = "excluded_category_ids: [7]\nabc_a: 0.7\nloss_reason_field: UF_CRM_9\n"
    settings.rules_path.write_text(mine)
    said: list[str] = []
    write(proposed(), settings, force=False, say=said.append)
    assert settings.rules_path.read_text() == mine
    assert "  loss_reason_field: в файле UF_CRM_9, предложено UF_CRM_2" in said
    assert "  abc_a: в файле 0.7, предложено нет" in said
    assert not any("excluded_category_ids: в файле" in line for line in said)
    write(proposed(), settings, force=True, say=said.append)
    assert parse_rules(settings.rules_path.read_text(), "rules.yml").dbt_vars() == proposed().values()


def test_rows_are_counted_as_the_portal_would() -> None:
    """Empty texts, empty lists and rows that are gone are no values."""
    con = duckdb.connect()
    con.execute("create schema raw_bitrix24")
    con.execute("create table raw_bitrix24.deals (title text, company_id text, uf_crm_1 text, _deleted_at text)")
    con.execute(
        "insert into raw_bitrix24.deals values ('Тест 1', '5', '3007', null), ('Протест', '0', '', null), "
        "('ТЕСТОВАЯ', null, '[]', null), ('тест', '7', '1', '2026-01-01')"
    )
    questions: list[tuple[dict[str, Any], int]] = [
        ({}, 3), ({"=%TITLE": "тест%"}, 2), ({">COMPANY_ID": 0}, 1), ({"!UF_CRM_1": ""}, 1), ({"!UF_CRM_2": ""}, 0),
        ({"COMPANY_ID": "5", "!UF_CRM_1": ""}, 1),
    ]  # fmt: skip
    assert count_here(con, [Question("deals", where) for where, _ in questions]) == [count for _, count in questions]


def test_the_stand_in_portal_is_read_to_the_same_proposal(tmp_path: Path) -> None:
    """The dictionaries and counts of a whole portal, over HTTP, through the check of rules."""
    world = World.generate(7, 300, NOW)
    with (
        running_portal(world, PortalOptions(limits=False)) as control,
        BitrixClient(Webhook.parse(control.webhook_url)) as client,
    ):
        truth = control.truth()
        found = propose(survey_portal(client), channel_rules(tmp_path))
    assert parse_rules(found.to_yaml(), "rules.yml").dbt_vars() == found.values()
    assert found.values()["loss_reason_field"] == "UF_CRM_1717100010"
    assert found.values()["qualified_lead_status_ids"] == ["UC_QUAL01"]
    assert f"из {len(truth['deals'])} сделок" in found.to_yaml()
