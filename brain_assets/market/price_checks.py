"""What is asked of a year of bars once it is stored: of the market's own, and of what users bring."""

from collections.abc import Mapping

import numpy as np
import pandas as pd

from brain_assets.arrays import BoolArray, DateArray
from brain_assets.market.schema import NUMBER, OHLC_RULES, PRICE_TABLE
from brain_assets.verdict import Verdict, listed

JUMP = 0.4
"""Of a close over the one before: farther is a split that was not adjusted for more often than news."""


def price_verdicts(
    prices: pd.DataFrame, scheduled: DateArray, previous_closes: Mapping[str, float] | None = None
) -> dict[str, Verdict]:
    """Check a table of bars against the sessions `scheduled` in its range, and the closes before it on its level."""
    return {
        "calendar_complete": _calendar_complete(prices, scheduled),
        "positive": _positive(prices),
        "ohlc_in_order": _ohlc_in_order(prices),
        "no_duplicates": _no_duplicates(prices),
        "no_jumps": _no_jumps(prices, previous_closes or {}),
    }


def _calendar_complete(prices: pd.DataFrame, scheduled: DateArray) -> Verdict:
    missing = np.setdiff1d(scheduled, prices["date"].to_numpy().astype("datetime64[D]"))
    if len(missing):
        return Verdict(
            False,
            f"{len(missing)} of {len(scheduled)} sessions of the exchange have no bar: "
            f"{listed(list(map(str, missing)))}; a week with fewer than 3 sessions is dropped.",
        )
    return Verdict(True, f"a bar on each of the {len(scheduled)} sessions of the exchange")


def _positive(prices: pd.DataFrame) -> Verdict:
    fields = [column for column in PRICE_TABLE.columns if column.kind == NUMBER]
    good = np.logical_and.reduce([column.holds(prices[column.name]) for column in fields])
    return _each(prices, good, "prices above 0 and volumes of 0 or more", "correct or remove them")


def _ohlc_in_order(prices: pd.DataFrame) -> Verdict:
    good = np.logical_and.reduce([rule.holds(prices) for rule in OHLC_RULES])
    return _each(prices, good, "open and close between low and high", "correct or remove them")


def _no_duplicates(prices: pd.DataFrame) -> Verdict:
    return _each(prices, ~prices.duplicated(["date", "symbol"]), "one bar a session and symbol", "remove the others")


def _no_jumps(prices: pd.DataFrame, previous_closes: Mapping[str, float]) -> Verdict:
    ordered = prices.sort_values(["symbol", "date"])
    before = ordered.groupby("symbol")["close"].shift()
    before = before.fillna(ordered["symbol"].map(dict(previous_closes)).astype(float))
    change = ordered["close"] / before - 1
    jumps = ordered.assign(change=change)[change.abs() > JUMP].sort_values("date")
    if len(jumps):
        named = [f"{row.date:%Y-%m-%d} {row.symbol} {row.change:+.0%}" for row in jumps.itertuples()]
        return Verdict(False, f"{len(jumps)} closes lie more than {JUMP:.0%} from the one before: {listed(named)}.")
    return Verdict(True, f"no close lies more than {JUMP:.0%} from the one before")


def _each(prices: pd.DataFrame, good: pd.Series | BoolArray, rule: str, advice: str) -> Verdict:
    if good.all():
        return Verdict(True, f"{rule}, in all {len(prices):,} bars")
    bad = prices[~good]
    named = [f"{row.date:%Y-%m-%d} {row.symbol}" for row in bad.itertuples()]
    return Verdict(False, f"expected {rule}, got {len(bad)} bars that are not so: {listed(named)}; {advice}.")
