"""A browser on the dashboards: what their charts ask Superset, what they get, and what a person would see."""

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from datetime import date
from pathlib import Path
from typing import Any

from playwright.sync_api import Locator, Page, Response, sync_playwright
from playwright.sync_api import TimeoutError as PlaywrightTimeout

from bi.superset.provision import Dashboard, login
from bi.superset.server import ADMIN, Superset

CHROMIUM = "/usr/bin/chromium"
QUIET = (
    "--no-sandbox", "--disable-gpu", "--disable-background-networking", "--disable-component-update", "--disable-sync",
    "--no-first-run",
)  # fmt: skip
WIDTH, HEIGHT = 1600, 1000
TALLEST = 6000
LOADING = ".loading, [data-test=loading-indicator]"
ERRORS = "[data-test=error-message], .ant-alert-error, [data-test=dashboard-component-missing-chart]"
TABS = ".dashboard-component-tabs .ant-tabs-tab"
PATIENCE_MS = 120_000
POPOVER_MS = 10_000
SETTLED_MS = 2000  # a chart that waits for a filter's first value asks a moment after the filter got it


@dataclass(frozen=True)
class Answer:
    """What one chart asked of `/api/v1/chart/data`, and what it got."""

    chart: str
    kind: str
    status: int
    request: dict[str, Any]
    results: list[dict[str, Any]]  # one per query of the chart, with `colnames` and `data`

    @property
    def rows(self) -> int:
        """Rows of all its queries."""
        return sum(len(result["data"]) for result in self.results)


@dataclass
class Opened:
    """A dashboard on the screen."""

    title: str
    charts: set[str]
    tabs: list[dict[str, Answer]]  # of each tab the last answer of each chart, by the chart's name; one without tabs
    errors: list[str] = field(default_factory=list)

    @property
    def answers(self) -> dict[str, Answer]:
        """The answers of all tabs."""
        return {name: answer for tab in self.tabs for name, answer in tab.items()}


