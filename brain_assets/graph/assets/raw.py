"""Raw tables by year; a market that has no news or filings gives empty tables, and says so.

Rows since the last complete year are fetched here too. They are kept under `brain_assets.store.tables.YEAR_TO_DATE`,
never under a year: a year's partition is complete or absent. Each fetch replaces them.
"""

import datetime
from collections.abc import Callable, Mapping, Sequence
from inspect import cleandoc
from typing import Any, NamedTuple

import dagster as dg
import numpy as np
import pandas as pd

from brain_assets.graph.assets.inputs import table_result, yearly_table
from brain_assets.graph.checks import PRICE_CHECKS, SIGNAL_CHECKS, Checks
from brain_assets.graph.instance import MARKET_POOL
from brain_assets.graph.io_managers import Metadata, TableIOManager
from brain_assets.graph.options import ForceConfig, NewsRunConfig, RunConfig
from brain_assets.graph.pictures import as_table
from brain_assets.graph.status import change, look, recorded
from brain_assets.graph.years import Years
from brain_assets.market.archive import chain_prices, changed_returns, changed_shapes, closes_before, fetch_prices
from brain_assets.market.base import FILED_BEFORE, Market, SourcedTable
from brain_assets.market.calendar import Clock, first_unfinished_day, sessions_between
from brain_assets.market.finbert import FinBertScorer
from brain_assets.market.price_checks import symbol_spans, table_verdicts
from brain_assets.market.prices import MEMBERS, describe_members
from brain_assets.market.schema import RAW, attach, findings_of
from brain_assets.paths import DataPath
from brain_assets.progress import warn
from brain_assets.store.tables import content_hash


class Asked(NamedTuple):
    """A year of a raw table that is to be made, and what is known of it."""

    context: dg.AssetExecutionContext
    config: Any
    market: Market
    years: Years
    year: int
    table_io: TableIOManager
    stored: pd.DataFrame | None
    is_current: bool  # it is stored as its market has it, and nobody forces a fetch
    looked: Mapping[str, Any]  # what is recorded of what the market has now


def raw_assets(years: Years) -> list[dg.AssetsDefinition]:
    """Define ``raw_prices``, ``raw_news_sentiment`` and ``raw_fundamentals``."""
    return [
        _raw_asset("raw_prices", years, PRICE_CHECKS, ForceConfig, _prices),
        _raw_asset("raw_news_sentiment", years, SIGNAL_CHECKS, NewsRunConfig, _news),
        _raw_asset("raw_fundamentals", years, SIGNAL_CHECKS, ForceConfig, _fundamentals),
    ]


def _raw_asset(
    name: str,
    years: Years,
    checks: Checks,
    config: type[ForceConfig],
    make: Callable[[Asked], tuple[pd.DataFrame, Metadata]],
) -> dg.AssetsDefinition:
    run_config = RunConfig(config)

    @yearly_table(
        name,
        years,
        (),
        checks,
        description=cleandoc(make.__doc__ or ""),
        config_schema=run_config,
        pool=MARKET_POOL,
        group_name="market",
    )
    def raw_table(  # type: ignore[no-untyped-def]  # with checks there are several outputs: Dagster takes no single type
        context: dg.AssetExecutionContext,
        market: dg.ResourceParam[Market],
        table_io: dg.ResourceParam[TableIOManager],
    ):
        given, year = run_config.read(context.op_execution_context.op_config), int(context.partition_key)
        kept = TableIOManager.of(table_io)
        found, stored = look(market, years.existing()), kept.store.find(name, year)
        is_current = stored is not None and not given.force and not change(found, context.instance, name, year)
        looked = recorded(found, name, year)
        table, metadata = make(Asked(context, given, market, years, year, kept, stored, is_current, looked))
        return table_result(table, metadata, checks, table_verdicts(name, table, sessions_between(*years.window(year))))

    return raw_table


def _prices(asked: Asked) -> tuple[pd.DataFrame, Metadata]:
    """Daily bars of the year, adjusted for splits and dividends; the first partition holds the bootstrap window.

    A year is fetched once. With `force`, or if its market has other rows, it is fetched again: if no bar changed
    but for its level, the stored bars stay; else the daily returns that changed are listed, the new bars are
    stored, and the old ones kept beside them. Bars that do not pass the checks that block are replaced in any case,
    and kept too. More: docs/assets.md.
    """
    market, years, year, old = asked.market, asked.years, asked.year, asked.stored
    scheduled, metadata = sessions_between(*years.window(year)), Metadata(reused=False, **asked.looked)
    verdicts = {} if old is None else table_verdicts("raw_prices", old, scheduled)
    refused = any(PRICE_CHECKS[name].blocks and not verdict.passed for name, verdict in verdicts.items())
    if old is not None and asked.is_current and not refused:
        prices, metadata["reused"] = old, True
    else:
        prices = fetch_prices(market, *years.window(year), overlap=year > years.first)
        if old is not None:
            changes, why = _changes(old, prices, refused)
            metadata |= changes
            if why:
                metadata["replaced_prices"] = asked.table_io.store.keep_replaced("raw_prices", year)
                metadata["replaced_because"] = why
                asked.context.log.warning(f"raw_prices[{year}]: {why}")
            else:
                prices, metadata["reused"] = attach(old, findings_of(prices)), True
    missing = np.setdiff1d(scheduled, prices["date"].to_numpy().astype("datetime64[D]"))
    spans = symbol_spans(prices, closes_before(prices))
    metadata |= {
        "market": market.name,
        "caveat": market.caveat,
        "symbols": prices["symbol"].nunique(),
        "listed_late": _named(spans.late),
        "ended_early": _named(spans.ended),
        "first_date": f"{prices['date'].min():%Y-%m-%d}",
        "last_date": f"{prices['date'].max():%Y-%m-%d}",
        "sessions": f"{len(scheduled) - len(missing)} of {len(scheduled)}",
        "sessions_without_a_bar": ", ".join(map(str, missing[:20])) or "none",
    }
    if members := describe_members(prices):
        metadata["universe"] = members
    return prices, metadata


