"""This week's weights in Dagster's own web server: the table at the asset, and the schedule's switch."""

from collections.abc import Iterator
from pathlib import Path

import pandas as pd
import pytest

from brain_assets_tests.backfills import brain_assets, shared_backfill
from brain_assets_tests.graph.test_ui import Server, serving

TABLES = """{ assetNodeOrError(assetKey: {path: "target_weights"}) { ... on AssetNode { assetMaterializations {
    metadataEntries { label ... on TableMetadataEntry { table { records schema { columns { name } } } } }
} } } }"""
SCHEDULES = (
    "{ repositoriesOrError { ... on RepositoryConnection { nodes { schedules { id name executionTimezone %s } } } } }"
)
STATE = "cronSchedule scheduleState { id status }"
START = """mutation ($selector: ScheduleSelector!) { startSchedule(scheduleSelector: $selector) {
    __typename ... on ScheduleStateResult { scheduleState { status } } ... on PythonError { message }
} }"""


@pytest.fixture(scope="module")
def data_dir(tmp_path_factory: pytest.TempPathFactory) -> Path:
    data = shared_backfill(tmp_path_factory).copy(tmp_path_factory.mktemp("week_ui"))
    done = brain_assets(data, "allocate", "--date", "2021-06-16")
    assert done.returncode == 0, done.stdout + done.stderr
    return data


@pytest.fixture(scope="module")
def server(data_dir: Path) -> Iterator[Server]:
    with serving(data_dir, "dagster_webserver") as started:
        yield started


@pytest.mark.slow
def test_the_table_stands_at_the_asset(server: Server, data_dir: Path) -> None:
    [made] = server.ask(TABLES)["assetNodeOrError"]["assetMaterializations"]
    [table] = [entry["table"] for entry in made["metadataEntries"] if entry["label"] == "weights"]
    stored = pd.read_parquet(data_dir / "weights" / "2021-06-14.parquet")
    assert [column["name"] for column in table["schema"]["columns"]] == list(stored.columns)
    assert len(table["records"]) == len(stored) == 7


@pytest.mark.slow
def test_the_schedule_is_off_until_it_is_switched_on(server: Server) -> None:
    def state() -> dict:
        [repository] = server.ask(SCHEDULES % STATE)["repositoriesOrError"]["nodes"]
        [found] = [schedule for schedule in repository["schedules"] if schedule["name"] == "every_week"]
        return found

    before = state()
    assert (before["executionTimezone"], before["cronSchedule"]) == ("America/New_York", "0 8 * * 1-5")
    assert before["scheduleState"]["status"] == "STOPPED"
    [place] = server.ask(
        "{ repositoriesOrError { ... on RepositoryConnection { nodes { name location { name } } } } }"
    )["repositoriesOrError"]["nodes"]
    selector = {
        "repositoryName": place["name"],
        "repositoryLocationName": place["location"]["name"],
        "scheduleName": "every_week",
    }
    assert server.ask(START, selector=selector)["startSchedule"]["scheduleState"]["status"] == "RUNNING"
    assert state()["scheduleState"]["status"] == "RUNNING"
