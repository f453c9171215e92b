from collections.abc import Iterator, Mapping, Sequence
from datetime import UTC, date, datetime, timedelta
from pathlib import Path
from typing import Any

import dlt
import duckdb
import pytest
from bitrix24_double import PortalDouble, Refusal

from dlt_sources.bitrix24 import schema
from dlt_sources.bitrix24.entities import ENTITIES
from dlt_sources.bitrix24.errors import AccessError, ConfigurationError
from dlt_sources.bitrix24.load import EntityReport, Position, load_portal, make_pipeline

FIRST = datetime(2026, 6, 15, 9, 0, tzinfo=UTC)
OLD = "2026-01-10T12:00:00+03:00"


class MemoryLedger:
    """Keeps what is saved; `crash_at` stops the process after that many committed packages."""

    def __init__(self) -> None:
        self.kept: dict[str, Position] = {}
        self.saves = 0
        self.crash_at: int | None = None

    def positions(self) -> Mapping[str, Position]:
        return dict(self.kept)

    def save(self, positions: Mapping[str, Position], reports: Sequence[EntityReport]) -> None:
        self.kept.update(positions)
        self.saves += 1
        if self.saves == self.crash_at:
            raise KeyboardInterrupt


class Warehouse:
    """A portal, a ledger and a warehouse file that runs can be made on."""

    def __init__(self, folder: Path) -> None:
        self.folder, self.path = folder, folder / "bitrix24.duckdb"
        self.portal = PortalDouble()
        self.ledger = MemoryLedger()
        self.shares: list[tuple[str, float | None]] = []
        for entity in ENTITIES:
            self.portal.lists.setdefault(entity.method, {})
            self.portal.paths[entity.method] = entity.path

    def pipeline(self) -> dlt.Pipeline:
        return make_pipeline(self.path, self.folder / "bitrix24.dlt")

    def run(self, as_of: datetime = FIRST, **options: Any) -> dict[str, EntityReport]:
        reports = load_portal(
            self.portal.client(),
            self.pipeline(),
            self.ledger,
            as_of=as_of,
            reporting_tz="Europe/Moscow",
            progress=lambda table, rows, share: self.shares.append((table, share)),
            **options,
        )
        return {report.entity: report for report in reports}

    def query(self, sql: str) -> list[tuple[Any, ...]]:
        with duckdb.connect(str(self.path)) as connection:
            return connection.execute(sql).fetchall()

    def ids(self, table: str) -> list[int]:
        return [
            int(value) for (value,) in self.query(f"select id from raw_bitrix24.{table} order by cast(id as bigint)")
        ]

    def set_deals(self, ids: Sequence[int], modified: str = OLD, **values: Any) -> None:
        deals = self.portal.lists["crm.deal.list"]
        deals.update({number: deal(number, modified, **values) for number in ids})


def deal(number: int, modified: str = OLD, **values: Any) -> dict[str, Any]:
    return {"ID": str(number), "TITLE": f"Сделка {number}", "DATE_MODIFY": modified, "COMPANY_ID": None, **values}


@pytest.fixture
def warehouse(tmp_path: Path) -> Iterator[Warehouse]:
    return Warehouse(tmp_path)


def test_an_empty_portal_gives_every_declared_column(warehouse: Warehouse) -> None:
    """Staging reads all tables; one that is missing on a small portal breaks the build."""
    warehouse.run()
    found = warehouse.query(
        "select table_name, column_name, data_type from information_schema.columns "
        "where table_schema = 'raw_bitrix24' and table_name not like '\\_dlt%' escape '\\'"
    )
    expected = {(table, name) for table, columns in schema.TABLES.items() for name in (*columns, *schema.OURS)}
    assert {(table, name) for table, name, _ in found} == expected
    assert {kind for *_, kind in found} == {"VARCHAR"}


