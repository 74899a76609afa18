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
from brain_assets.graph.snapshots import pushed_metadata
from brain_assets.store.hub_client import HubAddress
from brain_assets.store.names import cutoff_of_year, snapshot_name
from brain_assets.store.storage import SnapshotLocalStorage as Storage
from brain_assets.store.sync import Relation, plan
from brain_assets_tests.loopback_hub import Fault
from brain_assets_tests.store.hubs import BRANCH, DATE, REPO, TOKEN, Files, WatchedHub, bind, fill, local_files, publish

pytestmark = pytest.mark.filterwarnings("ignore:Use 'content=:DeprecationWarning")  # of the library, at every upload

Years = Mapping[datetime.date, Files]

ONE_PULL = 10
"""Requests of a pull: a listing, six files, three of them by a redirect."""
ABSENT = cutoff_of_year(2016)


@pytest.fixture
def three(years: Years) -> Years:
    """Those of 2017, 2018 and 2020."""
    return {date: years[date] for date in map(cutoff_of_year, (2017, 2018, 2020))}


def test_a_push_that_changes_nothing_makes_no_commit_and_costs_one_request(storage: Storage, hub: WatchedHub) -> None:
    first = storage.upload_snapshot_to_hf(DATE)
    for is_known in (True, False):
        if not is_known:
            rmtree(storage.folder / ".hub")
        hub.forget()
        again = storage.upload_snapshot_to_hf(DATE)
        assert (again.changed, again.commit, hub.branches(REPO)[BRANCH]) == (False, first.commit, first.commit)
        assert hub.lines == [f"GET /api/models/{REPO}/revision/{BRANCH}"]


def test_broken_snapshot_is_not_sent(storage: Storage, hub: WatchedHub) -> None:
    (storage.path(DATE) / "weights.pt").write_bytes(b"half")
    with pytest.raises(SnapshotError, match=r"weights\.pt: expected the SHA-256 .*, got another; it is damaged"):
        storage.upload_snapshot_to_hf(DATE)
    with pytest.raises(
        SnapshotError, match=r"expected a snapshot, but there is none; train it \(brain-assets backfill\), or"
    ):
        storage.upload_snapshot_to_hf(ABSENT)
    assert hub.lines == []


def test_a_pull_gives_the_very_bytes(storage: Storage, empty: Storage, hub: WatchedHub, files: Files) -> None:
    storage.upload_snapshot_to_hf(DATE)
    hub.forget()
    assert empty.download_snapshot_from_hf(DATE) == empty.path(DATE)
    assert local_files(empty) == files
    assert len(hub.requests) == ONE_PULL
    assert empty.list_snapshots() == [DATE]
    assert sorted(os.listdir(empty.folder)) == [".hub", BRANCH]


def test_what_is_pushed_while_a_pull_is_under_way_is_not_mixed_in(
    empty: Storage, hub: WatchedHub, files: Files, other_files: Files
) -> None:
    publish(hub, {DATE: files})
    hub.before("/resolve/", lambda: publish(hub, {DATE: other_files}))
    empty.download_snapshot_from_hf(DATE)
    assert local_files(empty) == files
    assert [row.relation for row in empty.compare()] == [Relation.DIFFERENT]


def test_branches_whose_names_hold_no_date_are_ignored(empty: Storage, hub: WatchedHub, three: Years) -> None:
    publish(hub, three)
    for name in ("snapshot-2020-02-31", "snapshot-../../x", "v2020", "main"):
        hub.put(REPO, name, {"x": b"x"})
    assert empty.list_hf_snapshots() == list(three)
    assert empty.sync_all_hf_to_local() == list(three)
    assert sorted(os.listdir(empty.folder)) == [".hub", *map(snapshot_name, three)]


def test_what_is_not_here_is_pulled_when_it_is_needed(empty: Storage, hub: WatchedHub, files: Files) -> None:
    publish(hub, {DATE: files})
    assert empty.ensure_snapshot_available(DATE)
    assert local_files(empty) == files
    hub.forget()
    assert empty.ensure_snapshot_available(DATE)
    assert empty.fetch_snapshot(DATE).card == files["README.md"].decode()
    assert hub.lines == []
    assert not empty.ensure_snapshot_available(ABSENT)
    (empty.path(DATE) / "weights.pt").write_bytes(b"half")  # what is damaged is not here
    assert empty.fetch_snapshot(DATE).files == files


