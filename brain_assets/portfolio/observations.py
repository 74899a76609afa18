"""What a policy sees: one builder, for training and for acting.

Layout: an observation has `N_FEATURES` numbers an asset, asset after asset, in the order of `FEATURES`; flattened
(SB3 takes it as such), float32, within ``[-limit, limit]``. All of it is known at the decision time of its week.
"""

from typing import TYPE_CHECKING

import numpy as np

from brain_assets.arrays import Float32Array, FloatArray, IntArray
from brain_assets.errors import TableError
from brain_assets.portfolio.arithmetic import TradingRules
from brain_assets.portfolio.market_weeks import MarketWeeks

if TYPE_CHECKING:
    from sklearn.preprocessing import StandardScaler

FEATURES = ("forecast", "momentum", "volatility", "weight_held", "available")
"""Forecast and momentum: standardized over the available assets of the week, so that only who is above whom, and by how
much, counts (a momentum of 5 % and a model's forecast of 0.3 % may mean the same). Volatility: its logarithm. These
three are then scaled by a scaler fitted on the training weeks, clipped to `CLIP`, and 0 where unavailable. Weight held:
weight at the last close over the largest weight allowed. Available: 0 or 1."""

N_FEATURES = len(FEATURES)
N_MARKET_FEATURES = 3
WEIGHT_HELD, AVAILABLE = 3, 4

CLIP = 5.0
"""Bound of the scaled features; farther out is a data error more often than news."""

MIN_VOLATILITY = 1e-4
"""Daily; below it a price does not move, and its logarithm would say no more."""


def _standardize_by_week(values: FloatArray, weeks: MarketWeeks) -> FloatArray:
    """Scale each week's available values to mean 0 and standard deviation 1; 0 if all are the same, or unavailable."""
    count = np.maximum(weeks.available.sum(axis=1, keepdims=True), 1)
    kept = np.where(weeks.available, values, 0.0)
    centered = np.where(weeks.available, kept - kept.sum(axis=1, keepdims=True) / count, 0.0)
    spread = np.sqrt((centered**2).sum(axis=1, keepdims=True) / count)
    # A spread of rounding errors is none: equal values do not always give their own mean back.
    largest = np.abs(kept).max(axis=1, keepdims=True)
    varied = spread > 1e-12 * largest
    standardized: FloatArray = np.divide(centered, spread, out=np.zeros_like(centered), where=varied)
    return standardized


def _unscaled_features(weeks: MarketWeeks) -> FloatArray:
    """Give forecast, momentum and volatility before the fitted scaler; shape (n_weeks, n_assets, 3)."""
    volatility = np.where(weeks.available, weeks.volatility, 1.0)
    return np.stack(
        [
            _standardize_by_week(weeks.forecast, weeks),
            _standardize_by_week(weeks.momentum, weeks),
            np.log(np.maximum(volatility, MIN_VOLATILITY)),
        ],
        axis=-1,
    )


def fit_observation_scaler(weeks: MarketWeeks) -> "StandardScaler":
    """Fit the scaler of the three market features, on the available entries of the training weeks.

    Parameters
    ----------
    weeks : MarketWeeks
        Of training only, at least one asset available in one week.

    Returns
    -------
    sklearn.preprocessing.StandardScaler
        Of forecast, momentum and volatility, in this order.

    Raises
    ------
    TableError
        When no asset is available in any week.
    """
    if not weeks.available.any():
        raise TableError("expected an asset available in some training week, got none; check the years and symbols.")
    from sklearn.preprocessing import StandardScaler

    return StandardScaler().fit(_unscaled_features(weeks)[weeks.available])


def market_observations(weeks: MarketWeeks, scaler: "StandardScaler") -> Float32Array:
    """Give the part of the observations that does not depend on the portfolio.

    Parameters
    ----------
    weeks : MarketWeeks
        A row depends on that week's decision-time values alone.
    scaler : sklearn.preprocessing.StandardScaler
        From `fit_observation_scaler`, on the training weeks.

    Returns
    -------
    ndarray of float32, shape (n_weeks, n_assets, 3)
        The first three of `FEATURES`.
    """
    scaled = np.zeros((len(weeks), weeks.n_assets, N_MARKET_FEATURES), dtype=np.float32)
    if weeks.available.any():
        scaled[weeks.available] = scaler.transform(_unscaled_features(weeks)[weeks.available]).clip(-CLIP, CLIP)
    return scaled


class ObservationBuilder:
    """Puts together what the policy sees at the decision time of a week.

    Parameters
    ----------
    weeks : MarketWeeks
    scaler : sklearn.preprocessing.StandardScaler
        From `fit_observation_scaler`, on the training weeks.
    rules : TradingRules

    Attributes
    ----------
    size : int
        Length of an observation: n_assets * `N_FEATURES`.
    limit : float
        Bound of every entry, both sides.
    """

    def __init__(self, weeks: MarketWeeks, scaler: "StandardScaler", rules: TradingRules) -> None:
        self.size = weeks.n_assets * N_FEATURES
        # A cap of 20 % may drift up to 100 %; float32 rounding is why not exactly.
        self.limit = max(CLIP, 1.0 / rules.max_weight) + 1e-3
        self._per_weight = np.float32(1.0 / rules.max_weight)
        self._template = np.zeros((len(weeks), weeks.n_assets, N_FEATURES), dtype=np.float32)
        self._template[:, :, :N_MARKET_FEATURES] = market_observations(weeks, scaler)
        self._template[:, :, AVAILABLE] = weeks.available

    def build(self, week: int | IntArray, held: FloatArray) -> Float32Array:
        """Give the observations of portfolios at the decision time of a week each.

        Parameters
        ----------
        week : int or ndarray of int, shape (...)
            Positions in the weeks of the builder.
        held : ndarray of float64, shape (..., n_assets + 1)
            Weights at the last close before that week, cash last.

        Returns
        -------
        ndarray of float32, shape (..., n_assets * N_FEATURES)
            A new array.
        """
        observation = self._template.take(week, axis=0)
        np.multiply(held[..., :-1], self._per_weight, out=observation[..., WEIGHT_HELD], casting="same_kind")
        return observation.reshape(*observation.shape[:-2], self.size)
