"""The sensor on new data: real files, a real instance, and the runs that it asks for."""

import datetime
import itertools
import os
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import dagster as dg
import pandas as pd
import pytest
from dagster._core.test_utils import freeze_time

from brain_assets.live.market import GRACE_SESSIONS, LiveMarket
from brain_assets.market.sample import SampleMarket
from brain_assets.market.schema import RAW
from brain_assets.simulator.market import SimulatorMarket
from brain_assets.store.tables import TableStore
from brain_assets.user_files.market import FilesMarket
from brain_assets_tests.graph.test_conditions import NOW, YEARS, Tables
from brain_assets_tests.graph.worlds import DEFS, EVERY, run_year, sensor, world

COUNTER = itertools.count()
NEW_DATA = sensor("new_data")


class Files:
    """A folder of price files, a data folder beside it, an instance, and the sensor between them."""

    def __init__(self, root: Path, instance: dg.DagsterInstance) -> None:
        self.folder, self.instance = root / "files", instance
        self.tables = TableStore(root / "data", {"market": "files"})
        self.cursor: str | None = None

    def write(self, name: str, frame: pd.DataFrame) -> None:
        path = self.folder / name
        frame.to_csv(path, index=False) if path.suffix == ".csv" else frame.to_parquet(path)
        os.utime(path, (NOW.timestamp() - 3600 + next(COUNTER),) * 2)

    def change(self, year: int, factor: float = 1.01) -> None:
        """Correct the close of one bar in the middle of a year."""
        frame = pd.read_csv(self.folder / f"prices-{year}.csv")
        frame.loc[100, ["high", "close"]] *= factor
        self.write(f"prices-{year}.csv", frame)

    @property
    def market(self) -> FilesMarket:
        """Of a process that has just begun: a market reads its files once."""
        return FilesMarket(self.folder, (), self.tables.data_dir / "cache" / "files.json", clock=lambda: NOW)

    def tick(self) -> list[dg.RunRequest] | str:
        """Give the requests, or the words of the tick that has none."""
        result, self.cursor = ask(self.instance, self.market, self.cursor, self.tables)
        return result

    def run(self, request: dg.RunRequest) -> dg.ExecuteInProcessResult:
        """Execute a request as the daemon does."""
        names = [key.to_user_string() for key in request.asset_selection or ()]
        resources = world(self.market, self.tables.data_dir / "models", self.tables)
        return run_year(int(request.partition_key or 0), resources, self.instance, names, request.run_config)


def ask(
    instance: dg.DagsterInstance, market: Any, cursor: str | None = None, tables: TableStore | None = None
) -> tuple[list[dg.RunRequest] | str, str | None]:
    """Evaluate a tick; gives the requests, or the words of one that has none, and the cursor after it."""
    defs = dg.Definitions(EVERY, resources=world(market, Path("nowhere"), tables or Tables()))
    result = NEW_DATA(dg.build_sensor_context(instance, cursor, definitions=defs))
    if isinstance(result, dg.SkipReason):
        return str(result.skip_message), cursor
    assert isinstance(result, dg.SensorResult)
    if result.run_requests:
        return list(result.run_requests), result.cursor
    return str(result.skip_reason.skip_message), result.cursor


def wanted(requests: list[dg.RunRequest] | str) -> list[tuple[int, set[str]]]:
    assert isinstance(requests, list), requests
    return [
        (int(request.partition_key or 0), {key.to_user_string() for key in request.asset_selection or ()})
        for request in requests
    ]


@pytest.fixture
def instance() -> Iterator[dg.DagsterInstance]:
    with dg.DagsterInstance.ephemeral() as opened:
        yield opened


@pytest.fixture
def files(tmp_path: Path, prices: pd.DataFrame, instance: dg.DagsterInstance) -> Files:
    """Price files, and nothing made of them."""
    made = Files(tmp_path, instance)
    made.folder.mkdir()
    for year, rows in prices.groupby(prices["date"].dt.year):
        made.write(f"prices-{year}.csv", rows)
    return made


