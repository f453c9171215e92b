"""Write `docs/metrics.md`: every published table, column and metric, as the dictionary tells them.

    python -m bi.metrics

What a table is made from, and which vars change it, is found in the text of the models: its SQL, the macros that this
calls, and the models before it as far as the next published tables, which tell their own.
"""

import re
from collections.abc import Iterable, Iterator, Mapping
from functools import cache
from pathlib import Path

import yaml

from bi.dictionary import MODELS, Column, Dataset, Format, load_dictionary

PROJECT = MODELS.parent
PAGE = PROJECT.parent / "docs" / "metrics.md"

UNITS: Mapping[Format, str] = {
    "money": "деньги",
    "count": "число",
    "decimal": "число",
    "share": "доля",
    "days": "дни",
    "hours": "часы",
    "minutes": "минуты",
    "index": "индекс",
    "ratio": "во сколько раз",
}
HEAD = """\
# Метрики и витрины

<!-- Сделано командой python -m bi.metrics; правьте yml рядом с моделями в dbt_project/models. -->

Что лежит в схеме `marts` PostgreSQL: таблицы, их колонки и показатели. Правила подсчёта, которые можно
менять, и их значения по умолчанию – в [configuration.md](configuration.md).

- **Ключ** – колонки, по которым строка одна.
- **Показатель** остаётся верным при любой группировке: в отчётах берите его формулу. Колонку без знака Σ складывать
  по строкам нельзя: это доля, среднее, медиана, место или число разных клиентов.
- **Выберите одно значение**: в таблице лежит несколько ответов сразу. Без такого фильтра строки посчитаются дважды.
- Деньги – в валюте отчётов, доли – от 0 до 1, даты – в часовом поясе отчётов, моменты – UTC.
- **Сделана из** – таблицы, из которых взяты числа. **Правила** – параметры, которые решают при этом; остальные стоят
  у тех таблиц. Валюта, часовой пояс и момент отчёта действуют везде.
"""
SECTIONS = (
    ("Витрины", lambda name: not name.startswith(("dim_", "fct_", "bridge_", "fx_"))),
    ("Справочники", lambda name: name.startswith(("dim_", "bridge_", "fx_"))),
    ("События", lambda name: name.startswith("fct_")),
)

_REF = re.compile(r"ref\('(\w+)'\)")
_MACRO = re.compile(r"{%-?\s*macro (?P<name>\w+)(?P<text>.*?){%-?\s*endmacro", re.DOTALL)
_WORD = re.compile(r"\w+")
_CALL = re.compile(r"\b(\w+)\(")
_QUOTED = re.compile(r"'(\w+)'")
_EVERYWHERE = frozenset({"as_of", "reporting_tz", "reporting_currency"})
_REFUSAL = re.compile(r"only_supported\(.*?\)")  # of a value that is not built: it changes nothing


def page() -> str:
    """The text of `docs/metrics.md`."""
    dictionary = load_dictionary()
    sections = [
        (title, [dataset for name, dataset in dictionary.items() if belongs(name)]) for title, belongs in SECTIONS
    ]
    lines = [HEAD, "## Содержание", ""]
    for title, datasets in sections:
        by_title = sorted(datasets, key=lambda dataset: dataset.title)
        lines += [f"**{title}**", "", *(f"- [{one.title}](#{one.name}) `{one.name}`" for one in by_title), ""]
    lines += ["## Где какой показатель", "", *_where(dictionary.values()), ""]
    for title, datasets in sections:
        lines += [f"## {title}", ""]
        for dataset in datasets:
            lines += [*_dataset(dataset, dictionary), ""]
    return "\n".join(lines).rstrip() + "\n"


def _where(datasets: Iterable[Dataset]) -> Iterator[str]:
    places: dict[tuple[str, str], list[str]] = {}
    for dataset in datasets:
        for metric in dataset.metrics:
            places.setdefault((metric.label, metric.name), []).append(f"[{dataset.title}](#{dataset.name})")
    yield from _table("Показатель", "Имя", "Таблицы")
    for (label, name), found in sorted(places.items()):
        yield _row(label, f"`{name}`", ", ".join(found))


