"""What only a Hub has: requests, tokens, repos, branches, others who push, strangers' files. See `test_stores` too."""

import json
import os
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import httpx2
import pytest
from huggingface_hub import HfApi
from huggingface_hub.errors import HfHubHTTPError
from pydantic import SecretStr

from brain_assets.errors import HubError, HubUnavailableError, MissingSnapshotError, RefusedSnapshotError, SnapshotError
from brain_assets.retry import RetryPolicy
from brain_assets.store.hub import HubStore
from brain_assets.store.hub_client import HubAddress
from brain_assets.store.manifest import FILES, MANIFEST, PAYLOAD, build
from brain_assets.store.names import cutoff_of_year
from brain_assets.store.snapshot import ModelSnapshot
from brain_assets.store.storage import SnapshotLocalStorage
from brain_assets_tests.loopback_hub import Fault, Symlink
from brain_assets_tests.store.hubs import (
    BRANCH,
    DATE,
    READ_TOKEN,
    REPO,
    TOKEN,
    Files,
    WatchedHub,
    fault,
    is_one_sentence,
    publish,
)
from brain_assets_tests.store.places import QUICK, made_up

pytestmark = pytest.mark.filterwarnings("ignore:Use 'content=:DeprecationWarning")  # of the library, at every upload

OURS, THEIRS = made_up(1), made_up(2)


def open_store(hub: WatchedHub | str, token: str = TOKEN, policy: RetryPolicy = QUICK) -> HubStore:
    endpoint = hub if isinstance(hub, str) else hub.endpoint
    return HubStore(HubAddress(REPO, SecretStr(token), endpoint), policy)


@pytest.fixture
def store(hub: WatchedHub) -> HubStore:
    return open_store(hub)


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


# What a push makes


def test_first_push_makes_a_private_repo_and_a_branch_of_exactly_the_files(store: HubStore, hub: WatchedHub) -> None:
    copy = store.push(BRANCH, OURS)
    assert [(repo["organization"], repo["name"], repo["visibility"]) for repo in hub.created] == [
        ("user", "lstm", "private")
    ]
    assert set(hub.branches(REPO)) == {"main", BRANCH}
    assert hub.files(REPO, BRANCH) == OURS
    assert list(hub.files(REPO, "main")) == [".gitattributes"]
    assert [commit.oid for commit in hub.commits(REPO, BRANCH)] == [copy.commit, hub.branches(REPO)["main"]]
    assert (copy.changed, copy.url) == (True, f"{hub.endpoint}/{REPO}/tree/{BRANCH}")
    assert len(hub.requests) == 14


def test_changed_push_is_one_commit_that_removes_what_else_a_branch_holds(store: HubStore, hub: WatchedHub) -> None:
    publish(hub, {DATE: {**THEIRS, "old.bin": b"\0", "sub/notes.txt": b"notes"}})
    copy = store.push(BRANCH, OURS)
    assert hub.files(REPO, BRANCH) == OURS
    commits = hub.commits(REPO, BRANCH)
    assert (len(commits), commits[0].oid) == (2, copy.commit)


def test_new_branch_holds_nothing_of_main(store: HubStore, hub: WatchedHub) -> None:
    hub.add_repo(REPO)
    hub.put(REPO, "main", {**THEIRS, "notes.txt": b"notes", "sub/x": b"x"})
    store.push(BRANCH, OURS)
    assert hub.files(REPO, BRANCH) == OURS
    assert store.read(BRANCH) == OURS
    store.push("main", OURS)
    assert hub.files(REPO, "main") == OURS


def test_files_that_are_none_of_a_snapshot_are_not_sent(store: HubStore, hub: WatchedHub) -> None:
    card = OURS["README.md"].replace(b"license: other\n", b"license: [\n")
    with pytest.raises(
        SnapshotError, match=r"README\.md: expected metadata that the Hub's client reads, .*, got what it"
    ):
        store.push(BRANCH, build({**{name: OURS[name] for name in PAYLOAD}, "README.md": card}, {}))
    assert hub.lines == []


