"""Made-up markets with a known answer."""

import numpy as np

from brain_assets.market.signals import AGE, NEWS, SIGNALS
from brain_assets.portfolio.dataset import PolicyDataset

QUARTER_WEEKS = 13


def toy_weeks(n_weeks: int, n_assets: int, seed: int = 0, rank_correlation: float = 0.0) -> PolicyDataset:
    """Weeks whose forecast knows a little of the return.

    Returns have 4 % volatility a week, 30 % of their variance shared by all assets, and a drift of about 10 % a year;
    `rank_correlation` is that of the forecast with the part of the return that is the asset's own, about. Momentum,
    volatility and signals say nothing.
    """
    random = np.random.default_rng(seed)
    shape = (n_weeks, n_assets)
    signal = random.normal(size=shape)
    own = rank_correlation * signal + np.sqrt(1.0 - rank_correlation**2) * random.normal(size=shape)
    shared = random.normal(size=(n_weeks, 1))
    return PolicyDataset(
        week_start=np.datetime64("2016-01-04", "D") + 7 * np.arange(n_weeks),
        symbols=tuple(f"S{i:02d}" for i in range(n_assets)),
        forecast=0.003 * signal,
        momentum=random.normal(0.0, 0.05, shape),
        volatility=np.exp(random.normal(-4.0, 0.3, shape)),
        signals=toy_signals(n_weeks, n_assets, seed),
        available=np.ones(shape, dtype=np.bool_),
        pre_open_return=random.normal(0.0, 0.005, shape),
        weekly_return=0.002 + 0.04 * (np.sqrt(0.3) * shared + np.sqrt(0.7) * own),
    )


def toy_signals(n_weeks: int, n_assets: int, seed: int = 0) -> np.ndarray:
    """Signals that move as real ones do: news every week, ratios once a quarter around a level of the asset's own."""
    random = np.random.default_rng([seed, 1])
    n_quarters = -(-n_weeks // QUARTER_WEEKS)
    level = random.normal(size=(1, n_assets, len(SIGNALS)))
    ratios = 0.9 * level + 0.4 * random.normal(size=(n_quarters, n_assets, len(SIGNALS)))
    signals = np.repeat(ratios, QUARTER_WEEKS, axis=0)[:n_weeks]
    signals[:, :, NEWS] = random.normal(0.0, 0.2, (n_weeks, n_assets))
    first_filing = random.integers(QUARTER_WEEKS, size=n_assets)
    signals[:, :, AGE] = (np.arange(n_weeks)[:, None] + first_filing) % QUARTER_WEEKS / QUARTER_WEEKS
    return signals
