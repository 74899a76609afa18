"""Steps a second of the portfolio environments, one thread: many episodes as arrays beside one."""

import statistics
import time
from typing import NamedTuple

import numpy as np

from brain_assets.market.signals import SIGNALS
from brain_assets.portfolio.arithmetic import LOGIT_BOUND, PortfolioConstraints
from brain_assets.portfolio.dataset import PolicyDataset
from brain_assets.portfolio.environment import VectorizedPortfolioEnv
from brain_assets.portfolio.observations import fit_observation_scaler

N_ENVS, N_ASSETS, N_WEEKS = 256, 20, 300
REACH_STEPS, REACH_RATIO = 500_000.0, 15.0


class EnvironmentSpeed(NamedTuple):
    """Medians over the repeats, in environment steps a second, each with the exact projection."""

    vectorized: float  # scores ~ N(0, 1)
    vectorized_actions: float  # actions ~ N(0, 1), that is scores ~ N(0, 10): every row must be projected
    single: float  # scores ~ N(0, 1)

    @property
    def ratio(self) -> float:
        return min(self.vectorized, self.vectorized_actions) / self.single


def random_weeks(seed: int = 0) -> PolicyDataset:
    random = np.random.default_rng(seed)
    shape = (N_WEEKS, N_ASSETS)
    return PolicyDataset(
        week_start=np.datetime64("2016-01-04", "D") + 7 * np.arange(N_WEEKS),
        symbols=tuple(f"S{i:02d}" for i in range(N_ASSETS)),
        forecast=random.normal(0.0, 0.003, shape),
        momentum=random.normal(0.0, 0.05, shape),
        volatility=random.uniform(0.01, 0.03, shape),
        signals=random.normal(size=(*shape, len(SIGNALS))),
        available=random.random(shape) > 0.05,
        pre_open_return=random.normal(0.0, 0.01, shape),
        weekly_return=random.normal(0.0, 0.04, shape),
    )


def measure(repeats: int = 7, n_steps: int = 400) -> EnvironmentSpeed:
    weeks = random_weeks()
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


def main() -> None:
    speed = measure()
    print(f"environment steps a second, {N_ENVS} episodes x {N_ASSETS} assets, exact projection, one thread")
    print(f"  vectorized, scores ~ N(0, 1)   {speed.vectorized:12,.0f}   reach >= {REACH_STEPS:,.0f}")
    print(f"  vectorized, actions ~ N(0, 1)  {speed.vectorized_actions:12,.0f}   reach >= {REACH_STEPS:,.0f}")
    print(f"  a single environment           {speed.single:12,.0f}")
    print(f"  ratio (the slower vectorized)  {speed.ratio:12.1f}   reach >= {REACH_RATIO:.0f}")


if __name__ == "__main__":
    main()
