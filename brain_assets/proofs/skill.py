"""Proof that models find what is there, and nothing where nothing is.

Every claim is put to markets made from seeds (market `simulator`), with the families' default
configurations; the models learn up to a cut-off and are measured on the years after it. A *share of the best possible*
is the mean weekly rank correlation (with what came) of the forecasts over that of the true expectation, on the same
weeks, means over all seeds: the noise of those weeks is in both.

A policy *beats* equal weight if the 95 % interval of its mean weekly advantage, in log return after the same costs,
lies above zero. A higher growth alone would be no proof: of policies that know nothing, luck lets nearly half have it,
and one in forty pass this bar.

What policies see: the true expectation of each week, blurred to a rank correlation of about `FORECAST_SKILL` with it
(what a forecaster has of it), in the units of a weekly return; without a signal there is the blur alone. News and
filings are shown too. They learn on the weeks up to the cut-off, and trade those after it through
`brain_assets.portfolio.policy.run_policies`.
"""

import datetime
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, NamedTuple

import numpy as np

from brain_assets import registry
from brain_assets.arrays import BoolArray, FloatArray
from brain_assets.errors import ConfigError
from brain_assets.forecasting.metrics import weekly_rank_correlation
from brain_assets.forecasting.training import train_snapshot
from brain_assets.market.base import KnownMarket, MarketNote
from brain_assets.market.prices import PricePanel
from brain_assets.market.signals import add_signals
from brain_assets.market.weekly import WeeklyBars
from brain_assets.plugins import resolve
from brain_assets.portfolio.market_weeks import market_weeks
from brain_assets.portfolio.policies import train_policy_snapshot
from brain_assets.portfolio.policy import run_policies
from brain_assets.portfolio.rules import RULES
from brain_assets.portfolio.strategy import run_equal_weight
from brain_assets.progress import report
from brain_assets.settings import read_settings
from brain_assets.store.names import cutoff_of_year

FORECAST_SKILL = 0.85
FORECAST_SPREAD = 0.005
"""Of the forecasts that policies see: rank correlation with the expectation, and standard deviation in a week."""

POLICY_SIGNAL = 0.3
"""Strength of what policies are tried on when there is something."""

INTERVAL = 1.96
"""Standard errors on each side of a mean: a 95 % interval of a normal one."""


@dataclass(frozen=True)
class History:
    """How much data a claim is put to."""

    first_year: int
    cutoff_year: int
    """The last year that is learned from."""
    last_year: int
    """The last year that is measured."""

    @property
    def cutoff_date(self) -> datetime.date:
        """The last day that is learned from."""
        return cutoff_of_year(self.cutoff_year)


FULL, QUICK = History(1990, 2014, 2020), History(2003, 2012, 2019)

KINDS = ("found", "absent", "beats", "beaten")


@dataclass(frozen=True)
class Claim:
    """What is asked of one family."""

    family: str
    kind: str
    """``found``: the share of the best possible is at least `bound`. ``absent``: the 95 % interval of the mean weekly
    rank correlation covers zero in at least `bound` seeds. ``beats``: the policy beats equal weight in at least `bound`
    seeds. ``beaten``: it beats it in no more than `bound` seeds."""
    planted: str
    """Channel of the signal."""
    signal: float
    """Its strength, the best possible weekly rank correlation."""
    n_seeds: int
    """Seeds 0, 1, ... of the market, and of the model's own random numbers."""
    bound: float

    @property
    def words(self) -> str:
        """The claim as one sentence."""
        where = (
            f"{self.family}, {self.signal:g} planted in {self.planted}" if self.signal else f"{self.family}, no signal"
        )
        return (
            where
            + {
                "found": f": at least {self.bound:.0%} of the best possible, mean over {self.n_seeds} seeds",
                "absent": f": the 95 % interval covers zero in at least {self.bound:g} of {self.n_seeds} seeds",
                "beats": f": beats equal weight after costs in at least {self.bound:g} of {self.n_seeds} seeds",
                "beaten": f": beats equal weight after costs in no more than {self.bound:g} of {self.n_seeds} seeds",
            }[self.kind]
        )


OURS: Mapping[str, tuple[Claim, ...]] = {
    "lstm": (
        Claim("lstm", "found", "reversal", 0.15, 5, 0.85),
        Claim("lstm", "found", "reversal", 0.08, 5, 0.70),
        Claim("lstm", "absent", "reversal", 0.0, 20, 18),
    ),
    "patchtst": (
        Claim("patchtst", "found", "news", 0.15, 5, 0.80),
        Claim("patchtst", "found", "news", 0.08, 5, 0.70),
        Claim("patchtst", "found", "reversal", 0.15, 5, 0.80),
        Claim("patchtst", "found", "reversal", 0.08, 5, 0.70),
        Claim("patchtst", "absent", "news", 0.0, 20, 18),
    ),
    **{
        family: (
            Claim(family, "beats", "reversal", POLICY_SIGNAL, 10, 8),
            Claim(family, "beaten", "reversal", 0.0, 20, 2),
        )
        for family in ("ppo", "sac")
    },
}
"""What is to hold of the families that were measured, on `FULL` histories; of any other, see `claims_of`."""

