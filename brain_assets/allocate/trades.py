"""From what somebody holds to what a strategy would hold: the trades, in shares and dollars, and what they cost.

Prices are the last closes before the week, so dollars are estimates: the trade itself is at the first open. Shares may
be fractions of one; who can trade whole shares only has the targets rounded down, and the rest stays in cash. Costs are
paid from cash, of which the portfolio constraints hold back more than any trade costs.
"""

import math
from collections.abc import Mapping
from pathlib import Path
from typing import NamedTuple

import numpy as np
import pandas as pd

from brain_assets.check_result import listed
from brain_assets.errors import AllocationError
from brain_assets.market.file_values import TwoWays, parse_numbers, text_at
from brain_assets.market.sheets import open_sheet
from brain_assets.portfolio.arithmetic import PortfolioConstraints, trading_cost
from brain_assets.portfolio.weights_table import CASH

SHOWN = 20
"""Symbols that an error names; a universe may have hundreds."""

ROUNDING = 1e-9
"""Shares; ten that come out as 9.9999999999 are ten."""


class Trades(NamedTuple):
    """The way from holdings to a target."""

    table: pd.DataFrame
    """A row a symbol that is held or shall be: symbol, price (dollars a share), held (shares), target (weight), shares
    (to trade, negative: to sell), dollars (of the trade, negative: sold), cost (dollars)."""
    value: float
    """Of what is held, cash included, in dollars."""
    traded: float
    """Dollars bought and sold."""
    cost: float
    cash: float
    """Left after trades and costs, in dollars."""


def read_holdings(path: Path) -> dict[str, float]:
    """Read a file of holdings, symbol and shares, written as those of the market may be; a symbol has one row.

    Raises `TableError` or `AllocationError` naming the file, the line and what is wrong with it.
    """
    sheet = open_sheet(path, str(path))
    if sheet.header.names != ("symbol", "shares"):
        got = "others" if sheet.header.names else "nothing"  # not which: who knows what file it is
        raise AllocationError(f"{path}: expected the columns symbol, shares, got {got}; correct the file.")
    (names, amounts), lines = sheet.read([0, 1])
    symbols = pd.Series(names.to_pylist(), dtype="str").str.strip()
    key = ("shares", 0)
    try:
        shares = np.asarray(parse_numbers({key: amounts}, sheet.separator != ",")[key].values, dtype=np.float64)
    except TwoWays as error:
        raise AllocationError(f"{path}: expected decimal points, or commas, got both; write all one way.") from error
    for wrong, expected in (
        (symbols.isin(["", CASH]), "a symbol (cash is what --cash says)"),
        (symbols.duplicated(), "each symbol once (add its rows up)"),
        (~((shares >= 0) & np.isfinite(shares)), "a number of shares from 0 up (nothing is sold short)"),
    ):
        for row in np.flatnonzero(wrong)[:1].tolist():
            got = f"{text_at(names, row)}, {text_at(amounts, row)}"
            raise AllocationError(f"{path}, {sheet.place} {lines[row]}: expected {expected}, got {got}; correct it.")
    return dict(zip(symbols, shares.tolist(), strict=True))


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
    priceless = [symbol for symbol in symbols if symbol not in closes]
    for wrong, expected, of_them, what in (
        (strangers, f"symbols among {listed(known, SHOWN)}", "", "no strategy trades"),
        (priceless, "a close of each symbol before the week", "none of ", "cannot be priced"),
    ):
        if wrong:
            got = f"{of_them}{', '.join(wrong)}"
            raise AllocationError(f"holdings: expected {expected}, got {got}; take what {what} out of the file.")
    check_cash(cash)
    price, held, weight = (
        np.array([values.get(symbol, 0.0) for symbol in symbols]) for values in (closes, holdings, target)
    )
    value = float(held @ price) + cash
    if value <= 0:
        raise AllocationError("holdings: expected shares or cash, got nothing; add rows, or --cash.")
    wanted = weight * value / price
    shares = (np.floor(wanted + ROUNDING) if whole_shares else wanted) - held
    dollars = shares * price
    cost = trading_cost(np.abs(dollars), rules)
    columns = {"price": price, "held": held, "target": weight, "shares": shares, "dollars": dollars, "cost": cost}
    table = pd.DataFrame({"symbol": symbols, **columns})
    traded, costs = float(np.abs(dollars).sum()), float(cost.sum())
    return Trades(table, value, traded, costs, cash - float(dollars.sum()) - costs)
