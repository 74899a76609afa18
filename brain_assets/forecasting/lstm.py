"""The LSTM forecaster.

Tensor axes: T sessions of the window, B windows of the batch, F features, H hidden units.
"""

# ruff: noqa: TID253 - this module is torch-backed; the graph imports it inside functions

import torch
from torch import nn

from brain_assets.forecasting.config import LstmConfig
from brain_assets.forecasting.features import RETURNS


class LstmNetwork(nn.Module):
    """Stacked LSTM (Hochreiter & Schmidhuber 1997) whose last state is read out linearly.

    Parameters
    ----------
    config : LstmConfig
    n_features : int
        F.
    """

    def __init__(self, config: LstmConfig, n_features: int = len(RETURNS)) -> None:
        super().__init__()
        dropout = config.dropout if config.n_layers > 1 else 0.0
        self.lstm = nn.LSTM(n_features, config.hidden_size, config.n_layers, dropout=dropout)
        self.head = nn.Linear(config.hidden_size, 1)

    def forward(self, windows: torch.Tensor) -> torch.Tensor:
        """Predict one number a window: (T, B, F) -> (B,)."""
        states, _ = self.lstm(windows)  # (T, B, H)
        prediction: torch.Tensor = self.head(states[-1]).squeeze(-1)  # (B, H) -> (B, 1) -> (B,)
        return prediction
