"""What the UI says of columns is what is stored."""

import pandas as pd
import pytest

from brain_assets.store.tables import FOLDERS
from brain_assets_tests.backfills import YEARS, shared_backfill
from brain_assets_tests.graph.worlds import EVERY


@pytest.mark.parametrize("asset", FOLDERS)
def test_columns_are_described_as_they_are_stored(asset: str, tmp_path_factory: pytest.TempPathFactory) -> None:
    stored = pd.read_parquet(shared_backfill(tmp_path_factory).data_dir / FOLDERS[asset] / f"{YEARS[-1]}.parquet")
    [definition] = [each for each in EVERY if each.key.to_user_string() == asset]
    shown = definition.metadata_by_key[definition.key]["dagster/column_schema"].columns
    assert [(column.name, column.type) for column in shown] == [
        (name, str(kind)) for name, kind in stored.dtypes.items()
    ]
    assert all(column.description for column in shown)
