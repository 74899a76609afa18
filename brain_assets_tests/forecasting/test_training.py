import numpy as np
import pytest
import torch
from torch import nn

from brain_assets.errors import TrainingError
from brain_assets.forecasting.config import LstmConfig
from brain_assets.forecasting.features import WindowIndex
from brain_assets.forecasting.training import (
    EpochLosses,
    WindowBatches,
    compare_first_batch,
    fit_scaler,
    predict,
    repeatable,
    scale_features,
    train,
)


class LastValue(nn.Module):
    """Predicts a multiple of the last value of the first feature."""

    def __init__(self) -> None:
        super().__init__()
        self.slope = nn.Parameter(torch.zeros(1))

    def forward(self, windows: torch.Tensor) -> torch.Tensor:
        return self.slope * windows[-1, :, 0]


def batches(n_windows: int, seed: int) -> tuple[WindowBatches, np.ndarray]:
    """Windows of two sessions; the last value of the first feature of each."""
    features = torch.from_numpy(np.random.default_rng(seed).normal(size=(1, n_windows + 1, 2)).astype(np.float32))
    start = np.arange(n_windows)
    index = WindowIndex(np.zeros(n_windows, dtype=np.int64), start, start)
    return WindowBatches(features, index, 2), features[0, 1:, 0].numpy().astype(float)


def test_batches_are_gathered_time_first_from_the_right_symbol_and_session() -> None:
    features = torch.arange(2 * 5 * 3, dtype=torch.float32).reshape(2, 5, 3)
    index = WindowIndex(np.array([0, 1]), np.array([2, 0]), np.array([0, 0]))
    gathered = WindowBatches(features, index, 3).gather(torch.tensor([1, 0]))
    assert gathered.shape == (3, 2, 3)
    torch.testing.assert_close(gathered[:, 0], features[1, 0:3])
    torch.testing.assert_close(gathered[:, 1], features[0, 2:5])


def test_batches_are_gathered_where_the_features_are() -> None:
    index = WindowIndex(np.array([0, 1]), np.array([2, 0]), np.array([0, 0]))
    batches = WindowBatches(torch.empty((2, 5, 3), device="meta"), index, 3)
    assert batches.gather(torch.tensor([1, 0])).device.type == "meta"


class Watched(LastValue):
    """Notes the windows that it is shown while it learns."""

    def __init__(self) -> None:
        super().__init__()
        self.shown: list[torch.Tensor] = []

    def forward(self, windows: torch.Tensor) -> torch.Tensor:
        if self.training:
            self.shown.append(windows.clone())
        return super().forward(windows)


def test_what_is_compared_is_the_first_batch_of_the_training() -> None:
    config = LstmConfig(window=2, batch_size=50, max_epochs=1, seed=3)
    features = torch.from_numpy(np.random.default_rng(0).normal(size=(1, 401, 2)).astype(np.float32))
    start = np.arange(400)
    index = WindowIndex(np.zeros(400, dtype=np.int64), start, start)
    x = features[0, 1:, 0].numpy().astype(float)
    learning, compared, moved = Watched(), Watched(), Watched()
    windows = WindowBatches(features, index, 2)
    train(learning, windows, 2 * x, windows, 2 * x, config)
    torch.nn.init.constant_(moved.slope, 0.5)
    difference = compare_first_batch(compared, moved, features, index, 2 * x, config)
    assert len(compared.shown) == len(moved.shown) == 1
    assert torch.equal(compared.shown[0], learning.shown[0])
    assert torch.equal(moved.shown[0], learning.shown[0])
    # with all targets 2 x, the loss is (slope - 2) ** 2 times the mean of x ** 2: 4 against 2.25, gradients 4 against 3
    assert difference == (pytest.approx(1.75 / 4, rel=1e-5), pytest.approx(1 / 4, rel=1e-5))
    assert compared.slope.item() == 0.0
    assert compared.slope.grad is None


def test_scaler_is_fitted_on_training_rows_only_and_skips_unknown_ones() -> None:
    features = np.zeros((1, 6, 1), dtype=np.float32)
    features[0, :, 0] = [np.nan, 1, 3, 5, 1000, 1000]
    scaler = fit_scaler(features, last_session=3)
    assert scaler.mean[0] == pytest.approx(3)
    assert scaler.scale[0] == pytest.approx(np.sqrt(8 / 3))


def test_scaled_features_are_clipped_and_unknown_ones_are_zero() -> None:
    features = np.array([[[np.nan], [1], [3], [5], [1000]]], dtype=np.float32)
    scaler = fit_scaler(features, last_session=3)
    scaled = scale_features(features, scaler, clip=5.0)
    root = np.sqrt(8 / 3)
    np.testing.assert_allclose(scaled[0, :, 0].numpy(), [0, -2 / root, 0, 2 / root, 5], rtol=1e-6)


def test_training_finds_a_line_and_reports_the_loss_of_zero() -> None:
    train_batches, x = batches(400, seed=0)
    validation_batches, x_validation = batches(100, seed=1)
    network = LastValue()
    config = LstmConfig(learning_rate=0.05, batch_size=50, max_epochs=40, patience=40)
    seen: list[EpochLosses] = []
    result = train(network, train_batches, 2 * x, validation_batches, 2 * x_validation, config, seen.append)
    assert network.slope.item() == pytest.approx(2, abs=0.01)
    assert result.zero_validation == pytest.approx(float(np.mean((2 * x_validation) ** 2)))
    assert result.zero_train == pytest.approx(float(np.mean((2 * x) ** 2)))
    assert result.best.validation < 1e-3
    assert tuple(seen) == result.curve


def test_early_stopping_keeps_the_weights_of_the_best_epoch() -> None:
    # training pulls the slope to 2, validation wants 1: the best epoch lies on the way
    train_batches, x = batches(400, seed=0)
    validation_batches, x_validation = batches(100, seed=1)
    network = LastValue()
    config = LstmConfig(learning_rate=0.02, batch_size=100, max_epochs=200, patience=3)
    result = train(network, train_batches, 2 * x, validation_batches, x_validation, config)
    assert 1 < result.best_epoch < len(result.curve) < 200
    assert len(result.curve) == result.best_epoch + 3
    assert network.slope.item() == pytest.approx(1, abs=0.1)
    error = predict(network, validation_batches) - x_validation
    assert float(np.mean(error**2)) == result.best.validation == min(losses.validation for losses in result.curve)


def test_training_that_diverges_says_so() -> None:
    train_batches, x = batches(50, seed=0)
    config = LstmConfig(learning_rate=1e30, batch_size=10, max_epochs=5)
    with pytest.raises(TrainingError, match=r"expected a finite validation loss, got .* set a smaller learning_rate"):
        train(LastValue(), train_batches, x * 1e30, train_batches, x * 1e30, config)


def test_repeatable_puts_the_process_back_as_it_was() -> None:
    n_threads = torch.get_num_threads()
    state = torch.get_rng_state()
    with repeatable(7):
        assert torch.get_num_threads() == 1
        first = torch.rand(3)
    with repeatable(7):
        torch.testing.assert_close(torch.rand(3), first)
    assert torch.get_num_threads() == n_threads
    torch.testing.assert_close(torch.get_rng_state(), state)