@dataclass
class Viewer:
    """A logged-in person at a browser."""

    page: Page
    address: str
    charts: dict[int, tuple[str, str]]  # name and kind of each chart, by its id
    members: dict[str, set[str]]  # names of the charts of each dashboard, by the dashboard's title
    _answers: dict[str, Answer] = field(default_factory=dict)

    @classmethod
    @contextmanager
    def logged_in(cls, superset: Superset) -> Iterator["Viewer"]:
        """Fill in the login page as a person would."""
        with login(superset) as client:
            boards = client.get("/api/v1/dashboard/?q=(page_size:100)").json()["result"]
            on_boards = {
                board["dashboard_title"]: client.get(f"/api/v1/dashboard/{board['id']}/charts").json()["result"]
                for board in boards
            }
        with sync_playwright() as playwright:
            browser = playwright.chromium.launch(executable_path=CHROMIUM, args=QUIET)
            page = browser.new_page(viewport={"width": WIDTH, "height": HEIGHT}, locale="ru-RU")
            page.set_default_timeout(PATIENCE_MS)
            page.goto(f"{superset.address}/login/")
            page.fill("#username", ADMIN)
            page.fill("#password", superset.password)
            page.keyboard.press("Enter")
            page.wait_for_url(lambda url: "login" not in url)
            charts = [chart for on_it in on_boards.values() for chart in on_it]
            names = {chart["id"]: (chart["slice_name"], chart["form_data"]["viz_type"]) for chart in charts}
            members = {title: {chart["slice_name"] for chart in on_it} for title, on_it in on_boards.items()}
            viewer = cls(page, superset.address, names, members)
            page.on("response", viewer._listen)
            yield viewer
            browser.close()

    def open(self, dashboard: Dashboard, tab: str = "") -> Opened:
        """Open a dashboard at its first tab, or at the named one, and wait until all charts of the tab are drawn."""
        self._answers = {}
        self.page.goto(dashboard.url)
        self.page.wait_for_selector("[data-test=dashboard-component-chart-holder]")
        drawn = self._drawn()
        if tab:
            drawn |= self._turn_to(self.page.locator(TABS).filter(has_text=tab))  # nothing more if it is the first
        return Opened(dashboard.title, self.members[dashboard.title], [drawn])

    def look_through(self, dashboard: Dashboard, folder: Path) -> Opened:
        """Open all tabs of a dashboard, one after the other, with a picture of each: `slug.png`, `slug-2.png`, ..."""
        opened = self.open(dashboard)
        slug = dashboard.url.rstrip("/").rpartition("/")[2]
        self._picture(folder / f"{slug}.png", opened)
        tabs = self.page.locator(TABS)
        for number in range(2, tabs.count() + 1):
            opened.tabs.append(self._turn_to(tabs.nth(number - 1)))
            self._picture(folder / f"{slug}-{number}.png", opened)
        return opened

    def _turn_to(self, tab: Locator) -> dict[str, Answer]:
        self._answers = {}
        tab.click()
        return self._drawn()

    def _drawn(self) -> dict[str, Answer]:
        """What the charts in sight were answered, in a window as tall as the page, so that every one is drawn."""
        self.page.set_viewport_size({"width": WIDTH, "height": HEIGHT})
        height = self.page.evaluate("Math.max(...[...document.querySelectorAll('*')].map(e => e.scrollHeight))")
        self.page.set_viewport_size({"width": WIDTH, "height": min(int(height) + 100, TALLEST)})
        self.wait()
        return dict(self._answers)

    def _picture(self, file: Path, opened: Opened) -> None:
        self.page.wait_for_timeout(SETTLED_MS)  # lines and bars grow into their place
        self.page.screenshot(path=file)
        opened.errors += self.page.locator(ERRORS).all_inner_texts()

    def choose(self, filter_name: str, option: str) -> dict[str, Answer]:
        """Pick an option of a native filter and apply it; returns what the charts were answered then."""
        self._control(filter_name).locator("input").first.click(force=True)  # what is chosen may lie over it
        self.page.keyboard.type(option)  # of a long list the page holds only what is in sight
        self.page.locator(f".ant-select-item-option[title='{option}']").first.click()
        self.page.keyboard.press("Escape")
        return self._apply()

    def choose_period(self, filter_name: str, start: date, end: date) -> dict[str, Answer]:
        """Give a filter of time a start and an end, which does not belong to the period, and apply it."""
        window = self.page.locator(".ant-popover:visible")
        self._control(filter_name).click()
        try:
            window.wait_for(timeout=POPOVER_MS)
        except PlaywrightTimeout:  # a bar that was drawn anew meanwhile has lost the click
            self._control(filter_name).click()
        window.locator(".ant-select-selector").click()
        self.page.locator(".ant-select-item-option[title='Продвинутая настройка']").click()
        for place, day in enumerate((start, end)):
            window.locator("input[type=text]").nth(place).fill(day.isoformat())
        window.locator("[data-test=date-filter-control__apply-button]").click()
        return self._apply()

    def _control(self, filter_name: str) -> Locator:
        bar = self.page.locator("[data-test=filter-bar]")
        names = bar.locator("[data-test=filter-control-name]").all_inner_texts()
        place = next(place for place, name in enumerate(names) if name.strip(" *\n") == filter_name)
        return bar.locator("[data-test=form-item-value]").nth(place)

    def _apply(self) -> dict[str, Answer]:
        self._answers = {}
        self.page.locator("[data-test=filter-bar__apply-button]").click()
        self.wait()
        return dict(self._answers)

    def wait(self) -> None:
        """Until nothing is loading any more."""
        for _ in range(PATIENCE_MS // SETTLED_MS):
            self.page.wait_for_timeout(SETTLED_MS)
            if self.page.locator(LOADING).count() == 0:
                return
        raise TimeoutError(f"{self.page.url} is still loading after {PATIENCE_MS / 1000:.0f} s")

    def _listen(self, response: Response) -> None:
        if "/api/v1/chart/data" not in response.url:
            return
        request = response.request.post_data_json
        name, kind = self.charts.get((request.get("form_data") or {}).get("slice_id"), ("", ""))
        if name:  # filters ask for their options here too
            results = response.json().get("result", []) if response.ok else []
            self._answers[name] = Answer(name, kind, response.status, request, results)
