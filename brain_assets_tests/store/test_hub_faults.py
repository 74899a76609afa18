"""Everything that can go wrong on the way to the Hub: what is on either side then, and what the user is told."""

import datetime
import email.utils
import json
import os
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from types import SimpleNamespace

import pytest

from brain_assets.errors import HubError, HubUnavailableError, SnapshotError
from brain_assets.store.storage import SnapshotLocalStorage
from brain_assets.store.sync import Relation, compare
from brain_assets_tests.loopback_hub import Answer, Fault, Request
from brain_assets_tests.store.hubs import (
    BRANCH,
    DATE,
    KINDS,
    READ_TOKEN,
    REPO,
    STAGING,
    Files,
    WatchedHub,
    bind,
    fault,
    fill,
    is_one_sentence,
    local_files,
    publish,
)

pytestmark = pytest.mark.filterwarnings("ignore:Use 'content=:DeprecationWarning")  # of the library, at every upload

ATTEMPTS = 5


@pytest.fixture
def kind(request: pytest.FixtureRequest) -> str:
    if request.param == "silence":
        request.getfixturevalue("short_time_out")
    return str(request.param)


def every_kind(*kinds: str) -> pytest.MarkDecorator:
    return pytest.mark.parametrize("kind", kinds or KINDS, indirect=True)


def hubs(n_requests: int, kind: str, times: int | None = 1) -> Iterator[tuple[int, WatchedHub, Callable[[], None]]]:
    """Give a Hub for every request that a fault is to befall, and what arms it."""
    for index in range(n_requests):
        with WatchedHub() as hub:
            yield index, hub, lambda hub=hub, index=index: hub.fail(fault(kind, index, times=times))


def count(hub: WatchedHub, act: Callable[[], object]) -> int:
    """Count the requests of something undisturbed."""
    hub.forget()
    act()
    return len(hub.requests)


@pytest.fixture
def n_first(storage: SnapshotLocalStorage, hub: WatchedHub) -> int:
    """How many requests the first push takes."""
    return count(hub, lambda: storage.upload_snapshot_to_hf(DATE))


@pytest.fixture
def n_second(storage: SnapshotLocalStorage, hub: WatchedHub, other_files: Files) -> int:
    """How many requests a push takes that changes everything."""
    publish(hub, {DATE: other_files})
    return count(hub, lambda: storage.upload_snapshot_to_hf(DATE))


@pytest.fixture
def n_pull(empty: SnapshotLocalStorage, hub: WatchedHub, files: Files) -> int:
    """How many requests a pull takes."""
    publish(hub, {DATE: files})
    return count(hub, lambda: empty.download_snapshot_from_hf(DATE))


@every_kind()
def test_one_fault_at_any_request_of_a_first_push_changes_nothing(
    kind: str, n_first: int, files: Files, tmp_path: Path
) -> None:
    assert n_first == 20
    for index, hub, arm in hubs(n_first, kind):
        storage = fill(bind(tmp_path / str(index), hub), {DATE: files})
        arm()
        start = time.monotonic()
        copy = storage.upload_snapshot_to_hf(DATE)
        where = f"{kind} at request {index}, {hub.lines[index]}"
        assert time.monotonic() - start < 4, where  # the client of the Hub's library waits 5 s, or forever
        assert hub.ever(BRANCH) == [files], where
        assert hub.files(REPO, BRANCH) == files, where
        assert set(hub.branches(REPO)) == {"main", BRANCH}, where
        assert [commit.oid for commit in hub.commits(REPO, BRANCH)] == [copy.commit, hub.branches(REPO)["main"]], where
        assert copy.changed, where
        assert storage.list_pending() == [], where
        assert storage.is_copied(DATE, copy.commit), where


@every_kind()
def test_one_fault_at_any_request_of_a_second_push_changes_nothing(
    kind: str, n_second: int, files: Files, other_files: Files, tmp_path: Path
) -> None:
    assert n_second == 12
    for index, hub, arm in hubs(n_second, kind):
        publish(hub, {DATE: other_files})
        storage = fill(bind(tmp_path / str(index), hub), {DATE: files})
        arm()
        copy = storage.upload_snapshot_to_hf(DATE)
        where = f"{kind} at request {index}, {hub.lines[index]}"
        assert hub.ever(BRANCH) == [other_files, files], where
        assert hub.files(REPO, BRANCH) == files, where
        assert set(hub.branches(REPO)) == {"main", BRANCH}, where
        assert len(hub.commits(REPO, BRANCH)) == 2, where
        assert copy.changed, where
        assert storage.list_pending() == [], where


