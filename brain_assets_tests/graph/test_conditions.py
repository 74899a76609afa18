"""What declarative automation asks for, evaluated by Dagster itself on histories of a real instance."""

import datetime
import itertools
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

import dagster as dg
import pandas as pd
import pytest
from dagster._core.definitions.data_version import (
    CODE_VERSION_TAG,
    DATA_VERSION_TAG,
    get_input_data_version_tag,
    get_input_event_pointer_tag,
)

from brain_assets import registry
from brain_assets.automation.definitions import downstream
from brain_assets.graph.build import build_assets
from brain_assets.graph.io_managers import SnapshotIOManager, TableIOManager
from brain_assets.market.calendar import utc_now
from brain_assets.portfolio.arithmetic import policy_options
from brain_assets.simulator.market import SimulatorMarket
from brain_assets.store.fingerprint import hash_json, library_versions
from brain_assets.store.storage import SnapshotLocalStorage
from brain_assets.store.tables import MemoryTableStore
from brain_assets_tests.conftest import SYMBOLS
from brain_assets_tests.graph.worlds import DEFS as WITHOUT_STORES
from brain_assets_tests.graph.worlds import EVERY, PROJECT, RAW

NOW = datetime.datetime(2022, 6, 1, tzinfo=datetime.UTC)
YEARS = (2019, 2020, 2021)
"""All that there are at that moment."""


class Tables(MemoryTableStore):
    """Holds every year."""

    def read_year(self, name: str, year: int) -> pd.DataFrame:
        return pd.DataFrame()


class Models(SnapshotLocalStorage):
    """Holds a model of every year, trained with the default configuration."""

    def read_metadata(self, cutoff_date: datetime.date) -> dict[str, Any]:
        family = registry.get(self.family)
        config = family.Config()
        options = config.model_dump() if family.role == "forecaster" else policy_options(config)
        return {"fingerprint": {"config": hash_json(options), "libraries": library_versions()}}


FEW = registry.Families.of([registry.get("lstm"), registry.get("ppo")])
ASSETS = [*build_assets(PROJECT.years, FEW), *(asset for asset in EVERY if asset.key == dg.AssetKey("report"))]
SNAPSHOTS, POLICY_ASSETS = ("lstm_snapshot",), ("ppo_policy",)
NAMES = (*RAW, *SNAPSHOTS, "walkforward_forecasts", *POLICY_ASSETS, "backtest")
MODELS = {name: Models(name, Path("nowhere")) for name in FEW.by_name}
STORES = {"table_io": TableIOManager(Tables(), Path("nowhere")), "snapshot_io": SnapshotIOManager(MODELS)}
DEFS = dg.Definitions(ASSETS, resources={"market": SimulatorMarket(SYMBOLS), "clock": utc_now, **STORES})
GRAPH = DEFS.resolve_asset_graph()
DOWNSTREAM = tuple(name for name in NAMES if name not in RAW)


class History:
    """Materializations on an instance as runs leave them, with what they were made from, and the automation on top."""

    def __init__(self, instance: dg.DagsterInstance) -> None:
        self.instance = instance
        self._cursor = None

    def tags_of(self, name: str, version: str) -> dict[str, str]:
        """Give what a run that makes an asset from what is there now says of it."""
        tags = {DATA_VERSION_TAG: version, CODE_VERSION_TAG: GRAPH.get(dg.AssetKey(name)).code_version}
        for parent in GRAPH.get(dg.AssetKey(name)).parent_keys:
            [*records] = self.instance.fetch_materializations(parent, limit=1).records
            tags[get_input_data_version_tag(parent)] = "whatever"
            tags[get_input_event_pointer_tag(parent)] = str(records[0].storage_id) if records else "NULL"
        return tags

    def make(self, name: str, year: int | None, version: str = "as first made", **tags: str) -> None:
        """Materialize one year of an asset, from what is there now."""
        partition = None if year is None else str(year)
        event = dg.AssetMaterialization(name, partition=partition, tags=tags or self.tags_of(name, version))
        self.instance.report_runless_asset_event(event)

    def fill(self, names: Sequence[str] = NAMES, years: Sequence[int] = YEARS) -> None:
        for name, year in itertools.product(names, years):
            self.make(name, year)

    def tick(self) -> set[tuple[str, int]]:
        """Evaluate the conditions once; gives what is asked for, the report left out."""
        return {(name, int(year or 0)) for name, year in self.tick_all() if name != "report"}

    def tick_all(self) -> set[tuple[str, str | None]]:
        result = dg.evaluate_automation_conditions(DEFS, self.instance, evaluation_time=NOW, cursor=self._cursor)
        self._cursor = result.cursor
        found = {key: result.get_requested_partitions(key) for key in GRAPH.materializable_asset_keys}
        return {(key.to_user_string(), partition) for key, partitions in found.items() for partition in partitions}

    def follow(self, version: str = "as first made", fails: Sequence[tuple[str, int]] = ()) -> list[set]:
        """Tick, and make what is asked for but for what fails, until nothing is asked for; gives what was, by tick."""
        asked = []
        while found := self.tick():
            asked.append(found)
            for name, year in sorted(found - {*fails}, key=lambda one: (one[1], NAMES.index(one[0]))):
                self.make(name, year, version)
            assert len(asked) < 20, "it never comes to rest"
        return asked


