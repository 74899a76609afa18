"""A strategy in the market, week after week: how policies and baselines are backtested, all after the same costs.

The weights that it traded to are stored as JSON by symbol, zeros left out.
"""

import json
import math
from collections.abc import Callable, Iterable, Sequence
from typing import NamedTuple

import numpy as np
import pandas as pd

from brain_assets.arrays import FloatArray
from brain_assets.portfolio import arithmetic
from brain_assets.portfolio.arithmetic import BASIS_POINT, WEEKS_PER_YEAR, PortfolioConstraints
from brain_assets.portfolio.dataset import PolicyDataset

Choose = Callable[[int, FloatArray], FloatArray]
"""From the position of a week, and the weights held at the close before it, to those to trade to: at decision time."""

CASH = "cash"
"""Name of what is not invested, beside the symbols."""


class StrategyRun(NamedTuple):
    """What a strategy did and earned, a row a week, as in `StepResult`; known at the last close of the week."""

    weights: FloatArray  # (n_weeks, n_assets + 1): traded to at the first open, cash last; known at decision time
    net_return: FloatArray
    turnover: FloatArray
    held: FloatArray  # (n_assets + 1,): at the last close of the last week, where a next run goes on from

    @property
    def cagr(self) -> float:
        """Geometric mean of the net return, a year of 52 weeks."""
        return float(annual_return(self.net_return))


def run_strategy(
    weeks: PolicyDataset, rules: PortfolioConstraints, choose: Choose, held: FloatArray | None = None
) -> StrategyRun:
    """Take a portfolio through the weeks, from the weights `held`, (n_assets + 1,); default: all in cash."""
    n_weeks = len(weeks)
    weights = np.empty((n_weeks, weeks.n_assets + 1))
    net_return, turnover = np.empty(n_weeks), np.empty(n_weeks)
    held = arithmetic.all_cash(weeks.n_assets) if held is None else held
    for week in range(n_weeks):
        weights[week] = choose(week, held)
        result = arithmetic.step(held, weeks.pre_open_return[week], weights[week], weeks.weekly_return[week], rules)
        net_return[week], held, turnover[week] = result
    return StrategyRun(weights, net_return, turnover, held)


def follow(targets: FloatArray) -> Choose:
    """Trade to each week's row of `targets`, (n_weeks, n_assets + 1), whatever is held."""
    return lambda week, _: targets[week]


def run_equal_weight(weeks: PolicyDataset, rules: PortfolioConstraints, held: FloatArray | None = None) -> StrategyRun:
    """Hold the same weight of each available asset, set right every week; arguments as in `run_strategy`."""
    return run_strategy(weeks, rules, follow(arithmetic.equal_weight(weeks.available, rules)), held)


def annual_return(net_returns: FloatArray) -> FloatArray:
    """Give the geometric mean return a year of weekly returns above -1, (n_weeks, ...); shape (...)."""
    return np.expm1(np.log1p(net_returns).mean(axis=0) * WEEKS_PER_YEAR)


def gross_return(net_return: FloatArray, turnover: FloatArray, rules: PortfolioConstraints) -> FloatArray:
    """Give what the same trades would have earned without costs; any shape, that of `turnover` too."""
    return (1.0 + net_return) / (1.0 - arithmetic.trading_cost(turnover, rules)) - 1.0


def break_even_cost(gross_return: FloatArray, turnover: FloatArray, place: int) -> FloatArray:
    """Give the cost at which strategies earn, after costs, just what the one at a place does after its own.

    Weekly returns before costs and turnover are (n_weeks, n_strategies). In basis points of every dollar traded,
    (n_strategies,): the difference of mean log returns over that of mean turnovers, as Bessembinder & Chan (1995) have
    a return over its trades. Below zero: what loses before any cost. NaN: no more is traded than by the other.
    """
    lead, traded = np.log1p(gross_return).mean(axis=0), turnover.mean(axis=0)
    more = traded - traded[place]
    return (lead - lead[place]) / np.where(more > 1e-12, more, np.nan) / BASIS_POINT


def sharpe_ratio(net_returns: FloatArray) -> FloatArray:
    """Give weekly mean over sample deviation, times the root of 52 (Sharpe 1994); (n_weeks, ...) to (...)."""
    deviation = net_returns.std(axis=0, ddof=1)  # skfolio's takes ten times as long, and resampling asks 2,000 times
    moves = deviation > 1e-12  # below is what rounding leaves of equal returns
    ratio = net_returns.mean(axis=0) / np.where(moves, deviation, np.nan) * math.sqrt(WEEKS_PER_YEAR)
    return np.asarray(ratio)


def write_weights(weights: FloatArray, symbols: Sequence[str]) -> str:
    """Write the weights of a week, (n_symbols + 1,), cash last."""
    return json.dumps({name: float(w) for name, w in zip((*symbols, CASH), weights, strict=True) if w > 0})


def weights_table(texts: Iterable[str]) -> pd.DataFrame:
    """Read weights: a row a text, a column a symbol as they first come, `CASH` last."""
    table = pd.DataFrame([json.loads(text) for text in texts]).fillna(0.0)
    symbols = [name for name in table.columns if name != CASH]
    return table.reindex(columns=[*symbols, CASH], fill_value=0.0).astype(np.float64)
