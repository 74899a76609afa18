"""The token of the Hub is seen nowhere but in the requests to it: no log, no error, no file, no list of processes."""

import logging
import os
import subprocess
import sys
import traceback
from collections.abc import Iterator
from pathlib import Path

import pytest

from brain_assets.errors import BrainAssetsError, HubError, HubUnavailableError
from brain_assets.graph.snapshots import publish as publish_snapshot
from brain_assets.store.hub_client import HubAddress
from brain_assets.store.storage import SnapshotLocalStorage
from brain_assets_tests.conftest import FAMILIES
from brain_assets_tests.loopback_hub import Answer, Fault, Refusal, Request
from brain_assets_tests.store.hubs import (
    BRANCH,
    DATE,
    KINDS,
    REPO,
    TOKEN,
    Files,
    WatchedHub,
    bind,
    fault,
    fill,
    is_one_sentence,
    publish,
)

pytestmark = pytest.mark.filterwarnings("ignore:Use 'content=:DeprecationWarning")  # of the library, at every upload

SECRET = TOKEN.removeprefix("hf_write")
STATUSES = (400, 401, 403, 404, 412, 500)


class EchoingHub(WatchedHub):
    """Answers every request from the `at`-th on with a status and with words that repeat the token."""

    def __init__(self, status: int, at: int = 0) -> None:
        super().__init__()
        self._status, self._at = status, at

    def answer(self, request: Request, body: bytes) -> Answer:
        if request.index < self._at:
            return super().answer(request, body)
        known = request.headers.get("authorization", TOKEN)  # the storage gets none, and might know it nevertheless
        return Refusal(self._status, f"we do not like {known}").answer


class Logs(logging.Handler):
    """Keeps all records of all loggers: the logger's name, and the text with its traceback."""

    def __init__(self) -> None:
        super().__init__(logging.DEBUG)
        self.said: list[tuple[str, str]] = []

    def emit(self, record: logging.LogRecord) -> None:
        self.said.append((record.name, self.format(record)))

    @property
    def libraries(self) -> set[str]:
        """Who said anything."""
        return {name.split(".")[0] for name, _ in self.said}

    @property
    def leaks(self) -> list[str]:
        """Give what shows the token.

        `httpcore2.http11` logs the headers of all answers at DEBUG, so also what a server repeats there: not ours.
        """
        echo = ("httpcore2.http11", "receive_response_headers.complete")
        return [
            text for name, text in self.said if SECRET in text and not (name == echo[0] and text.startswith(echo[1]))
        ]


@pytest.fixture
def logs(monkeypatch: pytest.MonkeyPatch) -> Iterator[Logs]:
    """All that is logged, with everybody at the most talkative."""
    import huggingface_hub

    monkeypatch.setattr("huggingface_hub.constants.HF_DEBUG", True)
    huggingface_hub.logging.set_verbosity_debug()
    handler = Logs()
    loggers = [logging.getLogger(name) for name in ("", "brain_assets", "httpx2", "httpcore2")]
    levels = [logger.level for logger in loggers]
    for logger in loggers:
        logger.setLevel(logging.DEBUG)
    loggers[0].addHandler(handler)
    yield handler
    loggers[0].removeHandler(handler)
    huggingface_hub.logging.set_verbosity_warning()
    for logger, level in zip(loggers, levels, strict=True):
        logger.setLevel(level)


def shown(error: BaseException) -> str:
    """Give all that Python shows of an error, with what it came from."""
    return "".join(traceback.format_exception(error)) + repr(error)


def written(*folders: Path) -> list[Path]:
    """List the files that hold the token."""
    files = [path for folder in folders for path in folder.rglob("*") if path.is_file()]
    assert files
    return [path for path in files if SECRET.encode() in path.read_bytes()]


@pytest.mark.parametrize("kind", KINDS)
def test_faults_show_no_token(
    kind: str,
    storage: SnapshotLocalStorage,
    empty: SnapshotLocalStorage,
    hub: WatchedHub,
    logs: Logs,
    tmp_path: Path,
    short_time_out: None,
) -> None:
    hub.fail(*(fault(kind, at=at) for at in (0, 5, 12, 29, 33)))
    storage.upload_snapshot_to_hf(DATE)
    empty.download_snapshot_from_hf(DATE)
    hub.fail(fault(kind, times=None))
    for act in (storage.upload_snapshot_to_hf, empty.download_snapshot_from_hf):
        with pytest.raises(HubUnavailableError) as caught:
            act(DATE)
        assert SECRET not in shown(caught.value)
    assert storage.list_pending() == [DATE]
    assert logs.leaks == []
    assert logs.libraries >= {"brain_assets", "httpx2", "httpcore2", "huggingface_hub"}
    assert written(tmp_path, Path(os.environ["HF_HOME"])) == []
    tokens = {request.headers.get("authorization") for request in hub.requests if "/lfs/" not in request.path}
    assert tokens == {f"Bearer {TOKEN}"}  # else nothing could be shown
    assert SECRET not in "".join(
        f"{line} {request.query}" for line, request in zip(hub.lines, hub.requests, strict=True)
    )