def test_refused_snapshot_is_not_available(
    empty: Storage, hub: WatchedHub, files: Files, caplog: pytest.LogCaptureFixture
) -> None:
    publish(hub, {DATE: {**files, "run.py": b"import os"}})
    assert not empty.ensure_snapshot_available(DATE)
    assert f"{REPO}@{BRANCH}/'run.py': expected no files but " in caplog.text
    with pytest.raises(RefusedSnapshotError, match=r"'run\.py': expected no files but .*; do not use this snapshot"):
        empty.fetch_snapshot(DATE)
    assert not empty.folder.exists()


def test_hub_in_trouble_or_a_repo_that_is_not_seen_is_no_absent_snapshot(
    empty: Storage, hub: WatchedHub, three: Years
) -> None:
    """A forecast would fall back to an older model without a word."""
    fill(empty, three)
    with pytest.raises(HubError, match=REPO):
        empty.list_candidates([DATE])
    hub.fail(Fault("503", times=None))
    for act in (lambda: empty.ensure_snapshot_available(DATE), lambda: empty.list_candidates([DATE])):
        with pytest.raises(HubUnavailableError):
            act()


def test_candidates_are_asked_for_only_if_a_wanted_one_is_not_here(
    empty: Storage, hub: WatchedHub, three: Years
) -> None:
    *here, there = three
    publish(hub, {there: three[there]})
    fill(empty, {date: three[date] for date in here})
    assert empty.list_candidates(here) == here
    assert hub.lines == []
    assert empty.list_candidates([here[0], DATE]) == list(three)
    assert len(hub.requests) == 1


def test_snapshot_of_another_fingerprint_is_not_pulled(empty: Storage, hub: WatchedHub, files: Files) -> None:
    publish(hub, {DATE: files})
    fingerprint = json.loads(files["metadata.json"])["fingerprint"]["value"]
    assert not empty.download_if(ABSENT, lambda found: found["value"] == fingerprint)
    hub.forget()
    assert not empty.download_if(DATE, lambda found: found["value"] == "0" * 64)
    assert len(hub.requests) == 3  # its branches, a listing, the manifest
    assert empty.list_snapshots() == []
    assert empty.download_if(DATE, lambda found: found["value"] == fingerprint)
    assert local_files(empty) == files


def test_sync_pushes_only_what_is_missing_or_differs(
    empty: Storage, hub: WatchedHub, three: Years, files: Files, other_files: Files
) -> None:
    equal, missing, hub_only = three
    publish(hub, {DATE: files, equal: three[equal], hub_only: three[hub_only]})
    fill(empty, {DATE: other_files, equal: three[equal], missing: three[missing]})
    assert empty.sync_all_local_to_hf() == [missing, DATE]
    assert not hub.asked(f"/revision/{BRANCH}") + hub.asked(f"/revision/{snapshot_name(missing)}")  # it was compared
    assert hub.files(REPO, BRANCH) == other_files
    assert hub.files(REPO, snapshot_name(missing)) == three[missing]
    assert len(hub.commits(REPO, snapshot_name(equal))) == 1
    assert empty.list_snapshots() == [equal, missing, DATE]
    hub.forget()
    assert empty.sync_all_local_to_hf() == []
    assert len(hub.requests) == 1


def test_sync_pulls_only_what_is_missing_or_differs(
    empty: Storage, hub: WatchedHub, three: Years, files: Files, other_files: Files
) -> None:
    equal, local_only, missing = three
    publish(hub, {DATE: files, equal: three[equal], missing: three[missing]})
    empty.download_snapshot_from_hf(DATE)
    hub.fail(Fault("503", times=5))
    with pytest.raises(HubUnavailableError):  # what was pulled is not made here because a push of it fails
        empty.upload_snapshot_to_hf(DATE)
    publish(hub, {DATE: other_files})  # another machine has pushed
    fill(empty, {equal: three[equal], local_only: three[local_only]})
    hub.forget()
    before = (empty.path(equal) / "weights.pt").stat().st_ino
    assert empty.sync_all_hf_to_local() == [DATE, missing]
    # the branches, a listing of the two that are on both sides, and two pulls, one of them of a listing that is known
    assert len(hub.requests) == 1 + 2 + ONE_PULL + (ONE_PULL - 1)
    assert (local_files(empty), local_files(empty, missing)) == (other_files, three[missing])
    assert (empty.path(equal) / "weights.pt").stat().st_ino == before
    assert snapshot_name(local_only) not in hub.branches(REPO)
    hub.forget()
    assert empty.sync_all_hf_to_local() == []
    assert len(hub.requests) == 1


