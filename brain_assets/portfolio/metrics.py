"""Figures of weekly returns, and how sure they are; every one is known only after its last week is over.

A year has 52 weeks. The risk-free rate is 0 throughout, so a Sharpe ratio is of returns, not of excess returns.
Measures are skfolio's where it has them; resampling is arch's. What cannot be told (too few weeks, returns that never
moved) is NaN, never 0.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from functools import lru_cache
from typing import TYPE_CHECKING, NamedTuple

import numpy as np

from brain_assets.arrays import FloatArray, IntArray
from brain_assets.portfolio.arithmetic import BASIS_POINT, WEEKS_PER_YEAR
from brain_assets.portfolio.strategy import annual_return as annual_return
from brain_assets.portfolio.strategy import sharpe_ratio as sharpe_ratio

if TYPE_CHECKING:
    from brain_assets.portfolio.trials import Trial

N_RESAMPLES = 2000
"""Draws behind an interval: its ends move by a few hundredths of its width from seed to seed."""

SEED = 20190101
"""Of every resampling: the same returns give the same intervals."""

CONFIDENCE = 0.95

MIN_WEEKS = 26
"""Fewer weeks give no interval: half a year of weeks does not tell how far the next half can differ."""

Statistic = Callable[[FloatArray], FloatArray]
"""From series, (n_weeks, n_series), to one figure or more, (n_figures,)."""


class Estimate(NamedTuple):
    """A figure and the ends of its 95 % interval; the ends are NaN where there are too few weeks."""

    value: float
    low: float
    high: float

    @property
    def above_zero(self) -> bool:
        """Whether the whole interval lies above zero."""
        return self.low > 0.0

    @property
    def below_zero(self) -> bool:
        """Whether the whole interval lies below zero."""
        return self.high < 0.0

    @property
    def known(self) -> bool:
        """Whether there is an interval."""
        return math.isfinite(self.low) and math.isfinite(self.high)


def volatility(net_returns: FloatArray) -> FloatArray:
    """Give the sample standard deviation of weekly returns, (n_weeks, ...), times the root of 52; shape (...)."""
    from skfolio.measures import standard_deviation

    spread: FloatArray = standard_deviation(net_returns) * math.sqrt(WEEKS_PER_YEAR)
    return spread


def drawdowns(net_returns: FloatArray) -> FloatArray:
    """Give how far the value lies below its highest so far, the start included; (n_weeks, ...), at most 0."""
    from skfolio.measures import get_drawdowns

    depth: FloatArray = get_drawdowns(net_returns, compounded=True)
    return depth


def max_drawdown(net_returns: FloatArray) -> float:
    """Give the deepest drawdown of one series, (n_weeks,), as a positive share; 0 if the value never fell."""
    from skfolio.measures import max_drawdown as deepest

    return float(deepest(drawdowns(net_returns)))


def calmar_ratio(net_returns: FloatArray) -> float:
    """Give annual return over maximum drawdown of one series, (n_weeks,) (Young 1991); NaN if the value never fell."""
    deepest = max_drawdown(net_returns)
    return float(annual_return(net_returns)) / deepest if deepest > 0.0 else float("nan")


def annual_turnover(turnover: FloatArray) -> float:
    """Give the dollars traded a year over the portfolio's value, bought and sold; weekly turnover is (n_weeks,)."""
    return float(turnover.mean() * WEEKS_PER_YEAR)


def cost_drag(net_returns: FloatArray, turnover: FloatArray, cost_bps: float) -> float:
    """Give the annual return that the same trades would have had without costs, less the one that they had.

    Both arrays are (n_weeks,); turnover is in shares of the value at the first open, where costs are taken from it.
    """
    gross = (1.0 + net_returns) / (1.0 - turnover * cost_bps * BASIS_POINT) - 1.0
    return float(annual_return(gross) - annual_return(net_returns))


def resample(series: FloatArray, statistic: Statistic, seed: int = SEED) -> FloatArray:
    """Draw the series anew, in blocks of weeks, the same weeks for all (stationary bootstrap, Politis & Romano 1994).

    The mean block length is arch's estimate (Politis & White 2004), the longest over the series, rounded up. `series`
    are finite, (at least `MIN_WEEKS`, n_series); gives (`N_RESAMPLES`, n_figures).
    """
    draws = _draws(len(series), block_length(series), seed)
    return np.stack([statistic(series[weeks]) for weeks in draws])


@lru_cache(maxsize=8)
def _draws(n_weeks: int, block: int, seed: int) -> IntArray:
    """Give the weeks of every resample, (`N_RESAMPLES`, n_weeks); years of as many weeks share them."""
    from arch.bootstrap import StationaryBootstrap

    bootstrap = StationaryBootstrap(block, np.arange(n_weeks), seed=seed)
    return np.stack([bootstrap.update_indices() for _ in range(N_RESAMPLES)])


