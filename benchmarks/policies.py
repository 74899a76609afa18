"""What policies cost and earn: a training and environment steps for `make bench`, and years of `sample`, 1994-2003.

``python -m benchmarks.policies /tmp/forecasts.parquet --families ppo,sac --seeds 3 --set trading_rate=0.2`` trains the
policies of 1993 to 2002, each with some seeds, and trades the year after each: defaults are chosen on no other years.
The forecasts (LSTM and PatchTST, momentum before 1994) are made where the file is absent.
"""

import argparse
import datetime
import json
import statistics
import time
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import pandas as pd

from brain_assets import registry
from brain_assets.device import CPU
from brain_assets.forecasting.training import train_snapshot
from brain_assets.forecasting.walkforward import build_forecast_features
from brain_assets.market.base import MarketNote
from brain_assets.market.prices import PricePanel
from brain_assets.market.sample import SampleMarket
from brain_assets.market.signals import SIGNALS, add_signals
from brain_assets.market.weekly import WeeklyPanel
from brain_assets.portfolio.arithmetic import CONSTRAINTS, LOGIT_BOUND, WEEKS_PER_YEAR, PortfolioConstraints
from brain_assets.portfolio.dataset import PolicyDataset, fit_observation_scaler, forecast_matrix, market_weeks
from brain_assets.portfolio.policies import training_weeks
from brain_assets.portfolio.policy import PolicyRunner
from brain_assets.portfolio.strategy import StrategyRun, run_equal_weight
from brain_assets.portfolio.training import VectorizedPortfolioEnv
from brain_assets.store.names import cutoff_of_year
from brain_assets_tests.portfolio.toy_results import Stored

N_WEEKS, N_ASSETS, N_ENVS = 520, 20, 256
FIRST_YEAR, TRADED_YEARS = 1990, range(1994, 2004)


def made_up_weeks(n_weeks: int = N_WEEKS, n_assets: int = N_ASSETS, seed: int = 0) -> PolicyDataset:
    """Ten years in which the forecast knows a little, and one week in twenty an asset is not available."""
    random = np.random.default_rng(seed)
    shape = (n_weeks, n_assets)
    forecast = random.normal(0.0, 0.003, shape)
    return PolicyDataset(
        week_start=np.datetime64("2010-01-04", "D") + 7 * np.arange(n_weeks),
        symbols=tuple(f"S{i:02d}" for i in range(n_assets)),
        forecast=forecast,
        momentum=random.normal(0.0, 0.05, shape),
        volatility=random.uniform(0.01, 0.03, shape),
        signals=random.normal(size=(*shape, len(SIGNALS))),
        available=random.random(shape) > 0.05,
        pre_open_return=random.normal(0.0, 0.01, shape),
        weekly_return=2.0 * forecast + random.normal(0.002, 0.04, shape),
    )


def measure() -> Mapping[str, float]:
    """Train each family once; imports are not counted."""
    weeks, seconds = made_up_weeks(), {}
    for name, family in registry.families_of().policies.items():
        family.fit(made_up_weeks(60), family.Config(**family.quick), CONSTRAINTS, lambda _: None, CPU)
        started = time.perf_counter()
        family.fit(weeks, family.Config(), CONSTRAINTS, lambda _: None, CPU)
        seconds[name] = time.perf_counter() - started
    return seconds


class EnvironmentSpeed(NamedTuple):
    """Medians over the repeats, in environment steps a second, each with the exact projection."""

    vectorized: float  # scores ~ N(0, 1)
    vectorized_actions: float  # actions ~ N(0, 1), that is scores ~ N(0, 10): every row must be projected
    single: float  # scores ~ N(0, 1)

    @property
    def ratio(self) -> float:
        return min(self.vectorized, self.vectorized_actions) / self.single


def environment_speed(repeats: int = 7, n_steps: int = 400) -> EnvironmentSpeed:
    """Step many episodes of 300 weeks as arrays, and one, on one thread."""
    weeks = made_up_weeks(300)
    scaler = fit_observation_scaler(weeks)
    random = np.random.default_rng(1)
    actions = random.normal(size=(64, N_ENVS, N_ASSETS + 1)).astype(np.float32)
    scores = (actions / LOGIT_BOUND).astype(np.float32)
    vectorized = VectorizedPortfolioEnv(weeks, scaler, N_ENVS, PortfolioConstraints())
    vectorized.seed(0)
    vectorized.reset()
    single = VectorizedPortfolioEnv(weeks, scaler, 1, PortfolioConstraints())
    single.reset()

    def time_vectorized(given: np.ndarray) -> float:
        start = time.perf_counter()
        for i in range(n_steps):
            vectorized.step(given[i % 64])
        return n_steps * N_ENVS / (time.perf_counter() - start)

    def time_single(given: np.ndarray) -> float:
        n_single = n_steps * 5
        start = time.perf_counter()
        for i in range(n_single):
            single.step(given[i % 64, i % N_ENVS][None])
        return n_single / (time.perf_counter() - start)

    rounds = [(time_vectorized(scores), time_vectorized(actions), time_single(scores)) for _ in range(repeats)]
    return EnvironmentSpeed(*(statistics.median(column) for column in zip(*rounds, strict=True)))