@pytest.mark.slow
def test_xet_is_never_asked(hub: WatchedHub, tmp_path: Path) -> None:
    """It has no time-out, and goes on for minutes."""
    pytest.importorskip("hf_xet")
    code = (
        "import sys; from brain_assets_tests.store.test_hub import OURS, BRANCH, open_store;"
        "open_store(sys.argv[1]).push(BRANCH, OURS)"
    )
    hub.offer_xet = True
    done = subprocess.run(
        [sys.executable, "-W", "ignore", "-c", code, hub.endpoint],
        capture_output=True,
        text=True,
        env={**os.environ, "HF_HOME": str(tmp_path), "HF_HUB_DISABLE_XET": "0"},
        check=False,
    )
    assert (done.returncode, done.stderr) == (0, "")
    assert hub.files(REPO, BRANCH) == OURS
    assert hub.asked("/xet-write-token/") == hub.asked("/cas/") == 0


# What it is told


@pytest.mark.parametrize("match", ["/revision/", "PUT /lfs/"])
def test_retry_after_is_waited_for_once(store: HubStore, hub: WatchedHub, match: str, sleeps: list[float]) -> None:
    hub.fail(Fault("429", match, retry_after=1))
    assert store.push(BRANCH, OURS).changed
    assert len(sleeps) == 1
    assert 1 <= sleeps[0] < 1.1


@pytest.mark.parametrize(("match", "seconds"), [("/revision/", 3600), ("PUT /lfs/", 61)])
def test_hub_that_asks_for_more_than_a_minute_is_left_alone_at_once(
    store: HubStore, hub: WatchedHub, match: str, seconds: int, sleeps: list[float]
) -> None:
    hub.fail(Fault("429", match, retry_after=seconds, times=None))
    with pytest.raises(HubUnavailableError) as caught:
        store.push(BRANCH, OURS)
    assert sleeps == []
    assert is_one_sentence(str(caught.value), "to take snapshot-2019-12-31", "429", hub.endpoint, "try again later")


def asked(store: HubStore) -> list[str]:
    """Ask the Hub for everything; gives what it says."""
    said = []
    for call in (lambda: store.push(BRANCH, OURS), lambda: store.read(BRANCH), store.list):
        with pytest.raises(HubError) as caught:
            call()
        said.append(str(caught.value))
    return said


@pytest.mark.parametrize("kind", ["429", "drop"])
def test_it_gives_up_after_five_attempts(kind: str, store: HubStore, hub: WatchedHub) -> None:
    hub.fail(fault(kind, times=None))
    for text in asked(store):
        assert is_one_sentence(text, hub.endpoint, "try again later")
    assert len(hub.requests) == 3 * QUICK.attempts  # type: ignore[operator]


