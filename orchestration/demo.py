"""`b24 demo`: a stand-in portal, two syncs with a day between them, and what a head of sales would look at."""

import os
import shutil
from pathlib import Path

import psycopg
from pydantic import SecretStr
from rich.table import Table

from bi.superset.server import Superset
from demo.server.running import PortalProcess
from orchestration.console import LiveProgress, console, summary_table
from orchestration.report import RunReport
from orchestration.sync import run_sync
from warehouse.postgres import EmbeddedPostgres
from warehouse.settings import Settings

FOLDER = Path("warehouse/data/demo")
SEED = 7
DEALS = 3000

# one row of month figures: label, SQL over `marts`, format
FIGURES = (
    ("Выручка", "select sum(revenue) from marts.sales_dynamics where {month}", "{:,.0f}"),
    ("Успешных сделок", "select sum(deals_won) from marts.sales_dynamics where {month}", "{:,.0f}"),
    (
        "Средний чек",
        "select sum(revenue) / nullif(sum(deals_won), 0) from marts.sales_dynamics where {month}",
        "{:,.0f}",
    ),
    (
        "Доля выигранных",
        "select sum(deals_won)::float / nullif(sum(deals_won + deals_lost), 0) from marts.sales_dynamics where {month}",
        "{:.1%}",
    ),
    (
        "Лидов",
        "select sum(leads) from marts.channel_roi where {period} and attribution_model = 'last_touch' "
        "and date_basis = 'event'",
        "{:,.0f}",
    ),
    (
        "Расходы на рекламу",
        "select sum(spend) from marts.channel_roi where {period} and attribution_model = 'last_touch' "
        "and date_basis = 'event'",
        "{:,.0f}",
    ),
    (
        "ROMI",
        "select (sum(revenue) - sum(spend)) / nullif(sum(spend), 0) from marts.channel_roi "
        "where {period} and attribution_model = 'last_touch' and date_basis = 'event'",
        "{:.0%}",
    ),
    (
        "Лучший менеджер",
        "select manager_name from marts.manager_performance where {period} and rank_revenue = 1 order by manager_key",
        "{}",
    ),
    (
        "Выполнение плана менеджерами",
        "select sum(revenue) filter (where plan_revenue is not null) / nullif(sum(plan_revenue), 0) "
        "from marts.manager_performance where {period}",
        "{:.0%}",
    ),
    (
        "Клиентов класса A",
        "select count(*) from marts.client_abc where as_of_month = {first} and abc_class = 'A'",
        "{:,.0f}",
    ),
)


def run_demo(*, keep: bool) -> RunReport:
    """Start the stand-in portal, sync, let a day pass, sync again; returns the last report, good or bad."""
    settings = _fresh_settings()
    console.print("[bold]A stand-in portal starts[/]: a Russian B2B company of 24 months")
    portal = PortalProcess.start(seed=SEED, deals=DEALS, inputs=settings.inputs_path, outlive=keep)
    try:
        settings = settings.model_copy(
            update={"bitrix24_webhook_url": SecretStr(portal.webhook_url), "cbr_url": portal.cbr_url}
        )
        reports: list[tuple[str, RunReport]] = []
        for title in ("first sync", "a day later"):
            if reports:
                portal.advance(1)
            console.print(f"\n[bold]{title.capitalize()}[/]")
            with LiveProgress() as progress:
                reports.append((title, run_sync(settings, progress, {})))
            if not reports[-1][1].succeeded:
                return reports[-1][1]
        console.print(summary_table(reports))
        _print_figures(settings)
        if keep:
            console.print(f"\nThe portal stays up: {portal.webhook_url} (process {portal.pid}; stop it with kill)")
    finally:
        if not keep:
            portal.stop()
    return reports[-1][1]


def _fresh_settings() -> Settings:
    """A folder and a database of its own; what an earlier demo left goes first."""
    os.environ.pop("DAGSTER_HOME", None)
    settings = Settings(
        _env_file=None,
        bitrix24_webhook_url=None,
        warehouse_path=FOLDER / "demo.duckdb",
        inputs_path=FOLDER / "inputs",
        rules_path=FOLDER / "rules.yml",
        marts_postgres_url=None,
    )
    postgres = EmbeddedPostgres(settings.paths.postgres)
    Superset(settings.paths.superset, postgres).stop()
    postgres.stop()
    shutil.rmtree(FOLDER, ignore_errors=True)
    FOLDER.mkdir(parents=True)
    return settings


def _print_figures(settings: Settings) -> None:
    """Two months side by side, from PostgreSQL, as a BI tool would read them."""
    url = EmbeddedPostgres(settings.paths.postgres).url("bi_reader")
    table = Table(title="Показатели месяца", title_justify="left", show_edge=False)
    with psycopg.connect(url) as connection:
        months = connection.execute(
            "select distinct period_month from marts.manager_performance order by 1 desc limit 2"
        ).fetchall()
        table.add_column("")
        for (month,) in reversed(months):
            table.add_column(f"{month:%m.%Y}", justify="right")
        for label, query, form in FIGURES:
            cells = []
            for (month,) in reversed(months):
                first = f"date '{month}'"
                sql = query.format(
                    month=f"date_trunc('month', date_day) = {first}", period=f"period_month = {first}", first=first
                )
                row = connection.execute(sql.encode()).fetchone()
                value = row[0] if row else None
                cells.append("-" if value is None else form.format(value).replace(",", " "))
            table.add_row(label, *cells)
    console.print()
    console.print(table)
    console.print("\nBI tools read the marts here, read-only, schema [bold]marts[/]:")
    console.print(f"  {url}", soft_wrap=True, highlight=False)
    console.print("Dashboards on them: [bold]make superset[/].")
