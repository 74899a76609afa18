"""Snapshots in memory, as what is computed from them takes them."""

import datetime
from collections.abc import Collection

from brain_assets.store.snapshot import ModelSnapshot


class Stored:
    """Snapshots in memory."""

    def __init__(self, *snapshots: ModelSnapshot) -> None:
        self.by_date = {snapshot.cutoff_date: snapshot for snapshot in snapshots}

    def list_candidates(self, wanted: Collection[datetime.date]) -> list[datetime.date]:
        return sorted(self.by_date)

    def fetch_snapshot(self, cutoff_date: datetime.date) -> ModelSnapshot:
        return self.by_date[cutoff_date]


NO_MODELS = {"lstm": Stored(), "patchtst": Stored()}
"""Of forecasters: all of their forecasts are momentum."""
