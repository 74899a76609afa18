"""Running the graph in tests: real Dagster runs, small models, any table store."""

import datetime
from collections.abc import Callable, Mapping, Sequence
from functools import partial
from pathlib import Path
from typing import Any

import dagster as dg

from brain_assets.graph.build import open_project
from brain_assets.graph.instance import this_process
from brain_assets.graph.project import Project, build_resources
from brain_assets.graph.tasks import QUIET, Event, Task, Told
from brain_assets.graph.work import Worker, execute
from brain_assets.market.base import Market, SourcedTable
from brain_assets.plugins import Plugin
from brain_assets.settings import read_settings
from brain_assets.simulator.market import SimulatorMarket
from brain_assets.store.tables import MemoryTableStore, TableStore
from brain_assets_tests.conftest import FORECASTERS, POLICIES, TINY

PROJECT = open_project(read_settings())
DEFS, YEARLY = PROJECT.definitions, PROJECT.yearly
EVERY = [asset for asset in DEFS.assets or () if isinstance(asset, dg.AssetsDefinition)]
RUN_CONFIG = TINY
RAW = ("raw_fundamentals", "raw_news_sentiment", "raw_prices")
SNAPSHOTS = tuple(f"{family}_snapshot" for family in FORECASTERS)
POLICY_ASSETS = tuple(f"{family}_policy" for family in POLICIES)
NAMES = (*RAW, *sorted(SNAPSHOTS), "walkforward_forecasts", *sorted(POLICY_ASSETS), "backtest")
"""The yearly assets, each after what it depends on."""
TABLES = (*RAW, "walkforward_forecasts", "backtest")
MODELS = dict(zip((*SNAPSHOTS, *POLICY_ASSETS), (*FORECASTERS, *POLICIES), strict=True))
"""Asset -> family."""


def run_year(
    year: int,
    resources: Mapping[str, Any],
    instance: dg.DagsterInstance | None = None,
    names: Sequence[str] = NAMES,
    run_config: Mapping[str, Any] | None = None,
    raise_on_error: bool = True,
) -> dg.ExecuteInProcessResult:
    """Materialize a year of some assets."""
    ops = {name: options for name, options in (run_config or RUN_CONFIG)["ops"].items() if name in names}
    return dg.materialize(
        YEARLY,
        selection=list(names),
        partition_key=str(year),
        instance=instance,
        resources=dict(resources),
        run_config={"ops": ops, "loggers": QUIET},
        raise_on_error=raise_on_error,
    )


class Listening(SimulatorMarket):
    """Remembers what headlines were to be scored with."""

    def news_sentiment(self, start: datetime.date, end: datetime.date, score: Any) -> SourcedTable:
        self.scorer = score
        return super().news_sentiment(start, end, score)


def world(market: Market, models_dir: Path, tables: TableStore | None = None) -> Mapping[str, Any]:
    return build_resources(market, tables or MemoryTableStore(), models_dir)


def sensor(name: str) -> dg.SensorDefinition:
    return DEFS.get_repository_def().get_sensor_def(name)


def metadata_of(result: dg.ExecuteInProcessResult, name: str) -> dict[str, Any]:
    """Give the plain metadata of an asset's materialization."""
    [event] = [event for event in result.get_asset_materialization_events() if event.asset_key == dg.AssetKey(name)]
    return {key: value.value for key, value in event.materialization.metadata.items()}


HERE = __name__
"""A plug-in whose engine is called ``here``."""
PLUGIN = Plugin(engines={"here": f"{HERE}:pool_here"})


def pool_here(project: Project, instance: dg.DagsterInstance, _jobs: int | None) -> "PoolHere":
    worker = Worker(project, instance)
    return PoolHere(project.definitions, instance, lambda task: worker.do(task, lambda _line, _level: None))


class PoolHere:
    """Does the tasks of a backfill in this process, one at a time."""

    retries, advice, words = 0, "", "one at a time"

    def __init__(
        self, defs: dg.Definitions, instance: dg.DagsterInstance, do: Callable[[Task], Event | str] | None = None
    ) -> None:
        self._do = do or partial(execute, defs, instance)
        self._task: Task | None = None

    def has_room(self, _task: Task) -> bool:
        return self._task is None

    def submit(self, task: Task) -> str:
        self._task = task
        return this_process()

    def wait(self) -> list[tuple[Task, Told]]:
        assert self._task is not None
        task, self._task = self._task, None
        return [(task, self._do(task))]

    def stop(self) -> list[str]:
        return []
