"""HTTP around the portal: the REST path, the bank's rates, the control API, and connections that break on request."""

from __future__ import annotations

import asyncio
import socket
import struct
from collections.abc import Callable, Mapping
from typing import Any

import orjson
from starlette.applications import Starlette
from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import Route
from starlette.types import Receive, Scope, Send
from uvicorn.protocols.http.h11_impl import H11Protocol

from demo.server import bank
from demo.server.core import Portal, Reply
from demo.server.faults import FaultPlan
from demo.server.parameters import Params, array_items, parse_query

_RESET_ON_CLOSE = struct.pack("ii", 1, 0)  # SO_LINGER with no time: closing sends RST
_open_connections: dict[tuple[str, int], asyncio.Transport] = {}


class TrackedConnection(H11Protocol):
    """A connection that the application can find by its client's address, in order to break it."""

    def connection_made(self, transport: asyncio.Transport) -> None:  # type: ignore[override]
        """Remember the connection."""
        super().connection_made(transport)
        if self.client:
            _open_connections[self.client] = transport

    def connection_lost(self, exc: Exception | None) -> None:
        """Forget the connection."""
        if self.client:
            _open_connections.pop(self.client, None)
        super().connection_lost(exc)


class BrokenResponse(Response):
    """An answer that ends too early: a reset instead of any byte, or half of the promised body."""

    def __init__(self, reply: Reply) -> None:
        super().__init__(reply.body, reply.status, media_type=reply.content_type)
        self._is_reset = reply.breakage == "reset"

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Send what is to arrive, then break the connection and wait until it is gone."""
        transport = _open_connections[tuple(scope["client"])]
        if self._is_reset:
            peer: socket.socket = transport.get_extra_info("socket")
            peer.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, _RESET_ON_CLOSE)
        else:
            await send({"type": "http.response.start", "status": self.status_code, "headers": self.raw_headers})
            half = bytes(self.body)[: len(self.body) // 2]
            await send({"type": "http.response.body", "body": half, "more_body": True})
        transport.close()
        while (await receive())["type"] != "http.disconnect":
            pass


class RestEndpoint:
    """Answers one request; in real time it ends when its work would have, and others go on meanwhile."""

    def __init__(self, portal: Portal) -> None:
        self._portal = portal

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Read the request, answer it, and count it until the answer is written out."""
        statistics = self._portal.statistics
        arrived_s = self._portal.uptime_s()
        statistics.begin(arrived_s)
        sent = 0
        try:
            response = await self._respond(Request(scope, receive), arrived_s)
            await response(scope, receive, send)
            sent = len(response.body)
        finally:
            statistics.end(self._portal.uptime_s(), sent)

    async def _respond(self, request: Request, arrived_s: float) -> Response:
        params = parse_query(request.url.query)
        if request.method == "POST":
            params |= _body_params(await request.body(), request.headers.get("content-type", ""))
        path = request.path_params
        reply = self._portal.receive(path["user"], path["code"], path["method"].strip("/"), params)
        if reply.delay_s:
            # the portal's own CPU time is part of the work, not on top of it
            await asyncio.sleep(max(0.0, arrived_s + reply.delay_s - self._portal.uptime_s()))
        if reply.breakage:
            return BrokenResponse(reply)
        headers = {"location": reply.location} if reply.location else None
        return Response(reply.body, reply.status, headers, reply.content_type)


def create_app(portal: Portal) -> Starlette:
    """Return the ASGI application of one portal."""

    return Starlette(
        routes=[
            Route("/rest/{user}/{code}/{method:path}", RestEndpoint(portal), methods=["GET", "POST"]),
            Route("/cbr/XML_daily.asp", _bank_script(portal, bank.daily)),
            Route("/cbr/XML_dynamic.asp", _bank_script(portal, bank.dynamic)),
            *(Route(f"/_demo/{name}", _control(act), methods=[verb]) for verb, name, act in _control_table(portal)),
        ]
    )


def _bank_script(portal: Portal, answer: Callable[[list[dict[str, Any]], Mapping[str, str]], bytes]) -> Any:
    async def endpoint(request: Request) -> Response:
        body = answer(portal.world.bank_rates(), request.query_params)
        return Response(body, headers={"content-type": "application/xml; charset=windows-1251"})

    return endpoint


def _body_params(body: bytes, content_type: str) -> Params:
    """Decode a JSON or form body; what cannot be read counts as no parameters."""
    if "json" not in content_type:
        return parse_query(body.decode("utf-8", "replace"))
    try:
        return dict(array_items(orjson.loads(body)))
    except orjson.JSONDecodeError:
        return {}


_Act = Callable[[dict[str, Any]], Any]


def _control_table(portal: Portal) -> list[tuple[str, str, _Act]]:
    def advance(body: dict[str, Any]) -> dict[str, Any]:
        known = ("deletions", "merges", "restores", "silent")
        if unknown := set(body) - {"days", *known}:
            raise ValueError(f"unknown: {', '.join(sorted(unknown))}; known: days, {', '.join(known)}")
        portal.advance(int(body.get("days", 1)), **{name: bool(body.get(name)) for name in known})
        return {"now": portal.clock.now().isoformat()}

    def faults(body: dict[str, Any]) -> dict[str, Any]:
        portal.set_faults(FaultPlan.from_json(body))
        return portal.faults.to_json()

    def mutate(body: dict[str, Any]) -> dict[str, Any]:
        choice = {key: body.get(key) for key in ("table", "row_id", "values")}
        return portal.mutate(str(body.get("operation")), **choice)

    def custom_fields(body: dict[str, Any]) -> dict[str, Any]:
        operation, entity, name = (str(body.pop(key, "")) for key in ("operation", "entity", "field_name"))
        return portal.change_custom_field(operation, entity, name, **body)

    def reset_stats(_: dict[str, Any]) -> dict[str, Any]:
        portal.reset_statistics()
        return {}

    return [
        ("GET", "stats", lambda _: portal.statistics.to_json()),
        ("POST", "reset-stats", reset_stats),
        ("GET", "truth", lambda _: portal.truth()),
        ("POST", "advance", advance),
        ("GET", "faults", lambda _: portal.faults.to_json()),
        ("POST", "faults", faults),
        ("POST", "mutate", mutate),
        ("POST", "custom-fields", custom_fields),
    ]


def _control(act: _Act) -> Callable[[Request], Any]:
    async def endpoint(request: Request) -> Response:
        body = await request.body()
        try:
            answer = act(orjson.loads(body) if body else {})
        except (ValueError, TypeError) as error:
            return Response(orjson.dumps({"error": str(error)}), 400, media_type="application/json")
        return Response(orjson.dumps(answer), media_type="application/json")

    return endpoint
