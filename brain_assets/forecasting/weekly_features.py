"""Classic weekly features, each ranked over the week's symbols, and the base of the families that learn from them.

A row is a week. What a row holds is known at the week's decision time, the last close before its first session: that
close and what came before. Lengths are in sessions (a week is 5, a year 252) or in ISO weeks.

| features | what they are | source |
|---|---|---|
| return_1w to return_52w | return over so many weeks, from weekly close to weekly close | Jegadeesh 1990 |
| momentum_12_1 | return from 52 to 4 weeks before | Jegadeesh & Titman 1993 |
| same_month | return over the four weeks that began 52 weeks before | Heston & Sadka 2008 |
| return_1d | return of the last session | |
| volatility_4w, _13w, _52w | standard deviation of daily log returns | Ang et al. 2006 |
| high_52w | last close over the highest of 252 sessions | George & Hwang 2004 |
| beta, idiosyncratic | slope on the market over 52 weekly returns, standard deviation of what it leaves | Ang et al. |
| residual_1w | what it leaves of the last week, in those standard deviations | Blitz et al. 2013 |
| largest_day | largest daily log return of 20 sessions | Bali, Cakici & Whitelaw 2011 |
| skewness | of the daily log returns of 252 sessions | Amaya et al. 2015 |
| volume_1w, volume_4w | mean log volume of 5 sessions less that of 65, of 20 less that of 252 | Gervais et al. 2001 |
| news, news_4w | the channel `news_sentiment` of `SIGNALS` at the last close, and its mean over 20 sessions | |
| gross_margin to debt_to_equity | the ratios as last filed | |

The market is the mean of the week's tradable symbols, with equal weights. A statistic is known where at least half of
what it is made from is.
"""

from abc import abstractmethod
from collections.abc import Mapping
from typing import Any, ClassVar

import numpy as np
import pandas as pd
import pydantic

from brain_assets.arrays import BoolArray, Float32Array, FloatArray
from brain_assets.forecasting.features import WindowIndex, Windows, require_signals
from brain_assets.forecasting.forecaster import Forecaster, ForecasterConfig
from brain_assets.market.calendar import Weeks
from brain_assets.market.prices import CLOSE, VOLUME, PricePanel
from brain_assets.market.schema import RATIOS
from brain_assets.market.signals import NEWS
from brain_assets.market.weekly import past_return, past_weekly_returns, tradable

PAST_RETURNS = {
    **{f"return_{n_weeks}w": (n_weeks, 0) for n_weeks in (1, 2, 4, 8, 13, 26, 52)},
    "momentum_12_1": (52, 4),
    "same_month": (52, 48),
}
"""Feature -> weeks from which and up to which before the decision the return goes."""

DAILY = (
    *("return_1d", "volatility_4w", "volatility_13w", "volatility_52w", "high_52w", "largest_day", "skewness"),
    *("volume_1w", "volume_4w"),
)
MARKET = ("beta", "idiosyncratic", "residual_1w")
FEATURES = (*PAST_RETURNS, *DAILY, *MARKET, "news", "news_4w", *RATIOS)
"""All weekly features, in the order of the last axis."""

WEEK, MONTH, QUARTER, YEAR = 5, 20, 65, 252  # in sessions

WEEKS_AT_ONCE = 50  # past returns of so many weeks are held at a time


