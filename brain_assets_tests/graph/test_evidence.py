"""What the UI shows of a model, whatever made it."""

import datetime
from dataclasses import replace

from brain_assets.forecasting.lstm import LstmConfig
from brain_assets.forecasting.training import train_snapshot
from brain_assets.graph.evidence import model_evidence
from brain_assets.market.prices import PricePanel
from brain_assets_tests.conftest import MADE_UP


def test_the_device_is_shown_with_how_far_a_gpu_is_from_the_cpu(panel: PricePanel, tiny_lstm: LstmConfig) -> None:
    made = train_snapshot("lstm", panel, datetime.date(2018, 12, 31), tiny_lstm, MADE_UP)
    assert model_evidence(made)["device"] == "cpu"
    before_there_were_devices = {name: value for name, value in made.metadata.items() if name != "device"}
    assert model_evidence(replace(made, metadata=before_there_were_devices)) == model_evidence(made)
    gpu = {"name": "A GPU", "loss": 1e-8, "gradient": 2e-6, "tolerance": 1e-4}
    shown = model_evidence(replace(made, metadata={**made.metadata, "device": "cuda", "gpu": gpu}))
    assert shown["device"] == "cuda: A GPU"
    assert (shown["device/loss_difference"], shown["device/gradient_difference"]) == (1e-8, 2e-6)
    assert shown["device/tolerance"] == 1e-4