@pytest.fixture
def history() -> Iterator[History]:
    with dg.DagsterInstance.ephemeral() as instance:
        yield History(instance)


def everything(names: Sequence[str], years: Sequence[int]) -> set[tuple[str, int]]:
    return {*itertools.product(names, years)}


def test_switch_is_off_until_somebody_turns_it_on_and_nothing_else_asks() -> None:
    assert downstream.default_status is dg.DefaultSensorStatus.STOPPED
    sensors = WITHOUT_STORES.get_repository_def().sensor_defs
    assert [sensor.name for sensor in sensors if isinstance(sensor, dg.AutomationConditionSensorDefinition)] == [
        "downstream"
    ]
    automated = {key.to_user_string() for key in GRAPH.materializable_asset_keys if GRAPH.get(key).automation_condition}
    assert automated == {*DOWNSTREAM, "report"}


def test_raw_tables_of_all_years_are_followed_stage_by_stage_old_years_and_the_first_too(history: History) -> None:
    history.fill(RAW)
    first, second, third, fourth = history.follow()
    # the first forecasts need no snapshot: none is finished before the bootstrap window
    assert first == {*everything(SNAPSHOTS, YEARS), ("walkforward_forecasts", YEARS[0])}
    assert second == {
        *everything(("walkforward_forecasts",), YEARS[1:]),
        *everything((*POLICY_ASSETS, "backtest"), YEARS[:1]),
    }
    assert third == {*everything(POLICY_ASSETS, YEARS[1:]), ("backtest", YEARS[1])}
    assert fourth == everything(("backtest",), YEARS[2:])


def test_finished_history_is_left_alone_also_when_it_was_made_again_and_came_out_the_same(history: History) -> None:
    history.fill()
    history.make("report", None)
    assert [history.tick_all() for _ in range(2)] == [set()] * 2
    history.fill(RAW, YEARS[:2])
    history.make("lstm_snapshot", YEARS[1])
    assert history.tick_all() == set()


def test_changed_year_takes_with_it_what_depends_on_it_and_no_more(history: History) -> None:
    history.fill()
    assert history.tick() == set()
    history.make("raw_prices", YEARS[1], "corrected")
    asked = history.follow("from corrected prices")
    assert set.union(*asked) == everything(DOWNSTREAM, YEARS[1:])
    assert sum(map(len, asked)) == len(DOWNSTREAM) * len(YEARS[1:])  # each once, and then nothing more


def test_change_during_a_training_is_not_forgotten_when_the_training_ends(history: History) -> None:
    snapshot = ("lstm_snapshot", YEARS[-1])
    history.fill()
    assert history.tick() == set()
    history.make("raw_prices", YEARS[-1], "corrected")
    assert snapshot in history.tick()
    tags = history.tags_of(snapshot[0], "from the first correction")
    history.make("raw_prices", YEARS[-1], "corrected twice")  # while the training asked for reads the first correction
    history.make(*snapshot, **tags)
    assert snapshot in history.tick()


def test_failed_year_is_asked_for_once_and_again_when_an_input_was_made_anew(history: History) -> None:
    broken = ("lstm_snapshot", YEARS[1])
    history.fill(RAW)
    asked = history.follow(fails=[broken])
    assert sum(broken in found for found in asked) == 1
    waiting = everything(("walkforward_forecasts", *POLICY_ASSETS, "backtest"), YEARS[2:])  # they need that snapshot
    assert set.union(*asked) == everything(DOWNSTREAM, YEARS) - waiting  # the rest is done
    assert history.tick() == set()
    history.make("raw_prices", YEARS[1], "repaired")
    assert broken in history.tick()


def test_year_that_failed_a_check_that_blocks_has_nothing_built_on_it(history: History) -> None:
    history.fill(RAW, YEARS[:2])
    severity, year = dg.AssetCheckSeverity.ERROR, str(YEARS[1])
    found = dg.AssetCheckEvaluation(
        dg.AssetKey("raw_prices"), "positive", False, {}, severity=severity, blocking=True, partition=year
    )
    history.instance.report_runless_asset_event(found)
    asked = history.tick()  # by the raw tables alone, both years could be made
    assert {year for _, year in asked} == {YEARS[0]}


def test_report_follows_the_years_that_are_there_and_waits_for_none_that_is_missing(history: History) -> None:
    history.fill(NAMES, YEARS[:2])
    assert ("report", None) in history.tick_all()
    assert ("report", None) not in history.tick_all()  # asked for already
    history.make("report", None)
    history.make("backtest", YEARS[1], "as first made")
    assert history.tick_all() == set()
    history.make("backtest", YEARS[1], "other returns")
    assert history.tick_all() == {("report", None)}
