"""`batch`: up to 50 commands in one request, each a text, some referring to the results of earlier ones."""

from __future__ import annotations

import re
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any

from demo.server.errors import RestError, operation_limit
from demo.server.parameters import Params, array_items, parse_query, to_bool, to_php_array

MAX_COMMANDS = 50
_REFERENCE = re.compile(r"\$(result|total|next)((?:\[[^\]\s]*\])+)")

Envelope = dict[str, Any]
Call = Callable[[str, Params], Envelope]


@dataclass
class Outcome:
    """Parts of a batch's result, by command."""

    result: dict[str, Any] = field(default_factory=dict)
    result_error: dict[str, Any] = field(default_factory=dict)
    result_total: dict[str, Any] = field(default_factory=dict)
    result_next: dict[str, Any] = field(default_factory=dict)
    result_time: dict[str, Any] = field(default_factory=dict)

    def to_json(self) -> dict[str, Any]:
        """Return the parts as PHP encodes them: `[]` when empty, a list under keys 0..n-1, else an object."""
        return {name: to_php_array(part) for name, part in vars(self).items()}


def run(params: Params, call: Call, blocked: int | None = None) -> Outcome:
    """Run the commands one after another.

    Args:
        params: `cmd` (texts by key; what is no text vanishes without a trace) and `halt`.
        call: runs one method and returns its envelope; raises RestError.
        blocked: the number of a command that is refused with OPERATION_TIME_LIMIT.
    """
    outcome = Outcome()
    halt = to_bool(params.get("halt"))
    commands = [(key, text) for key, text in array_items(params.get("cmd")) if isinstance(text, str)]
    for number, (key, text) in enumerate(commands):
        try:
            if number >= MAX_COMMANDS:
                raise RestError(400, "ERROR_BATCH_LENGTH_EXCEEDED", "Max batch length exceeded")
            if number == blocked:
                raise operation_limit()
            method, _, query = text.partition("?")
            if method.lower() == "batch":
                raise RestError(405, "ERROR_BATCH_METHOD_NOT_ALLOWED", "Method is not allowed for batch usage")
            envelope = call(method, resolve(parse_query(query.partition("#")[0]), outcome))
        except RestError as error:
            outcome.result_error[key] = error.body()
            if halt:
                break
            continue
        outcome.result[key] = envelope["result"]
        outcome.result_time[key] = envelope["time"]
        if "total" in envelope:
            outcome.result_total[key] = envelope["total"]
        if "next" in envelope:
            outcome.result_next[key] = envelope["next"]
    return outcome


def resolve(value: Any, outcome: Outcome) -> Any:
    """Replace references that are a whole value.

    A path that does not resolve is replaced by the deepest part that did: a page shorter than the index gives the
    whole page.
    """
    if isinstance(value, dict):
        return {key: resolve(item, outcome) for key, item in value.items()}
    reference = _REFERENCE.fullmatch(value) if isinstance(value, str) else None
    if not reference:
        return value
    found: Any = getattr(outcome, {"total": "result_total", "next": "result_next"}.get(reference[1], "result"))
    for part in re.findall(r"\[([^\]]*)\]", reference[2]):
        if isinstance(found, dict) and part in found:
            found = found[part]
        elif isinstance(found, list) and part.isdecimal() and int(part) < len(found):
            found = found[int(part)]
        else:
            break
    return found
