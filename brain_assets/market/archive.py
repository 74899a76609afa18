"""Fetching a closed year once, telling what changed if it is fetched again, and joining years on one level."""

import datetime
from collections.abc import Mapping, Sequence

import numpy as np
import pandas as pd

from brain_assets.errors import EmptyResponseError, TableError
from brain_assets.market.base import Market
from brain_assets.market.prices import PRICE_FIELDS, joined_members
from brain_assets.market.schema import attach, findings_of

PREVIOUS_BARS = "previous_bars"
"""Key in ``DataFrame.attrs`` of a price table: symbol -> (date, close, volume) of the last bar before it, on its own
level."""

OVERLAP = datetime.timedelta(days=400)
"""How far before a year its request reaches back, to know the last bar before it on the same level, long halts too."""

RETURN_TOLERANCE = 1e-4
"""Closes are published with rounding; a return that moved by less than one basis point is the same return."""


def fetch_prices(market: Market, start: datetime.date, end: datetime.date, overlap: bool) -> pd.DataFrame:
    """Fetch the bars of a partition, `end` exclusive; raises `MarketError` if there are none.

    With `overlap` (a partition comes before), ``attrs["previous_bars"]`` keeps the last bars before `start`, on the
    level of this request. Of what was found, that of the partition's years is kept.
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
    last_year = (end - datetime.timedelta(days=1)).year
    return attach(frame, findings_of(fetched, range(start.year, last_year + 1)))


def closes_before(prices: pd.DataFrame) -> dict[str, float]:
    """Give by symbol the close of the last bar before a table, on its level."""
    return {symbol: close for symbol, (_, close, _) in prices.attrs.get(PREVIOUS_BARS, {}).items()}


def previous_closes(prices: pd.DataFrame, before: Mapping[str, float]) -> pd.Series:
    """Give the close before each bar, of bars in the order of their days; `before`: of symbols, before their first."""
    return prices.groupby("symbol")["close"].shift().fillna(prices["symbol"].map(dict(before)).astype(float))


def changed_returns(old: pd.DataFrame, new: pd.DataFrame) -> pd.DataFrame:
    """Compare two fetches of the same year in daily close-to-close returns; levels may be rescaled freely.

    Gives date, symbol, old_return, new_return of rows whose returns differ by more than `RETURN_TOLERANCE`, or that
    only one of the two has (NaN in the other); the largest change first.
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
    returns = frame["close"] / previous_closes(frame, closes_before(frame)) - 1
    return frame[["date", "symbol"]].assign(**{name: returns})


def chain_prices(frames: Sequence[pd.DataFrame]) -> pd.DataFrame:
    """Join price tables of consecutive years, in order, each put onto the level of the one before.

    ``attrs["previous_bars"]`` of a later one may hold the last bar before it on its own level: its prices of a symbol
    are multiplied by what the close on the common date says, its volume by what the volume says (dividends move the
    level of prices, but not of volume). An earlier year is never touched, returns stay as they are within each file,
    and a symbol that was never seen before keeps its level. Raises `TableError` if the bar that a year remembers is not
    in the history: it was revised between two fetches.
    """
    chained = [frames[0]]
    for frame in frames[1:]:
        factors = _level_factors(chained, frame).reindex(frame["symbol"]).fillna(1.0)
        of_field = dict.fromkeys(PRICE_FIELDS[:-1], "price") | {"volume": "volume"}
        leveled = {name: frame[name].to_numpy() * factors[of].to_numpy() for name, of in of_field.items()}
        chained.append(frame.assign(**leveled))
    joined = pd.concat(chained, ignore_index=True)
    joined.attrs = frames[0].attrs | joined_members(frames)
    return joined


def _level_factors(history: Sequence[pd.DataFrame], frame: pd.DataFrame) -> pd.DataFrame:
    """Give by symbol what to multiply a frame's prices and volumes by, to stand on the level of the history.

    What it remembers is the last bar of the history, or an earlier one if the year between came later: any date in
    common tells the level. A symbol that the history does not have is left out.
    """
    columns = ["date", "close", "volume"]
    remembered = pd.DataFrame.from_dict(frame.attrs.get(PREVIOUS_BARS, {}), orient="index", columns=columns)
    bars = remembered.astype({"date": "datetime64[us]"}).rename_axis("symbol").reset_index().astype({"symbol": "str"})
    known = pd.concat([year.loc[year["date"].isin(bars["date"]), ["symbol", *columns]] for year in history])
    bars = bars.merge(known, "left", ["symbol", "date"], suffixes=("", "_known")).set_index("symbol")
    for symbol, date in bars.loc[bars["close_known"].isna(), "date"].items():
        last = pd.Series([year.loc[year["symbol"] == symbol, "date"].max() for year in history]).max()
        if pd.notna(last):
            raise TableError(
                f"raw_prices: expected the last bar of {symbol} before {frame['date'].min():%Y-%m-%d} to be that of "
                f"{date:%Y-%m-%d}, got {last:%Y-%m-%d}: the history was revised between two fetches; fetch both years "
                "again with --force."
            )
    price = bars["close_known"] / bars["close"]
    has_volumes = (bars["volume"] > 0) & (bars["volume_known"] > 0)
    volume = (bars["volume_known"] / bars["volume"]).where(has_volumes, 1 / price)
    return pd.DataFrame({"price": price, "volume": volume}, dtype=np.float64)  # also where it remembers none
