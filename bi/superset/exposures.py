"""Write `dbt_project/models/_exposures.yml`: to dbt, each dashboard and the tables that it reads.

python -m bi.superset.exposures
"""

import re
from collections.abc import Iterator, Set
from pathlib import Path

import yaml

from bi.dictionary import MODELS, load_dictionary
from bi.superset.build import SCHEMA, Dashboard, Yaml, load_dashboards, load_tables

FILE = MODELS / "_exposures.yml"
HEAD = "# Made by python -m bi.superset.exposures from bi/superset/dashboards.\n"
OWNER = "Аналитика"

_READ = re.compile(rf"\b{SCHEMA}\.(\w+)")


def text() -> str:
    """The text of `_exposures.yml`."""
    models = load_dictionary().keys()
    exposures = [_exposure(dashboard, models) for dashboard in load_dashboards(load_tables())]
    dumped: str = yaml.safe_dump({"exposures": exposures}, allow_unicode=True, sort_keys=False, width=120)
    return HEAD + dumped


def _exposure(dashboard: Dashboard, models: Set[str]) -> Yaml:
    # publish_info, which the queries read too, is written at the publish and not by dbt
    read = sorted(set(_reads(dashboard)) & models)
    return {
        "name": dashboard.slug.replace("-", "_"),
        "label": dashboard.described["title"],
        "type": "dashboard",
        "maturity": "high",
        "description": dashboard.described["about"],
        "depends_on": [f"ref('{name}')" for name in read],
        "owner": {"name": OWNER},
    }


def _reads(dashboard: Dashboard) -> Iterator[str]:
    for chart in dashboard.charts:
        yield from _READ.findall(chart.table.sql) if chart.table.sql else [chart.table.name]


def write(file: Path = FILE) -> None:
    """Replace the file."""
    file.write_text(text(), encoding="utf-8")


if __name__ == "__main__":
    write()
