import random
from typing import Any

import orjson
import pytest
from bitrix24_double import PortalDouble, Refusal, page, rows
from hypothesis import given, settings
from hypothesis import strategies as st

from dlt_sources.bitrix24.entities import Entity, Family
from dlt_sources.bitrix24.errors import PortalError
from dlt_sources.bitrix24.walks import KeysetWalk, Reader

DEALS = Entity("deals", "crm.deal.list", "crm", Family.CHANGES, cursor="DATE_MODIFY")
HISTORY = Entity("deal_stage_history", "crm.stagehistory.list", "crm", Family.JOURNAL, path=("items",))

edges = st.sampled_from([0, 1, 49, 50, 51, 99, 100, 101, 149, 150, 151, 200, 2500, 2501])
id_sets = st.one_of(
    edges.map(lambda size: set(range(1, size + 1))),
    st.tuples(edges, st.integers(2, 97)).map(lambda shape: set(range(7, 7 + shape[0] * shape[1], shape[1]))),
    st.sets(st.integers(min_value=1, max_value=10**9), max_size=220),
)


def read(portal: PortalDouble, *walks: KeysetWalk) -> dict[int, list[int]]:
    """Ids in the order of arrival, by the number of the walk."""
    arrived: dict[int, list[int]] = {number: [] for number in range(len(walks))}
    for brought in Reader(portal.client()).read(list(walks)):
        for walk, taken in brought:
            number = next(n for n, candidate in enumerate(walks) if candidate is walk)
            arrived[number] += [int(orjson.loads(bytes(row))["ID"]) for row in taken]
    return arrived


@given(ids=id_sets, knows_max=st.booleans())
def test_every_item_arrives_once_and_in_order(ids: set[int], knows_max: bool) -> None:
    """Whatever the gaps in ids, and on the 50/100/150 edges, no row is lost or repeated."""
    portal = PortalDouble()
    portal.lists["crm.deal.list"] = rows(ids)
    walk = KeysetWalk(DEALS, max_id=max(ids, default=0) if knows_max else None)
    assert {0: sorted(read(portal, walk)[0])} == {0: sorted(ids)}
    assert walk.done
    assert walk.left == ((max(ids, default=0), None),)


@given(first=id_sets, second=id_sets)
@settings(max_examples=40)
def test_walks_that_share_batches_do_not_mix(first: set[int], second: set[int]) -> None:
    """Two tables in one batch, one with rows below a key of the answer: each gets its own rows."""
    portal = PortalDouble()
    portal.lists = {"crm.deal.list": rows(first), "crm.stagehistory.list": rows(second)}
    portal.paths = {"crm.stagehistory.list": ("items",)}
    assert read(portal, KeysetWalk(DEALS), KeysetWalk(HISTORY)) == {0: sorted(first), 1: sorted(second)}


@given(size=st.integers(0, 400), seed=st.integers(0, 2**32))
def test_deletions_and_inserts_during_the_walk_lose_nothing(size: int, seed: int) -> None:
    """Rows that stay through the whole walk arrive once, although others vanish and appear between commands."""
    portal = PortalDouble()
    table = rows(range(1, size + 1))
    portal.lists["crm.deal.list"] = table
    draw = random.Random(seed)
    deleted: set[int] = set()

    def mutate() -> None:
        if table and draw.random() < 0.6:
            for number in draw.sample(sorted(table), min(len(table), 5)):
                deleted.add(number)
                del table[number]
        if draw.random() < 0.4 and len(table) < size + 100:
            number = max(table, default=size) + draw.randint(1, 3)
            table[number] = {"ID": str(number)}

    portal.before_command = mutate
    arrived = read(portal, KeysetWalk(DEALS))[0]
    assert arrived == sorted(set(arrived))
    assert set(range(1, size + 1)) - deleted <= set(arrived)


