"""Forecasters that are torch networks: training by gradient descent, and inference in batches.

A family gives its layers and how windows pass through them. Torch is imported when a network is made, not before.

Tensor axes: T sessions of the window, B windows of the batch, F features. One float32 array (n_assets, n_sessions, F)
holds every window; a batch is gathered from it, time first, and nothing of size (n_windows, T, F) ever exists.
"""

from abc import abstractmethod
from collections.abc import Mapping
from typing import TYPE_CHECKING, Any, ClassVar

import numpy as np
import pydantic

from brain_assets.arrays import Float32Array
from brain_assets.device import CPU, repeatable
from brain_assets.errors import TrainingError
from brain_assets.forecasting.forecaster import EpochLosses, Forecaster, ForecasterConfig, Progress
from brain_assets.forecasting.windows import Windows

if TYPE_CHECKING:
    import torch
    from torch import nn

INFERENCE_BATCH = 1024


class NetworkConfig(ForecasterConfig):
    """What the training of every network is told."""

    learning_rate: float = pydantic.Field(3e-3, gt=0, description="Adam's step size.")
    weight_decay: float = pydantic.Field(0.0, ge=0, description="Adam's L2 penalty.")
    batch_size: int = pydantic.Field(128, ge=1, le=1_000_000, description="Windows in a gradient step.")
    epochs: int = pydantic.Field(4, ge=1, le=100_000, description="Passes over the training windows.")


class NetworkForecaster(Forecaster):
    """A forecaster whose arrays are the weights of a torch network; its `Config` is a `NetworkConfig`."""

    kinds: ClassVar[frozenset[str]] = frozenset({"pytorch"})

    @abstractmethod
    def layers(self, config: Any) -> "nn.Module":
        """Make the layers, with their first weights; their names are those of the arrays."""

    @abstractmethod
    def forward(self, layers: Any, windows: "torch.Tensor") -> "torch.Tensor":
        """Predict one number a window: (T, B, F) -> (B,)."""

    def layout(self, config: Any) -> Mapping[str, tuple[int, ...]]:
        """Name the weights and give their shapes; none of them takes memory."""
        import torch

        with torch.device("meta"):
            return {name: tuple(weight.shape) for name, weight in self.layers(config).state_dict().items()}

    def fit(
        self, train: Windows, validation: Windows, config: Any, progress: Progress, device: str
    ) -> dict[str, np.ndarray]:
        """Minimize the mean squared error by Adam (Kingma & Ba 2015), for as many epochs as are asked for."""
        with repeatable(config.seed, device):
            layers = self.layers(config).to(device)  # its first weights are the CPU's
            self._train(layers, Batches(train, device), Batches(validation, device), config, progress)
        return {name: weight.cpu().numpy() for name, weight in layers.state_dict().items()}

    def predict(self, arrays: Mapping[str, np.ndarray], windows: Windows, config: Any) -> Float32Array:
        """Predict every window on the CPU; see `Forecaster.predict`."""
        import torch

        with repeatable(config.seed):
            layers = self.layers(config)
            layers.load_state_dict({name: torch.tensor(array) for name, array in arrays.items()})
            return self._predict(layers, Batches(windows, CPU))

    def _train(
        self, layers: "nn.Module", train: "Batches", validation: "Batches", config: NetworkConfig, progress: Progress
    ) -> None:
        """Train the layers in place."""
        import torch

        optimizer = torch.optim.Adam(
            layers.parameters(), lr=config.learning_rate, weight_decay=config.weight_decay, fused=True
        )
        generator = torch.Generator().manual_seed(config.seed)
        for epoch in range(1, config.epochs + 1):
            train_loss = self._train_epoch(layers, optimizer, train, config.batch_size, generator)
            losses = EpochLosses(epoch, train_loss, self._loss(layers, validation))
            if not np.isfinite(losses.validation if len(validation) else losses.train):
                raise TrainingError(f"expected finite losses, got {losses.words()}; set a smaller learning_rate.")
            progress(losses)

    def _loss(self, layers: "nn.Module", batches: "Batches") -> float:
        """Give the mean squared error; NaN without windows."""
        if len(batches) == 0:
            return float("nan")
        return float(np.mean((self._predict(layers, batches) - batches.windows.target) ** 2))

    def _train_epoch(
        self,
        layers: "nn.Module",
        optimizer: "torch.optim.Optimizer",
        batches: "Batches",
        batch_size: int,
        generator: "torch.Generator",
    ) -> float:
        import torch

        layers.train()
        total = 0.0
        for which in torch.split(torch.randperm(len(batches), generator=generator), batch_size):
            loss = torch.nn.functional.mse_loss(self.forward(layers, batches.gather(which)), batches.target[which])
            optimizer.zero_grad()
            loss.backward()  # type: ignore[no-untyped-call]
            optimizer.step()
            total += loss.item() * len(which)
        return total / len(batches)

    def _predict(self, layers: "nn.Module", batches: "Batches") -> Float32Array:
        """Predict every window, dropout off, in few large batches; (n_windows,)."""
        import torch

        layers.eval()
        with torch.inference_mode():
            parts = [
                self.forward(layers, batches.gather(which)).cpu().numpy()
                for which in torch.split(torch.arange(len(batches)), INFERENCE_BATCH)
            ]
        return np.concatenate(parts)


class Batches:
    """Batches of windows, gathered from one features tensor on a device; their `target` is float32, (n_windows,)."""

    def __init__(self, windows: Windows, device: str) -> None:
        import torch

        features = torch.from_numpy(windows.features).to(device)
        self.windows = windows
        self.target = torch.from_numpy(windows.target.astype(np.float32)).to(device)
        self._rows = features.reshape(-1, features.shape[2])
        first_row = windows.index.asset * features.shape[1] + windows.index.start
        self._first_row = torch.from_numpy(first_row).to(device)
        self._steps = torch.arange(windows.window, device=device).unsqueeze(1)

    def __len__(self) -> int:
        return len(self._first_row)

    def gather(self, which: "torch.Tensor") -> "torch.Tensor":
        """Copy the windows `which` (B,) into a batch (T, B, F)."""
        rows = self._first_row[which.to(self._rows.device)] + self._steps  # (T, B)
        return self._rows.index_select(0, rows.flatten()).view(*rows.shape, -1)
