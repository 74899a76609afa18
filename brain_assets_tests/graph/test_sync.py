"""The jobs `sync_status`, `sync_push` and `sync_pull`, in this process, against a Hub on this machine."""

from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

import dagster as dg
import pytest

from brain_assets.forecasting.lstm import LstmConfig
from brain_assets.forecasting.training import train_snapshot
from brain_assets.graph.io_managers import SnapshotIOManager
from brain_assets.main_versions.training import train_version
from brain_assets.market.prices import PricePanel
from brain_assets.store.names import cutoff_of_year
from brain_assets.store.places import read_files
from brain_assets.store.storage import SnapshotLocalStorage
from brain_assets_tests.conftest import FAMILIES, MADE_UP
from brain_assets_tests.graph.worlds import DEFS
from brain_assets_tests.store.hubs import READ_TOKEN, TOKEN, Files, WatchedHub, bind, dated, fill

OLD, NEW = cutoff_of_year(2019), cutoff_of_year(2020)
BRANCHES = ["snapshot-2019-12-31", "snapshot-2020-12-31"]


@pytest.fixture(scope="module")
def contents(panel: PricePanel, tiny_lstm: LstmConfig) -> Mapping[Any, Files]:
    """The files of two snapshots."""
    trained = train_snapshot("lstm", panel, OLD, tiny_lstm, MADE_UP)
    return {date: dated(trained, date).files for date in (OLD, NEW)}


@pytest.fixture
def hub() -> Iterator[WatchedHub]:
    with WatchedHub() as opened:
        yield opened


@pytest.fixture
def lstm(tmp_path: Path, hub: WatchedHub, contents: Mapping[Any, Files]) -> SnapshotLocalStorage:
    """A storage that holds both snapshots, and whose Hub is empty."""
    return fill(bind(tmp_path / "models", hub), contents)


def run(
    verb: str, storage: SnapshotLocalStorage, hub: WatchedHub | None, token: str = TOKEN, **config: Any
) -> dg.ExecuteInProcessResult:
    """Run a job with the storages of one machine."""
    root = storage.folder.parent
    storages = {family: bind(root, hub, token, family=family) for family in FAMILIES}
    resources = {"snapshot_io": SnapshotIOManager(storages)}
    return DEFS.resolve_job_def(f"sync_{verb}").execute_in_process(
        run_config={"ops": {verb: {"config": config}}}, resources=resources, raise_on_error=False
    )


def rows(result: dg.ExecuteInProcessResult) -> list[tuple[str, ...]]:
    """Give family, branch and result of what a run's output, or its failure, lists."""
    [event] = [event for event in result.all_events if event.is_successful_output or event.is_step_failure]
    shown = event.step_output_data if event.is_successful_output else event.step_failure_data.user_failure_data
    records = [record.data for record in shown.metadata["snapshots"].records]
    return [(str(row["family"]), str(row["branch"]), str(row["result"])) for row in records]


def failure(result: dg.ExecuteInProcessResult) -> str:
    [event] = [event for event in result.all_events if event.is_step_failure]
    said, error = event.step_failure_data.user_failure_data, event.step_failure_data.error
    return said.description if said else (error.cause or error).message


def test_push_brings_what_the_hub_lacks_and_says_what_became_of_each(
    lstm: SnapshotLocalStorage, hub: WatchedHub, contents: Mapping[Any, Files], capfd: pytest.CaptureFixture[str]
) -> None:
    dry = run("push", lstm, hub, families=["lstm"], dry_run=True)
    assert rows(dry) == [("lstm", branch, "would push") for branch in BRANCHES]
    assert hub.repos() == []
    assert rows(run("push", lstm, hub, years=[2020])) == [("lstm", BRANCHES[1], "pushed")]
    assert hub.files("user/lstm", BRANCHES[1]) == contents[NEW]
    assert rows(run("status", lstm, hub)) == [("lstm", BRANCHES[0], "here only"), ("lstm", BRANCHES[1], "equal")]
    assert rows(run("push", lstm, hub)) == [("lstm", BRANCHES[0], "pushed")]
    assert f"lstm {BRANCHES[0]}: pushed" in capfd.readouterr().err  # the log tells of each once it is through
    assert rows(run("push", lstm, hub)) == []


def test_push_without_years_brings_main_versions_too(
    hub: WatchedHub, panel: PricePanel, tiny_lstm: LstmConfig, tmp_path: Path
) -> None:
    storage = bind(tmp_path / "models", hub)
    version = train_version("lstm", panel, tiny_lstm, MADE_UP, None, lambda losses: None)
    storage.write_snapshot(version)
    storage.promote(version.name)
    assert rows(run("push", storage, hub, years=[2019])) == []
    assert rows(run("push", storage, hub, dry_run=True)) == [
        ("lstm", version.name, "would push"),
        ("lstm", "main", "would push"),
    ]
    assert rows(run("push", storage, hub)) == [("lstm", version.name, "pushed"), ("lstm", "main", "pushed")]
    assert hub.files("user/lstm", "main") == read_files(storage.folder / version.name)


def test_a_push_that_does_not_get_through_fails_with_the_reasons(lstm: SnapshotLocalStorage, hub: WatchedHub) -> None:
    hub.add_repo("user/lstm")
    result = run("push", lstm, hub, token=READ_TOKEN)
    assert not result.success
    assert rows(result) == [("lstm", branch, "failed") for branch in BRANCHES]
    sentence = failure(result)
    assert sentence.startswith("sync_push: expected 2 to get through, got 2 that did not: lstm snapshot-2019-12-31: ")
    assert sentence.count("expected the right to write to it") == 2


def test_without_a_hub_or_with_an_unknown_family_it_fails_in_one_sentence(
    lstm: SnapshotLocalStorage, hub: WatchedHub
) -> None:
    assert "lstm: expected snapshots that go to the Hub too, got STORAGE_BACKEND=local" in failure(
        run("status", lstm, None)
    )
    assert f"families: expected some of {', '.join(FAMILIES)}, got gru; correct it." in failure(
        run("push", lstm, hub, families=["gru"])
    )
