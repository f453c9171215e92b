"""What the documentation promises to hold."""

import json
from pathlib import Path

from orchestration.dbt import MANIFEST
from orchestration.definitions import defs

ROOT = Path(__file__).parents[2]


def test_every_warning_of_a_run_is_explained() -> None:
    """A warning that nobody can look up teaches people to read none of them."""
    assert defs.resolve_asset_graph()  # the manifest is there and current
    warning = {
        node["name"]
        for node in json.loads(MANIFEST.read_text(encoding="utf-8"))["nodes"].values()
        if node["resource_type"] == "test" and node["config"]["severity"].lower() == "warn"
    }
    explained = (ROOT / "docs" / "warnings.md").read_text(encoding="utf-8")
    assert len(warning) > 20
    assert {
        name for name in warning if f"`{name}`" not in explained and not name.startswith("primary_key_stg_files__")
    } == set()


def test_every_mart_is_in_both_readmes() -> None:
    """A mart that no README names is found by nobody."""
    marts = {path.stem for path in (ROOT / "dbt_project" / "models" / "marts").glob("*.sql")}
    for name in ("README.md", "README.ru.md"):
        text = (ROOT / name).read_text(encoding="utf-8")
        assert {mart for mart in marts if f"`{mart}`" not in text} == set(), name