def sample_panel() -> PricePanel:
    """Give the market `sample` until the end of the traded years; later ones are not looked at."""
    market, days = SampleMarket(), (datetime.date(FIRST_YEAR, 1, 1), datetime.date(TRADED_YEARS[-1] + 1, 1, 1))
    tables = market.news_sentiment(*days).table, market.fundamentals(*days).table
    return add_signals(PricePanel.from_frame(market.prices(*days)), *tables)


def forecasts_of(panel: PricePanel, kept: Path) -> pd.DataFrame:
    """Read the walk-forward forecasts, or make and keep them."""
    if not kept.exists():
        note, dates = MarketNote.of(SampleMarket()), [cutoff_of_year(year - 1) for year in TRADED_YEARS]
        sources = {
            family: Stored(
                *(train_snapshot(family, panel, date, registry.get(family).Config(), note) for date in dates)
            )
            for family in ("lstm", "patchtst")
        }
        build_forecast_features(panel, range(FIRST_YEAR, TRADED_YEARS[-1] + 1), sources).to_parquet(kept)
    return pd.read_parquet(kept)


def walk_forward(
    family: str, bars: WeeklyPanel, forecasts: pd.DataFrame, config: Any
) -> Iterator[tuple[StrategyRun, StrategyRun]]:
    """Trade each year, from cash, with the policy that learned from all weeks before it; beside it equal weight."""
    policy = registry.get(family)
    weeks = market_weeks(bars, forecast_matrix(bars, forecasts, policy.follows(config)))
    for year in TRADED_YEARS:
        cutoff_date = cutoff_of_year(year - 1)
        learned = training_weeks(bars, forecasts, family, cutoff_date, config)
        start, end = (np.datetime64(cutoff_of_year(each), "D") for each in (year - 1, year))
        traded = weeks.select((weeks.week_start > start) & (weeks.week_start <= end))
        arrays = policy.fit(learned, config, CONSTRAINTS, lambda _: None, CPU)
        arrays = {**arrays, **fit_observation_scaler(learned).arrays}
        yield PolicyRunner(policy, arrays, config, traded, CONSTRAINTS).rollout(), run_equal_weight(traded, CONSTRAINTS)


def summary(runs: list[tuple[StrategyRun, StrategyRun]]) -> dict[str, float]:
    """Give figures a year, all but turnover and t in percent; `distance` is that to equal weight."""
    names = ("net_return", "turnover", "cost")
    own, equal = (
        {name: np.concatenate([getattr(run, name) for run in side]) for name in names}
        for side in zip(*runs, strict=True)
    )
    active = np.log1p(own["net_return"]) - np.log1p(equal["net_return"])
    costs = own["cost"].mean() - equal["cost"].mean()
    percent = 100 * WEEKS_PER_YEAR
    return {
        "cagr": 100 * np.expm1(WEEKS_PER_YEAR * np.log1p(own["net_return"]).mean()),
        "equal_weight": 100 * np.expm1(WEEKS_PER_YEAR * np.log1p(equal["net_return"]).mean()),
        "turnover": WEEKS_PER_YEAR * own["turnover"].mean(),
        "cost": percent * own["cost"].mean(),
        "active": percent * active.mean(),
        "gross_active": percent * (active.mean() + costs),
        "distance": 100 * np.mean([np.abs(a.weights - b.weights).sum(axis=1).mean() / 2 for a, b in runs]),
        "t": active.mean() / active.std(ddof=1) * np.sqrt(len(active)),
    }


def study(asked: argparse.Namespace) -> None:
    """Print a line a family and seed."""
    panel = sample_panel()
    bars, forecasts = WeeklyPanel.from_panel(panel), forecasts_of(panel, asked.forecasts)
    options = {name: json.loads(value) for name, value in (option.split("=", 1) for option in asked.set)}
    for family in asked.families.split(","):
        for seed in range(asked.first_seed, asked.first_seed + asked.seeds):
            config = registry.get(family).Config(**options, seed=seed)
            started = time.process_time()
            figures = summary(list(walk_forward(family, bars, forecasts, config)))
            line = " ".join(f"{name} {value:.2f}" for name, value in figures.items())
            print(f"{family} {asked.set} seed {seed}: {line} | {time.process_time() - started:.0f} s", flush=True)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("forecasts", type=Path, help="file of the forecasts of `sample`")
    parser.add_argument("--families", default="ppo,sac")
    parser.add_argument("--seeds", type=int, default=1)
    parser.add_argument("--first-seed", type=int, default=0)
    parser.add_argument(
        "--set", action="append", default=[], metavar="OPTION=JSON", help="of the policies' configuration"
    )
    study(parser.parse_args())


if __name__ == "__main__":
    main()
