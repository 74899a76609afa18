"""A storage and its copies on a Hub that works: what is transferred, what is on either side then, what it costs."""

import datetime
import os
import subprocess
import sys
from collections.abc import Callable, Mapping
from pathlib import Path

import pytest
from pydantic import SecretStr

from brain_assets.errors import HubError, HubUnavailableError, RefusedSnapshotError, SnapshotError
from brain_assets.store.hub_client import HubAddress
from brain_assets.store.names import cutoff_of_year, snapshot_name
from brain_assets.store.storage import SnapshotLocalStorage as Storage
from brain_assets.store.sync import Relation, Transfer, compare, plan
from brain_assets_tests.loopback_hub import Fault
from brain_assets_tests.store.hubs import BRANCH, DATE, REPO, TOKEN, Files, WatchedHub, bind, fill, local_files, publish

pytestmark = pytest.mark.filterwarnings("ignore:Use 'content=:DeprecationWarning")  # of the library, at every upload

Years = Mapping[datetime.date, Files]
ABSENT = cutoff_of_year(2016)


def transfer(verb: str, storage: Storage, force: bool = False) -> dict[str, Transfer]:
    """Push or pull; gives what became of each branch."""
    return {each.name: each for each in plan(verb, {"lstm": storage}, force=force).run()}


def test_broken_snapshot_is_not_sent(storage: Storage, hub: WatchedHub) -> None:
    (storage.path(DATE) / "weights.pt").write_bytes(b"half")
    for date, words in ((DATE, r"weights\.pt: expected the SHA-256 .*; it is damaged"), (ABSENT, "but there is none")):
        with pytest.raises(SnapshotError, match=words):
            storage.upload_snapshot_to_hf(date)
    assert hub.lines == []


def test_a_pull_gives_the_very_bytes_of_one_commit(
    storage: Storage, empty: Storage, hub: WatchedHub, files: Files, other_files: Files
) -> None:
    storage.upload_snapshot_to_hf(DATE)
    hub.before("/resolve/", lambda: publish(hub, {DATE: other_files}))  # pushed while the pull is under way
    assert empty.download_snapshot_from_hf(DATE) == empty.path(DATE)
    assert local_files(empty) == files
    assert os.listdir(empty.folder) == [BRANCH]


def test_branches_whose_names_hold_no_date_are_ignored(empty: Storage, hub: WatchedHub, three: Years) -> None:
    publish(hub, three)
    for name in ("snapshot-2020-02-31", "snapshot-../../x", "v2020", "main"):
        hub.put(REPO, name, {"x": b"x"})
    assert empty.list_hf_snapshots() == list(three)
    assert empty.sync_all_hf_to_local() == list(three)
    assert sorted(os.listdir(empty.folder)) == list(map(snapshot_name, three))


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


def test_a_push_transfers_only_what_is_missing_or_differs_and_names_what_it_replaces(
    empty: Storage, hub: WatchedHub, three: Years, files: Files, other_files: Files
) -> None:
    equal, missing, hub_only = three
    publish(hub, {DATE: files, equal: three[equal], hub_only: three[hub_only]})
    fill(empty, {DATE: other_files, equal: three[equal], missing: three[missing]})
    rows = compare({"lstm": empty})
    relations = (Relation.EQUAL, Relation.LOCAL_ONLY, Relation.DIFFERENT, Relation.HUB_ONLY)
    dates = (equal, missing, DATE, hub_only)
    assert [(row.name, row.relation) for row in rows] == list(zip(map(snapshot_name, dates), relations, strict=True))
    assert [row.commit for row in rows] == [hub.branches(REPO).get(row.name, "") for row in rows]
    assert [row.name for row in compare({"lstm": empty}, [missing.year, 1999])] == [snapshot_name(missing)]
    replaced = f"in place of commit {hub.branches(REPO)[BRANCH][:8]}"
    previews = plan("push", {"lstm": empty}).preview()
    assert [(each.result, each.detail) for each in previews] == [("would push", "here only"), ("would push", replaced)]
    done = transfer("push", empty)
    assert {name: (each.result, each.detail) for name, each in done.items()} == {
        snapshot_name(missing): ("pushed", ""),
        BRANCH: ("pushed", replaced),
    }
    assert hub.files(REPO, BRANCH) == other_files
    assert hub.files(REPO, snapshot_name(missing)) == three[missing]
    assert len(hub.commits(REPO, snapshot_name(equal))) == 1
    assert empty.list_snapshots() == [equal, missing, DATE]
    assert empty.sync_all_local_to_hf() == []


