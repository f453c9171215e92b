"""Faults to rehearse: which one befalls a request is drawn from a seeded generator."""

from __future__ import annotations

import random
from collections.abc import Mapping
from dataclasses import asdict, dataclass, field, fields
from datetime import datetime, tzinfo
from typing import Any

from demo.server.errors import RestError

# JSON refusals before the request is looked at: name -> (status, code, description)
REFUSALS = {
    "limit_503": (503, "QUERY_LIMIT_EXCEEDED", "Too many requests"),
    "overload_503": (503, "OVERLOAD_LIMIT", "REST API is blocked due to overload."),
    "error_500": (500, "INTERNAL_SERVER_ERROR", "Internal server error"),
}
# pages of a gateway instead of JSON: name -> status
HTML_PAGES = {"html_200": 200, "html_502": 502, "html_503": 503, "html_504": 504}
# a batch answers with one command refused, a plain call is refused itself
METHOD_LIMIT = "limit_429"
DELAYS = ("slow",)
BREAKAGES = ("reset", "truncate")
RESPONSE_FAULTS = (*REFUSALS, METHOD_LIMIT, *HTML_PAGES, *DELAYS, *BREAKAGES)
# refusals of single commands of a batch, whose own status stays 200: name -> (status, code, description)
COMMAND_FAULTS = {
    "command_500": (500, "INTERNAL_SERVER_ERROR", "Internal server error"),
    "command_429": (429, "OPERATION_TIME_LIMIT", "Method is blocked due to operation time limit."),
    "command_access_denied": (403, "ACCESS_DENIED", "Access denied!"),
}
PLANS = ("", "basic")
MUTATIONS = ("insert", "update", "delete")
NONE = "none"


@dataclass
class FaultPlan:
    """Probabilities per request, and states that hold until the plan is replaced.

    At most one response fault befalls a request; a mutation of the data may come before it. `script` names the faults
    or mutations of the next requests one by one ("none" for an undisturbed one) and goes before probabilities.

    Attributes:
        command_500, command_429, command_access_denied: probabilities per command of a batch.
        revoke_after: the webhook is revoked after so many more requests; 0: never.
        rights_cut: share of the CRM's rows that the webhook's user no longer sees.
        zone: the portal's offset from UTC, such as +05:00; empty: that of the data.
        plan: "basic": one without REST, which refuses everything.
    """

    limit_503: float = 0.0
    overload_503: float = 0.0
    error_500: float = 0.0
    limit_429: float = 0.0
    html_200: float = 0.0
    html_502: float = 0.0
    html_503: float = 0.0
    html_504: float = 0.0
    slow: float = 0.0
    reset: float = 0.0
    truncate: float = 0.0
    insert: float = 0.0
    update: float = 0.0
    delete: float = 0.0
    command_500: float = 0.0
    command_429: float = 0.0
    command_access_denied: float = 0.0
    slow_seconds: float = 90.0
    script: list[str] = field(default_factory=list)
    revoked: bool = False
    not_admin: bool = False
    redirect: str = ""
    missing_scopes: list[str] = field(default_factory=list)
    revoke_after: int = 0
    rights_cut: float = 0.0
    zone: str = ""
    plan: str = ""

    def __post_init__(self) -> None:
        if unknown := set(self.script) - {*RESPONSE_FAULTS, *MUTATIONS, NONE}:
            raise ValueError(f"unknown faults in script: {', '.join(sorted(unknown))}")
        if not 0 <= self.rights_cut <= 1:
            raise ValueError("rights_cut must lie in 0..1")
        if self.plan not in PLANS:
            raise ValueError(f"unknown plan {self.plan!r}: only 'basic' differs from the usual one")
        self.utc_offset()
        for names in (RESPONSE_FAULTS, MUTATIONS, tuple(COMMAND_FAULTS)):
            chances = [getattr(self, name) for name in names]
            if min(chances) < 0 or sum(chances) > 1:
                raise ValueError(f"probabilities of {', '.join(names)} must lie in 0..1 and sum up to at most 1")

    @classmethod
    def from_json(cls, values: Mapping[str, Any]) -> FaultPlan:
        """Build a plan from a map of the names above.

        Raises:
            ValueError: an unknown name, or a probability outside 0..1.
        """
        known = {item.name for item in fields(cls)}
        if unknown := set(values) - known:
            raise ValueError(f"unknown faults: {', '.join(sorted(unknown))}; known: {', '.join(sorted(known))}")
        return cls(**values)

    @classmethod
    def from_text(cls, text: str) -> FaultPlan:
        """Read `html_502=0.05,reset=0.02,missing_scopes=task+telephony,revoked=1`.

        Raises:
            ValueError: an unknown name, or a value of another type.
        """
        types = {item.name: str(item.type) for item in fields(cls)}
        values: dict[str, Any] = {}
        for part in filter(None, (part.strip() for part in text.split(","))):
            name, _, value = part.partition("=")
            match types.get(name):
                case "float":
                    values[name] = float(value)
                case "int":
                    values[name] = int(value)
                case "bool":
                    values[name] = value not in ("", "0", "false")
                case "list[str]":
                    values[name] = value.split("+")
                case _:
                    values[name] = value
        return cls.from_json(values)

    def utc_offset(self) -> tzinfo | None:
        """Return `zone` as an offset from UTC, None if the portal keeps that of the data.

        Raises:
            ValueError: it is no offset.
        """
        return datetime.strptime(self.zone, "%z").tzinfo if self.zone else None

    def to_json(self) -> dict[str, Any]:
        """Return the plan as JSON-able values."""
        return asdict(self)


@dataclass
class FaultSource:
    """Draws what befalls each request; the same seed and the same requests give the same faults."""

    seed: int
    plan: FaultPlan

    def __post_init__(self) -> None:
        self.random = random.Random(f"{self.seed}:faults")

    def draw(self) -> tuple[str, str]:
        """Return the mutation that comes before the next request and the fault that befalls it; "none" for neither."""
        if self.plan.script:
            name = self.plan.script.pop(0)
            return (name, NONE) if name in MUTATIONS else (NONE, name)
        return self._pick(MUTATIONS), self._pick(RESPONSE_FAULTS)

    def draw_commands(self, count: int) -> dict[int, RestError]:
        """Return the commands of a batch that are refused, by their number."""
        names = tuple(COMMAND_FAULTS)
        if not any(getattr(self.plan, name) for name in names):
            return {}
        drawn = {number: self._pick(names) for number in range(count)}
        return {number: RestError(*COMMAND_FAULTS[name]) for number, name in drawn.items() if name != NONE}

    def _pick(self, names: tuple[str, ...]) -> str:
        point = self.random.random()
        for name in names:
            point -= getattr(self.plan, name)
            if point < 0:
                return name
        return NONE
