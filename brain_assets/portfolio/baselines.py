"""What every policy has to beat: benchmark strategies, rules without learning, a line each in `BASELINES`.

Besides them there are three for each forecaster: the top third and the top tenth by its forecasts, and a tilt that
trades only what they promise to pay for. A rule chooses as a policy does: from what is known at decision time, under
the same trading rules.
"""

import math
import re
import warnings
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass
from functools import cache

import numpy as np
from threadpoolctl import ThreadpoolController

from brain_assets import registry
from brain_assets.arrays import BoolArray, FloatArray
from brain_assets.errors import TableError
from brain_assets.market.weekly import PAST_WEEKS
from brain_assets.portfolio import arithmetic
from brain_assets.portfolio.arithmetic import BASIS_POINT, WEEKS_PER_YEAR, PortfolioConstraints
from brain_assets.portfolio.dataset import PolicyDataset
from brain_assets.portfolio.strategy import Choose, follow
from brain_assets.registry import AVERAGE


@dataclass(frozen=True, eq=False)
class BaselineInputs:
    """What rules may look at; a row a week, known at its decision time except where `PolicyDataset` says otherwise."""

    weeks: PolicyDataset  # without its `forecast`
    forecasts: Mapping[str, FloatArray]  # of each family, (n_weeks, n_assets); finite where available
    past_returns: FloatArray  # `brain_assets.market.weekly.past_weekly_returns`, (n_weeks, 52, n_assets)


Rule = Callable[[BaselineInputs, PortfolioConstraints], Choose]


def equal_weight(known: BaselineInputs, rules: PortfolioConstraints) -> Choose:
    """Hold the same of each available asset, set right every week."""
    return follow(arithmetic.equal_weight(known.weeks.available, rules))


def buy_and_hold(known: BaselineInputs, rules: PortfolioConstraints) -> Choose:
    """Buy the same of each available asset in the first week, then trade only what the trading rules ask for.

    The order "trade nothing" is given at decision time, and gives the weights that have drifted until the open, or the
    nearest that keep the rules.
    """
    start = arithmetic.equal_weight(known.weeks.available, rules)

    def choose(week: int, held: FloatArray) -> FloatArray:
        if not held[:-1].any():  # cash of weeks without any asset available is 1 but for its last digits
            return start[week]
        drifted = held.copy()
        drifted[:-1], growth = arithmetic.drift(held[:-1], known.weeks.pre_open_return[week])
        drifted[-1] /= growth
        return arithmetic.project(drifted, known.weeks.available[week], rules)

    return choose


def top(scores: FloatArray, parts: int, known: BaselineInputs, rules: PortfolioConstraints) -> Choose:
    """Hold the same of each asset in the upper one of `parts`, rounded up, by score, (n_weeks, n_assets); NaN: not.

    Their weights have no cap, which a few could not be invested under: two of six symbols would leave 60 % in cash.
    """
    available = known.weeks.available & np.isfinite(scores)
    ranked = np.argsort(-np.where(available, scores, -math.inf), axis=1, kind="stable")
    place = np.argsort(ranked, axis=1, kind="stable")
    chosen = place < np.ceil(available.sum(axis=1, keepdims=True) / parts)
    return follow(arithmetic.equal_weight(chosen & available, rules.replace(max_weight=1.0)))


def minimum_variance(known: BaselineInputs, rules: PortfolioConstraints) -> Choose:
    """Hold what varied least together over the past 52 weeks: covariance shrunk as by Ledoit & Wolf (2004)."""
    from skfolio.moments import LedoitWolf
    from skfolio.optimization import MeanRisk
    from skfolio.prior import EmpiricalPrior

    def weigh(past: FloatArray, *_: object) -> FloatArray:
        model = MeanRisk(  # minimizes the variance, unless told otherwise
            prior_estimator=EmpiricalPrior(covariance_estimator=LedoitWolf()),
            max_weights=rules.max_weight,
            budget=min(1.0 - rules.min_cash, rules.max_weight * past.shape[1]),
        )
        return model.fit(past).weights_

    return _by_past_returns(known, rules, weigh)


