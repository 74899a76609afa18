"""Four roads are asked the same questions: `status`, `backfill`, the automation of Dagster's daemon, and a run."""

import datetime
import os
import shutil
from collections.abc import Callable, Iterator
from dataclasses import dataclass, replace
from importlib.metadata import version
from pathlib import Path
from typing import Any

import dagster as dg
import pandas as pd
import pytest

from brain_assets import registry
from brain_assets.adopt.definitions import find_external
from brain_assets.automation.definitions import downstream, new_data_sensor
from brain_assets.graph.assets.models import forecaster_asset
from brain_assets.graph.assets.raw import raw_assets
from brain_assets.graph.assets.tables import forecasts_asset
from brain_assets.graph.backfill import Backfill
from brain_assets.graph.build import walkforward_job
from brain_assets.graph.project import build_resources
from brain_assets.graph.status import State, StatusReader
from brain_assets.graph.tasks import ENDS, QUIET
from brain_assets.graph.years import Years
from brain_assets.settings import read_settings
from brain_assets.simulator.market import SimulatorMarket
from brain_assets.store.tables import TableStore
from brain_assets.user_files.market import FilesMarket
from brain_assets_tests.backfills import flip
from brain_assets_tests.graph.test_backfill import Pretending
from brain_assets_tests.graph.worlds import RAW

SNAPSHOT, FORECASTS, PRICES = ("ridge_snapshot", 2020), ("walkforward_forecasts", 2020), ("raw_prices", 2020)
YEARS = (2019, 2020)
AN_HOUR_AGO = datetime.datetime.now().timestamp() - 3600


@dataclass
class World:
    """Files, what was made of them, and Dagster's record of it."""

    root: Path
    instance: dg.DagsterInstance

    def copy(self, root: Path) -> "World":
        shutil.copytree(self.root, root)
        return replace(self, root=root, instance=dg.DagsterInstance.local_temp(str(root / "home")))

    def forget(self) -> None:
        """Begin another record, of the raw tables alone, where no year was made before."""
        self.instance.wipe_assets([dg.AssetKey("ridge_snapshot"), dg.AssetKey("walkforward_forecasts")])

    @property
    def defs(self) -> dg.Definitions:
        """Of a process that has just begun."""
        ridge, years = registry.get("ridge"), Years.of(read_settings(last_year="2020"), SimulatorMarket())
        raw = raw_assets(years)
        assets = [*raw, forecaster_asset(ridge, years), forecasts_asset([ridge], years)]
        memory = self.root / "data" / "cache" / "files.json"
        market = FilesMarket(self.root / "files", (), memory)
        tables = TableStore(self.root / "data", {"market": "files"})
        families = registry.Families.of([ridge])
        return dg.Definitions(
            assets,
            jobs=[walkforward_job(assets)],
            sensors=[downstream, new_data_sensor(raw)],
            resources=dict(build_resources(market, tables, self.root / "data" / "models", families=families)),
        )

    def run(self, name: str, year: int, **config: Any) -> dict[str, Any]:
        """Run a year of an asset in the job; gives what its materialization says."""
        result = self.defs.resolve_job_def("walkforward").execute_in_process(
            {"ops": {name: {"config": config}} if config else {}, "loggers": QUIET},
            self.instance,
            str(year),
            asset_selection=[dg.AssetKey(name)],
        )
        [event] = result.get_asset_materialization_events()
        return {key: value.value for key, value in event.materialization.metadata.items()}

    def edit(self) -> None:
        path = self.root / "files" / "prices.csv"
        rows = pd.read_csv(path)
        rows.loc[(rows["date"] == "2020-07-01") & (rows["symbol"] == "CCC"), ["close", "high"]] *= 1.01
        write(path, rows)

    def report(self, name: str, year: int) -> None:
        """What the button "Report materialization" of the UI does."""
        self.instance.report_runless_asset_event(dg.AssetMaterialization(name, partition=str(year)))

    def report_check(self, check: str, blocking: bool) -> None:
        severity = dg.AssetCheckSeverity.ERROR if blocking else dg.AssetCheckSeverity.WARN
        found = dg.AssetCheckEvaluation(
            dg.AssetKey("ridge_snapshot"), check, False, {}, severity=severity, blocking=blocking, partition="2020"
        )
        self.instance.report_runless_asset_event(found)

    def adopt(self) -> None:
        resources = self.defs.resources or {}
        graph, storages = self.defs.resolve_asset_graph(), resources["snapshot_io"].storages
        for found in list(find_external(self.instance, graph, storages)):
            self.instance.report_runless_asset_event(found)

    @property
    def snapshot(self) -> Path:
        return self.root / "data" / "models" / "ridge" / "snapshot-2020-12-31"


