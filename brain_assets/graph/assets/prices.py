"""Daily bars by year."""

from collections.abc import Mapping

import dagster as dg
import numpy as np
import pandas as pd

from brain_assets.graph.assets.inputs import yearly_table
from brain_assets.graph.checks import PRICE_CHECKS, blocked, check_results
from brain_assets.graph.configs import ForceConfig
from brain_assets.graph.io_managers import TableIOManager
from brain_assets.graph.pictures import as_table
from brain_assets.graph.pools import MARKET_POOL
from brain_assets.graph.snapshots import Metadata
from brain_assets.graph.sources import stored_year
from brain_assets.graph.years import Years
from brain_assets.market.archive import changed_returns, changed_shapes, closes_before, fetch_prices
from brain_assets.market.base import Market
from brain_assets.market.calendar import sessions_between
from brain_assets.market.findings import attach, findings_of
from brain_assets.market.members import MEMBERS, describe_members
from brain_assets.market.price_checks import symbol_spans, table_verdicts
from brain_assets.store.tables import content_hash


def raw_prices_asset(years: Years) -> dg.AssetsDefinition:
    """Define the asset ``raw_prices``."""

    @yearly_table("raw_prices", years, checks=PRICE_CHECKS, pool=MARKET_POOL, group_name="market")
    def raw_prices(  # type: ignore[no-untyped-def]  # with checks there are several outputs: Dagster takes no single type
        context: dg.AssetExecutionContext,
        config: ForceConfig,
        market: dg.ResourceParam[Market],
        table_io: dg.ResourceParam[TableIOManager],
    ):
        """Daily bars of the year, adjusted for splits and dividends; the first partition holds the bootstrap window.

        A year is fetched once. With `force`, or if its market has other rows, it is fetched again: if no bar changed
        but for its level, the stored bars stay; else the daily returns that changed are listed, the new bars are
        stored, and the old ones kept beside them. Bars that do not pass the checks that block are replaced in any case,
        and kept too. More: docs/assets.md.
        """
        year = int(context.partition_key)
        start, end = years.window(year)
        scheduled = sessions_between(start, end)
        store = TableIOManager.of(table_io).store
        old, is_current, looked = stored_year(context, market, years, store)
        metadata: Metadata = {"reused": False, **looked}
        refused = old is not None and blocked(PRICE_CHECKS, table_verdicts("raw_prices", old, scheduled))
        if old is not None and is_current and not config.force and not refused:
            prices, metadata["reused"] = old, True
        else:
            prices = fetch_prices(market, start, end, overlap=year > years.first)
            if old is not None:
                changes, why = _changes(old, prices, refused)
                metadata |= changes
                if why:
                    metadata["replaced_prices"] = store.keep_replaced("raw_prices", year)
                    metadata["replaced_because"] = why
                    context.log.warning(f"raw_prices[{year}]: {why}")
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
        return dg.MaterializeResult(
            value=prices,
            metadata=metadata,
            data_version=dg.DataVersion(content_hash(prices)),
            check_results=check_results(PRICE_CHECKS, table_verdicts("raw_prices", prices, scheduled)),
        )

    return raw_prices


def _changes(old: pd.DataFrame, new: pd.DataFrame, refused: bool) -> tuple[Metadata, str]:
    """Tell what another fetch changed, and why it replaces the stored bars; empty: it does not."""
    returns, n_shapes = changed_returns(old, new), changed_shapes(old, new)
    are_others = old.attrs.get(MEMBERS) != new.attrs.get(MEMBERS)
    metadata: Metadata = {"changed_returns": len(returns), "otherwise_changed_bars": n_shapes}
    if returns.empty and not n_shapes and not are_others and not refused:
        return metadata, ""
    if len(returns):
        metadata["largest_changes"] = as_table(returns.head(20).astype(str))
    why = f"{len(returns)} daily returns changed since the last fetch"
    if n_shapes:
        why += f", and {n_shapes} bars in open, high, low or volume"
    if are_others:
        why += ", and who could be chosen"
    if refused:
        why += ", and the stored bars did not pass the checks"
    return metadata, why


def _named(days: Mapping[str, str]) -> str:
    return ", ".join(f"{symbol} {day}" for symbol, day in days.items()) or "none"
