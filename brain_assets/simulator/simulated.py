"""Prices, news and filings of the simulated market; `brain_assets.simulator.market` tells what they are.

Layout: arrays of factors are (n_sessions, 1 + N_SECTORS + n_assets): the market, the sectors, then each symbol's own.

The scale at which an injected signal reaches the rank correlation that it states: of n symbols with expectations d[i]
and conditional noise whose difference between i and j has the standard deviation s[i, j], the expected rank correlation
(Spearman's) of d with the realized returns follows from the expected ranks 1 + sum over j of P(i ends above j):

    E[r] = 12 / (n (n^2 - 1)) * sum over pairs i < j of (rank d[i] - rank d[j]) * (F((d[i] - d[j]) / s[i, j]) - 1/2)

F is the distribution of a pair's noise over its standard deviation: noise of a week has fatter tails than the normal,
so F is Student's t with `PAIR_DEGREES` degrees of freedom, scaled to a standard deviation of 1. (For normal noise this
is the small-sample form of s = 6 / pi * asin(rho / 2); Kruskal 1958, "Ordinal measures of association", section 5.)
With d = k * z, E[r] grows with k and is concave, so Newton's method from k = 0 comes from below and cannot overshoot.
"""

import datetime
import math
from functools import lru_cache
from typing import NamedTuple

import numpy as np

from brain_assets.arrays import DateArray, FloatArray, IntArray
from brain_assets.market.calendar import iso_week_numbers, sessions_between, years_of
from brain_assets.market.prices import PRICE_FIELDS
from brain_assets.market.schema import RATIOS
from brain_assets.market.signals import RATIO_LIMITS, carry_scores

CHANNELS = ("reversal", "news", *RATIOS)  # where a signal can be seen: in past returns, news or a ratio

PAIR_DEGREES = 12.0
"""Of Student's t for the difference of two symbols' noise over a week: its peak is that of simulated weeks."""

MAX_ALL_PAIRS, PARTNERS = 64, 32
"""Up to so many symbols, all pairs are counted; of more, so many partners of each symbol stand for all."""

NEWTON_STEPS, TOLERANCE = 40, 1e-8
MOST_OF_REACH = 0.95  # of the rank correlation of infinite expectations: less than 1 where many symbols are alike
_UNIT = math.sqrt(PAIR_DEGREES / (PAIR_DEGREES - 2))
_PEAK = math.gamma((PAIR_DEGREES + 1) / 2) / (math.sqrt(PAIR_DEGREES * math.pi) * math.gamma(PAIR_DEGREES / 2))

ORIGIN_YEAR = 1990  # the first simulated year: prices start at 100 dollars on its first session
NEWS_PROBABILITY, SCORE_DEVIATION = 0.4, 0.5
RATIO_LEVELS = {
    "gross_margin": (0.40, 0.15),
    "operating_margin": (0.15, 0.08),
    "net_margin": (0.10, 0.06),
    "current_ratio": (1.60, 0.50),
    "debt_to_equity": (0.80, 0.40),
}
"""Mean and standard deviation of a ratio's level over the symbols."""

RATIO_PERSISTENCE, RATIO_NOISE = 0.8, 0.1  # the second as a share of the deviation of the levels
MIN_FILING_DAYS, MAX_FILING_DAYS = 30, 60  # from the end of a quarter; the second is exclusive
N_SECTORS = 5  # symbol i belongs to sector i modulo this
MARKET_VOLATILITY, SECTOR_VOLATILITY = 0.008, 0.007
OWN_VOLATILITIES = (0.010, 0.017)
TAIL_DEGREES = 5  # of Student's t
ARCH, GARCH = 0.08, 0.89
SHARED_VARIANCE = 0.7  # of the market's state in that of sectors and symbols
OVERNIGHT = 0.25  # share of a day's variance between last close and open
LOOKBACK_SESSIONS = 5
SHOCKS, OTHERS = 2, 3  # random streams of a year; 1 is that of the news


class Recipe(NamedTuple):
    """All that the prices follow from, but for how far they are asked for."""

    seed: int
    n_assets: int
    signal: float  # weekly rank correlation that a perfect forecaster reaches; 0: nothing can be known
    channel: str  # where the signal can be seen, one of `CHANNELS`


class SimulatedPrices(NamedTuple):
    """Bars from `ORIGIN_YEAR` on, and what could be expected of them."""

    sessions: DateArray
    values: FloatArray  # (n_sessions, n_assets, 5), in the order of `PRICE_FIELDS`
    drift: FloatArray
    """(n_sessions, n_assets): injected expectation of the log return of the session's week; known at the close before
    the week."""


class _Noise(NamedTuple):
    """What moves symbols without a signal; log returns of shape (n_sessions, n_assets)."""

    overnight: FloatArray
    intraday: FloatArray
    variance: FloatArray  # state of each factor, known at the close before; (n_sessions, n_factors)
    own: FloatArray  # standard deviation of each symbol's own part; (n_assets,)


