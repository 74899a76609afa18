"""The resources that settings ask for."""

from pathlib import Path

import pandas as pd
import pytest

from brain_assets.errors import StorageError
from brain_assets.graph.resources import table_store
from brain_assets.settings import read_settings


def test_a_data_folder_and_its_files_can_be_moved_and_symbols_named_in_any_order(tmp_path: Path) -> None:
    files = {name: tmp_path / name for name in ("here", "there")}
    for folder in files.values():
        folder.mkdir()
    frame = pd.DataFrame({"value": [1.5]})
    asked = {"market": "files", "files_dir": files["here"], "symbols": ("AAA", "BBB"), "data_dir": tmp_path / "data"}
    table_store(read_settings(**asked)).write("backtest", 2020, frame)
    asked["data_dir"] = (tmp_path / "data").rename(tmp_path / "restored")
    moved = table_store(read_settings(**asked | {"files_dir": files["there"], "symbols": ("BBB", "AAA")}))
    pd.testing.assert_frame_equal(moved.read("backtest", [2020]), frame)
    assert str(tmp_path) not in (tmp_path / "restored" / "market.json").read_text()
    with pytest.raises(StorageError, match="expected results of the market asked for"):
        table_store(read_settings(**asked | {"symbols": ("AAA",)})).read("backtest", [2020])
