"""Training and inference of any forecaster network on windows that are gathered by index.

Tensor axes: T sessions of the window, B windows of the batch, F features. One float32 array (n_assets, n_sessions, F)
holds every window; a batch is gathered from it, time first, and nothing of size (n_windows, T, F) ever exists.
"""

# ruff: noqa: TID253 - this module is torch-backed; the graph imports it inside functions

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np
import torch
from torch import nn

from brain_assets.arrays import Float32Array, FloatArray
from brain_assets.device import CPU, Difference, compare, repeatable_gpu
from brain_assets.errors import TrainingError
from brain_assets.forecasting.config import ForecasterConfig
from brain_assets.forecasting.features import WindowIndex
from brain_assets.store.scaler import Scaler, fit_scaler_by_column

if TYPE_CHECKING:
    pass

N_THREADS = 1
"""Results repeat bit for bit at a fixed thread count only, and small networks are fastest at one."""

INFERENCE_BATCH = 1024


@dataclass(frozen=True)
class EpochLosses:
    """Mean squared errors after one epoch, in units of the training targets' variance.

    Attributes
    ----------
    epoch : int
        From 1.
    train : float
        Mean over the epoch's batches, dropout on.
    validation : float
        Over all validation windows, dropout off.
    """

    epoch: int
    train: float
    validation: float

    def words(self, max_epochs: int) -> str:
        """Say where the training stands."""
        return (
            f"epoch {self.epoch} of at most {max_epochs}, training loss {self.train:.4f}, validation loss "
            f"{self.validation:.4f}"
        )


@dataclass(frozen=True)
class TrainingResult:
    """A trained network and how it got there; losses are in units of the training targets' variance.

    Attributes
    ----------
    state_dict : dict of str to Tensor
        Weights after the epoch with the lowest validation loss, on the CPU.
    curve : tuple of EpochLosses
        Every epoch that ran.
    best_epoch : int
    zero_train, zero_validation : float
        The loss of predicting zero on the same windows.
    """

    state_dict: dict[str, torch.Tensor]
    curve: tuple[EpochLosses, ...]
    best_epoch: int
    zero_train: float
    zero_validation: float

    @property
    def best(self) -> EpochLosses:
        """The epoch whose weights were kept."""
        return self.curve[self.best_epoch - 1]


@contextmanager
def repeatable(seed: int, device: str = CPU) -> Iterator[None]:
    """Run torch at one thread from a seed, a GPU so that it repeats, and put the process back as it was."""
    n_threads = torch.get_num_threads()
    torch.set_num_threads(N_THREADS)
    try:
        with torch.random.fork_rng(devices=[]), repeatable_gpu(device):
            torch.manual_seed(seed)
            yield
    finally:
        torch.set_num_threads(n_threads)


def fit_scaler(features: Float32Array, last_session: int) -> Scaler:
    """Fit the feature scaler on training rows only.

    Parameters
    ----------
    features : ndarray of float32, shape (n_assets, n_sessions, n_features)
        NaN is left out of its own feature.
    last_session : int
        Position of the last session that a training window reaches; nothing later is looked at.
    """
    return fit_scaler_by_column(features[:, : last_session + 1])


def scale_features(features: Float32Array, scaler: Scaler, clip: float) -> torch.Tensor:
    """Scale and clip in place; (n_assets, n_sessions, F) float32.

    NaN becomes 0: of a return, where no window ever reads it; of a signal, where it says nothing either way.
    """
    features -= scaler.mean.astype(np.float32)
    features /= scaler.scale.astype(np.float32)
    np.clip(features, -clip, clip, out=features)
    np.nan_to_num(features, copy=False)
    return torch.from_numpy(features)


class WindowBatches:
    """Batches of windows, gathered from one features tensor, on its device.

    Parameters
    ----------
    features : Tensor of float32, shape (n_assets, n_sessions, F)
    index : WindowIndex
    window : int
        T.
    """

    def __init__(self, features: torch.Tensor, index: WindowIndex, window: int) -> None:
        self._rows = features.reshape(-1, features.shape[2])
        self._first_row = torch.from_numpy(index.asset * features.shape[1] + index.start).to(features.device)
        self._steps = torch.arange(window, device=features.device).unsqueeze(1)

    def __len__(self) -> int:
        """Count the windows."""
        return len(self._first_row)

    def gather(self, which: torch.Tensor) -> torch.Tensor:
        """Copy the windows `which` (B,) into a batch (T, B, F)."""
        rows = self._first_row[which.to(self._rows.device)] + self._steps  # (T, B)
        return self._rows.index_select(0, rows.flatten()).view(*rows.shape, -1)


def predict(network: nn.Module, batches: WindowBatches) -> Float32Array:
    """Forecast every window, dropout off, in few large batches; (n_windows,) float32, in the network's units."""
    network.eval()
    parts = [np.empty(0, dtype=np.float32)]
    with torch.inference_mode():
        for which in torch.split(torch.arange(len(batches)), INFERENCE_BATCH) if len(batches) else ():
            parts.append(network(batches.gather(which)).cpu().numpy())  # noqa: PERF401 - a loop shows the work
    return np.concatenate(parts)


