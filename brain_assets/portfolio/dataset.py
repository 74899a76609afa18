"""What a portfolio needs to know of each week, and what a policy sees of it: one builder, for training and for acting.

Layout of an observation: `N_FEATURES` numbers an asset, asset after asset, in the order of `FEATURES`; flattened (SB3
takes it as such), float32, within ``[-limit, limit]``. All of it is known at the decision time of its week.
"""

from dataclasses import dataclass, replace

import numpy as np
import pandas as pd

from brain_assets.arrays import BoolArray, DateArray, Float32Array, FloatArray, IntArray
from brain_assets.errors import TableError
from brain_assets.forecasting.average import families_in
from brain_assets.market.signals import SIGNALS
from brain_assets.market.weekly import WeeklyPanel
from brain_assets.portfolio.arithmetic import PortfolioConstraints
from brain_assets.store.weights import Scaler, fit_scaler_by_column

BY_WEEK_AND_ASSET = ("forecast", "momentum", "volatility", "signals", "available", "pre_open_return", "weekly_return")

MARKET_FEATURES = ("forecast", "momentum", "volatility", *SIGNALS)
FEATURES = (*MARKET_FEATURES, "weight_held", "available")
"""Forecast, momentum and the signals: standardized over the available assets of the week, so that only who is above
whom, and by how much, counts (a momentum of 5 % and a model's forecast of 0.3 % may mean the same). Volatility: its
logarithm. These are then scaled by a scaler fitted on the training weeks, clipped to `CLIP`, and 0 where not known;
the signals times ``signal_scale``. Weight held: over the largest allowed. Available: 0 or 1."""

N_FEATURES, N_MARKET_FEATURES = len(FEATURES), len(MARKET_FEATURES)
WEIGHT_HELD, AVAILABLE = N_MARKET_FEATURES, N_MARKET_FEATURES + 1

SIGNAL_SCALE = 0.3
"""Less than 1, as a policy has a few hundred weeks to learn from, and signals that say little but tell assets apart (a
margin is its company's for years) invite it to learn which asset did well in them. Measured in benchmarks/README.md."""

CLIP = 5.0  # of scaled features; farther out is a data error more often than news
MIN_VOLATILITY = 1e-4  # daily; below it a price does not move, and its logarithm would say no more
MIN_VARIANCE = 1e-12  # below it a feature did not vary in training, and nothing was learned of it: it stays 0


@dataclass(frozen=True, eq=False)
class PolicyDataset:
    """Consecutive weeks of a market, one row a week; arrays are float64 of shape (n_weeks, n_assets) unless said."""

    week_start: DateArray
    """First session of each week, ascending; datetime64[D], shape (n_weeks,)."""
    symbols: tuple[str, ...]
    """Names of the assets, length n_assets: the order of every second axis."""
    forecast: FloatArray
    """Forecast of the weekly return, from whichever source. Finite where available; known at decision time."""
    momentum: FloatArray
    """4-week momentum. Finite where available; known at decision time."""
    volatility: FloatArray
    """Standard deviation of the last 20 daily log returns, >= 0. Finite where available; known at decision time."""
    signals: FloatArray
    """What news and filings said, in the order of `brain_assets.market.signals.SIGNALS`; shape (n_weeks, n_assets, 7).
    Finite, or NaN: not known, which is neutral. Known at decision time."""
    available: BoolArray
    """Whether the asset may be held in the week; bool; known at decision time."""
    pre_open_return: FloatArray
    """First open over the last close before the week, minus 1; known at the first open. Always finite: 0 carries the
    last price forward where nothing was traded."""
    weekly_return: FloatArray
    """Last close over first open, minus 1; known at the last close. Always finite, as `pre_open_return`."""

    def __len__(self) -> int:
        return len(self.week_start)

    @property
    def n_assets(self) -> int:
        """Number of assets; cash is not one."""
        return len(self.symbols)

    def select(self, weeks: BoolArray | IntArray | slice) -> "PolicyDataset":
        """Keep the weeks that a mask, positions or a slice of the first axis says."""
        kept = {name: getattr(self, name)[weeks] for name in BY_WEEK_AND_ASSET}
        return replace(self, week_start=self.week_start[weeks], **kept)

    def select_assets(self, assets: IntArray) -> "PolicyDataset":
        """Keep the assets at some positions of the second axis."""
        kept = {name: getattr(self, name)[:, assets] for name in BY_WEEK_AND_ASSET}
        return replace(self, symbols=tuple(self.symbols[asset] for asset in assets), **kept)


def market_weeks(bars: WeeklyPanel, forecast: FloatArray) -> PolicyDataset:
    """Put together what a portfolio needs to know; `forecast` is (n_weeks, n_assets), NaN where there is none.

    A symbol is available in a week if it has a bar on the last session before it, and a forecast, momentum and
    volatility are known then: nothing about the week itself decides it, and no signal does. Raises `TableError` when
    the panel of the bars came without signals, or the forecast is of another shape.
    """
    if bars.signals is None:
        raise TableError(
            "market_weeks: expected bars with signals, got none; use brain_assets.market.signals.add_signals on the "
            "panel."
        )
    if forecast.shape != bars.momentum.shape:
        raise TableError(f"forecast: expected shape (n_weeks, n_assets) = {bars.momentum.shape}, got {forecast.shape}.")
    known = np.isfinite(forecast) & np.isfinite(bars.momentum) & np.isfinite(bars.volatility)
    return PolicyDataset(
        week_start=bars.weeks.start,
        symbols=bars.symbols,
        forecast=forecast,
        momentum=bars.momentum,
        volatility=bars.volatility,
        signals=bars.signals,
        available=bars.tradable & known,
        pre_open_return=bars.pre_open_return,
        weekly_return=bars.return_ffill,
    )


