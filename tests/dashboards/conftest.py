"""A company's marts, Superset on them, and its dashboards opened in a browser; made once, run by `make test-bi`."""

import importlib.util
import os
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING

import pytest
from pipeline.rehearsal import Rehearsal, rehearsal

from bi.superset.provision import Dashboard, provision
from bi.superset.server import ENVIRONMENT, Superset
from warehouse.postgres import EmbeddedPostgres
from warehouse.settings import WarehousePaths

if TYPE_CHECKING:
    from dashboards.looking import Opened, Viewer

SHOTS = Path(__file__).parents[2] / "screenshots"
OPTION = "--marts-of"

# without Superset and a browser there is nothing to look at
can_look = importlib.util.find_spec("playwright") is not None and ENVIRONMENT.exists()
collect_ignore_glob = [] if can_look else ["test_*.py"]


@dataclass(frozen=True)
class Company:
    """Published marts, the Superset that shows them, and the settings of the command `b24` for both."""

    superset: Superset
    dashboards: list[Dashboard]
    environment: dict[str, str] = field(repr=False)

    @property
    def marts_url(self) -> str:
        """Where the marts are, as `bi_reader` sees them."""
        return self.superset.postgres.url()


_said: list[str] = []


@pytest.fixture(scope="session")
def say() -> Callable[[str], None]:
    """Something that the person who runs the tests shall read at their end."""
    return _said.append


def pytest_terminal_summary(terminalreporter: pytest.TerminalReporter) -> None:
    if _said:
        terminalreporter.section("dashboards")
        for line in _said:
            terminalreporter.line(line)


def pytest_addoption(parser: pytest.Parser) -> None:
    parser.addoption(OPTION, type=Path, help="show the marts of this warehouse, for instance a demo's, not new ones")


@pytest.fixture(scope="session")
def company(request: pytest.FixtureRequest) -> Iterator[Company]:
    """Two years of a company of 1500 deals, or the warehouse of the option; Superset started by the command."""
    warehouse: Path | None = request.config.getoption(OPTION, None)  # unknown in a run of all tests
    if warehouse:
        environment = os.environ | {"WAREHOUSE_PATH": str(warehouse.absolute()), "COLUMNS": "200"}
        yield from _shown(Rehearsal(warehouse.parent, None, environment))  # type: ignore[arg-type]
    else:
        with rehearsal(seed=7, deals=1500) as rehearsed:
            rehearsed.sync()
            yield from _shown(rehearsed)


def _shown(rehearsed: Rehearsal) -> Iterator[Company]:
    paths = WarehousePaths.of(Path(rehearsed.environment["WAREHOUSE_PATH"]))
    superset = Superset(paths.superset, EmbeddedPostgres(paths.postgres))
    was_up = superset.is_running()
    rehearsed.b24("bi", "superset", "start")
    try:
        rehearsed.b24("bi", "superset", "provision")
        yield Company(superset, provision(superset), rehearsed.environment)
    finally:
        if not was_up:
            rehearsed.b24("bi", "superset", "stop")


@pytest.fixture(scope="session")
def viewer(company: Company) -> "Iterator[Viewer]":
    """A browser in which the admin is logged in."""
    from dashboards.looking import Viewer

    with Viewer.logged_in(company.superset) as viewer:
        yield viewer


@pytest.fixture(scope="session")
def opened(company: Company, viewer: "Viewer") -> "dict[str, Opened]":
    """Every dashboard as its page shows it at first, tab by tab, by its slug, with a screenshot of each tab."""
    SHOTS.mkdir(exist_ok=True)
    return {
        dashboard.url.rstrip("/").rpartition("/")[2]: viewer.look_through(dashboard, SHOTS)
        for dashboard in company.dashboards
    }
