"""What only a Hub has: repos, branches, tokens, others who push, strangers' files. See `test_stores` too."""

import json
import logging
import os
import subprocess
import sys
import traceback
from collections.abc import Callable, Iterator
from pathlib import Path

import httpx2
import pytest

from brain_assets.errors import BrainAssetsError, HubError, MissingSnapshotError, RefusedSnapshotError, SnapshotError
from brain_assets.graph.io_managers import publish as publish_snapshot
from brain_assets.store.hub import HubAddress, HubStore
from brain_assets.store.manifest import FILES, MANIFEST, PAYLOAD, build
from brain_assets.store.names import cutoff_of_year
from brain_assets.store.snapshot import ModelSnapshot
from brain_assets.store.storage import SnapshotLocalStorage
from brain_assets_tests.loopback_hub import READ_TOKEN, TOKEN, Fault, Files, LoopbackHub
from brain_assets_tests.store.hubs import BRANCH, DATE, REPO, bind, fill, is_one_sentence, made_up, open_store, publish

pytestmark = pytest.mark.filterwarnings("ignore:Use 'content=:DeprecationWarning")  # of the library, at every upload

OURS, THEIRS = made_up(1), made_up(2)
SECRET = TOKEN.removeprefix("hf_write")


@pytest.fixture
def store(hub: LoopbackHub) -> HubStore:
    return open_store(hub)


# What a push makes


def test_first_push_makes_a_private_repo_and_a_branch_of_exactly_the_files(store: HubStore, hub: LoopbackHub) -> None:
    copy = store.write(BRANCH, OURS)
    assert [(repo["organization"], repo["name"], repo["visibility"]) for repo in hub.created] == [
        ("user", "lstm", "private")
    ]
    assert set(hub.branches(REPO)) == {"main", BRANCH}
    assert hub.files(REPO, BRANCH) == OURS
    assert list(hub.files(REPO, "main")) == [".gitattributes"]
    assert hub.commits(REPO, BRANCH) == [copy.commit, hub.branches(REPO)["main"]]
    assert (copy.changed, copy.before, copy.url) == (True, "", f"{hub.endpoint}/{REPO}/tree/{BRANCH}")


@pytest.mark.parametrize("branch", [BRANCH, "main"])
def test_a_push_is_one_commit_that_removes_what_else_a_branch_holds_and_names_what_it_replaces(
    store: HubStore, hub: LoopbackHub, branch: str
) -> None:
    hub.put(REPO, "main", {**THEIRS, "notes.txt": b"notes", "sub/x": b"x"})
    before = hub.put(REPO, branch, {**THEIRS, "old.bin": b"\0", "sub/notes.txt": b"notes"}).oid
    copy = store.write(branch, OURS)
    assert hub.files(REPO, branch) == OURS == store.read(branch)
    assert hub.commits(REPO, branch)[:2] == [copy.commit, before]
    assert (copy.before, store.write(branch, OURS).before) == (before, "")
    store.write("snapshot-2030-12-31", OURS)  # a new branch holds nothing of main
    assert hub.files(REPO, "snapshot-2030-12-31") == OURS


@pytest.mark.slow
def test_xet_is_never_asked(hub: LoopbackHub, tmp_path: Path) -> None:
    """It has no time-out, and goes on for minutes."""
    pytest.importorskip("hf_xet")
    code = (
        "import sys; from brain_assets_tests.store.test_hub import OURS, BRANCH, open_store;"
        "open_store(sys.argv[1]).write(BRANCH, OURS)"
    )
    done = subprocess.run(
        [sys.executable, "-W", "ignore", "-c", code, hub.endpoint],
        capture_output=True,
        text=True,
        env={**os.environ, "HF_HOME": str(tmp_path), "HF_HUB_DISABLE_XET": "0"},
        check=False,
    )
    assert (done.returncode, done.stderr) == (0, "")
    assert hub.files(REPO, BRANCH) == OURS
    assert hub.asked("/xet-write-token/") == 0


# What it is told


