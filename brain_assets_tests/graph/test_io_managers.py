"""Snapshots in and out of assets: folders, or memory; written whole or not at all, and found again."""

import datetime
import shutil
from pathlib import Path
from typing import Any

import dagster as dg
import pandas as pd
import pytest

from brain_assets.errors import BrainAssetsError, SnapshotError, StorageError, TableError
from brain_assets.forecasting.training import train_snapshot
from brain_assets.graph.assets import models
from brain_assets.graph.io_managers import StoredSnapshots
from brain_assets.market.prices import PricePanel
from brain_assets.parquet import read_table
from brain_assets.simulator.market import SimulatorMarket
from brain_assets.store.snapshot import ModelSnapshot
from brain_assets.store.tables import TableStore
from brain_assets_tests.graph.worlds import PROJECT, metadata_of, run_year, world


def test_what_cannot_be_written_fails_the_run_and_leaves_nothing_and_the_next_try_makes_it(
    market: SimulatorMarket, tmp_path: Path
) -> None:
    resources = world(market, tmp_path / "models")
    names = ["raw_prices", "lstm_snapshot"]
    (tmp_path / "models").mkdir()
    (tmp_path / "models" / "lstm").write_text("no folder")
    with pytest.raises(StorageError):
        run_year(2019, resources, names=names)
    assert (tmp_path / "models" / "lstm").read_text() == "no folder"
    (tmp_path / "models" / "lstm").unlink()
    made = metadata_of(run_year(2019, resources, names=names), "lstm_snapshot")
    assert made["reused"] is False
    assert [path.name for path in (tmp_path / "models" / "lstm").iterdir()] == ["snapshot-2019-12-31"]
    assert metadata_of(run_year(2019, resources, names=names), "lstm_snapshot")["reused"] is True


def test_a_model_of_other_data_than_it_was_to_be_of_is_not_kept(
    market: SimulatorMarket, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def of_half_the_year(family: str, panel: PricePanel, *rest: Any, **options: Any) -> ModelSnapshot:
        return train_snapshot(family, panel.until(datetime.date(2019, 6, 28)), *rest, **options)

    monkeypatch.setattr(models, "train_snapshot", of_half_the_year)
    with pytest.raises(BrainAssetsError, match=r"lstm 2019-12-31: expected fingerprint .* changed under way: run it"):
        run_year(2019, world(market, tmp_path / "models"), names=["raw_prices", "lstm_snapshot"])
    assert not list(tmp_path.rglob("snapshot-*"))


def test_assets_of_ones_own_keep_snapshots_and_tables_under_any_name(market: SimulatorMarket, tmp_path: Path) -> None:
    resources = world(market, tmp_path / "models", TableStore(tmp_path, {}))
    run_year(2019, resources, names=["raw_prices", "lstm_snapshot"])
    storage = resources["snapshot_io"].storages["lstm"]
    found = storage.load_snapshot(storage.list_snapshots()[0])
    shutil.rmtree(storage.folder)

    @dg.asset(io_manager_key="snapshot_io")
    def copy_of_it() -> Any:
        return found

    @dg.asset(io_manager_key="table_io", partitions_def=PROJECT.years.definition)
    def mine(copy_of_it: StoredSnapshots) -> pd.DataFrame:
        fetched = copy_of_it.fetch_snapshot(copy_of_it.list_candidates([])[-1])
        return pd.DataFrame({"fingerprint": [fetched.fingerprint]})

    with dg.DagsterInstance.ephemeral() as instance:
        dg.materialize([copy_of_it], instance=instance, resources=dict(resources))
        dg.materialize(
            [copy_of_it, mine], instance=instance, resources=dict(resources), selection=[mine], partition_key="2019"
        )
    assert read_table(tmp_path / "tables" / "mine" / "2019.parquet")["fingerprint"].tolist() == [found.fingerprint]
    assert [path.name for path in (tmp_path / "models" / "lstm").iterdir()] == ["snapshot-2019-12-31"]


@pytest.mark.parametrize(
    ("manager", "error", "sentence"),
    [
        ("snapshot_io", SnapshotError, r"^mine: expected it to return a ModelSnapshot, got str; return one"),
        ("table_io", TableError, r"^mine: expected a DataFrame for each year, got str of an asset without partitions;"),
    ],
)
def test_what_cannot_be_kept_is_refused_by_name(
    manager: str, error: type[Exception], sentence: str, market: SimulatorMarket, tmp_path: Path
) -> None:
    @dg.asset(io_manager_key=manager)
    def mine() -> Any:
        return "no model"

    with pytest.raises(error, match=sentence):
        dg.materialize([mine], resources=dict(world(market, tmp_path / "models")))