def test_a_second_run_reads_what_changed_and_counts_it_exactly(warehouse: Warehouse) -> None:
    """New, changed and merely re-read rows are told apart, and the raw table holds the latest version of each."""
    warehouse.set_deals(range(1, 121))
    first = warehouse.run()["deals"]
    assert (first.mode, first.rows_read, first.rows_new, first.rows_changed) == ("full", 120, 120, 0)
    assert warehouse.ledger.kept["deals"] == Position(FIRST, ((120, None),), True, date(2026, 6, 15))

    warehouse.set_deals([7], "2026-06-15T13:00:00+03:00", TITLE="Другое имя")
    warehouse.set_deals([121, 122], "2026-06-15T14:00:00+03:00")
    warehouse.set_deals([8], "2026-06-15T11:55:00+03:00")  # inside the overlap of ten minutes
    warehouse.portal.lists["crm.deal.list"][8]["DATE_MODIFY"] = "2026-06-15T11:55:00+03:00"
    second = warehouse.run(FIRST + timedelta(hours=4))["deals"]
    # 7 and 8 differ (8 by its DATE_MODIFY), 121 and 122 are new
    assert (second.mode, second.rows_read, second.rows_new, second.rows_changed) == ("delta", 4, 2, 2)
    assert second.window_from == FIRST - timedelta(minutes=10)

    third = warehouse.run(FIRST + timedelta(hours=4))["deals"]
    assert (third.rows_new, third.rows_changed) == (0, 0)
    assert warehouse.ids("deals") == list(range(1, 123))
    assert warehouse.query("select title, _loaded_at from raw_bitrix24.deals where id = '7'") == [
        ("Другое имя", "2026-06-15T13:00:00+00:00")
    ]


def test_a_run_on_another_day_looks_back_two_days(warehouse: Warehouse) -> None:
    """Rows that surface late (rights, clocks) are caught once a day."""
    warehouse.set_deals([4])
    warehouse.run()
    warehouse.set_deals([5], "2026-06-14T10:00:00+03:00")
    report = warehouse.run(FIRST + timedelta(hours=14))["deals"]  # the next day in Moscow, not yet in UTC
    assert report.window_from == FIRST - timedelta(days=2)
    assert warehouse.ids("deals") == [4, 5]
    assert warehouse.ledger.kept["deals"].wide_date == date(2026, 6, 16)


def test_a_stopped_first_load_goes_on_behind_its_last_package(warehouse: Warehouse) -> None:
    """A kill costs at most one package, and nothing is missing in the end."""
    warehouse.set_deals(range(1, 5001))
    warehouse.ledger.crash_at = 2
    with pytest.raises(KeyboardInterrupt):
        warehouse.run(package_rows=100)
    place = warehouse.ledger.kept["deals"]
    assert place.watermark == FIRST
    assert not place.is_complete
    loaded = len(warehouse.ids("deals"))
    assert 0 < loaded < 5000
    assert place.left[0][0] > 0

    warehouse.set_deals([3], "2026-06-15T12:30:00+03:00", TITLE="поправлена")  # behind the place already
    report = warehouse.run(FIRST + timedelta(hours=1))["deals"]
    assert report.after_id == place.left[0][0]
    assert (report.rows_read, report.rows_new, report.rows_changed) == (5000 - loaded + 1, 5000 - loaded, 1)
    assert warehouse.ids("deals") == list(range(1, 5001))
    assert warehouse.ledger.kept["deals"].is_complete


def test_a_package_left_behind_by_a_killed_run_is_dropped(warehouse: Warehouse) -> None:
    """Its rows were never counted as loaded; they are read again instead of loaded from a torn folder."""
    warehouse.set_deals(range(1, 11))
    pipeline = warehouse.pipeline()
    pipeline.extract(dlt.resource([{"id": "999"}], name="deals"))
    assert pipeline.has_pending_data
    warehouse.run()
    assert warehouse.ids("deals") == list(range(1, 11))


def test_since_loads_recent_rows_and_leaves_the_rest_to_the_next_run(warehouse: Warehouse) -> None:
    """The first marts come early, and the history is complete after the next plain run."""
    warehouse.set_deals(range(1, 101))
    warehouse.set_deals([101, 102], "2026-06-10T12:00:00+03:00")
    history = warehouse.portal.lists["crm.stagehistory.list"]
    history.update(
        {
            n: {"ID": n, "OWNER_ID": n, "CREATED_TIME": OLD if n <= 100 else "2026-06-10T09:00:00+00:00"}
            for n in range(1, 103)
        }
    )
    since = datetime(2026, 6, 1, tzinfo=UTC)
    warehouse.run(since=since)
    assert warehouse.ids("deals") == [101, 102]
    assert warehouse.ids("deal_stage_history") == [101, 102]
    assert not warehouse.ledger.kept["deals"].is_complete
    assert not warehouse.ledger.kept["deal_stage_history"].is_complete

    warehouse.run(FIRST + timedelta(hours=1))
    assert warehouse.ids("deals") == list(range(1, 103))
    assert warehouse.ids("deal_stage_history") == list(range(1, 103))
    assert warehouse.ledger.kept["deals"].is_complete
    assert warehouse.ledger.kept["deal_stage_history"].is_complete


