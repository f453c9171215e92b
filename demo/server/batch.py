"""`batch`: up to 50 commands in one request, each a text, some referring to the results of earlier ones."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field
from functools import lru_cache
from typing import Any, NamedTuple

from demo.server.errors import RestError
from demo.server.packing import JsonRows
from demo.server.parameters import Params, array_items, parse_query, to_bool, to_php_array

MAX_COMMANDS = 50
_REFERENCE = re.compile(r"\$(result|total|next)((?:\[[^\]\s]*\])+)")
_PART = re.compile(r"\[([^\]]*)\]")
_SOURCES = {"result": "result", "total": "result_total", "next": "result_next"}

Envelope = dict[str, Any]
Call = Callable[[str, Params], Envelope]


class Reference(NamedTuple):
    """A value to be replaced: where it lies in the parameters, and the path of what it stands for."""

    place: tuple[str, ...]
    source: str
    path: tuple[str, ...]


@dataclass(frozen=True)
class Command:
    """One command, parsed; `params` are shared between requests and never changed."""

    method: str
    params: Params
    references: tuple[Reference, ...]


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


def run(params: Params, call: Call, refused: Mapping[int, RestError] | None = None) -> Outcome:
    """Run the commands one after another.

    Args:
        params: `cmd` (texts by key; what is no text vanishes without a trace) and `halt`.
        call: runs one method and returns its envelope; raises RestError.
        refused: commands, by their number, that are refused without being run.
    """
    outcome = Outcome()
    halt = to_bool(params.get("halt"))
    commands = [(key, text) for key, text in array_items(params.get("cmd")) if isinstance(text, str)]
    for number, (key, text) in enumerate(commands):
        try:
            if number >= MAX_COMMANDS:
                raise RestError(400, "ERROR_BATCH_LENGTH_EXCEEDED", "Max batch length exceeded")
            if refused and number in refused:
                raise refused[number]
            command = parse(text)
            if command.method.lower() == "batch":
                raise RestError(405, "ERROR_BATCH_METHOD_NOT_ALLOWED", "Method is not allowed for batch usage")
            envelope = call(command.method, resolve(command, outcome))
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


@lru_cache(maxsize=512)  # the commands of a chain come again in every batch
def parse(text: str) -> Command:
    """Read `method?query`; references are values that consist of nothing else."""
    method, _, query = text.partition("?")
    params = parse_query(query.partition("#")[0])
    return Command(method, params, tuple(_references(params, ())))


def _references(values: Params, above: tuple[str, ...]) -> Iterator[Reference]:
    for key, value in values.items():
        if isinstance(value, dict):
            yield from _references(value, (*above, key))
        elif value[:1] == "$" and (found := _REFERENCE.fullmatch(value)):
            yield Reference((*above, key), _SOURCES[found[1]], tuple(_PART.findall(found[2])))


def resolve(command: Command, outcome: Outcome) -> Params:
    """Return the parameters with references replaced.

    A path that does not resolve is replaced by the deepest part that did: a page shorter than the index gives the
    whole page.
    """
    params = command.params
    for reference in command.references:
        params = _replaced(params, reference.place, _look_up(getattr(outcome, reference.source), reference.path))
    return params


def _replaced(values: Params, place: tuple[str, ...], value: Any) -> Params:
    """Return a copy with another value at one place."""
    head, *rest = place
    return {**values, head: _replaced(values[head], tuple(rest), value) if rest else value}


def _look_up(found: Any, path: tuple[str, ...]) -> Any:
    for part in path:
        if isinstance(found, dict) and part in found:
            found = found[part]
        elif isinstance(found, list | JsonRows) and part.isdecimal() and int(part) < len(found):
            found = found[int(part)]
        else:
            break
    return found.to_list() if isinstance(found, JsonRows) else found
