"""What a policy sees: one builder, for training and for acting.

Layout: an observation has `N_FEATURES` numbers an asset, asset after asset, in the order of `FEATURES`; flattened
(SB3 takes it as such), float32, within ``[-limit, limit]``. All of it is known at the decision time of its week.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from brain_assets.arrays import BoolArray, Float32Array, FloatArray, IntArray
from brain_assets.market.signals import SIGNALS
from brain_assets.portfolio.arithmetic import PortfolioConstraints
from brain_assets.store.scaler import Scaler, fit_scaler_by_column

if TYPE_CHECKING:
    from brain_assets.portfolio.dataset import PolicyDataset

MARKET_FEATURES = ("forecast", "momentum", "volatility", *SIGNALS)
FEATURES = (*MARKET_FEATURES, "weight_held", "available")
"""Forecast, momentum and the signals: standardized over the available assets of the week, so that only who is above
whom, and by how much, counts (a momentum of 5 % and a model's forecast of 0.3 % may mean the same). Volatility: its
logarithm. These are then scaled by a scaler fitted on the training weeks, clipped to `CLIP`, and 0 where unavailable or
not known; the signals are multiplied by the policy's ``signal_scale`` (`SIGNAL_SCALE`). Weight
held: weight at the last close over the largest weight allowed. Available: 0 or 1."""

N_FEATURES = len(FEATURES)
N_MARKET_FEATURES = len(MARKET_FEATURES)
WEIGHT_HELD, AVAILABLE = N_MARKET_FEATURES, N_MARKET_FEATURES + 1

SIGNAL_SCALE = 0.3
"""Less than 1, as a policy has a few hundred weeks to learn from, and signals that say little but tell assets apart (a
margin is its company's for years) invite it to learn which asset did well in them. Measured in benchmarks/README.md."""

CLIP = 5.0
"""Bound of the scaled features; farther out is a data error more often than news."""

MIN_VOLATILITY = 1e-4
"""Daily; below it a price does not move, and its logarithm would say no more."""

MIN_VARIANCE = 1e-12
"""Below it a feature did not vary in training, so that nothing was learned of it: it stays 0, whatever comes later."""


def _standardize_by_week(values: FloatArray, known: BoolArray) -> FloatArray:
    """Scale each week's known values to mean 0 and standard deviation 1; 0 if all are the same, NaN if not known."""
    count = np.maximum(known.sum(axis=1, keepdims=True), 1)
    kept = np.where(known, values, 0.0)
    centered = np.where(known, kept - kept.sum(axis=1, keepdims=True) / count, 0.0)
    deviation = np.sqrt((centered**2).sum(axis=1, keepdims=True) / count)
    # A deviation of rounding errors is none: equal values do not always give their own mean back.
    largest = np.abs(kept).max(axis=1, keepdims=True)
    varied = deviation > 1e-12 * largest
    standardized: FloatArray = np.divide(centered, deviation, out=np.zeros_like(centered), where=varied)
    return np.where(known, standardized, np.nan)


def _unscaled_features(weeks: PolicyDataset) -> FloatArray:
    """Give the market features before the fitted scaler; (n_weeks, n_assets, 10), NaN: unavailable or not known."""
    available = weeks.available
    volatility = np.where(available, weeks.volatility, np.nan)
    known = available[:, :, None] & np.isfinite(weeks.signals)
    compared = np.stack([weeks.forecast, weeks.momentum], axis=-1)
    return np.concatenate(
        [
            _standardize_by_week(compared, np.broadcast_to(available[:, :, None], compared.shape)),
            np.log(np.maximum(volatility, MIN_VOLATILITY))[:, :, None],
            _standardize_by_week(weeks.signals, known),
        ],
        axis=-1,
    )


def fit_observation_scaler(weeks: PolicyDataset) -> Scaler:
    """Fit the scaler of `MARKET_FEATURES`, on what is known of available assets in the training weeks."""
    return fit_scaler_by_column(_unscaled_features(weeks))


def varied_in_training(scaler: Scaler) -> BoolArray:
    """Tell which of `MARKET_FEATURES` varied in training; the others are 0 in every observation."""
    return scaler.var >= MIN_VARIANCE


def market_observations(weeks: PolicyDataset, scaler: Scaler, signal_scale: float) -> Float32Array:
    """Give the part of the observations that does not depend on the portfolio, (n_weeks, n_assets, 10).

    A row depends on that week's decision-time values alone. `signal_scale` is the standard deviation of the signals.
    """
    scaled = (_unscaled_features(weeks) - scaler.mean) / scaler.scale
    scaled[..., ~varied_in_training(scaler)] = 0.0
    clipped = np.nan_to_num(scaled.clip(-CLIP, CLIP))
    clipped[..., -len(SIGNALS) :] *= signal_scale
    return clipped.astype(np.float32)


class ObservationBuilder:
    """Puts together what a policy sees: ``size`` entries, n_assets * `N_FEATURES`, each within ``limit`` either way."""

    def __init__(self, weeks: PolicyDataset, scaler: Scaler, rules: PortfolioConstraints, signal_scale: float) -> None:
        self.size = weeks.n_assets * N_FEATURES
        # A cap of 20 % may drift up to 100 %; float32 rounding is why not exactly.
        self.limit = max(CLIP, 1.0 / rules.max_weight) + 1e-3
        self._per_weight = np.float32(1.0 / rules.max_weight)
        self._template = np.zeros((len(weeks), weeks.n_assets, N_FEATURES), dtype=np.float32)
        self._template[:, :, :N_MARKET_FEATURES] = market_observations(weeks, scaler, signal_scale)
        self._template[:, :, AVAILABLE] = weeks.available

    def build(self, week: int | IntArray, held: FloatArray) -> Float32Array:
        """Give the observations of portfolios at the decision time of a week each, (..., n_assets * N_FEATURES), anew.

        `week` are positions in the weeks of the builder, (...); `held` the weights at the last close before, (...,
        n_assets + 1), cash last.
        """
        observation = self._template.take(week, axis=0)
        observation[..., WEIGHT_HELD] = held[..., :-1] * self._per_weight
        return observation.reshape(*observation.shape[:-2], self.size)
