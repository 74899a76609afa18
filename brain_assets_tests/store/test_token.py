"""The token of the Hub is seen nowhere but in the requests to it: no log, no error, no file; see `cli.test_sync`."""

import logging
import os
import traceback
from collections.abc import Iterator
from pathlib import Path

import pytest

from brain_assets.errors import BrainAssetsError, HubError, HubUnavailableError
from brain_assets.graph.snapshots import publish as publish_snapshot
from brain_assets.store.hub_client import HubAddress
from brain_assets.store.storage import SnapshotLocalStorage
from brain_assets_tests.store.hubs import (
    DATE,
    REPO,
    TOKEN,
    EchoingHub,
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


@pytest.mark.parametrize("kind", ["503", "drop", "wrong bytes", "echo token"])
def test_faults_show_no_token(
    kind: str,
    storage: SnapshotLocalStorage,
    empty: SnapshotLocalStorage,
    hub: WatchedHub,
    logs: Logs,
    tmp_path: Path,
) -> None:
    hub.fail(*(fault(kind, at=at) for at in (0, 5, 12, 29, 33)))
    storage.upload_snapshot_to_hf(DATE)
    empty.download_snapshot_from_hf(DATE)
    hub.fail(fault(kind, times=None))
    for act in (storage.upload_snapshot_to_hf, empty.download_snapshot_from_hf):
        with pytest.raises(HubUnavailableError) as caught:
            act(DATE)
        assert SECRET not in shown(caught.value)
    assert logs.leaks == []
    assert logs.libraries >= {"brain_assets", "httpx2", "httpcore2", "huggingface_hub"}
    assert written(tmp_path, Path(os.environ["HF_HOME"])) == []
    tokens = {request.headers.get("authorization") for request in hub.requests if "/lfs/" not in request.path}
    assert tokens == {f"Bearer {TOKEN}"}  # else nothing could be shown
    assert SECRET not in "".join(
        f"{line} {request.query}" for line, request in zip(hub.lines, hub.requests, strict=True)
    )


@pytest.mark.parametrize("status", [400, 403, 404, 500])
def test_words_of_the_hub_are_shown_without_the_token(status: int, files: Files, logs: Logs, tmp_path: Path) -> None:
    stars = 0
    for at in range(0, 14, 3):
        with EchoingHub(status, at) as hub:
            storage = fill(bind(tmp_path / f"push-{at}", hub), {DATE: files})
            with pytest.raises(HubError) as caught:
                storage.upload_snapshot_to_hf(DATE)
            assert SECRET not in shown(caught.value), at
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
        for thing in (storage, storage.hub, repo, repo._client, repo._client.api):
            assert SECRET not in f"{thing!r} {thing}"
        metadata = publish_snapshot(storage, lambda: storage.upload_snapshot_to_hf(DATE))
    assert metadata["hub"] == "failed"
    assert "we do not like Bearer ***" in str(metadata["hub_reason"])
    assert SECRET not in repr(metadata)
    assert any(text.startswith("hub: failed: ") for name, text in logs.said if name == "brain_assets")
    assert logs.leaks == []
