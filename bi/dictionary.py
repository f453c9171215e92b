"""The dictionary of BI: what each published table, column and metric is called and means.

It is kept beside the dbt models, in their yml: labels and definitions in the descriptions of columns ("Русское
название. English definition."), the rest in `config.meta.bi`. Everything generated for a BI tool starts here, so that
a formula is written once.
"""

import re
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal, cast, get_args

import yaml

MODELS = Path(__file__).parents[1] / "dbt_project" / "models"
LAYERS = ("core", "marts")

Format = Literal["money", "count", "decimal", "share", "days", "hours", "minutes", "index", "ratio"]
FORMATS: tuple[Format, ...] = get_args(Format)

# a label ends at its first full stop, but not inside "Коэф. вариации"
_LABELLED = re.compile(r"(?P<label>[^\s].*?)\.(?:\s+(?![а-яё])(?P<definition>.*))?$", re.DOTALL)
_CYRILLIC = re.compile("[А-Яа-яЁё]")
_LITERAL = re.compile("'[^']*'")
_COLUMN = re.compile(r"\b[a-z_][a-z0-9_]*\b")  # SQL words stand in capitals


class DictionaryError(Exception):
    """A model's yml lacks what BI needs, or contradicts itself; the message names the file and the place."""


@dataclass(frozen=True)
class Column:
    """A column of a published table."""

    name: str
    type: str  # as declared to dbt: bigint, varchar, decimal(18,2), double, boolean, date, timestamptz
    label: str
    definition: str  # English; empty where the label says it all
    additive: bool  # False: adding it up over rows gives no meaning (ratios, averages, distinct counts)
    leaks: bool  # True: it tells a manager about others
    values: tuple[tuple[str, str], ...] = ()  # of a column of codes: each code and its Russian name


@dataclass(frozen=True)
class Metric:
    """A number that stays right however the rows are grouped."""

    name: str
    label: str
    expression: str  # PostgreSQL; SQL words in capitals, columns in small letters
    format: Format
    definition: str  # one Russian sentence

    @property
    def columns(self) -> frozenset[str]:
        """The columns that the expression reads."""
        return frozenset(_COLUMN.findall(_LITERAL.sub("", self.expression)))


@dataclass(frozen=True)
class Dataset:
    """A published table."""

    name: str
    title: str
    description: str
    primary_key: tuple[str, ...]
    time: str | None  # the date that the table is read by
    pick_one: tuple[str, ...]  # exactly one value of each must be filtered, else rows count several times
    columns: tuple[Column, ...]
    metrics: tuple[Metric, ...]
    restricted: str | None  # "shared": read by every restricted role

    def column(self, name: str) -> Column:
        """The column of that name."""
        return next(column for column in self.columns if column.name == name)

    def metric(self, name: str) -> Metric:
        """The metric of that name."""
        return next(metric for metric in self.metrics if metric.name == name)


def load_dictionary(models: Path = MODELS) -> dict[str, Dataset]:
    """All published models by name, in the order of the names.

    Raises:
        DictionaryError: a column without a label, a metric of an unknown column, a title that is missing, ...
    """
    datasets = (
        _dataset(model, f"{path.parent.name}/{path.name}")
        for layer in LAYERS
        for path in sorted((models / layer).glob("*.yml"))
        for model in _read(path).get("models", [])
        if _meta(model).get("publish")
    )
    return {dataset.name: dataset for dataset in sorted(datasets, key=lambda dataset: dataset.name)}


def _read(path: Path) -> dict[str, Any]:
    # the parser in Python takes seconds for all of them
    return dict(yaml.load(path.read_text(encoding="utf-8"), Loader=yaml.CSafeLoader))


