"""The user's files of prices, ratios and memberships as sound tables: prices adjusted where files say how."""

import datetime
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path

import numpy as np
import pandas as pd
import pyarrow as pa

from brain_assets.market.file_values import SPARE, parse_days
from brain_assets.market.prices import Members
from brain_assets.market.schema import (
    DAY,
    FUNDAMENTAL_TABLE,
    MARGINS,
    OHLC_RULES,
    ON_SESSION,
    ONE_SYMBOL,
    PRICE_TABLE,
    TEXT,
    Rule,
)
from brain_assets.market.sheets import ADJUSTED, PRICES
from brain_assets.market.table_files import FileTable, read_files

PRICE_LAYOUT = PRICE_TABLE.types | dict.fromkeys((*ADJUSTED.values(), "split"), SPARE)
"""What is looked for in files of prices."""


def read_price_files(paths: Sequence[Path], spelled: Sequence[str], symbols: Sequence[str]) -> FileTable:
    """Read every file, judge every row, and adjust the prices of those that say how; bars that are not known are left.

    `spelled`: how symbols shall be written, whatever their case in the files; `symbols`: of which to judge the rows.
    """
    table = read_files(paths, PRICE_LAYOUT).judged(ONE_SYMBOL).joined(spelled)
    # a split that is no number is refused whatever days are asked for: volumes of all days before depend on it
    days = table.faults["day"].where(table.faults["column"] != "split")
    table = replace(table, faults=table.faults.assign(day=days)).of(symbols).without_repeats(PRICE_TABLE.order)
    frame = table.frame
    if "split" in frame:
        as_traded = np.array(["split" in file.titles for file in table.files])[frame["file"]]  # others are adjusted
        frame = frame.assign(volume=frame["volume"].where(~as_traded, frame["volume"] * _later_splits(frame)))
    table = replace(table, frame=frame.drop(columns="split", errors="ignore"))
    table = table.only(frame[list(PRICES)].notna().any(axis=1))
    table = table.without(~ON_SESSION.holds(table.frame), "rows on days when the exchange was closed")
    high, *inside = OHLC_RULES
    by_close = np.array(["adj_close" in file.titles for file in table.files], dtype=bool)
    adjusted = Rule(  # raw prices never pass for adjusted ones
        "adj_close",
        "an adjusted close > 0 wherever there is a price",
        lambda bars: ~by_close[bars["file"]] | ((bars["adj_close"] > 0) & np.isfinite(bars["adj_close"])),
        "correct the values, or take the column out if the prices are adjusted",
    )
    for rules in ([*([adjusted] if by_close.any() else []), *PRICE_TABLE.value_rules], [high], inside):
        table = table.judged(rules)
    if not by_close.any():
        return table
    bars = table.frame
    scaled = by_close[bars["file"]]
    factor = np.where(scaled, bars["adj_close"] / bars["close"], 1.0)
    prices = {name: bars[name] * factor for name in ("open", "high", "low")}
    prices["close"] = bars["close"].where(~scaled, bars["adj_close"])
    return replace(table, frame=bars.assign(**prices).drop(columns="adj_close"))


def _later_splits(bars: pd.DataFrame) -> pd.Series:
    """Multiply, for each row, the splits of its symbol on later days: 4.0 is four shares for one."""
    latest_first = bars.iloc[np.argsort(bars["date"].to_numpy(), kind="stable")[::-1]]
    splits, symbols = latest_first["split"], latest_first["symbol"]
    together = splits.where(splits > 0, 1.0).groupby(symbols, observed=True).cumprod()
    return together.groupby(symbols, observed=True).shift(fill_value=1.0).reindex(bars.index)


PERCENT = 1.0  # half of a file's margins farther from 0 than this are percent: a share of revenue hardly is


def read_fundamental_files(paths: Sequence[Path], spelled: Sequence[str], symbols: Sequence[str]) -> FileTable:
    """Read every file and judge every row."""
    rules = (*(column.rule for column in FUNDAMENTAL_TABLE.columns), *FUNDAMENTAL_TABLE.rules)
    table = read_files(paths, FUNDAMENTAL_TABLE.types).judged(ONE_SYMBOL).joined(spelled)
    table = table.judged(map(_no_percent, MARGINS)).of(symbols).judged(rules)
    return table.without_repeats(FUNDAMENTAL_TABLE.order)


def _no_percent(margin: str) -> Rule:
    """Refuse a file whose margins are percent; a gross margin above 1 is none in any row."""

    def holds(filings: pd.DataFrame) -> pd.Series:
        typical = filings[margin].abs().groupby(filings["file"]).transform("median")
        broken = (typical > PERCENT) & filings[margin].notna()
        return ~(broken | (filings[margin] > PERCENT)) if margin == "gross_margin" else ~broken

    return Rule(margin, "a share of revenue, as 0.384 for 38.4 percent", holds, "divide percent by 100")


_MEMBERSHIPS = {"from": DAY, "symbol": TEXT, "to": TEXT}
_MEMBERSHIP_RULES = (
    *ONE_SYMBOL,
    Rule("to", "the last day as YYYY-MM-DD, or nothing where it goes on", lambda rows: ~rows["unreadable"]),
    Rule("to", "a day on or after the first", lambda rows: ~(rows["last"] < rows["from"])),
)


def read_universe(paths: Sequence[Path], names: Sequence[str]) -> FileTable:
    """Read who could be chosen when, first and last day included; symbols are written as in `names`, in any case.

    Raises `TableError` for all that is wrong, in any year.
    """
    table = read_files(paths, _MEMBERSHIPS)
    written = table.frame["to"].astype("str")
    last = parse_days(pa.chunked_array([pa.array(written)])).values
    rows = table.frame.assign(last=last, unreadable=last.isna() & written.notna())
    table = replace(table, frame=rows).judged(_MEMBERSHIP_RULES).joined(names)
    table.refuse(datetime.date.min, datetime.date.max)
    return table


def members_of(universe: FileTable, start: datetime.date, end: datetime.date) -> Members:
    """Give the memberships from `start` up to but not including `end`: what came later is cut off."""
    first, last = pd.Timestamp(start), pd.Timestamp(end - datetime.timedelta(days=1))
    rows = universe.frame[["symbol", "from", "last"]].astype({"symbol": "str"})
    rows = rows.assign(**{"from": rows["from"].clip(lower=first), "last": rows["last"].fillna(last).clip(upper=last)})
    rows = rows[rows["from"] <= rows["last"]].sort_values(["symbol", "from"])
    days = rows.assign(**{name: rows[name].dt.strftime("%Y-%m-%d") for name in ("from", "last")})
    return {str(symbol): spans[["from", "last"]].to_numpy().tolist() for symbol, spans in days.groupby("symbol")}
