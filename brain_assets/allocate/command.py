"""The command `brain-assets allocate`: the weights of a week, and the trades from what somebody holds to them.

Prices are the last closes before the week, so dollars are estimates: the trade itself is at the first open. Shares may
be fractions of one; who can trade whole shares only has the targets rounded down, and the rest stays in cash. Costs are
paid from cash, of which the portfolio constraints hold back more than any trade costs.
"""

import math
from collections.abc import Mapping
from pathlib import Path
from typing import Annotated, Any, NamedTuple

import numpy as np
import pandas as pd
import typer
from rich.markup import escape

from brain_assets.allocate.allocation import chosen_week, strategies_of
from brain_assets.cli_run import run_alone
from brain_assets.errors import AllocationError, SettingsError
from brain_assets.formatting import listed
from brain_assets.graph.build import session
from brain_assets.graph.options import read_options
from brain_assets.graph.tasks import Task
from brain_assets.market.file_values import TwoWays, parse_numbers, text_at
from brain_assets.market.sheets import open_sheet
from brain_assets.parquet import read_table
from brain_assets.paths import parse_place
from brain_assets.portfolio.arithmetic import CONSTRAINTS, PortfolioConstraints, trading_cost
from brain_assets.portfolio.baselines import BUY_AND_HOLD
from brain_assets.portfolio.strategy import CASH
from brain_assets.registry import AVERAGE, label
from brain_assets.settings import read_settings
from brain_assets.terminal import ConfigOption, MarketOption, console, new_table, read_config

N_COLUMNS = 7  # strategies beside each other: more have no room for their figures in a terminal of 80 columns
SHOWN = 20  # symbols that an error names; a universe may have hundreds
ROUNDING = 1e-9  # shares; ten that come out as 9.9999999999 are ten


def allocate(
    date: Annotated[
        str | None,
        typer.Option(help="A day, 2022-06-01: the week of the first session on or after it. Default: this week."),
    ] = None,
    holdings: Annotated[
        Path | None, typer.Option(help="CSV file of what you hold, symbol,shares: gives the trades to get there.")
    ] = None,
    cash: Annotated[float, typer.Option(help="Dollars that you hold beside it, or alone.")] = 0.0,
    strategy: Annotated[
        str,
        typer.Option(help="Whose weights to trade to: ppo, sac, direct, equal_weight, or another column of the table."),
    ] = "ppo",
    whole_shares: Annotated[
        bool, typer.Option("--whole-shares", help="Round targets down to whole shares; else fractions are traded.")
    ] = False,
    market: MarketOption = None,
    config: ConfigOption = None,
) -> None:
    """Print what each strategy would hold in a week, decided after the last close before it.

    With --holdings or --cash, also the trades to get there, at the last closes, with costs. It is a Dagster run, so the
    UI has the same table. Data or models that are too old are refused in one sentence; the exit code is 2 then.
    """
    families = read_settings(market=market).families
    offered = strategies_of(families.policies, (*families.forecasters, AVERAGE))
    if strategy not in offered:
        raise SettingsError(f"--strategy: expected one of {', '.join(offered)}, got {strategy}; choose one of them.")
    if not (math.isfinite(cash) and cash >= 0):
        raise AllocationError(f"--cash: expected dollars from 0 up, got {cash:g}; correct it.")
    held = {} if holdings is None else read_holdings(holdings)
    with session(market) as (project, instance):
        defs = project.definitions
        options = dict(read_options(defs, read_config(config)).get("target_weights", {}))
        options |= {"date": date} if date else {}
        week = chosen_week(options.get("date"), (defs.resources or {})["clock"])
        options["date"] = str(week.start)  # asked for, so that a refusal is a failure
        to_date = week.decided.year > max(project.years.existing(), default=0)
        before = [Task("raw_year_to_date", 0)] if to_date else []
        years = [year for year in project.years.existing() if year <= week.year]
        made = run_alone((project, instance), years, *before, Task("target_weights", 0, options))
    if made.kind == "failed":
        raise AllocationError(made.detail)
    table = read_table(parse_place(made.metadata["path"]))
    trades = None
    if holdings is not None or cash:
        if strategy not in table:
            there = ", ".join(table.columns[1:])
            raise AllocationError(
                f"--strategy: expected one of {there}, got {strategy}, left out this week; choose another."
            )
        target = dict(zip(table["symbol"], table[strategy].astype(float), strict=True))
        trades = plan_trades(target, made.metadata["closes"], held, cash, CONSTRAINTS, whole_shares)
    _print_weights(table, made.metadata)
    if trades is not None:
        _print_trades(trades, strategy)
    console.print(f"{escape(made.metadata['path'])} and {escape(Path(made.metadata['csv']).name)}")


