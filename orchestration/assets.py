"""The asset graph: raw tables, input files, rates of the bank, dbt models, published tables; wiring only."""

from collections.abc import Iterator
from datetime import UTC, date, datetime, time, timedelta
from functools import partial
from typing import Any
from zoneinfo import ZoneInfo

import dagster as dg
from dagster_dbt import DbtCliResource, dbt_assets

from dlt_sources.bitrix24 import preflight, schema
from dlt_sources.bitrix24.details import DETAILS, TABLES, Moment, load_details
from dlt_sources.bitrix24.load import EntityReport, load_portal, make_pipeline
from dlt_sources.cbr import load_rates
from dlt_sources.files import load_files
from dlt_sources.files.schema import FILES
from orchestration import completeness, dbt
from orchestration.check import NOT_ADMIN
from orchestration.run import SyncRun, known_errors
from warehouse.errors import WarehouseError
from warehouse.postgres import marts_target
from warehouse.publish import PublishInfo, publish
from warehouse.settings import Settings

# options of custom fields come with the lists, too
BY_OWNER = {table: owners for table, owners in TABLES.items() if table != "custom_field_options"}
# the tables that dbt reads of the ledger: they are written with the raw tables
LEDGER = ("sync_runs", "custom_field_names")
RETRY_OUTAGE = dg.RetryPolicy(max_retries=1, delay=10)
FRESH = dg.FreshnessPolicy.time_window(fail_window=timedelta(hours=26), warn_window=timedelta(hours=3))


class SyncConfig(dg.Config):
    """How to read the portal this time."""

    full: bool = False
    sweep: bool | None = None
    accept_rights: bool = False
    since: str | None = None
    as_of: str | None = None


def raw_key(table: str) -> dg.AssetKey:
    """The key that dbt's sources name too."""
    return dg.AssetKey(["bitrix24", table])


@dg.multi_asset(
    name="bitrix24",
    specs=[
        *(
            dg.AssetSpec(raw_key(table), group_name="bitrix24", kinds={"dlt", "duckdb"}, freshness_policy=FRESH)
            for table in schema.TABLES
            if table not in BY_OWNER
        ),
        # what was read is written down once it is loaded
        *(
            dg.AssetSpec(["ops", table], deps=[raw_key("deals")], group_name="ops", kinds={"duckdb"})
            for table in LEDGER
        ),
    ],
    pool="warehouse",
    retry_policy=RETRY_OUTAGE,
)
def bitrix24_tables(
    context: dg.AssetExecutionContext, config: SyncConfig, sync_run: dg.ResourceParam[SyncRun]
) -> Iterator[dg.MaterializeResult[Any]]:
    """Read the portal's changes into `raw_bitrix24`; the first run reads everything, in packages it can resume from."""
    report, settings = sync_run.report, sync_run.settings
    with known_errors(report), report.phase("extract"):
        facts = preflight.inspect(sync_run.client)
        report.portal = sync_run.client.host
        as_of = datetime.fromisoformat(config.as_of) if config.as_of else facts.as_of
        sync_run.ledger.bind_portal(report.portal, redirected_from=sync_run.client.asked_host)
        sync_run.ledger.start_run(report.run_id, as_of)
        report.as_of = as_of
        before = sync_run.ledger.positions()
        if config.full:
            sync_run.ledger.forget_owners()
        if facts.is_admin is False:
            report.warnings.append(NOT_ADMIN)
        if config.accept_rights:
            sync_run.ledger.accept_rights(facts.rights)
        report.entities = load_portal(
            sync_run.client,
            make_pipeline(settings.warehouse_path, settings.paths.dlt),
            sync_run.ledger,
            as_of=facts.as_of,  # watermarks are the portal's clock, whatever moment the marts stand for
            reporting_tz=settings.reporting_tz,
            full=config.full,
            since=_start_of(config.since, settings),
            progress=sync_run.reporter.rows,
            writer=sync_run.writer,
            max_ids=facts.max_ids,
            loading=partial(report.phase, "load"),
        )
        report.checks = completeness.sweep(sync_run, facts, before, forced=config.sweep)
        sync_run.ledger.fix_custom_field_names()
        report.schema_changes = sync_run.ledger.note_schema_changes(
            report.run_id,
            facts.as_of,
            is_whole=not any(table.note for table in report.entities if table.entity == "custom_fields"),
        )
    for check in report.checks:
        if check.note:
            report.warnings.append(f"{check.entity}: {check.note}")
    for warning in report.warnings:
        context.log.warning(warning)
    for change in report.schema_changes:
        context.log.info(f"custom field changed: {change}")
    for table in report.entities:
        if table.note:
            context.log.warning(f"{table.entity}: {table.note}")
        metadata = {"rows_read": table.rows_read, "rows_new": table.rows_new, "rows_changed": table.rows_changed}
        yield dg.MaterializeResult(asset_key=raw_key(table.entity), metadata=metadata)
    # a table that this portal has nothing for exists all the same, and staging reads it
    for name in schema.TABLES.keys() - BY_OWNER.keys() - {table.entity for table in report.entities}:
        yield dg.MaterializeResult(asset_key=raw_key(name), metadata={"rows_read": 0})
    for name in LEDGER:
        yield dg.MaterializeResult(asset_key=dg.AssetKey(["ops", name]))