@every_kind()
def test_one_fault_at_any_request_of_a_pull_changes_nothing(
    kind: str, n_pull: int, files: Files, other_files: Files, tmp_path: Path
) -> None:
    assert n_pull == 9
    for index, hub, arm in hubs(n_pull, kind):
        publish(hub, {DATE: files})
        storage = fill(bind(tmp_path / str(index), hub), {DATE: other_files})
        arm()
        storage.download_snapshot_from_hf(DATE)
        where = f"{kind} at request {index}, {hub.lines[index]}"
        assert local_files(storage) == files, where
        assert sorted(path.name for path in storage.folder.iterdir()) == [".hub", BRANCH], where
        assert storage.is_copied(DATE, hub.branches(REPO)[BRANCH]), where


@every_kind("503", "truncate", "wrong bytes")
def test_push_that_fails_in_the_end_is_completed_by_a_sync(
    kind: str, n_first: int, files: Files, tmp_path: Path
) -> None:
    # wrong bytes in answer to a branch being made do no harm, nor does anything once the snapshot's branch is there
    last = n_first - (2 if kind == "wrong bytes" else 1)
    for index, hub, arm in hubs(last, kind, times=None):
        storage = fill(bind(tmp_path / str(index), hub), {DATE: files})
        arm()
        with pytest.raises(HubUnavailableError) as caught:
            storage.upload_snapshot_to_hf(DATE)
        where = f"{kind} from request {index} on, {hub.lines[index]}"
        assert is_one_sentence(str(caught.value), "to take snapshot-2019-12-31", "try again later"), where
        assert 0 <= len(hub.requests) - (index + ATTEMPTS) <= (1 if kind == "wrong bytes" else 0), where
        assert hub.ever(BRANCH) in ([], [files]), where
        assert local_files(storage) == files, where
        assert storage.hub_record(DATE).pending == str(caught.value), where
        assert storage.list_pending() == [DATE], where

        hub.clear_faults()
        there = bool(hub.ever(BRANCH))  # if only the answer was lost, a look is enough
        assert [row.relation for row in compare(storage)] == [Relation.EQUAL if there else Relation.LOCAL_ONLY], where
        assert storage.sync_all_local_to_hf() == ([] if there else [DATE]), where
        assert hub.files(REPO, BRANCH) == files, where
        assert storage.list_pending() == [], where
        storage.upload_snapshot_to_hf(DATE)
        assert set(hub.branches(REPO)) == {"main", BRANCH}, where


@every_kind("429", "500", "drop", "silence", "echo token")
def test_push_gives_up_after_five_attempts(kind: str, storage: SnapshotLocalStorage, hub: WatchedHub) -> None:
    hub.fail(fault(kind, times=None))
    with pytest.raises(HubUnavailableError) as caught:
        storage.upload_snapshot_to_hf(DATE)
    assert len(hub.requests) == ATTEMPTS
    assert is_one_sentence(str(caught.value), hub.endpoint, "try again later")
    assert storage.hub_record(DATE).pending == str(caught.value)


@every_kind("503", "wrong bytes")
def test_pull_that_fails_in_the_end_leaves_what_is_here(
    kind: str, n_pull: int, files: Files, other_files: Files, tmp_path: Path
) -> None:
    for index, hub, arm in hubs(n_pull, kind, times=None):
        publish(hub, {DATE: files})
        storage = fill(bind(tmp_path / str(index), hub), {DATE: other_files})
        arm()
        with pytest.raises(HubUnavailableError) as caught:
            storage.download_snapshot_from_hf(DATE)
        where = f"{kind} from request {index} on, {hub.lines[index]}"
        assert is_one_sentence(str(caught.value), "to give snapshot-2019-12-31", "try again later"), where
        assert len(hub.requests) <= index + 2 * ATTEMPTS, where  # a file of wrong bytes is two requests
        assert local_files(storage) == other_files, where
        assert [path.name for path in storage.folder.iterdir()] == [BRANCH], where
        hub.clear_faults()
        assert storage.sync_all_hf_to_local(force=True) == [DATE], where
        assert local_files(storage) == files, where