def _dataset(dataset: Dataset, dictionary: Mapping[str, Dataset]) -> Iterator[str]:
    parents, rules = origin(dataset.name, frozenset(dictionary))
    yield f'<a id="{dataset.name}"></a>'
    yield ""
    yield f"### {dataset.title} · `{dataset.name}`"
    yield ""
    yield dataset.description
    yield ""
    yield f"- Ключ: {_codes(dataset.primary_key)}"
    if dataset.time:
        yield f"- Дата: `{dataset.time}`"
    if dataset.pick_one:
        yield f"- **Выберите одно значение**: {_codes(dataset.pick_one)}"
    if parents:
        yield f"- Сделана из: {', '.join(f'[{name}](#{name})' for name in sorted(parents))}"
    if rules:
        yield f"- Правила: {_codes(sorted(rules))}"
    yield ""
    if dataset.metrics:
        yield from _table("Показатель", "Имя", "Единица", "Что значит", "Формула")
        for metric in dataset.metrics:
            yield _row(
                metric.label,
                f"`{metric.name}`",
                UNITS[metric.format],
                metric.definition,
                f"`{' '.join(metric.expression.split())}`",
            )
        yield ""
    yield from _columns(dataset)


def _columns(dataset: Dataset) -> Iterator[str]:
    sums = ("Σ",) if dataset.metrics else ()
    yield from _table("Колонка", "Название", "Тип", *sums, "Определение")
    for column in dataset.columns:
        sign = ("Σ" if _adds_up(dataset, column) else "",) if sums else ()
        yield _row(f"`{column.name}`", column.label, column.type, *sign, _told(column))


def _adds_up(dataset: Dataset, column: Column) -> bool:
    is_name = column.name in dataset.primary_key or column.name.endswith(("_id", "_key", "_position"))
    return column.additive and not is_name and column.type.startswith(("bigint", "decimal", "double"))


def _told(column: Column) -> str:
    values = ", ".join(f"`{code}` – {name}" for code, name in column.values)
    hidden = "Не видна тем, кому открыта только своя работа." if column.leaks else ""
    return " ".join(part for part in (column.definition, f"Значения: {values}." if values else "", hidden) if part)


def _codes(names: Iterable[str]) -> str:
    return ", ".join(f"`{name}`" for name in names)


def _table(*heads: str) -> Iterator[str]:
    yield _row(*heads)
    yield _row(*("---" for _ in heads))


def _row(*cells: str) -> str:
    return f"| {' | '.join(' '.join(cell.split()).replace('|', chr(92) + '|') for cell in cells)} |"


# --- where a table comes from -------------------------------------------------------------------------------------


def origin(table: str, published: frozenset[str]) -> tuple[frozenset[str], frozenset[str]]:
    """The published tables that a table is made from, and the vars read on the way that none of them reads."""
    parents, rules = _read_by(table, published)
    return parents, rules.difference(_EVERYWHERE, *(_read_by(parent, published)[1] for parent in parents))


@cache
def _read_by(table: str, published: frozenset[str]) -> tuple[frozenset[str], frozenset[str]]:
    parents: set[str] = set()
    rules: set[str] = set()
    seen, waiting = {table}, [table]
    while waiting:
        text = _with_macros(_models()[waiting.pop()])
        rules |= _declared() & {*_QUOTED.findall(_REFUSAL.sub("", text))}
        refs = {name for name in _REF.findall(text) if name in _models()} - seen
        seen |= refs
        parents |= refs & published
        waiting += refs - published
    return frozenset(parents), frozenset(rules)


@cache
def _with_macros(text: str) -> str:
    called = _macros().keys() & {*_CALL.findall(text)}
    return "\n".join((text, *(_with_macros(_macros()[name]) for name in sorted(called))))


@cache
def _declared() -> frozenset[str]:
    return frozenset(yaml.safe_load((PROJECT / "dbt_project.yml").read_text(encoding="utf-8"))["vars"])


@cache
def _models() -> Mapping[str, str]:
    return {path.stem: path.read_text(encoding="utf-8") for path in MODELS.rglob("*.sql")}


@cache
def _macros() -> Mapping[str, str]:
    texts = (path.read_text(encoding="utf-8") for path in (PROJECT / "macros").rglob("*.sql"))
    return {found["name"]: found["text"] for text in texts for found in _MACRO.finditer(text)}


def write(path: Path = PAGE) -> None:
    """Replace the page."""
    path.write_text(page(), encoding="utf-8")


if __name__ == "__main__":
    write()
