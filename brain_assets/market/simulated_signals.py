"""News and filings of the simulated market; `brain_assets.market.simulator` tells what they are."""

import numpy as np

from brain_assets.arrays import DateArray, FloatArray, IntArray
from brain_assets.market.schema import RATIOS
from brain_assets.market.signals import RATIO_LIMITS, carry_scores

ORIGIN_YEAR = 1990
"""The first simulated year: prices start at 100 dollars on its first session."""

NEWS_PROBABILITY, SCORE_DEVIATION = 0.4, 0.5
RATIO_LEVELS = {
    "gross_margin": (0.40, 0.15),
    "operating_margin": (0.15, 0.08),
    "net_margin": (0.10, 0.06),
    "current_ratio": (1.60, 0.50),
    "debt_to_equity": (0.80, 0.40),
}
"""Mean and standard deviation of a ratio's level over the symbols."""

RATIO_PERSISTENCE, RATIO_NOISE = 0.8, 0.1
"""Coefficient of a ratio's AR(1), and the standard deviation of its steps as a share of that of the levels."""

MIN_FILING_DAYS, MAX_FILING_DAYS = 30, 60
"""Days from the end of a quarter to its filing; the second is exclusive. Quarters are filed in order."""


def years_of(dates: DateArray) -> IntArray:
    """Give the calendar years of dates."""
    years: IntArray = dates.astype("datetime64[Y]").astype(np.int64) + 1970
    return years


def draw_news(seed: int, n_assets: int, sessions: DateArray) -> tuple[FloatArray, FloatArray]:
    """Draw scores and numbers of articles, 0 where there is no news; each (n_sessions, n_assets)."""
    years = years_of(sessions)
    scores, n_articles = np.zeros((2, len(sessions), n_assets))
    for year in np.unique(years):
        n_mine = int((years == year).sum())
        rng = np.random.default_rng([seed, year, 1])
        has_news, draws, more = (np.empty((n_mine, n_assets)) for _ in range(3))
        for row in range(n_mine):  # a session at a time: a longer range must not change an earlier session
            has_news[row], draws[row] = rng.random(n_assets), rng.normal(0.0, SCORE_DEVIATION, n_assets)
            more[row] = rng.poisson(1.0, n_assets)
        there = has_news < NEWS_PROBABILITY
        scores[years == year] = np.where(there, draws.clip(-1, 1), 0.0)
        n_articles[years == year] = np.where(there, 1 + more, 0)
    return scores, n_articles


def draw_filings(seed: int, n_assets: int, last_year: int) -> tuple[DateArray, DateArray, FloatArray]:
    """Draw filings: period ends (n_quarters,), dates of filing (n_quarters, n_assets), ratios (…, n_assets, 5)."""
    first_days = np.arange(f"{ORIGIN_YEAR}-04", f"{last_year + 1}-02", 3, dtype="datetime64[M]")
    period_end: DateArray = (first_days.astype("datetime64[D]").astype(np.int64) - 1).astype("datetime64[D]")
    rng = np.random.default_rng([seed, ORIGIN_YEAR - 2])
    mean, deviation = np.array(list(RATIO_LEVELS.values())).T
    level = mean + deviation * rng.normal(size=(n_assets, len(RATIOS)))
    ratios = np.empty((len(period_end), n_assets, len(RATIOS)))
    filed = np.empty((len(period_end), n_assets), dtype="datetime64[D]")
    moved = np.zeros((n_assets, len(RATIOS)))
    for quarter, day in enumerate(period_end):
        moved = RATIO_PERSISTENCE * moved + RATIO_NOISE * deviation * rng.normal(size=moved.shape)
        ratios[quarter] = level + moved
        filed[quarter] = day + rng.integers(MIN_FILING_DAYS, MAX_FILING_DAYS, n_assets)
    return period_end, filed, ratios


def known_channel(seed: int, n_assets: int, sessions: DateArray, channel: str) -> FloatArray:
    """Give a channel as `brain_assets.market.signals` has it at each close; NaN before the first filing.

    Returns
    -------
    ndarray of float64, shape (n_sessions, n_assets)
    """
    if channel == "news":
        scores, n_articles = draw_news(seed, n_assets, sessions)
        return carry_scores(scores.T, n_articles.T).T
    _, filed, ratios = draw_filings(seed, n_assets, int(years_of(sessions[-1:])[0]))
    values = np.clip(ratios[:, :, RATIOS.index(channel)], *RATIO_LIMITS[channel])
    known = np.full((len(sessions), n_assets), np.nan)
    for asset in range(n_assets):
        newest = np.searchsorted(filed[:, asset], sessions, side="left") - 1  # filed before the session, not on it
        known[:, asset] = np.where(newest >= 0, values[newest, asset], np.nan)
    return known