QUICK_OURS: Mapping[str, tuple[Claim, ...]] = {
    "lstm": (Claim("lstm", "found", "reversal", 0.15, 1, 0.60),),
    "patchtst": (Claim("patchtst", "found", "news", 0.15, 1, 0.60),),
    "ppo": (Claim("ppo", "beats", "reversal", POLICY_SIGNAL, 1, 1),),
    "sac": (Claim("sac", "beats", "reversal", POLICY_SIGNAL, 1, 1),),
}
"""What holds on one `QUICK` history: ten years teach less, and one seed is uncertain by a tenth."""


def claims_of(family: Any, quick: bool = False) -> tuple[Claim, ...]:
    """Give what is to hold of a registered family.

    Of a forecaster that nobody has measured: it finds half of a strong signal in what it sees (prices: a reversal,
    which is what past returns tell of the next; else news), and nothing where there is nothing. Of such a policy: it
    does not beat equal weight where there is nothing; that it does otherwise is its author's claim.
    """
    measured = (QUICK_OURS if quick else OURS).get(family.name)
    if measured is not None:
        return measured
    if family.role == "policy":
        return (Claim(family.name, "beaten", "reversal", 0.0, 5 if quick else 20, 1 if quick else 2),)
    sees_prices = "close_return" in family.channels
    injected = "reversal" if sees_prices else "news"
    found = Claim(family.name, "found", injected, 0.15, 1 if quick else 5, 0.4 if quick else 0.5)
    absent = Claim(family.name, "absent", injected, 0.0, 3 if quick else 20, 2 if quick else 18)
    return (found, absent) if sees_prices or "news_sentiment" in family.channels else (absent,)


class SeedResult(NamedTuple):
    """What one seed gave."""

    seed: int
    value: float
    error: float
    """Mean over the weeks, and its standard error: of the rank correlation (forecasters), or of the advantage over
    equal weight in log return (policies)."""
    best: float
    """Mean rank correlation of the true expectation, same weeks; NaN without a signal and of policies."""

    @property
    def covers_zero(self) -> bool:
        """Whether zero lies in the 95 % interval."""
        return abs(self.value) <= INTERVAL * self.error

    @property
    def above_zero(self) -> bool:
        """Whether the 95 % interval lies above zero."""
        return self.value > INTERVAL * self.error


@dataclass(frozen=True)
class Finding:
    """A claim, and what came of it."""

    claim: Claim
    seeds: tuple[SeedResult, ...]
    value: float
    """What is held against the claim's bound: a share, or a number of seeds."""
    passed: bool
    seconds: float

    @property
    def got(self) -> str:
        """What is held against the claim's bound, in words."""
        return f"{self.value:.0%}" if self.claim.kind == "found" else f"{self.value:g}"

    @property
    def words(self) -> str:
        """The finding as one sentence."""
        return f"{self.claim.words}: got {self.got}, {'holds' if self.passed else 'FAILS'} ({self.seconds:.0f} s)"


def prove_skill(
    families: Sequence[str], quick: bool = False, on_progress: Callable[[str], None] = report
) -> list[Finding]:
    """Put all claims about some registered families to the test, and give what came of each, passed or not.

    `quick`: one seed or a few, and a shorter history each (20 seconds for the LSTM). In full, a seed takes 25 to 45
    seconds, and there are 130 of them for ours: an hour or more on one core. `on_progress` is called with a line after
    every seed, and after every claim. Raises `PluginError` if there is no such family.
    """
    history = QUICK if quick else FULL
    chosen = [registry.get(family) for family in families]
    return [prove(claim, history, on_progress) for family in chosen for claim in claims_of(family, quick)]


def prove(claim: Claim, history: History = FULL, on_progress: Callable[[str], None] = report) -> Finding:
    """Put one claim to the test, seed by seed."""
    if claim.kind not in KINDS:
        raise ConfigError(f"kind: expected one of {', '.join(KINDS)}, got {claim.kind}; choose one of them.")
    started = time.perf_counter()
    measure = measure_forecaster if claim.kind in ("found", "absent") else measure_policy
    seeds = []
    for seed in range(claim.n_seeds):
        seeds.append(result := measure(claim, history, seed))
        of_best = f" of {result.best:.4f} possible" if np.isfinite(result.best) else ""
        on_progress(
            f"{claim.family} {claim.kind} {claim.signal:g} {claim.planted}: seed {seed + 1} of {claim.n_seeds}: "
            f"{result.value:+.4f} (standard error {result.error:.4f}){of_best}, "
            f"{time.perf_counter() - started:.0f} s so far"
        )
    finding = judge(claim, seeds, time.perf_counter() - started)
    on_progress(finding.words)
    return finding