def test_push_of_a_known_copy_that_did_not_get_through_is_no_longer_pending_after_a_sync(
    storage: SnapshotLocalStorage, hub: WatchedHub
) -> None:
    storage.upload_snapshot_to_hf(DATE)
    hub.fail(Fault("503", times=None))
    with pytest.raises(HubUnavailableError):
        storage.upload_snapshot_to_hf(DATE)
    assert storage.list_pending() == [DATE]
    hub.clear_faults()
    assert storage.sync_all_local_to_hf() == []
    assert storage.list_pending() == []


def test_snapshot_is_pushed_although_its_staging_branch_stays(
    storage: SnapshotLocalStorage, hub: WatchedHub, files: Files, caplog: pytest.LogCaptureFixture
) -> None:
    hub.fail(Fault("503", "DELETE ", times=None))
    assert storage.upload_snapshot_to_hf(DATE).changed
    assert hub.ever(BRANCH) == [files]
    assert hub.asked("DELETE ") == ATTEMPTS
    assert f"{REPO}: expected the Hub ({hub.endpoint}) to remove branch {STAGING}" in caplog.text
    assert storage.list_pending() == []
    hub.clear_faults()
    assert not storage.upload_snapshot_to_hf(DATE).changed
    assert set(hub.branches(REPO)) == {"main", BRANCH}


class ForgetfulHub(WatchedHub):
    """Loses a file of the first commit, and says that all is well."""

    def answer(self, request: Request, body: bytes) -> Answer:
        if "/commit/" in request.path and self.asked("/commit/") == 1:
            body = b"\n".join(line for line in body.splitlines() if b"README.md" not in line)
        return super().answer(request, body)


def test_commit_that_does_not_hold_what_was_sent_is_never_the_snapshot(tmp_path: Path, files: Files) -> None:
    with ForgetfulHub() as hub:
        assert fill(bind(tmp_path, hub), {DATE: files}).upload_snapshot_to_hf(DATE).changed
        assert sorted(len(state) for state in hub.ever(STAGING)) == [1, 4, 5]
        assert hub.ever(BRANCH) == [files]


@pytest.fixture
def sleeps(monkeypatch: pytest.MonkeyPatch) -> list[float]:
    """Whatever anything in this process sleeps; nothing longer than 2 s really happens."""
    slept: list[float] = []
    sleep = time.sleep

    def record(seconds: float) -> None:
        slept.append(seconds)
        sleep(min(seconds, 2))

    monkeypatch.setattr(time, "sleep", record)
    return slept


@pytest.mark.parametrize("match", ["/refs", "PUT /lfs/", "/verify", "/commit/"])
def test_retry_after_is_waited_for_once(
    storage: SnapshotLocalStorage, hub: WatchedHub, match: str, sleeps: list[float]
) -> None:
    hub.fail(Fault("429", match, retry_after=1))
    start = time.monotonic()
    assert storage.upload_snapshot_to_hf(DATE).changed
    assert time.monotonic() - start >= 1
    assert len(sleeps) == 1
    assert 1 <= sleeps[0] < 1.1


def test_retry_after_may_be_a_date(storage: SnapshotLocalStorage, hub: WatchedHub) -> None:
    date = datetime.datetime.now(datetime.UTC).replace(microsecond=0) + datetime.timedelta(seconds=2)
    hub.fail(Fault("429", "/refs", retry_after=email.utils.format_datetime(date, usegmt=True)))  # type: ignore[arg-type]
    assert storage.upload_snapshot_to_hf(DATE).changed
    assert datetime.datetime.now(datetime.UTC) >= date


