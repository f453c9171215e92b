"""The stand-in portal's data: the same for a seed, consistent with itself, and as messy as real portals are."""

import csv
import hashlib
import json
import os
import subprocess
import sys
from collections import Counter, defaultdict
from collections.abc import Callable, Iterator
from copy import deepcopy
from datetime import date, datetime, timedelta
from decimal import Decimal
from itertools import groupby, pairwise
from pathlib import Path
from typing import Any

import pytest

from demo.world import ID_FIELDS, TABLE_NAMES, WITHOUT_ID, World
from dlt_sources.bitrix24 import schema

NOW = datetime.fromisoformat("2026-06-15T12:00:00+03:00")
DEALS = 700
Row = dict[str, Any]
Truth = dict[str, Any]

UF_TABLES = {"leads": "CRM_LEAD", "deals": "CRM_DEAL", "contacts": "CRM_CONTACT", "companies": "CRM_COMPANY"}
# dates that somebody planned; an activity that is not done yet lies ahead as a whole
PLANNED = {"CLOSEDATE", "DEADLINE", "deadline", "ACTUAL_DATE", "closedate", "projectDateFinish"}
# raw tables whose rows are not those of the wire
RESHAPED = {"deal_contacts", "contact_companies", "openline_sessions", "task_history"}
MODIFIED = {
    **dict.fromkeys(UF_TABLES, "DATE_MODIFY"),
    "activities": "LAST_UPDATED",
    "tasks": "changedDate",
}
# columns that a portal changes without moving the time of modification
SILENT = {"LAST_ACTIVITY_TIME", "LAST_ACTIVITY_BY", "subStatus"}


@pytest.fixture(scope="module")
def truth() -> Truth:
    """A company of two years, read only."""
    return World.generate(7, DEALS, NOW).truth()


@pytest.fixture(scope="module")
def later() -> tuple[Truth, Truth]:
    """The same company before and after four days without deletions."""
    world = World.generate(7, DEALS, NOW)
    before = deepcopy(world.truth())
    world.advance(4)
    return before, world.truth()


@pytest.fixture(scope="module")
def shredded() -> tuple[Truth, Truth]:
    """The same company before and after a day with deletions."""
    world = World.generate(7, DEALS, NOW)
    before = deepcopy(world.truth())
    world.advance(1, deletions=True)
    return before, world.truth()


def by_id(rows: list[Row]) -> dict[int, Row]:
    return {int(row["ID"] if "ID" in row else row["id"]): row for row in rows}


def at(text: str) -> datetime:
    return datetime.fromisoformat(text)


def histories(truth: Truth, table: str) -> dict[int, list[Row]]:
    found: dict[int, list[Row]] = defaultdict(list)
    for row in sorted(truth[table], key=lambda row: (at(row["CREATED_TIME"]), row["ID"])):
        found[row["OWNER_ID"]].append(row)
    return found


def moments(value: Any, key: str = "") -> Iterator[tuple[str, datetime]]:
    """Every instant in a row, with the key it stands under."""
    if isinstance(value, dict):
        for name, inner in value.items():
            yield from moments(inner, name)
    elif isinstance(value, list):
        for inner in value:
            yield from moments(inner, key)
    elif isinstance(value, str) and len(value) == 25 and value[10] == "T":
        yield key, at(value)


def digest(truth: Truth) -> str:
    return hashlib.sha256(json.dumps(truth, ensure_ascii=False).encode()).hexdigest()


# sameness


def test_a_seed_gives_the_same_bytes_in_any_process() -> None:
    """Order of a set or of a hash would make two portals of one seed differ."""
    program = (
        "import hashlib, json; from datetime import datetime; from demo.world import World\n"
        f"world = World.generate(3, 80, datetime.fromisoformat('{NOW.isoformat()}'))\n"
        "world.advance(2, deletions=True)\n"
        "print(hashlib.sha256(json.dumps(world.truth(), ensure_ascii=False).encode()).hexdigest())"
    )
    printed = {
        subprocess.run(
            [sys.executable, "-c", program],
            env={**os.environ, "PYTHONHASHSEED": hash_seed},
            check=True,
            capture_output=True,
            text=True,
        ).stdout
        for hash_seed in ("1", "2")
    }
    world = World.generate(3, 80, NOW)
    world.advance(2, deletions=True)
    assert printed == {f"{digest(world.truth())}\n"}


def test_another_seed_gives_another_company() -> None:
    """A seed that is not used would let tests of many seeds prove one world many times."""
    first, second = (World.generate(seed, 60, NOW).truth() for seed in (1, 2))
    assert first["deals"] != second["deals"]
    assert first["users"] != second["users"]


def test_two_days_at_once_equal_two_single_days() -> None:
    """A day must depend on the seed and the day alone, not on how often the clock was moved."""
    at_once, singly = World.generate(5, 120, NOW), World.generate(5, 120, NOW)
    at_once.advance(2)
    singly.advance(1)
    singly.advance(1)
    assert digest(at_once.truth()) == digest(singly.truth())


def test_a_world_cannot_stand_still_or_go_back() -> None:
    """A step of no days would silently do nothing."""
    with pytest.raises(ValueError, match="at least 1"):
        World.generate(1, 40, NOW).advance(0)


# shape


def test_truth_has_every_table_and_survives_json(truth: Truth) -> None:
    """The calculator reads the dump and finds tables by the names of the raw contract."""
    names = set(schema.TABLES) - {"currency_rates", "custom_field_options"}
    assert names <= set(TABLE_NAMES)
    assert set(truth) == {*TABLE_NAMES, "meta", "deleted", "merged", "restored", "cbr_rates"}
    assert all(truth[name] for name in TABLE_NAMES)
    assert truth["meta"] == {"now": NOW.isoformat(), "utc_offset": "+03:00", "base_currency": "RUB", "seed": 7}
    assert json.loads(json.dumps(truth)) == truth


