"""The PatchTST forecaster: transformers' encoder, read out over all channels.

The encoder treats channels apart, with the same weights. What it says of each channel's newest patch, which has seen
the older ones by attention, goes into one linear layer over all channels, so every channel can matter. Its own instance
scaling stays off: it would turn a slow channel's level into zero, and our scaler has done its work already.

Tensor axes: T sessions of the window, B windows of the batch, F features (channels), N patches, D width of embeddings.
"""

# ruff: noqa: TID253 - this module is torch-backed; the graph imports it inside functions

import torch
from torch import nn
from transformers import PatchTSTConfig, PatchTSTModel

from brain_assets.forecasting.config import PatchTstConfig
from brain_assets.forecasting.features import CHANNELS


class PatchTstNetwork(nn.Module):
    """Attention over patches of sessions (Nie et al. 2023, arXiv:2211.14730), channel by channel, read out jointly.

    Parameters
    ----------
    config : PatchTstConfig
    n_features : int
        F.
    """

    def __init__(self, config: PatchTstConfig, n_features: int = len(CHANNELS["patchtst"])) -> None:
        super().__init__()
        self.encoder = PatchTSTModel(
            PatchTSTConfig(
                num_input_channels=n_features,
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
        self.head = nn.Linear(n_features * config.d_model, 1)

    def forward(self, windows: torch.Tensor) -> torch.Tensor:
        """Predict one number a window: (T, B, F) -> (B,)."""
        states = self.encoder(past_values=windows.transpose(0, 1)).last_hidden_state  # (B, F, N, D)
        newest = states[:, :, -1].flatten(1)  # (B, F * D)
        prediction: torch.Tensor = self.head(newest).squeeze(-1)  # (B, 1) -> (B,)
        return prediction