def _changes(old: pd.DataFrame, new: pd.DataFrame, refused: bool) -> tuple[Metadata, str]:
    """Tell what another fetch changed, and why it replaces the stored bars; empty: it does not."""
    returns, n_shapes = changed_returns(old, new), changed_shapes(old, new)
    metadata: Metadata = {"changed_returns": len(returns), "otherwise_changed_bars": n_shapes}
    if len(returns):
        metadata["largest_changes"] = as_table(returns.head(20).astype(str))
    others = {
        f"{n_shapes} bars in open, high, low or volume": n_shapes,
        "who could be chosen": old.attrs.get(MEMBERS) != new.attrs.get(MEMBERS),
        "the stored bars did not pass the checks": refused,
    }
    said = [what for what, is_so in others.items() if is_so]
    if returns.empty and not said:
        return metadata, ""
    return metadata, ", and ".join([f"{len(returns)} daily returns changed since the last fetch", *said])


def _named(days: Mapping[str, str]) -> str:
    return ", ".join(f"{symbol} {day}" for symbol, day in days.items()) or "none"


def _news(asked: Asked) -> tuple[pd.DataFrame, Metadata]:
    """Daily news score of each symbol, in [-1, 1], and its number of articles; known at the close of the session.

    News after a close belong to the next session. Headlines are scored by a classifier such as FinBERT, each once.
    A day without news has no row. A year is fetched once, unless forced or its market has other rows.
    More: docs/assets.md.
    """
    scorer = FinBertScorer(asked.config.model, asked.config.batch_size, asked.table_io.headline_cache)
    window = asked.years.window(asked.year)
    return _kept_or_fetched(asked, lambda: asked.market.news_sentiment(*window, scorer))


def _fundamentals(asked: Asked) -> tuple[pd.DataFrame, Metadata]:
    """Quarterly margins, current ratio and debt to equity (plain ratios), dated by filing, as first reported.

    A restatement is a row of its own at its filing date. A symbol that files nothing has no row. A year is fetched
    once, unless forced or its market has other rows; the first partition reaches back a year more, so that the
    first week knows the last filing. More: docs/assets.md.
    """
    start, end = asked.years.window(asked.year)
    if asked.year == asked.years.first:
        start -= FILED_BEFORE
    return _kept_or_fetched(asked, lambda: asked.market.fundamentals(start, end))


def _kept_or_fetched(asked: Asked, fetch: Callable[[], SourcedTable]) -> tuple[pd.DataFrame, Metadata]:
    """Keep a year that is there as its market has it; else fetch it. Other rows than before are kept beside it."""
    old, name = asked.stored, asked.context.asset_key.to_user_string()
    if old is not None and asked.is_current:
        table, metadata = old, Metadata(asked.looked, reused=True)
    else:
        table, origin, missing = fetch()
        is_same = old is not None and content_hash(old) == content_hash(table)
        metadata = Metadata(asked.looked, reused=is_same, source=origin)
        metadata["symbols_without_any"] = ", ".join(missing) or "none"
        if old is not None and not is_same:
            metadata["replaced"] = asked.table_io.store.keep_replaced(name, asked.year)
            asked.context.log.warning(f"{name}[{asked.year}]: the rows changed since the last fetch")
    metadata["symbols"] = int(table["symbol"].nunique())
    if table.empty:
        metadata["neutral"] = "no row: whatever reads it takes it as neutral, and says so"
    else:
        date = table.columns[0]  # the session, or the day of filing: when a row is known
        metadata |= {f"first_{date}": f"{table[date].min():%Y-%m-%d}", f"last_{date}": f"{table[date].max():%Y-%m-%d}"}
    return table, metadata


def recent_window(years: Years, clock: Clock) -> tuple[datetime.date, datetime.date] | None:
    """Give the days since the last partition whose session is finished, end exclusive; None: none, or left out."""
    start = datetime.date(years.last() + 1, 1, 1)
    end = first_unfinished_day(clock())
    if years.last_asked is not None or start >= end or len(sessions_between(start, end)) == 0:
        return None
    return start, end


def fetch_year_to_date(
    market: Market,
    window: tuple[datetime.date, datetime.date],
    headline_cache: DataPath | None,
    names: Sequence[str] = RAW,
) -> dict[str, pd.DataFrame]:
    """Fetch some raw tables of those days, all or none; headlines are scored by the default model.

    They are no asset that Dagster checks: what the checks of a year would find is said as a warning.
    """
    fetch: Mapping[str, Callable[[], pd.DataFrame]] = {
        "raw_prices": lambda: fetch_prices(market, *window, overlap=True),
        "raw_news_sentiment": lambda: market.news_sentiment(*window, FinBertScorer(cache=headline_cache)).table,
        "raw_fundamentals": lambda: market.fundamentals(*window).table,
    }
    tables = {name: fetch[name]() for name in names}
    for name, table in tables.items():
        last = table["date"].max().date() if name == "raw_prices" else window[1]
        for check, found in table_verdicts(name, table, sessions_between(window[0], last)).items():
            if not found.passed:
                warn(f"{name} since {window[0]}, {check}: {found.words}")
    return tables


def join(name: str, rows: pd.DataFrame, later: pd.DataFrame) -> pd.DataFrame:
    """Join the rows of a raw table with later ones."""
    return chain_prices([rows, later]) if name == "raw_prices" else pd.concat([rows, later], ignore_index=True)