@pytest.mark.parametrize(
    ("endpoint", "token", "words"),
    [
        ("", "hf_wrong", ("a token that the Hub accepts", "set HF_TOKEN to a valid one")),
        ("http://127.0.0.1:9", TOKEN, ("http://127.0.0.1:9", "the connection failed", "try again later")),
        ("offline", TOKEN, ("got: HF_HUB_OFFLINE=1; unset it, or set STORAGE_BACKEND=local",)),
        *((endpoint, TOKEN, ()) for endpoint in ("ftp://127.0.0.1", "http://")),
    ],
)
def test_hub_that_cannot_be_asked_is_one_sentence(
    hub: LoopbackHub, endpoint: str, token: str, words: tuple[str, ...],
    monkeypatch: pytest.MonkeyPatch,
) -> None:  # fmt: skip
    hub.add_repo(REPO)
    if endpoint == "offline":
        monkeypatch.setattr("huggingface_hub.constants.HF_HUB_OFFLINE", True)
    store = open_store(endpoint if ":" in endpoint else hub, token)
    for call in (lambda: store.write(BRANCH, OURS), lambda: store.read(BRANCH), store.list):
        with pytest.raises(HubError) as caught:
            call()
        assert is_one_sentence(str(caught.value), *words)


def test_repo_that_is_not_there_is_empty_or_one_sentence(
    store: HubStore, hub: LoopbackHub, caplog: pytest.LogCaptureFixture
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


# Strangers


def test_file_of_any_other_name_is_refused_before_anything_is_read(hub: LoopbackHub, store: HubStore) -> None:
    for name in ("../x", "/etc/passwd", "extra.py", "sub/weights.pt"):
        publish(hub, {DATE: {**OURS, name: b"!"}})
        with pytest.raises(RefusedSnapshotError) as caught:
            store.read(BRANCH)
        assert is_one_sentence(str(caught.value), f"{BRANCH}/{name!r}: expected no files but {', '.join(FILES)}")
        assert str(caught.value).endswith("; do not use this snapshot: train one with brain-assets backfill.")
    assert not hub.asked("/resolve/")
    publish(hub, {DATE: {**OURS, ".gitattributes": b"*.pt filter=lfs"}})  # housekeeping of the Hub
    assert store.read(BRANCH) == OURS


def test_files_that_are_too_large_are_refused_before_they_are_read(hub: LoopbackHub, store: HubStore) -> None:
    publish(hub, {DATE: OURS})
    for name, claim in (("weights.pt", 10**12), (MANIFEST, 10**9), ("README.md", 10**10)):
        hub.claims = {name: claim}
        with pytest.raises(RefusedSnapshotError, match=rf"{name}: expected at most [\d,]+ bytes, got {claim:,}"):
            store.read(BRANCH)
    assert not hub.asked("/resolve/")


def test_answer_without_end_is_not_read_to_its_end(
    hub: LoopbackHub, store: HubStore, monkeypatch: pytest.MonkeyPatch
) -> None:
    publish(hub, {DATE: OURS})
    iter_bytes = httpx2.Response.iter_bytes

    def endless(response: httpx2.Response, chunk_size: int | None = None) -> Iterator[bytes]:
        if "/resolve/" not in str(response.url) or response.is_redirect:
            yield from iter_bytes(response, chunk_size)
            return
        for _ in range(20):
            yield b"x" * 2**20
        raise AssertionError("it is read on and on")

    monkeypatch.setattr(httpx2.Response, "iter_bytes", endless)
    with pytest.raises(RefusedSnapshotError, match=r"^user/lstm@snapshot-2019-12-31/\S+: expected "):
        store.read(BRANCH)


@pytest.mark.parametrize(
    ("change", "words"),
    [
        (lambda m: m.update(family="patchtst"), "metadata.json: expected family lstm, got 'patchtst'"),
        (lambda m: m.update(cutoff_date="2020-12-31"), "expected cutoff_date 2019-12-31, got '2020-12-31'"),
        (lambda m: m.update(market="live"), "metadata.json: expected market simulator, got 'live'"),
        # the branch of a push that died holds what `main` does
        (lambda m: m.update(version="v2019-12-31-0123456789ab"), "metadata.json: expected version to be absent"),
        (lambda m: m["data"].update(last_session="2020-01-02"), "on or before the cut-off 2019-12-31"),
    ],
)
def test_model_that_is_not_what_its_branch_is_named_after_is_refused(
    hub: LoopbackHub, files: Files, tmp_path: Path, change: Callable[[dict], object], words: str
) -> None:
    metadata = json.loads(files[MANIFEST])
    change(metadata)
    publish(hub, {DATE: build({name: files[name] for name in PAYLOAD}, metadata)})
    storage = bind(tmp_path, hub, market="simulator")
    with pytest.raises(RefusedSnapshotError) as caught:
        storage.download_snapshot_from_hf(DATE)
    assert is_one_sentence(str(caught.value), f"{REPO}@{BRANCH}/", words)
    assert storage.sync_all_hf_to_local() == storage.list_snapshots() == []
    assert not storage.ensure_snapshot_available(DATE)


def test_snapshot_is_read_from_the_hub_into_a_notebook(
    hub: LoopbackHub, files: Files, trained: ModelSnapshot, monkeypatch: pytest.MonkeyPatch
) -> None:
    publish(hub, {DATE: files, cutoff_of_year(2030): files})
    monkeypatch.setattr("huggingface_hub.constants.ENDPOINT", hub.endpoint)  # HF_ENDPOINT is read once
    assert ModelSnapshot.from_hub(REPO, revision=BRANCH).files == trained.files
    hub.requests.clear()
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


# The token is seen nowhere but in the requests to the Hub: no log, no error, no file; see `cli.test_sync`


@pytest.fixture
def logged(monkeypatch: pytest.MonkeyPatch) -> Iterator[list[str]]:
    """All that is logged, with everybody at the most talkative, but what a server repeats in its headers."""
    import huggingface_hub

    said: list[str] = []

    class Keeper(logging.Handler):
        def emit(self, record: logging.LogRecord) -> None:
            text = self.format(record)
            if not text.startswith("receive_response_headers.complete"):
                said.append(f"{record.name}: {text}")

    monkeypatch.setattr("huggingface_hub.constants.HF_DEBUG", True)
    huggingface_hub.logging.set_verbosity_debug()
    handler, names = Keeper(logging.DEBUG), ("", "brain_assets", "httpx2", "httpcore2")
    levels = {name: logging.getLogger(name).level for name in names}
    for name in names:
        logging.getLogger(name).setLevel(logging.DEBUG)
    logging.getLogger().addHandler(handler)
    yield said
    logging.getLogger().removeHandler(handler)
    huggingface_hub.logging.set_verbosity_warning()
    for name, level in levels.items():
        logging.getLogger(name).setLevel(level)


@pytest.mark.parametrize("kind", ["503", "drop", "wrong bytes", "echo 400", "echo 403", "echo 404", "echo 500"])
def test_no_fault_shows_the_token(
    kind: str, storage: SnapshotLocalStorage, hub: LoopbackHub, files: Files, logged: list[str], tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:  # fmt: skip
    monkeypatch.setattr("time.sleep", lambda seconds: None)
    stars = 0
    for at in (0, 1, 4, 7):
        hub.repositories.clear()
        hub.objects.clear()
        for act in (storage.upload_snapshot_to_hf, storage.download_snapshot_from_hf):
            if act == storage.download_snapshot_from_hf:
                publish(hub, {DATE: files})
            hub.fail(Fault(kind, at=at, times=None))
            with pytest.raises(BrainAssetsError) as caught:
                act(DATE)
            hub.faults.clear()
            assert SECRET not in "".join(traceback.format_exception(caught.value)) + repr(caught.value)
            assert is_one_sentence(str(caught.value))
            stars += "cannot serve you, Bearer ***" in str(caught.value)
    assert (stars > 0) is kind.startswith("echo")
    assert not any(SECRET in text for text in logged)
    assert {text.split(".")[0].split(":")[0] for text in logged} >= {"brain_assets", "httpx2", "httpcore2"}
    paths = [path for folder in (tmp_path, Path(os.environ["HF_HOME"])) for path in folder.rglob("*") if path.is_file()]
    assert paths
    assert not any(SECRET.encode() in path.read_bytes() for path in paths)
    tokens = {request.headers.get("authorization") for request in hub.requests if "/lfs/" not in request.line}
    assert tokens == {f"Bearer {TOKEN}"}  # else nothing could be shown
    assert not any(SECRET in request.url for request in hub.requests)
    for thing in (storage, storage.hub, storage.repo, storage.repo._api):
        assert SECRET not in f"{thing!r} {thing}"


def test_a_stored_token_is_not_shown_either_nor_in_what_a_run_tells(
    hub: LoopbackHub, files: Files, tmp_path: Path, logged: list[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "token").write_text(TOKEN)  # as `hf auth login` does
    monkeypatch.setattr("huggingface_hub.constants.HF_TOKEN_PATH", str(tmp_path / "token"))
    hub.fail(Fault("echo 403", times=None))
    storage = SnapshotLocalStorage("lstm", tmp_path / "models", HubAddress(REPO, None, hub.endpoint))
    fill(storage, {DATE: files})
    metadata = publish_snapshot(storage, lambda: storage.upload_snapshot_to_hf(DATE))
    assert hub.requests[0].headers["authorization"] == f"Bearer {TOKEN}"
    assert metadata["hub"] == "failed"
    assert "cannot serve you, Bearer ***" in str(metadata["hub_reason"])
    assert any("hub: failed: " in text for text in logged)
    assert not any(SECRET in text for text in (*logged, str(metadata)))
