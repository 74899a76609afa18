"""A storage and its copies on a Hub that works: what is transferred, what is on either side then, what it costs."""

import datetime
import json
import os
import subprocess
import sys
from collections.abc import Callable, Mapping
from pathlib import Path
from shutil import rmtree

import pytest
from pydantic import SecretStr

from brain_assets.errors import HubError, HubUnavailableError, RefusedSnapshotError, SnapshotError
from brain_assets.store.copies import Relation
from brain_assets.store.hub_client import HubAddress
from brain_assets.store.names import cutoff_of_year, snapshot_name
from brain_assets.store.storage import SnapshotLocalStorage
from brain_assets_tests.loopback_hub import Fault
from brain_assets_tests.store.hubs import (
    BRANCH,
    DATE,
    REPO,
    TOKEN,
    Files,
    WatchedHub,
    bind,
    fill,
    local_files,
    publish,
)

pytestmark = pytest.mark.filterwarnings("ignore:Use 'content=:DeprecationWarning")  # of the library, at every upload

Years = Mapping[datetime.date, Files]

ONE_PULL = 10
"""Requests of a pull: a listing, six files, three of them by a redirect."""


def test_unchanged_snapshot_makes_no_commit_and_costs_one_request(
    storage: SnapshotLocalStorage, hub: WatchedHub
) -> None:
    first = storage.upload_snapshot_to_hf(DATE)
    hub.forget()
    again = storage.upload_snapshot_to_hf(DATE)
    assert (again.changed, again.commit) == (False, first.commit)
    assert hub.lines == [f"GET /api/models/{REPO}/revision/{BRANCH}"]

    rmtree(storage.folder / ".hub")
    hub.forget()
    again = storage.upload_snapshot_to_hf(DATE)
    assert (again.changed, again.commit) == (False, first.commit)
    assert hub.lines == [f"GET /api/models/{REPO}/revision/{BRANCH}"]
    assert hub.branches(REPO)[BRANCH] == first.commit


def test_broken_snapshot_is_not_sent(storage: SnapshotLocalStorage, hub: WatchedHub) -> None:
    (storage.path(DATE) / "weights.pt").write_bytes(b"half")
    with pytest.raises(SnapshotError, match=r"weights\.pt: expected the [\d,]+ bytes .*, got 4; it is damaged"):
        storage.upload_snapshot_to_hf(DATE)
    with pytest.raises(SnapshotError, match="expected a snapshot, but there is none; train it, or pull it"):
        storage.upload_snapshot_to_hf(cutoff_of_year(2018))
    assert hub.lines == []


def test_pull_into_an_empty_folder_is_byte_identical(
    storage: SnapshotLocalStorage, empty: SnapshotLocalStorage, hub: WatchedHub, files: Files
) -> None:
    storage.upload_snapshot_to_hf(DATE)
    hub.forget()
    folder = empty.download_snapshot_from_hf(DATE)
    assert folder == empty.path(DATE)
    assert local_files(empty) == files
    assert len(hub.requests) == ONE_PULL
    assert empty.list_snapshots() == [DATE]
    assert sorted(path.name for path in empty.folder.iterdir()) == [".hub", BRANCH]


def test_branches_are_listed_and_names_without_a_date_are_ignored_with_a_warning(
    empty: SnapshotLocalStorage, hub: WatchedHub, years: Years, caplog: pytest.LogCaptureFixture
) -> None:
    publish(hub, {date: years[date] for date in (cutoff_of_year(2018), cutoff_of_year(2015))})
    for name in ("snapshot-2020-02-31", "snapshot-../../x", "v2020", "main"):
        hub.put(REPO, name, {"x": b"x"})
    assert empty.list_hf_snapshots() == [cutoff_of_year(2015), cutoff_of_year(2018)]
    assert [record.getMessage() for record in caplog.records if record.levelname == "WARNING"] == [
        f"{REPO}: branch {name!r} ignored: its name does not end in a date such as 2020-12-31"
        for name in ("snapshot-2020-02-31", "snapshot-../../x")
    ]
    assert empty.sync_all_hf_to_local() == [cutoff_of_year(2015), cutoff_of_year(2018)]
    assert sorted(path.name for path in empty.folder.iterdir()) == [
        ".hub",
        "snapshot-2015-12-31",
        "snapshot-2018-12-31",
    ]


