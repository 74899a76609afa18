"""Main versions in the graph: all data until the last finished session, each version once, the better one current."""

import datetime
import shutil
from dataclasses import replace
from pathlib import Path
from typing import Any

import dagster as dg
import numpy as np
import pytest

from brain_assets.graph.project import build_resources
from brain_assets.market.base import SourcedTable
from brain_assets.simulator.market import SimulatorMarket
from brain_assets.store.tables import MemoryTableStore
from brain_assets_tests.conftest import SYMBOLS, TINY_LSTM, TINY_PATCHTST
from brain_assets_tests.graph.worlds import EVERY, PROJECT, Listening, metadata_of
from brain_assets_tests.loopback_hub import LoopbackHub
from brain_assets_tests.store.hubs import bind

NEW_YORK = datetime.timezone(datetime.timedelta(hours=-5))


def this_year(month: int, day: int, hour: int) -> datetime.datetime:
    """Give a moment of the year after the last partition, in New York's winter time."""
    return datetime.datetime(PROJECT.years.last() + 1, month, day, hour, tzinfo=NEW_YORK)


NOON = this_year(2, 11, 12)
"""Of a Wednesday of 2026."""


def resources_at(root: Path, tables: MemoryTableStore, moment: datetime.datetime = NOON) -> dict[str, Any]:
    return dict(build_resources(SimulatorMarket(SYMBOLS, seed=1), tables, root, clock=lambda: moment))


@pytest.fixture(scope="module")
def tables() -> MemoryTableStore:
    """Raw tables of every year that there is, with rows of the last three."""
    store, market, last = MemoryTableStore(), SimulatorMarket(SYMBOLS, seed=1), PROJECT.years.last()
    days = datetime.date(last - 2, 1, 1), datetime.date(last + 1, 1, 1)
    news = market.news_sentiment(*days, lambda titles: np.zeros(len(titles))).table
    frames = {"raw_prices": market.prices(*days), "raw_news_sentiment": news}
    frames["raw_fundamentals"] = market.fundamentals(*days).table
    for name, frame in frames.items():
        year_of = frame["filed" if name == "raw_fundamentals" else "date"].dt.year
        for year in PROJECT.years.existing():
            store.write(name, year, frame[year_of == year])
    return store


def train(resources: dict[str, Any], family: str, **options: Any) -> dict:
    name, config = f"{family}_model", {**(TINY_LSTM if family == "lstm" else TINY_PATCHTST), **options}
    run_config = {"ops": {name: {"config": config}}}
    result = dg.materialize(EVERY, selection=[name], resources=resources, run_config=run_config)
    assert result.success
    return metadata_of(result, name)


def test_it_ends_with_the_last_finished_session_is_trained_once_and_the_hub_follows(
    tables: MemoryTableStore, tmp_path: Path
) -> None:
    with LoopbackHub() as hub:
        storage = bind(tmp_path, hub)

        def train_at(moment: datetime.datetime, **options: Any) -> dict:
            resources = resources_at(tmp_path, tables, moment)
            resources["snapshot_io"].storages = {**resources["snapshot_io"].storages, "lstm": storage}
            return train(resources, "lstm", **options)

        shown = train_at(NOON)
        yesterday = NOON.date() - datetime.timedelta(days=1)
        assert shown["training_data"]["last_session"] == str(yesterday)
        assert shown["version"].startswith(f"v{yesterday}-")
        assert (shown["reused"], shown["promoted_when_made"], shown["device"]) == (False, True, "cpu")
        assert shown["verdict"].startswith("promoted as the first version")
        assert shown["current_version"] == shown["version"]
        assert (shown["hub"], shown["hub_branch"]) == ("pushed", f"{hub.endpoint}/user/lstm/tree/{shown['version']}")
        files = storage.store.read(shown["version"])
        assert hub.files("user/lstm", shown["version"]) == files == hub.files("user/lstm", "main")
        again = train_at(NOON, device="cpu")
        assert (again["reused"], again["version"], again["hub"]) == (True, shown["version"], "unchanged")
        later = train_at(this_year(2, 11, 17))  # the close
    assert later["training_data"]["last_session"] == str(NOON.date())
    assert isinstance(later["held_out/loss_of_previous"], float)
    assert storage.list_versions() == sorted([shown["version"], later["version"]])
    assert storage.current() == (later["version"] if later["promoted_when_made"] else shown["version"])


def test_news_and_filings_of_the_year_that_runs_count_and_headlines_are_scored_once(
    tables: MemoryTableStore, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    market = Listening(SYMBOLS, seed=1)

    def train_now(folder: str) -> dict:
        resources = resources_at(tmp_path / folder / "models", tables, this_year(4, 15, 12))
        return train({**resources, "market": market}, "patchtst")

    first = train_now("all")
    assert market.scorer.cache == tmp_path / "all" / "cache" / "headlines"
    for table in ("news_sentiment", "fundamentals"):
        given = getattr(SimulatorMarket, table)

        def nothing(market: SimulatorMarket, *window: Any, given: Any = given) -> SourcedTable:
            found = given(market, *window)
            return found._replace(table=found.table.head(0))

        with monkeypatch.context() as patch:
            patch.setattr(SimulatorMarket, table, nothing)
            second = train_now(table)
        assert first["training_data"] == second["training_data"]
        assert first["held_out/loss"] != second["held_out/loss"]


def test_a_version_that_is_not_better_stays_beside_the_current_one_unless_that_cannot_be_read(
    tables: MemoryTableStore, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    resources = resources_at(tmp_path, tables)
    first = train(resources, "lstm")
    worse = train(resources, "lstm", learning_rate=0.3, epochs=3, seed=3)
    assert worse["held_out/loss"] > min(worse["held_out/loss_of_previous"], worse["held_out/loss_of_zero"])
    assert worse["promoted_when_made"] is False
    assert worse["verdict"].startswith("not promoted: its loss")
    assert worse["current_version"] == first["version"]
    storage = resources["snapshot_io"].storages["lstm"]
    old, folder = storage.load(first["version"]), storage.folder / first["version"]
    shutil.rmtree(folder)
    replace(old, config={**old.config, "patience": 5}).save(folder)  # of an older release
    second = train(resources, "lstm", seed=1)
    assert second["current_version"] == second["version"]
    assert second["verdict"].startswith("promoted as the first version")
    assert "not compared with the current version: " in caplog.text
    assert f"{first['version']}/config.json: LstmConfig: expected keys among window" in caplog.text
