"""The one builder of forecaster inputs: training and inference both come here."""

import datetime
from dataclasses import dataclass

import numpy as np

from brain_assets.arrays import Float32Array, FloatArray, IntArray
from brain_assets.market.calendar import Weeks
from brain_assets.market.prices import PRICE_FIELDS, VOLUME, PricePanel

FEATURES = tuple(f"{name}_return" for name in PRICE_FIELDS)


def price_features(panel: PricePanel) -> Float32Array:
    """Give log returns of open, high, low, close and volume.

    Returns
    -------
    ndarray of float32, shape (n_assets, n_sessions, 5)
        Entry t is known at the close of session t. Volume enters as log(1 + volume), since it may be 0. NaN where the
        bar of t or t - 1 is not known.
    """
    features = np.full(panel.values.shape, np.nan, dtype=np.float32)
    for channel in range(len(PRICE_FIELDS)):  # a channel at a time: temporary memory stays a fifth of the panel
        level = panel.values[:, :, channel]
        logs = np.log1p(level) if channel == VOLUME else np.log(level)
        features[:, 1:, channel] = np.diff(logs, axis=1)
    return features


@dataclass(frozen=True)
class WindowIndex:
    """Where windows lie in a features array; the windows themselves are never materialized.

    Attributes
    ----------
    asset, start : ndarray of int64, shape (n_windows,)
        Window i is ``features[asset[i], start[i] : start[i] + window]``; its last session is the one before its week.
    week : ndarray of int64, shape (n_windows,)
        Row of the week to predict.
    """

    asset: IntArray
    start: IntArray
    week: IntArray

    def __len__(self) -> int:
        """Count the windows."""
        return len(self.asset)


def window_index(features: Float32Array, weeks: Weeks, window: int) -> WindowIndex:
    """Find every symbol and week whose last `window` sessions before the week are all known.

    Parameters
    ----------
    features : ndarray of float32, shape (n_assets, n_sessions, n_features)
        NaN where not known; a window that touches NaN is left out (the symbol is masked in that week).
    weeks : Weeks
        Weeks to predict, cut from the same sessions.
    window : int
        Sessions in a window.

    Returns
    -------
    WindowIndex
        Ordered by week, then symbol.
    """
    known = np.isfinite(features).all(axis=2)
    n_known = np.cumsum(np.pad(known, ((0, 0), (1, 0))), axis=1)
    start = weeks.first - window
    possible = np.flatnonzero(start >= 0)
    n_inside: IntArray = n_known[:, weeks.first[possible]] - n_known[:, start[possible]]
    row, asset = np.nonzero((n_inside == window).T)
    week = possible[row]
    return WindowIndex(asset, start[week], week)


TARGETS = ("raw", "demeaned", "ranked")


def training_target(realized: FloatArray, kind: str) -> FloatArray:
    """Turn weekly returns into what a forecaster is trained on; each row uses its own week only.

    Parameters
    ----------
    realized : ndarray of float64, shape (n_weeks, n_assets)
        Weekly returns; NaN where not known.
    kind : str
        ``raw``: the return. ``demeaned``: less the week's mean over symbols. ``ranked``: the rank among the week's
        symbols, spread evenly over a mean of 0 and a variance of 1.

    Returns
    -------
    ndarray of float64, shape (n_weeks, n_assets)
        NaN where `realized` is.
    """
    if kind == "raw":
        return realized
    known = np.isfinite(realized)
    count = known.sum(axis=1, keepdims=True)
    if kind == "demeaned":
        total = np.where(known, realized, 0.0).sum(axis=1, keepdims=True)
        demeaned: FloatArray = realized - total / np.maximum(count, 1)
        return demeaned
    rank = np.argsort(np.argsort(np.where(known, realized, np.inf), axis=1, kind="stable"), axis=1)
    uniform = (rank + 0.5) / np.maximum(count, 1) - 0.5
    return np.where(known, uniform * np.sqrt(12), np.nan)


@dataclass(frozen=True)
class TrainingSplit:
    """Rows of weeks to train and to validate on, split by date."""

    train: IntArray
    validation: IntArray


def split_weeks(weeks: Weeks, cutoff_date: datetime.date) -> TrainingSplit:
    """Keep the last year before the cut-off for validation.

    Parameters
    ----------
    weeks : Weeks
        Any weeks; those that end after the cut-off are in neither part.
    cutoff_date : datetime.date
        31 December of the snapshot's year.

    Returns
    -------
    TrainingSplit
        Validation: weeks that end in the cut-off's year. Training: weeks that end before the first validation week
        begins, so no training target reaches into validation.
    """
    inside = weeks.end <= np.datetime64(cutoff_date, "D")
    validation = np.flatnonzero(inside & (weeks.year == cutoff_date.year))
    if len(validation) == 0:
        return TrainingSplit(np.flatnonzero(inside), validation)
    train = np.flatnonzero(inside & (weeks.end < weeks.start[validation[0]]))
    return TrainingSplit(train, validation)
