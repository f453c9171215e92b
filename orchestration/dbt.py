"""The dbt project as Dagster sees it: its manifest, asset keys, and which models are published."""

import fcntl
import json
import os
import subprocess
import sys
from collections.abc import Iterator, Mapping, Sequence
from functools import cache
from pathlib import Path
from typing import Any

import dagster as dg
import duckdb
from dagster_dbt import DagsterDbtTranslator, DbtCliInvocation, DbtCliResource
from pydantic import ByteSize, TypeAdapter

from orchestration.run import SyncRun
from warehouse.duckdb_file import explain, open_warehouse
from warehouse.errors import WarehouseError
from warehouse.publish import TableSpec
from warehouse.rules import load_rules
from warehouse.settings import Settings

PROJECT_DIR = Path(__file__).parents[1] / "dbt_project"
MANIFEST = PROJECT_DIR / "target" / "manifest.json"
LEAST_MEMORY = 4 * 10**9  # a million deals need no more
COLUMNS_SHOWN = 8  # of a row that fails a test: its keys stand first
DBT = Path(sys.executable).with_name("dbt")
# unit tests prove the code, not the data; exposures only name the dashboards
BUILD = ("build", "--exclude-resource-type", "unit_test", "exposure")


class Translator(DagsterDbtTranslator):
    """Models under their own name; sources under the key that the extraction gives them."""

    def get_group_name(self, dbt_resource_props: Mapping[str, Any]) -> str | None:
        """The layer: staging, intermediate, core, marts, snapshots."""
        kind = dbt_resource_props["resource_type"]
        return f"{kind}s" if kind in {"seed", "snapshot"} else dbt_resource_props["fqn"][1]


def dbt_arguments(settings: Settings) -> list[str]:
    """The vars that come from settings and rules; the same at each call, so that dbt's partial parsing holds.

    Raises:
        SettingsError: a rule is wrong.
    """
    values = {"reporting_tz": settings.reporting_tz, "reporting_currency": settings.reporting_currency}
    return ["--vars", json.dumps(values | load_rules(settings.rules_path).dbt_vars())]


def dbt_environment(settings: Settings) -> dict[str, str]:
    """What profiles.yml reads."""
    return {
        "WAREHOUSE_PATH": str(settings.warehouse_path.absolute()),
        "WAREHOUSE_MEMORY": f"{settings.warehouse_memory or memory_of_a_build()}B",
    }


@cache
def memory_of_a_build() -> int:
    """Half of this machine's memory in bytes, at least 4 GB. DuckDB knows what a container may use, and takes 80 %."""
    with duckdb.connect() as connection:
        ((allowed,),) = connection.execute("select current_setting('memory_limit')").fetchall()
    return max(int(TypeAdapter(ByteSize).validate_python(allowed) * 0.5 / 0.8), LEAST_MEMORY)


