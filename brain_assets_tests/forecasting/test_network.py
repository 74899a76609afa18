import numpy as np
import pytest
import torch
from torch import nn

from brain_assets.errors import TrainingError
from brain_assets.forecasting.features import WindowIndex, Windows
from brain_assets.forecasting.forecaster import EpochLosses
from brain_assets.forecasting.network import Batches, NetworkConfig, NetworkForecaster


class LastValue(NetworkForecaster):
    """Predicts a multiple of the last value of the first feature."""

    Config = NetworkConfig

    def layers(self, config: NetworkConfig) -> nn.Module:
        return nn.ParameterDict({"slope": torch.zeros(1)})

    def forward(self, layers: nn.Module, windows: torch.Tensor) -> torch.Tensor:
        return layers["slope"] * windows[-1, :, 0]


def windows_of(n_windows: int, seed: int, slope: float = 1.0) -> Windows:
    """Windows of two sessions; the target is a multiple of the last value of the first feature of each."""
    features = np.random.default_rng(seed).normal(size=(1, n_windows + 1, 2)).astype(np.float32)
    start = np.arange(n_windows)
    index = WindowIndex(np.zeros(n_windows, dtype=np.int64), start, start)
    return Windows(features, index, 2, slope * features[0, 1:, 0].astype(float))


def fit(train: Windows, validation: Windows, **options: float) -> tuple[float, list[EpochLosses]]:
    """Give the slope that is learned, and the learning curve."""
    curve: list[EpochLosses] = []
    arrays = LastValue().fit(train, validation, NetworkConfig(**options), curve.append, "cpu")
    return float(arrays["slope"][0]), curve


def test_windows_and_their_batches_are_gathered_from_the_right_symbol_and_session() -> None:
    features = np.arange(2 * 5 * 3, dtype=np.float32).reshape(2, 5, 3)
    index = WindowIndex(np.array([0, 1]), np.array([2, 0]), np.array([0, 0]))
    windows = Windows(features, index, 3, np.zeros(2))
    np.testing.assert_array_equal(windows.values, [features[0, 2:5], features[1, 0:3]])
    gathered = Batches(windows, "cpu").gather(torch.tensor([1, 0]))  # time first
    np.testing.assert_array_equal(gathered.numpy(), windows.values[[1, 0]].swapaxes(0, 1))


def test_validation_windows_are_measured_and_move_nothing() -> None:
    train, validation = windows_of(400, seed=0, slope=2), windows_of(100, seed=1, slope=1)
    options = {"learning_rate": 0.05, "batch_size": 50, "epochs": 40}
    slope, curve = fit(train, validation, **options)
    assert slope == pytest.approx(2, abs=0.01)
    assert [losses.epoch for losses in curve] == list(range(1, 41))
    alone, unmeasured = fit(train, windows_of(0, seed=1), **options)
    assert alone == slope  # to the bit, though nothing stops at the epoch that suits the validation windows best
    predicted = LastValue().predict({"slope": np.array([slope], np.float32)}, validation, NetworkConfig())
    assert float(np.mean((predicted - validation.target) ** 2)) == curve[-1].validation
    assert [losses.train for losses in unmeasured] == [losses.train for losses in curve]
    assert np.isnan([losses.validation for losses in unmeasured]).all()
    assert unmeasured[-1].words(40) == f"epoch 40 of 40, loss {curve[-1].train:.4f}, all weeks"


def test_training_that_diverges_says_so() -> None:
    windows = windows_of(50, seed=0, slope=1e30)
    for measured in (windows, windows_of(0, seed=0)):
        with pytest.raises(TrainingError, match=r"expected finite losses, got epoch 1, .* set a smaller learning_rate"):
            fit(windows, measured, learning_rate=1e30, batch_size=10, epochs=5)
