"""The stand-in portal of the demo without a server: requests are handed to it here, by a clock of its own."""

import copy
from collections.abc import Callable, Sequence
from datetime import datetime
from functools import lru_cache
from typing import Any

import httpx
import orjson
from bitrix24_double import FakeClock

from demo.server.core import Portal, PortalOptions
from demo.world import World
from dlt_sources.bitrix24 import entities, load
from dlt_sources.bitrix24.client import BitrixClient
from dlt_sources.bitrix24.entities import Entity
from dlt_sources.bitrix24.load import Position
from dlt_sources.bitrix24.walks import Reader, Walk
from dlt_sources.bitrix24.webhook import Webhook

NOW = datetime.fromisoformat("2026-06-15T12:00:00+03:00")
REQUESTS_MAX = 60  # far more than any of these lists takes


@lru_cache
def _world(deals: int) -> World:
    return World.generate(5, deals, NOW)


class StandIn:
    """One portal; `before_request` is called with the number of each request, so that the data may change under it."""

    def __init__(self, *, deals: int = 40, **options: Any) -> None:
        self.world = copy.deepcopy(_world(deals))
        self.clock = FakeClock()
        settings = {"seed": 5, "limits": False, "frozen": True, **options}
        self.portal = Portal(self.world, PortalOptions(**settings))
        self.before_request: Callable[[int], None] = lambda _: None
        self.requests = 0

    def client(self) -> BitrixClient:
        webhook = self.portal.webhooks[0]
        url = f"https://portal.test/rest/{webhook.user_id}/{webhook.code}/"
        transport = httpx.MockTransport(self._answer)
        return BitrixClient(
            Webhook.parse(url), transport=transport, in_flight=1, clock=self.clock, sleep=self.clock.sleep
        )

    def ids(self, table: str) -> list[int]:
        return sorted(self.world.tables[table].rows)

    def _answer(self, request: httpx.Request) -> httpx.Response:
        self.requests += 1
        assert self.requests < REQUESTS_MAX, "the walk never ends"
        self.before_request(self.requests)
        _, _, user, code, method = request.url.path.split("/", 4)
        reply = self.portal.receive(user, code, method, orjson.loads(request.content))
        headers = {"content-type": reply.content_type, "location": reply.location}
        return httpx.Response(reply.status, content=reply.body, headers=headers)


def listed(table: str, part: str = "") -> Entity:
    """What `entities.py` declares."""
    return next(one for one in entities.ENTITIES if one.table == table and one.part == part)


def rows_of(client: BitrixClient, *walks: Walk) -> list[dict[str, Any]]:
    """Read walks to their ends."""
    return [orjson.loads(bytes(row)) for brought in Reader(client).read(walks) for _, rows in brought for row in rows]


def sync(
    client: BitrixClient, entity: Entity, place: Position, as_of: datetime = NOW
) -> tuple[list[dict[str, Any]], Position]:
    """What a run brings of one list, and the place where the next one goes on."""
    plan = load._plan(entity, place, load._Run(as_of, as_of.date(), full=False, since=None, max_ids={}))
    return rows_of(client, *plan.walks), plan.position()


def numbers(rows: Sequence[dict[str, Any]]) -> list[int]:
    return sorted(int(row.get("ID") or row["id"]) for row in rows)