def block_length(series: FloatArray) -> int:
    """Give the mean block length, in whole weeks, that series (n_weeks, n_series) are resampled with."""
    from arch.bootstrap import optimal_block_length

    with np.errstate(divide="ignore", invalid="ignore"):  # a series that never moves has no correlation with itself
        lengths = optimal_block_length(series)["stationary"].to_numpy()
    return int(max([1.0, *np.ceil(lengths[np.isfinite(lengths)])]))


def estimates(series: FloatArray, statistic: Statistic) -> list[Estimate]:
    """Give each figure of a statistic with the middle 95 % of what it comes to on resampled weeks.

    `series` are finite, (n_weeks, n_series); with fewer than `MIN_WEEKS` weeks there are no intervals.
    """
    values = statistic(series)
    if len(series) < MIN_WEEKS:
        return [Estimate(float(value), float("nan"), float("nan")) for value in values]
    tail = (1.0 - CONFIDENCE) / 2
    low, high = np.quantile(resample(series, statistic), [tail, 1.0 - tail], axis=0)
    return [Estimate(*map(float, each)) for each in zip(values, low, high, strict=True)]


def mean_estimates(values: FloatArray) -> list[Estimate]:
    """Give the mean of weekly series, (n_weeks, n_series), with their intervals.

    NaN is no value that week, left out of its own series; a series without any has NaN as its mean.
    """
    found = [Estimate(float("nan"), float("nan"), float("nan"))] * values.shape[1]
    known = np.isfinite(values)
    for weeks in np.unique(known, axis=1).T:  # series that know the same weeks are drawn together
        if weeks.any():
            alike = np.flatnonzero((known == weeks[:, None]).all(axis=0))
            means = estimates(values[np.ix_(weeks, alike)], lambda drawn: drawn.mean(axis=0))
            for position, each in zip(alike, means, strict=True):
                found[position] = each
    return found


class Performance(NamedTuple):
    """Annual return, Sharpe ratio and difference of annual return to a yardstick; one of each a strategy."""

    annual_return: list[Estimate]
    sharpe: list[Estimate]
    excess: list[Estimate]


def performance(net_returns: FloatArray, yardstick: int) -> Performance:
    """Measure strategies with intervals, all on the same resampled weeks, so that differences are paired.

    `net_returns` are finite, (n_weeks, n_strategies); `yardstick` is the column that the others are compared with.
    """

    def figures(drawn: FloatArray) -> FloatArray:
        growth = annual_return(drawn)
        return np.concatenate([growth, sharpe_ratio(drawn), growth - growth[yardstick]])

    found = estimates(net_returns, figures)
    count = net_returns.shape[1]
    return Performance(found[:count], found[count : 2 * count], found[2 * count :])


def probabilistic_sharpe_ratio(net_returns: FloatArray) -> float:
    """Give the probability that the true Sharpe ratio is above 0, skew and fat tails counted (Bailey & López de Prado).

    Weeks, (n_weeks,), count as independent. NaN with fewer than three, or returns that do not move.
    """
    from skfolio.measures import probabilistic_sharpe_ratio as probability

    return float(probability(net_returns))


def deflated_sharpe_ratio(net_returns: FloatArray, trial_sharpe_ratios: FloatArray) -> float:
    """Give the same probability against the best Sharpe ratio that as many trials without skill are expected to reach.

    That best follows from the number and the variance of the trials (Bailey & López de Prado 2014, equations 1 and 2).
    One trial: `probabilistic_sharpe_ratio`. Trials count as independent, so many alike make the figure too low.
    `trial_sharpe_ratios` are weekly, of every configuration tried, the chosen one too (`weekly_sharpe_ratios`). NaN if
    none is known, or where `probabilistic_sharpe_ratio` is.
    """
    from skfolio.measures import deflated_sharpe_ratio as probability

    if not len(trial_sharpe_ratios):
        return float("nan")
    return float(probability(net_returns, trial_sharpe_ratios))


def weekly_sharpe_ratios(trials: Sequence[Trial]) -> FloatArray:
    """Give the weekly Sharpe ratio of every configuration tried, over all years that it has, (n_configurations,).

    In the order in which configurations first come. 0 where returns never moved: it held cash, and was a trial.
    """
    groups: dict[tuple[str, str], list[Trial]] = {}
    for trial in (trial for trial in trials if trial.n_weeks > 0):
        groups.setdefault((trial.family, trial.configuration), []).append(trial)
    return np.array([_pooled_sharpe(group) for group in groups.values()])


def _pooled_sharpe(trials: Sequence[Trial]) -> float:
    """Give mean over sample standard deviation of all weeks, from the means and deviations of each year."""
    n_weeks = np.array([trial.n_weeks for trial in trials], dtype=np.float64)
    means, deviations = (np.array([getattr(trial, name) for trial in trials]) for name in ("mean", "std"))
    total = n_weeks.sum()
    mean = (n_weeks * means).sum() / total
    within = (np.maximum(n_weeks - 1.0, 0.0) * np.where(n_weeks > 1, deviations, 0.0) ** 2).sum()
    between = (n_weeks * (means - mean) ** 2).sum()
    deviation = math.sqrt((within + between) / (total - 1.0)) if total > 1 else 0.0
    return float(mean / deviation) if deviation > 1e-12 else 0.0
