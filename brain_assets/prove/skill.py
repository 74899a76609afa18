"""Proof that models find what is there, and nothing where nothing is: tests of power and of false positives.

Every test is made on markets from seeds (`brain_assets.market.base.KnownMarket`), with the families' default
configurations; the models learn up to a cut-off and are measured on the years after it.

Forecasters: a *share of the best possible* is the mean weekly rank correlation (with what came) of the forecasts over
that of the true expectation, on the same weeks, means over all seeds: the noise of those weeks is in both.

A policy *beats* equal weight if the 95 % interval of its mean weekly advantage, in log return after the same costs,
lies above zero. A higher growth alone would be no proof: of policies that know nothing, luck lets nearly half have it,
and one in forty pass this bar. Policies see the true expectation of each week, blurred to a rank correlation of about
`FORECAST_SKILL` with it (what a forecaster has of it), in the units of a weekly return; without a signal there is the
blur alone. News and filings are shown too.
"""

import datetime
import time
from collections.abc import Callable, Sequence
from typing import Any, NamedTuple

import numpy as np

from brain_assets import registry
from brain_assets.arrays import FloatArray
from brain_assets.forecasting.metrics import weekly_rank_correlation
from brain_assets.forecasting.training import train_snapshot
from brain_assets.market.base import KnownMarket, MarketNote
from brain_assets.market.calendar import Weeks
from brain_assets.market.prices import PricePanel
from brain_assets.market.signals import add_signals
from brain_assets.market.weekly import WeeklyPanel
from brain_assets.plugins import resolve
from brain_assets.portfolio.arithmetic import CONSTRAINTS
from brain_assets.portfolio.dataset import PolicyDataset, market_weeks
from brain_assets.portfolio.policies import train_policy_snapshot
from brain_assets.portfolio.policy import run_policies
from brain_assets.portfolio.strategy import run_equal_weight
from brain_assets.progress import report
from brain_assets.settings import read_settings
from brain_assets.store.names import cutoff_of_year

FORECAST_SKILL = 0.85
FORECAST_SPREAD = 0.005
"""Of the forecasts that policies see: rank correlation with the expectation, and standard deviation in a week."""

INTERVAL = 1.96  # standard errors on each side of a mean: a 95 % interval of a normal one

FULL, QUICK = (1990, 2014, 2020), (2003, 2012, 2019)
"""Histories: the first year, the last that is learned from, and the last that is measured."""


class SkillTest(NamedTuple):
    """What is asked of one family: of its power where there is a signal, of false positives where there is none.

    A forecaster: its share of the best possible is at least `bound`; without a signal, the 95 % interval of its mean
    weekly rank correlation covers zero in at least `bound` seeds. A policy: it beats equal weight in at least `bound`
    seeds; without a signal, in no more than `bound`.
    """

    family: str
    channel: str  # where the signal is injected
    signal: float  # its strength, the best possible weekly rank correlation; 0: there is none
    n_seeds: int  # seeds 0, 1, ... of the market, and of the model's own random numbers
    bound: float

    @property
    def is_of_policy(self) -> bool:
        """Whether the family is a policy."""
        return str(registry.get(self.family).role) == "policy"

    @property
    def name(self) -> str:
        """The test in a few words."""
        return f"{self.family} {f'power {self.signal:g}' if self.signal else 'false positives'} {self.channel}"

    @property
    def message(self) -> str:
        """The test as one sentence."""
        where = f"{self.signal:g} injected in {self.channel}" if self.signal else "no signal"
        seeds = f"{self.bound:g} of {self.n_seeds} seeds"
        if self.is_of_policy:
            asked = f"beats equal weight after costs in {'at least' if self.signal else 'no more than'} {seeds}"
        elif self.signal:
            asked = f"at least {self.bound:.0%} of the best possible, mean over {self.n_seeds} seeds"
        else:
            asked = f"the 95 % interval covers zero in at least {seeds}"
        return f"{self.family}, {where}: {asked}"


