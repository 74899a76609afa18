"""Market `simulator`: a market made up from a seed, with a planted signal of known strength, or none.

Session t moves a symbol's log price by an overnight part (last close to open) and an intraday part (open to close):

    overnight[t] = 0.4 m[t] + 0.4 e[t],    intraday[t] = drift[w] / n[w] + 0.8 m'[t] + 0.8 e'[t]

m are common to all symbols and e their own, normal with the daily volatilities below. `drift[w]`, the true conditional
expectation of the week's log return apart from the common part, is fixed at the close before week w begins:

    drift[w] = - rho / sqrt(1 - rho^2) * sd(noise of a week) * z[w]

z[w] is what the signal is planted in, less the cross-section's mean, over its standard deviation: the return over
the last five sessions (`planted` = reversal), or minus the news as `brain_assets.market.signals.carry_scores` has them
at that close (news). For a bivariate normal pair the rank correlation is s = 6 / pi * asin(rho / 2) (Kruskal 1958,
"Ordinal measures of association"), so `signal` = s gives rho = 2 sin(pi s / 6). With a signal of zero, log prices are a
random walk.

News: on a session, a symbol has some with probability 0.4, 1 + Poisson(1) articles, and a score that is normal with a
standard deviation of 0.5, cut off at -1 and 1. Filings: every quarter, 30 to 59 days after its end; each ratio is its
symbol's level plus an AR(1) of coefficient 0.8. Unless planted in, neither says anything about returns.

Prices and news of every year are drawn from its own random streams, seeded by (seed, year), session by session, filings
quarter by quarter from one: asking for a longer range never changes an earlier row.
"""

import datetime
from functools import lru_cache

import numpy as np
import pandas as pd

from brain_assets.arrays import DateArray, FloatArray
from brain_assets.errors import MarketError
from brain_assets.market.base import ScoreHeadlines, SourcedTable
from brain_assets.market.calendar import iso_week_numbers, sessions_between
from brain_assets.market.fundamentals import RATIOS, validate_fundamentals
from brain_assets.market.news import validate_news
from brain_assets.market.prices import validate_prices
from brain_assets.market.signals import carry_scores

ORIGIN_YEAR = 1990
"""The first simulated year: prices start at 100 dollars on its first session."""

N_SYMBOLS = 20
LOOKBACK_SESSIONS = 5
MARKET_VOLATILITY = 0.008
OWN_VOLATILITY = 0.016
"""Standard deviations of the common and the own part of a day's log return."""

OVERNIGHT_SHARE, INTRADAY_SHARE = 0.4, 0.8
"""Of a day's standard deviation: 0.4^2 + 0.8^2 = 0.8 of its variance."""

PLANTED = ("reversal", "news")
"""What a signal can be planted in."""

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
"""Days from the end of a quarter to its filing; the second is exclusive."""


