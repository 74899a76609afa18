"""Seconds to train one year's policy of each family, with its default configuration, one thread."""

import time
from collections.abc import Mapping

import numpy as np

from brain_assets import registry
from brain_assets.device import CPU
from brain_assets.market.signals import SIGNALS
from brain_assets.portfolio.constraints import CONSTRAINTS
from brain_assets.portfolio.dataset import PolicyDataset

N_WEEKS, N_ASSETS = 520, 20
REACH_SECONDS = 60.0


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
        small = family.Config(total_steps=1, n_envs=2, n_steps=2, batch_size=2)
        family.fit(made_up_weeks(60), small, CONSTRAINTS, lambda _: None, CPU)
        started = time.perf_counter()
        family.fit(weeks, family.Config(), CONSTRAINTS, lambda _: None, CPU)
        seconds[name] = time.perf_counter() - started
    return seconds


def main() -> None:
    for name, seconds in measure().items():
        print(f"{name}: {N_ASSETS} assets, {N_WEEKS} weeks: {seconds:.1f} s, reach {REACH_SECONDS:.0f} s")


if __name__ == "__main__":
    main()
