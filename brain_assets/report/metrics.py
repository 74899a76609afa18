"""Figures of weekly returns, and how sure they are; every one is known only after its last week is over.

A year has 52 weeks. The risk-free rate is 0 throughout, so a Sharpe ratio is of returns, not of excess returns.
Measures are skfolio's where it has them; resampling is arch's. What cannot be told (too few weeks, returns that never
moved) is NaN, never 0.
"""

import math
from collections.abc import Callable
from typing import NamedTuple

import numpy as np
import pandas as pd

from brain_assets.arrays import FloatArray
from brain_assets.portfolio.arithmetic import WEEKS_PER_YEAR, PortfolioConstraints
from brain_assets.portfolio.strategy import annual_return, break_even_cost, deflated_sharpe, gross_return, sharpe_ratio

N_RESAMPLES, SEED = 2000, 20190101
"""Draws behind an interval, whose ends move by a few hundredths of its width from seed to seed."""

CONFIDENCE = 0.95

MIN_WEEKS = 26
"""Fewer weeks give no interval: half a year of weeks does not tell how far the next half can differ."""


class Estimate(NamedTuple):
    """A figure and the ends of its 95 % interval, which are NaN where there are too few weeks."""

    value: float
    low: float
    high: float

    @property
    def side(self) -> int:
        """1: the whole interval lies above zero; -1: below it; 0: neither, or there is none."""
        return int(self.low > 0.0) - int(self.high < 0.0)

    @property
    def known(self) -> bool:
        """Whether there is an interval."""
        return math.isfinite(self.low)


def wealth(returns: pd.DataFrame) -> pd.DataFrame:
    """Give what one dollar became."""
    return (1.0 + returns).cumprod()


def drawdowns(returns: pd.DataFrame) -> pd.DataFrame:
    """Give how far the value lies below its highest so far, the start included; at most 0."""
    values = wealth(returns)
    return values / values.cummax().clip(lower=1.0) - 1.0


def worst_drawdowns(returns: pd.Series, count: int = 5) -> pd.DataFrame:
    """Find the deepest falls below the highest value so far, (n_weeks,), the deepest first.

    A row each: ``depth``, negative; ``start``, ``lowest`` and ``recovered``, the weeks that it began, was deepest and
    was made good in, the last NaT if it is not yet; ``weeks`` that it lasted, or lasts.
    """
    below = drawdowns(returns.to_frame()).iloc[:, 0]
    weeks = pd.DataFrame({"depth": below, "week": below.index, "next": pd.Series(below.index).shift(-1).to_numpy()})
    falls = weeks[below < 0.0].groupby((below == 0.0).cumsum())
    found = falls.agg(depth=("depth", "min"), start=("week", "first"), weeks=("week", "size"))
    found["lowest"], found["recovered"] = falls["depth"].idxmin(), falls["next"].last(skipna=False)
    return found.nsmallest(count, "depth")


def rolling(returns: pd.DataFrame, yardstick: str) -> dict[str, pd.DataFrame]:
    """Give Sharpe ratio, volatility, both a year, and beta to a strategy, each over the 52 weeks until every fourth."""
    window = returns.rolling(WEEKS_PER_YEAR)
    deviation = window.std().where(lambda each: each > 1e-12)
    beta = window.cov(returns[yardstick]).div(deviation[yardstick] ** 2, axis=0)
    year = math.sqrt(WEEKS_PER_YEAR)
    found = {"sharpe": window.mean() / deviation * year, "volatility": deviation * year, "beta": beta}
    return {name: each.iloc[WEEKS_PER_YEAR - 1 :: 4] for name, each in found.items()}