def test_sizes_follow_the_number_of_deals(truth: Truth) -> None:
    """A benchmark of 200 000 deals must know what else it gets."""
    assert len(truth["deals"]) == DEALS
    shares = {name: len(truth[name]) / DEALS for name in TABLE_NAMES}
    for name, share in {
        "leads": 1.3, "contacts": 0.8, "companies": 0.4, "activities": 3.3, "calls": 2.0, "tasks": 0.85,
        "time_entries": 0.5,
    }.items():  # fmt: skip
        assert share * 0.75 < shares[name] < share * 1.3, name
    assert 40 <= len(truth["users"]) <= 60
    spans = [at(deal["DATE_CREATE"]) for deal in truth["deals"]]
    assert timedelta(days=715) < max(spans) - min(spans) <= timedelta(days=730)


@pytest.mark.parametrize("name", [name for name in TABLE_NAMES if name in schema.TABLES and name not in RESHAPED])
def test_rows_carry_every_column_the_raw_contract_declares(truth: Truth, name: str) -> None:
    """A column that the world never prints would stay empty in every mart without anybody noticing."""
    printed = {key for row in truth[name] for key in row}
    snake = {
        "".join(f"_{c.lower()}" if c.isupper() else c for c in key) if key[0].islower() else key.lower()
        for key in printed
    }
    declared = {column for column in schema.TABLES[name] if not column.startswith("_")} - {"custom_fields"}
    assert declared <= snake


def test_the_world_stores_rows_under_their_ids_in_ascending_order() -> None:
    """Keyset walks and the server's pages rely on the order."""
    world = World.generate(9, 150, NOW)
    world.advance(1, deletions=True)
    for name, table in world.tables.items():
        assert list(table.rows) == sorted(table.rows), name
        if name == "currencies" or name in WITHOUT_ID:
            continue
        printed = [int(row[ID_FIELDS.get(name) or ("ID" if "ID" in row else "id")]) for row in table.rows.values()]
        assert printed == list(table.rows), name


# time


def test_ids_grow_with_time(truth: Truth) -> None:
    """A cursor by id misses rows if a later id may be older."""
    for name, key in {
        "leads": "DATE_CREATE", "deals": "DATE_CREATE", "contacts": "DATE_CREATE", "companies": "DATE_CREATE",
        "activities": "CREATED", "tasks": "createdDate",
        "deal_stage_history": "CREATED_TIME", "lead_stage_history": "CREATED_TIME",
    }.items():  # fmt: skip
        rows = by_id(truth[name])
        ordered = [at(rows[row_id][key]) for row_id in sorted(rows)]
        assert ordered == sorted(ordered), name


def test_nothing_happens_in_the_future(truth: Truth, later: tuple[Truth, Truth]) -> None:
    """Only plans may lie ahead of the portal's clock."""
    for world in (truth, later[1]):
        now = at(world["meta"]["now"])
        for name in TABLE_NAMES:
            for row in world[name]:
                planned = PLANNED | ({"START_TIME", "END_TIME"} if row.get("COMPLETED") == "N" else set())
                late = [(key, moment) for key, moment in moments(row) if moment > now and key not in planned]
                if row.get("COMPLETED") == "Y":  # done ahead of its time
                    late = [(key, moment) for key, moment in late if key not in ("START_TIME", "END_TIME")]
                assert not late, (name, row.get("ID"), late)


def test_entities_and_history_print_different_offsets(truth: Truth) -> None:
    """A pipeline that compares instants as text has to fail here."""
    assert {row["CREATED_TIME"][-6:] for row in truth["deal_stage_history"]} == {"+00:00"}
    assert {row["DATE_CREATE"][-6:] for row in truth["deals"]} == {"+03:00"}


def test_a_row_was_modified_no_earlier_than_anything_in_its_history(truth: Truth, later: tuple[Truth, Truth]) -> None:
    """A change that leaves DATE_MODIFY behind would never be read by a cursor."""
    for world in (truth, later[1]):
        for entities, history in (("deals", "deal_stage_history"), ("leads", "lead_stage_history")):
            rows = by_id(world[entities])
            for entry in world[history]:
                assert at(entry["CREATED_TIME"]) <= at(rows[entry["OWNER_ID"]]["DATE_MODIFY"])
        for name in UF_TABLES:
            for row in world[name]:
                last = max(at(row[key]) for key in ("DATE_CREATE", "MOVED_TIME") if row.get(key))
                assert at(row["DATE_MODIFY"]) >= last


def test_business_has_office_hours_growth_and_weekends(truth: Truth) -> None:
    """Marts by weekday and month need a rhythm to show."""
    created = [at(deal["DATE_CREATE"]) for deal in truth["deals"]]
    weekend = sum(moment.weekday() >= 5 for moment in created) / DEALS
    assert 0 < weekend < 0.1
    office = sum(8 <= moment.hour < 20 for moment in created if moment.hour) / DEALS
    assert office > 0.9
    first, second = (sum(low <= moment < high for moment in created) for low, high in (
        (NOW - timedelta(days=730), NOW - timedelta(days=365)), (NOW - timedelta(days=365), NOW)))  # fmt: skip
    assert second > first * 1.05


# stages


def lagging(truth: Truth) -> list[Row]:
    history = histories(truth, "deal_stage_history")
    return [
        deal
        for deal in truth["deals"]
        if (rows := history.get(int(deal["ID"]))) and rows[-1]["STAGE_ID"] != deal["STAGE_ID"]
    ]


