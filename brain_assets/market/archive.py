"""Fetching a closed year once, and telling what changed if it is fetched again."""

import datetime

import numpy as np
import pandas as pd

from brain_assets.errors import EmptyResponseError
from brain_assets.market.base import Market
from brain_assets.store.tables import PREVIOUS_BARS

OVERLAP = datetime.timedelta(days=400)
"""How far before a year its request reaches back, to know the last bar before it on the same level, long halts too."""

RETURN_TOLERANCE = 1e-4
"""Closes are published with rounding; a return that moved by less than one basis point is the same return."""


def fetch_prices(market: Market, start: datetime.date, end: datetime.date, overlap: bool) -> pd.DataFrame:
    """Fetch the bars of a partition, `end` exclusive.

    Parameters
    ----------
    market : Market
    start, end : datetime.date
    overlap : bool
        Whether a partition comes before: then the last bars before `start`, on the level of this request, are kept in
        ``attrs["previous_bars"]``.

    Raises
    ------
    MarketError
        If the market fails, or has no bar at all in the range.
    """
    fetched = market.prices(start - OVERLAP if overlap else start, end)
    inside = fetched["date"] >= pd.Timestamp(start)
    frame = fetched[inside].reset_index(drop=True)
    if frame.empty:
        raise EmptyResponseError(
            f"market {market.name}: expected bars from {start} to {end}, got none; check the symbols and the years."
        )
    last = fetched[~inside].drop_duplicates("symbol", keep="last")
    frame.attrs[PREVIOUS_BARS] = {
        str(row.symbol): [f"{row.date:%Y-%m-%d}", float(row.close), float(row.volume)]
        for row in last.itertuples(index=False)
    }
    return frame


def changed_returns(old: pd.DataFrame, new: pd.DataFrame) -> pd.DataFrame:
    """Compare two fetches of the same year in daily close-to-close returns; levels may be rescaled freely.

    Returns
    -------
    DataFrame
        date, symbol, old_return, new_return: rows whose returns differ by more than `RETURN_TOLERANCE`, or that only
        one of the two has (NaN in the other); the largest change first.
    """
    both = _daily_returns(old, "old_return").merge(
        _daily_returns(new, "new_return"), on=["date", "symbol"], how="outer", indicator="found_in"
    )
    difference = (both["new_return"] - both["old_return"]).abs()
    only_one = (both["found_in"] != "both") | (both["new_return"].isna() != both["old_return"].isna())
    changed = both.assign(size=difference.fillna(np.inf))[(difference > RETURN_TOLERANCE) | only_one]
    columns = ["date", "symbol", "old_return", "new_return"]
    return changed.sort_values("size", ascending=False, kind="stable")[columns].reset_index(drop=True)


def changed_shapes(old: pd.DataFrame, new: pd.DataFrame) -> int:
    """Count the bars in both fetches that differ in what returns from close to close do not show.

    That is an open, high or low that stands otherwise to its close, and a volume that moved by another factor than most
    of its symbol's did: levels may be rescaled freely, as by a split.
    """
    both = old.merge(new, on=["date", "symbol"], suffixes=("_old", "_new"))
    moved = (both["volume_old"] == 0) != (both["volume_new"] == 0)
    level = both["close_new"] / both["close_old"]
    for name in ("open", "high", "low"):
        moved |= (both[f"{name}_new"] / both[f"{name}_old"] / level - 1).abs() > RETURN_TOLERANCE
    factor = (both["volume_new"] / both["volume_old"]).where(both["volume_old"] > 0)
    moved |= (factor / factor.groupby(both["symbol"]).transform("median") - 1).abs() > RETURN_TOLERANCE
    return int(moved.sum())


def _daily_returns(frame: pd.DataFrame, name: str) -> pd.DataFrame:
    """Give date, symbol, and the return since the symbol's bar before; NaN for a first bar without one before it."""
    before = {symbol: close for symbol, (_, close, _) in frame.attrs.get(PREVIOUS_BARS, {}).items()}
    previous = frame.groupby("symbol")["close"].shift(1).fillna(frame["symbol"].map(before))
    return frame[["date", "symbol"]].assign(**{name: frame["close"] / previous - 1})