class Trades(NamedTuple):
    """The way from holdings to a target; amounts are dollars."""

    table: pd.DataFrame
    """A row a symbol that is held or shall be: symbol, price (dollars a share), held (shares), target (weight), shares
    (to trade, negative: to sell), dollars (of the trade, negative: sold), cost (dollars)."""
    value: float  # of what is held, cash included
    traded: float  # bought and sold
    cost: float
    cash: float  # left after trades and costs


def read_holdings(path: Path) -> dict[str, float]:
    """Read a file of holdings, symbol and shares, written as those of the market may be; an error names the line."""
    sheet = open_sheet(path, str(path))
    if sheet.header.names != ("symbol", "shares"):
        got = "others" if sheet.header.names else "nothing"  # not which: who knows what file it is
        raise AllocationError(f"{path}: expected the columns symbol, shares, got {got}; correct the file.")
    (names, amounts), lines = sheet.read([0, 1])
    symbols, key = pd.Series(names.to_pylist(), dtype="str").str.strip(), ("shares", 0)
    try:
        shares = parse_numbers({key: amounts}, sheet.separator != ",")[key].values.to_numpy(np.float64)
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
    used. Raises `AllocationError` if a symbol that is held is not known or has no close, or nothing is held at all.
    """
    known = [symbol for symbol in target if symbol != CASH]
    symbols = [name for name in known if holdings.get(name, 0.0) > 0 or target[name] > 0]
    strangers = ", ".join(symbol for symbol in holdings if symbol not in target)
    priceless = ", ".join(symbol for symbol in symbols if symbol not in closes)
    for wrong, expected, got, what in (
        (strangers, f"symbols among {listed(known, SHOWN)}", strangers, "no strategy trades"),
        (priceless, "a close of each symbol before the week", f"none of {priceless}", "cannot be priced"),
    ):
        if wrong:
            raise AllocationError(f"holdings: expected {expected}, got {got}; take what {what} out of the file.")
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


def _print_weights(table: pd.DataFrame, metadata: Mapping[str, Any]) -> None:
    sources = metadata["models"].items()
    models = [f"{label(family)} {each['source']}, {each['age_days']} days old" for family, each in sources]
    console.print(f"Week of {metadata['week']}, decided after {metadata['decided_after']}.")
    console.print(f"Data: bars until {metadata['data_until']}, {metadata['data_age_sessions']} sessions old.")
    console.print(f"Models: {'; '.join(models)}.")
    for words, key in (("Left out", "strategies_left_out"), ("Without a bar", "symbols_without_a_bar")):
        if metadata[key] != "none":
            console.print(f"{words}: {escape(metadata[key])}.")
    symbols = table[table.columns[:1]]
    for first in range(1, len(table.columns), N_COLUMNS):
        part = symbols.join(table[table.columns[first : first + N_COLUMNS]])
        shown = new_table(*(label(name).replace("_", "\n") for name in part.columns), title="Weights, %")
        for symbol, *weights in part.itertuples(index=False):
            if any(weights):
                shown.add_row(escape(symbol), *(f"{100 * weight:.2f}" if weight else "·" for weight in weights))
        console.print(shown)
    console.print(f"{BUY_AND_HOLD} trades nothing: what it holds is shown as of the decision.")
    console.print(f"Caveat: {escape(metadata['caveat'])}")


def _print_trades(trades: Trades, strategy: str) -> None:
    forms = {
        "price, $": "{:,.2f}",
        "held": "{:,.4f}",
        "target, %": "{:.2f}",
        "shares to trade": "{:+,.4f}",
        "dollars": "{:+,.2f}",
        "cost, $": "{:,.2f}",
    }
    caption = (
        "Prices are the last closes before the week, adjusted for what came until they were fetched; the trade is at "
        "its first open."
    )
    shown = new_table("symbol", *forms, title=f"Trades to {strategy}", caption=caption)
    for symbol, *values in trades.table.assign(target=100 * trades.table["target"]).itertuples(index=False):
        shown.add_row(escape(symbol), *(form.format(value) for form, value in zip(forms.values(), values, strict=True)))
    console.print(shown)
    console.print(
        f"Of ${trades.value:,.2f}: ${trades.traded:,.2f} traded, ${trades.cost:,.2f} of costs "
        f"({CONSTRAINTS.cost_bps:g} bps of every dollar traded), ${trades.cash:,.2f} left in cash."
    )
