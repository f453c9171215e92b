"""The loading part of a sync in a process of its own, to be killed: `loading.py <webhook> <warehouse> <rows>`.

Says "reading" before the first row and "done" at the end. Rows are those of a package.
"""

import sys
import uuid
from pathlib import Path

from dlt_sources.bitrix24 import preflight
from dlt_sources.bitrix24.client import BitrixClient
from dlt_sources.bitrix24.load import load_portal, make_pipeline
from dlt_sources.bitrix24.webhook import Webhook
from warehouse.ledger import Ledger
from warehouse.lock import WarehouseLock
from warehouse.settings import WarehousePaths


def main(url: str, warehouse: str, package_rows: str) -> None:
    path = Path(warehouse)
    ledger = Ledger(path)
    with WarehouseLock(path, "loading", wait_seconds=10), BitrixClient(Webhook.parse(url), share=1) as client:
        facts = preflight.inspect(client)
        ledger.start_run(str(uuid.uuid4()), facts.as_of)
        sys.stdout.write("reading\n")
        sys.stdout.flush()
        reports = load_portal(
            client,
            make_pipeline(path, WarehousePaths.of(path).dlt),
            ledger,
            as_of=facts.as_of,
            reporting_tz="Europe/Moscow",
            progress=lambda *_: None,
            max_ids=facts.max_ids,
            package_rows=int(package_rows),
        )
    rows = sum(report.rows_read for report in reports)
    sys.stdout.write(f"done {rows}\n")


if __name__ == "__main__":
    main(*sys.argv[1:])
