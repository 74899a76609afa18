"""The one builder of forecaster inputs, features and the windows of them: training and inference both come here."""

import datetime
from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import Literal, NamedTuple

import numpy as np

from brain_assets.arrays import BoolArray, Float32Array, FloatArray, IntArray
from brain_assets.errors import TableError
from brain_assets.market.calendar import Weeks
from brain_assets.market.prices import CLOSE, PRICE_FIELDS, VOLUME, PricePanel
from brain_assets.market.signals import SIGNALS
from brain_assets.store.weights import Scaler, fit_scaler_by_column

RETURNS = tuple(f"{name}_return" for name in PRICE_FIELDS)
CHANNELS = (*RETURNS, *SIGNALS)  # all that a forecaster may look at of a session


def build_features(panel: PricePanel, channels: Sequence[str], family: str) -> Float32Array:
    """Give what a family sees: log returns of bars, and signals; float32, (n_assets, n_sessions, n_channels).

    Entry t is known at the close of session t. Volume enters as log(1 + volume), since it may be 0. A return is NaN
    where the bar of t or t - 1 is not known, a signal where it is not. Raises `TableError`, which names the family, if
    it sees signals, and the panel came without.
    """
    features = np.full((*panel.values.shape[:2], len(channels)), np.nan, dtype=np.float32)
    # whoever is not listed yet has no news score of 0 either: else a scaler would count symbols that are to come
    listed = np.logical_or.accumulate(np.isfinite(panel.values[:, :, CLOSE]), axis=1)
    for position, name in enumerate(channels):  # a channel at a time: temporary memory stays a fifth of the panel
        if name in RETURNS:
            level = panel.values[:, :, RETURNS.index(name)]
            logs = np.log1p(level) if RETURNS.index(name) == VOLUME else np.log(level)
            features[:, 1:, position] = np.diff(logs, axis=1)
        else:
            signal = require_signals(panel, family)[:, :, SIGNALS.index(name)]
            features[:, :, position] = np.where(listed, signal, np.nan)
    return features


def sees_signals(channels: Sequence[str]) -> bool:
    """Tell whether channels have news or fundamentals among them."""
    return not set(channels) <= set(RETURNS)


def require_signals(panel: PricePanel, family: str) -> FloatArray:
    """Give a panel's signals; raises `TableError` if it came without."""
    if panel.signals is None:
        raise TableError(
            f"{family}: expected a panel with news and fundamentals, got one with prices only; put it through "
            "brain_assets.market.signals.add_signals first."
        )
    return panel.signals


def known_returns(panel: PricePanel) -> BoolArray:
    """Tell where all returns of bars are known, whether a family sees them or not; (n_assets, n_sessions)."""
    bars: BoolArray = np.logical_and.reduce(np.isfinite(panel.values), axis=2)
    known = np.zeros_like(bars)
    known[:, 1:] = bars[:, 1:] & bars[:, :-1]
    return known


@dataclass(frozen=True)
class WindowIndex:
    """Where windows lie in a features array; window i is ``features[asset[i], start[i] : start[i] + window]``."""

    asset: IntArray
    start: IntArray
    week: IntArray  # row of the week to predict

    def __len__(self) -> int:
        return len(self.asset)


def window_index(known: BoolArray, weeks: Weeks, window: int) -> WindowIndex:
    """Find every week, then symbol, whose last `window` sessions before the week are all `known`.

    A symbol is masked in a week whose window touches a return that is not known (`known_returns`); a signal that is not
    known leaves nothing out.
    """
    n_known = np.cumsum(np.pad(known, ((0, 0), (1, 0))), axis=1)
    start = weeks.first - window
    possible = np.flatnonzero(start >= 0)
    n_inside: IntArray = n_known[:, weeks.first[possible]] - n_known[:, start[possible]]
    row, asset = np.nonzero((n_inside == window).T)
    week = possible[row]
    return WindowIndex(asset, start[week], week)


@dataclass(frozen=True, eq=False)
class Windows:
    """Windows with what is to be predicted of each; they lie in one array, and are copied out of it when asked for."""

    features: Float32Array
    """(n_assets, n_sessions, n_channels), scaled, clipped, and free of NaN."""
    index: WindowIndex
    window: int
    """Sessions in a window."""
    target: FloatArray
    """(n_windows,), in standard deviations of the training targets; NaN where it is what is asked for."""

    def __len__(self) -> int:
        return len(self.index)

    @cached_property
    def values(self) -> Float32Array:
        """All windows, (n_windows, window, n_channels), oldest session first; a copy, made once."""
        sessions = self.index.start[:, None] + np.arange(self.window)
        return self.features[self.index.asset[:, None], sessions]


def uninformative_features(features: Float32Array, channels: Sequence[str]) -> list[str]:
    """Name the channels that say nothing in some features: known nowhere, or the same wherever they are known."""
    names = []
    for channel, name in enumerate(channels):
        values = features[:, :, channel]
        known = values[np.isfinite(values)]
        if len(known) == 0 or known.min() == known.max():
            names.append(name)
    return names


def fit_scaler(features: Float32Array, last_session: int) -> Scaler:
    """Fit the feature scaler up to the last session that a training window reaches; nothing later is looked at."""
    return fit_scaler_by_column(features[:, : last_session + 1])


def scale_features(features: Float32Array, scaler: Scaler, clip: float) -> Float32Array:
    """Scale and clip in place.

    NaN becomes 0: of a return, where no window ever reads it; of a signal, where it says nothing either way.
    """
    features -= scaler.mean.astype(np.float32)
    features /= scaler.scale.astype(np.float32)
    np.clip(features, -clip, clip, out=features)
    np.nan_to_num(features, copy=False)
    return features


Target = Literal["raw", "demeaned", "ranked"]


def training_target(realized: FloatArray, kind: Target) -> FloatArray:
    """Turn weekly returns (n_weeks, n_assets) into what is learned of them, each week by itself; NaN stays NaN.

    ``raw``: the return. ``demeaned``: less the week's mean over symbols. ``ranked``: the rank among the week's symbols,
    spread evenly over a mean of 0 and a variance of 1.
    """
    if kind == "raw":
        return realized
    known = np.isfinite(realized)
    count = known.sum(axis=1, keepdims=True)
    if kind == "demeaned":
        total = np.where(known, realized, 0.0).sum(axis=1, keepdims=True)
        return realized - total / np.maximum(count, 1)
    rank = np.argsort(np.argsort(np.where(known, realized, np.inf), axis=1, kind="stable"), axis=1)
    uniform = (rank + 0.5) / np.maximum(count, 1) - 0.5
    return np.where(known, uniform * np.sqrt(12), np.nan)


class TrainingSplit(NamedTuple):
    """Rows of weeks to train on and to validate on, split by date."""

    train: IntArray
    validation: IntArray


def split_weeks(weeks: Weeks, cutoff_date: datetime.date) -> TrainingSplit:
    """Keep the weeks that end in the cut-off's year for validation; those after the cut-off are in neither part.

    Training has the weeks that end before the first validation week begins: no target reaches into validation.
    """
    inside = weeks.end <= np.datetime64(cutoff_date, "D")
    validation = np.flatnonzero(inside & (weeks.year == cutoff_date.year))
    before = weeks.end < weeks.start[validation[0]] if len(validation) else inside
    return TrainingSplit(np.flatnonzero(inside & before), validation)