class SimulatorMarket:
    """A market with a known answer.

    Parameters
    ----------
    symbols : tuple of str
        Names; empty: ``SIM00`` to ``SIM19``. What a symbol does depends on its position, not its name.
    seed : int
        Same seed, same bars.
    signal : float
        The weekly rank correlation that a perfect forecaster reaches, 0 <= signal < 1.
    planted : str
        Where it can be seen: ``reversal`` (in prices) or ``news``.
    """

    name = "simulator"
    caveat = "Made up from a seed: nothing learned here says anything about a real market."

    def __init__(
        self, symbols: tuple[str, ...] = (), seed: int = 0, signal: float = 0.15, planted: str = "reversal"
    ) -> None:
        if planted not in PLANTED:
            raise MarketError(f"planted: expected one of {', '.join(PLANTED)}, got {planted}; choose one of them.")
        if not 0 <= signal < 1:
            raise MarketError(f"signal: expected a rank correlation in [0, 1), got {signal}; choose one below 1.")
        if signal > 0 and len(symbols) == 1:
            raise MarketError(
                f"simulator: expected two symbols or more, as the signal is relative to the others, got {symbols[0]}; "
                "add symbols or set signal to 0."
            )
        self._symbols = symbols or tuple(f"SIM{i:02d}" for i in range(N_SYMBOLS))
        self._seed = seed
        self._signal = signal
        self._planted = planted

    def last_complete_year(self) -> None:
        """Give None: there is every year that the clock has completed."""
        return

    def prices(self, start: datetime.date, end: datetime.date) -> pd.DataFrame:
        """Give the made-up bars; see `brain_assets.market.base.Market.prices`."""
        if start.year < ORIGIN_YEAR:
            raise MarketError(
                f"simulator: expected a start from {ORIGIN_YEAR} on, got {start}; raise BRAIN_FIRST_YEAR."
            )
        sessions, opening, close, _ = _simulate(self._seed, self._signal, self._planted, len(self._symbols), end.year)
        inside = (sessions >= np.datetime64(start)) & (sessions < np.datetime64(end))
        opening, close = opening[inside], close[inside]
        rng = np.random.default_rng([self._seed, ORIGIN_YEAR - 1])
        size = np.exp(rng.normal(14, 0.5, len(self._symbols)))
        frame = pd.DataFrame(
            {
                "date": np.repeat(sessions[inside].astype("datetime64[us]"), len(self._symbols)),
                "symbol": pd.array(np.tile(np.array(self._symbols, dtype=object), len(close)), dtype="str"),
                "open": opening.ravel(),
                "high": (np.maximum(opening, close) * 1.002).ravel(),
                "low": (np.minimum(opening, close) * 0.998).ravel(),
                "close": close.ravel(),
                "volume": np.round(size * (1 + 20 * np.abs(np.log(close / opening)))).ravel(),
            }
        )
        return validate_prices(frame, f"simulator from {start} to {end}")

    def news_sentiment(
        self,
        start: datetime.date,
        end: datetime.date,
        score: ScoreHeadlines,  # noqa: ARG002 - it makes scores, not headlines
    ) -> SourcedTable:
        """Give the made-up scores; see `brain_assets.market.base.Market.news_sentiment`."""
        sessions = sessions_between(datetime.date(ORIGIN_YEAR, 1, 1), end)
        scores, n_articles = _news(self._seed, len(self._symbols), sessions)
        session, asset = np.nonzero((n_articles > 0) & (sessions >= np.datetime64(start))[:, None])
        frame = pd.DataFrame(
            {
                "date": sessions[session].astype("datetime64[us]"),
                "symbol": pd.array(np.array(self._symbols, dtype=object)[asset], dtype="str"),
                "sentiment_score": scores[session, asset],
                "n_articles": n_articles[session, asset].astype(np.int64),
            }
        )
        return SourcedTable(validate_news(frame, f"simulator from {start} to {end}"), "made up")

    def fundamentals(self, start: datetime.date, end: datetime.date) -> SourcedTable:
        """Give the made-up filings; see `brain_assets.market.base.Market.fundamentals`."""
        period_end, filed, ratios = _filings(self._seed, len(self._symbols), end.year)
        quarter, asset = np.nonzero((filed >= np.datetime64(start)) & (filed < np.datetime64(end)))
        frame = pd.DataFrame(
            {
                "filed": filed[quarter, asset].astype("datetime64[us]"),
                "period_end": period_end[quarter].astype("datetime64[us]"),
                "symbol": pd.array(np.array(self._symbols, dtype=object)[asset], dtype="str"),
                **{name: ratios[quarter, asset, column] for column, name in enumerate(RATIOS)},
            }
        )
        return SourcedTable(validate_fundamentals(frame, f"simulator from {start} to {end}"), "made up")

    def expected_return(self, week_starts: DateArray) -> FloatArray:
        """Give the planted expectation of each week's log return, known at the close before the week.

        Parameters
        ----------
        week_starts : ndarray of datetime64[D], shape (n_weeks,)
            First sessions of weeks.

        Returns
        -------
        ndarray of float64, shape (n_weeks, n_assets)
            In the order of the symbols; the best forecast there is of the week's rank order.
        """
        last_year = int(week_starts.max().astype("datetime64[Y]").astype(int)) + 1970
        sessions, _, _, drift = _simulate(self._seed, self._signal, self._planted, len(self._symbols), last_year)
        return drift[np.searchsorted(sessions, week_starts)]