def test_history_ends_where_the_row_stands(truth: Truth) -> None:
    """Save for a few lagging deals and the old imports, the last history row is the row's stage."""
    history = histories(truth, "deal_stage_history")
    imported = {int(deal["ID"]) for deal in truth["deals"] if deal["ORIGINATOR_ID"] == "1C"}
    assert {int(deal["ID"]) for deal in truth["deals"]} - history.keys() == imported
    assert len(imported) == round(DEALS * 0.01)
    late = {deal["ID"] for deal in lagging(truth)}
    assert 1 <= len(late) <= DEALS * 0.02
    for deal in truth["deals"]:
        if deal["ID"] in late or int(deal["ID"]) in imported:
            continue
        last = history[int(deal["ID"])][-1]
        assert last["CATEGORY_ID"] == int(deal["CATEGORY_ID"])
        assert last["STAGE_SEMANTIC_ID"] == deal["STAGE_SEMANTIC_ID"]
    of_leads = histories(truth, "lead_stage_history")
    for lead in truth["leads"]:
        last = of_leads[int(lead["ID"])][-1]
        assert (last["STATUS_ID"], last["STATUS_SEMANTIC_ID"]) == (lead["STATUS_ID"], lead["STATUS_SEMANTIC_ID"])


def test_history_types_tell_what_happened(truth: Truth) -> None:
    """1 opens every history, 3 stands on final stages only, 5 is followed by 2 in the new pipeline."""
    for rows in histories(truth, "deal_stage_history").values():
        assert [row["TYPE_ID"] for row in rows].count(1) == 1
        assert rows[0]["TYPE_ID"] == 1
        for before, row in pairwise(rows):
            if row["TYPE_ID"] == 2:
                assert row["STAGE_SEMANTIC_ID"] == "P"
            if row["TYPE_ID"] == 3:
                assert row["STAGE_SEMANTIC_ID"] in ("S", "F")
            assert (row["TYPE_ID"] == 5) == (row["CATEGORY_ID"] != before["CATEGORY_ID"])
            if before["TYPE_ID"] == 5:
                assert (row["TYPE_ID"], row["CATEGORY_ID"]) == (2, before["CATEGORY_ID"])


def journeys(truth: Truth) -> list[list[Row]]:
    return list(histories(truth, "deal_stage_history").values())


def positions(truth: Truth) -> dict[str, int]:
    """Position of each living stage in work, by sort order and then by the row's id."""
    stages = [
        row for row in truth["statuses"] if row["ENTITY_ID"].startswith("DEAL_STAGE") and row["SEMANTICS"] in (None, "")
    ]
    stages.sort(key=lambda row: (row["ENTITY_ID"], int(row["SORT"]), int(row["ID"])))
    found: dict[str, int] = {}
    for _, group in groupby(stages, key=lambda row: str(row["ENTITY_ID"])):
        found |= {row["STATUS_ID"]: place for place, row in enumerate(group, 1)}
    return found


def test_journeys_have_every_kind_of_turn(truth: Truth) -> None:
    """Skips, steps back, reopenings, pipeline moves, ties within a second, repeats, late starts."""
    place = positions(truth)
    turns: Counter[str] = Counter()
    for rows in journeys(truth):
        turns["late start"] += place.get(rows[0]["STAGE_ID"], 1) > 1
        turns["starts final"] += rows[0]["STAGE_SEMANTIC_ID"] != "P"
        for before, row in pairwise(rows):
            old, new = place.get(before["STAGE_ID"]), place.get(row["STAGE_ID"])
            same_pipeline = before["CATEGORY_ID"] == row["CATEGORY_ID"]
            if same_pipeline and old and new:
                turns["step on"] += new == old + 1
                turns["skip"] += new > old + 1
                turns["step back"] += new < old
            turns["reopened"] += before["STAGE_SEMANTIC_ID"] != "P" and row["STAGE_SEMANTIC_ID"] == "P"
            turns["pipeline move"] += not same_pipeline
            turns["same second"] += before["CREATED_TIME"] == row["CREATED_TIME"] and old != new
            turns["repeat"] += before["STAGE_ID"] == row["STAGE_ID"] and before["TYPE_ID"] != 5
    for kind in (
        "late start", "starts final", "step on", "skip", "step back", "reopened", "pipeline move", "same second",
        "repeat",
    ):  # fmt: skip
        assert turns[kind] > 0, (kind, turns)
    assert turns["step on"] > 5 * turns["step back"]


def test_pipelines_have_ties_gaps_and_own_failures(truth: Truth) -> None:
    """Positions must come from the order, never from the numbers, and a loss may be called anything."""
    assert {row["id"] for row in truth["pipelines"]} >= {0, 1, 3, 5}
    sorts: dict[str, list[int]] = defaultdict(list)
    failures: dict[str, set[str]] = defaultdict(set)
    for row in truth["statuses"]:
        if row["ENTITY_ID"].startswith("DEAL_STAGE"):
            sorts[row["ENTITY_ID"]].append(int(row["SORT"]))
            if row["SEMANTICS"] == "F":
                failures[row["ENTITY_ID"]].add(row["STATUS_ID"])
    assert any(len(set(values)) < len(values) for values in sorts.values())
    assert any(max(b - a for a, b in pairwise(sorted(values))) > 10 for values in sorts.values())
    assert failures["DEAL_STAGE"] > {"LOSE", "APOLOGY"}