@pytest.mark.parametrize("status", STATUSES)
def test_words_of_the_hub_are_shown_without_the_token(status: int, files: Files, logs: Logs, tmp_path: Path) -> None:
    stars = 0
    for at in range(0, 14, 3):
        with EchoingHub(status, at) as hub:
            storage = fill(bind(tmp_path / f"push-{at}", hub), {DATE: files})
            with pytest.raises(HubError) as caught:
                storage.upload_snapshot_to_hf(DATE)
            assert SECRET not in shown(caught.value) + storage.hub_record(DATE).pending, at
            assert is_one_sentence(str(caught.value)), at
            stars += "we do not like Bearer ***" in str(caught.value)
    for at in range(0, 9, 3):
        with EchoingHub(status, at) as hub:
            publish(hub, {DATE: files})
            with pytest.raises(BrainAssetsError) as refused:
                bind(tmp_path / f"pull-{at}", hub).download_snapshot_from_hf(DATE)
            assert SECRET not in shown(refused.value), at
    assert stars > 0 or status == 500  # of which the words are not shown
    assert logs.leaks == []
    assert written(tmp_path) == []


def test_stored_token_is_not_shown_either(files: Files, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "token").write_text(TOKEN)  # as `hf auth login` does
    monkeypatch.setattr("huggingface_hub.constants.HF_TOKEN_PATH", str(tmp_path / "token"))
    with EchoingHub(403) as hub:
        storage = SnapshotLocalStorage("lstm", tmp_path / "models", HubAddress(REPO, None, hub.endpoint))
        fill(storage, {DATE: files})
        with pytest.raises(HubError, match=r"we do not like Bearer \*\*\*"):
            storage.upload_snapshot_to_hf(DATE)
        assert hub.requests[0].headers["authorization"] == f"Bearer {TOKEN}"
    assert written(tmp_path / "models") == []


def test_neither_objects_that_know_the_token_nor_a_run_show_it(files: Files, tmp_path: Path, logs: Logs) -> None:
    with EchoingHub(403, at=4) as hub:
        storage = fill(bind(tmp_path, hub), {DATE: files})
        repo = storage.repo
        for thing in (storage, storage.hub, repo, repo._client, repo._client.api, storage.hub_record(DATE)):
            assert SECRET not in f"{thing!r} {thing}"
        state = publish_snapshot(storage, lambda: storage.upload_snapshot_to_hf(DATE))
    assert state is not None
    assert state.metadata["hub"] == "pending"
    assert "we do not like Bearer ***" in str(state.metadata["hub_reason"])
    assert SECRET not in repr(state.metadata)
    assert any(text.startswith("hub: pending: ") for name, text in logs.said if name == "brain_assets")
    assert logs.leaks == []


def command_lines() -> dict[int, str]:
    """Give what a list of processes shows."""
    found = {}
    for path in Path("/proc").glob("[0-9]*/cmdline"):
        try:
            found[int(path.parent.name)] = path.read_bytes().replace(b"\0", b" ").decode(errors="replace")
        except OSError:  # it has just ended
            continue
    return found


class Command:
    """Runs `brain-assets` with a Hub; what it said, and what a list of processes showed meanwhile."""

    def __init__(self, hub: WatchedHub, data: Path, *arguments: str) -> None:
        repos = {f"HF_{family.upper()}_MODEL_REPO": f"user/{family}" for family in FAMILIES}
        environment = {
            **os.environ,
            **repos,
            "STORAGE_BACKEND": "hf",
            "HF_TOKEN": TOKEN,
            "HF_ENDPOINT": hub.endpoint,
            "HF_HOME": str(data / "home"),
            "BRAIN_DATA_DIR": str(data),
        }
        self.processes: dict[int, str] = {}
        hub.before("/refs", lambda: self.processes.update(command_lines()))
        command = [sys.executable, "-c", "from brain_assets.cli import main; main()", *arguments]
        with subprocess.Popen(
            command, env=environment, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True
        ) as process:
            self.output, self.errors = process.communicate()
            self.code = process.returncode
        assert " ".join(arguments) in self.processes[process.pid]

    @property
    def leaks(self) -> list[str]:
        """Whatever shows the token."""
        return [text for text in (self.output, self.errors, *self.processes.values()) if SECRET in text]


@pytest.fixture
def data(tmp_path: Path, files: Files) -> Path:
    """A data folder that holds one snapshot."""
    fill(SnapshotLocalStorage("lstm", tmp_path / "data" / "models"), {DATE: files})
    return tmp_path / "data"


def test_commands_show_no_token(hub: WatchedHub, data: Path, files: Files) -> None:
    """Under faults that pass, where the Hub refuses in the middle or at once, and of what is pending."""
    with EchoingHub(403, at=5) as echoing:
        failed = Command(echoing, data, "sync", "push", "--family", "lstm")
    assert failed.code == 1
    assert f"{BRANCH} failed: {REPO}: expected the right to" in failed.output
    assert "we do not like Bearer ***" in failed.output
    with WatchedHub() as empty:
        status = Command(empty, data, "sync", "status", "--family", "lstm")
    assert status.code == 0
    assert "hub: pending: user/lstm: expected the right to" in " ".join(status.output.split())
    with EchoingHub(401) as echoing:
        refused = Command(echoing, data, "sync", "pull", "--family", "lstm")
    assert refused.code == 2
    assert refused.errors.startswith("error: user/lstm: expected a token that the Hub accepts")
    assert refused.errors.count("\n") == 1
    hub.add_repo(REPO)
    hub.fail(Fault("echo token", "/preupload/"), Fault("drop", "/commit/"))
    pushed = Command(hub, data, "sync", "push", "--family", "lstm")
    assert (pushed.code, pushed.errors) == (0, "")
    assert f"lstm     {BRANCH} pushed" in pushed.output
    assert hub.files(REPO, BRANCH) == files
    for command in (failed, status, refused, pushed):
        assert command.leaks == []
    assert written(data) == []