@lru_cache(maxsize=4)
def simulate(recipe: Recipe, last_year: int) -> SimulatedPrices:
    """Make the prices up to the end of a year."""
    # two weeks more than the year: the week that straddles New Year is whole, whatever range was asked for
    sessions = sessions_between(datetime.date(ORIGIN_YEAR, 1, 1), datetime.date(last_year + 1, 1, 15))
    noise = _noise(recipe, sessions)
    log_close, intraday, drift = _walk_weeks(recipe, sessions, noise)
    log_open, log_close = log_close[:-1] + noise.overnight, log_close[1:]
    size = np.exp(_of_symbols(recipe, 1).normal(14, 0.5, recipe.n_assets))  # shares traded on an ordinary day
    above, below, busy = np.split(_draw(recipe.seed, sessions, OTHERS, 3 * recipe.n_assets), 3, axis=1)
    deviation = np.sqrt(MARKET_VOLATILITY**2 + SECTOR_VOLATILITY**2 + noise.own**2)
    now = deviation * np.sqrt(noise.variance[:, 1 + N_SECTORS :])
    moved = 0.5 + np.abs(noise.overnight + intraday) / deviation
    bars = {
        "open": 100 * np.exp(log_open),
        "high": 100 * np.exp(np.maximum(log_open, log_close) + 1e-4 + 0.3 * now * np.abs(above)),
        "low": 100 * np.exp(np.minimum(log_open, log_close) - 1e-4 - 0.3 * now * np.abs(below)),
        "close": 100 * np.exp(log_close),
        "volume": np.round(size * now * moved / deviation * np.exp(0.3 * busy)),
    }
    return SimulatedPrices(sessions, np.stack([bars[name] for name in PRICE_FIELDS], axis=2), drift)


def _of_symbols(recipe: Recipe, stream: int) -> np.random.Generator:
    """Draw what a symbol keeps for ever: 1 sizes, 3 volatilities (2: filings)."""
    return np.random.default_rng([recipe.seed, ORIGIN_YEAR - stream])


def _draw(seed: int, sessions: DateArray, stream: int, n_columns: int) -> FloatArray:
    """Draw standard normal numbers, a stream a year, so that later sessions do not change earlier ones."""
    years = zip(*np.unique(years_of(sessions), return_counts=True), strict=True)
    parts = [np.random.default_rng([seed, year, stream]).normal(size=(count, n_columns)) for year, count in years]
    return np.concatenate(parts)


def _noise(recipe: Recipe, sessions: DateArray) -> _Noise:
    """Draw shocks that are t: a normal over the root of a chi-square over its degrees, that from squared normals."""
    own = _of_symbols(recipe, 3).uniform(*OWN_VOLATILITIES, recipe.n_assets)
    n_factors = 1 + N_SECTORS + recipe.n_assets
    draws = _draw(recipe.seed, sessions, SHOCKS, n_factors * (2 + TAIL_DEGREES))
    draws = draws.reshape(len(sessions), 2 + TAIL_DEGREES, n_factors)
    fat = np.sqrt((TAIL_DEGREES - 2) / (draws[:, 2:] ** 2).sum(axis=1))  # (n_sessions, n_factors)
    night = np.sqrt(OVERNIGHT) * draws[:, 0] * fat
    day = np.sqrt(1 - OVERNIGHT) * draws[:, 1] * fat
    variance = _variances(night + day)
    scale = np.sqrt(variance)
    return _Noise(_by_symbol(night * scale, own), _by_symbol(day * scale, own), variance, own)


def _variances(shock: FloatArray) -> FloatArray:
    """Give each factor's variance state, mean 1, known at the close before; GARCH(1, 1) (Bollerslev 1986)."""
    state = np.ones_like(shock)
    squared = ARCH * shock**2 + GARCH
    for session in range(1, len(shock)):
        state[session] = 1 - ARCH - GARCH + state[session - 1] * squared[session - 1]
    state[:, 1:] = SHARED_VARIANCE * state[:, :1] + (1 - SHARED_VARIANCE) * state[:, 1:]
    return state


def _by_symbol(factor: FloatArray, own: FloatArray) -> FloatArray:
    """Add up what moves each symbol; (n_sessions, n_factors) to (n_sessions, n_assets)."""
    sector = np.arange(len(own)) % N_SECTORS
    moves: FloatArray = (
        MARKET_VOLATILITY * factor[:, :1]
        + SECTOR_VOLATILITY * factor[:, 1 : 1 + N_SECTORS][:, sector]
        + own * factor[:, 1 + N_SECTORS :]
    )
    return moves