@lru_cache(maxsize=4)
def _simulate(
    seed: int, signal: float, planted: str, n_assets: int, last_year: int
) -> tuple[DateArray, FloatArray, FloatArray, FloatArray]:
    """Give sessions (n_sessions,), open and close in dollars, and the week's drift, each (n_sessions, n_assets)."""
    # two weeks more than the year: the week that straddles New Year is whole, whatever range was asked for
    sessions = sessions_between(datetime.date(ORIGIN_YEAR, 1, 1), datetime.date(last_year + 1, 1, 15))
    overnight, intraday = _noise(seed, n_assets, sessions)
    weeks = iso_week_numbers(sessions)
    week_first = np.flatnonzero(np.diff(weeks, prepend=weeks[0] - 1))
    if planted == "news" and signal > 0:
        scores, n_articles = _news(seed, n_assets, sessions)
        news = carry_scores(scores.T, n_articles.T).T
    rho = 2 * np.sin(np.pi * signal / 6)
    strength = rho / np.sqrt(1 - rho**2)
    log_close = np.zeros((len(sessions) + 1, n_assets))  # row t + 1: the close of session t; row 0: before the first
    drift = np.zeros((len(sessions), n_assets))
    for first, stop in zip(week_first, [*week_first[1:], len(sessions)], strict=True):
        if first >= LOOKBACK_SESSIONS and signal > 0:
            past = -news[first - 1] if planted == "news" else log_close[first] - log_close[first - LOOKBACK_SESSIONS]
            z = (past - past.mean()) / past.std()
            n_sessions = stop - first
            own_variance = n_sessions * INTRADAY_SHARE**2 + (n_sessions - 1) * OVERNIGHT_SHARE**2
            drift[first:stop] = -strength * OWN_VOLATILITY * np.sqrt(own_variance) * z
            intraday[first:stop] += drift[first:stop] / n_sessions
        moves = overnight[first:stop] + intraday[first:stop]
        log_close[first + 1 : stop + 1] = log_close[first] + np.cumsum(moves, axis=0)
    close = 100 * np.exp(log_close)
    return sessions, close[:-1] * np.exp(overnight), close[1:], drift


def _noise(seed: int, n_assets: int, sessions: DateArray) -> tuple[FloatArray, FloatArray]:
    """Draw the overnight and intraday noise of every session, a stream a year; each (n_sessions, n_assets)."""
    years = sessions.astype("datetime64[Y]").astype(int) + 1970
    overnight, intraday = np.empty((2, len(sessions), n_assets))
    for year in np.unique(years):
        mine = years == year
        rng = np.random.default_rng([seed, year])
        draws = rng.normal(size=(mine.sum(), 2, 1 + n_assets))
        moves = MARKET_VOLATILITY * draws[:, :, :1] + OWN_VOLATILITY * draws[:, :, 1:]
        overnight[mine] = OVERNIGHT_SHARE * moves[:, 0]
        intraday[mine] = INTRADAY_SHARE * moves[:, 1]
    return overnight, intraday


def _news(seed: int, n_assets: int, sessions: DateArray) -> tuple[FloatArray, FloatArray]:
    """Draw scores and numbers of articles, 0 where there is no news; each (n_sessions, n_assets)."""
    years = sessions.astype("datetime64[Y]").astype(int) + 1970
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


def _filings(seed: int, n_assets: int, last_year: int) -> tuple[DateArray, DateArray, FloatArray]:
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
