"""What the UI shows of a model, whatever made it."""

import datetime
from pathlib import Path
from urllib.parse import unquote

import pytest

from brain_assets.check_result import format_figure
from brain_assets.forecasting.lstm import LstmConfig
from brain_assets.forecasting.training import train_snapshot
from brain_assets.graph.snapshots import feature_weights_metadata, snapshot_metadata
from brain_assets.market.prices import PricePanel
from brain_assets.registry import families_of, get
from brain_assets.store.storage import SnapshotLocalStorage
from brain_assets_tests.conftest import MADE_UP
from examples.pls_forecaster import PlsConfig


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
