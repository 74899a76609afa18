"""Tables that assets take."""

from collections.abc import Mapping, Sequence
from typing import Any

import dagster as dg
import pandas as pd

from brain_assets.market.prices import PricePanel
from brain_assets.market.signals import add_signals
from brain_assets.store.tables import TableStore


class StoredYear:
    """The year of a table that an asset made before, if the IO manager has a store.

    Attributes
    ----------
    frame : DataFrame or None
    """

    def __init__(self, table_io: Any, name: str, year: int) -> None:
        self._store: TableStore | None = getattr(table_io, "store", None)
        self._name, self._year = name, year
        self.frame = self._store.find(name, year) if self._store else None

    def keep(self) -> str:
        """Put it aside before it is replaced; gives where it lies then."""
        return self._store.keep_replaced(self._name, self._year) if self._store else ""


def inputs(names: Sequence[str], mapping: dg.PartitionMapping) -> dict[str, dg.AssetIn]:
    """Declare the years of some tables that an asset takes."""
    return {name: dg.AssetIn(partition_mapping=mapping) for name in names}


def panel_of(tables: Mapping[str, pd.DataFrame]) -> PricePanel:
    """Put raw tables together; other tables are passed over, and without news and filings there are bars alone."""
    panel = PricePanel.from_frame(tables["raw_prices"])
    if "raw_news_sentiment" not in tables:
        return panel
    return add_signals(panel, tables["raw_news_sentiment"], tables["raw_fundamentals"])
