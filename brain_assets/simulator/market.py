"""Market `simulator`: a market made up from a seed, with an injected signal of known strength, or none.

The log price of symbol i of sector g moves on session t by an overnight part (last close to open) and an intraday part
(open to close), each the sum of a market, a sector and an own part of the same shape:

    0.008 M[t] + 0.007 S[g, t] + o[i] E[i, t],    o[i] drawn from [0.010, 0.017]

- Volatility clusters: each factor's shock is sqrt(h[t]) u[t], its state
  h[t] = 0.03 + 0.08 h[t-1] u[t-1]^2 + 0.89 h[t-1] has mean 1 (GARCH(1, 1), Bollerslev 1986). Sectors and symbols take
  seven tenths of the market's state and three of their own, so volatile times are shared.
- Tails are fat: u[t] is Student's t with 5 degrees of freedom over its standard deviation (Bollerslev 1987). A
  symbol's volatility is about 23 to 32 % a year.
- A quarter of a day's variance falls between last close and open. Sessions are those of the NYSE.
- Volume is the symbol's size times the root of h, times 0.5 + |day's log return| over its long-run deviation, times
  lognormal noise (the mixture of distributions of Clark 1973). High and low lie beyond open and close by half-normal
  steps.

The injected signal is seen in one channel at the close before a week: minus the return over the last five sessions
(reversal), the news or a ratio as `brain_assets.market.signals` has them (news, net_margin, ...). Its ranks over the
symbols become normal scores z, and

    drift[i] = k z[i],    spread evenly over the intraday parts of the week

is the true conditional expectation of the week's log return. k is solved for every week, from the variances known
at its decision, such that the expected rank correlation of the drift with the week's return is the stated strength
(`brain_assets.simulator.simulated` has the formula). What is not exact: the noise of a week is taken as t with a
fixed number of degrees, and a forecaster that knew volatilities too could rank by expected *rank* and gain a little.
With a strength of zero, log prices are a martingale (so prices grow by half their variance).

News: on a session, a symbol has some with probability 0.4, 1 + Poisson(1) articles, and a score that is normal with a
standard deviation of 0.5, cut off at -1 and 1. Filings: every quarter, 30 to 59 days after its end; each ratio is its
symbol's level plus an AR(1) of coefficient 0.8. Unless they carry the signal, neither says anything about returns.
Since levels stay, prices of a market whose signal is in a ratio drift far apart.

Prices and news of every year are drawn from its own random streams, seeded by (seed, year), session by session, filings
quarter by quarter from one: asking for a longer range never changes an earlier row.
"""

import datetime

import numpy as np
import pandas as pd

from brain_assets.arrays import DateArray, FloatArray, IntArray
from brain_assets.errors import MarketError
from brain_assets.market.base import ScoreHeadlines, SourcedTable
from brain_assets.market.calendar import sessions_between, years_of
from brain_assets.market.prices import PRICE_FIELDS
from brain_assets.market.schema import FUNDAMENTAL_TABLE, NEWS_TABLE, PRICE_TABLE, RATIOS
from brain_assets.settings import Settings
from brain_assets.simulator.simulated import CHANNELS, ORIGIN_YEAR, Recipe, draw_filings, draw_news, simulate

N_SYMBOLS = 20


