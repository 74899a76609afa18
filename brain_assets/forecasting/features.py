"""The one builder of forecaster inputs: training and inference both come here."""

import datetime
from dataclasses import dataclass, field

import numpy as np

from brain_assets.arrays import Float32Array, FloatArray, IntArray
from brain_assets.errors import TableError
from brain_assets.market.calendar import Weeks
from brain_assets.market.prices import CLOSE, PRICE_FIELDS, VOLUME, PricePanel
from brain_assets.market.signals import SIGNALS

RETURNS = tuple(f"{name}_return" for name in PRICE_FIELDS)
CHANNELS = {"lstm": RETURNS, "patchtst": (*RETURNS, *SIGNALS)}
"""What each forecaster family sees of a session, in this order."""


def build_features(panel: PricePanel, family: str) -> Float32Array:
    """Give what a family sees: log returns of open, high, low, close and volume, then, if it sees them, the signals.

    Returns
    -------
    ndarray of float32, shape (n_assets, n_sessions, n_features)
        `CHANNELS` of the family. Entry t is known at the close of session t. Volume enters as log(1 + volume), since it
        may be 0. A return is NaN where the bar of t or t - 1 is not known; a signal is NaN where it is not known.

    Raises
    ------
    TableError
        If the family sees signals, and the panel came without.
    """
    channels = CHANNELS[family]
    features = np.full((*panel.values.shape[:2], len(channels)), np.nan, dtype=np.float32)
    for channel in range(len(RETURNS)):  # a channel at a time: temporary memory stays a fifth of the panel
        level = panel.values[:, :, channel]
        logs = np.log1p(level) if channel == VOLUME else np.log(level)
        features[:, 1:, channel] = np.diff(logs, axis=1)
    if len(channels) > len(RETURNS):
        features[:, :, len(RETURNS) :] = require_signals(panel, family)
        # whoever is not listed yet has no news score of 0 either: else a scaler would count symbols that are to come
        listed = np.logical_or.accumulate(np.isfinite(panel.values[:, :, CLOSE]), axis=1)
        features[~listed, len(RETURNS) :] = np.nan
    return features


def require_signals(panel: PricePanel, family: str) -> FloatArray:
    """Give a panel's signals; raises `TableError` if it came without."""
    if panel.signals is None:
        raise TableError(
            f"{family}: expected a panel with news and fundamentals, got one with prices only; put it through "
            "brain_assets.market.signals.add_signals first."
        )
    return panel.signals


def neutral_channels(features: Float32Array, family: str) -> list[str]:
    """Name the channels that say nothing: known nowhere, or the same wherever they are known.

    Parameters
    ----------
    features : ndarray of float32, shape (n_assets, n_sessions, n_features)
        From `build_features`, of the sessions that are learned from.
    family : str
    """
    names = []
    for channel, name in enumerate(CHANNELS[family]):
        values = features[:, :, channel]
        known = values[np.isfinite(values)]
        if len(known) == 0 or known.min() == known.max():
            names.append(name)
    return names


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
        From `build_features`. A window that touches a return that is not known is left out (the symbol is masked in
        that week); a signal that is not known leaves nothing out.
    weeks : Weeks
        Weeks to predict, cut from the same sessions.
    window : int
        Sessions in a window.

    Returns
    -------
    WindowIndex
        Ordered by week, then symbol.
    """
    known = np.isfinite(features[:, :, : len(RETURNS)]).all(axis=2)
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
    """Rows of weeks to train on, to validate on and, of a main version, to score it on, split by date."""

    train: IntArray
    validation: IntArray
    held_out: IntArray = field(default_factory=lambda: np.empty(0, dtype=np.int64))


HELD_OUT_WEEKS, VALIDATION_WEEKS = 26, 52
"""Of a main version: the last weeks, which score it, and those before them, which stop its training."""


def split_main(weeks: Weeks, cutoff_date: datetime.date) -> TrainingSplit:
    """Keep the last half year for scoring and the year before it for validation; see `split_weeks`.

    What scores a version must lie after whatever it learned from. As every later version keeps its own last half year
    apart, an older one has not learned from that either, so the two can be compared on it.
    """
    inside = np.flatnonzero(weeks.end <= np.datetime64(cutoff_date, "D"))
    held_out = inside[max(len(inside) - HELD_OUT_WEEKS, 0) :]
    rest = inside[: len(inside) - len(held_out)]
    validation = rest[max(len(rest) - VALIDATION_WEEKS, 0) :]
    train = rest[: len(rest) - len(validation)]
    return TrainingSplit(train, validation, held_out)


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