def ensure_manifest(settings: Settings) -> Path:
    """Parse the project when its manifest is older than any of its files (about 8 s, else nothing)."""
    MANIFEST.parent.mkdir(exist_ok=True)
    with MANIFEST.with_name("parse.lock").open("w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)  # another process may be writing it; the lock ends with its file
        if not _is_manifest_current():
            _parse(settings)
    return MANIFEST


def _is_manifest_current() -> bool:
    sources = (
        path
        for folder, _, files in os.walk(PROJECT_DIR)
        if _is_source(folder)
        for path in map(Path(folder).joinpath, files)
    )
    return MANIFEST.exists() and MANIFEST.stat().st_mtime >= max(path.stat().st_mtime for path in sources)


def _parse(settings: Settings) -> None:
    command = [str(DBT), "--quiet", "parse", "--project-dir", str(PROJECT_DIR), "--profiles-dir", str(PROJECT_DIR)]
    done = subprocess.run(  # noqa: S603 - our own dbt on our own project
        [*command, *dbt_arguments(settings)],
        env=os.environ | dbt_environment(settings),
        capture_output=True,
        text=True,
        check=False,
    )
    if done.returncode:
        raise WarehouseError(f"dbt cannot parse {PROJECT_DIR.name}:\n{done.stdout}{done.stderr}")
    os.utime(MANIFEST)


def _is_source(folder: str) -> bool:
    parts = Path(folder).relative_to(PROJECT_DIR).parts
    return not parts or parts[0] not in {"target", "logs"}


@cache
def _manifest() -> dict[str, Any]:
    return json.loads(MANIFEST.read_text(encoding="utf-8"))  # type: ignore[no-any-return]


def build(context: dg.AssetExecutionContext, dbt_cli: DbtCliResource, run: SyncRun) -> Iterator[Any]:
    """Run `dbt build` without the unit tests (they prove the code, not the data); the outcome goes to the report."""
    settings, report = run.settings, run.report
    os.environ.update(dbt_environment(settings))
    (settings.paths.dbt / "run_results.json").unlink(missing_ok=True)  # the last run's must not speak for this one
    invocation = dbt_cli.cli(
        [*BUILD, *dbt_arguments(settings)],
        context=context,
        target_path=settings.paths.dbt,
        raise_on_error=False,
    )
    total = sum(
        node["resource_type"] in {"model", "seed", "snapshot", "test"} for node in _manifest()["nodes"].values()
    )
    try:
        for done, event in enumerate(invocation.stream(), start=1):
            run.reporter.step("dbt", min(done, total), total)
            yield event
    finally:
        if invocation.process.poll() is None:  # the step ended early: its dbt must not go on writing
            invocation.process.terminate()
            invocation.process.wait()
    if not (settings.paths.dbt / "run_results.json").exists():
        report.tests_failed.append(f"dbt did not run: {_reason(invocation, settings)}")
        return
    _read_results(invocation.get_artifact("run_results.json")["results"], run)
    if not invocation.is_successful() and not report.tests_failed:
        report.tests_failed.append(f"dbt ended badly: {_reason(invocation, settings)}")


def _reason(invocation: DbtCliInvocation, settings: Settings) -> str:
    return reason(str(invocation.get_error() or "without a word"), settings.warehouse_path)


def reason(text: str, warehouse_path: Path) -> str:
    """What dbt says of its failure, without its traceback; another process at the DuckDB file in our own words."""
    said = text.rpartition("Encountered an error:")[2].partition("Traceback (most recent call last)")[0]
    said = " ".join(said.split())
    return str(explain(warehouse_path, duckdb.IOException(said))) if said.startswith("IO Error") else said


def _read_results(results: Sequence[Mapping[str, Any]], run: SyncRun) -> None:
    report = run.report
    for result in results:
        node = _manifest()["nodes"][result["unique_id"]]
        match result["status"]:
            case "success":
                report.models_built += node["resource_type"] == "model"
            case "pass":
                report.tests_passed += 1
            case "warn":
                report.tests_warned.append(f"{node['name']}: {result['failures']} rows")
            case "fail":
                rows = _failing_rows(result["compiled_code"], run.settings.warehouse_path)
                report.tests_failed.append(f"test {node['name']} found {result['failures']} rows, such as {rows}")
            case "error":
                report.tests_failed.append(f"{node['name']} could not be built: {advised(result['message'])}")


def advised(message: str) -> str:
    """What dbt says of a model, and what to do where its memory was not enough."""
    said = message.strip()
    if "Out of Memory Error" in said:
        said = said.partition("Possible solutions")[0].strip()
        return f"{said} Set WAREHOUSE_MEMORY to more, or give the machine more."
    return said


def _failing_rows(test_sql: str, warehouse_path: Path) -> str:
    """A few of the rows that a data test selects."""
    with open_warehouse(warehouse_path, read_only=True) as connection:
        rows = connection.execute(f"select * from ({test_sql}) limit 3")  # noqa: S608 - the test's own SQL
        names = [column[0] for column in rows.description or []][:COLUMNS_SHOWN]
        return "; ".join(
            ", ".join(f"{name}={value}" for name, value in zip(names, row, strict=False)) for row in rows.fetchall()
        )


def published_models() -> Sequence[Mapping[str, Any]]:
    """Manifest nodes of the models marked `meta.publish`, in the order of their names."""
    models = (node for node in _manifest()["nodes"].values() if node["resource_type"] == "model")
    return sorted((node for node in models if node["config"]["meta"].get("publish")), key=lambda node: node["name"])


def published_assets() -> list[tuple[str, dg.AssetKey]]:
    """Each published table and the asset of the model behind it."""
    translator = Translator()
    return [(node["alias"], translator.get_asset_key(node)) for node in published_models()]


def table_specs(custom_field_labels: Mapping[str, Mapping[str, str]]) -> list[TableSpec]:
    """What `warehouse.publish` needs to know of each published model.

    Args:
        custom_field_labels: `CRM_DEAL` -> column -> the portal's own label, for the models of custom fields.
    """
    specs = []
    for node in published_models():
        meta = node["config"]["meta"]
        for_bi = meta.get("bi", {})
        labels = {
            k: v for entity in meta.get("custom_fields_of", ()) for k, v in custom_field_labels.get(entity, {}).items()
        }
        specs.append(
            TableSpec(
                name=node["alias"],
                relation=f"{node['schema']}.{node['alias']}",
                primary_key=tuple(meta["primary_key"]),
                description=node["description"].strip(),
                columns=labels | {name: column["description"].strip() for name, column in node["columns"].items()},
                contract=bool(node["config"]["contract"]["enforced"]),
                shared=for_bi.get("restricted") == "shared",
                leaks=frozenset(
                    name for name, column in node["columns"].items() if column["config"]["meta"].get("leaks")
                ),
                time=for_bi.get("time"),
                grows=bool(meta.get("grows")),
                may_shrink=bool(meta.get("may_shrink")),
            )
        )
    return specs


def published_key(name: str) -> dg.AssetKey:
    """The asset of a published table, beside the model it is published from."""
    return dg.AssetKey(["postgres", name])
