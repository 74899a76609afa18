"""From what somebody holds to what a strategy would hold: the trades, in shares and dollars, and what they cost.

Prices are the last closes before the week, so dollars are estimates: the trade itself is at the first open. Shares may
be fractions of one; who can trade whole shares only has the targets rounded down, and the rest stays in cash. Costs are
paid from cash, of which the trading rules hold back more than any trade costs.
"""

import csv
import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pandas as pd

from brain_assets.arrays import FloatArray
from brain_assets.errors import AllocationError
from brain_assets.portfolio.arithmetic import TradingRules, trading_cost
from brain_assets.portfolio.weights_table import CASH

HOLDINGS_COLUMNS = ("symbol", "shares")

SHOWN = 20
"""Symbols that an error names; a universe may have hundreds."""

ROUNDING = 1e-9
"""Shares; ten that come out as 9.9999999999 are ten."""


@dataclass(frozen=True, eq=False)
class Trades:
    """The way from holdings to a target."""

    table: pd.DataFrame
    """A row a symbol that is held or shall be: symbol, price (dollars a share), held (shares), target (weight), shares
    (to trade, negative: to sell), dollars (of the trade, negative: sold), cost (dollars)."""
    value: float
    """Of what is held, cash included, in dollars."""
    cash: float
    """Left after trades and costs, in dollars."""

    @property
    def traded(self) -> float:
        """Dollars bought and sold."""
        return float(self.table["dollars"].abs().sum())

    @property
    def cost(self) -> float:
        """Dollars."""
        return float(self.table["cost"].sum())


def read_holdings(path: Path) -> dict[str, float]:
    """Read a CSV file of holdings: symbol, shares; a symbol has one row.

    Raises `AllocationError` naming the file, the line and what is wrong with it.
    """
    try:
        with path.open(newline="", encoding="utf-8-sig") as file:  # spreadsheets begin a file with a mark
            lines = [[cell.strip() for cell in row] for row in csv.reader(file)]
    except (OSError, UnicodeDecodeError, csv.Error) as error:
        reason = error.strerror if isinstance(error, OSError) else error
        raise AllocationError(f"{path}: expected a CSV file of holdings, got: {reason}; correct --holdings.") from error
    head = tuple(lines[0]) if lines else ()
    if head != HOLDINGS_COLUMNS:
        got = ", ".join(head) or "nothing"
        raise AllocationError(
            f"{path}: expected a first line with the columns symbol, shares, got {got}; correct the file."
        )
    holdings: dict[str, float] = {}
    for number, row in enumerate(lines[1:], start=2):
        if not any(row):
            continue
        place = f"{path}, line {number}"
        if len(row) != len(HOLDINGS_COLUMNS):
            raise AllocationError(f"{place}: expected a symbol and its shares, got {len(row)} cells; correct it.")
        symbol, shares = row[0], _shares(row[1], place)
        if symbol in ("", CASH):
            raise AllocationError(f"{place}: expected a symbol, got {symbol or 'none'}; cash is what --cash says.")
        if symbol in holdings:
            raise AllocationError(f"{place}: expected each symbol once, got {symbol} again; add its rows up.")
        holdings[symbol] = shares
    return holdings


def _shares(text: str, place: str) -> float:
    try:
        shares = float(text)
    except ValueError:
        shares = math.nan
    if not (math.isfinite(shares) and shares >= 0):
        raise AllocationError(
            f"{place}: expected a number of shares from 0 up (nothing is sold short), got {text or 'nothing'}; correct "
            "it."
        )
    return shares


def check_cash(dollars: float) -> None:
    """Refuse cash that is negative or no number."""
    if not (math.isfinite(dollars) and dollars >= 0):
        raise AllocationError(f"--cash: expected dollars from 0 up, got {dollars:g}; correct it.")


def plan_trades(
    target: Mapping[str, float],
    closes: Mapping[str, float],
    holdings: Mapping[str, float],
    cash: float,
    rules: TradingRules,
    whole_shares: bool = False,
) -> Trades:
    """Give the trades from holdings, symbol -> shares, and `cash` beside them to target weights by symbol and `CASH`.

    `closes` are the last before the week, in dollars; a symbol without one has no entry. Of the rules only the cost is
    used. `whole_shares` rounds targets down to whole shares. Raises `AllocationError` if a symbol that is held is not
    known or has no close, cash is negative, or nothing is held at all.
    """
    _refuse_strangers(target, holdings)
    symbols = [name for name in target if name != CASH and (holdings.get(name, 0.0) > 0 or target[name] > 0)]
    _refuse_priceless(symbols, closes)
    check_cash(cash)
    price: FloatArray = np.array([closes[symbol] for symbol in symbols])
    held: FloatArray = np.array([holdings.get(symbol, 0.0) for symbol in symbols])
    weight: FloatArray = np.array([target[symbol] for symbol in symbols])
    value = float(held @ price) + cash
    if value <= 0:
        raise AllocationError("holdings: expected shares or cash, got nothing; add rows, or --cash.")
    wanted = weight * value / price
    shares = (np.floor(wanted + ROUNDING) if whole_shares else wanted) - held
    dollars = shares * price
    cost = trading_cost(np.abs(dollars), rules)
    table = pd.DataFrame(
        {
            "symbol": symbols,
            "price": price,
            "held": held,
            "target": weight,
            "shares": shares,
            "dollars": dollars,
            "cost": cost,
        }
    )
    return Trades(table, value, cash - float(dollars.sum()) - float(cost.sum()))


def _refuse_strangers(target: Mapping[str, float], holdings: Mapping[str, float]) -> None:
    strangers = [symbol for symbol in holdings if symbol not in target]
    if strangers:
        known = [symbol for symbol in target if symbol != CASH]
        more = f" and {len(known) - SHOWN} more" if len(known) > SHOWN else ""
        raise AllocationError(
            f"holdings: expected symbols among {', '.join(known[:SHOWN])}{more}, got {', '.join(strangers)}; take what "
            "no strategy trades out of the file."
        )


def _refuse_priceless(symbols: Sequence[str], closes: Mapping[str, float]) -> None:
    priceless = [symbol for symbol in symbols if symbol not in closes]
    if priceless:
        raise AllocationError(
            f"holdings: expected a close of each symbol before the week, got none of {', '.join(priceless)}; take what "
            "cannot be priced out of the file."
        )
