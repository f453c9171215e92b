"""All deals of a portal through another client, in a process of its own; run by the environment that has the clients.

Takes a job as JSON on stdin, as `benchmarks.readers` does, and prints a JSON line.
"""

import json
import logging
import resource
import sys
import time
import warnings
from typing import Any

METHOD = "crm.deal.list"


def read_with_fast_bitrix24(job: dict[str, Any]) -> int:
    """`get_all`, told the portal's operating budget."""
    from fast_bitrix24 import Bitrix, srh

    srh.BITRIX_MEASUREMENT_PERIOD = job["operating_window_s"]
    bitrix = Bitrix(job["urls"][0], verbose=False, operating_time_limit=int(job["operating_budget_s"]))
    _wait_for_tenth(job)
    return len(bitrix.get_all(METHOD, {"select": job["select"]}))


def read_with_b24pysdk(job: dict[str, Any]) -> int:
    """`as_list_fast`: pages chained by id, one batch after the other."""
    import requests
    from b24pysdk import BitrixWebhook, Client

    asked = requests.post

    def post_plainly(url: str, **options: Any) -> requests.Response:
        # the client always says https, which a stand-in on the loopback interface does not speak
        return asked(url.replace("https://", "http://", 1), **options)

    requests.post = post_plainly  # type: ignore[assignment]
    domain, _, token = job["urls"][0].removeprefix("http://").partition("/rest/")
    client = Client(BitrixWebhook(domain=domain, webhook_token=token))
    _wait_for_tenth(job)
    return sum(1 for _ in client.crm.deal.list(select=job["select"]).as_list_fast().result)


def _wait_for_tenth(job: dict[str, Any]) -> None:
    if tenth := job.get("start_on_s"):
        time.sleep(tenth - time.monotonic() % tenth)


READERS = {"fast_bitrix24": read_with_fast_bitrix24, "b24pysdk": read_with_b24pysdk}


def main() -> None:
    """Read, and tell how it went."""
    warnings.simplefilter("ignore")
    logging.disable(logging.CRITICAL)
    job = json.load(sys.stdin)
    rows, error = 0, ""
    try:
        rows = READERS[sys.argv[1]](job)
    except Exception as failed:  # whatever a client gives up with is its result
        error = type(failed).__name__
    peak_mb = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024
    print(json.dumps({"rows": rows, "error": error, "peak_mb": peak_mb}))  # noqa: T201


if __name__ == "__main__":
    main()
