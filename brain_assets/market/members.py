"""Who could be chosen when: memberships of a universe, such as an index, kept with the bars of its years.

Layout: a table of prices has ``attrs["members"]``, symbol -> spans of days, both ends included, cut to the days that
the table was asked for: so a year tells of no change that came later. Without the attribute, all could be chosen.
"""

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
import pandas as pd

from brain_assets.arrays import BoolArray, DateArray

MEMBERS = "members"  # key in ``DataFrame.attrs``
Members = Mapping[str, Sequence[Sequence[str]]]


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
