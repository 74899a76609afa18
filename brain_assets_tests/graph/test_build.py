"""What some settings stand for, and that two of them stand side by side in one process."""

from pathlib import Path
from typing import Any

import dagster as dg
import pytest

from brain_assets.graph.build import Project, open_project
from brain_assets.settings import read_settings

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
    told = open_project(read_settings(data_dir=str(tmp_path), alert_slack_webhook="http://127.0.0.1:1/secret"))
    sensors = {
        name: project.definitions.get_repository_def().get_sensor_def("failure_alert").default_status
        for name, project in {**projects, "told": told}.items()
    }
    assert [name for name, status in sensors.items() if status is dg.DefaultSensorStatus.RUNNING] == ["told"]
    owned = open_project(read_settings(data_dir=str(tmp_path), market="sample", owners=("team:risk",)))
    specs = owned.definitions.resolve_all_asset_specs()
    assert {(*spec.owners, spec.tags["market"]) for spec in specs} == {("team:risk", "sample")}
    resources = [project.definitions.resources or {} for project in projects.values()]
    folders = {each["snapshot_io"].storages["lstm"].folder for each in resources}
    assert folders == {tmp_path / name / "models" / "lstm" for name in projects}