def test_it_is_off_until_somebody_turns_it_on_and_asks_for_raw_tables_only() -> None:
    assert NEW_DATA.default_status is dg.DefaultSensorStatus.STOPPED
    job = NEW_DATA.job
    keys = {key.to_user_string() for key in DEFS.resolve_job_def(job.name).asset_layer.executable_asset_keys}
    assert keys == set(RAW)


def test_backlog_and_changed_rows_are_asked_for_once_and_so_are_rows_that_are_put_back(files: Files) -> None:
    requests = files.tick()
    assert wanted(requests) == [(year, set(RAW)) for year in YEARS]
    assert requests[0].tags["brain_assets/new_data"].startswith("raw_prices: not materialized; ")
    assert "none read" in files.tick()  # though nothing ran: Dagster knows
    for request in requests:
        assert files.run(request).success
    before = files.tables.read_year("raw_prices", 2020)
    files.change(2020)
    first = files.tick()
    assert wanted(first) == [(2020, {"raw_prices"})]
    assert first[0].tags["brain_assets/new_data"] == "raw_prices: prices-2020.csv changed"
    assert "none read" in files.tick()  # asked for once, though it has not run
    assert files.run(first[0]).success
    after = files.tables.read_year("raw_prices", 2020)
    assert (after["close"] != before["close"]).sum() == 1
    [kept] = (files.tables.data_dir / "raw" / "prices" / "replaced").iterdir()
    pd.testing.assert_frame_equal(pd.read_parquet(kept), before)
    for factor in (1.03, 1 / 1.03):  # corrected so again, and put back
        files.change(2020, factor)
        [request] = files.tick()
        assert request.run_key is None  # under the same key, Dagster would skip the second
        assert files.run(request).success
    files.change(2020)
    files.cursor = None  # what is not stored is asked for without it too
    assert wanted(files.tick()) == [(2020, {"raw_prices"})]
    cursor = files.cursor
    files.folder.rename(files.folder.with_name("elsewhere"))
    assert files.tick() == f"{files.folder}: expected a folder with data files, got no such folder; create it."
    assert files.cursor == cursor  # what is remembered stays


# Other markets


@pytest.mark.parametrize("market", [SampleMarket(), SimulatorMarket()])
def test_market_that_never_changes_says_so(instance: dg.DagsterInstance, market: Any) -> None:
    said, _ = ask(instance, market)
    assert said == f"market {market.name}: nothing new to come, its data is always the same"


def test_live_year_is_asked_for_once_after_the_grace(instance: dg.DagsterInstance) -> None:
    new_york = datetime.timezone(datetime.timedelta(hours=-5))
    for year in (2019, 2020, 2021, 2022, 2023):
        for name in RAW:
            instance.report_runless_asset_event(dg.AssetMaterialization(name, partition=str(year)))
    instance.report_runless_asset_event(dg.AssetMaterialization("raw_fundamentals", partition="2024"))
    with freeze_time(datetime.datetime(2025, 1, 3, tzinfo=datetime.UTC)):  # one session after the year
        instance.report_runless_asset_event(dg.AssetMaterialization("raw_news_sentiment", partition="2024"))
    # sessions of January 2025: 2, 3, 6, 7, 8; the 9th was a day of mourning
    early = datetime.datetime(2025, 1, 8, 16, 0, tzinfo=new_york)
    said, cursor = ask(instance, LiveMarket(clock=lambda: early))
    assert said == f"market live: 2019 to 2023 over for {GRACE_SESSIONS} sessions; each is there, or was asked for."
    due = datetime.datetime(2025, 1, 8, 16, 30, tzinfo=new_york)
    requests, cursor = ask(instance, LiveMarket(clock=lambda: due), cursor)
    assert wanted(requests) == [(2024, {"raw_prices", "raw_news_sentiment"})]  # these scores came too early
    again, _ = ask(instance, LiveMarket(clock=lambda: due), cursor)
    assert isinstance(again, str)