def hierarchical_risk_parity(known: BaselineInputs, rules: PortfolioConstraints) -> Choose:
    """Share out risk down a tree of assets that moved together over the past 52 weeks (López de Prado 2016)."""
    from skfolio.cluster import HierarchicalClustering
    from skfolio.optimization import SchurComplementary
    from skfolio.seriation import HierarchicalSeriation

    model = SchurComplementary(  # with gamma 0 it is HierarchicalRiskParity, but has matrices instead of portfolios
        gamma=0.0,
        keep_monotonic=False,
        seriation_estimator=HierarchicalSeriation(  # asks for the order of the leaves only, not how many clusters
            hierarchical_clustering_estimator=HierarchicalClustering(max_clusters=1)
        ),
    )

    def weigh(past: FloatArray, *_: object) -> FloatArray:
        with warnings.catch_warnings(action="ignore", category=UserWarning):  # of more assets than weeks, every week
            weights: FloatArray = model.fit(past).weights_
        return weights * (1.0 - rules.min_cash)

    return _by_past_returns(known, rules, weigh)


INFORMATION_COEFFICIENT = 0.02  # that a tilt expects of every forecaster; both were named before any tilt was run
TRACKING_ERROR = 0.02  # deviation a year from equal weight of a tilt that has neither costs nor bounds


def forecast_tilt(family: str) -> Rule:
    """Make the rule that tilts equal weight toward a family's forecasts, as far as a week of it pays for its trades.

    Every week it maximizes ``alpha' x - cost * sum|w - held| - aversion / 2 * x' S x`` over the weights w that the
    rules allow, x = w - equal weight, with as much cash as equal weight has (Grinold & Kahn 2000, chapters 14 and 16).
    S is the covariance of past returns less their mean over assets, shrunk as by Ledoit & Wolf (2004). Alpha is
    information coefficient x volatility x score (Grinold 1994): the volatility of those returns, and the forecast's
    rank as a standard normal. At the aversion of root n x information coefficient over tracking error, n assets that
    move independently would stray from equal weight by just that (fundamental law, Grinold 1989).
    """

    def rule(known: BaselineInputs, rules: PortfolioConstraints) -> Choose:
        from scipy.special import ndtri
        from scipy.stats import rankdata
        from sklearn.covariance import ledoit_wolf_shrinkage

        program_of = cache(lambda n_assets: _tilt_program(n_assets, rules))

        def weigh(past: FloatArray, week: int, usable: BoolArray, held: FloatArray) -> FloatArray:
            score = ndtri((rankdata(known.forecasts[family][week, usable]) - 0.5) / past.shape[1])
            relative = past - past.mean(axis=1, keepdims=True)
            relative -= relative.mean(axis=0)
            volatility, shrinkage = relative.std(axis=0), ledoit_wolf_shrinkage(relative, assume_centered=True)
            weights: FloatArray = program_of(past.shape[1])(
                INFORMATION_COEFFICIENT * volatility * score / BASIS_POINT,
                held[:-1][usable],
                relative * math.sqrt((1.0 - shrinkage) / len(past)),
                math.sqrt(shrinkage * (volatility**2).mean()),
            )
            return weights

        return _by_past_returns(known, rules, weigh)

    return rule


def _tilt_program(n_assets: int, rules: PortfolioConstraints) -> Callable[..., FloatArray]:
    """Compile the program of `forecast_tilt` for a number of assets; solving it again with other numbers is fast."""
    import cvxpy as cp

    even = arithmetic.equal_weight(np.ones(n_assets, dtype=np.bool_), rules)[:-1]
    aversion = INFORMATION_COEFFICIENT * math.sqrt(n_assets * WEEKS_PER_YEAR) / TRACKING_ERROR
    alpha, held, own = cp.Parameter(n_assets), cp.Parameter(n_assets), cp.Parameter(nonneg=True)
    factors, active = cp.Parameter((PAST_WEEKS, n_assets)), cp.Variable(n_assets)  # of the covariance, but for `own`
    risk = cp.sum_squares(factors @ active) + cp.sum_squares(own * active)
    cost = rules.cost_bps * cp.norm1(active + even - held)
    program = cp.Problem(  # in basis points: the solver's tolerance is absolute
        cp.Maximize(alpha @ active - cost - aversion / 2 / BASIS_POINT * risk),
        [active >= -even, active <= rules.max_weight - even, cp.sum(active) == 0],
    )

    def solve(*numbers: FloatArray | float) -> FloatArray:
        for parameter, value in zip((alpha, held, factors, own), numbers, strict=True):
            parameter.value = value
        program.solve(solver=cp.CLARABEL, warm_start=False)
        if program.status != cp.OPTIMAL:
            raise TableError(
                f"cost-aware tilt: expected weights of {n_assets} symbols that are optimal, got {program.status}; look "
                "for broken prices in the 52 weeks before."
            )
        return even + active.value

    return solve