def test_deleted_stages_and_a_deleted_pipeline_live_on_in_the_rows(truth: Truth) -> None:
    """What an administrator deleted is still where deals were, and some still are."""
    known = {row["STATUS_ID"] for row in truth["statuses"]}
    used = {row["STAGE_ID"] for row in truth["deal_stage_history"]}
    gone = {"C3:UC_OLDCHK", "C3:UC_OLDBAN"}
    assert gone <= used - known
    assert any(deal["STAGE_ID"] in gone and deal["STAGE_SEMANTIC_ID"] == "P" for deal in truth["deals"])
    deleted_pipeline = {deal["STAGE_SEMANTIC_ID"] for deal in truth["deals"] if deal["CATEGORY_ID"] == "7"}
    assert {"S", "F"} <= deleted_pipeline
    assert 7 not in {row["id"] for row in truth["pipelines"]}
    assert not any(code.startswith("C7:") for code in known)


def test_the_funnel_is_believable(truth: Truth) -> None:
    """About a quarter of closed deals is won, stages thin out, managers differ."""
    outcomes = Counter(deal["STAGE_SEMANTIC_ID"] for deal in truth["deals"])
    assert 0.18 < outcomes["S"] / (outcomes["S"] + outcomes["F"]) < 0.33
    assert 0.03 < outcomes["P"] / DEALS < 0.15
    path = ["NEW", "PREPARATION", "EXECUTING", "WON"]
    reached = Counter(row["STAGE_ID"] for row in truth["deal_stage_history"] if row["CATEGORY_ID"] == 0)
    counts = [reached[stage] for stage in path]
    assert counts == sorted(counts, reverse=True)
    closed: dict[str, Counter[str]] = defaultdict(Counter)
    for deal in truth["deals"]:
        closed[deal["ASSIGNED_BY_ID"]][deal["STAGE_SEMANTIC_ID"]] += 1
    rates = [c["S"] / (c["S"] + c["F"]) for c in closed.values() if c["S"] + c["F"] >= 15]
    assert max(rates) > 1.5 * min(rates)


# leads and clients


def test_leads_come_from_everywhere(truth: Truth) -> None:
    """Labels in odd case and spacing, unknown ones, remarketing, open lines, and none at all."""
    sources = {lead["UTM_SOURCE"] for lead in truth["leads"]}
    assert {"yandex", " Yandex ", "google", "vk", "telegram", "email", "habr", None, ""} <= sources
    assert any(lead["UTM_SOURCE"] == "vk" and "remarketing" in lead["UTM_MEDIUM"] for lead in truth["leads"])
    ids = {lead["SOURCE_ID"] for lead in truth["leads"]}
    assert {"1|OPENLINE", "UC_AVITO7", "CALL", None} <= ids
    outcomes = Counter(lead["STATUS_SEMANTIC_ID"] for lead in truth["leads"])
    assert set(outcomes) == {"P", "S", "F"}
    assert any(lead["IS_RETURN_CUSTOMER"] == "Y" for lead in truth["leads"])
    assert any("PHONE" not in lead for lead in truth["leads"])
    for lead in truth["leads"]:
        assert (lead["DATE_CLOSED"] == "") == (lead["STATUS_SEMANTIC_ID"] == "P")


def test_converted_leads_have_none_one_or_two_deals(truth: Truth) -> None:
    """A lead's deals are counted once or not at all by a careless join."""
    deals_of = Counter(deal["LEAD_ID"] for deal in truth["deals"] if deal["LEAD_ID"] not in (None, "0"))
    converted = {lead["ID"] for lead in truth["leads"] if lead["STATUS_ID"] == "CONVERTED"}
    assert set(deals_of) <= converted
    assert {deals_of.get(lead_id, 0) for lead_id in converted} >= {0, 1, 2}
    assert 0.4 * DEALS < sum(deals_of.values()) < 0.6 * DEALS
    assert {deal["LEAD_ID"] for deal in truth["deals"]} >= {None, "0"}
    leads = by_id(truth["leads"])
    for deal in truth["deals"]:
        if deal["LEAD_ID"] not in (None, "0"):
            assert at(leads[int(deal["LEAD_ID"])]["DATE_CREATE"]) <= at(deal["DATE_CREATE"])


def test_clients_are_companies_contacts_nobody_and_ourselves(truth: Truth) -> None:
    """Client resolution has to meet all of its branches, the dangling ones included."""
    companies, contacts = by_id(truth["companies"]), by_id(truth["contacts"])
    own = {row_id for row_id, row in companies.items() if row["IS_MY_COMPANY"] == "Y"}
    kinds: Counter[str] = Counter()
    won: Counter[str] = Counter()
    for deal in truth["deals"]:
        company, contact = int(deal["COMPANY_ID"] or 0), int(deal["CONTACT_ID"] or 0)
        kinds["own company with a contact"] += company in own and contact in contacts
        kinds["company"] += company in companies and company not in own
        kinds["contact"] += not company and contact in contacts
        kinds["nobody"] += not company and not contact
        kinds["deleted company"] += bool(company) and company not in companies
        kinds["deleted contact"] += bool(contact) and contact not in contacts
        if company and company not in own and deal["STAGE_SEMANTIC_ID"] == "S":
            won[deal["COMPANY_ID"]] += 1
    assert len(kinds) == 6
    assert all(kinds.values()), kinds
    assert max(won.values()) >= 3
    assert len(own) == 2