def write(path: Path, rows: pd.DataFrame) -> None:
    rows.to_csv(path, index=False)
    os.utime(path, (AN_HOUR_AGO, AN_HOUR_AGO))  # a tick leaves alone what may still be written


@pytest.fixture(scope="module")
def made(market: SimulatorMarket, prices: pd.DataFrame, tmp_path_factory: pytest.TempPathFactory) -> World:
    """All of two years is done; nobody changes this, tests take a copy."""
    root = tmp_path_factory.mktemp("roads") / "made"
    for name in ("files", "home"):
        (root / name).mkdir(parents=True)
    write(root / "files" / "prices.csv", prices[prices["date"] < "2021"])
    with dg.DagsterInstance.local_temp(str(root / "home")) as instance:
        world = World(root, instance)
        for year in YEARS:
            for name in (*RAW, "ridge_snapshot", "walkforward_forecasts"):
                world.run(name, year)
    return world


@pytest.fixture
def world(made: World, tmp_path: Path) -> Iterator[World]:
    copied = made.copy(tmp_path / "world")
    with copied.instance:
        yield copied


def nothing(_: World) -> None: ...


def forget(world: World) -> None:
    world.forget()
    shutil.rmtree(world.snapshot)


def made_anew(world: World) -> None:
    world.run("raw_prices", 2020, force=True)


def edited_and_fetched(world: World) -> None:
    world.edit()
    world.run("raw_prices", 2020)


def without_its_model(world: World) -> None:
    world.instance.wipe_assets([dg.AssetKey("walkforward_forecasts"), dg.AssetKey("ridge_snapshot")])
    shutil.rmtree(world.snapshot.with_name("snapshot-2019-12-31"))
    world.run("walkforward_forecasts", 2020)
    world.run("ridge_snapshot", 2019)


def another_universe(world: World) -> None:
    universe = world.root / "files" / "universe.csv"
    universe.write_text("symbol,from,to\nAAA,2015-01-01,2020-06-30\nBBB,2015-01-01,\n")
    os.utime(universe, (AN_HOUR_AGO, AN_HOUR_AGO))


def adopted(world: World) -> None:
    world.forget()
    world.adopt()


def adopted_then_edited(world: World) -> None:
    adopted(world)
    edited_and_fetched(world)