def test_snapshot_is_made_available_by_a_pull_only_if_it_is_not_here(
    empty: SnapshotLocalStorage, hub: WatchedHub, files: Files
) -> None:
    publish(hub, {DATE: files})
    assert empty.ensure_snapshot_available(DATE)
    assert local_files(empty) == files
    hub.forget()
    assert empty.ensure_snapshot_available(DATE)
    assert hub.lines == []
    assert not empty.ensure_snapshot_available(cutoff_of_year(2018))


def test_refused_snapshot_is_not_available(
    empty: SnapshotLocalStorage, hub: WatchedHub, files: Files, caplog: pytest.LogCaptureFixture
) -> None:
    publish(hub, {DATE: {**files, "run.py": b"import os"}})
    assert not empty.ensure_snapshot_available(DATE)
    assert f"{REPO}@{BRANCH}/'run.py': expected no files but " in caplog.text
    with pytest.raises(RefusedSnapshotError, match=r"'run\.py': expected no files but .*; do not use this snapshot"):
        empty.fetch_snapshot(DATE)
    assert not empty.folder.exists()


def test_hub_in_trouble_is_an_error_and_not_an_absent_snapshot(empty: SnapshotLocalStorage, hub: WatchedHub) -> None:
    hub.fail(Fault("503", times=None))
    with pytest.raises(HubUnavailableError):
        empty.ensure_snapshot_available(DATE)
    with pytest.raises(HubUnavailableError):
        empty.list_candidates([DATE])


def test_fetched_snapshot_is_the_one_on_the_hub(
    empty: SnapshotLocalStorage, hub: WatchedHub, files: Files, other_files: Files
) -> None:
    publish(hub, {DATE: other_files})
    snapshot = empty.fetch_snapshot(DATE)
    assert (snapshot.family, snapshot.cutoff_date, snapshot.card) == ("lstm", DATE, other_files["README.md"].decode())
    publish(hub, {DATE: files})
    hub.forget()
    assert empty.fetch_snapshot(DATE).card == other_files["README.md"].decode()  # what is here is not asked for
    assert hub.lines == []


def test_snapshot_of_another_fingerprint_is_not_pulled(
    empty: SnapshotLocalStorage, hub: WatchedHub, files: Files
) -> None:
    publish(hub, {DATE: files})
    fingerprint = json.loads(files["metadata.json"])["fingerprint"]["value"]
    assert not empty.download_if(cutoff_of_year(2018), fingerprint)
    hub.forget()
    assert not empty.download_if(DATE, "0" * 64)
    assert len(hub.requests) == 3  # its branches, a listing, the manifest
    assert empty.list_snapshots() == []
    assert empty.download_if(DATE, fingerprint)
    assert local_files(empty) == files


@pytest.fixture
def three(years: Years) -> Years:
    return {date: years[date] for date in (cutoff_of_year(2017), cutoff_of_year(2018), cutoff_of_year(2020))}


def test_sync_pushes_only_what_is_missing_or_differs(
    empty: SnapshotLocalStorage, hub: WatchedHub, three: Years, files: Files, other_files: Files
) -> None:
    equal, missing, hub_only = three
    publish(hub, {DATE: files, equal: three[equal], hub_only: three[hub_only]})
    fill(empty, {DATE: other_files, equal: three[equal], missing: three[missing]})
    assert empty.sync_all_local_to_hf() == [missing, DATE]
    assert hub.files(REPO, BRANCH) == other_files
    assert hub.files(REPO, snapshot_name(missing)) == three[missing]
    assert len(hub.commits(REPO, snapshot_name(equal))) == 1
    assert empty.list_snapshots() == [equal, missing, DATE]
    hub.forget()
    assert empty.sync_all_local_to_hf() == []
    assert len(hub.requests) == 1


def test_sync_pulls_only_what_is_missing_or_differs(
    empty: SnapshotLocalStorage, hub: WatchedHub, three: Years, files: Files, other_files: Files
) -> None:
    equal, local_only, missing = three
    publish(hub, {DATE: files, equal: three[equal], missing: three[missing]})
    empty.download_snapshot_from_hf(DATE)
    publish(hub, {DATE: other_files})  # another machine has pushed
    fill(empty, {equal: three[equal], local_only: three[local_only]})
    hub.forget()
    before = (empty.path(equal) / "weights.pt").stat().st_ino
    assert empty.sync_all_hf_to_local() == [DATE, missing]
    # the branches, a listing of the two that are on both sides, and two pulls, one of them of a listing that is known
    assert len(hub.requests) == 1 + 2 + ONE_PULL + (ONE_PULL - 1)
    assert local_files(empty) == other_files
    assert local_files(empty, missing) == three[missing]
    assert (empty.path(equal) / "weights.pt").stat().st_ino == before
    assert snapshot_name(local_only) not in hub.branches(REPO)
    hub.forget()
    assert empty.sync_all_hf_to_local() == []
    assert len(hub.requests) == 1


