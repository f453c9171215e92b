"""Dagster's entry point: one graph, one job, its schedule, and the sensor that clears up after killed runs."""

import dagster as dg
from dagster_dbt import DbtCliResource

from orchestration import assets, dbt
from orchestration.run import JOB, close_dead_runs, sync_run_resource
from warehouse.errors import WarehouseBusy
from warehouse.lock import WarehouseLock
from warehouse.settings import Settings

settings = Settings()
bitrix24_sync = dg.define_asset_job(
    JOB, selection=dg.AssetSelection.all(), description="Portal to published marts: extract, load, build, test, publish"
)


@dg.schedule(
    name="bitrix24_hourly",
    job=bitrix24_sync,
    cron_schedule="0 * * * *",
    execution_timezone=settings.reporting_tz,
    default_status=dg.DefaultScheduleStatus.STOPPED,
)
def bitrix24_hourly(context: dg.ScheduleEvaluationContext) -> dg.RunRequest | dg.SkipReason:
    """A sync every hour; one that finds the last still at work leaves it in peace."""
    try:
        with WarehouseLock(settings.warehouse_path, "schedule"):
            close_dead_runs(context.instance)
    except WarehouseBusy as busy:
        return dg.SkipReason(str(busy))
    return dg.RunRequest()


@dg.sensor(name="killed_runs_are_closed", minimum_interval_seconds=30, default_status=dg.DefaultSensorStatus.RUNNING)
def killed_runs_are_closed(context: dg.SensorEvaluationContext) -> dg.SkipReason:
    """A run that was killed stays STARTED and blocks the queue; whoever can take the lock knows that it is dead."""
    try:
        with WarehouseLock(settings.warehouse_path, "sensor"):
            closed = close_dead_runs(context.instance)
    except WarehouseBusy as busy:
        return dg.SkipReason(str(busy))
    return dg.SkipReason(f"closed {', '.join(closed)}" if closed else "no killed run")


defs = dg.Definitions(
    assets=[
        assets.bitrix24_tables,
        assets.detail_tables,
        assets.input_tables,
        assets.bank_rates,
        assets.dbt_models(settings),
        assets.published_tables(),
    ],
    jobs=[bitrix24_sync],
    schedules=[bitrix24_hourly],
    sensors=[killed_runs_are_closed],
    resources={
        "sync_run": sync_run_resource,
        "dbt_cli": DbtCliResource(
            project_dir=str(dbt.PROJECT_DIR), profiles_dir=str(dbt.PROJECT_DIR), dbt_executable=str(dbt.DBT)
        ),
    },
    executor=dg.in_process_executor,  # the lock and the report live in the process that runs the steps
)
