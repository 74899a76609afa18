"""Tables in and out of assets: always one DataFrame in date order, for one partition or many, on disk or in memory."""

from typing import Any

import dagster as dg
import pandas as pd

from brain_assets.store.tables import TableStore


class TableIOManager(dg.IOManager):
    """Stores an asset's table under its name and partition year; follows partition mappings when it loads.

    Parameters
    ----------
    store : TableStore
        On disk, or in memory for tests (Dagster's own in-memory IO manager ignores partitions).
    """

    def __init__(self, store: TableStore) -> None:
        self._store = store

    def handle_output(self, context: dg.OutputContext, obj: pd.DataFrame) -> None:
        """Write one year."""
        place = self._store.write(context.asset_key.to_user_string(), int(context.asset_partition_key), obj)
        context.add_output_metadata({"path": place, "rows": len(obj)})

    def load_input(self, context: dg.InputContext) -> Any:
        """Read the years that the mapping asks for; one that is absent is an error that names it."""
        years = [int(key) for key in context.asset_partition_keys]
        return self._store.read(context.asset_key.to_user_string(), years)
