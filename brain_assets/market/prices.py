"""Daily bars as the panel that everything downstream computes on."""

import datetime
from dataclasses import dataclass

import numpy as np
import pandas as pd

from brain_assets.arrays import BoolArray, DateArray, FloatArray
from brain_assets.errors import TableError
from brain_assets.market.calendar import sessions_between
from brain_assets.market.members import MEMBERS, member_mask

PRICE_FIELDS = ("open", "high", "low", "close", "volume")
"""Channels of a bar, in the order of `PricePanel.values`. Prices in dollars, adjusted for splits and dividends; volume
in shares, adjusted for splits. All are known at the close of their session."""

OPEN, HIGH, LOW, CLOSE, VOLUME = range(len(PRICE_FIELDS))


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
    """(n_assets, n_sessions): who could be chosen (`brain_assets.market.members`); None: all."""

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
        values = self.values[:, :n_sessions]
        signals = None if self.signals is None else self.signals[:, :n_sessions]
        members = None if self.members is None else self.members[:, :n_sessions]
        listed = np.flatnonzero(np.isfinite(values[:, :, CLOSE]).any(axis=1))
        if len(listed) < len(self.symbols):
            values = values[listed]
            signals = None if signals is None else signals[listed]
            members = None if members is None else members[listed]
        return PricePanel(self.sessions[:n_sessions], tuple(self.symbols[i] for i in listed), values, signals, members)