@pytest.mark.parametrize(
    ("endpoint", "token", "words", "n_requests"),
    [
        ("", "hf_wrong", ("a token that the Hub accepts", "set HF_TOKEN to a valid one"), 3),  # none a second time
        ("http://127.0.0.1:9", TOKEN, ("http://127.0.0.1:9", "the connection failed", "try again later"), 0),
        ("offline", TOKEN, ("got HF_HUB_OFFLINE=1; unset it, or set STORAGE_BACKEND=local",), 0),
        *((endpoint, TOKEN, (), 0) for endpoint in ("ftp://127.0.0.1", "http://")),
    ],
)
def test_hub_that_cannot_be_asked_is_one_sentence(
    hub: WatchedHub, endpoint: str, token: str, words: tuple[str, ...], n_requests: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    hub.add_repo(REPO)
    if endpoint == "offline":
        monkeypatch.setattr("huggingface_hub.constants.HF_HUB_OFFLINE", True)
    for text in asked(open_store(endpoint if ":" in endpoint else hub, token)):
        assert is_one_sentence(text, *words)
    assert len(hub.requests) == n_requests


def test_who_asks_the_hub_without_us_has_the_errors_of_the_library(store: HubStore, hub: WatchedHub) -> None:
    hub.add_repo(REPO)
    assert store.list() == ["main"]
    with pytest.raises(HubError):
        open_store(hub, "hf_wrong").list()
    hub.fail(fault("503", times=None))
    with pytest.raises(HfHubHTTPError, match="503"):
        HfApi(hub.endpoint, token=TOKEN).model_info(REPO)


def test_a_push_names_the_model_that_it_replaces(store: HubStore, hub: WatchedHub) -> None:
    for branch in (BRANCH, "main"):
        publish(hub, {DATE: THEIRS})
        hub.put(REPO, "main", THEIRS)
        before = hub.branches(REPO)[branch]
        assert [store.push(branch, OURS).before for _ in range(2)] == [before, ""]


def test_repo_that_is_not_there_is_empty_or_one_sentence(
    store: HubStore, hub: WatchedHub, caplog: pytest.LogCaptureFixture
) -> None:
    assert store.list() == []
    assert f"{REPO}: there is no such model repo" in caplog.text
    for read in (lambda: store.read(BRANCH), lambda: store.commits(must_exist=True)):
        with pytest.raises(HubError, match="expected a model repo that HF_TOKEN lets us read, got none") as caught:
            read()
        assert is_one_sentence(str(caught.value))
    hub.add_repo(REPO)
    with pytest.raises(MissingSnapshotError, match="there is no such branch; push it, or train it here") as missing:
        store.read(BRANCH)
    assert is_one_sentence(str(missing.value), BRANCH)


# Others


def _remove(hub: WatchedHub, branch: str) -> None:
    del hub._repos["model", REPO].branches[branch]


SOMEONE_ELSE: dict[str, tuple[bool, str, Callable[[WatchedHub], object]]] = {
    "makes repo and branch": (False, "/repos/create", lambda hub: publish(hub, {DATE: THEIRS})),
    "makes the branch": (False, f"/branch/{BRANCH}", lambda hub: hub.put(REPO, BRANCH, THEIRS)),
    "commits on the new branch": (False, "/commit/", lambda hub: hub.put(REPO, BRANCH, THEIRS)),
    "removes the new branch": (False, "/commit/", lambda hub: _remove(hub, BRANCH)),
    "commits": (True, "/commit/", lambda hub: hub.put(REPO, BRANCH, {"theirs.txt": b"theirs"})),
    "commits the same": (True, "/commit/", lambda hub: hub.put(REPO, BRANCH, OURS)),
    "removes the branch": (True, "/commit/", lambda hub: _remove(hub, BRANCH)),
}
"""What another one does, before which request, to a branch that is there or is not."""


@pytest.mark.parametrize("what", SOMEONE_ELSE)
def test_someone_else_is_faster(what: str, store: HubStore, hub: WatchedHub) -> None:
    there, match, act = SOMEONE_ELSE[what]
    if there:
        publish(hub, {DATE: {**THEIRS, "config.json": OURS["config.json"]}})
    acted = []
    hub.before(match, lambda: acted.append(act(hub)))
    copy = store.push(BRANCH, OURS)
    assert copy.changed
    assert len(acted) == 1
    assert hub.files(REPO, BRANCH) == OURS
    assert hub.branches(REPO)[BRANCH] == copy.commit
    assert set(hub.branches(REPO)) == {"main", BRANCH}


# Strangers


def refusal(hub: WatchedHub, files: Files) -> str:
    """Put files on the branch and read it; gives the sentence."""
    publish(hub, {DATE: files})
    hub.forget()
    with pytest.raises(RefusedSnapshotError) as caught:
        open_store(hub).read(BRANCH)
    assert str(caught.value).startswith(f"{REPO}@{BRANCH}/")
    assert str(caught.value).endswith("; do not use this snapshot: train one with brain-assets backfill.")
    assert "\n" not in str(caught.value)
    return str(caught.value)


@pytest.mark.parametrize("name", ["../x", "/etc/passwd", "extra.py", "sub/weights.pt"])
def test_file_of_any_other_name_is_refused_before_anything_is_read(hub: WatchedHub, name: str) -> None:
    assert f"{name!r}: expected no files but {', '.join(FILES)}" in refusal(hub, {**OURS, name: b"!"})
    assert not hub.asked("/resolve/")


def test_links_are_refused_and_housekeeping_of_the_hub_is_not(hub: WatchedHub, store: HubStore) -> None:
    assert f"{BRANCH}/weights.pt: expected " in refusal(hub, {**OURS, "weights.pt": Symlink(b"/etc/passwd")})
    assert "'elsewhere': expected no files but" in refusal(hub, {**OURS, "elsewhere": Symlink(b"/etc")})
    publish(hub, {DATE: {**OURS, ".gitattributes": b"*.pt filter=lfs"}})
    assert store.read(BRANCH) == OURS


@pytest.mark.parametrize(("name", "claim"), [("weights.pt", 10**12), (MANIFEST, 10**9), ("README.md", 10**10)])
def test_files_that_are_too_large_are_refused_before_they_are_read(
    hub: WatchedHub, store: HubStore, name: str, claim: int
) -> None:
    publish(hub, {DATE: OURS})
    hub.claim_size(REPO, BRANCH, name, claim)
    with pytest.raises(RefusedSnapshotError, match=rf"{name}: expected at most [\d,]+ bytes, got {claim:,}"):
        store.read(BRANCH)
    assert not hub.asked("/resolve/")


def test_an_answer_without_end_is_not_read_to_its_end(
    hub: WatchedHub, store: HubStore, monkeypatch: pytest.MonkeyPatch
) -> None:
    publish(hub, {DATE: OURS})
    iter_bytes = httpx2.Response.iter_bytes

    def endless(response: httpx2.Response, chunk_size: int | None = None) -> Iterator[bytes]:
        if "/resolve/" not in str(response.url):
            yield from iter_bytes(response, chunk_size)
            return
        for _ in range(1000):
            yield b"x" * 1000
        raise AssertionError("it is read on and on")

    monkeypatch.setattr(httpx2.Response, "iter_bytes", endless)
    with pytest.raises(HubUnavailableError, match=f"other bytes than those of {MANIFEST}"):
        store.read(BRANCH)


@pytest.mark.parametrize(
    ("change", "words"),
    [
        (lambda m: m.update(family="patchtst"), "metadata.json: expected family lstm, got 'patchtst'"),
        (lambda m: m.update(market="live"), "metadata.json: expected market simulator, got 'live'"),
        # the branch of a push that died holds what `main` does
        (lambda m: m.update(version="v2019-12-31-0123456789ab"), "metadata.json: expected version to be absent"),
        (lambda m: m["data"].update(last_session="2020-01-02"), "on or before the cut-off 2019-12-31"),
    ],
)
def test_model_that_is_not_what_its_branch_is_named_after_is_refused(
    hub: WatchedHub, files: Files, tmp_path: Path, change: Callable[[dict], object], words: str
) -> None:
    metadata = json.loads(files[MANIFEST])
    change(metadata)
    publish(hub, {DATE: build({name: files[name] for name in PAYLOAD}, metadata)})
    address = HubAddress(REPO, SecretStr(TOKEN), hub.endpoint)
    storage = SnapshotLocalStorage("lstm", tmp_path, address, QUICK, market="simulator")
    with pytest.raises(RefusedSnapshotError) as caught:
        storage.download_snapshot_from_hf(DATE)
    assert is_one_sentence(str(caught.value), f"{REPO}@{BRANCH}/", words)
    assert storage.sync_all_hf_to_local() == storage.list_snapshots() == []
    assert not storage.ensure_snapshot_available(DATE)


def test_snapshot_is_read_from_the_hub_into_a_notebook(
    hub: WatchedHub, files: Files, trained: ModelSnapshot, monkeypatch: pytest.MonkeyPatch
) -> None:
    publish(hub, {DATE: files, cutoff_of_year(2030): files})
    monkeypatch.setattr("huggingface_hub.constants.ENDPOINT", hub.endpoint)  # HF_ENDPOINT is read once
    assert ModelSnapshot.from_hub(REPO, revision=BRANCH).files == trained.files
    hub.forget()
    assert ModelSnapshot.from_hub(REPO, revision=BRANCH, token=READ_TOKEN).files == trained.files
    assert hub.requests[0].headers["authorization"] == f"Bearer {READ_TOKEN}"
    with pytest.raises(HubError, match="printable ASCII") as caught:
        ModelSnapshot.from_hub(REPO, revision=BRANCH, token=f"{TOKEN}\n")
    assert TOKEN not in repr(caught.value)
    for repo, revision, words in (
        ("a/b/c", BRANCH, "expected a model repo of the Hub, user/name, got"),
        ("https://hub/user/lstm", BRANCH, "expected a model repo of the Hub, user/name, got"),
        (REPO, "latest", r"expected a branch such as snapshot-2020-12-31, .*, got 'latest'"),
        (REPO, "snapshot-2001-12-31", r"user/lstm@snapshot-2001-12-31: expected a snapshot on the Hub"),
        (REPO, "snapshot-2030-12-31", "expected cutoff_date 2030-12-31"),
    ):
        with pytest.raises(HubError if "model repo" in words else SnapshotError, match=words):
            ModelSnapshot.from_hub(repo, revision=revision)
