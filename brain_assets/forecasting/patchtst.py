"""The PatchTST forecaster: transformers' encoder, read out over all channels.

The encoder treats channels apart, with the same weights. What it says of each channel's newest patch, which has seen
the older ones by attention, goes into one linear layer over all channels, so every channel can matter. Its own instance
scaling stays off: it would turn a slow channel's level into zero, and our scaler has done its work already.

Tensor axes: T sessions of the window, B windows of the batch, F features (channels), N patches, D width of embeddings.
"""

from collections.abc import Mapping
from typing import TYPE_CHECKING, Any, ClassVar

import pydantic

from brain_assets.configuration import require
from brain_assets.forecasting.features import CHANNELS
from brain_assets.forecasting.network import NetworkConfig, NetworkForecaster
from brain_assets.registry import register

if TYPE_CHECKING:
    import torch
    from torch import nn


class PatchTstConfig(NetworkConfig):
    """How the PatchTST is trained."""

    learning_rate: float = pydantic.Field(1e-3, gt=0, description="Adam's step size.")
    weight_decay: float = pydantic.Field(
        0.03, ge=0, description="Adam's L2 penalty; without it, channels that say nothing are learned by heart."
    )
    patch_length: int = pydantic.Field(10, ge=1, description="Sessions in a patch; fewer than in a window.")
    patch_stride: int = pydantic.Field(
        10, ge=1, le=1_000, description="Sessions from the start of a patch to that of the next."
    )
    d_model: int = pydantic.Field(16, ge=2, le=1_024, multiple_of=2, description="Width of a patch's embedding; even.")
    n_heads: int = pydantic.Field(1, ge=1, le=64, description="Heads of each attention layer; a divisor of d_model.")
    n_layers: int = pydantic.Field(1, ge=1, le=8, description="Attention layers.")
    feedforward_size: int = pydantic.Field(32, ge=1, le=4_096, description="Width of the layer that follows attention.")
    dropout: float = pydantic.Field(
        0.0, ge=0, lt=1, description="Share of attention and activations dropped while training."
    )

    @pydantic.model_validator(mode="after")
    def _fits_together(self) -> "PatchTstConfig":
        longest = self.window - 1
        require(self.patch_length <= longest, "patch_length", f"at most {longest} sessions", self.patch_length)
        require(self.d_model % self.n_heads == 0, "n_heads", f"a divisor of d_model = {self.d_model}", self.n_heads)
        return self


@register
class PatchTst(NetworkForecaster):
    """Attention over patches of sessions (Nie et al. 2023, arXiv:2211.14730), channel by channel, read out jointly."""

    name, label, code_version = "patchtst", "PatchTST", "6"
    Config = PatchTstConfig
    channels = CHANNELS
    quick: ClassVar[Mapping[str, Any]] = {
        "window": 20,
        "patch_length": 8,
        "patch_stride": 4,
        "epochs": 2,
        "d_model": 4,
        "n_heads": 2,
        "feedforward_size": 8,
    }
    kinds = frozenset({"pytorch", "huggingface"})

    def layers(self, config: PatchTstConfig) -> "nn.Module":
        """Make the encoder and its head."""
        from torch import nn
        from transformers import PatchTSTConfig, PatchTSTModel

        encoder = PatchTSTModel(
            PatchTSTConfig(
                num_input_channels=len(self.channels),
                context_length=config.window,
                patch_length=config.patch_length,
                patch_stride=config.patch_stride,
                d_model=config.d_model,
                num_attention_heads=config.n_heads,
                num_hidden_layers=config.n_layers,
                ffn_dim=config.feedforward_size,
                attention_dropout=config.dropout,
                ff_dropout=config.dropout,
                norm_type="layernorm",  # a batch norm would let windows of a batch see each other
                scaling=None,
            )
        )
        return nn.ModuleDict({"encoder": encoder, "head": nn.Linear(len(self.channels) * config.d_model, 1)})

    def forward(self, layers: "nn.ModuleDict", windows: "torch.Tensor") -> "torch.Tensor":
        """Predict one number a window: (T, B, F) -> (B,)."""
        states = layers["encoder"](past_values=windows.transpose(0, 1)).last_hidden_state  # (B, F, N, D)
        newest = states[:, :, -1].flatten(1)  # (B, F * D)
        prediction: torch.Tensor = layers["head"](newest).squeeze(-1)  # (B, 1) -> (B,)
        return prediction