KEPT, MADE = True, False
MISSING, DAMAGED, STALE, DONE = State.MISSING, State.DAMAGED, State.STALE, State.DONE
RAW_2020 = "data/raw/prices/2020.parquet"
QUESTIONS: dict[str, tuple[Callable[[World], object], tuple[str, int], State, str, bool]] = {
    "nothing happened": (nothing, SNAPSHOT, DONE, "", KEPT),
    "missing": (forget, SNAPSHOT, MISSING, "not materialized", MADE),
    "folder gone": (lambda w: shutil.rmtree(w.snapshot), SNAPSHOT, MISSING, "its folder is gone", MADE),
    "file gone": (lambda w: (w.root / RAW_2020).unlink(), PRICES, MISSING, "its file is gone", MADE),
    "damaged model": (lambda w: flip(w.snapshot / "model.safetensors"), SNAPSHOT, DAMAGED, "model.safetensors", MADE),
    "damaged table": (lambda w: flip(w.root / RAW_2020), PRICES, DAMAGED, "2020.parquet", MADE),
    "stale by data": (edited_and_fetched, SNAPSHOT, STALE, "raw_prices[2020] changed", MADE),
    "same data again": (made_anew, SNAPSHOT, DONE, "", KEPT),
    "configuration": (lambda w: w.run(*SNAPSHOT, alpha=1.0), SNAPSHOT, STALE, "trained with another config", MADE),
    "stale by average": (lambda w: w.run(*FORECASTS, average=[]), FORECASTS, STALE, "made with another average", MADE),
    "stale by code": (nothing, SNAPSHOT, STALE, "has a new code version", MADE),
    "other libraries": (
        nothing,
        SNAPSHOT,
        DONE,
        f"made with torch {version('torch')}, here is torch 99: --force to make it again",
        KEPT,
    ),
    "made before its model": (without_its_model, FORECASTS, STALE, "made before ridge_snapshot[2019]", MADE),
    "adopted": (adopted, SNAPSHOT, DONE, "", KEPT),
    "adopted, then edited": (adopted_then_edited, SNAPSHOT, STALE, "adopted or reported before raw_prices[2020]", MADE),
    "reported": (lambda w: w.report(*SNAPSHOT), SNAPSHOT, DONE, "", KEPT),
    "data reported": (lambda w: w.report(*PRICES), PRICES, STALE, "it is not recorded what it was made from", KEPT),
    "warned": (lambda w: w.report_check("beats_zero", False), SNAPSHOT, DONE, "", KEPT),
    "refused": (
        lambda w: w.report_check("validation_loss_finite", True),
        *(SNAPSHOT, STALE, "did not pass its checks: validation_loss_finite", KEPT),
    ),
    "edited file": (World.edit, PRICES, STALE, "prices.csv changed", MADE),
    "universe changed": (another_universe, PRICES, STALE, "universe.csv changed", MADE),
}


@pytest.mark.parametrize("question", QUESTIONS)
def test_every_road_gives_the_same_answer(world: World, question: str, monkeypatch: pytest.MonkeyPatch) -> None:
    happen, (name, year), state, reason, kept = QUESTIONS[question]
    happen(world)
    if question == "stale by code":
        monkeypatch.setattr(type(registry.get("ridge")), "code_version", "another")
    if question == "other libraries":
        of = {"torch": "99"}
        monkeypatch.setattr(
            "brain_assets.store.fingerprint.version", lambda library: of.get(library) or version(library)
        )
    defs = world.defs
    found = StatusReader(defs, world.instance, {}).read(name, year)
    assert (found.state, reason in found.reason) == (state, True), found
    assert bool(found.reason) is bool(reason)
    assert ("beats_zero" in found.warnings) >= (question == "warned")

    pool = Pretending({})
    [end] = [event for event in Backfill(defs, world.instance, [name]).run([year], pool) if event.kind in ENDS]
    assert (end.kind == "done") is (pool.handed == []) is (state is State.DONE)
    if end.kind == "done":
        assert (end.detail, end.warnings) == (found.reason, found.warnings)

    sensor = defs.get_repository_def().get_sensor_def("new_data" if name in RAW else "downstream")
    ticked = sensor.evaluate_tick(dg.build_sensor_context(world.instance, definitions=defs))
    asked = {
        (key.to_user_string(), int(request.partition_key or 0))
        for request in ticked.run_requests or ()
        for key in request.asset_selection or ()
    }
    assert ((name, year) in asked) is (state is not State.DONE)

    made = world.run(name, year)
    if name != "walkforward_forecasts":  # what takes seconds is computed by every run
        assert made["reused"] is kept
    after = StatusReader(world.defs, world.instance, {}).read(name, year)
    assert (after.state, after.reason) == (State.DONE, reason if state is State.DONE else "")
