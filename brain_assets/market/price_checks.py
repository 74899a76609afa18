"""What is asked of a year of bars once it is stored: of the market's own, and of what users bring."""

from collections.abc import Mapping, Sequence

import numpy as np
import pandas as pd

from brain_assets.arrays import DateArray
from brain_assets.check_result import CheckResult, listed
from brain_assets.market.schema import NUMBER, OHLC_RULES, PRICE_TABLE, Rule

JUMP = 0.4
"""Of a close over the one before: farther is a split that was not adjusted for more often than news."""


def price_verdicts(
    prices: pd.DataFrame, scheduled: DateArray, previous_closes: Mapping[str, float] | None = None
) -> dict[str, CheckResult]:
    """Check a table of bars against the sessions `scheduled` in its range, and the closes before it on its level."""
    numbers = [column.rule for column in PRICE_TABLE.columns if column.kind == NUMBER]
    single = Rule("date", "one bar a session and symbol", lambda bars: ~bars.duplicated(["date", "symbol"]))
    return {
        "calendar_complete": _calendar_complete(prices, scheduled),
        "positive": _each(prices, numbers, "prices above 0 and volumes of 0 or more", "correct or remove them"),
        "ohlc_in_order": _each(prices, OHLC_RULES, "open and close between low and high", "correct or remove them"),
        "no_duplicates": _each(prices, [single], single.expected, "remove the others"),
        "no_jumps": _no_jumps(prices, previous_closes or {}),
    }


def _calendar_complete(prices: pd.DataFrame, scheduled: DateArray) -> CheckResult:
    missing = np.setdiff1d(scheduled, prices["date"].to_numpy().astype("datetime64[D]"))
    if len(missing):
        return CheckResult(
            False,
            f"{len(missing)} of {len(scheduled)} sessions of the exchange have no bar: "
            f"{listed(list(map(str, missing)))}; a week with fewer than 3 sessions is dropped.",
        )
    return CheckResult(True, f"a bar on each of the {len(scheduled)} sessions of the exchange")


def _no_jumps(prices: pd.DataFrame, previous_closes: Mapping[str, float]) -> CheckResult:
    ordered = prices.sort_values(["symbol", "date"])
    before = ordered.groupby("symbol")["close"].shift()
    before = before.fillna(ordered["symbol"].map(dict(previous_closes)).astype(float))
    change = ordered["close"] / before - 1
    jumps = ordered.assign(change=change)[change.abs() > JUMP].sort_values("date")
    if len(jumps):
        named = [f"{row.date:%Y-%m-%d} {row.symbol} {row.change:+.0%}" for row in jumps.itertuples()]
        return CheckResult(False, f"{len(jumps)} closes lie more than {JUMP:.0%} from the one before: {listed(named)}.")
    return CheckResult(True, f"no close lies more than {JUMP:.0%} from the one before")


def _each(prices: pd.DataFrame, rules: Sequence[Rule], words: str, advice: str) -> CheckResult:
    good = np.logical_and.reduce([rule.holds(prices) for rule in rules])
    if good.all():
        return CheckResult(True, f"{words}, in all {len(prices):,} bars")
    named = [f"{row.date:%Y-%m-%d} {row.symbol}" for row in prices[~good].itertuples()]
    return CheckResult(False, f"expected {words}, got {len(named)} bars that are not so: {listed(named)}; {advice}.")