@pytest.mark.parametrize(
    ("match", "seconds"), [("/refs", 3600), ("/refs", 61), ("PUT /lfs/", 3600), ("/verify", 61), ("/commit/", 61)]
)
def test_hub_that_asks_for_more_than_a_minute_is_left_alone_at_once(
    storage: SnapshotLocalStorage, hub: WatchedHub, match: str, seconds: int, sleeps: list[float]
) -> None:
    hub.fail(Fault("429", match, retry_after=seconds, times=None))
    with pytest.raises(HubUnavailableError) as caught:
        storage.upload_snapshot_to_hf(DATE)
    assert sleeps == []
    assert hub.asked(match) == 1
    assert is_one_sentence(str(caught.value), "429")
    assert storage.list_pending() == [DATE]


def test_waits_are_random_and_grow_and_are_added_to_what_the_hub_asks_for(
    storage: SnapshotLocalStorage, monkeypatch: pytest.MonkeyPatch
) -> None:
    from brain_assets.store import hub_client

    assert storage.hub is not None
    client = hub_client.HubClient(storage.hub)
    waits: list[float] = []
    monkeypatch.setattr(hub_client, "time", SimpleNamespace(sleep=waits.append))

    def series(wait: float | None) -> list[float]:
        def fail() -> None:
            raise hub_client._PassingError("made up", wait)

        waits.clear()
        with pytest.raises(HubUnavailableError):
            client.retry("do it", fail)
        return list(waits)

    many = [series(None) for _ in range(50)]
    for position, bound in enumerate((1, 2, 4, 8)):
        column = [waits[position] for waits in many]
        assert 0 <= min(column) < max(column) <= bound
        assert len(set(column)) == 50
        assert max(column) > bound / 2  # fails once in 10^15
    assert all(7 <= wait <= 8 for wait in series(7.0))
    assert len(many[0]) == len(series(7.0)) == ATTEMPTS - 1


def test_no_further_attempt_is_begun_after_the_longest_time(
    storage: SnapshotLocalStorage, hub: WatchedHub, sleeps: list[float]
) -> None:
    from brain_assets.store.hub_client import Patience

    hub.fail(Fault("429", retry_after=1, times=None))
    hurried = SnapshotLocalStorage("lstm", storage.folder.parent, storage.hub, Patience(attempts=100, longest=2.5))
    with pytest.raises(HubUnavailableError):
        hurried.list_hf_snapshots()
    assert 1 <= len(sleeps) <= 2
    assert len(hub.requests) == len(sleeps) + 1
    assert sum(sleeps) < 2.5


SOMEONE_ELSE: dict[str, tuple[str, Callable[[WatchedHub, Files], object]]] = {
    "makes the repo": ("/repos/create", lambda hub, theirs: hub.add_repo(REPO)),
    "makes repo and branch": ("/repos/create", lambda hub, theirs: publish(hub, {DATE: theirs})),
    "makes the branch": (f"/branch/{BRANCH}", lambda hub, theirs: hub.put(REPO, BRANCH, theirs)),
    "makes the staging branch": (
        f"POST /api/models/{REPO}/branch/{STAGING}",
        lambda hub, theirs: hub.put(REPO, STAGING, theirs),
    ),
    "commits on the staging branch": ("/commit/", lambda hub, theirs: hub.put(REPO, STAGING, theirs)),
    "removes the staging branch": ("/commit/", lambda hub, theirs: hub._repos["model", REPO].branches.pop(STAGING)),
    "removes it at the end": ("DELETE ", lambda hub, theirs: hub._repos["model", REPO].branches.pop(STAGING)),
    "removes the repo": ("/commit/", lambda hub, theirs: hub._repos.pop(("model", REPO))),
}


@pytest.mark.parametrize("what", SOMEONE_ELSE)
def test_someone_else_is_faster_than_a_first_push(
    what: str, storage: SnapshotLocalStorage, hub: WatchedHub, files: Files, other_files: Files
) -> None:
    match, act = SOMEONE_ELSE[what]
    acted = []
    hub.before(match, lambda: acted.append(act(hub, other_files)))
    assert storage.upload_snapshot_to_hf(DATE).changed
    assert len(acted) == 1
    assert hub.files(REPO, BRANCH) == files
    assert set(hub.branches(REPO)) == {"main", BRANCH}
    assert [state for state in hub.ever(BRANCH) if state not in (files, other_files)] == []


