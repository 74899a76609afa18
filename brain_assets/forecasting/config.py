"""Configurations of forecasters; torch-free, so that the graph can declare them."""

from dataclasses import dataclass

from brain_assets.configuration import option, require
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
        require(self.window >= 2, "window", "at least 2 sessions", self.window)
        require(self.target in TARGETS, "target", f"one of {', '.join(TARGETS)}", self.target)
        require(self.learning_rate > 0, "learning_rate", "a positive number", self.learning_rate)
        require(self.weight_decay >= 0, "weight_decay", "a number >= 0", self.weight_decay)
        require(self.batch_size >= 1, "batch_size", "at least 1 window", self.batch_size)
        require(self.max_epochs >= 1, "max_epochs", "at least 1 epoch", self.max_epochs)
        require(self.patience >= 1, "patience", "at least 1 epoch", self.patience)
        require(self.clip > 0, "clip", "a positive number", self.clip)
        require(self.seed >= 0, "seed", "an integer >= 0", self.seed)


@dataclass(frozen=True)
class LstmConfig(ForecasterConfig):
    """The LSTM's own options."""

    hidden_size: int = option(32, "Units of each LSTM layer.")
    n_layers: int = option(1, "LSTM layers.")
    dropout: float = option(0.0, "Share of activations dropped between layers while training.")

    def __post_init__(self) -> None:
        """Refuse impossible values."""
        super().__post_init__()
        require(self.hidden_size >= 1, "hidden_size", "at least 1 unit", self.hidden_size)
        require(self.n_layers >= 1, "n_layers", "at least 1 layer", self.n_layers)
        require(0 <= self.dropout < 1, "dropout", "a share in [0, 1)", self.dropout)