def _walk_weeks(recipe: Recipe, sessions: DateArray, noise: _Noise) -> tuple[FloatArray, FloatArray, FloatArray]:
    """Give log closes over 100 dollars (n_sessions + 1, n_assets), intraday moves, and drifts, week by week."""
    channel = None
    if recipe.channel != "reversal" and recipe.signal > 0:
        channel = known_channel(recipe.seed, recipe.n_assets, sessions, recipe.channel)
    weeks = iso_week_numbers(sessions)
    first_of_week = np.flatnonzero(np.diff(weeks, prepend=weeks[0] - 1))
    log_close = np.zeros((len(sessions) + 1, recipe.n_assets))  # row t + 1: the close of session t
    drift, intraday = np.zeros((len(sessions), recipe.n_assets)), noise.intraday.copy()
    for first, stop in zip(first_of_week, [*first_of_week[1:], len(sessions)], strict=True):
        if first >= LOOKBACK_SESSIONS and recipe.signal > 0:
            past = log_close[first - LOOKBACK_SESSIONS] - log_close[first]
            scores = _normal_scores(past if channel is None else channel[first - 1])
            drift[first:stop] = _drift(recipe.signal, scores, noise, slice(first, stop))
            intraday[first:stop] += drift[first:stop] / (stop - first)
        moves = noise.overnight[first:stop] + intraday[first:stop]
        log_close[first + 1 : stop + 1] = log_close[first] + np.cumsum(moves, axis=0)
    return log_close, intraday, drift


def _normal_scores(seen: FloatArray) -> FloatArray:
    """Turn what was seen into normal scores of its ranks (Blom 1958), mean 0; 0 where nothing was seen."""
    from scipy.special import ndtri
    from scipy.stats import rankdata

    there = np.isfinite(seen)
    scores = np.zeros(len(seen))
    if there.any():
        scores[there] = ndtri((rankdata(seen[there]) - 0.375) / (there.sum() + 0.25))
    return scores


def _drift(strength: float, seen: FloatArray, noise: _Noise, week: slice) -> FloatArray:
    """Give the week's expectations; (n_assets,)."""
    from scipy.stats import rankdata

    if len(seen) < 2 or np.ptp(seen) == 0:
        return np.zeros(len(seen))
    days = np.ones(week.stop - week.start)
    ahead = (ARCH + GARCH) ** np.arange(len(days))  # of a state's distance from 1 in the sessions to come
    days[0] -= OVERNIGHT  # the week begins at its first open
    expected = days.sum() + (days @ ahead) * (noise.variance[week.start] - 1)  # (n_factors,), variances of the week
    sector = SECTOR_VOLATILITY**2 * expected[1 : 1 + N_SECTORS][np.arange(len(seen)) % N_SECTORS]
    alone = noise.own**2 * expected[1 + N_SECTORS :]
    first, second = pairs = symbol_pairs(len(seen))
    apart = (first - second) % N_SECTORS != 0
    deviation = np.sqrt(alone[first] + alone[second] + apart * (sector[first] + sector[second]))
    return seen * solve_scale(seen, rankdata(seen), deviation, pairs, strength)


def symbol_pairs(n_assets: int) -> tuple[IntArray, IntArray]:
    """Give the pairs that are counted, each (n_pairs,): all, or those with `PARTNERS` / 2 neighbours on a ring."""
    if n_assets <= MAX_ALL_PAIRS:
        first, second = np.triu_indices(n_assets, 1)
        return first, second
    steps = np.unique(np.linspace(1, (n_assets - 1) // 2, PARTNERS // 2).astype(np.int64))
    first = np.repeat(np.arange(n_assets), len(steps))
    return first, (first + np.tile(steps, n_assets)) % n_assets


def solve_scale(
    z: FloatArray, rank: FloatArray, deviation: FloatArray, pairs: tuple[IntArray, IntArray], strength: float
) -> float:
    """Give k such that the expectations k * z reach a rank correlation in expectation, `strength` in (0, 1).

    `z` and `rank`, (n_assets,), are expectations but for their size, and their ranks, ties at their mean; `deviation`,
    (n_pairs,), is that of the difference of noise over the week of the `pairs`, known when `z` is. Where ties put the
    strength out of reach, as before most have filed, k is that of `MOST_OF_REACH`.
    """
    from scipy.special import stdtr

    first, second = pairs
    n_assets = len(z)
    counted = n_assets * (n_assets - 1) / 2 / len(first)
    weight = (rank[first] - rank[second]) * counted * 12 / (n_assets * (n_assets**2 - 1))
    step = (z[first] - z[second]) / deviation * _UNIT
    strength = min(strength, MOST_OF_REACH * float(np.abs(weight[step != 0]).sum()) / 2)
    k = strength / float(weight @ step * _PEAK)  # the first step, from 0
    for _ in range(NEWTON_STEPS):
        x = k * step
        missing = strength - weight @ (stdtr(PAIR_DEGREES, x) - 0.5)
        if missing < TOLERANCE:
            break
        density = _PEAK * (1 + x**2 / PAIR_DEGREES) ** (-(PAIR_DEGREES + 1) / 2)
        k += missing / (weight @ (step * density))
    return k


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
    """Give a channel as `brain_assets.market.signals` has it at each close, (n_sessions, n_assets).

    NaN before the first filing.
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