@pytest.mark.parametrize("what", ["commits", "commits the same", "removes the branch"])
def test_someone_else_is_faster_than_a_second_push(
    what: str, storage: SnapshotLocalStorage, hub: WatchedHub, files: Files, other_files: Files
) -> None:
    publish(hub, {DATE: other_files})

    def act() -> None:
        if what == "removes the branch":
            del hub._repos["model", REPO].branches[BRANCH]
        else:
            hub.put(REPO, BRANCH, files if what == "commits the same" else {"theirs.txt": b"theirs"})

    hub.before("/commit/", act)
    copy = storage.upload_snapshot_to_hf(DATE)
    assert hub.files(REPO, BRANCH) == files
    assert hub.branches(REPO)[BRANCH] == copy.commit
    assert len(hub.commits(REPO, BRANCH)) == {"commits": 3, "commits the same": 2, "removes the branch": 2}[what]
    assert set(hub.branches(REPO)) == {"main", BRANCH}


@pytest.mark.parametrize("there", [False, True], ids=["new", "there"])
@pytest.mark.parametrize("same", [True, False], ids=["same", "different"])
def test_two_pushers_at_once_leave_one_complete_snapshot(
    there: bool, same: bool, tmp_path: Path, files: Files, other_files: Files
) -> None:
    theirs = files if same else other_files
    for turn in range(4):
        with WatchedHub(latency=0.002) as hub:
            old = {**files, "old.txt": b"old"}
            if there:
                publish(hub, {DATE: old})
            pushers = [
                fill(bind(tmp_path / f"{turn}-{name}", hub, attempts=20), {DATE: content})
                for name, content in (("one", files), ("two", theirs))
            ]
            barrier = threading.Barrier(2)

            def push(storage: SnapshotLocalStorage, barrier: threading.Barrier = barrier) -> str:
                barrier.wait()
                return storage.upload_snapshot_to_hf(DATE).commit

            with ThreadPoolExecutor(2) as pool:
                commits = set(pool.map(push, pushers))
            assert hub.branches(REPO)[BRANCH] in commits, turn
            assert hub.files(REPO, BRANCH) in (files, theirs), turn
            others = [state for state in hub.ever(BRANCH) if state not in (files, theirs)]
            assert others == ([old] if there else []), turn
            assert set(hub.branches(REPO)) == {"main", BRANCH}, turn


XET = """
import json, pathlib, sys, time
from brain_assets_tests.store.hubs import DATE, bind
from brain_assets.store import hub
hub.XET_LIMIT = 1.0
start = time.monotonic()
copy = bind(pathlib.Path(sys.argv[1]), sys.argv[2]).upload_snapshot_to_hf(DATE)
print(json.dumps([copy.changed, copy.note, time.monotonic() - start]))
"""


@pytest.mark.parametrize("how", ["refused", "fails", "silent"])
def test_push_goes_by_plain_lfs_if_xet_fails(
    how: str, storage: SnapshotLocalStorage, hub: WatchedHub, files: Files, tmp_path: Path
) -> None:
    pytest.importorskip("hf_xet")
    hub.offer_xet = how != "refused"
    if how == "silent":
        hub.fail(Fault("silence", "/cas/", times=None))
    environment = {**os.environ, "HF_HOME": str(tmp_path / "home"), "HF_HUB_DISABLE_XET": "0"}
    command = [sys.executable, "-c", XET, str(tmp_path / "models"), hub.endpoint]
    answer = subprocess.run(command, capture_output=True, text=True, env=environment, check=False)
    assert answer.returncode == 0, answer.stderr
    changed, note, seconds = json.loads(answer.stdout)
    assert hub.ever(BRANCH) == [files]
    assert changed
    assert note.startswith("Xet failed (")
    assert note.endswith("): sent over plain LFS")
    assert seconds < 10  # by itself the library goes on for minutes
    assert hub.asked("/xet-write-token/") > 0
    assert (hub.asked("/cas/") > 0) == hub.offer_xet
    assert hub.asked("PUT /lfs/") == 2