def _by_past_returns(
    known: BaselineInputs,
    rules: PortfolioConstraints,
    weigh: Callable[[FloatArray, int, BoolArray, FloatArray], FloatArray],
) -> Choose:
    """Ask for weights of the assets whose past is known, none for the others and those that never moved.

    `weigh` has their past returns, (52, n), the position of the week, which assets they are, and all weights held.
    """
    threads = ThreadpoolController()  # one is fastest for matrices this small, and gives the same bits on every machine

    def choose(week: int, held: FloatArray) -> FloatArray:
        past = known.past_returns[week]
        usable: BoolArray = known.weeks.available[week] & np.isfinite(past).all(axis=0)
        usable &= np.ptp(np.where(usable, past, 0.0), axis=0) > 0.0
        weights = arithmetic.all_cash(known.weeks.n_assets)
        if usable.sum() == 1:
            weights[:-1] = usable
        elif usable.any():
            with threads.limit(limits=1):
                weights[:-1][usable] = weigh(past[:, usable], week, usable, held)
        weights[-1] = 1.0 - weights[:-1].sum()
        return arithmetic.project(weights, usable, rules)

    return choose


@dataclass(frozen=True)
class Baseline:
    """A rule, and what a reader of results calls it."""

    rule: Rule
    label: str
    forecaster: str | None = None  # family of the forecasts that it needs


EQUAL_WEIGHT, BUY_AND_HOLD = "equal_weight", "buy_and_hold"

BASELINES: Mapping[str, Baseline] = {
    EQUAL_WEIGHT: Baseline(equal_weight, "equal weight"),
    BUY_AND_HOLD: Baseline(buy_and_hold, "buy and hold"),
    "risk_parity": Baseline(hierarchical_risk_parity, "hierarchical risk parity"),
    "min_variance": Baseline(minimum_variance, "minimum variance"),
    "momentum_top": Baseline(lambda known, rules: top(known.weeks.momentum, 3, known, rules), "momentum, top third"),
    "past_year_top": Baseline(
        lambda known, rules: top((1.0 + known.past_returns[:, :-4]).prod(axis=1), 3, known, rules),
        "12-1 momentum, top third",
    ),
    "reversal_top": Baseline(
        lambda known, rules: top(-known.past_returns[:, -1], 3, known, rules), "1-week reversal, top third"
    ),
}
"""Those that need no forecaster, in the order in which reports show them."""

_TENTH = "_decile"
ENOUGH_FOR_TENTHS = 50
"""Symbols available in the first week of a backtest, below which the top tenths are left out."""


def benchmark_strategies(forecasters: Iterable[str]) -> dict[str, Baseline]:
    """Give `BASELINES`, and the rules that follow the forecasts of each of some families, kind by kind."""
    kinds: Mapping[str, tuple[str, Callable[[str], Rule]]] = {
        "_top": ("top third", lambda family: lambda known, rules: top(known.forecasts[family], 3, known, rules)),
        "_tilt": ("cost-aware tilt", forecast_tilt),
        _TENTH: ("top tenth", lambda family: lambda known, rules: top(known.forecasts[family], 10, known, rules)),
    }
    families = list(forecasters)
    labels = {family: f"{registry.label(family)} forecasts" for family in families} | {AVERAGE: "average of forecasts"}
    following = {
        f"{family}{kind}": Baseline(make(family), f"{labels[family]}, {words}", forecaster=family)
        for kind, (words, make) in kinds.items()
        for family in families
    }
    return {**BASELINES, **following}


def is_top(strategy: str) -> bool:
    """Tell whether a strategy holds the same of each symbol that leads by something; few may exceed the cap on one."""
    return strategy.endswith(("_top", _TENTH))


def is_benchmark(strategy: str) -> bool:
    """Tell whether a strategy is one of `benchmark_strategies`, whatever the forecasters; no family ends like them."""
    return strategy in BASELINES or strategy.endswith(("_top", "_tilt", _TENTH))


def is_tenth(strategy: str) -> bool:
    """Tell whether a strategy is one that only `ENOUGH_FOR_TENTHS` symbols have: some years may be without it."""
    return strategy.endswith(_TENTH)


def seed_strategy(family: str, number: int) -> str:
    """Spell the strategy that trades with a family's policy of another seed; `number` is 1 or more."""
    return f"{family}_seed_{number}"


def family_of_seed(strategy: str) -> str | None:
    """Read the family out of the name of such a strategy; None: it is another strategy."""
    match = re.fullmatch(r"(.+)_seed_(\d+)", strategy)
    return match[1] if match else None
