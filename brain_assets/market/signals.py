"""From news and filings to what was known of each symbol at the close of each session: seven slow signals.

Layout: one array (n_assets, n_sessions, 7) beside the bars of a panel, in the order of `SIGNALS`. Entry t uses news of
sessions up to t and filings of days before t, nothing later. NaN: not known, which is neutral to whoever reads it.
"""

from dataclasses import replace
from typing import TYPE_CHECKING

import numpy as np
import pandas as pd

from brain_assets.arrays import FloatArray, IntArray
from brain_assets.market.schema import FUNDAMENTAL_TABLE, NEWS_TABLE, RATIOS

if TYPE_CHECKING:
    from brain_assets.market.prices import PricePanel

SIGNALS = ("news_sentiment", *RATIOS, "fundamental_age")  # channels of `PricePanel.signals`
NEWS, AGE = 0, len(SIGNALS) - 1
NEWS_HALF_LIFE = 5  # sessions after which a score counts half: a week, the horizon of a forecast
QUARTER_DAYS = 90
MAX_AGE = 4.0  # quarters; who has not filed for a year is as unknown as who has not for two

RATIO_LIMITS = {
    **dict.fromkeys(("gross_margin", "operating_margin", "net_margin"), (-1.0, 1.0)),
    "current_ratio": (0.0, 10.0),
    "debt_to_equity": (-5.0, 5.0),
}
"""Where a ratio is cut off: beyond, its denominator is next to nothing, and one such quarter would set the scale."""


def add_signals(
    panel: "PricePanel", news: pd.DataFrame | None = None, fundamentals: pd.DataFrame | None = None
) -> "PricePanel":
    """Lay validated tables of news and filings (None: there are none) out beside the bars of a panel, as ``signals``.

    Symbols of the tables that the panel does not have are left out.
    """
    signals = np.full((len(panel.symbols), len(panel.sessions), len(SIGNALS)), np.nan)
    signals[:, :, NEWS] = news_channel(panel, NEWS_TABLE.empty() if news is None else news)
    signals[:, :, NEWS + 1 :] = fundamental_channels(
        panel, FUNDAMENTAL_TABLE.empty() if fundamentals is None else fundamentals
    )
    return replace(panel, signals=signals)


def news_channel(panel: "PricePanel", news: pd.DataFrame) -> FloatArray:
    """Carry each symbol's last score forward, weaker with every session, and weaker where few articles speak for it.

    That is score * n / (n + 1) * 0.5 ** (age / `NEWS_HALF_LIFE`), (n_assets, n_sessions), n the articles of the last
    session with news, age the sessions since; known at the session's close. 0 before a symbol's first score.
    """
    score, n_articles = np.zeros((2, len(panel.symbols), len(panel.sessions)))
    asset, session = _positions(panel, news["symbol"], news["date"], side="left")
    inside = (asset >= 0) & (session < len(panel.sessions)) & (news["date"].to_numpy() >= panel.sessions[0])
    asset, session = asset[inside], session[inside]
    score[asset, session] = news["sentiment_score"].to_numpy()[inside]
    n_articles[asset, session] = news["n_articles"].to_numpy()[inside]
    return carry_scores(score, n_articles)


def carry_scores(score: FloatArray, n_articles: FloatArray) -> FloatArray:
    """Do the arithmetic of `news_channel`; all arrays (n_assets, n_sessions), 0 articles where there is no news."""
    position = np.arange(score.shape[1])
    last = np.maximum.accumulate(np.where(n_articles > 0, position, -1), axis=1)
    value = np.take_along_axis(score * n_articles / (n_articles + 1), np.maximum(last, 0), axis=1)
    return np.where(last >= 0, value * 0.5 ** ((position - last) / NEWS_HALF_LIFE), 0.0)


def fundamental_channels(panel: "PricePanel", fundamentals: pd.DataFrame) -> FloatArray:
    """Give each symbol's ratios as last filed, and how old that filing is.

    A filing may be accepted after the close of the day that it is dated: it counts from the next session on. Of the
    filings known, the newest quarter counts, in its latest version; a restatement of an older quarter changes nothing.
    Gives (n_assets, n_sessions, 6): the ratios within `RATIO_LIMITS`, NaN where not known, and the age in quarters:
    days since filing / 90, at most `MAX_AGE`. All NaN before a symbol's first filing.
    """
    asset, known_from = _positions(panel, fundamentals["symbol"], fundamentals["filed"], side="right")
    # in the order of filing; a filing of an older quarter than one before it does not count
    newest = fundamentals.groupby(asset)["period_end"].cummax()
    counts = (fundamentals["period_end"] == newest).to_numpy() & (asset >= 0) & (known_from < len(panel.sessions))
    row = np.full((len(panel.symbols), len(panel.sessions)), -1)
    row[asset[counts], known_from[counts]] = np.flatnonzero(counts)  # of two on a day, the later one stays
    np.maximum.accumulate(row, axis=1, out=row)
    filed = fundamentals["filed"].to_numpy().astype("datetime64[D]")
    which, session = np.nonzero(row >= 0)
    known = row[which, session]
    channels = np.full((*row.shape, len(RATIOS) + 1), np.nan)
    for channel, name in enumerate(RATIOS):
        channels[which, session, channel] = np.clip(fundamentals[name].to_numpy(np.float64), *RATIO_LIMITS[name])[known]
    days = (panel.sessions[session] - filed[known]).astype(np.float64)
    channels[which, session, -1] = np.minimum(days / QUARTER_DAYS, MAX_AGE)
    return channels


def _positions(panel: "PricePanel", symbols: pd.Series, dates: pd.Series, side: str) -> tuple[IntArray, IntArray]:
    """Give the row of each symbol, -1 where the panel has none, and where each date falls among the sessions."""
    asset = pd.Index(panel.symbols).get_indexer(symbols.to_numpy(dtype=object))
    days = dates.to_numpy().astype("datetime64[D]")
    return asset, np.searchsorted(panel.sessions, days, side=side)  # type: ignore[call-overload]
