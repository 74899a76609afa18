"""The resources that settings ask for."""

from pathlib import Path

import pandas as pd
import pytest

from brain_assets.errors import StorageError
from brain_assets.graph.resources import resources_from, table_store
from brain_assets.settings import read_settings
from brain_assets.simulator.market import SimulatorMarket
from brain_assets_tests.conftest import FAMILIES


@pytest.mark.wings
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


def test_each_family_goes_to_its_own_repo(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    repos = {family: f"user/models-of-{family}" for family in FAMILIES}
    for family, repo in repos.items():
        monkeypatch.setenv(f"HF_{family.upper()}_MODEL_REPO", repo)
    settings = read_settings(data_dir=str(tmp_path), storage_backend="hf", hf_token="hf_any")
    storages = resources_from(settings, SimulatorMarket())["snapshot_io"].storages
    assert {family: storage.repo.repo for family, storage in storages.items()} == repos
    settings = read_settings(data_dir=str(tmp_path), storage_backend="local")
    storages = resources_from(settings, SimulatorMarket())["snapshot_io"].storages
    assert {storage.hub for storage in storages.values()} == {None}
