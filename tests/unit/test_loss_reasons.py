"""The reason of a loss: the custom field that var loss_reason_field names, else the stage the deal failed in."""

import pytest
from traps.mechanism import VARS
from traps.sql_project import Project

REASON = "UF_CRM_1717100010"
CREATED, CLOSED = "2026-06-01T10:00:00+03:00", "2026-06-03T10:00:00+03:00"
CARD = {"OPPORTUNITY": "1", "CURRENCY_ID": "RUB", "DATE_CREATE": CREATED}
LOST = {**CARD, "CATEGORY_ID": "0", "STAGE_ID": "LOSE", "STAGE_SEMANTIC_ID": "F", "MOVED_TIME": CLOSED}
JUNK = {**CARD, "STATUS_ID": "JUNK", "STATUS_SEMANTIC_ID": "F", "DATE_CLOSED": CLOSED}
KNOWN_FIELD = "insert into ops.custom_field_names values (?, ?, 'prichina', 'Причина', now())"


@pytest.fixture
def project() -> Project:
    """A portal that keeps the reason in a list on deals, and as a text under the same code on leads."""
    project = Project()
    field = {"FIELD_NAME": REASON, "MULTIPLE": "N"}
    deals, leads = {"ENTITY_ID": "CRM_DEAL"}, {"ENTITY_ID": "CRM_LEAD"}
    project.raw("custom_fields", {**field, **deals, "ID": "1", "USER_TYPE_ID": "enumeration"})
    project.raw("custom_fields", {**field, **leads, "ID": "2", "USER_TYPE_ID": "string"})
    project.raw("custom_field_options", {**deals, "FIELD_NAME": REASON, "ID": "3001", "VALUE": "Дорого"})
    for entity in ("CRM_DEAL", "CRM_LEAD"):
        project.execute(KNOWN_FIELD, entity, REASON)
    names = ((1, "DEAL_STAGE", "LOSE", "Провал"), (2, "STATUS", "JUNK", "Брак"))
    for number, dictionary, code, name in names:
        row = {"ENTITY_ID": dictionary, "STATUS_ID": code, "NAME": name, "SORT": "10", "SEMANTICS": "F", "EXTRA": []}
        project.raw("statuses", {"ID": str(number), **row})
    project.raw("currencies", {"CURRENCY": "RUB", "BASE": "Y", "AMOUNT": "1", "AMOUNT_CNT": "1"})
    project.raw("deals", {**LOST, "ID": "1", REASON: "3001"}, {**LOST, "ID": "2", REASON: ""})
    project.raw("deals", {**LOST, "ID": "3", "STAGE_ID": "WON", "STAGE_SEMANTIC_ID": "S", REASON: "3001"})
    project.raw("leads", {**JUNK, "ID": "1", REASON: "Ошиблись номером"}, {**JUNK, "ID": "2"})
    return project


def reasons(project: Project) -> list[tuple[str, str]]:
    return [(entity, reason) for entity, reason in project.read("loss_analysis", "entity, loss_reason")]


def test_the_field_tells_the_reason_where_it_is_filled(project: Project, monkeypatch: pytest.MonkeyPatch) -> None:
    """An option would show as its number, a card without the field would have no reason, or a won deal one."""
    monkeypatch.setitem(VARS, "loss_reason_field", REASON.lower())
    found = reasons(project)
    assert found == [("deal", "Дорого"), ("deal", "Провал"), ("lead", "Брак"), ("lead", "Ошиблись номером")]
    assert project.read("fct_deals", "deal_id, loss_reason") == [(1, "Дорого"), (2, "Провал"), (3, None)]


def test_without_a_field_the_failure_stage_is_the_reason(project: Project) -> None:
    assert reasons(project) == [("deal", "Провал"), ("lead", "Брак")]
