"""Daily bars by year."""

import dagster as dg
import numpy as np
import pandas as pd

from brain_assets.arrays import DateArray
from brain_assets.graph.checks import PRICE_CHECKS, blocked, check_results, check_specs
from brain_assets.graph.columns import RAW_COLUMNS, column_schema
from brain_assets.graph.configs import ForceConfig
from brain_assets.graph.io_managers import TableIOManager
from brain_assets.graph.pictures import price_chart
from brain_assets.graph.pools import MARKET_POOL
from brain_assets.graph.years import Years
from brain_assets.market.archive import PREVIOUS_BARS, changed_returns, changed_shapes, fetch_prices
from brain_assets.market.base import Market
from brain_assets.market.calendar import sessions_between
from brain_assets.market.price_checks import price_verdicts
from brain_assets.store.tables import content_hash
from brain_assets.verdict import Verdict
from brain_assets.versions import CODE_VERSIONS


def raw_prices_asset(years: Years) -> dg.AssetsDefinition:
    """Define the asset ``raw_prices``."""

    @dg.asset(
        partitions_def=years.definition,
        check_specs=check_specs("raw_prices", PRICE_CHECKS, years),
        code_version=CODE_VERSIONS["raw_prices"],
        metadata=column_schema(RAW_COLUMNS["raw_prices"]),
        pool=MARKET_POOL,
        io_manager_key="table_io",
        group_name="market",
        kinds={"parquet"},
    )
    def raw_prices(  # type: ignore[no-untyped-def]  # with checks there are several outputs: Dagster takes no single type
        context: dg.AssetExecutionContext,
        config: ForceConfig,
        market: dg.ResourceParam[Market],
        table_io: dg.ResourceParam[TableIOManager],
    ):
        """Daily bars of the year, adjusted for splits and dividends; the first partition holds the bootstrap window.

        A year is fetched once. With `force` it is fetched again: if no bar changed but for its level, the stored bars
        stay; else the daily returns that changed are listed, the new bars are stored, and the old ones kept beside
        them. Bars that do not pass the checks that block are replaced in any case, and kept too.
        """
        year = int(context.partition_key)
        start, end = years.window(year)
        scheduled = sessions_between(start, end)
        metadata: dict[str, dg.MetadataValue | str | int | bool | float] = {"reused": False}
        store = table_io.store
        old = store.find("raw_prices", year)
        refused = old is not None and blocked(PRICE_CHECKS, _verdicts(old, scheduled))
        if old is not None and not config.force and not refused:
            prices, metadata["reused"] = old, True
        else:
            prices = fetch_prices(market, start, end, overlap=year > years.first)
            if old is not None:
                changed = changed_returns(old, prices)
                metadata |= {
                    "changed_returns": len(changed),
                    "otherwise_changed_bars": (n_shapes := changed_shapes(old, prices)),
                }
                if changed.empty and not n_shapes and not refused:
                    prices, metadata["reused"] = old, True
                else:
                    if len(changed):
                        metadata["largest_changes"] = dg.MetadataValue.table(
                            [
                                dg.TableRecord({name: str(value) for name, value in row.items()})
                                for row in changed.head(20).to_dict("records")
                            ]
                        )
                    metadata["replaced_prices"] = store.keep_replaced("raw_prices", year)
                    why = f"{len(changed)} daily returns changed since the last fetch"
                    if n_shapes:
                        why += f", and {n_shapes} bars in open, high, low or volume"
                    if refused:
                        why += ", and the stored bars did not pass the checks"
                    metadata["replaced_because"] = why
                    context.log.warning(f"raw_prices[{year}]: {why}")
        missing = np.setdiff1d(scheduled, prices["date"].to_numpy().astype("datetime64[D]"))
        metadata |= {
            "market": market.name,
            "caveat": market.caveat,
            "symbols": prices["symbol"].nunique(),
            "first_date": f"{prices['date'].min():%Y-%m-%d}",
            "last_date": f"{prices['date'].max():%Y-%m-%d}",
            "sessions": len(scheduled) - len(missing),
            "sessions_of_the_exchange": len(scheduled),
            "sessions_without_a_bar": ", ".join(map(str, missing[:20])) or "none",
            "prices": price_chart(f"raw_prices {year}", prices),
        }
        return dg.MaterializeResult(
            value=prices,
            metadata=metadata,
            data_version=dg.DataVersion(content_hash(prices)),
            check_results=check_results(PRICE_CHECKS, _verdicts(prices, scheduled)),
        )

    return raw_prices


def _verdicts(prices: pd.DataFrame, scheduled: DateArray) -> dict[str, Verdict]:
    previous = {symbol: close for symbol, (_, close, _) in prices.attrs.get(PREVIOUS_BARS, {}).items()}
    return price_verdicts(prices, scheduled, previous)
