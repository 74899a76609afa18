"""That the real client works with the loopback hub, and that each of its faults really happens."""

import os
import threading
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from brain_assets_tests.loopback_hub import Fault, LoopbackHub, Symlink

REPO = "user/lstm"
BRANCH = "snapshot-2019-12-31"
WEIGHTS = bytes(range(256)) * 40
SCALER = b"\x80\x04" + b"pickled" * 20
FILES = {"weights.pt": WEIGHTS, "sub/scaler.pkl": SCALER, "config.json": b'{"window": 20}\n', "notes.txt": b"notes\n"}


@pytest.fixture(autouse=True)
def _plain_client(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """No Xet, no telemetry, and nothing written outside `tmp_path`."""
    from huggingface_hub import constants
    from huggingface_hub.utils import disable_progress_bars

    disable_progress_bars()
    monkeypatch.setattr(constants, "HF_HUB_DISABLE_XET", True)
    monkeypatch.setattr(constants, "HF_HUB_DISABLE_TELEMETRY", True)
    monkeypatch.setattr(constants, "HF_HUB_CACHE", str(tmp_path / "cache"))
    monkeypatch.setattr(constants, "HF_TOKEN_PATH", str(tmp_path / "token"))


@pytest.fixture
def hub() -> Iterator[LoopbackHub]:
    with LoopbackHub() as hub:
        yield hub


def client(hub: LoopbackHub, token: str | bool = "hf_write") -> Any:
    from huggingface_hub import HfApi

    return HfApi(endpoint=hub.endpoint, token=token)


def push(hub: LoopbackHub, files: dict[str, bytes], delete: tuple[str, ...] = (), **options: Any) -> Any:
    from huggingface_hub import CommitOperationAdd, CommitOperationDelete

    operations = [CommitOperationAdd(path, content) for path, content in files.items()]
    operations += [CommitOperationDelete(path) for path in delete]
    return client(hub).create_commit(REPO, operations, commit_message="Push", revision=BRANCH, **options)


@pytest.fixture
def snapshot(hub: LoopbackHub) -> LoopbackHub:
    """A hub with a repository and a branch of files."""
    hub.add_repo(REPO)
    hub.put(REPO, BRANCH, FILES, "Put")
    return hub


def lines(hub: LoopbackHub) -> list[str]:
    return [f"{request.method} {request.path}" for request in hub.requests]


def test_a_push_and_a_pull(hub: LoopbackHub, tmp_path: Path) -> None:
    api = client(hub)
    for _ in range(2):
        assert api.create_repo(REPO, exist_ok=True).repo_id == REPO
    api.create_branch(REPO, branch=BRANCH)
    parent = hub.branches(REPO)[BRANCH]
    commit = push(hub, FILES, (".gitattributes",), parent_commit=parent)
    assert push(hub, FILES).oid == commit.oid  # what is the same is not committed again
    assert hub.files(REPO, BRANCH) == FILES
    assert list(hub.files(REPO, "main")) == [".gitattributes"]
    assert [(c.oid, c.parent, c.message) for c in hub.commits(REPO, BRANCH)] == [
        (commit.oid, parent, "Push"),
        (parent, None, "initial commit"),
    ]
    assert {ref.name: ref.target_commit for ref in api.list_repo_refs(REPO).branches} == hub.branches(REPO)
    info = api.model_info(REPO, revision=BRANCH, files_metadata=True)
    assert (info.sha, {file.rfilename: file.size for file in info.siblings}) == (
        commit.oid,
        {path: len(content) for path, content in FILES.items()},
    )
    assert Path(api.hf_hub_download(REPO, "weights.pt", revision=BRANCH, local_dir=tmp_path)).read_bytes() == WEIGHTS
    push(hub, {"weights.pt": b"\0new"}, ("sub/",))
    assert set(hub.files(REPO, BRANCH)) == {"weights.pt", "config.json", "notes.txt"}
    api.delete_branch(REPO, branch=BRANCH)
    assert list(hub.branches(REPO)) == ["main"]


def test_binary_files_go_by_lfs_and_the_token_stays_at_the_hub(snapshot: LoopbackHub, tmp_path: Path) -> None:
    push(snapshot, {"new.pt": b"\0\1", "new.json": b"{}"})
    client(snapshot).hf_hub_download(REPO, "new.pt", revision=BRANCH, local_dir=tmp_path)
    assert [line.split("/")[-1] if "lfs" not in line else line[:9] for line in lines(snapshot)] == [
        BRANCH,
        "POST /use",
        "PUT /lfs/",
        "POST /use",
        BRANCH,
        "new.pt",
        "GET /lfs/",
    ]
    for request in snapshot.requests:
        assert ("authorization" in request.headers) != request.path.startswith("/lfs/")
    assert [request.index for request in snapshot.requests] == list(range(7))


def test_what_is_not_there(snapshot: LoopbackHub, tmp_path: Path) -> None:
    from huggingface_hub.errors import RemoteEntryNotFoundError, RepositoryNotFoundError, RevisionNotFoundError

    api = client(snapshot)
    for error, ask in (
        (RepositoryNotFoundError, lambda: api.list_repo_refs("user/none")),
        (RevisionNotFoundError, lambda: api.model_info(REPO, revision="none")),
        (RemoteEntryNotFoundError, lambda: api.hf_hub_download(REPO, "none", local_dir=tmp_path)),
        (RemoteEntryNotFoundError, lambda: push(snapshot, {}, ("none",))),
    ):
        with pytest.raises(error):
            ask()


def status(error: pytest.ExceptionInfo[Any]) -> int:
    return error.value.response.status_code


def test_conflicts(snapshot: LoopbackHub) -> None:
    from huggingface_hub.errors import HfHubHTTPError

    api = client(snapshot)
    for code, ask in (
        (409, lambda: api.create_repo(REPO)),
        (409, lambda: api.create_branch(REPO, branch=BRANCH)),
        (412, lambda: push(snapshot, {"a": b"a"}, parent_commit="0" * 40)),
    ):
        with pytest.raises(HfHubHTTPError) as error:
            ask()
        assert status(error) == code


def test_rights(snapshot: LoopbackHub) -> None:
    from huggingface_hub.errors import HfHubHTTPError

    for token, read, write in (("hf_read", None, 403), (False, None, 401), ("hf_other", 401, 401)):
        api = client(snapshot, token)
        with pytest.raises(HfHubHTTPError) as error:
            api.create_branch(REPO, branch="new")
        assert status(error) == write
        if read is None:
            api.list_repo_refs(REPO)
        else:
            with pytest.raises(HfHubHTTPError) as error:
                api.list_repo_refs(REPO)
            assert status(error) == read


def test_hostile_entries(snapshot: LoopbackHub) -> None:
    names = {"../x": b"x", "/abs": b"x", "a\\..\\b": b"x", "link": Symlink(b"../../etc/passwd")}
    snapshot.put(REPO, BRANCH, {**FILES, **names})
    snapshot.claim_size(REPO, BRANCH, "weights.pt", 10**15)
    info = client(snapshot).model_info(REPO, revision=BRANCH, files_metadata=True)
    sizes = {file.rfilename: file.size for file in info.siblings}
    assert set(names) <= set(sizes)
    assert sizes["weights.pt"] == 10**15


def test_someone_else_is_faster(snapshot: LoopbackHub) -> None:
    from huggingface_hub.errors import HfHubHTTPError

    snapshot.before("POST /api/models/user/lstm/branch/", lambda: snapshot.put(REPO, "new", {"theirs": b""}))
    with pytest.raises(HfHubHTTPError) as error:
        client(snapshot).create_branch(REPO, branch="new")
    assert status(error) == 409
    assert snapshot.files(REPO, "new") == {"theirs": b""}


@pytest.mark.parametrize("kind", ["401", "403", "404", "429", "500", "503", "echo token"])
def test_an_error_status(snapshot: LoopbackHub, kind: str) -> None:
    from huggingface_hub.errors import HfHubHTTPError

    snapshot.fail(Fault(kind, match="/branch/", at=1, retry_after=7))
    api = client(snapshot)
    api.create_branch(REPO, branch="before")
    with pytest.raises(HfHubHTTPError) as error:
        api.create_branch(REPO, branch="new")
    assert status(error) == (500 if kind == "echo token" else int(kind))
    assert error.value.response.headers.get("Retry-After") == ("7" if kind == "429" else None)
    assert ("hf_write" in str(error.value)) == (kind == "echo token")
    assert "new" not in snapshot.branches(REPO)
    api.create_branch(REPO, branch="new")
    assert lines(snapshot) == [f"POST /api/models/{REPO}/branch/{name}" for name in ("before", "new", "new")]


def test_every_request_of_a_push_can_fail(snapshot: LoopbackHub) -> None:
    push(snapshot, {"weights.pt": b"\0first"})
    number = len(snapshot.requests)
    assert number == 5
    for index in range(number):
        snapshot.clear_faults()
        snapshot.forget()
        snapshot.fail(Fault("403", at=index))
        with pytest.raises((OSError, RuntimeError)):
            push(snapshot, {"weights.pt": b"\0%d" % index})
        assert len(snapshot.requests) == index + 1
        assert len(snapshot.commits(REPO, BRANCH)) == 2


def test_a_download_is_dropped(snapshot: LoopbackHub, tmp_path: Path) -> None:
    import httpx2

    snapshot.fail(Fault("drop", match="GET /lfs/"))
    with pytest.raises(httpx2.ReadError):
        client(snapshot).hf_hub_download(REPO, "weights.pt", revision=BRANCH, local_dir=tmp_path)


def test_an_upload_is_dropped(snapshot: LoopbackHub) -> None:
    import httpx2

    snapshot.fail(Fault("drop", match=f"POST /api/models/{REPO}/commit/"))
    with pytest.raises(httpx2.NetworkError):
        push(snapshot, {"notes.txt": os.urandom(1000).hex().encode() * 1000})
    assert snapshot.files(REPO, BRANCH) == FILES


def test_a_download_is_cut_and_the_client_tries_again(snapshot: LoopbackHub, tmp_path: Path) -> None:
    snapshot.fail(Fault("truncate", match="GET /lfs/"))
    path = client(snapshot).hf_hub_download(REPO, "weights.pt", revision=BRANCH, local_dir=tmp_path)
    assert Path(path).read_bytes() == WEIGHTS
    assert [line[:9] for line in lines(snapshot)][1:] == ["GET /lfs/"] * 2


def test_the_answer_to_a_commit_is_cut(snapshot: LoopbackHub) -> None:
    import httpx2

    snapshot.fail(Fault("truncate", match="/commit/"))
    with pytest.raises(httpx2.RemoteProtocolError):
        push(snapshot, {"notes.txt": b"other\n"})
    assert snapshot.files(REPO, BRANCH)["notes.txt"] == b"other\n"


def test_wrong_bytes(snapshot: LoopbackHub, tmp_path: Path) -> None:
    snapshot.fail(Fault("wrong bytes", match="GET /lfs/"), Fault("wrong bytes", match="PUT /lfs/", times=None))
    path = client(snapshot).hf_hub_download(REPO, "weights.pt", revision=BRANCH, local_dir=tmp_path)
    wrong = [i for i, (a, b) in enumerate(zip(Path(path).read_bytes(), WEIGHTS, strict=True)) if a != b]
    assert wrong == [len(WEIGHTS) // 2]
    with pytest.raises(RuntimeError, match=r"Error while uploading 'weights\.pt'"):
        push(snapshot, {"weights.pt": b"\0new"})
    snapshot.fail(Fault("wrong bytes", match="/refs"))
    with pytest.raises(TypeError):
        client(snapshot).list_repo_refs(REPO)


def test_silence(snapshot: LoopbackHub) -> None:
    import httpx2

    snapshot.fail(Fault("silence", match="/refs", seconds=0.3))
    start = time.monotonic()
    with pytest.raises(httpx2.RemoteProtocolError):
        client(snapshot).list_repo_refs(REPO)
    assert 0.25 < time.monotonic() - start < 5


def test_silence_ends_with_the_hub() -> None:
    import httpx2

    with LoopbackHub() as hub:
        hub.add_repo(REPO)
        hub.fail(Fault("silence"))
        errors: list[Exception] = []

        def ask() -> None:
            try:
                client(hub).list_repo_refs(REPO)
            except httpx2.HTTPError as error:
                errors.append(error)

        thread = threading.Thread(target=ask)
        thread.start()
        while not hub.requests:
            time.sleep(0.01)
        start = time.monotonic()
    thread.join(5)
    assert len(errors) == 1
    assert time.monotonic() - start < 2


def test_latency() -> None:
    with LoopbackHub(latency=0.2) as hub:
        hub.add_repo(REPO)
        start = time.monotonic()
        client(hub).list_repo_refs(REPO)
        assert time.monotonic() - start >= 0.2
