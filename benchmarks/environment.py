"""Steps a second of the portfolio environments, one thread: many episodes as arrays beside one."""

import statistics
import time
from typing import NamedTuple

import numpy as np

from benchmarks.policies import made_up_weeks
from brain_assets.portfolio.arithmetic import LOGIT_BOUND, PortfolioConstraints
from brain_assets.portfolio.dataset import fit_observation_scaler
from brain_assets.portfolio.training import VectorizedPortfolioEnv

N_ENVS, N_ASSETS, N_WEEKS = 256, 20, 300


class EnvironmentSpeed(NamedTuple):
    """Medians over the repeats, in environment steps a second, each with the exact projection."""

    vectorized: float  # scores ~ N(0, 1)
    vectorized_actions: float  # actions ~ N(0, 1), that is scores ~ N(0, 10): every row must be projected
    single: float  # scores ~ N(0, 1)

    @property
    def ratio(self) -> float:
        return min(self.vectorized, self.vectorized_actions) / self.single


def measure(repeats: int = 7, n_steps: int = 400) -> EnvironmentSpeed:
    weeks = made_up_weeks(N_WEEKS, N_ASSETS)
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
