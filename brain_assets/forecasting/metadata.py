"""What a forecaster's metadata says: made by its training, checked when a snapshot is read."""

import datetime
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from typing import TYPE_CHECKING, Any

import numpy as np

from brain_assets.arrays import FloatArray
from brain_assets.forecasting.metrics import known_mean_rank_correlation
from brain_assets.store.checks import (
    COUNT,
    DATE,
    NAMES,
    NUMBER,
    NUMBER_OR_NULL,
    RETURN_SCALE,
    TEXT,
    check_dates,
    check_metadata,
)
from brain_assets.store.manifest import MANIFEST, refused
from brain_assets.store.names import parse_version_name

if TYPE_CHECKING:
    from brain_assets.forecasting.features import TrainingSplit
    from brain_assets.forecasting.windows import Windows
    from brain_assets.market.prices import PricePanel
    from brain_assets.market.weekly import WeeklyBars


@dataclass(frozen=True)
class EpochLosses:
    """Mean squared errors after one epoch, in units of the training targets' variance."""

    epoch: int
    """From 1."""
    train: float
    """Mean over the epoch's batches, as the model was while it learned from them."""
    validation: float
    """Over all validation windows."""

    def words(self, max_epochs: int | None = None) -> str:
        """Say where the training stands."""
        at_most = f" of at most {max_epochs}" if max_epochs else ""
        return f"epoch {self.epoch}{at_most}, training loss {self.train:.4f}, validation loss {self.validation:.4f}"


LEARNED = ("last_training_target", "last_validation_target")
DATA = {
    **dict.fromkeys(("first_session", "last_session", "last_training_target"), DATE),
    **dict.fromkeys(("first_validation_week", "last_validation_target"), DATE),
    **dict.fromkeys(("n_training_windows", "n_validation_windows"), COUNT),
    "symbols": NAMES,
}
TRAINING = {
    **dict.fromkeys(("train_loss", "validation_loss", "zero_train_loss", "zero_validation_loss"), NUMBER),
    **dict.fromkeys(("validation_rank_correlation", "validation_momentum_rank_correlation"), NUMBER_OR_NULL),
    "best_epoch": COUNT,
    "curve": [{"epoch": COUNT, "train": NUMBER, "validation": NUMBER}],
}
OWN = {"data": DATA, "training": TRAINING, "forecast_scale": RETURN_SCALE, "neutral_channels": [TEXT]}
"""Besides what every family's says. Of a family without epochs, the curve is empty and the best epoch 0."""

SCORES = {
    **dict.fromkeys(("first_week", "last_week"), DATE),
    **dict.fromkeys(("loss", "zero_loss"), NUMBER),
    "n_weeks": COUNT,
    "previous_loss": NUMBER_OR_NULL,
    "verdict": TEXT,
}
VERSION = {"version": TEXT, "scores": SCORES}
"""What a main version's says besides."""


def check_forecaster_metadata(metadata: Mapping[str, Any], cutoff_date: datetime.date) -> None:
    """Refuse metadata that are not those of a forecaster; raises `SnapshotError` beginning with the file's name."""
    check_metadata(metadata, OWN)
    if "version" in metadata:
        check_metadata(metadata, VERSION)
        if parse_version_name(metadata["version"]) != cutoff_date:
            raise refused(MANIFEST, f"the name of a version of {cutoff_date}", metadata["version"])
    check_dates(metadata["data"], ("last_session", *LEARNED), cutoff_date)


def data_metadata(
    panel: "PricePanel", bars: "WeeklyBars", split: "TrainingSplit", train: "Windows", validation: "Windows"
) -> dict[str, Any]:
    """Name the window of the data."""
    return {
        "first_session": str(panel.sessions[0]),
        "last_session": str(panel.sessions[-1]),
        "last_training_target": str(bars.weeks.end[split.train[-1]]),
        "first_validation_week": str(bars.weeks.start[split.validation[0]]),
        "last_validation_target": str(bars.weeks.end[split.validation[-1]]),
        "symbols": list(panel.symbols),
        "n_training_windows": len(train),
        "n_validation_windows": len(validation),
    }


def training_metadata(
    train: "Windows", validation: "Windows", fitted: np.ndarray, predicted: np.ndarray, curve: Sequence[EpochLosses]
) -> dict[str, Any]:
    """Give losses beside those of predicting zero, and the learning curve.

    `fitted` and `predicted` are predictions of the windows that were learned from (not looked at if there is a curve)
    and of the others; the weights are of the epoch of the curve with the lowest validation loss.
    """
    best = min(curve, key=lambda losses: losses.validation, default=None)
    return {
        "train_loss": best.train if best else _mean_square(fitted - train.target),
        "validation_loss": _mean_square(predicted - validation.target),
        "zero_train_loss": _mean_square(train.target),
        "zero_validation_loss": _mean_square(validation.target),
        "best_epoch": best.epoch if best else 0,
        "curve": [asdict(losses) for losses in curve],
    }


def validation_metadata(forecasts: FloatArray, bars: "WeeklyBars") -> dict[str, float | None]:
    """Compare forecasts of the validation weeks (the rest is NaN) with momentum, on the same weeks and symbols."""
    both = np.isfinite(forecasts) & np.isfinite(bars.momentum)
    realized = np.where(both, bars.realized, np.nan)
    return {
        "validation_rank_correlation": known_mean_rank_correlation(forecasts, realized),
        "validation_momentum_rank_correlation": known_mean_rank_correlation(bars.momentum, realized),
    }


def _mean_square(values: np.ndarray) -> float:
    return float(np.mean(values**2))
