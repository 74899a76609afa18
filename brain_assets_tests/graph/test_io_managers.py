"""Snapshots in and out of assets, written whole or not at all, and what the UI shows of a model."""

import datetime
import shutil
from pathlib import Path
from typing import Any
from urllib.parse import unquote

import dagster as dg
import pandas as pd
import pytest
import torch

from brain_assets import registry
from brain_assets.errors import BrainAssetsError, SnapshotError, StorageError, TableError
from brain_assets.forecasting.lstm import LstmConfig
from brain_assets.forecasting.training import train_snapshot
from brain_assets.formatting import format_figure
from brain_assets.graph.assets import models
from brain_assets.graph.build import build_assets
from brain_assets.graph.io_managers import StoredSnapshots, feature_weights_metadata, snapshot_metadata
from brain_assets.graph.project import build_resources
from brain_assets.graph.tasks import QUIET
from brain_assets.market.prices import PricePanel
from brain_assets.parquet import read_table
from brain_assets.registry import Families, families_of, get
from brain_assets.simulator.market import SimulatorMarket
from brain_assets.store.snapshot import ModelSnapshot
from brain_assets.store.storage import SnapshotLocalStorage
from brain_assets.store.tables import MemoryTableStore, TableStore
from brain_assets_tests.conftest import MADE_UP, SYMBOLS
from brain_assets_tests.graph.worlds import PROJECT, RAW, metadata_of, run_year, world
from examples.pls_forecaster import Pls, PlsConfig


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


def test_the_device_and_each_loss_are_shown(panel: PricePanel, tiny_lstm: LstmConfig) -> None:
    config = tiny_lstm.replace(target="demeaned")  # so that the losses of zero are not the same
    made = train_snapshot("lstm", panel, datetime.date(2018, 12, 31), config, MADE_UP)
    assert snapshot_metadata(made)["device"] == "cpu"
    assert {"epochs", "learning_curve"} <= set(snapshot_metadata(made))
    training = made.metadata["training"]
    keys = [("validation_loss", "zero_validation_loss"), ("train_loss", "zero_train_loss")]
    losses = [tuple(f"{training[key]:.4f}" for key in pair) for pair in keys]
    assert len(set(losses[0] + losses[1])) == 4
    lines = [record.data for record in snapshot_metadata(made)["losses"].records]
    assert [(line["loss"], line["loss of zero"]) for line in lines] == losses
    families_of(["examples.pls_forecaster"])  # a family without epochs
    shown = snapshot_metadata(train_snapshot("pls", panel, datetime.date(2018, 12, 31), PlsConfig(), MADE_UP))
    assert {"losses", "validation/loss", "validation/loss_of_zero", "validation/rank_correlation"} <= set(shown)
    assert not {"epochs", "learning_curve"} & set(shown)


@pytest.mark.parametrize("family", ["ridge", "boosting"])
def test_weights_of_features_are_shown_over_the_years_that_are_there(
    panel: PricePanel, tmp_path: Path, family: str
) -> None:
    storage, made = SnapshotLocalStorage(family, tmp_path), {}
    for year in (2018, 2019, 2020, 2021):
        config = get(family).Config(**get(family).quick)
        made[year] = train_snapshot(family, panel, datetime.date(year, 12, 31), config, MADE_UP)
        storage.write_snapshot(made[year])
    (storage.path(datetime.date(2018, 12, 31)) / "model.safetensors").write_bytes(b"damaged")
    metadata = feature_weights_metadata(storage, made[2020])
    shown = metadata["feature_weights"]
    columns = [column.name for column in shown.schema.columns]
    assert columns == ["feature", "2019", "2020"]  # neither the damaged one nor one that is later
    weights = {year: get(family).feature_weights(made[year].weights) for year in (2019, 2020)}
    lines = {record.data["feature"]: record.data for record in shown.records}
    assert {name: line["2019"] for name, line in lines.items()} == {
        name: format_figure(weight, "+.3f") for name, weight in weights[2019].items()
    }
    assert next(iter(lines)) == max(weights[2020], key=lambda name: abs(weights[2020][name]))
    picture = unquote(metadata["heaviest_features"].value)
    assert all(f">{name} {weights[2020][name]:.3g}<" in picture for name in list(lines)[:5])
    assert "2019 to 2020" in picture


class Alone:
    """The graph of one family alone, on a market whose signal is strong."""

    def __init__(self, folder: Path) -> None:
        families = Families.of([registry.get(Pls.name)])
        market = SimulatorMarket(SYMBOLS, seed=1, signal=0.9)
        self.assets = build_assets(PROJECT.years, families)
        self.resources = build_resources(market, MemoryTableStore(), folder / "models", families=families)

    def run(self, year: int, *names: str, **configs: Any) -> dg.ExecuteInProcessResult:
        return dg.materialize(
            self.assets,
            selection=[*RAW, *names],
            partition_key=str(year),
            resources=dict(self.resources),
            run_config={"ops": {name: {"config": config} for name, config in configs.items()}, "loggers": QUIET},
            raise_on_error=False,
        )


def test_what_is_too_good_blocks_the_year_unless_more_is_allowed(tmp_path: Path) -> None:
    alone = Alone(tmp_path)
    assert alone.run(2019, "pls_snapshot").success
    refused = alone.run(2020, "walkforward_forecasts")
    assert not refused.success
    [found] = [each for each in refused.get_asset_check_evaluations() if each.blocking and not each.passed]
    assert found.check_name == "not_too_good"
    assert "too good to be true" in found.description
    assert alone.run(2020, "walkforward_forecasts", walkforward_forecasts={"max_rank_correlation": 0.95}).success


def test_models_of_a_gpu_say_so_and_are_found_again(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    alone = Alone(tmp_path)
    monkeypatch.setattr(torch.cuda, "is_available", lambda: True)
    for reused in (False, True):
        result = alone.run(2019, "pls_snapshot", pls_snapshot={"device": "cuda"})
        assert result.success
        shown = metadata_of(result, "pls_snapshot")
        assert (shown["device"], shown["reused"]) == ("cuda", reused)