def test_references_lead_to_rows(truth: Truth) -> None:
    """Beside the deleted ones on purpose, a link must lead somewhere, or marts lose rows for no reason."""
    contacts, companies, leads = (by_id(truth[name]) for name in ("contacts", "companies", "leads"))
    deals, tasks = by_id(truth["deals"]), by_id(truth["tasks"])
    owners = {"1": leads, "2": deals, "3": contacts, "4": companies}
    for contact in truth["contacts"]:
        assert int(contact["COMPANY_ID"] or 0) in companies or contact["COMPANY_ID"] in (None, "0")
    for activity in truth["activities"]:
        assert activity["BINDINGS"][0] == {
            "OWNER_TYPE_ID": activity["OWNER_TYPE_ID"],
            "OWNER_ID": activity["OWNER_ID"],
        }
        for binding in activity["BINDINGS"]:
            assert int(binding["OWNER_ID"]) in owners[binding["OWNER_TYPE_ID"]]
    activities = by_id(truth["activities"])
    for call in truth["calls"]:
        if call["CRM_ENTITY_TYPE"]:
            entity = {"LEAD": leads, "CONTACT": contacts, "COMPANY": companies}[call["CRM_ENTITY_TYPE"]]
            assert int(call["CRM_ENTITY_ID"]) in entity
        if call["CRM_ACTIVITY_ID"]:
            assert activities[int(call["CRM_ACTIVITY_ID"])]["PROVIDER_ID"] == "VOXIMPLANT_CALL"
    assert all(int(entry["TASK_ID"]) in tasks for entry in truth["time_entries"])
    assert all(row["ownerId"] in deals for row in truth["deal_product_rows"])
    assert {row["OWNER_ID"] for row in truth["deal_stage_history"]} <= deals.keys()


# money and products


def test_money_comes_in_known_currencies_and_one_amount_is_a_slip(truth: Truth) -> None:
    """Amounts that do not fit, zeros, kopecks and foreign currencies all have to pass the marts."""
    currencies = {row["CURRENCY"]: row for row in truth["currencies"]}
    assert [code for code, row in currencies.items() if row["BASE"] == "Y"] == ["RUB"]
    assert {row["AMOUNT_CNT"] for row in truth["currencies"]} == {"1", "100"}
    used = Counter(deal["CURRENCY_ID"] for deal in truth["deals"])
    assert set(used) == set(currencies)
    assert 0.05 < 1 - used["RUB"] / DEALS < 0.16
    amounts = [Decimal(deal["OPPORTUNITY"]) for deal in truth["deals"]]
    assert sum(amount >= Decimal(10) ** 16 for amount in amounts) == 1
    assert any(amount == 0 for amount in amounts)
    assert any(amount % 1 for amount in amounts)
    assert "RUR" in {call["COST_CURRENCY"] for call in truth["calls"]}


def test_product_rows_equal_the_amount_or_not(truth: Truth) -> None:
    """An amount bound to its rows equals their sum; one typed by hand may differ."""
    rows: dict[int, list[Row]] = defaultdict(list)
    for row in truth["deal_product_rows"]:
        rows[row["ownerId"]].append(row)
    assert 0.6 < len(rows) / DEALS < 0.8
    assert max(len(found) for found in rows.values()) > 100
    differs = 0
    for deal in truth["deals"]:
        found = rows.get(int(deal["ID"]))
        if not found:
            assert deal["IS_MANUAL_OPPORTUNITY"] == "Y"
            continue
        total = sum(
            (Decimal(str(row["price"])) * Decimal(str(row["quantity"]))).quantize(Decimal("0.01"), "ROUND_HALF_UP")
            for row in found
        )
        if deal["IS_MANUAL_OPPORTUNITY"] == "N":
            assert Decimal(deal["OPPORTUNITY"]) == total
        differs += Decimal(deal["OPPORTUNITY"]) != total
    assert differs > 10
    every = truth["deal_product_rows"]
    assert any(row["productId"] == 0 for row in every)
    assert any(row["discountSum"] > 0 for row in every)
    assert any(isinstance(row["quantity"], float) for row in every)
    for row in every:
        assert round(row["priceBrutto"] - row["discountSum"], 2) == pytest.approx(row["price"])


# texts and custom fields


@pytest.mark.parametrize("sign", ["🔥", '"', "\n", "\t", ";", "\x00", "ё", "'"])
def test_texts_hold_what_breaks_files_and_quoting(truth: Truth, sign: str) -> None:
    """A loader that quotes, splits or truncates texts has to meet each of these."""
    texts = [str(deal[key]) for deal in truth["deals"] for key in ("TITLE", "COMMENTS")]
    texts += [str(lead[key]) for lead in truth["leads"] for key in ("TITLE", "COMMENTS", "SOURCE_DESCRIPTION")]
    assert any(sign in text.lower() for text in texts)


def test_templates_and_tests_are_among_the_deals(truth: Truth) -> None:
    """Rows out of scope have to be there to be left out."""
    assert sum(deal["IS_RECURRING"] == "Y" for deal in truth["deals"]) >= 3
    assert any("тест" in deal["TITLE"].lower() for deal in truth["deals"])
    assert any("тест" in lead["TITLE"].lower() for lead in truth["leads"])
    assert {deal["ASSIGNED_BY_ID"] for deal in truth["deals"]} >= {"0", None}


def test_custom_fields_have_every_type_and_odd_labels(truth: Truth) -> None:
    """Two labels alike and one without letters must still give distinct column names."""
    fields = [row for row in truth["custom_fields"] if row["ENTITY_ID"] in UF_TABLES.values()]
    assert {field["USER_TYPE_ID"] for field in fields if field["ENTITY_ID"] == "CRM_DEAL"} == {
        "string", "integer", "double", "boolean", "datetime", "date", "money", "url", "address", "enumeration", "file",
        "employee", "crm_status", "crm",
    }  # fmt: skip
    labels = Counter((field["ENTITY_ID"], field["EDIT_FORM_LABEL"]) for field in fields)
    assert max(labels.values()) == 2
    assert any(not any(sign.isalnum() for sign in label) for _, label in labels)
    assert {field["MULTIPLE"] for field in fields if field["USER_TYPE_ID"] == "enumeration"} == {"Y", "N"}
    assert len({(field["ENTITY_ID"], field["FIELD_NAME"]) for field in fields}) == len(fields)