def test_refused_snapshot_stops_no_other_and_leaves_what_is_here(
    empty: Storage, hub: WatchedHub, three: Years, files: Files, other_files: Files
) -> None:
    first, second, _ = three
    publish(hub, {DATE: {**other_files, "weights.pt": b"\0other"}, first: three[first], second: {}})
    fill(empty, {DATE: files})
    transfers = list(empty.transfer("pull", empty.compare(), force=True))
    assert [(transfer.name, transfer.result) for transfer in transfers] == [
        (snapshot_name(first), "pulled"),
        (snapshot_name(second), "refused"),
        (BRANCH, "refused"),
    ]
    assert f"{REPO}@{BRANCH}/weights.pt: expected the" in transfers[2].detail
    assert local_files(empty) == files
    assert empty.list_snapshots() == [first, DATE]


def test_snapshot_that_was_made_here_is_kept_by_a_pull_unless_forced(
    storage: Storage, hub: WatchedHub, files: Files, other_files: Files
) -> None:
    storage.upload_snapshot_to_hf(DATE)
    fill(storage, {DATE: other_files})  # trained again, and its push was never begun
    hub.forget()
    (row,) = storage.compare()
    assert (row.relation, len(hub.requests)) == (Relation.DIFFERENT, 1)
    (transfer,) = storage.transfer("pull", [row])
    assert (transfer.result, transfer.done) == ("kept", False)
    assert storage.sync_all_hf_to_local() == []
    assert local_files(storage) == other_files
    assert storage.sync_all_hf_to_local(force=True) == [DATE]
    assert local_files(storage) == files


def test_a_push_over_what_others_have_pushed_says_so_before_and_after(
    storage: Storage, hub: WatchedHub, files: Files, other_files: Files
) -> None:
    def said(verb: str) -> list[tuple[str, str]]:
        planned, done = (plan(verb, {"lstm": storage}, ()) for _ in range(2))
        return [(each.result, each.detail) for each in (*planned.preview(), *done.run())]

    assert said("push") == [("would push", "here only"), ("pushed", "")]
    fill(storage, {DATE: other_files})  # trained again
    reason = "it was made here and never pushed"
    assert said("pull") == [("would keep", reason), ("kept", f"{reason}: push it, or pull with force")]
    assert said("push") == [("would push", "different"), ("pushed", "")]
    publish(hub, {DATE: files})
    detail = f"in place of commit {hub.branches(REPO)[BRANCH][:8]}, which this machine neither pushed nor pulled"
    assert said("push") == [("would push", detail), ("pushed", detail)]
    hub.put(REPO, "main", files)
    for branch in (BRANCH, "main"):
        publish(hub, {DATE: files})
        commit = hub.branches(REPO)[branch]
        copy = storage.repo.push(branch, other_files)
        assert (copy.changed, copy.before) == (True, commit)
    publish(hub, {DATE: files})
    commit = hub.branches(REPO)[BRANCH][:8]
    shown = [pushed_metadata(storage.upload_snapshot_to_hf(DATE)) for _ in range(2)]
    assert [each.get("hub_reason", "")[:27] for each in shown] == [f"in place of commit {commit}", ""]


