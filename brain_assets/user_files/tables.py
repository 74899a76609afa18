"""The user's files of prices and ratios as sound tables: prices adjusted where files say how, margins as shares."""

from collections.abc import Iterator, Sequence
from dataclasses import replace
from pathlib import Path

import numpy as np
import pandas as pd

from brain_assets.arrays import BoolArray
from brain_assets.market.file_columns import ADJUSTED, PRICES
from brain_assets.market.file_table import FileTable
from brain_assets.market.findings import Finding
from brain_assets.market.schema import FUNDAMENTAL_TABLE, MARGINS, OHLC_RULES, ON_SESSION, ONE_SYMBOL, PRICE_TABLE, Rule
from brain_assets.market.splits import find_jumps
from brain_assets.market.table_files import SPARE, read_files

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
        frame = frame.assign(volume=frame["volume"].where(~as_traded, frame["volume"] * later_splits(frame)))
    table = replace(table, frame=frame.drop(columns="split", errors="ignore"))
    table = table.only(frame[list(PRICES)].notna().any(axis=1))
    table = table.without(~ON_SESSION.holds(table.frame), "rows on days when the exchange was closed")
    by_close = np.array(["adj_close" in file.titles for file in table.files], dtype=bool)
    high, *inside = OHLC_RULES
    for rules in ((*_adjusted(by_close), *PRICE_TABLE.value_rules), [high], inside):
        table = table.judged(rules)
    return replace(table, frame=_scaled(table.frame, by_close))


def later_splits(bars: pd.DataFrame) -> pd.Series:
    """Multiply, for each row, the splits of its symbol on later days: 4.0 is four shares for one."""
    latest_first = bars.iloc[np.argsort(bars["date"].to_numpy(), kind="stable")[::-1]]
    splits, symbols = latest_first["split"], latest_first["symbol"]
    together = splits.where(splits > 0, 1.0).groupby(symbols, observed=True).cumprod()
    return together.groupby(symbols, observed=True).shift(fill_value=1.0).reindex(bars.index)


def adjust_splits(bars: pd.DataFrame) -> tuple[pd.DataFrame, list[Finding]]:
    """Divide the prices before jumps that look like splits which were never taken out, and multiply the volumes.

    Tells by year what was divided. Jumps that are near no ratio of shares are left as they are.
    """
    prices, volume = bars[list(PRICES)].to_numpy(copy=True), bars["volume"].to_numpy(copy=True)
    found = []
    for jump in find_jumps(bars):
        before = ((bars["symbol"] == jump.symbol) & (bars["date"] < jump.date)).to_numpy()
        if jump.back is not None or not jump.ratio or not before.any():
            continue
        prices[before] /= jump.factor
        volume[before] *= jump.factor
        what = f"bars before what looks like a split {jump.ratio} on {jump.date:%Y-%m-%d} that was never taken out"
        done = f"their prices divided by {jump.factor:.6g}, their volumes multiplied"
        days = bars["date"][before]
        for year, those in days.groupby(days.dt.year):
            found.append(
                Finding("rows_taken", jump.symbol, what, done, int(year), len(those), f"{those.min():%Y-%m-%d}")
            )
    adjusted = dict(zip(PRICES, prices.T, strict=True))
    return bars.assign(**adjusted, volume=volume), found


def _adjusted(by_close: BoolArray) -> Iterator[Rule]:
    """Ask for an adjusted close of every bar in a file that has them: raw prices never pass for adjusted ones."""
    if by_close.any():
        yield Rule(
            "adj_close",
            "an adjusted close > 0 wherever there is a price",
            lambda bars: ~by_close[bars["file"]] | ((bars["adj_close"] > 0) & np.isfinite(bars["adj_close"])),
            "correct the values, or take the column out if the prices are adjusted",
        )


def _scaled(bars: pd.DataFrame, by_close: BoolArray) -> pd.DataFrame:
    """Multiply the prices of files with an adjusted close by adjusted over raw."""
    if not by_close.any():
        return bars
    scaled = by_close[bars["file"]]
    factor = np.where(scaled, bars["adj_close"] / bars["close"], 1.0)
    prices = {name: bars[name] * factor for name in ("open", "high", "low")}
    return bars.assign(**prices, close=bars["close"].where(~scaled, bars["adj_close"])).drop(columns="adj_close")


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