def _start_of(day: str | None, settings: Settings) -> datetime | None:
    """The first moment of a day in the reporting zone."""
    if day is None:
        return None
    return datetime.combine(date.fromisoformat(day), time.min, ZoneInfo(settings.reporting_tz)).astimezone(UTC)


@dg.multi_asset(
    name="details",
    specs=[
        dg.AssetSpec(
            raw_key(table), deps=[raw_key(owner) for owner in owners], group_name="bitrix24", kinds={"dlt", "duckdb"}
        )
        for table, owners in BY_OWNER.items()
    ],
    pool="warehouse",
    retry_policy=RETRY_OUTAGE,
)
def detail_tables(
    context: dg.AssetExecutionContext, sync_run: dg.ResourceParam[SyncRun]
) -> Iterator[dg.MaterializeResult[Any]]:
    """Read what comes by one command per owner, such as product rows; bounded per run, the most wanted first."""
    settings, ledger, report = sync_run.settings, sync_run.ledger, sync_run.report
    with known_errors(report), report.phase("extract"):
        # by the portal's clock, whatever moment the marts stand for
        as_of = sync_run.client.started_at or ledger.latest_run().as_of
        moment = Moment.of(as_of.astimezone(UTC), settings.reporting_tz)
        read = load_details(
            sync_run.client,
            make_pipeline(settings.warehouse_path, settings.paths.dlt),
            ledger,
            moment=moment,
            limits=dict.fromkeys(TABLES, settings.details_per_run) | {"product_rows": settings.product_rows_per_run},
            progress=sync_run.reporter.rows,
            writer=sync_run.writer,
            loading=partial(report.phase, "load"),
        )
        report.owners_waiting = ledger.save_coverage(DETAILS, moment)
        totals = {table.entity: table for table in report.entities}
        for table in read:
            totals.setdefault(table.entity, EntityReport(table.entity, table.mode)).add(table)
        report.entities = list(totals.values())
        ledger.save({}, [totals[table.entity] for table in read])
    for table in read:
        if table.note:
            context.log.warning(f"{table.entity}: {table.note}")
        if table.entity in BY_OWNER:
            yield dg.MaterializeResult(asset_key=raw_key(table.entity), metadata={"rows_read": table.rows_read})


@dg.multi_asset(
    name="files",
    # rows are stamped with the run's `as_of`, which the ledger holds once the portal has answered
    specs=[
        *(
            dg.AssetSpec(["files", table], deps=[["ops", "sync_runs"]], group_name="files", kinds={"dlt", "duckdb"})
            for table in FILES
        ),
        dg.AssetSpec(["ops", "input_files"], deps=[["ops", "sync_runs"]], group_name="ops", kinds={"duckdb"}),
    ],
    pool="warehouse",
)
def input_tables(
    context: dg.AssetExecutionContext, sync_run: dg.ResourceParam[SyncRun]
) -> Iterator[dg.MaterializeResult[Any]]:
    """The company's own files of INPUTS_PATH into `raw_files`; one that does not fit is left out and told of."""
    settings, report = sync_run.settings, sync_run.report
    with known_errors(report), report.phase("load"):
        run = sync_run.ledger.latest_run()
        files = load_files(settings.inputs_path, settings.warehouse_path, settings.paths.dlt, as_of=run.as_of)
        sync_run.ledger.save_input_files(run.run_id, files, run.as_of)
    for warning in filter(None, (file.warning for file in files)):
        report.warnings.append(warning)
        context.log.warning(warning)
    for file in files:
        if file.table:
            report.input_rows[file.table] = report.input_rows.get(file.table, 0) + file.rows
    for table in FILES:
        rows = report.input_rows.get(table, 0)
        yield dg.MaterializeResult(asset_key=dg.AssetKey(["files", table]), metadata={"rows": rows})
    yield dg.MaterializeResult(asset_key=dg.AssetKey(["ops", "input_files"]))


