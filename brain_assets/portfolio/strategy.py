"""A strategy in the market, week after week: how policies and baselines are backtested, all after the same costs.

The weights that it traded to are stored as JSON by symbol, zeros left out.

How many configurations were tried counts as well: whoever tries many and shows the best shows luck. Every backtest of a
year leaves one file for each policy, ``trials/<family>-<configuration>-<year>.json``, so runs that are repeated count
once. Other training seeds of one configuration are no trials: all are shown. What was tried before, to choose the
defaults, is in `TUNING_TRIALS`.
"""

import json
import math
from collections.abc import Callable, Iterable, Mapping, Sequence
from typing import Any, NamedTuple

import numpy as np
import pandas as pd

from brain_assets.arrays import FloatArray
from brain_assets.configuration import ModelConfig, build
from brain_assets.errors import ConfigError, TableError
from brain_assets.paths import DataPath, list_names, read_all, replace_file
from brain_assets.portfolio import arithmetic
from brain_assets.portfolio.arithmetic import BASIS_POINT, WEEKS_PER_YEAR, PortfolioConstraints
from brain_assets.portfolio.dataset import PolicyDataset
from brain_assets.store.fingerprint import hash_json

Choose = Callable[[int, FloatArray], FloatArray]
"""From the position of a week, and the weights held at the close before it, to those to trade to: at decision time."""

CASH = "cash"
"""Name of what is not invested, beside the symbols."""

TUNING_TRIALS = {"lstm": 68, "patchtst": 69, "ridge": 2, "boosting": 4, "ppo": 24, "sac": 22, "direct": 10}
"""Family -> configurations that were compared to choose its defaults. ``benchmarks/README.md`` lists them, and says
after each comparison how many they were, in lines of which these are the sums."""


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


class Trial(ModelConfig):
    """A configuration of a policy in one year, out of sample."""

    family: str
    configuration: str  # hash of that of the policy, and of that of the forecaster whose forecasts it trades on
    year: int
    n_weeks: int
    mean: float  # of the weekly net returns
    std: float  # with n_weeks - 1 degrees of freedom; 0 with one week


def record_trial(
    folder: DataPath, family: str, year: int, net_return: np.ndarray, options: Mapping[str, Any], forecaster: str | None
) -> None:
    """Leave a file of what a configuration earned in a year, from the returns of its weeks after costs; at least one.

    `options` is the policy's ``config.json``, `forecaster` the hash of the forecaster's configuration; None: not known.
    """
    made = {"policy": dict(options), "forecaster": forecaster}
    std = float(net_return.std(ddof=1)) if len(net_return) > 1 else 0.0
    digest, mean = hash_json(made)[:12], float(net_return.mean())
    trial = Trial(family=family, configuration=digest, year=year, n_weeks=len(net_return), mean=mean, std=std)
    content = json.dumps({"trial": trial.model_dump(), **made}, indent=2) + "\n"
    replace_file(folder / f"{family}-{digest}-{year}.json", content)


def read_trials(folder: DataPath) -> list[Trial]:
    """Read all trials of a folder; `TableError` if a file is none: fewer than there were would flatter the result."""
    trials = []
    paths = [folder / name for name in list_names(folder) if name.endswith(".json") and not name.startswith(".")]
    contents = read_all(paths)
    for path in paths:
        try:
            trials.append(build(Trial, json.loads(next(contents) or b"")["trial"], complete=True))
        except (OSError, ValueError, KeyError, TypeError, ConfigError) as error:
            raise TableError(
                f"{path}: expected the record of a configuration that was tried, got {error!r}; run that year's "
                "backtest again, and remove the file if it is of a configuration that you no longer have."
            ) from error
    return trials


def weekly_sharpe_ratios(trials: Sequence[Trial]) -> FloatArray:
    """Give the weekly Sharpe ratio of every configuration tried, over all years that it has, (n_configurations,).

    In the order in which configurations first come. 0 where returns never moved: it held cash, and was a trial.
    """
    years: dict[tuple[str, str], list[tuple[int, float, float]]] = {}
    for trial in (trial for trial in trials if trial.n_weeks > 0):
        years.setdefault((trial.family, trial.configuration), []).append((trial.n_weeks, trial.mean, trial.std))
    ratios = np.zeros(len(years))
    for place, found in enumerate(years.values()):
        n_weeks, means, deviations = np.array(found).T
        mean = np.average(means, weights=n_weeks)
        squares = ((n_weeks - 1.0) * deviations**2 + n_weeks * (means - mean) ** 2).sum()
        deviation = math.sqrt(squares / max(n_weeks.sum() - 1.0, 1.0))  # of the weeks of all years
        if deviation > 1e-12:
            ratios[place] = mean / deviation
    return ratios


def deflated_sharpe(net: FloatArray, trial_ratios: FloatArray, n_tuned: int) -> float:
    """Give the probability that a true Sharpe ratio is above the best that trials without skill are expected to reach.

    As of Bailey & López de Prado (2014). The trials are those recorded, `trial_ratios` of `weekly_sharpe_ratios`, and
    `n_tuned` others, which chose the defaults. How far their ratios lie apart is known of those recorded; where that is
    one only, it is what chance alone does to the ratio of as many weeks, one over their root (Lo 2002). NaN if none is.
    """
    from skfolio import measures

    if len(trial_ratios) == 0:
        return math.nan
    apart = float(trial_ratios.std(ddof=1)) if len(trial_ratios) > 1 else len(net) ** -0.5
    best = measures.expected_max_sharpe_ratio(len(trial_ratios) + n_tuned, apart)
    return float(measures.probabilistic_sharpe_ratio(net, best))