def test_refused_snapshot_stops_no_other_and_leaves_what_is_here(
    empty: SnapshotLocalStorage, hub: WatchedHub, three: Years, files: Files, other_files: Files
) -> None:
    first, second, _ = three
    publish(hub, {DATE: {**other_files, "weights.pt": b"\0other"}, first: three[first], second: {}})
    fill(empty, {DATE: files})
    transfers = list(empty.pull(empty.compare(), force=True))
    assert [(transfer.cutoff_date, transfer.result) for transfer in transfers] == [
        (first, "pulled"),
        (second, "refused"),
        (DATE, "refused"),
    ]
    assert f"{REPO}@{BRANCH}/weights.pt: expected the" in transfers[2].detail
    assert local_files(empty) == files
    assert empty.list_snapshots() == [first, DATE]


def test_snapshot_that_was_made_here_is_kept_by_a_pull_unless_forced(
    storage: SnapshotLocalStorage, hub: WatchedHub, files: Files, other_files: Files
) -> None:
    storage.upload_snapshot_to_hf(DATE)
    fill(storage, {DATE: other_files})  # trained again, and its push was never begun
    (row,) = storage.compare()
    assert row.relation is Relation.DIFFERENT
    (transfer,) = storage.pull([row])
    assert (transfer.result, transfer.done) == ("kept", False)
    assert storage.sync_all_hf_to_local() == []
    assert local_files(storage) == other_files
    assert storage.sync_all_hf_to_local(force=True) == [DATE]
    assert local_files(storage) == files


def test_known_difference_costs_no_request(storage: SnapshotLocalStorage, hub: WatchedHub, other_files: Files) -> None:
    storage.upload_snapshot_to_hf(DATE)
    fill(storage, {DATE: other_files})
    hub.forget()
    (row,) = storage.compare()
    assert row.relation is Relation.DIFFERENT
    assert len(hub.requests) == 1
    assert row.to_complete  # nobody else has changed the branch


def test_snapshot_of_another_market_is_neither_pulled_nor_replaced(
    tmp_path: Path, hub: WatchedHub, files: Files, other_files: Files
) -> None:
    publish(hub, {DATE: files})
    address = HubAddress(REPO, SecretStr(TOKEN), hub.endpoint)
    live = SnapshotLocalStorage("lstm", tmp_path, address, market="live")
    with pytest.raises(RefusedSnapshotError, match=r"metadata\.json: expected market live, got 'simulator'"):
        live.download_snapshot_from_hf(DATE)
    fill(live, {DATE: other_files})
    with pytest.raises(HubError, match="expected to replace a snapshot of market live, got one of 'simulator'"):
        live.upload_snapshot_to_hf(DATE)
    assert hub.files(REPO, BRANCH) == files
    with pytest.raises(RefusedSnapshotError, match="expected market live"):
        live.no_retry().download_snapshot_from_hf(DATE)
    same = SnapshotLocalStorage("lstm", tmp_path / "same", address, market="simulator")
    same.download_snapshot_from_hf(DATE)
    assert local_files(same) == files


def test_what_was_pulled_stays_so_when_a_push_of_it_fails(
    empty: SnapshotLocalStorage, hub: WatchedHub, files: Files, other_files: Files
) -> None:
    publish(hub, {DATE: files})
    empty.download_snapshot_from_hf(DATE)
    hub.fail(Fault("503", times=5))
    with pytest.raises(HubUnavailableError):
        empty.upload_snapshot_to_hf(DATE)
    publish(hub, {DATE: other_files})  # another machine has pushed
    assert empty.sync_all_hf_to_local() == [DATE]
    assert local_files(empty) == other_files


def test_a_repo_that_is_not_seen_is_no_empty_one(empty: SnapshotLocalStorage, three: Years) -> None:
    """A forecast would fall back to an older model without a word."""
    fill(empty, {next(iter(three)): three[next(iter(three))]})
    with pytest.raises(HubError, match=REPO):
        empty.list_candidates([DATE])


