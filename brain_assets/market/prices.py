"""Daily bars as the panel that everything downstream computes on, and who could be chosen when.

Layout: memberships of a universe, such as an index, are kept with the bars of their years, in ``attrs["members"]`` of
the table: symbol -> spans of days, both ends included, cut to the days that the table was asked for: so a year tells of
no change that came later. Without the attribute, all could be chosen.
"""

import datetime
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import pandas as pd

from brain_assets.arrays import BoolArray, DateArray, FloatArray
from brain_assets.errors import TableError
from brain_assets.market.calendar import sessions_between

PRICE_FIELDS = ("open", "high", "low", "close", "volume")
"""Channels of a bar, in the order of `PricePanel.values`. Prices in dollars, adjusted for splits and dividends; volume
in shares, adjusted for splits. All are known at the close of their session."""

OPEN, HIGH, LOW, CLOSE, VOLUME = range(len(PRICE_FIELDS))
MEMBERS = "members"  # key in ``DataFrame.attrs``
Members = Mapping[str, Sequence[Sequence[str]]]


@dataclass(frozen=True)
class PricePanel:
    """Bars as one dense array; the layout that features, weeks and portfolios are computed on."""

    sessions: DateArray
    """Every session of the exchange from the first bar to the last, with or without rows; days, (n_sessions,)."""
    symbols: tuple[str, ...]  # sorted; each has at least one bar
    values: FloatArray
    """(n_assets, n_sessions, 5), channels as in `PRICE_FIELDS`. NaN: not traded, not listed, or not known."""
    signals: FloatArray | None = None
    """(n_assets, n_sessions, 7): what news and filings said by the close of each session
    (`brain_assets.market.signals.add_signals`); None: not asked for."""
    members: BoolArray | None = None
    """(n_assets, n_sessions): who could be chosen; None: all."""

    @classmethod
    def from_frame(cls, frame: pd.DataFrame) -> "PricePanel":
        """Lay out a validated price table; memory is the array plus one column at a time."""
        if frame.empty:
            raise TableError("expected at least one bar, got an empty price table; check the symbols and the range.")
        symbol_codes, symbols = pd.factorize(frame["symbol"], sort=True)
        dates = frame["date"].to_numpy().astype("datetime64[D]")
        sessions = sessions_between(dates.min().item(), dates.max().item() + datetime.timedelta(days=1))
        session_codes = np.searchsorted(sessions, dates)
        values = np.full((len(symbols), len(sessions), len(PRICE_FIELDS)), np.nan)
        for channel, name in enumerate(PRICE_FIELDS):
            values[symbol_codes, session_codes, channel] = frame[name].to_numpy()
        names = tuple(str(symbol) for symbol in symbols)
        members = member_mask(frame.attrs[MEMBERS], names, sessions) if MEMBERS in frame.attrs else None
        return cls(sessions, names, values, members=members)

    def until(self, last_date: datetime.date) -> "PricePanel":
        """Cut the panel after `last_date`; symbols without a bar by then are gone, as if never heard of."""
        n_sessions = int(np.searchsorted(self.sessions, np.datetime64(last_date, "D"), "right"))
        listed = np.flatnonzero(np.isfinite(self.values[:, :n_sessions, CLOSE]).any(axis=1))
        assets = listed if len(listed) < len(self.symbols) else slice(None)  # views, where all are left
        signals = None if self.signals is None else self.signals[assets, :n_sessions]
        members = None if self.members is None else self.members[assets, :n_sessions]
        names = tuple(self.symbols[i] for i in listed)
        return PricePanel(self.sessions[:n_sessions], names, self.values[assets, :n_sessions], signals, members)


def member_mask(members: Members, symbols: Sequence[str], sessions: DateArray) -> BoolArray:
    """Tell which symbol was a member on which session; (n_assets, n_sessions)."""
    mask = np.zeros((len(symbols), len(sessions)), dtype=bool)
    for row, symbol in zip(mask, symbols, strict=True):
        for span in members.get(symbol, ()):
            first, last = np.array(span, dtype="datetime64[D]")
            row[np.searchsorted(sessions, first) : np.searchsorted(sessions, last, "right")] = True
    return mask


def joined_members(frames: Sequence[pd.DataFrame]) -> dict[str, Any]:
    """Join those of consecutive years of bars, each of the days after the bars before it, so that none is told twice.

    In a year that says nothing of members, all that have bars are some.
    """
    if not any(MEMBERS in frame.attrs for frame in frames):
        return {}
    joined: dict[str, list[Sequence[str]]] = {}
    begin = ""
    for frame in frames:
        first, last = (f"{day:%Y-%m-%d}" for day in (frame["date"].min(), frame["date"].max()))
        everyone = {symbol: [[first, last]] for symbol in frame["symbol"].unique()}
        for symbol, spans in frame.attrs.get(MEMBERS, everyone).items():
            joined.setdefault(symbol, []).extend([max(since, begin), until] for since, until in spans if until >= begin)
        begin = f"{frame['date'].max() + pd.Timedelta(days=1):%Y-%m-%d}"
    return {MEMBERS: joined}


def describe_members(prices: pd.DataFrame) -> str:
    """Say how many members a year of bars had, and how many of them have a bar; empty: nobody says who was one."""
    if MEMBERS not in prices.attrs:
        return ""
    first = f"{prices['date'].min():%Y-%m-%d}"
    members = {name for name, spans in prices.attrs[MEMBERS].items() if max(last for _, last in spans) >= first}
    return f"{len(members):,} members, {len(members & set(prices['symbol'])):,} with prices"