@dg.asset(
    name="rates",
    key_prefix="cbr",
    # which currencies there are, and since when amounts are converted
    deps=[raw_key("currencies"), raw_key("deals"), raw_key("leads"), dg.AssetKey(["files", "ad_spend"])],
    group_name="cbr",
    kinds={"dlt", "duckdb"},
    pool="warehouse",
)
def bank_rates(context: dg.AssetExecutionContext, sync_run: dg.ResourceParam[SyncRun]) -> dg.MaterializeResult[Any]:
    """Rates of the Central Bank of Russia into `raw_cbr`; a bank that does not answer stops nothing."""
    settings, report = sync_run.settings, sync_run.report
    with known_errors(report), report.phase("load"):
        as_of = sync_run.ledger.latest_run().as_of
        read = load_rates(settings.cbr_url, settings.warehouse_path, settings.paths.dlt, as_of=as_of)
    report.bank_rates = read.rows
    if read.warning:
        report.warnings.append(read.warning)
        context.log.warning(read.warning)
    return dg.MaterializeResult(metadata={"rows_new": read.rows})


def dbt_models(settings: Settings) -> dg.AssetsDefinition:
    """Every dbt model an asset, every data test a check on it."""

    @dbt_assets(
        name="dbt",
        manifest=dbt.ensure_manifest(settings),
        dagster_dbt_translator=dbt.Translator(),
        pool="warehouse",
    )
    def models(
        context: dg.AssetExecutionContext, dbt_cli: DbtCliResource, sync_run: dg.ResourceParam[SyncRun]
    ) -> Iterator[Any]:
        """Build and test; a failed error-severity test fails the run, so nothing is published."""
        report = sync_run.report
        with known_errors(report):
            sync_run.ledger.mark_loaded(sync_run.ledger.latest_run().run_id)
        with report.phase("dbt"):
            yield from dbt.build(context, dbt_cli, sync_run)
        if report.tests_failed:
            report.error = "Nothing is published: " + "; ".join(report.tests_failed)
            raise dg.Failure(report.error, allow_retries=False)
        with known_errors(report):
            sync_run.ledger.mark_built(sync_run.ledger.latest_run().run_id)
        report.built = True

    return models


def published_tables() -> dg.AssetsDefinition:
    """Every published table an asset behind its model."""
    models = dbt.published_assets()

    @dg.multi_asset(
        name="postgres",
        specs=[
            *(
                dg.AssetSpec(dbt.published_key(name), deps=[model], group_name="published", kinds={"postgres"})
                for name, model in models
            ),
            dg.AssetSpec(
                dbt.published_key("publish_info"),
                deps=[dg.AssetKey(["ops", "sync_runs"])],
                group_name="published",
                kinds={"postgres"},
            ),
        ],
        pool="warehouse",
    )
    def tables(sync_run: dg.ResourceParam[SyncRun]) -> Iterator[dg.MaterializeResult[Any]]:
        """All tables become visible together, or none."""
        with known_errors(sync_run.report):
            publish_marts(sync_run)
        for table in sync_run.report.published:
            metadata = {
                "rows": table.rows,
                "inserted": table.inserted,
                "updated": table.updated,
                "deleted": table.deleted,
            }
            yield dg.MaterializeResult(asset_key=dbt.published_key(table.name), metadata=metadata)

    return tables


def publish_marts(sync_run: SyncRun, *, allow_shrink: bool = False) -> None:
    """Publish what the last build left in the warehouse, and say so in the ledger."""
    settings, report = sync_run.settings, sync_run.report
    with report.phase("publish"):
        last = sync_run.ledger.latest_run()
        if last.status not in {"built", "published"}:
            raise WarehouseError(
                f"The last run ended before its marts were built and tested ({last.error or 'it was killed'}). "
                "Run `b24 sync`."
            )
        hosts = sync_run.ledger.portal_hosts()
        report.published = publish(
            settings.warehouse_path,
            marts_target(settings),
            dbt.table_specs(sync_run.ledger.custom_field_labels()),
            PublishInfo(last.run_id, last.as_of, next(iter(hosts), None), tuple(hosts[1:])),
            shrink_guard=settings.publish_shrink_guard,
            allow_shrink=allow_shrink,
            progress=lambda _, table, number, total: sync_run.reporter.step("publish", number, total),
        )
        sync_run.ledger.finish_run(last.run_id)
    report.succeeded = True
