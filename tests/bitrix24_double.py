"""A portal in a few lines, for tests of the client alone: lists walked by id, batches with references, queued faults.

It keeps the trap of a real batch: a reference that does not resolve reads the table from its start again.
"""

import re
from collections.abc import Callable, Iterable, Mapping
from datetime import datetime
from typing import Any
from urllib.parse import parse_qsl

import httpx
import orjson

from dlt_sources.bitrix24.client import BitrixClient
from dlt_sources.bitrix24.webhook import Webhook

SECRET = "s3cr3tWebhookCode"
WEBHOOK_URL = f"https://portal.test/rest/1/{SECRET}/"
PAGE = 50

Answer = httpx.Response | Exception
Handler = Callable[[dict[str, Any]], Any]


class Refusal(Exception):  # noqa: N818
    """A method's refusal: code and description of the error envelope."""

    def __init__(self, code: Any, description: str = "") -> None:
        super().__init__(description)
        self.body = {"error": code, "error_description": description}


class FakeClock:
    """Time that passes only when somebody sleeps."""

    def __init__(self) -> None:
        self.now = 1000.0
        self.slept: list[float] = []

    def __call__(self) -> float:
        return self.now

    def sleep(self, seconds: float) -> None:
        self.slept.append(seconds)
        self.now += seconds


class PortalDouble:
    """Answers POSTs; `lists` maps a method to rows by id, `handlers` a method to a function of its parameters."""

    def __init__(self) -> None:
        self.clock = FakeClock()
        self.lists: dict[str, dict[int, dict[str, Any]]] = {}
        self.paths: dict[str, tuple[str, ...]] = {}
        self.handlers: dict[str, Handler] = {}
        self.faults: list[Answer] = []  # answers given before anything is looked at
        self.command_faults: list[Refusal | None] = []  # one per command, in order
        self.before_command: Callable[[], None] = lambda: None
        self.urls: list[httpx.URL] = []
        self.batches: list[dict[str, str]] = []
        self.times: dict[str, dict[str, Any]] = {}  # `time` of a command, by method

    def client(self, **options: Any) -> BitrixClient:
        transport = httpx.MockTransport(self.answer)
        settings = {"in_flight": 1, "clock": self.clock, "sleep": self.clock.sleep, **options}
        return BitrixClient(Webhook.parse(WEBHOOK_URL), transport=transport, **settings)

    def answer(self, request: httpx.Request) -> httpx.Response:
        self.urls.append(request.url)
        if self.faults:
            fault = self.faults.pop(0)
            if isinstance(fault, Exception):
                raise fault
            return fault
        method = request.url.path.rsplit("/", 1)[1]
        params = orjson.loads(request.content)
        time = {"start": self.clock.now, "finish": self.clock.now, "date_start": "2026-06-15T12:00:00+03:00"}
        if method == "batch":
            self.batches.append(params["cmd"])
            return httpx.Response(200, json={"result": self._batch(params["cmd"]), "time": time})
        try:
            return httpx.Response(200, json={"result": self._run(method, params), "time": time})
        except Refusal as refusal:
            return httpx.Response(400, json=refusal.body)

    def _batch(self, commands: Mapping[str, str]) -> dict[str, Any]:
        parts: dict[str, dict[str, Any]] = {"result": {}, "result_error": {}, "result_time": {}, "result_next": {}}
        for key, line in commands.items():
            self.before_command()
            method, _, query = line.partition("?")
            try:
                fault = self.command_faults.pop(0) if self.command_faults else None
                if fault:
                    raise fault
                parts["result"][key] = self._run(method, resolved(parse(query), parts["result"]))
                if method in self.times:
                    parts["result_time"][key] = self.times[method]
            except Refusal as refusal:
                parts["result_error"][key] = refusal.body
        return {name: part or [] for name, part in parts.items()}

    def _run(self, method: str, params: dict[str, Any]) -> Any:
        if method in self.handlers:
            return self.handlers[method](params)
        if method not in self.lists:
            raise Refusal("ERROR_METHOD_NOT_FOUND", "Method not found!")
        rows = page(self.lists[method], params)
        for key in reversed(self.paths.get(method, ())):
            rows = {key: rows}
        return rows


def page(table: Mapping[int, dict[str, Any]], params: Mapping[str, Any]) -> Any:
    """The first 50 rows above the id, or, in descending order, the newest ones."""
    given = params.get("filter") or params.get("FILTER") or {}
    where = {key.lower(): value for key, value in given.items()}
    since = {key[2:]: datetime.fromisoformat(value) for key, value in given.items() if key.startswith(">=")}
    after = where.get(">id", 0)
    # PHP casts an array compared with an integer: the walk begins anew
    after = int(after) if isinstance(after, str) else 0
    up_to = int(where.get("<=id", 2**62))
    order = params.get("order") or params.get("ORDER") or "ASC"
    direction = str(next(iter(order.values())) if isinstance(order, dict) else order).upper()
    ids = sorted((number for number in table if after < number <= up_to), reverse=direction == "DESC")
    ids = [n for n in ids if all(datetime.fromisoformat(table[n][field]) >= at for field, at in since.items())]
    return [table[number] for number in ids[:PAGE]]


def parse(query: str) -> dict[str, Any]:
    """PHP's reading of a query string into nested maps; lists stay maps with numeric keys."""
    params: dict[str, Any] = {}
    for name, value in parse_qsl(query, keep_blank_values=True):
        head, *rest = re.findall(r"[^\[\]]+", name)
        place = params
        for step in [head, *rest][:-1]:
            place = place.setdefault(step, {})
        place[[head, *rest][-1]] = value
    return params


def resolved(params: Any, results: Mapping[str, Any]) -> Any:
    """Replace `$result[key][path]…`; what does not resolve becomes the deepest part that did."""
    if isinstance(params, dict):
        return {key: resolved(value, results) for key, value in params.items()}
    if not isinstance(params, str) or not params.startswith("$result["):
        return params
    value: Any = results
    for step in re.findall(r"\[([^\]]*)\]", params):
        if isinstance(value, Mapping) and step in value:
            value = value[step]
        elif isinstance(value, list) and step.isdecimal() and int(step) < len(value):
            value = value[int(step)]
        else:
            return value
    return str(value)


def rows(ids: Iterable[int], **values: Any) -> dict[int, dict[str, Any]]:
    """Rows as old lists send them: ids are strings."""
    return {number: {"ID": str(number), **values} for number in ids}