def test_values_of_custom_fields_fit_their_definition_or_are_empty_in_every_way(truth: Truth) -> None:
    """A known code, a value of its type or one of the many nothings, and one option that no list knows."""
    empties: set[str] = set()
    unknown_options: set[str] = set()
    for table, entity_id in UF_TABLES.items():
        fields = {row["FIELD_NAME"]: row for row in truth["custom_fields"] if row["ENTITY_ID"] == entity_id}
        for row in truth[table]:
            assert {key for key in row if key.startswith("UF_")} <= set(fields)
            for code, field in fields.items():
                if code not in row:
                    empties.add("absent")
                elif row[code] in ("", None, False) or row[code] == []:
                    empties.add(repr(row[code]))
                elif field["USER_TYPE_ID"] == "enumeration":
                    values = row[code] if field["MULTIPLE"] == "Y" else [row[code]]
                    unknown_options |= set(values) - {option["ID"] for option in field["LIST"]}
                else:
                    assert isinstance(row[code], list) == (field["MULTIPLE"] == "Y")
    assert empties == {"absent", "''", "None", "False", "[]"}
    assert len(unknown_options) == 1


# people


def test_people_leave_vanish_and_sit_in_odd_places(truth: Truth) -> None:
    """Dismissed, deleted, nameless and doubled users, and a tree of four levels."""
    users = {user["ID"]: user for user in truth["users"]}
    referenced = {deal["ASSIGNED_BY_ID"] for deal in truth["deals"]} - {None, "0"}
    assert referenced - users.keys(), "deals of deleted users"
    assert any(user_id in users and users[user_id]["ACTIVE"] is False for user_id in referenced)
    assert any(len(user["UF_DEPARTMENT"]) == 2 for user in users.values())
    assert any(not user["LAST_NAME"] and user["EMAIL"] for user in users.values())
    assert any("WORK_POSITION" not in user for user in users.values())
    assert {user["USER_TYPE"] for user in users.values()} == {"employee", "extranet"}
    departments = {row["ID"]: row for row in truth["departments"]}
    heads_own = [row for row in departments.values() if row.get("UF_HEAD") and
                 int(row["ID"]) in users[row["UF_HEAD"]]["UF_DEPARTMENT"]]  # fmt: skip
    assert heads_own
    assert any("UF_HEAD" not in row for row in departments.values())
    assert max(depth(departments, row) for row in departments.values()) == 4


def depth(departments: dict[str, Row], row: Row) -> int:
    return 1 + (depth(departments, departments[row["PARENT"]]) if "PARENT" in row else 0)


# communication


def test_calls_have_legs_codes_types_votes_and_phones_in_many_hands(truth: Truth) -> None:
    """Legs of one call share its CALL_ID, and phones match only by their digits."""
    legs = Counter(call["CALL_ID"] for call in truth["calls"])
    assert max(legs.values()) >= 3
    assert {call["CALL_TYPE"] for call in truth["calls"]} == {"1", "2", "3", "4", "5"}
    assert {"200", "304", "603", "486", "603-S", "480"} <= {call["CALL_FAILED_CODE"] for call in truth["calls"]}
    assert {call["CALL_VOTE"] for call in truth["calls"]} >= {"0", None, "1", "5"}
    for call in truth["calls"]:
        assert (call["CALL_DURATION"] == "0") == (call["CALL_FAILED_CODE"] != "200")
    shapes = {"".join("0" if sign.isdigit() else sign for sign in call["PHONE_NUMBER"]) for call in truth["calls"]}
    assert {"+0 (000) 000-00-00", "0 000 000 00 00", "00000000000"} <= shapes
    leads = {lead["ID"]: digits(lead["PHONE"][0]["VALUE"]) for lead in truth["leads"] if "PHONE" in lead}
    of_leads = [call for call in truth["calls"] if call["CRM_ENTITY_TYPE"] == "LEAD" and call["PHONE_NUMBER"]]
    assert of_leads
    assert all(leads[call["CRM_ENTITY_ID"]] == digits(call["PHONE_NUMBER"]) for call in of_leads)


def digits(phone: str) -> str:
    return "".join(sign for sign in phone if sign.isdigit())[-10:]


def test_activities_have_every_type_and_state(truth: Truth) -> None:
    """All six types, both directions, done and not done, with further bindings."""
    activities = truth["activities"]
    assert {row["TYPE_ID"] for row in activities} == {"1", "2", "3", "4", "5", "6"}
    assert {row["COMPLETED"] for row in activities} == {"Y", "N"}
    assert {(row["TYPE_ID"], row["DIRECTION"]) for row in activities} >= {
        ("2", "1"),
        ("2", "2"),
        ("4", "1"),
        ("4", "2"),
    }
    assert {"VOXIMPLANT_CALL", "CRM_EMAIL", "CRM_MEETING", "CRM_TODO", "CRM_WEBFORM", "IMOPENLINES_SESSION"} <= {
        row["PROVIDER_ID"] for row in activities
    }
    assert any(len(row["BINDINGS"]) > 2 for row in activities)


