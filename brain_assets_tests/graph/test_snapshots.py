"""What the UI shows of a model, whatever made it."""

import datetime
from dataclasses import replace

from brain_assets.forecasting.lstm import LstmConfig
from brain_assets.forecasting.training import train_snapshot
from brain_assets.graph.snapshots import snapshot_metadata
from brain_assets.market.prices import PricePanel
from brain_assets.registry import families_of
from brain_assets_tests.conftest import MADE_UP
from examples.pls_forecaster import PlsConfig


def test_the_device_and_each_loss_are_shown(panel: PricePanel, tiny_lstm: LstmConfig) -> None:
    config = tiny_lstm.replace(target="demeaned")  # so that the losses of zero are not the same
    made = train_snapshot("lstm", panel, datetime.date(2018, 12, 31), config, MADE_UP)
    assert snapshot_metadata(made)["device"] == "cpu"
    assert {"epochs", "best_epoch", "learning_curve"} <= set(snapshot_metadata(made))
    training = made.metadata["training"]
    losses = {f"{name}/loss": training[f"{name}_loss"] for name in ("train", "validation")}
    losses |= {f"{name}/loss_of_zero": training[f"zero_{name}_loss"] for name in ("train", "validation")}
    assert len(set(losses.values())) == 4
    assert {name: snapshot_metadata(made)[name] for name in losses} == losses
    before_there_were_devices = {name: value for name, value in made.metadata.items() if name != "device"}
    assert snapshot_metadata(replace(made, metadata=before_there_were_devices)) == snapshot_metadata(made)
    assert snapshot_metadata(replace(made, metadata={**made.metadata, "device": "cuda"}))["device"] == "cuda"


def test_a_family_without_epochs_shows_no_learning_curve(panel: PricePanel) -> None:
    families_of(["examples.pls_forecaster"])
    shown = snapshot_metadata(train_snapshot("pls", panel, datetime.date(2018, 12, 31), PlsConfig(), MADE_UP))
    assert {"train/loss", "validation/loss", "validation/rank_correlation"} <= set(shown)
    assert not {"epochs", "best_epoch", "learning_curve"} & set(shown)
