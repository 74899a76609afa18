"""Windows of sessions, one for every symbol and week that can be forecast."""

from dataclasses import dataclass
from functools import cached_property

import numpy as np

from brain_assets.arrays import BoolArray, Float32Array, FloatArray, IntArray
from brain_assets.market.calendar import Weeks


@dataclass(frozen=True)
class WindowIndex:
    """Where windows lie in a features array; window i is ``features[asset[i], start[i] : start[i] + window]``."""

    asset: IntArray
    start: IntArray
    week: IntArray
    """Row of the week to predict."""

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