def measure(
    returns: pd.DataFrame,
    turnover: pd.DataFrame,
    yardstick: str,
    rules: PortfolioConstraints,
    trial_ratios: FloatArray,
    n_tuned: int,
) -> pd.DataFrame:
    """Measure strategies, all on the same weeks; a row a strategy.

    Returns are net, finite and above -1; turnover is what was traded over the value at the first open; both are
    (n_weeks, n_strategies). The others are compared with the yardstick on the same resampled weeks, so that differences
    are paired. Of the trials see `deflated_sharpe`.

    Gives ``annual_return``, ``sharpe``, ``active_return`` (the annual return less the yardstick's), the same before
    costs as ``gross_active_return``, and ``break_even``, see `break_even_cost`, each an `Estimate`; ``volatility``;
    ``max_drawdown``, positive; ``calmar`` (Young 1991), NaN if the value never fell; ``turnover``, bought and sold in a
    year over the value; ``cost_drag``, the annual return that the same trades would have had without costs, less the
    one that they had; ``probabilistic_sharpe``, the probability that the true Sharpe ratio is above 0, skew and fat
    tails counted; ``deflated_sharpe``.
    """
    from skfolio import measures

    values, count = returns.to_numpy(), returns.shape[1]
    place = int(returns.columns.get_loc(yardstick))
    gross = gross_return(values, turnover.to_numpy(), rules)

    def figures(drawn: FloatArray) -> FloatArray:
        net, before, traded = np.split(drawn, 3, axis=1)
        growth, earned = annual_return(net), annual_return(before)
        active = growth - growth[place], earned - earned[place], break_even_cost(before, traded, place)
        return np.concatenate([growth, sharpe_ratio(net), *active])

    found = estimates(np.hstack([values, gross, turnover]), figures, block_length(values))
    names = ("annual_return", "sharpe", "active_return", "gross_active_return", "break_even")
    deepest = drawdowns(returns).min().abs()
    columns = {
        **{name: found[count * number : count * (number + 1)] for number, name in enumerate(names)},
        "volatility": measures.standard_deviation(values) * math.sqrt(WEEKS_PER_YEAR),
        "max_drawdown": deepest,
        "calmar": annual_return(values) / deepest.where(deepest > 0.0),
        "turnover": turnover.mean() * WEEKS_PER_YEAR,
        "cost_drag": annual_return(gross) - annual_return(values),
        "probabilistic_sharpe": [measures.probabilistic_sharpe_ratio(net) for net in values.T],
        "deflated_sharpe": [deflated_sharpe(net, trial_ratios, n_tuned) for net in values.T],
    }
    return pd.DataFrame(columns, index=returns.columns)


def estimates(series: FloatArray, statistic: Callable[[FloatArray], FloatArray], block: int) -> list[Estimate]:
    """Give each figure of a statistic, (n_figures,), with the middle 95 % of what it is when weeks are drawn anew.

    Weeks are drawn in blocks of a mean length in weeks, the same for all series (stationary bootstrap, Politis & Romano
    1994). `series` are finite, (n_weeks, n_series); with fewer than `MIN_WEEKS` weeks there are no intervals.
    """
    from arch.bootstrap import StationaryBootstrap

    values = statistic(series)
    ends = np.full((2, len(values)), np.nan)
    if len(series) >= MIN_WEEKS:
        bootstrap = StationaryBootstrap(block, series, seed=SEED)
        ends = np.quantile(
            bootstrap.apply(statistic, N_RESAMPLES), [(1.0 - CONFIDENCE) / 2, (1.0 + CONFIDENCE) / 2], axis=0
        )
    return [Estimate(*map(float, each)) for each in zip(values, *ends, strict=True)]


def block_length(series: FloatArray) -> int:
    """Give the mean block length, in whole weeks, that series (n_weeks, n_series) are resampled with.

    It is arch's estimate (Politis & White 2004), the longest over the series; 1 with fewer than `MIN_WEEKS` weeks.
    """
    from arch.bootstrap import optimal_block_length

    if len(series) < MIN_WEEKS:
        return 1
    with np.errstate(divide="ignore", invalid="ignore"):  # a series that never moves has no correlation with itself
        lengths = optimal_block_length(series)["stationary"].to_numpy()
    return int(max([1.0, *np.ceil(lengths[np.isfinite(lengths)])]))


def mean_estimates(weekly: pd.DataFrame) -> pd.DataFrame:
    """Give the mean of each column with its interval: ``value``, ``low`` and ``high``, a row a column.

    NaN is no value that week, left out of its own column; a column without any has NaN as its mean.
    """
    found = pd.DataFrame(np.nan, weekly.columns, Estimate._fields)
    known = weekly.notna().to_numpy()
    for weeks in np.unique(known, axis=1).T:  # series that know the same weeks are drawn together
        names = weekly.columns[(known == weeks[:, None]).all(axis=0)]
        if weeks.any():
            series = weekly.loc[weeks, names].to_numpy()
            found.loc[names] = estimates(series, lambda drawn: drawn.mean(axis=0), block_length(series))
    return found
