"""Write `site/index.html`: dbt's documentation as one page that opens without a server and without a network.

    python -m orchestration.docs_page

Tables and columns of the warehouse are shown where it is filled; without one, those that the models declare.
"""

import json
import os
import sys
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from dbt.cli.main import dbtRunner
from dbt.task.docs import DOCS_INDEX_FILE_PATH

from orchestration.dbt import PROJECT_DIR, dbt_arguments, dbt_environment, ensure_manifest, reason
from warehouse.errors import WarehouseError
from warehouse.settings import Settings

PAGE = PROJECT_DIR.parent / "site" / "index.html"
TARGET = PROJECT_DIR / "target"
PACKAGE = "bitrix24_analytics"

# the browser itself then refuses whatever is not in the file
ALONE = (
    '<meta http-equiv="Content-Security-Policy" '
    "content=\"default-src 'unsafe-inline' 'unsafe-eval' data: blob:; connect-src 'none'\">"
)
ABOUT_DBT = {"dbt_schema_version", "dbt_version", "generated_at", "project_name", "adapter_type"}
OF_THIS_MACHINE = {"root_path", "build_path", "compiled_path", "relation_name", "created_at", "checksum"}


def write(settings: Settings, page: Path = PAGE) -> Path:
    """Write the page.

    Raises:
        WarehouseError: dbt cannot read the project or the warehouse, for instance while a run writes it.
    """
    manifest = json.loads(ensure_manifest(settings).read_text(encoding="utf-8"))
    _read_catalog(settings)
    catalog = json.loads((TARGET / "catalog.json").read_text(encoding="utf-8"))
    page.parent.mkdir(parents=True, exist_ok=True)
    page.write_text(text(manifest, catalog), encoding="utf-8")
    return page


def text(manifest: Mapping[str, Any], catalog: Mapping[str, Any]) -> str:
    """The page: dbt's own, with what dbt knows of the project inside."""
    empty = Path(DOCS_INDEX_FILE_PATH).read_text(encoding="utf-8")
    page = empty.replace("<head>", f"<head>{ALONE}", 1)
    for name, content in (("MANIFEST", _project(manifest)), ("CATALOG", _shareable(catalog))):
        page = page.replace(f'"{name}.JSON INLINE DATA"', _inline(content))
    return page


def _read_catalog(settings: Settings) -> None:
    """Have dbt write `catalog.json`: the tables that are there."""
    filled = settings.warehouse_path.exists()
    os.environ.update(dbt_environment(settings) if filled else {"WAREHOUSE_PATH": ":memory:"})
    places = ["--project-dir", str(PROJECT_DIR), "--profiles-dir", str(PROJECT_DIR), "--target-path", str(TARGET)]
    command = ["--quiet", "docs", "generate", "--no-compile", *places, *dbt_arguments(settings)]
    done = dbtRunner().invoke(command if filled else [*command, "--empty-catalog"])
    if not done.success:
        said = reason(str(done.exception), settings.warehouse_path)
        raise WarehouseError(f"dbt cannot write its documentation: {said}")


def _project(manifest: Mapping[str, Any]) -> dict[str, Any]:
    """The project's own part of the manifest: dbt's macros would be nine tenths of the list."""
    own = {name: macro for name, macro in manifest["macros"].items() if macro["package_name"] == PACKAGE}
    nodes = {name: _readable(node) for name, node in manifest["nodes"].items()}
    return _shareable({**manifest, "nodes": nodes, "macros": own})


def _readable(node: Mapping[str, Any]) -> dict[str, Any]:
    """A model with its metrics as a list under its description, not as JSON among its details."""
    bi = node["config"].get("meta", {}).get("bi", {})
    metrics = [f"- **{one['label']}** – {one['definition']} `{one['expression']}`" for one in bi.get("metrics", ())]
    listed = ["**Показатели**", *metrics] if metrics else []
    about = {"title": bi["title"]} if bi.get("title") else {}
    return {**node, "meta": about, "description": "\n\n".join([node["description"].strip(), "\n".join(listed)])}


def _shareable(artifact: Mapping[str, Any]) -> dict[str, Any]:
    """Without what tells of this machine and its user; the page then reports to nobody either."""
    about = {key: value for key, value in artifact["metadata"].items() if key in ABOUT_DBT}
    return {**_without(artifact), "metadata": about | {"send_anonymous_usage_stats": False}}


def _without(node: Any) -> Any:
    if isinstance(node, dict):
        # dbt takes the file's name for that of a database
        named = {**node, "database": "duckdb"} if node.get("database") else node
        return {key: _without(value) for key, value in named.items() if key not in OF_THIS_MACHINE}
    return [_without(value) for value in node] if isinstance(node, list) else node


def _inline(content: Mapping[str, Any]) -> str:
    """As JSON inside a script, which a closing tag within a text would end."""
    return json.dumps(content, ensure_ascii=False, separators=(",", ":")).replace("</", "<\\/")


if __name__ == "__main__":
    try:
        print(f"Documentation of the models: {write(Settings())}")  # noqa: T201 - its answer
    except WarehouseError as error:
        sys.exit(str(error))