def build_weekly_features(panel: PricePanel, weeks: Weeks, family: str) -> Float32Array:
    """Give the ranks of `FEATURES` over the tradable symbols of each week, float32, (n_assets, n_weeks, n_features).

    Ranks are spread evenly over (-0.5, 0.5), ties at their mean; 0, the middle, where a feature is not known. All NaN
    where a symbol is not tradable. A row is known at its week's decision time, and symbols that are not tradable then
    change nothing in it. Raises `TableError`, which names the family, if the panel came without news and filings.
    """
    signals = require_signals(panel, family)
    chosen = tradable(panel, weeks)
    past = [past_return(panel, weeks, *reach) for reach in PAST_RETURNS.values()]
    log_return = np.diff(np.log(panel.values[:, :, CLOSE]), axis=1, prepend=np.nan)
    features = np.full((len(panel.symbols), len(weeks), len(FEATURES)), np.nan, dtype=np.float32)
    for begin in range(0, len(weeks), WEEKS_AT_ONCE):
        rows = np.arange(begin, min(begin + WEEKS_AT_ONCE, len(weeks)))
        weekly = past_weekly_returns(panel, weeks.select(rows))
        for row, first in zip(rows, weeks.first[rows], strict=True):
            who = np.flatnonzero(chosen[row])
            values = np.column_stack(
                [
                    *(each[row, who] for each in past),
                    _daily_features(panel, log_return, who, first),
                    _market_features(weekly[row - begin, :, who]),
                    signals[who, first - 1, NEWS],
                    _mean(signals[who, max(first - MONTH, 0) : first, NEWS], MONTH),
                    signals[who, first - 1, NEWS + 1 : NEWS + 1 + len(RATIOS)],
                ]
            )
            features[who, row] = uniform_ranks(values)
    return features


def uniform_ranks(values: FloatArray) -> FloatArray:
    """Rank each column over its rows, spread evenly over (-0.5, 0.5), ties at their mean; 0 where not known."""
    known = np.isfinite(values)
    ranks = pd.DataFrame(np.where(known, values, np.nan)).rank().to_numpy()
    return np.where(known, (ranks - 0.5) / np.maximum(known.sum(axis=0), 1) - 0.5, 0.0)


def _daily_features(panel: PricePanel, log_return: FloatArray, who: np.ndarray, first: int) -> FloatArray:
    """Give `DAILY` of some symbols, (n, 9), from the sessions before `first`."""
    start = max(first - YEAR, 0)
    returns = log_return[who, start:first]
    close, volume = (panel.values[who, start:first, channel] for channel in (CLOSE, VOLUME))
    log_volume = np.log1p(volume)
    log_volume -= np.fmax.reduce(log_volume, axis=1)[:, None]  # what never changes is 0: no rank by rounding
    month = returns[:, -MONTH:]
    volatility = [_deviation(returns[:, -length:], length) for length in (MONTH, QUARTER, YEAR)]
    centered = returns - _mean(returns, YEAR)[:, None]
    return np.column_stack(
        [
            returns[:, -1],
            *volatility,
            np.where(_enough(close, YEAR), close[:, -1] / np.fmax.reduce(close, axis=1), np.nan),
            np.where(_enough(month, MONTH), np.fmax.reduce(month, axis=1), np.nan),
            _ratio(_mean(centered * centered * centered, YEAR), volatility[-1] ** 3),
            _mean(log_volume[:, -WEEK:], WEEK) - _mean(log_volume[:, -QUARTER:], QUARTER),
            _mean(log_volume[:, -MONTH:], MONTH) - _mean(log_volume, YEAR),
        ]
    )


def _market_features(returns: FloatArray) -> FloatArray:
    """Give `MARKET` of some symbols, (n, 3), from their past weekly returns (n, n_weeks), oldest first."""
    n_weeks = returns.shape[1]
    known = np.isfinite(returns)
    market = np.where(known, returns, 0.0).sum(axis=0) / np.maximum(known.sum(axis=0), 1)
    over = np.where(known, market, np.nan)  # the weeks of each symbol
    over -= _mean(over, n_weeks)[:, None]
    own = returns - _mean(returns, n_weeks)[:, None]
    beta = _ratio(_mean(own * over, n_weeks), _mean(over**2, n_weeks))
    residual = own - beta[:, None] * over
    idiosyncratic = np.sqrt(_mean(residual**2, n_weeks))
    return np.column_stack([beta, idiosyncratic, _ratio(residual[:, -1], idiosyncratic)])


