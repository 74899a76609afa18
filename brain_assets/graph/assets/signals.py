"""News scores and fundamentals by year; a market that has none gives empty tables, and says so."""

from collections.abc import Callable

import dagster as dg
import pandas as pd

from brain_assets.graph.assets.inputs import yearly_table
from brain_assets.graph.checks import SIGNAL_CHECKS, check_results
from brain_assets.graph.configs import ForceConfig, NewsRunConfig, RunConfig
from brain_assets.graph.io_managers import TableIOManager
from brain_assets.graph.pools import MARKET_POOL
from brain_assets.graph.sources import stored_year
from brain_assets.graph.years import Years
from brain_assets.market.base import FILED_BEFORE, Market, SourcedTable
from brain_assets.market.finbert import FinBertScorer
from brain_assets.market.findings import finding_verdicts
from brain_assets.store.tables import TableStore, content_hash


def news_asset(years: Years) -> dg.AssetsDefinition:
    """Define the asset ``raw_news_sentiment``."""
    run_config = RunConfig(NewsRunConfig)

    @yearly_table(
        "raw_news_sentiment",
        years,
        checks=SIGNAL_CHECKS,
        config_schema=run_config,
        pool=MARKET_POOL,
        group_name="market",
    )
    def raw_news_sentiment(  # type: ignore[no-untyped-def]  # as `raw_prices`
        context: dg.AssetExecutionContext,
        market: dg.ResourceParam[Market],
        table_io: dg.ResourceParam[TableIOManager],
    ):
        """Daily news score of each symbol, in [-1, 1], and its number of articles; known at the close of the session.

        News after a close belong to the next session. Headlines are scored by a classifier such as FinBERT, each once.
        A day without news has no row. A year is fetched once, unless forced or its market has other rows.
        More: docs/assets.md.
        """
        config = run_config.read(context.op_execution_context.op_config)

        def fetch() -> SourcedTable:
            scorer = FinBertScorer(config.model, config.batch_size, TableIOManager.of(table_io).headline_cache)
            return market.news_sentiment(*years.window(int(context.partition_key)), scorer)

        return _fetch_once(context, config, market, years, TableIOManager.of(table_io).store, fetch)

    return raw_news_sentiment


def fundamentals_asset(years: Years) -> dg.AssetsDefinition:
    """Define the asset ``raw_fundamentals``."""

    @yearly_table("raw_fundamentals", years, checks=SIGNAL_CHECKS, pool=MARKET_POOL, group_name="market")
    def raw_fundamentals(  # type: ignore[no-untyped-def]  # as `raw_prices`
        context: dg.AssetExecutionContext,
        config: ForceConfig,
        market: dg.ResourceParam[Market],
        table_io: dg.ResourceParam[TableIOManager],
    ):
        """Quarterly margins, current ratio and debt to equity (plain ratios), dated by filing, as first reported.

        A restatement is a row of its own at its filing date. A symbol that files nothing has no row. A year is fetched
        once, unless forced or its market has other rows; the first partition reaches back a year more, so that the
        first week knows the last filing. More: docs/assets.md.
        """
        start, end = years.window(int(context.partition_key))
        if int(context.partition_key) == years.first:
            start -= FILED_BEFORE
        store = TableIOManager.of(table_io).store
        return _fetch_once(context, config, market, years, store, lambda: market.fundamentals(start, end))

    return raw_fundamentals


def _fetch_once(
    context: dg.AssetExecutionContext,
    config: ForceConfig,
    market: Market,
    years: Years,
    store: TableStore,
    fetch: Callable[[], SourcedTable],
) -> dg.MaterializeResult[pd.DataFrame]:
    """Keep a year that is there as its market has it; else fetch it. Other rows than before are kept beside it."""
    name, year = context.asset_key.to_user_string(), int(context.partition_key)
    old, is_current, metadata = stored_year(context, market, years, store)
    if old is not None and is_current and not config.force:
        table, metadata["reused"] = old, True
    else:
        table, origin, missing = fetch()
        metadata |= {"reused": False, "source": origin, "symbols_without_any": ", ".join(missing) or "none"}
        if old is not None and content_hash(old) == content_hash(table):
            metadata["reused"] = True
        elif old is not None:
            metadata["replaced"] = store.keep_replaced(name, year)
            context.log.warning(f"{name}[{year}]: the rows changed since the last fetch")
    metadata["symbols"] = int(table["symbol"].nunique())
    if table.empty:
        metadata["neutral"] = "no row: whatever reads it takes it as neutral, and says so"
    else:
        date = table.columns[0]  # the session, or the day of filing: when a row is known
        metadata |= {f"first_{date}": f"{table[date].min():%Y-%m-%d}", f"last_{date}": f"{table[date].max():%Y-%m-%d}"}
    return dg.MaterializeResult(
        value=table,
        metadata=metadata,
        data_version=dg.DataVersion(content_hash(table)),
        check_results=check_results(SIGNAL_CHECKS, finding_verdicts(table)),
    )