def test_history_goes_on_from_its_last_id(warehouse: Warehouse) -> None:
    """Rows are only added, so ids lead; the latest ones are looked at again for those that were committed late."""
    history = warehouse.portal.lists["crm.stagehistory.list"]
    history.update({n: {"ID": n, "CREATED_TIME": OLD} for n in range(1, 201) if n != 150})
    warehouse.run()
    assert warehouse.ledger.kept["deal_stage_history"].last_id == 200
    history[150] = {"ID": 150, "CREATED_TIME": "2026-06-15T08:55:00+00:00"}  # visible only after 200
    history[201] = {"ID": 201, "CREATED_TIME": "2026-06-15T09:30:00+00:00"}
    warehouse.portal.batches.clear()
    report = warehouse.run(FIRST + timedelta(hours=1))["deal_stage_history"]
    assert (report.mode, report.rows_read, report.rows_new) == ("delta", 2, 2)
    assert warehouse.ids("deal_stage_history") == list(range(1, 202))
    assert len(warehouse.portal.batches) == 1


def test_a_journal_stays_complete_while_new_rows_come(warehouse: Warehouse) -> None:
    """A kill among new rows leaves no hole before them: the list is still proven and swept up to its place."""
    history = warehouse.portal.lists["crm.stagehistory.list"]
    history.update({n: {"ID": n, "CREATED_TIME": OLD} for n in range(1, 101)})
    warehouse.run()
    history.update({n: {"ID": n, "CREATED_TIME": OLD} for n in range(101, 5001)})
    warehouse.ledger.saves, warehouse.ledger.crash_at = 0, 1
    with pytest.raises(KeyboardInterrupt):
        warehouse.run(FIRST + timedelta(hours=1), package_rows=100)
    place = warehouse.ledger.kept["deal_stage_history"]
    assert 100 < place.last_id < 5000
    assert place.is_complete
    assert warehouse.ids("deal_stage_history") == list(range(1, place.last_id + 1))


def test_full_walks_everything_again(warehouse: Warehouse) -> None:
    """For a warehouse that is suspected to have missed changes."""
    warehouse.set_deals(range(1, 61))
    warehouse.run()
    warehouse.set_deals([4], TITLE="тихо изменена")  # DATE_MODIFY did not move
    assert warehouse.run(FIRST + timedelta(minutes=1))["deals"].rows_changed == 0
    report = warehouse.run(FIRST + timedelta(minutes=2), full=True)["deals"]
    assert (report.mode, report.rows_read, report.rows_new, report.rows_changed) == ("full", 60, 0, 1)


def test_full_and_since_exclude_each_other(warehouse: Warehouse) -> None:
    """Together they would promise two different things."""
    with pytest.raises(ConfigurationError, match="exclude"):
        warehouse.run(full=True, since=FIRST)


def test_dictionary_rows_that_disappear_stay_with_an_older_mark(warehouse: Warehouse) -> None:
    """A deleted stage is still named by history; its older `_loaded_at` tells that it is gone."""
    statuses = warehouse.portal.lists["crm.status.list"]
    statuses.update({n: {"ID": str(n), "ENTITY_ID": "DEAL_STAGE", "STATUS_ID": f"S{n}"} for n in (1, 2)})
    warehouse.run()
    del statuses[1]
    warehouse.run(FIRST + timedelta(hours=1))
    assert warehouse.query("select status_id, _loaded_at from raw_bitrix24.statuses order by 1") == [
        ("S1", "2026-06-15T09:00:00+00:00"),
        ("S2", "2026-06-15T10:00:00+00:00"),
    ]