def _enough(values: FloatArray, length: int) -> BoolArray:
    """Tell where at least half of `length` values along the last axis are known."""
    return 2 * np.isfinite(values).sum(axis=-1) >= length


def _mean(values: FloatArray, length: int) -> FloatArray:
    """Average the known values along the last axis; NaN where they are fewer than half of `length`."""
    known = np.isfinite(values)
    total = np.where(known, values, 0.0).sum(axis=-1)
    return np.where(_enough(values, length), total / np.maximum(known.sum(axis=-1), 1), np.nan)


def _deviation(values: FloatArray, length: int) -> FloatArray:
    """Give the standard deviation of the known values along the last axis; NaN as `_mean`."""
    return np.sqrt(_mean((values - _mean(values, length)[..., None]) ** 2, length))


def _ratio(above: FloatArray, below: FloatArray) -> FloatArray:
    """Divide; NaN where a symbol that never moved would be divided by zero."""
    return np.divide(above, below, out=np.full_like(above, np.nan), where=below > 0)


class WeeklyConfig(ForecasterConfig):
    """What every family that learns from weekly features is told."""

    window: ClassVar[int] = 1  # type: ignore[misc]  # the week's own row: no option
    volatility_neutral: bool = pydantic.Field(
        False, description="Take what the 52-week volatility explains out of the ranks of each week's forecasts."
    )


class WeeklyForecaster(Forecaster):
    """A family that sees `FEATURES`: of every week and tradable symbol one row, whatever of it is not known.

    A subclass predicts from rows, `predict_rows`. If its configuration is `volatility_neutral`, then of each week u are
    the predictions' ranks spread evenly over (-0.5, 0.5), v the feature volatility_52w, both less their means over the
    week's symbols, and r = u - v (v'u / v'v) is what a regression on v leaves of u. The forecast is m + r (s / t): m
    and s are mean and standard deviation of the week's predictions, t is that of r.
    """

    channels = FEATURES
    known_channels = FEATURES
    kinds: ClassVar[frozenset[str]] = frozenset({"scikitlearn"})

    def inputs(
        self,
        panel: PricePanel,
        weeks: Weeks,
        config: Any,  # noqa: ARG002 - always the same features
    ) -> tuple[Float32Array, WindowIndex]:
        """Give the features, and a window of one row for every week and tradable symbol; see `Forecaster.inputs`."""
        features = build_weekly_features(panel, weeks, self.name)
        week, asset = np.nonzero(tradable(panel, weeks))
        return features, WindowIndex(asset, week, week)

    @abstractmethod
    def predict_rows(self, arrays: Mapping[str, np.ndarray], rows: Float32Array) -> FloatArray:
        """Predict a number a row of scaled features, (n_windows, n_features) -> (n_windows,)."""

    def predict(self, arrays: Mapping[str, np.ndarray], windows: Windows, config: Any) -> FloatArray:
        """Predict every window; see `Forecaster.predict`."""
        rows = windows.values[:, 0]
        predicted = self.predict_rows(arrays, rows)
        if not config.volatility_neutral:
            return predicted
        volatility = rows[:, FEATURES.index("volatility_52w")].astype(np.float64)
        neutral = np.empty(len(predicted))
        for week in np.unique(windows.index.week):
            inside = windows.index.week == week
            neutral[inside] = _neutral(predicted[inside], volatility[inside])
        return neutral


def _neutral(predicted: FloatArray, volatility: FloatArray) -> FloatArray:
    """Take out of a week's predictions what their volatility explains; see `WeeklyForecaster`."""
    ranks = uniform_ranks(predicted[:, None])[:, 0]
    own, other = ranks - ranks.mean(), volatility - volatility.mean()
    left = own - other * (other @ own / max(other @ other, 1e-12))
    spread = left.std()
    return predicted.mean() + left * (predicted.std() / spread if spread > 1e-9 else 0.0)