def train(
    network: nn.Module,
    train_batches: WindowBatches,
    train_target: FloatArray,
    validation_batches: WindowBatches,
    validation_target: FloatArray,
    config: ForecasterConfig,
    on_epoch: Callable[[EpochLosses], None] | None = None,
) -> TrainingResult:
    """Minimize the mean squared error by Adam (Kingma & Ba 2015), stop early, keep the best weights.

    Parameters
    ----------
    network : Module
        Maps (T, B, F) to (B,); trained in place, where its weights are, and left with the best ones.
    train_batches, validation_batches : WindowBatches
        On the device of the network.
    train_target, validation_target : ndarray of float64, shape (n_windows,)
        Scaled targets, one a window, all finite.
    config : ForecasterConfig
    on_epoch : callable, optional
        Called after every epoch.

    Raises
    ------
    TrainingError
        If the loss is no longer finite.
    """
    target = _as_float32(train_target).to(next(network.parameters()).device)
    optimizer = torch.optim.Adam(
        network.parameters(), lr=config.learning_rate, weight_decay=config.weight_decay, fused=True
    )
    generator = torch.Generator().manual_seed(config.seed)
    curve: list[EpochLosses] = []
    best_epoch, best_weights = 0, {name: value.clone() for name, value in network.state_dict().items()}
    for epoch in range(1, config.max_epochs + 1):
        train_loss = _train_epoch(network, optimizer, train_batches, target, config.batch_size, generator)
        error = predict(network, validation_batches) - validation_target
        curve.append(EpochLosses(epoch, train_loss, float(np.mean(error**2))))
        if not np.isfinite(curve[-1].validation):
            raise TrainingError(
                f"expected a finite validation loss, got {curve[-1].validation} after epoch {epoch}; set a smaller "
                "learning_rate."
            )
        if on_epoch is not None:
            on_epoch(curve[-1])
        if best_epoch == 0 or curve[-1].validation < curve[best_epoch - 1].validation:
            best_epoch, best_weights = epoch, {name: value.clone() for name, value in network.state_dict().items()}
        if epoch - best_epoch >= config.patience:
            break
    network.load_state_dict(best_weights)
    return TrainingResult(
        {name: value.cpu() for name, value in best_weights.items()},
        tuple(curve),
        best_epoch,
        float(np.mean(train_target**2)),
        float(np.mean(validation_target**2)),
    )


def compare_first_batch(
    network: nn.Module,
    other: nn.Module,
    features: torch.Tensor,
    index: WindowIndex,
    target: FloatArray,
    config: ForecasterConfig,
) -> Difference:
    """Take the first batch of a training through two networks of the same weights, without dropout.

    Parameters
    ----------
    network, other : Module
        Each on its device; left as they are.
    features : Tensor of float32, shape (n_assets, n_sessions, F)
    index : WindowIndex
        Of the training windows.
    target : ndarray of float64, shape (n_windows,)
    config : ForecasterConfig
    """
    which = _shuffled(len(index), torch.Generator().manual_seed(config.seed))[: config.batch_size]
    windows = WindowBatches(features, index, config.window).gather(which)
    targets = _as_float32(target)[which]

    def losses(each: nn.Module) -> torch.Tensor:
        like = next(each.parameters())
        return _loss(each, windows.to(like), targets.to(like))

    return compare(network, other, losses)


def _as_float32(target: FloatArray) -> torch.Tensor:
    return torch.from_numpy(target.astype(np.float32))


def _shuffled(n_windows: int, generator: torch.Generator) -> torch.Tensor:
    return torch.randperm(n_windows, generator=generator)


def _loss(network: nn.Module, windows: torch.Tensor, target: torch.Tensor) -> torch.Tensor:
    return nn.functional.mse_loss(network(windows), target)


def _train_epoch(
    network: nn.Module,
    optimizer: torch.optim.Optimizer,
    batches: WindowBatches,
    target: torch.Tensor,
    batch_size: int,
    generator: torch.Generator,
) -> float:
    network.train()
    total = 0.0
    for which in torch.split(_shuffled(len(batches), generator), batch_size):
        loss = _loss(network, batches.gather(which), target[which])
        optimizer.zero_grad()
        loss.backward()  # type: ignore[no-untyped-call]
        optimizer.step()
        total += loss.item() * len(which)
    return total / len(batches)


def require_windows(n_train: int, n_validation: int, config: ForecasterConfig) -> None:
    """Raise `TrainingError` if there is nothing to train or to validate on."""
    if n_train == 0 or n_validation == 0:
        raise TrainingError(
            f"expected windows of {config.window} sessions to train and to validate on, got {n_train} and "
            f"{n_validation}; give the market more history or set a smaller window."
        )