def test_most_leads_are_answered_and_some_are_born_from_a_call(truth: Truth) -> None:
    """First response needs calls soon after a lead's creation, and connected calls just before it."""
    leads = {lead["ID"]: at(lead["DATE_CREATE"]) for lead in truth["leads"]}
    answered: set[str] = set()
    born: set[str] = set()
    for activity in truth["activities"]:
        if activity["OWNER_TYPE_ID"] != "1":
            continue
        wait = at(activity["START_TIME"]) - leads[activity["OWNER_ID"]]
        if activity["DIRECTION"] == "2" and timedelta(0) <= wait < timedelta(days=4):
            answered.add(activity["OWNER_ID"])
        if activity["TYPE_ID"] == "2" and timedelta(minutes=-5) <= wait < timedelta(0):
            born.add(activity["OWNER_ID"])
    assert 0.5 < len(answered) / len(leads) < 0.95
    assert 0.05 < len(born) / len(leads) < 0.3


def test_tasks_are_linked_late_open_and_paid_for(truth: Truth) -> None:
    """Status 2 to 6, with and without deadline and deal, on time and overdue, and time that adds up."""
    tasks = by_id(truth["tasks"])
    assert {task["status"] for task in tasks.values()} >= {"2", "3", "5", "6"}
    assert {task["subStatus"] for task in tasks.values()} >= {"-1", "5"}
    assert any(task["ufCrmTask"] is False for task in tasks.values())
    assert any(task["ufCrmTask"] and task["ufCrmTask"][0].startswith("D_") for task in tasks.values())
    done = [task for task in tasks.values() if task["status"] == "5"]
    assert all(task["closedDate"] for task in done)
    assert {at(task["closedDate"]) <= at(task["deadline"]) for task in done if task["deadline"]} == {True, False}
    assert any(task["deadline"] is None for task in done)
    logged: Counter[int] = Counter()
    for entry in truth["time_entries"]:
        logged[int(entry["TASK_ID"])] += int(entry["SECONDS"])
    assert all(int(task["timeSpentInLogs"] or 0) == logged[row_id] for row_id, task in tasks.items())


# later days


def grown(before: Truth, after: Truth, name: str) -> set[int]:
    return set(by_id(after[name])) - set(by_id(before[name]))


@pytest.mark.parametrize(
    "name", ["leads", "deals", "contacts", "activities", "calls", "tasks", "deal_stage_history", "lead_stage_history"]
)
def test_new_rows_have_larger_ids_and_later_times(later: tuple[Truth, Truth], name: str) -> None:
    """A delta by id or by time must find every new row."""
    before, after = later
    new = grown(before, after, name)
    assert new
    assert min(new) > max(by_id(before[name]))
    start = at(before["meta"]["now"])
    created = {"activities": "CREATED", "tasks": "createdDate"}.get(
        name, "CREATED_TIME" if name.endswith("history") else "DATE_CREATE"
    )
    if name != "calls":
        assert all(start < at(by_id(after[name])[row_id][created]) for row_id in new)
    assert not set(by_id(before[name])) - set(by_id(after[name]))


def test_changed_rows_tell_when_they_changed(later: tuple[Truth, Truth]) -> None:
    """A row that changes with its time of modification standing still is invisible to a delta."""
    before, after = later
    start = at(before["meta"]["now"])
    for name, key in MODIFIED.items():
        old, new = by_id(before[name]), by_id(after[name])
        changed = [row_id for row_id in old if significant(old[row_id]) != significant(new[row_id])]
        assert changed, name
        assert all(start < at(new[row_id][key]) for row_id in changed), name


def significant(row: Row) -> Row:
    return {key: value for key, value in row.items() if key not in SILENT}


@pytest.mark.parametrize(
    ("kind", "happened"),
    [
        ("moved", lambda old, new: old["STAGE_ID"] != new["STAGE_ID"]),
        ("closed", lambda old, new: old["CLOSED"] == "N" and new["CLOSED"] == "Y"),
        ("reopened", lambda old, new: old["STAGE_SEMANTIC_ID"] != "P" and new["STAGE_SEMANTIC_ID"] == "P"),
        ("amount", lambda old, new: old["OPPORTUNITY"] != new["OPPORTUNITY"]),
        ("responsible", lambda old, new: old["ASSIGNED_BY_ID"] != new["ASSIGNED_BY_ID"]),
        ("custom field", lambda old, new: uf(old) != uf(new)),
    ],
)
def test_old_deals_change_in_every_way(
    later: tuple[Truth, Truth], kind: str, happened: Callable[[Row, Row], bool]
) -> None:
    """A rehearsal in which nothing is reopened proves nothing about reopenings."""
    before, after = (by_id(world["deals"]) for world in later)
    assert any(happened(old, after[row_id]) for row_id, old in before.items()), kind


def uf(row: Row) -> Row:
    return {key: value for key, value in row.items() if key.startswith("UF_")}


def test_product_rows_move_their_deal_and_votes_move_nothing(later: tuple[Truth, Truth]) -> None:
    """Rows of deals are re-read by the deal's DATE_MODIFY; votes arrive on calls of the last days."""
    before, after = later
    rows: list[dict[int, list[Row]]] = []
    for world in later:
        of_deal: dict[int, list[Row]] = defaultdict(list)
        for row in world["deal_product_rows"]:
            of_deal[row["ownerId"]].append(row)
        rows.append(of_deal)
    deals = by_id(after["deals"])
    changed = [deal_id for deal_id, found in rows[0].items() if rows[1][deal_id] != found]
    assert changed
    assert all(at(deals[deal_id]["DATE_MODIFY"]) > at(before["meta"]["now"]) for deal_id in changed)
    old, new = by_id(before["calls"]), by_id(after["calls"])
    voted = [call_id for call_id in old if old[call_id] != new[call_id]]
    assert voted
    for call_id in voted:
        assert {key for key in old[call_id] if old[call_id][key] != new[call_id][key]} == {"CALL_VOTE"}
        assert at(old[call_id]["CALL_START_DATE"]) > at(after["meta"]["now"]) - timedelta(days=10)


