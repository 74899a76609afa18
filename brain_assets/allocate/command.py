"""The command `brain-assets allocate`."""

from collections.abc import Mapping
from pathlib import Path
from typing import Annotated, Any

import pandas as pd
import typer
from rich.markup import escape

from brain_assets.allocate.allocation import chosen_week, strategies_of
from brain_assets.allocate.trades import Trades, check_cash, plan_trades, read_holdings
from brain_assets.cli_run import run_alone
from brain_assets.errors import AllocationError, SettingsError
from brain_assets.graph.build import session
from brain_assets.graph.options import read_options
from brain_assets.graph.tasks import Task
from brain_assets.parquet import read_table
from brain_assets.paths import parse_place
from brain_assets.portfolio.baselines import BUY_AND_HOLD
from brain_assets.portfolio.constraints import CONSTRAINTS
from brain_assets.registry import AVERAGE, label
from brain_assets.settings import read_settings
from brain_assets.terminal import ConfigOption, MarketOption, console, new_table, read_config

N_COLUMNS = 7  # strategies beside each other: more have no room for their figures in a terminal of 80 columns


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
    check_cash(cash)
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