def _dataset(model: Mapping[str, Any], file: str) -> Dataset:
    bi = _meta(model).get("bi", {})
    description = " ".join(model["description"].split())
    columns = tuple(read_column(column, file) for column in model["columns"])
    dataset = Dataset(
        name=model["name"],
        title=bi.get("title") or _label(description, file, "the description")[0],
        description=description,
        primary_key=tuple(_meta(model)["primary_key"]),
        time=bi.get("time"),
        pick_one=tuple(bi.get("pick_one", ())),
        columns=columns,
        metrics=tuple(read_metric(metric, file) for metric in bi.get("metrics", ())),
        restricted=bi.get("restricted"),
    )
    check(dataset, file)
    return dataset


def check(dataset: Dataset, file: str) -> None:
    """Refuse a dataset that contradicts itself.

    Raises:
        DictionaryError: names the file and the first contradiction.
    """
    for problem in _contradictions(dataset):
        raise DictionaryError(f"{file}: {problem}.")


def read_column(column: Mapping[str, Any], file: str) -> Column:
    """A column as described in a yml; `file` is for the message of an error."""
    meta = _meta(column)
    label, definition = _label(column.get("description", ""), file, f"column {column['name']}")
    return Column(
        name=column["name"],
        type=column["data_type"],
        label=label,
        definition=definition,
        additive=meta.get("additive", True),
        leaks=meta.get("leaks", False),
        values=tuple(meta.get("values", {}).items()),
    )


def _label(text: str, file: str, place: str) -> tuple[str, str]:
    found = _LABELLED.match(text.strip())
    if found is None:
        raise DictionaryError(
            f"{file}: {place} needs a description of the form “Русское название. English definition.”."
        )
    return found["label"], (found["definition"] or "").strip()


def read_metric(metric: Mapping[str, Any], file: str) -> Metric:
    """A metric as described in a yml; `file` is for the message of an error."""
    for key in ("name", "label", "expression", "format", "definition"):
        if not metric.get(key):
            raise DictionaryError(f"{file}: metric {metric.get('name', 'without a name')} lacks its {key}.")
    return Metric(
        name=metric["name"],
        label=metric["label"],
        expression=metric["expression"],
        format=cast(Format, metric["format"]),
        definition=metric["definition"],
    )


def _contradictions(dataset: Dataset) -> Iterator[str]:
    columns = {column.name: column for column in dataset.columns}
    named = {"primary_key": dataset.primary_key, "pick_one": dataset.pick_one}
    if dataset.time:
        named["time"] = (dataset.time,)
    for place, names in named.items():
        for name in _unknown(names, columns):
            yield f"{place} names {name}, which is no column of {dataset.name}"
    if not _CYRILLIC.search(dataset.title):
        yield f"the title of {dataset.name} is not Russian"
    if dataset.restricted not in {None, "shared"}:
        yield f"restricted is {dataset.restricted}; only `shared` is known"
    for metric in dataset.metrics:
        for name in _unknown(sorted(metric.columns), columns):
            yield f"metric {metric.name} reads {name}, which is no column of {dataset.name}"
        if metric.format not in FORMATS:
            yield f"metric {metric.name} has the format {metric.format}; known are {', '.join(FORMATS)}"
        if not (_CYRILLIC.search(metric.definition) and metric.definition.endswith(".")):
            yield f"the definition of metric {metric.name} is not a Russian sentence with its full stop"
        for name in sorted(metric.columns & columns.keys()):
            summed = re.search(rf"SUM\([^()]*\b{name}\b", metric.expression)
            # the state at the end of a month adds up over managers, not over months: their number divides it
            averaged = f"COUNT(DISTINCT {dataset.time})" in metric.expression
            if summed and not columns[name].additive and not averaged:
                yield f"metric {metric.name} sums {name}, which does not add up"


def _unknown(names: Sequence[str], columns: Mapping[str, Column]) -> list[str]:
    return [name for name in names if name not in columns]


def _meta(node: Mapping[str, Any]) -> Mapping[str, Any]:
    return cast(Mapping[str, Any], node.get("config", {}).get("meta", {}))
