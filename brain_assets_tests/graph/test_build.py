"""What some settings stand for, and that two of them stand side by side in one process."""

from pathlib import Path
from typing import Any

import dagster as dg
import pandas as pd
import pytest

from brain_assets.errors import StorageError
from brain_assets.graph.build import Project, open_project
from brain_assets.graph.resources import resources_from, table_store
from brain_assets.settings import read_settings
from brain_assets.simulator.market import SimulatorMarket
from brain_assets_tests.conftest import FAMILIES

pytestmark = pytest.mark.wings


@pytest.fixture
def projects(tmp_path: Path) -> dict[str, Project]:
    sample: dict[str, Any] = {"market": "sample", "symbols": "AAPL,KO", "first_year": "1990", "bootstrap_years": "3"}
    made_up: dict[str, Any] = {"market": "simulator", "symbols": "AAA,BBB,CCC", "last_year": "2021"}
    return {
        name: open_project(read_settings(data_dir=str(tmp_path / name), **values))
        for name, values in {"sample": sample, "made_up": made_up}.items()
    }


def materialize(project: Project, instance: dg.DagsterInstance, year: int) -> None:
    job = project.definitions.resolve_job_def("walkforward")
    chosen = [dg.AssetKey("raw_prices")]
    assert job.execute_in_process(instance=instance, partition_key=str(year), asset_selection=chosen).success


def test_two_markets_in_one_process_share_nothing(projects: dict[str, Project]) -> None:
    sample, made_up = projects["sample"], projects["made_up"]
    assert (sample.years.existing()[0], sample.years.last()) == (1992, 2022)
    assert (made_up.years.existing()[0], made_up.years.last()) == (2019, 2021)
    with dg.DagsterInstance.ephemeral() as one, dg.DagsterInstance.ephemeral() as other:
        materialize(sample, one, 1992)
        materialize(made_up, other, 2019)
        materialize(sample, one, 1993)
        for project, instance, years in ((sample, one, {"1992", "1993"}), (made_up, other, {"2019"})):
            assert instance.get_materialized_partitions(dg.AssetKey("raw_prices")) == years
            tables = (project.definitions.resources or {})["table_io"].store
            stored = tables.read("raw_prices", sorted(map(int, years)))
            assert tuple(stored["symbol"].unique()) == project.settings.symbols
            assert stored["date"].min().year == project.settings.first_year
            written = sorted(path.name for path in (Path(project.settings.data_dir) / "raw" / "prices").iterdir())
            assert written == [f"{year}.parquet" for year in sorted(years)]


def test_what_follows_from_settings_is_each_projects_own(projects: dict[str, Project], tmp_path: Path) -> None:
    owned = open_project(read_settings(data_dir=str(tmp_path), market="sample", owners=("team:risk",)))
    specs = owned.definitions.resolve_all_asset_specs()
    assert {(*spec.owners, spec.tags["market"]) for spec in specs} == {("team:risk", "sample")}
    resources = [project.definitions.resources or {} for project in projects.values()]
    folders = {each["snapshot_io"].storages["lstm"].folder for each in resources}
    assert folders == {tmp_path / name / "models" / "lstm" for name in projects}


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
