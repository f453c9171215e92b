"""SIGKILL in every phase; whoever runs next, by hand or by schedule, ends where an undisturbed run does."""

import os
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import dagster as dg
import pytest
from pipeline.compare import PRIMARY_KEYS, compare
from pipeline.rehearsal import B24, Rehearsal, rehearsal

pytestmark = [pytest.mark.long, pytest.mark.timeout(1800)]

# the line that tells a phase has begun, and how long to let it go on; loading follows the last entity read
PHASES = {
    "extract": ("deal_stage_history ...", 0.0),
    "load": ("time_entries ...", 1.5),
    "product rows": ("product_rows ...", 1.0),
    "dbt": ("dbt ...", 4.0),
    "publish": ("publish ...", 0.3),
}


def killed_in(rehearsed: Rehearsal, phase: str) -> None:
    """Start a sync, wait for the phase, kill it."""
    line, seconds = PHASES[phase]
    process = subprocess.Popen(
        [B24, "sync"], env=rehearsed.environment, cwd=rehearsed.folder, stdout=subprocess.PIPE, text=True
    )
    assert process.stdout is not None
    for said in process.stdout:
        if line in said:
            break
    else:
        pytest.fail(f"the sync ended before its phase {phase}")
    time.sleep(seconds)
    process.kill()
    process.stdout.close()
    assert process.wait() == -signal.SIGKILL


def assert_right(rehearsed: Rehearsal, as_of: str) -> None:
    answers, marts = rehearsed.answers(as_of), rehearsed.marts()
    differences = [
        line for mart, key in PRIMARY_KEYS.items() for line in compare(mart, key, answers[mart], marts[mart])
    ]
    assert not differences, "\n".join(differences)


def test_a_sync_after_kills_in_every_phase_is_right() -> None:
    """A first load killed again and again, then once left alone; and the same for an incremental run."""
    with rehearsal(seed=3, deals=300) as rehearsed:
        for phase in PHASES:
            killed_in(rehearsed, phase)
        assert_right(rehearsed, rehearsed.sync()["as_of"])
        for phase in ("extract", "load", "dbt", "publish"):
            rehearsed.portal.advance(1)
            killed_in(rehearsed, phase)
            assert_right(rehearsed, rehearsed.sync()["as_of"])


EVERY_MINUTE = """
import dagster as dg
from orchestration import definitions as product

minutely = dg.ScheduleDefinition(
    name="minutely",
    job=product.bitrix24_sync,
    cron_schedule="* * * * *",
    default_status=dg.DefaultScheduleStatus.RUNNING,
)
defs = dg.Definitions.merge(product.defs, dg.Definitions(schedules=[minutely]))
"""


@contextmanager
def dagster_dev(rehearsed: Rehearsal, definitions: Path) -> Iterator[None]:
    """`dagster dev` in a process group of its own, every process of which is ended at the end."""
    process = subprocess.Popen(
        [Path(sys.executable).with_name("dagster"), "dev", "-f", definitions, "-p", "0"],
        env=rehearsed.environment | {"DAGSTER_HOME": str(rehearsed.folder / "company.dagster")},
        cwd=rehearsed.folder,
        stdout=subprocess.DEVNULL,
        stderr=subprocess.DEVNULL,
        start_new_session=True,
    )
    try:
        yield
    finally:
        os.killpg(process.pid, signal.SIGKILL)
        process.wait()


def succeeded_since(instance: dg.DagsterInstance, moment: float) -> bool:
    records = instance.get_run_records(dg.RunsFilter(job_name="bitrix24_sync", statuses=[dg.DagsterRunStatus.SUCCESS]))
    return any((record.start_time or 0.0) > moment for record in records)


def test_a_scheduled_run_starts_after_each_kill() -> None:
    """A killed run stays STARTED in Dagster; a queue that waits for it would wait for ever, without a word."""
    with rehearsal(seed=4, deals=100) as rehearsed:
        rehearsed.sync()
        definitions = rehearsed.folder / "every_minute.py"
        definitions.write_text(EVERY_MINUTE)
        for phase in ("extract", "load", "dbt", "publish"):
            killed_in(rehearsed, phase)
            moment = time.time()
            with (
                dagster_dev(rehearsed, definitions),
                dg.DagsterInstance.from_config(str(rehearsed.folder / "company.dagster")) as instance,
            ):
                while not succeeded_since(instance, moment):
                    assert time.time() < moment + 300, f"no scheduled run succeeded after a kill in {phase}"
                    time.sleep(2)
        assert_right(rehearsed, rehearsed.sync()["as_of"])
