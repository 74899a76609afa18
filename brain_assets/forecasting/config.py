"""Configurations of forecasters; torch-free, so that the graph can declare them."""

import math
from dataclasses import dataclass

from brain_assets.configuration import option, require, require_count
from brain_assets.forecasting.features import TARGETS


@dataclass(frozen=True)
class ForecasterConfig:
    """What every forecaster's training is told."""

    window: int = option(60, "Sessions of history in a window.")
    target: str = option("ranked", "What is learned of the weekly return: raw, demeaned or ranked over the symbols.")
    learning_rate: float = option(3e-3, "Adam's step size.")
    weight_decay: float = option(0.0, "Adam's L2 penalty.")
    batch_size: int = option(128, "Windows in a gradient step.")
    max_epochs: int = option(30, "Passes over the training windows at most.")
    patience: int = option(5, "Epochs without a better validation loss before training stops.")
    clip: float = option(5.0, "Scaled features are cut off at plus and minus this many standard deviations.")
    seed: int = option(0, "Seed of initial weights, dropout and batch order.")

    def __post_init__(self) -> None:
        """Refuse impossible values."""
        require_count(self.window, "window", 2, 1_000, "session")
        require(self.target in TARGETS, "target", f"one of {', '.join(TARGETS)}", self.target)
        require(0 < self.learning_rate < math.inf, "learning_rate", "a positive number", self.learning_rate)
        require(0 <= self.weight_decay < math.inf, "weight_decay", "a number >= 0", self.weight_decay)
        require_count(self.batch_size, "batch_size", 1, 1_000_000, "window")
        require_count(self.max_epochs, "max_epochs", 1, 100_000, "epoch")
        require_count(self.patience, "patience", 1, 100_000, "epoch")
        require(0 < self.clip < math.inf, "clip", "a positive number", self.clip)
        require(0 <= self.seed < 2**32, "seed", "0 to 2**32 - 1", self.seed)


@dataclass(frozen=True)
class LstmConfig(ForecasterConfig):
    """The LSTM's own options."""

    hidden_size: int = option(32, "Units of each LSTM layer.")
    n_layers: int = option(1, "LSTM layers.")
    dropout: float = option(0.0, "Share of activations dropped between layers while training.")

    def __post_init__(self) -> None:
        """Refuse impossible values."""
        super().__post_init__()
        require_count(self.hidden_size, "hidden_size", 1, 1_024, "unit")
        require_count(self.n_layers, "n_layers", 1, 8, "layer")
        require(0 <= self.dropout < 1, "dropout", "a share in [0, 1)", self.dropout)


@dataclass(frozen=True)
class PatchTstConfig(ForecasterConfig):
    """The PatchTST's own options."""

    learning_rate: float = option(1e-3, "Adam's step size.")
    weight_decay: float = option(0.03, "Adam's L2 penalty; without it, channels that say nothing are learned by heart.")
    patch_length: int = option(10, "Sessions in a patch; fewer than in a window.")
    patch_stride: int = option(10, "Sessions from the start of a patch to that of the next.")
    d_model: int = option(16, "Width of a patch's embedding; even.")
    n_heads: int = option(1, "Heads of each attention layer; a divisor of d_model.")
    n_layers: int = option(1, "Attention layers.")
    feedforward_size: int = option(32, "Width of the layer that follows attention.")
    dropout: float = option(0.0, "Share of attention and activations dropped while training.")

    def __post_init__(self) -> None:
        """Refuse impossible values."""
        super().__post_init__()
        require_count(self.patch_length, "patch_length", 1, self.window - 1, "session")
        require_count(self.patch_stride, "patch_stride", 1, 1_000, "session")
        require_count(self.d_model, "d_model", 2, 1_024, "unit")
        require(self.d_model % 2 == 0, "d_model", "an even number", self.d_model)
        require_count(self.n_heads, "n_heads", 1, 64, "head")
        require(self.d_model % self.n_heads == 0, "n_heads", f"a divisor of d_model = {self.d_model}", self.n_heads)
        require_count(self.n_layers, "n_layers", 1, 8, "layer")
        require_count(self.feedforward_size, "feedforward_size", 1, 4_096, "unit")
        require(0 <= self.dropout < 1, "dropout", "a share in [0, 1)", self.dropout)
