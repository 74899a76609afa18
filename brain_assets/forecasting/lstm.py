"""The LSTM forecaster: what it is told, its layers, and how windows pass through them.

Tensor axes: T sessions of the window, B windows of the batch, F features, H hidden units.
"""

from collections.abc import Mapping
from typing import TYPE_CHECKING, Any, ClassVar

import pydantic

from brain_assets.forecasting.features import RETURNS
from brain_assets.forecasting.network import NetworkConfig, NetworkForecaster
from brain_assets.registry import register

if TYPE_CHECKING:
    import torch
    from torch import nn


class LstmConfig(NetworkConfig):
    """How the LSTM is trained."""

    hidden_size: int = pydantic.Field(32, ge=1, le=1_024, description="Units of each LSTM layer.")
    n_layers: int = pydantic.Field(1, ge=1, le=8, description="LSTM layers.")
    dropout: float = pydantic.Field(
        0.0, ge=0, lt=1, description="Share of activations dropped between layers while training."
    )


@register
class Lstm(NetworkForecaster):
    """Stacked LSTM (Hochreiter & Schmidhuber 1997) whose last state is read out linearly; it sees prices only."""

    name, label, code_version = "lstm", "LSTM", "7"
    Config = LstmConfig
    channels = RETURNS
    quick: ClassVar[Mapping[str, Any]] = {"window": 20, "hidden_size": 4, "epochs": 2}

    def layers(self, config: LstmConfig) -> "nn.Module":
        """Make the LSTM and its head."""
        from torch import nn

        dropout = config.dropout if config.n_layers > 1 else 0.0
        lstm = nn.LSTM(len(self.channels), config.hidden_size, config.n_layers, dropout=dropout)
        return nn.ModuleDict({"lstm": lstm, "head": nn.Linear(config.hidden_size, 1)})

    def forward(self, layers: "nn.ModuleDict", windows: "torch.Tensor") -> "torch.Tensor":
        """Predict one number a window: (T, B, F) -> (B,)."""
        states, _ = layers["lstm"](windows)  # (T, B, H)
        prediction: torch.Tensor = layers["head"](states[-1]).squeeze(-1)  # (B, H) -> (B, 1) -> (B,)
        return prediction
