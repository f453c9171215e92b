"""Publishes two states of the marts by turns, as `b24 publish` does, until its input ends.

The second state has twice the revenue in two marts, so each publish changes all their rows. Says one line per publish:
the seconds that it took.
"""

import sys
import threading
import time

import duckdb

from orchestration.report import Silent
from orchestration.sync import run_publish
from warehouse.settings import Settings

PAUSE_S = 5
MARTS = ("sales_dynamics", "manager_performance")


def main() -> None:
    """Leave the first state behind."""
    settings, ended = Settings(), threading.Event()
    threading.Thread(target=lambda: (sys.stdin.read(), ended.set()), daemon=True).start()
    factors = [2, 0.5]
    while factors[0] == 0.5 or not ended.is_set():
        started = time.monotonic()
        with duckdb.connect(settings.warehouse_path) as warehouse:
            for mart in MARTS:
                warehouse.execute(f"update marts.{mart} set revenue = revenue * {factors[0]}")
        run_publish(settings, Silent(), allow_shrink=False)
        print(f"{time.monotonic() - started:.2f}", flush=True)  # noqa: T201 - read by the test
        factors.reverse()
        ended.wait(PAUSE_S)


if __name__ == "__main__":
    main()