TESTS = (
    SkillTest("lstm", "reversal", 0.15, 5, 0.85),
    SkillTest("lstm", "reversal", 0.08, 5, 0.70),
    SkillTest("lstm", "reversal", 0.0, 20, 18),
    SkillTest("patchtst", "news", 0.15, 5, 0.80),
    SkillTest("patchtst", "news", 0.08, 5, 0.70),
    SkillTest("patchtst", "reversal", 0.15, 5, 0.80),
    SkillTest("patchtst", "reversal", 0.08, 5, 0.70),
    SkillTest("patchtst", "news", 0.0, 20, 18),
    *(
        SkillTest(family, *asked)
        for family in ("ridge", "boosting")
        for asked in (("reversal", 0.15, 5, 0.85), ("news", 0.15, 5, 0.85), ("reversal", 0.0, 20, 18))
    ),
    *(
        SkillTest(family, "reversal", *asked)
        for family in ("ppo", "sac", "direct")
        for asked in ((0.3, 10, 8), (0.0, 20, 2))
    ),
)
"""What is to hold of the families that were measured, on `FULL` histories; of any other, see `skill_tests`."""


def skill_tests(family: Any, quick: bool = False) -> list[SkillTest]:
    """Give what is to hold of a registered family; `quick`: on one `QUICK` history, or on few.

    Of a forecaster that nobody has measured: it finds half of a strong signal in what it sees (prices: a reversal,
    which is what past returns tell of the next; else news), and nothing where there is nothing. Of such a policy: it
    does not beat equal weight where there is nothing; that it does otherwise is its author's claim.
    """
    name, is_policy = family.name, family.role == "policy"
    if measured := [test for test in TESTS if test.family == name]:
        # ten years teach less, and one seed is uncertain by a tenth
        return [measured[0]._replace(n_seeds=1, bound=1 if is_policy else 0.6)] if quick else measured
    if is_policy:
        return [SkillTest(name, "reversal", 0.0, *((5, 1) if quick else (20, 2)))]
    channel = "reversal" if "close_return" in family.channels else "news"
    power = SkillTest(name, channel, 0.15, *((1, 0.4) if quick else (5, 0.5)))
    absent = SkillTest(name, channel, 0.0, *((3, 2) if quick else (20, 18)))
    return [power, absent] if {"close_return", "news_sentiment"} & set(family.channels) else [absent]


class SkillResult(NamedTuple):
    """A test, and what came of it."""

    test: SkillTest
    got: str  # what is held against the test's bound: a share, or a number of seeds
    passed: bool
    seconds: float = 0.0


def prove_skill(
    families: Sequence[str], quick: bool = False, on_progress: Callable[[str], None] = report
) -> list[SkillResult]:
    """Run all tests of some registered families, and give what came of each, passed or not.

    `quick`: one seed or a few, and a shorter history each (20 seconds for the LSTM). In full, a seed takes 25 to 45
    seconds (ridge and boosting: some 8), and there are 190 of them for ours: an hour or more on one core.
    `on_progress` is called with a line after every seed, and after every test.
    """
    chosen = [registry.get(family) for family in families]
    tests = [test for family in chosen for test in skill_tests(family, quick)]
    return [prove(test, QUICK if quick else FULL, on_progress) for test in tests]


def prove(
    test: SkillTest, history: tuple[int, int, int] = FULL, on_progress: Callable[[str], None] = report
) -> SkillResult:
    """Run one test, seed by seed."""
    started, measured = time.perf_counter(), []
    for seed in range(test.n_seeds):
        measured.append(measure(test, history, seed))
        value, error, best = measured[-1]
        of_best = f" of {best:.4f} possible" if np.isfinite(best) else ""
        on_progress(
            f"{test.name}: seed {seed + 1} of {test.n_seeds}: {value:+.4f} (standard error {error:.4f}){of_best}, "
            f"{time.perf_counter() - started:.0f} s so far"
        )
    found = judge(test, measured)._replace(seconds=time.perf_counter() - started)
    verdict = "holds" if found.passed else "FAILS"
    on_progress(f"{test.message}: got {found.got}, {verdict} ({found.seconds:.0f} s)")
    return found


