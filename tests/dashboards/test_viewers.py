"""Fifty people look at the dashboards while publishes go on."""

import asyncio
import random
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from pathlib import Path
from statistics import quantiles
from typing import Any

import httpx
import psycopg
import pytest
from dashboards.conftest import Company
from dashboards.looking import Opened, Viewer

from bi.superset.provision import login

pytestmark = pytest.mark.long
VIEWERS = 50
SECONDS = 120
CONNECTIONS = 6  # of one browser to one host
READING_S = (20, 60)  # a person reads a dashboard before opening the next
AFRESH = 0.25  # of the visits with filters of one's own, which no cache knows
P95_S = 2.0
JOINED = """
    select s.revenue, m.revenue
    from (select sum(revenue) as revenue from marts.sales_dynamics) as s
    cross join (select sum(revenue) as revenue from marts.manager_performance) as m
"""


def test_fifty_viewers_get_answers_while_publishes_go_on(
    company: Company, viewer: Viewer, opened: dict[str, Opened], say: Callable[[str], None]
) -> None:
    """Locks that readers wait for, connections that run out, a chart that shows half of a publish."""
    viewer.page.goto("about:blank")  # a browser draws on these cores too, and is not on the server elsewhere
    # whoever opens a dashboard sees one of its tabs
    questions = [[answer.request for answer in tab.values()] for board in opened.values() for tab in board.tabs]
    seen: set[tuple[Any, ...]] = set()
    with login(company.superset) as client:
        headers = dict(client.headers)
    # in a thread, since the browser's driver already runs a loop in this one
    with publishes(company) as durations, joins(company, seen), ThreadPoolExecutor(1) as apart:
        taken = apart.submit(asyncio.run, look(company.superset.address, headers, questions)).result()
    everything = [seconds for kind in taken.values() for seconds in kind]
    say(
        f"{VIEWERS} viewers, {SECONDS} s, each opens a dashboard every {READING_S[0]} to {READING_S[1]} s: "
        f"{len(everything)} chart queries, {len(durations)} publishes "
        f"({sum(durations) / len(durations):.1f} s each), {len(seen)} states of two joined marts seen"
    )
    for kind, times in (*taken.items(), ("all", everything)):
        cuts = quantiles(times, n=100)
        say(f"  {kind}: {len(times)} queries, p50 {cuts[49]:.2f} s, p95 {cuts[94]:.2f} s, slowest {max(times):.2f} s")
    assert len(seen) == 2, "one mart of this publish, one of that"
    assert len(durations) >= 5
    assert quantiles(everything, n=100)[94] < P95_S


async def look(address: str, headers: dict[str, str], questions: list[list[Any]]) -> dict[str, list[float]]:
    """Everybody opens one dashboard after the other; returns the seconds of each answer, by the kind of visit."""
    taken: dict[str, list[float]] = {"as it opens": [], "with filters of one's own": []}
    end = time.monotonic() + SECONDS

    async def ask(client: httpx.AsyncClient, question: dict[str, Any], kind: str) -> None:
        started = time.monotonic()
        answer = await client.post("/api/v1/chart/data", json=question)
        taken[kind].append(time.monotonic() - started)
        assert answer.status_code == 200, answer.text
        assert all(result["data"] and not result.get("error") for result in answer.json()["result"])

    async def view(number: int) -> None:
        chance = random.Random(number)
        limits = httpx.Limits(max_connections=CONNECTIONS)
        async with httpx.AsyncClient(
            base_url=address, headers=headers, limits=limits, timeout=60, trust_env=False
        ) as client:
            await asyncio.sleep(chance.uniform(0, READING_S[1]))
            while time.monotonic() < end:
                is_own = chance.random() < AFRESH
                kind = list(taken)[is_own]
                await asyncio.gather(*(ask(client, one | {"force": is_own}, kind) for one in chance.choice(questions)))
                await asyncio.sleep(chance.uniform(*READING_S))

    await asyncio.gather(*(view(number) for number in range(VIEWERS)))
    return taken


@contextmanager
def publishes(company: Company) -> Iterator[list[float]]:
    """Publishes in another process, one after the other; the seconds of each are known at the end."""
    durations: list[float] = []
    process = subprocess.Popen(
        [sys.executable, Path(__file__).with_name("publishing.py")],
        stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True, env=company.environment,
    )  # fmt: skip
    try:
        yield durations
    finally:
        said, _ = process.communicate()
    assert process.returncode == 0
    durations += map(float, said.split())


@contextmanager
def joins(company: Company, seen: set[tuple[Any, ...]]) -> Iterator[None]:
    """Somebody joins two marts again and again, and keeps what came out."""
    ended = threading.Event()
    failures: list[Exception] = []

    def watch() -> None:
        try:
            with psycopg.connect(company.marts_url, autocommit=True) as con:
                while not ended.wait(0.05):
                    seen.update(con.execute(JOINED).fetchall())
        except psycopg.Error as error:
            failures.append(error)

    watcher = threading.Thread(target=watch)
    watcher.start()
    try:
        yield
    finally:
        ended.set()
        watcher.join()
    assert failures == []