class SimulatorMarket:
    """A market with a known answer.

    `symbols` are names, empty: ``SIM00`` to ``SIM19``; what one does depends on its position alone. `signal` is the
    weekly rank correlation that a perfect forecaster reaches, in [0, 1), 0: nothing can be known; `channel`, one of
    `CHANNELS`, where it can be seen.
    """

    name = "simulator"
    caveat = "Made up from a seed: nothing learned here says anything about a real market."

    def __init__(
        self, symbols: tuple[str, ...] = (), seed: int = 0, signal: float = 0.15, channel: str = "reversal"
    ) -> None:
        if channel not in CHANNELS:
            raise MarketError(f"channel: expected one of {', '.join(CHANNELS)}, got {channel}; choose one of them.")
        if not 0 <= signal < 1:
            raise MarketError(f"signal: expected a rank correlation in [0, 1), got {signal}; choose one.")
        if signal > 0 and len(symbols) == 1:
            raise MarketError(
                f"simulator: expected two symbols or more, as the signal is relative to the others, got {symbols[0]}; "
                "add symbols or set signal to 0."
            )
        self._symbols = symbols or tuple(f"SIM{i:02d}" for i in range(N_SYMBOLS))
        self._recipe = Recipe(seed, len(self._symbols), signal, channel)

    def last_complete_year(self) -> None:
        """Give None: there is every year that the clock has completed."""
        return

    def prices(self, start: datetime.date, end: datetime.date) -> pd.DataFrame:
        """Give the made-up bars; see `brain_assets.market.base.Market.prices`."""
        if start.year < ORIGIN_YEAR:
            raise MarketError(
                f"simulator: expected a start from {ORIGIN_YEAR} on, got {start}; raise BRAIN_FIRST_YEAR."
            )
        made = simulate(self._recipe, end.year)
        inside = (made.sessions >= np.datetime64(start)) & (made.sessions < np.datetime64(end))
        session, asset = np.nonzero(np.broadcast_to(inside[:, None], made.drift.shape))
        bars = made.values[session, asset]
        frame = self._table(asset, date=made.sessions[session])
        frame = frame.assign(**{name: bars[:, field] for field, name in enumerate(PRICE_FIELDS)})
        return PRICE_TABLE.validate(frame, f"simulator from {start} to {end}")

    def news_sentiment(self, start: datetime.date, end: datetime.date, score: ScoreHeadlines) -> SourcedTable:
        """Give the made-up scores; nothing is left to `score`. See `brain_assets.market.base.Market.news_sentiment`."""
        del score
        sessions = sessions_between(datetime.date(ORIGIN_YEAR, 1, 1), end)
        scores, n_articles = draw_news(self._recipe.seed, len(self._symbols), sessions)
        session, asset = np.nonzero((n_articles > 0) & (sessions >= np.datetime64(start))[:, None])
        frame = self._table(asset, date=sessions[session]).assign(
            sentiment_score=scores[session, asset], n_articles=n_articles[session, asset].astype(np.int64)
        )
        return SourcedTable(NEWS_TABLE.validate(frame, f"simulator from {start} to {end}"), "made up")

    def fundamentals(self, start: datetime.date, end: datetime.date) -> SourcedTable:
        """Give the made-up filings; see `brain_assets.market.base.Market.fundamentals`."""
        period_end, filed, ratios = draw_filings(self._recipe.seed, len(self._symbols), end.year)
        quarter, asset = np.nonzero((filed >= np.datetime64(start)) & (filed < np.datetime64(end)))
        frame = self._table(asset, filed=filed[quarter, asset], period_end=period_end[quarter])
        frame = frame.assign(**{name: ratios[quarter, asset, column] for column, name in enumerate(RATIOS)})
        return SourcedTable(FUNDAMENTAL_TABLE.validate(frame, f"simulator from {start} to {end}"), "made up")

    def with_signal(self, seed: int, signal: float, channel: str = "reversal") -> "SimulatorMarket":
        """Give a market of the same symbols; see `brain_assets.market.base.KnownMarket.with_signal`."""
        return SimulatorMarket(self._symbols, seed, signal, channel)

    def expected_return(self, week_starts: DateArray) -> FloatArray:
        """Give the injected expectation of each week's log return, known at the close before it; (n_weeks, n_assets).

        It is the best forecast there is of the week's rank order, in the order of the symbols.
        """
        made = simulate(self._recipe, int(years_of(week_starts).max()))
        return made.drift[np.searchsorted(made.sessions, week_starts)]

    def _table(self, asset: IntArray, **days: DateArray) -> pd.DataFrame:
        names = pd.array(np.array(self._symbols, dtype=object)[asset], dtype="str")
        return pd.DataFrame({name: values.astype("datetime64[us]") for name, values in days.items()}).assign(
            symbol=names
        )


def open_market(settings: Settings) -> SimulatorMarket:
    """Open the market of some settings, whatever the order of their symbols."""
    return SimulatorMarket(tuple(sorted(settings.symbols)))