def test_currency_rates_are_kept_by_the_day_they_were_seen(warehouse: Warehouse) -> None:
    """The portal forgets yesterday's rate; the day is the reporting zone's."""
    currencies = warehouse.portal.lists["crm.currency.list"]
    currencies[1] = {"CURRENCY": "USD", "AMOUNT_CNT": "1", "AMOUNT": "80.0000", "BASE": "N"}
    warehouse.run()
    currencies[1]["AMOUNT"] = "81.0000"
    warehouse.run(datetime(2026, 6, 15, 21, 30, tzinfo=UTC))  # half past midnight in Moscow
    assert warehouse.query("select seen_date, currency, amount from raw_bitrix24.currency_rates order by 1") == [
        ("2026-06-15", "USD", "80.0000"),
        ("2026-06-16", "USD", "81.0000"),
    ]


def test_custom_fields_become_columns_even_while_empty(warehouse: Warehouse) -> None:
    """A field that was just made, and one that only a row shows, both have their column."""
    warehouse.portal.lists["crm.deal.userfield.list"][1] = {
        "ID": "1", "ENTITY_ID": "CRM_DEAL", "FIELD_NAME": "UF_CRM_1720019876534", "USER_TYPE_ID": "enumeration",
        "EDIT_FORM_LABEL": "Канал", "LIST": [{"ID": "3157", "SORT": "10", "VALUE": "Радио", "XML_ID": "79b4"}],
    }  # fmt: skip
    warehouse.run()
    assert warehouse.query("select uf_crm_1720019876534 from raw_bitrix24.deals") == []
    warehouse.set_deals([1], "2026-06-15T12:30:00+03:00", UF_CRM_SEEN=["3157", "1"])
    warehouse.run(FIRST + timedelta(hours=1))
    assert warehouse.query("select uf_crm_1720019876534, uf_crm_seen from raw_bitrix24.deals") == [
        (None, '["3157","1"]')
    ]
    assert warehouse.query("select entity_id, field_name, id, value from raw_bitrix24.custom_field_options") == [
        ("CRM_DEAL", "UF_CRM_1720019876534", "3157", "Радио")
    ]


def test_a_missing_scope_skips_an_optional_table_with_a_note(warehouse: Warehouse) -> None:
    """Without telephony the other marts still come; once the scope is given, calls are read from their start."""

    def refuse(_: dict[str, Any]) -> Any:
        raise Refusal("insufficient_scope", "The request requires higher privileges")

    warehouse.portal.handlers["voximplant.statistic.get"] = refuse
    warehouse.set_deals([1])
    reports = warehouse.run()
    assert "insufficient_scope" in reports["calls"].note
    assert reports["deals"].rows_new == 1
    assert warehouse.ids("calls") == []

    del warehouse.portal.handlers["voximplant.statistic.get"]
    warehouse.portal.lists["voximplant.statistic.get"][1] = {"ID": "1", "CALL_START_DATE": OLD}
    assert warehouse.run(FIRST + timedelta(hours=1))["calls"].rows_new == 1


def test_a_missing_scope_of_a_needed_table_stops_the_run(warehouse: Warehouse) -> None:
    """Marts without deals would look like a company without deals."""

    def refuse(_: dict[str, Any]) -> Any:
        raise Refusal("ACCESS_DENIED", "Access denied!")

    warehouse.portal.handlers["crm.deal.list"] = refuse
    with pytest.raises(AccessError, match=r"crm\.deal\.list") as caught:
        warehouse.run()
    assert caught.value.code == "ACCESS_DENIED"


def test_the_second_run_of_a_quiet_portal_is_one_request(warehouse: Warehouse) -> None:
    """All tables share one batch, so an hourly run costs the portal next to nothing."""
    warehouse.set_deals(range(1, 1001))
    warehouse.run()
    warehouse.portal.batches.clear()
    reports = warehouse.run(FIRST + timedelta(hours=1))
    assert len(warehouse.portal.batches) == 1
    assert sum(report.requests for report in reports.values()) == 1
    assert sum(report.commands for report in reports.values()) == len(warehouse.portal.batches[0])


def test_progress_ends_at_one(warehouse: Warehouse) -> None:
    """The share goes by ids and never beyond the end."""
    warehouse.set_deals(range(1, 5001))
    warehouse.run(max_ids={"deals": 5000})
    shares = [share for table, share in warehouse.shares if table == "deals"]
    assert shares[-1] == 1.0
    assert all(share is not None and 0 < share <= 1 for share in shares)
    assert len(shares) > 2
