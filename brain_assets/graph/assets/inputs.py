"""Tables that assets take."""

from collections.abc import Mapping, Sequence

import dagster as dg
import pandas as pd

from brain_assets.market.prices import PricePanel
from brain_assets.market.signals import add_signals


def inputs(names: Sequence[str], mapping: dg.PartitionMapping) -> dict[str, dg.AssetIn]:
    """Declare the years of some tables that an asset takes."""
    return {name: dg.AssetIn(partition_mapping=mapping) for name in names}


def panel_of(tables: Mapping[str, pd.DataFrame]) -> PricePanel:
    """Put raw tables together; other tables are passed over, and without news and filings there are bars alone."""
    panel = PricePanel.from_frame(tables["raw_prices"])
    if "raw_news_sentiment" not in tables:
        return panel
    return add_signals(panel, tables["raw_news_sentiment"], tables["raw_fundamentals"])