def test_a_pull_takes_what_is_missing_and_keeps_what_differs_unless_forced(
    empty: Storage, hub: WatchedHub, three: Years, files: Files, other_files: Files, caplog: pytest.LogCaptureFixture
) -> None:
    equal, local_only, missing = three
    publish(hub, {DATE: files, equal: three[equal], missing: three[missing]})
    fill(empty, {DATE: other_files, equal: three[equal], local_only: three[local_only]})
    before = (empty.path(equal) / "weights.pt").stat().st_ino
    previews = plan("pull", {"lstm": empty}).preview()
    assert [(each.result, each.detail) for each in previews] == [
        ("would keep", "different"),
        ("would pull", "on the Hub only"),
    ]
    assert empty.sync_all_hf_to_local() == [missing]
    assert f"lstm {BRANCH}: kept: it differs from that of the Hub: push it, or pull with force" in caplog.text
    assert (local_files(empty), local_files(empty, missing)) == (other_files, three[missing])
    assert (empty.path(equal) / "weights.pt").stat().st_ino == before
    assert snapshot_name(local_only) not in hub.branches(REPO)
    assert empty.sync_all_hf_to_local(force=True) == [DATE]
    assert local_files(empty) == files


def test_refused_snapshot_stops_no_other_and_leaves_what_is_here(
    empty: Storage, hub: WatchedHub, three: Years, files: Files, other_files: Files
) -> None:
    first, second, _ = three
    publish(hub, {DATE: {**other_files, "weights.pt": b"\0other"}, first: three[first], second: {}})
    fill(empty, {DATE: files})
    done = transfer("pull", empty, force=True)
    assert [each.result for each in done.values()] == ["pulled", "refused", "refused"]
    assert f"{REPO}@{BRANCH}/weights.pt: expected the" in done[BRANCH].detail
    assert local_files(empty) == files
    assert empty.list_snapshots() == [first, DATE]


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
    with pytest.raises(RefusedSnapshotError, match=r"metadata\.json: expected market live, got 'simulator'"):
        live.download_snapshot_from_hf(DATE)


# Without a Hub


ASKS_THE_HUB: Mapping[str, Callable[[Storage], object]] = {
    "upload": lambda storage: storage.upload_snapshot_to_hf(DATE),
    "download": lambda storage: storage.download_snapshot_from_hf(DATE),
    "list": lambda storage: storage.list_hf_snapshots(),
    "sync_to": lambda storage: storage.sync_all_local_to_hf(),
    "sync_from": lambda storage: storage.sync_all_hf_to_local(),
}


def test_storage_without_a_hub_says_so_in_one_sentence(tmp_path: Path, files: Files) -> None:
    storage = fill(bind(tmp_path, None), {DATE: files})
    for ask in ASKS_THE_HUB.values():
        with pytest.raises(HubError) as caught:
            ask(storage)
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
assert storage.list_snapshots() == [DATE]
print(sorted({"huggingface_hub.hf_api", "httpx2", "torch"} & set(sys.modules)))
"""


def test_storage_without_a_hub_works_with_what_is_here_and_imports_no_client(tmp_path: Path, files: Files) -> None:
    fill(bind(tmp_path, None), {DATE: files})
    command = [sys.executable, "-c", WITHOUT_A_HUB, str(tmp_path)]
    answer = subprocess.run(command, capture_output=True, text=True, env=os.environ, check=False)
    assert (answer.stdout, answer.stderr) == ("[]\n", "")