def test_snapshot_of_another_market_is_neither_pulled_nor_replaced(
    tmp_path: Path, hub: WatchedHub, files: Files, other_files: Files
) -> None:
    publish(hub, {DATE: files})
    address = HubAddress(REPO, SecretStr(TOKEN), hub.endpoint)
    live = Storage("lstm", tmp_path, address, market="live")
    fill(live, {DATE: other_files})
    with pytest.raises(HubError, match="expected to replace a snapshot of market live, got one of 'simulator'"):
        live.upload_snapshot_to_hf(DATE)
    assert hub.files(REPO, BRANCH) == files
    for storage in (live, live.no_retry()):
        with pytest.raises(RefusedSnapshotError, match=r"metadata\.json: expected market live, got 'simulator'"):
            storage.download_snapshot_from_hf(DATE)
    same = Storage("lstm", tmp_path / "same", address, market="simulator")
    same.download_snapshot_from_hf(DATE)
    assert local_files(same) == files


def test_comparison_says_how_the_two_sides_stand(
    storage: Storage, hub: WatchedHub, three: Years, files: Files, other_files: Files
) -> None:
    equal, here, there = three
    publish(hub, {DATE: other_files, equal: three[equal], there: three[there]})
    fill(storage, {equal: three[equal], here: three[here]})
    rows = storage.compare()
    relations = (Relation.EQUAL, Relation.LOCAL_ONLY, Relation.DIFFERENT, Relation.HUB_ONLY)
    assert [(row.cutoff_date, row.relation) for row in rows] == list(
        zip((equal, here, DATE, there), relations, strict=True)
    )
    assert [row.commit for row in rows] == [hub.branches(REPO).get(snapshot_name(row.cutoff_date), "") for row in rows]
    assert [row.cutoff_date for row in storage.compare({here, ABSENT})] == [here]
    for contents, relation in ((other_files, Relation.EQUAL), (files, Relation.DIFFERENT)):
        fill(storage, {DATE: contents})
        assert storage.compare({DATE})[0].relation is relation


def test_comparison_of_40_known_snapshots_takes_one_request(empty: Storage, hub: WatchedHub, years: Years) -> None:
    publish(hub, years)
    fill(empty, years)
    for n_requests in (41, 1):
        hub.forget()
        assert [row.relation for row in empty.compare()] == [Relation.EQUAL] * 40
        assert len(hub.requests) == n_requests


def test_what_is_known_of_another_repo_or_cannot_be_read_is_not_known(
    storage: Storage, hub: WatchedHub, tmp_path: Path
) -> None:
    copy = storage.upload_snapshot_to_hf(DATE)
    assert storage.record(BRANCH).commit == copy.commit
    moved = Storage("lstm", tmp_path / "models", bind(tmp_path, hub, family="sac").hub)
    assert moved.record(BRANCH).commit == ""
    for broken in (b"", b"\xff", b"[]", b'{"repo": 3}'):
        (storage.folder / ".hub" / f"{BRANCH}.json").write_bytes(broken)
        assert storage.record(BRANCH).commit == ""
        assert [row.relation for row in storage.compare()] == [Relation.EQUAL]


# Without a Hub


ASKS_THE_HUB: Mapping[str, Callable[[Storage], object]] = {
    "upload": lambda storage: storage.upload_snapshot_to_hf(DATE),
    "download": lambda storage: storage.download_snapshot_from_hf(DATE),
    "download_if": lambda storage: storage.download_if(DATE, bool),
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


WITHOUT_A_HUB = """
import datetime, pathlib, sys
from brain_assets_tests.store.hubs import DATE, SnapshotLocalStorage
storage = SnapshotLocalStorage("lstm", pathlib.Path(sys.argv[1]))
assert storage.ensure_snapshot_available(DATE)
assert not storage.ensure_snapshot_available(datetime.date(2016, 12, 31))
assert storage.list_candidates([datetime.date(2020, 12, 31)]) == [DATE]
assert storage.no_retry().list_snapshots() == storage.list_snapshots() == [DATE]
print(sorted({"huggingface_hub.hf_api", "httpx2", "torch"} & set(sys.modules)))
"""


def test_storage_without_a_hub_works_with_what_is_here_and_imports_no_client(tmp_path: Path, files: Files) -> None:
    fill(bind(tmp_path, None), {DATE: files})
    command = [sys.executable, "-c", WITHOUT_A_HUB, str(tmp_path)]
    answer = subprocess.run(command, capture_output=True, text=True, env=os.environ, check=False)
    assert (answer.stdout, answer.stderr) == ("[]\n", "")