def test_deletions_take_everything_that_belongs_to_a_row(shredded: tuple[Truth, Truth]) -> None:
    """A deleted deal goes with its history and rows, and all of it is listed."""
    before, after = shredded
    deleted = after["deleted"]
    for name in ("deals", "leads", "contacts", "companies", "activities", "tasks", "deal_stage_history"):
        assert deleted[name], name
        assert not set(deleted[name]) & set(by_id(after[name]))
        lost = set(by_id(before[name])) - set(by_id(after[name]))
        assert lost <= set(deleted[name])
    for name, owner in (("deal_stage_history", "OWNER_ID"), ("deal_product_rows", "ownerId")):
        assert not {row[owner] for row in after[name]} & set(deleted["deals"])
    assert not any(before["deleted"].values())


def test_a_deleted_row_never_comes_back_and_its_id_is_not_reused() -> None:
    """An id given out twice would give a new deal the history of an old one."""
    world = World.generate(11, 150, NOW)
    world.advance(1, deletions=True)
    gone = deepcopy(world.deleted)
    world.advance(3)
    for name, ids in gone.items():
        assert not set(ids) & set(world.tables[name].rows), name
    living = set(world.tables["deals"].rows)
    assert {row["OWNER_ID"] for row in world.tables["deal_stage_history"].rows.values()} <= living


def test_rows_put_in_by_others_do_not_stop_the_clock() -> None:
    """The server injects and removes rows while it is read; the days after that must still pass."""
    world = World.generate(12, 60, NOW)
    deals = world.tables["deals"]
    last = deals.last_id
    stranger = deals.add({**deals.rows[last], "TITLE": "stranger"})
    deals.rows[stranger]["ID"] = str(stranger)
    for deal_id in list(deals.rows)[::3]:
        del deals.rows[deal_id]
    world.advance(25)
    assert deals.last_id > stranger


# input files


def read(path: Path) -> list[dict[str, str]]:
    with path.open(encoding="utf-8", newline="") as file:
        return list(csv.DictReader(file))


@pytest.fixture(scope="module")
def inputs(tmp_path_factory: pytest.TempPathFactory) -> dict[str, list[dict[str, str]]]:
    folder = tmp_path_factory.mktemp("inputs")
    World.generate(7, DEALS, NOW).write_inputs(folder)
    return {name: read(folder / f"{name}.csv") for name in ("ad_spend", "sales_plan")}


def test_ad_spend_fits_the_labels_and_the_sales(truth: Truth, inputs: dict[str, list[dict[str, str]]]) -> None:
    """Every campaign is met on leads, every day is paid for, and money comes back neither never nor tenfold."""
    rows = inputs["ad_spend"]
    assert list(rows[0]) == [
        "spend_date", "source_system", "account", "campaign_id", "campaign_name", "utm_campaign", "channel_key",
        "impressions", "clicks", "cost", "currency", "cost_type",
    ]  # fmt: skip
    labels = {(lead["UTM_CAMPAIGN"] or "").strip().lower() for lead in truth["leads"]}
    assert {row["utm_campaign"] for row in rows} - {""} <= labels
    days = sorted({date.fromisoformat(row["spend_date"]) for row in rows})
    assert days == [NOW.date() - timedelta(days=number) for number in range(730, 0, -1)]
    assert {row["currency"] for row in rows} == {"", "RUB", "EUR"}
    assert {row["cost_type"] for row in rows} == {"", "other_marketing", "sales"}
    spend = sum(Decimal(row["cost"]) for row in rows if row["currency"] != "EUR" and row["utm_campaign"])
    paid = {row["utm_campaign"] for row in rows} - {""}
    revenue = sum(
        Decimal(deal["OPPORTUNITY"])
        for deal in truth["deals"]
        if (deal["UTM_CAMPAIGN"] or "").strip().lower() in paid
        and (deal["STAGE_SEMANTIC_ID"], deal["CURRENCY_ID"]) == ("S", "RUB")
        and Decimal(deal["OPPORTUNITY"]) < Decimal(10) ** 12
    )
    assert Decimal("0.5") < revenue / spend < 12


def test_sales_plan_fits_the_people_and_the_sales(truth: Truth, inputs: dict[str, list[dict[str, str]]]) -> None:
    """Plans of four scopes over 24 months whose total is near to what was sold."""
    rows = inputs["sales_plan"]
    assert list(rows[0]) == ["period_month", "scope", "scope_key", "metric", "plan_value"]
    assert {row["scope"] for row in rows} == {"company", "department", "manager", "pipeline"}
    assert {row["metric"] for row in rows} == {"revenue", "deals_won"}
    months = {row["period_month"] for row in rows}
    assert (min(months), max(months), len(months)) == ("2024-07-01", "2026-06-01", 24)
    last: dict[tuple[str, ...], Decimal] = {}
    repeated = 0
    for row in rows:
        key = (row["period_month"], row["scope"], row["scope_key"], row["metric"])
        repeated += key in last
        last[key] = Decimal(row["plan_value"])
    assert repeated == 1
    planned = sum(value for (_, scope, _, metric), value in last.items() if (scope, metric) == ("company", "deals_won"))
    won = sum(deal["STAGE_SEMANTIC_ID"] == "S" for deal in truth["deals"])
    assert 0.8 < float(planned) / won < 1.3
    known = {user["ID"] for user in truth["users"]}
    keys = {row["scope_key"] for row in rows if row["scope"] == "manager"}
    assert keys & known
    assert "0" not in keys
