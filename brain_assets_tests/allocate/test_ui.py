"""The table of a week in Dagster's own web server."""

from pathlib import Path

import pandas as pd
import pytest

from brain_assets_tests.backfills import Finished, brain_assets
from brain_assets_tests.graph.test_ui import serving

TABLES = """{ assetNodeOrError(assetKey: {path: "target_weights"}) { ... on AssetNode { assetMaterializations {
    metadataEntries { label ... on TableMetadataEntry { table { records schema { columns { name } } } } }
} } } }"""


@pytest.mark.slow
def test_the_table_stands_at_the_asset(finished: Finished, tmp_path: Path) -> None:
    data = finished.copy(tmp_path)
    done = brain_assets(data, "allocate", "--date", "2021-06-16")
    assert done.returncode == 0, done.stdout + done.stderr
    with serving(data, "dagster_webserver") as server:
        [made] = server.ask(TABLES)["assetNodeOrError"]["assetMaterializations"]
    [table] = [entry["table"] for entry in made["metadataEntries"] if entry["label"] == "weights"]
    stored = pd.read_parquet(data / "weights" / "2021-06-14.parquet")
    assert [column["name"] for column in table["schema"]["columns"]] == list(stored.columns)
    assert len(table["records"]) == len(stored) == 7
