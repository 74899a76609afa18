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
from brain_assets.forecasting.features import Windows
from brain_assets.forecasting.forecaster import EpochLosses, Forecaster, ForecasterConfig, Progress

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
        import torch

        with repeatable(config.seed, device):
            layers = self.layers(config).to(device)  # its first weights are the CPU's
            batches, held_out = Batches(train, device), Batches(validation, device)
            optimizer = torch.optim.Adam(
                layers.parameters(), lr=config.learning_rate, weight_decay=config.weight_decay, fused=True
            )
            generator = torch.Generator().manual_seed(config.seed)
            for epoch in range(1, config.epochs + 1):
                layers.train()
                total, validation_loss = 0.0, float("nan")
                for which in torch.split(torch.randperm(len(batches), generator=generator), config.batch_size):
                    predicted = self.forward(layers, batches.gather(which))
                    loss = torch.nn.functional.mse_loss(predicted, batches.target[which])
                    optimizer.zero_grad()
                    loss.backward()  # type: ignore[no-untyped-call]
                    optimizer.step()
                    total += loss.item() * len(which)
                if len(validation):
                    validation_loss = float(np.mean((self._predict(layers, held_out) - validation.target) ** 2))
                losses = EpochLosses(epoch, total / len(batches), validation_loss)
                if not np.isfinite(losses.validation if len(validation) else losses.train):
                    raise TrainingError(f"expected finite losses, got {losses.words()}; set a smaller learning_rate.")
                progress(losses)
        return {name: weight.cpu().numpy() for name, weight in layers.state_dict().items()}

    def predict(self, arrays: Mapping[str, np.ndarray], windows: Windows, config: Any) -> Float32Array:
        """Predict every window on the CPU; see `Forecaster.predict`."""
        import torch

        with repeatable(config.seed):
            layers = self.layers(config)
            layers.load_state_dict({name: torch.tensor(array) for name, array in arrays.items()})
            return self._predict(layers, Batches(windows, CPU))

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