def require_forecaster(forecasts: pd.DataFrame, forecaster: str) -> None:
    """Refuse to follow what is no forecaster of a forecasts table; raises `TableError`."""
    if forecaster not in families_in(forecasts):
        raise TableError(
            f"forecaster: expected one of {', '.join(families_in(forecasts))}, which walkforward_forecasts has, got "
            f"{forecaster}; correct it, or materialize them again with its module in BRAIN_PLUGINS."
        )


def forecast_matrix(bars: WeeklyPanel, forecasts: pd.DataFrame, forecaster: str) -> FloatArray:
    """Give forecasts in the order of `bars`, (n_weeks, n_assets); NaN: no row. Raises `TableError`: no column."""
    require_forecaster(forecasts, forecaster)
    wide = forecasts.pivot(index="week_start", columns="symbol", values=forecaster)
    wide = wide.reindex(index=pd.DatetimeIndex(bars.weeks.start.astype("datetime64[us]")), columns=list(bars.symbols))
    return wide.to_numpy(dtype=np.float64)


def _standardize_by_week(values: FloatArray, known: BoolArray) -> FloatArray:
    """Scale each week's known values to mean 0 and standard deviation 1; 0 if all are the same, NaN if not known."""
    count = np.maximum(known.sum(axis=1, keepdims=True), 1)
    kept = np.where(known, values, 0.0)
    centered = np.where(known, kept - kept.sum(axis=1, keepdims=True) / count, 0.0)
    deviation = np.sqrt((centered**2).sum(axis=1, keepdims=True) / count)
    # a deviation of rounding errors is none: equal values do not always give their own mean back
    varied = deviation > 1e-12 * np.abs(kept).max(axis=1, keepdims=True)
    standardized: FloatArray = np.divide(centered, deviation, out=np.zeros_like(centered), where=varied)
    return np.where(known, standardized, np.nan)


def _unscaled_features(weeks: PolicyDataset) -> FloatArray:
    """Give the market features before the fitted scaler; (n_weeks, n_assets, 10), NaN: unavailable or not known."""
    available = weeks.available[:, :, None]
    volatility = np.where(weeks.available, weeks.volatility, np.nan)
    compared = np.stack([weeks.forecast, weeks.momentum], axis=-1)
    parts = [
        _standardize_by_week(compared, np.broadcast_to(available, compared.shape)),
        np.log(np.maximum(volatility, MIN_VOLATILITY))[:, :, None],
        _standardize_by_week(weeks.signals, available & np.isfinite(weeks.signals)),
    ]
    return np.concatenate(parts, axis=-1)


def fit_observation_scaler(weeks: PolicyDataset) -> Scaler:
    """Fit the scaler of `MARKET_FEATURES`, on what is known of available assets in the training weeks."""
    return fit_scaler_by_column(_unscaled_features(weeks))


def varied_in_training(scaler: Scaler) -> BoolArray:
    """Tell which of `MARKET_FEATURES` varied in training; the others are 0 in every observation."""
    return scaler.var >= MIN_VARIANCE


def market_observations(weeks: PolicyDataset, scaler: Scaler, signal_scale: float) -> Float32Array:
    """Give what depends on no portfolio, (n_weeks, n_assets, 10); a row on that week's decision-time values alone."""
    scaled = (_unscaled_features(weeks) - scaler.mean) / scaler.scale
    scaled[..., ~varied_in_training(scaler)] = 0.0
    clipped = np.nan_to_num(scaled.clip(-CLIP, CLIP))
    clipped[..., -len(SIGNALS) :] *= signal_scale
    return clipped.astype(np.float32)


class ObservationBuilder:
    """Puts together what a policy sees: ``size`` entries, n_assets * `N_FEATURES`, each within ``limit`` either way."""

    def __init__(self, weeks: PolicyDataset, scaler: Scaler, rules: PortfolioConstraints, signal_scale: float) -> None:
        self.size = weeks.n_assets * N_FEATURES
        # a cap of 20 % may drift up to 100 %; float32 rounding is why not exactly
        self.limit = max(CLIP, 1.0 / rules.max_weight) + 1e-3
        self._per_weight = np.float32(1.0 / rules.max_weight)
        self._template = np.zeros((len(weeks), weeks.n_assets, N_FEATURES), dtype=np.float32)
        self._template[:, :, :N_MARKET_FEATURES] = market_observations(weeks, scaler, signal_scale)
        self._template[:, :, AVAILABLE] = weeks.available

    def build(self, week: int | IntArray, held: FloatArray) -> Float32Array:
        """Give the observations of portfolios at the decision time of a week each, (..., n_assets * N_FEATURES), anew.

        `week`, (...), are positions in the weeks; `held`, (..., n_assets + 1), the weights at the last close before.
        """
        observation = self._template.take(week, axis=0)
        observation[..., WEIGHT_HELD] = held[..., :-1] * self._per_weight
        return observation.reshape(*observation.shape[:-2], self.size)