def test_a_damaged_snapshot_here_is_fetched_again(
    empty: SnapshotLocalStorage, hub: WatchedHub, files: Files, other_files: Files
) -> None:
    fill(empty, {DATE: files})
    (empty.path(DATE) / "weights.pt").write_bytes(b"half")
    publish(hub, {DATE: other_files})
    assert empty.fetch_snapshot(DATE).card == other_files["README.md"].decode()


def test_what_another_machine_has_pushed_is_not_pushed_over_unasked(
    storage: SnapshotLocalStorage, hub: WatchedHub, other_files: Files
) -> None:
    storage.upload_snapshot_to_hf(DATE)
    publish(hub, {DATE: other_files})
    (row,) = storage.compare()
    assert (row.relation, row.to_complete) == (Relation.DIFFERENT, False)


def test_all_that_are_pending_are_listed_until_they_get_through(
    storage: SnapshotLocalStorage, hub: WatchedHub, three: Years
) -> None:
    fill(storage, three)
    hub.fail(Fault("503", times=None))
    for date in (*three, DATE):
        with pytest.raises(HubUnavailableError):
            storage.no_retry().upload_snapshot_to_hf(date)
    assert storage.list_pending() == sorted([*three, DATE])
    hub.clear_faults()
    storage.upload_snapshot_to_hf(DATE)
    rmtree(storage.path(max(three)))
    assert storage.list_pending() == sorted(three)[:-1]


def test_pending_snapshot_is_kept_by_a_pull(
    storage: SnapshotLocalStorage, hub: WatchedHub, files: Files, other_files: Files
) -> None:
    publish(hub, {DATE: other_files})
    hub.fail(Fault("503", times=None))
    with pytest.raises(HubUnavailableError):
        storage.upload_snapshot_to_hf(DATE)
    hub.clear_faults()
    assert storage.sync_all_hf_to_local() == []
    (transfer,) = storage.pull(storage.compare())
    assert (transfer.result, transfer.done) == ("kept", False)
    assert local_files(storage) == files
    assert [(row.result, row.cutoff_date) for row in storage.push(storage.compare())] == [("pushed", DATE)]
    assert hub.files(REPO, BRANCH) == files
    assert storage.list_pending() == []


def test_comparison_says_how_the_two_sides_stand(
    storage: SnapshotLocalStorage, hub: WatchedHub, three: Years, other_files: Files
) -> None:
    equal, here, there = three
    publish(hub, {DATE: other_files, equal: three[equal], there: three[there]})
    fill(storage, {equal: three[equal], here: three[here]})
    rows = storage.compare()
    assert [(row.cutoff_date, row.relation) for row in rows] == [
        (equal, Relation.EQUAL),
        (here, Relation.LOCAL_ONLY),
        (DATE, Relation.DIFFERENT),
        (there, Relation.HUB_ONLY),
    ]
    assert [row.commit for row in rows] == [hub.branches(REPO).get(snapshot_name(row.cutoff_date), "") for row in rows]
    assert [row.cutoff_date for row in storage.compare({here, cutoff_of_year(1999)})] == [here]


def test_comparison_of_40_known_snapshots_takes_one_request(
    empty: SnapshotLocalStorage, hub: WatchedHub, years: Years
) -> None:
    publish(hub, years)
    fill(empty, years)
    assert {row.relation for row in empty.compare()} == {Relation.EQUAL}
    assert len(hub.requests) == 41
    hub.forget()
    rows = empty.compare()
    assert len(rows) == 40
    assert {row.relation for row in rows} == {Relation.EQUAL}
    assert len(hub.requests) == 1


def test_known_copy_is_looked_at_again_once_either_side_changes(
    storage: SnapshotLocalStorage, hub: WatchedHub, files: Files, other_files: Files
) -> None:
    storage.upload_snapshot_to_hf(DATE)
    hub.put(REPO, BRANCH, other_files)
    assert [row.relation for row in storage.compare()] == [Relation.DIFFERENT]
    fill(storage, {DATE: other_files})
    assert [row.relation for row in storage.compare()] == [Relation.EQUAL]
    fill(storage, {DATE: files})
    assert [row.relation for row in storage.compare()] == [Relation.DIFFERENT]


