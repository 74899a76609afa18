"""From what somebody holds to what a strategy would hold: the trades, in shares and dollars, and what they cost.

Prices are the last closes before the week, so dollars are estimates: the trade itself is at the first open. Shares may
be fractions of one; who can trade whole shares only has the targets rounded down, and the rest stays in cash. Costs are
paid from cash, of which the portfolio constraints hold back more than any trade costs.
"""

import csv
import math
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pandas as pd

from brain_assets.arrays import FloatArray
from brain_assets.check_result import listed
from brain_assets.errors import AllocationError
from brain_assets.portfolio.arithmetic import PortfolioConstraints, trading_cost
from brain_assets.portfolio.weights_table import CASH

HOLDINGS_COLUMNS = ["symbol", "shares"]

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
    head, *rows = lines or [[]]
    if head != HOLDINGS_COLUMNS:
        raise AllocationError(
            f"{path}: expected a first line with the columns symbol, shares, got {'another' if head else 'nothing'}; "
            "correct the file."
        )
    holdings: dict[str, float] = {}
    for number, row in enumerate(rows, start=2):
        if any(row):
            problem = _problem(row, holdings)
            if problem:
                raise AllocationError(f"{path}, line {number}: {problem}.")
            holdings[row[0]] = float(row[1])
    return holdings


def _problem(row: list[str], before: Mapping[str, float]) -> str:
    """Say what is wrong with a row of holdings; empty: nothing."""
    if len(row) != len(HOLDINGS_COLUMNS):
        return f"expected a symbol and its shares, got {len(row)} cells; correct it"
    symbol, shares = row
    if symbol in ("", CASH):
        return f"expected a symbol, got {symbol or 'none'}; cash is what --cash says"
    if symbol in before:
        return f"expected each symbol once, got {symbol} again; add its rows up"
    try:
        is_amount = math.isfinite(float(shares)) and float(shares) >= 0
    except ValueError:
        is_amount = False
    got = "" if is_amount else shares or "nothing"
    return f"expected a number of shares from 0 up (nothing is sold short), got {got}; correct it" if got else ""


def check_cash(dollars: float) -> None:
    """Refuse cash that is negative or no number."""
    if not (math.isfinite(dollars) and dollars >= 0):
        raise AllocationError(f"--cash: expected dollars from 0 up, got {dollars:g}; correct it.")


def plan_trades(
    target: Mapping[str, float],
    closes: Mapping[str, float],
    holdings: Mapping[str, float],
    cash: float,
    rules: PortfolioConstraints,
    whole_shares: bool = False,
) -> Trades:
    """Give the trades from holdings, symbol -> shares, and `cash` beside them to target weights by symbol and `CASH`.

    `closes` are the last before the week, in dollars; a symbol without one has no entry. Of the rules only the cost is
    used. `whole_shares` rounds targets down to whole shares. Raises `AllocationError` if a symbol that is held is not
    known or has no close, cash is negative, or nothing is held at all.
    """
    known = [symbol for symbol in target if symbol != CASH]
    symbols = [name for name in known if holdings.get(name, 0.0) > 0 or target[name] > 0]
    strangers = [symbol for symbol in holdings if symbol not in target]
    if strangers:
        raise AllocationError(
            f"holdings: expected symbols among {listed(known, SHOWN)}, got {', '.join(strangers)}; take what no "
            "strategy trades out of the file."
        )
    priceless = [symbol for symbol in symbols if symbol not in closes]
    if priceless:
        raise AllocationError(
            f"holdings: expected a close of each symbol before the week, got none of {', '.join(priceless)}; take what "
            "cannot be priced out of the file."
        )
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
    columns = {"price": price, "held": held, "target": weight, "shares": shares, "dollars": dollars, "cost": cost}
    return Trades(pd.DataFrame({"symbol": symbols, **columns}), value, cash - float(dollars.sum()) - float(cost.sum()))