def judge(test: SkillTest, measured: Sequence[tuple[float, float, float]]) -> SkillResult:
    """Hold what `measure` gave of each seed against a test's bound."""
    values, errors, best = np.array(measured).T
    if test.signal and not test.is_of_policy:
        share = float(values.mean() / best.mean())
        return SkillResult(test, f"{share:.0%}", share >= test.bound)
    if not test.is_of_policy:
        count = int((np.abs(values) <= INTERVAL * errors).sum())
        return SkillResult(test, f"{count}", count >= test.bound)
    count = int((values > INTERVAL * errors).sum())
    return SkillResult(test, f"{count}", count >= test.bound if test.signal else count <= test.bound)


def measure(test: SkillTest, history: tuple[int, int, int], seed: int) -> tuple[float, float, float]:
    """Train the family on a market with the signal up to the cut-off, and measure it on the years after it.

    Gives a mean over the weeks, its standard error, and the best mean that was possible: of the rank correlation
    (forecasters), or of the advantage over equal weight in log return (policies). The best is that of the true
    expectation on the same weeks; NaN without a signal and of policies.
    """
    first_year, cutoff_year, last_year = history
    settings = read_settings(market="simulator", symbols=())
    simulator = resolve(settings.brought.markets["simulator"])(settings)
    market: KnownMarket = simulator.with_signal(seed, test.signal, test.channel)
    days = datetime.date(first_year, 1, 1), datetime.date(last_year + 1, 1, 1)
    news = market.news_sentiment(*days, lambda titles: np.zeros(len(titles))).table
    panel = add_signals(PricePanel.from_frame(market.prices(*days)), news, market.fundamentals(*days).table)
    bars = WeeklyPanel.from_panel(panel)
    expected = market.expected_return(bars.weeks.start)
    cutoff_date, note = cutoff_of_year(cutoff_year), MarketNote.of(market)
    config_class = registry.get(test.family).Config
    config = config_class(**({"seed": seed} if "seed" in config_class.model_fields else {}))
    if test.is_of_policy:
        weeks = market_weeks(bars, blurred(expected, seed))
        return *_mean(_advantage(test.family, weeks, bars.weeks, cutoff_date, config, note)), float("nan")
    after = bars.weeks.start > np.datetime64(cutoff_date, "D")
    snapshot, bars = train_snapshot(test.family, panel, cutoff_date, config, note), bars.select(after)
    best = _mean(weekly_rank_correlation(expected[after], bars.realized))[0] if test.signal else float("nan")
    return *_mean(weekly_rank_correlation(snapshot.forecast(panel, bars.weeks), bars.realized)), best


def _advantage(
    family: str, weeks: PolicyDataset, times: Weeks, cutoff_date: datetime.date, config: Any, note: MarketNote
) -> FloatArray:
    """Train a policy on the weeks up to the cut-off; give its log returns after it less those of equal weight."""
    usable, cutoff = weeks.available.any(axis=1), np.datetime64(cutoff_date, "D")
    snapshot = train_policy_snapshot(family, weeks.select(usable & (times.end <= cutoff)), cutoff_date, config, note)
    weeks = weeks.select(usable & (times.start > cutoff))
    run = run_policies([snapshot], np.zeros(len(weeks), dtype=np.int64), [weeks])
    return np.log1p(run.net_return) - np.log1p(run_equal_weight(weeks, CONSTRAINTS).net_return)


def blurred(expectation: FloatArray, seed: int) -> FloatArray:
    """Make forecasts of a true expectation, as good as `FORECAST_SKILL`; where all is 0, of noise alone.

    Both are (n_weeks, n_assets), in the units of a weekly return; NaN where the expectation is not known.
    """
    noise = np.random.default_rng([seed, 7]).normal(size=expectation.shape)
    spread = np.nanstd(expectation, axis=1, keepdims=True)
    known = (expectation - np.nanmean(expectation, axis=1, keepdims=True)) / np.where(spread > 0, spread, 1.0)
    mixed = FORECAST_SKILL * known + np.sqrt(1 - FORECAST_SKILL**2) * noise
    return FORECAST_SPREAD * np.where(spread > 0, mixed, noise)


def _mean(weekly: FloatArray) -> tuple[float, float]:
    """Give the mean over the weeks that have a value, and its standard error."""
    known = weekly[np.isfinite(weekly)]
    return float(known.mean()), float(known.std(ddof=1) / np.sqrt(len(known)))