def test_commit_of_another_repo_is_not_known(
    storage: SnapshotLocalStorage, hub: WatchedHub, tmp_path: Path, files: Files
) -> None:
    copy = storage.upload_snapshot_to_hf(DATE)
    assert storage.hub_record(DATE).commit == copy.commit
    moved = SnapshotLocalStorage("lstm", tmp_path / "models", bind(tmp_path, hub, family="sac").hub)
    assert moved.hub_record(DATE).commit == ""
    assert moved.list_pending() == []


def test_candidates_are_asked_for_only_if_a_wanted_one_is_not_here(
    empty: SnapshotLocalStorage, hub: WatchedHub, three: Years, files: Files
) -> None:
    first, second, third = three
    publish(hub, {third: three[third]})
    fill(empty, {first: three[first], second: three[second]})
    assert empty.list_candidates([first, second]) == [first, second]
    assert hub.lines == []
    assert empty.list_candidates([first, DATE]) == [first, second, third]
    assert len(hub.requests) == 1


def test_storage_without_retries_asks_once(storage: SnapshotLocalStorage, hub: WatchedHub) -> None:
    hub.fail(Fault("503", times=None))
    with pytest.raises(HubUnavailableError):
        storage.no_retry().list_hf_snapshots()
    assert len(hub.requests) == 1
    with pytest.raises(HubUnavailableError):
        storage.list_hf_snapshots()
    assert len(hub.requests) == 1 + 5


ASKS_THE_HUB: Mapping[str, Callable[[SnapshotLocalStorage], object]] = {
    "upload": lambda storage: storage.upload_snapshot_to_hf(DATE),
    "download": lambda storage: storage.download_snapshot_from_hf(DATE),
    "download_if": lambda storage: storage.download_if(DATE, ""),
    "list": lambda storage: storage.list_hf_snapshots(),
    "sync_to": lambda storage: storage.sync_all_local_to_hf(),
    "sync_from": lambda storage: storage.sync_all_hf_to_local(),
    "compare": lambda storage: storage.compare(),
}


@pytest.mark.parametrize("method", ASKS_THE_HUB)
def test_storage_without_a_hub_says_so_in_one_sentence(method: str, tmp_path: Path, files: Files) -> None:
    storage = fill(bind(tmp_path, None), {DATE: files})
    with pytest.raises(HubError) as caught:
        ASKS_THE_HUB[method](storage)
    assert str(caught.value) == (
        "lstm: expected snapshots that go to the Hub too, got STORAGE_BACKEND=local; set it to hf, and "
        "HF_LSTM_MODEL_REPO."
    )


def test_storage_without_a_hub_works_with_what_is_here(tmp_path: Path, files: Files) -> None:
    storage = fill(bind(tmp_path, None), {DATE: files})
    assert storage.ensure_snapshot_available(DATE)
    assert not storage.ensure_snapshot_available(cutoff_of_year(2018))
    assert storage.list_candidates([cutoff_of_year(2018)]) == [DATE]
    assert storage.fetch_snapshot(DATE).cutoff_date == DATE
    assert storage.list_pending() == []
    assert storage.no_retry().load_snapshot(DATE).cutoff_date == DATE


WITHOUT_A_HUB = """
import datetime, pathlib, sys
from brain_assets.errors import BrainAssetsError
from brain_assets.store.storage import SnapshotLocalStorage
storage = SnapshotLocalStorage("lstm", pathlib.Path(sys.argv[1]))
date = datetime.date(2019, 12, 31)
calls = [storage.upload_snapshot_to_hf, storage.download_snapshot_from_hf, storage.ensure_snapshot_available]
calls = [lambda call=call: call(date) for call in calls]
calls += [storage.list_hf_snapshots, storage.sync_all_local_to_hf, storage.sync_all_hf_to_local, storage.list_pending]
for call in [*calls, lambda: storage.compare()]:
    try:
        call()
    except BrainAssetsError:
        pass
print(sorted({"huggingface_hub.hf_api", "httpx2", "torch"} & set(sys.modules)))
"""


def test_storage_without_a_hub_imports_no_client(tmp_path: Path, files: Files) -> None:
    fill(bind(tmp_path, None), {DATE: files})
    command = [sys.executable, "-c", WITHOUT_A_HUB, str(tmp_path)]
    answer = subprocess.run(command, capture_output=True, text=True, env=os.environ, check=False)
    assert (answer.stdout, answer.stderr) == ("[]\n", "")
