"""Topics and marks of support tickets in custom fields, and what is told of a portal that has none of it."""

from datetime import datetime
from typing import Any

import pytest
from traps.mechanism import VARS
from traps.sql_project import Project

TOPIC, MARK = "UF_CRM_2_1717700001", "UF_CRM_2_1717700004"
DEAL_TOPIC = "UF_CRM_1717100020"
CREATED, SOLVED = "2026-06-01T10:00:00+03:00", "2026-06-03T10:00:00+03:00"
MARTS = ("project_performance", "service_quality", "campaign_engagement", "kpi_targets", "process_changes")


def item(number: int, custom_fields: dict[str, Any]) -> dict[str, Any]:
    card = {"id": number, "title": "", "createdTime": CREATED, "movedTime": SOLVED, "stageId": "DT1036_15:SUCCESS"}
    return {**card, "entityTypeId": 1036, "categoryId": 15, **custom_fields}


@pytest.fixture
def project() -> Project:
    """A process whose topic is a list (one item has two), a pipeline whose topic is a text, and a slip of the pen."""
    project = Project()
    for number, entity, code, kind in ((1, "CRM_2", TOPIC, "enumeration"), (2, "CRM_2", MARK, "integer")):
        field = {"ID": str(number), "ENTITY_ID": entity, "FIELD_NAME": code, "USER_TYPE_ID": kind, "MULTIPLE": "N"}
        project.raw("custom_fields", field)
    field = {"ENTITY_ID": "CRM_DEAL", "FIELD_NAME": DEAL_TOPIC, "USER_TYPE_ID": "string", "MULTIPLE": "N"}
    project.raw("custom_fields", {**field, "ID": "3"})
    project.execute("insert into ops.custom_field_names values ('CRM_DEAL', ?, 'tema', 'Тема', now())", DEAL_TOPIC)
    for number, label in (("11", "Гарантия"), ("12", "Сроки")):
        project.raw("custom_field_options", {"ENTITY_ID": "CRM_2", "FIELD_NAME": TOPIC, "ID": number, "VALUE": label})
    success = {"ID": "1", "ENTITY_ID": "DYNAMIC_1036_STAGE_15", "STATUS_ID": "DT1036_15:SUCCESS", "NAME": "Решено"}
    project.raw("statuses", {**success, "SORT": "10", "SEMANTICS": "S", "CATEGORY_ID": "15", "EXTRA": []})
    project.raw("currencies", {"CURRENCY": "RUB", "BASE": "Y", "AMOUNT": "1", "AMOUNT_CNT": "1"})
    fields: tuple[dict[str, Any], ...] = ({TOPIC: "11", MARK: "5"}, {TOPIC: ["12", "11"], MARK: None}, {TOPIC: None})
    project.raw("process_items", *(item(number, values) for number, values in enumerate(fields, 1)))
    deal = {"ID": "7", "CATEGORY_ID": "3", "STAGE_ID": "C3:NEW", "STAGE_SEMANTIC_ID": "P", "DATE_CREATE": CREATED}
    project.raw("deals", {**deal, "OPPORTUNITY": "1", "CURRENCY_ID": "RUB", DEAL_TOPIC: "Монтаж"})
    lines = (("process", "1036", "", TOPIC.lower()), ("pipeline", "", "3", DEAL_TOPIC), ("process", "128", "", '"$'))
    for number, line in enumerate(lines):
        columns = "source_type, entity_type_id, pipeline_key, topic_field, row_number"
        project.execute(f"insert into raw_files.support_sources ({columns}) values (?, ?, ?, ?, ?)", *line, str(number))
    return project


def test_a_topic_and_a_mark_are_read_as_the_portal_shows_them(
    project: Project, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The number of an option says nothing, and a field of deals lies elsewhere than one of a process."""
    monkeypatch.setitem(VARS, "csat_field", MARK.lower())
    found = project.read("fct_survey_answers", "ticket_key, survey, score, answered_at")
    assert found == [("process_1036_1", "csat", 5, datetime.fromisoformat(SOLVED))]
    assert project.read("fct_support_tickets", "ticket_key, topic") == [
        ("pipeline_7", "Монтаж"),
        ("process_1036_1", "Гарантия"),
        ("process_1036_2", "Сроки"),
        ("process_1036_3", "Не определено"),
    ]


def test_a_portal_without_any_of_it_has_empty_marts_and_is_in_order() -> None:
    """Nothing to look at is no fault, and no reason to build nothing."""
    empty = Project()
    assert {mart: empty.read(mart, "*") for mart in MARTS} == {mart: [] for mart in MARTS}
    assert empty.read("data_quality", "value, is_ok", "check_name = 'overall'") == [(0, True)]