def judge(claim: Claim, seeds: Sequence[SeedResult], seconds: float = 0.0) -> Finding:
    """Hold what the seeds gave against a claim's bound."""
    if claim.kind == "found":
        value = float(np.mean([seed.value for seed in seeds]) / np.mean([seed.best for seed in seeds]))
    elif claim.kind == "absent":
        value = float(sum(seed.covers_zero for seed in seeds))
    else:
        value = float(sum(seed.above_zero for seed in seeds))
    passed = value <= claim.bound if claim.kind == "beaten" else value >= claim.bound
    return Finding(claim, tuple(seeds), value, passed, seconds)


def measure_forecaster(claim: Claim, history: History, seed: int) -> SeedResult:
    """Train a forecaster on the years up to the cut-off, and correlate its forecasts of the years after it."""
    market, panel = _market(claim, history, seed)
    bars = WeeklyBars.from_panel(panel)
    bars = bars.select(_after(bars, history))
    config = _config(claim.family, seed)
    snapshot = train_snapshot(claim.family, panel, history.cutoff_date, config, MarketNote.of(market))
    value, error = _mean(weekly_rank_correlation(snapshot.forecast(panel, bars.weeks), bars.realized))
    best = float("nan")
    if claim.signal > 0:
        best, _ = _mean(weekly_rank_correlation(market.expected_return(bars.weeks.start), bars.realized))
    return SeedResult(seed, value, error, best)


def measure_policy(claim: Claim, history: History, seed: int) -> SeedResult:
    """Train a policy on the weeks up to the cut-off, and set its log returns after it beside those of equal weight."""
    market, panel = _market(claim, history, seed)
    bars = WeeklyBars.from_panel(panel)
    weeks = market_weeks(bars, blurred(market.expected_return(bars.weeks.start), seed))
    usable, after = weeks.available.any(axis=1), _after(bars, history)
    before: BoolArray = bars.weeks.end <= np.datetime64(history.cutoff_date, "D")
    config = _config(claim.family, seed)
    snapshot = train_policy_snapshot(
        claim.family, weeks.select(usable & before), history.cutoff_date, config, MarketNote.of(market)
    )
    weeks = weeks.select(usable & after)
    run = run_policies([snapshot], np.zeros(len(weeks), dtype=np.int64), weeks)
    advantage = np.log1p(run.net_return) - np.log1p(run_equal_weight(weeks, RULES).net_return)
    return SeedResult(seed, *_mean(advantage), float("nan"))


def blurred(expectation: FloatArray, seed: int) -> FloatArray:
    """Make forecasts of a true expectation, as good as `FORECAST_SKILL`; where all is 0, of noise alone.

    Both are (n_weeks, n_assets), in the units of a weekly return; NaN where the expectation is not known.
    """
    noise = np.random.default_rng([seed, 7]).normal(size=expectation.shape)
    spread = np.nanstd(expectation, axis=1, keepdims=True)
    known = (expectation - np.nanmean(expectation, axis=1, keepdims=True)) / np.where(spread > 0, spread, 1.0)
    mixed = FORECAST_SKILL * known + np.sqrt(1 - FORECAST_SKILL**2) * noise
    forecasts: FloatArray = FORECAST_SPREAD * np.where(spread > 0, mixed, noise)
    return forecasts


def _config(family: str, seed: int) -> Any:
    """Give a family's default configuration, with the seed if it draws random numbers."""
    config_class = registry.get(family).Config
    return config_class(**({"seed": seed} if "seed" in config_class.model_fields else {}))


def _market(claim: Claim, history: History, seed: int) -> tuple[KnownMarket, PricePanel]:
    settings = read_settings(market="simulator", symbols=())
    simulator: KnownMarket = resolve(settings.brought.markets["simulator"])(settings)
    market = simulator.with_signal(seed, claim.signal, claim.planted)
    days = datetime.date(history.first_year, 1, 1), datetime.date(history.last_year + 1, 1, 1)
    news = market.news_sentiment(*days, lambda titles: np.zeros(len(titles))).table
    return market, add_signals(PricePanel.from_frame(market.prices(*days)), news, market.fundamentals(*days).table)


def _after(bars: WeeklyBars, history: History) -> BoolArray:
    after: BoolArray = bars.weeks.start > np.datetime64(history.cutoff_date, "D")
    return after


def _mean(weekly: FloatArray) -> tuple[float, float]:
    """Give the mean over the weeks that have a value, and its standard error."""
    known = weekly[np.isfinite(weekly)]
    return float(known.mean()), float(known.std(ddof=1) / np.sqrt(len(known)))
