"""Fetching a closed year once, and telling what changed if it is fetched again."""

import datetime

import numpy as np
import pandas as pd

from brain_assets.errors import EmptyResponseError
from brain_assets.market.base import Market
from brain_assets.tables import PREVIOUS_CLOSES

OVERLAP = datetime.timedelta(days=10)
"""How far before a year its request reaches back, to know the last close before it on the same level."""

RETURN_TOLERANCE = 1e-4
"""Closes are published with rounding; a return that moved by less than one basis point is the same return."""


def fetch_prices(market: Market, start: datetime.date, end: datetime.date, overlap: bool) -> pd.DataFrame:
    """Fetch the bars of a partition, `end` exclusive.

    Parameters
    ----------
    market : Market
    start, end : datetime.date
    overlap : bool
        Whether a partition comes before: then the last closes before `start`, on the level of this request, are kept in
        ``attrs["previous_closes"]``.

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
    frame.attrs[PREVIOUS_CLOSES] = {
        str(row.symbol): [f"{row.date:%Y-%m-%d}", float(row.close)] for row in last.itertuples(index=False)
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
    sides = []
    for name, frame in (("old_return", old), ("new_return", new)):
        closes = frame.pivot(index="date", columns="symbol", values="close")
        first = frame.attrs.get(PREVIOUS_CLOSES, {})
        previous = closes.shift(1)
        previous.iloc[0] = [first.get(symbol, (None, np.nan))[1] for symbol in closes.columns]
        sides.append((closes / previous - 1).stack(future_stack=True).rename(name))
    both = pd.concat(sides, axis=1).reset_index()
    difference = (both["new_return"] - both["old_return"]).abs()
    only_one = both["new_return"].isna() != both["old_return"].isna()
    changed = both[(difference > RETURN_TOLERANCE) | only_one].assign(size=difference.fillna(np.inf))
    columns = ["date", "symbol", "old_return", "new_return"]
    return changed.sort_values("size", ascending=False, kind="stable")[columns].reset_index(drop=True)