@given(size=st.integers(0, 300), faults=st.lists(st.sampled_from([None, "throttle", "limit", "fault"]), max_size=40))
@settings(max_examples=60)
def test_faults_of_single_commands_end_complete(size: int, faults: list[str | None]) -> None:
    """A refused command of a chain must neither lose its page nor let the pages behind it in."""
    kinds = {
        "throttle": Refusal("QUERY_LIMIT_EXCEEDED", "Too many requests"),
        "limit": Refusal("OPERATION_TIME_LIMIT", "Method is blocked"),
        "fault": Refusal("INTERNAL_SERVER_ERROR"),
    }
    portal = PortalDouble()
    portal.lists["crm.deal.list"] = rows(range(3, 3 * size + 3, 3))
    # a pause between faults, as a fault that lasts is an outage and must end the run
    portal.command_faults = [fault for kind in faults for fault in (kinds.get(kind or ""), None, None)]
    assert read(portal, KeysetWalk(DEALS)) == {0: list(range(3, 3 * size + 3, 3))}


@given(ids=id_sets, after=st.integers(0, 3000))
@settings(max_examples=40)
def test_a_walk_goes_on_behind_its_id(ids: set[int], after: int) -> None:
    """A resumed walk reads what is above its place, also when the place itself is gone."""
    portal = PortalDouble()
    portal.lists["crm.deal.list"] = rows(ids)
    assert read(portal, KeysetWalk(DEALS, after=after)) == {0: sorted(number for number in ids if number > after)}


def test_ids_are_compared_as_integers() -> None:
    """As text "100" comes before "99", and a walk past 99 would run backwards."""
    portal = PortalDouble()
    portal.lists["crm.deal.list"] = rows(range(51, 160))
    assert read(portal, KeysetWalk(DEALS))[0][-1] == 159


def test_a_list_that_ignores_the_id_filter_is_refused() -> None:
    """Such a list answers its first page for ever."""
    portal = PortalDouble()
    first = [{"ID": str(number)} for number in range(1, 51)]
    portal.handlers["crm.deal.list"] = lambda _: first
    with pytest.raises(PortalError, match="ignores the id filter"):
        read(portal, KeysetWalk(DEALS))


def test_a_list_in_another_order_is_refused() -> None:
    """Keyset paging over another order loses rows without a word."""
    portal = PortalDouble()
    portal.handlers["crm.deal.list"] = lambda _: [{"ID": "9"}, {"ID": "8"}]
    with pytest.raises(PortalError, match="ascending"):
        read(portal, KeysetWalk(DEALS))


def test_long_walks_fill_batches() -> None:
    """Request economy: six places are tried first, the end is seen with them, and dense pages leave nothing over."""
    portal = PortalDouble()
    portal.lists["crm.deal.list"] = rows(range(1, 5001))
    read(portal, KeysetWalk(DEALS, max_id=5000))
    assert [len(batch) for batch in portal.batches] == [7, 50, 44]


def test_pages_behind_a_short_one_are_thrown_away() -> None:
    """The portal answers a reference that does not resolve with the start of the table."""
    portal = PortalDouble()
    portal.lists["crm.deal.list"] = rows(range(1, 81))
    answered: list[dict[str, Any]] = []
    portal.before_command = lambda: answered.append({})
    assert read(portal, KeysetWalk(DEALS)) == {0: list(range(1, 81))}
    assert len(answered) == 5  # four more pages were asked for; behind the first of them rows 1 to 50 came again


def test_a_reference_behind_the_last_page_may_be_refused() -> None:
    """Some methods refuse what does not resolve; while other pieces are unread, that is no refusal of the list."""
    portal = PortalDouble()
    table = rows(range(1, 151, 3))

    def answer(params: dict[str, Any]) -> Any:
        if not isinstance(params["filter"][">ID"], str):
            raise Refusal("INVALID_ARG_VALUE", "Invalid filter: value of 'ID' must be a string or a number")
        return {"items": page(table, params)}

    portal.handlers["crm.stagehistory.list"] = answer
    # three pages for the ids up to 150, and what came since; a batch has no room for the last of some walks
    walks = [KeysetWalk(HISTORY, max_id=150) for _ in range(16)]
    assert read(portal, *walks) == dict.fromkeys(range(16), sorted(table))
    assert all(walk.note == "" for walk in walks)