def errors(storage: SnapshotLocalStorage) -> dict[str, str]:
    """Ask the Hub for everything; gives what comes of it."""
    asked: dict[str, Callable[[], object]] = {
        "push": lambda: storage.upload_snapshot_to_hf(DATE),
        "pull": lambda: storage.download_snapshot_from_hf(DATE),
        "list": storage.list_hf_snapshots,
        "sync": storage.sync_all_local_to_hf,
    }
    said = {}
    for name, call in asked.items():
        try:
            call()
        except (HubError, SnapshotError) as error:
            said[name] = str(error)
    return said


def test_wrong_token_is_one_sentence(tmp_path: Path, hub: WatchedHub, files: Files) -> None:
    hub.add_repo(REPO)
    storage = fill(bind(tmp_path, hub, token="hf_wrong"), {DATE: files})
    said = errors(storage)
    assert set(said) == {"push", "pull", "list", "sync"}
    for text in said.values():
        assert is_one_sentence(text, "a token that the Hub accepts", "set HF_TOKEN to a valid one")
    assert storage.hub_record(DATE).pending == said["push"]
    assert len(hub.requests) == 4  # none of them a second time


@pytest.mark.parametrize("made", [True, False], ids=["repo", "no repo"])
def test_token_without_the_right_to_write_is_one_sentence(
    made: bool, tmp_path: Path, hub: WatchedHub, files: Files
) -> None:
    if made:
        hub.add_repo(REPO)
    storage = fill(bind(tmp_path, hub, token=READ_TOKEN), {DATE: files})
    with pytest.raises(HubError) as caught:
        storage.upload_snapshot_to_hf(DATE)
    assert is_one_sentence(str(caught.value), "expected the right to write to it", "use an HF_TOKEN that has it")
    assert not isinstance(caught.value, HubUnavailableError)
    assert storage.list_pending() == [DATE]
    assert storage.list_hf_snapshots() == []
    assert hub.repos() == ([("model", REPO)] if made else [])


@pytest.mark.parametrize("other", ["dataset", "space"])
def test_repo_of_another_type_is_one_sentence(other: str, storage: SnapshotLocalStorage, hub: WatchedHub) -> None:
    hub.add_repo(REPO, repo_type=other)
    with pytest.raises(HubError) as caught:
        storage.upload_snapshot_to_hf(DATE)
    assert is_one_sentence(str(caught.value), f"expected a model repo, got a {other}", "HF_LSTM_MODEL_REPO")
    assert hub.repos() == [(other, REPO)]
    assert storage.list_pending() == [DATE]


def test_no_network_is_one_sentence(tmp_path: Path, files: Files) -> None:
    with WatchedHub() as hub:
        closed = hub.endpoint
    storage = fill(bind(tmp_path, closed), {DATE: files})
    said = errors(storage)
    assert set(said) == {"push", "pull", "list", "sync"}
    for text in said.values():
        assert is_one_sentence(text, closed, "the connection failed", "try again later")
    assert storage.list_pending() == [DATE]
    assert storage.load_snapshot(DATE).cutoff_date == DATE


def test_offline_is_one_sentence(
    storage: SnapshotLocalStorage, hub: WatchedHub, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("huggingface_hub.constants.HF_HUB_OFFLINE", True)
    said = errors(storage)
    assert set(said) == {"push", "pull", "list", "sync"}
    for text in said.values():
        assert is_one_sentence(text, "got HF_HUB_OFFLINE=1; unset it, or set STORAGE_BACKEND=local")
    assert hub.lines == []
    assert storage.list_pending() == [DATE]


@pytest.mark.parametrize("endpoint", ["ftp://127.0.0.1", "127.0.0.1:1", "http://"])
def test_endpoint_that_cannot_be_asked_is_one_sentence(endpoint: str, tmp_path: Path, files: Files) -> None:
    said = errors(fill(bind(tmp_path, endpoint), {DATE: files}))
    assert set(said) == {"push", "pull", "list", "sync"}
    for text in said.values():
        assert is_one_sentence(text)


@pytest.mark.slow
def test_silence_of_30_seconds_ends_with_the_time_out(
    storage: SnapshotLocalStorage, hub: WatchedHub, files: Files
) -> None:
    hub.fail(Fault("silence", "/commit/", seconds=30))
    start = time.monotonic()
    assert storage.upload_snapshot_to_hf(DATE).changed
    assert 10 <= time.monotonic() - start < 20
    assert hub.ever(BRANCH) == [files]
