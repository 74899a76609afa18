"""What the tests of the Hub stand on: a Hub that remembers what a branch ever held, and storages bound to it."""

import datetime
import json
from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path
from typing import Any

from pydantic import SecretStr

from brain_assets.retry import RetryPolicy
from brain_assets.store.hub_client import HubAddress
from brain_assets.store.names import snapshot_name
from brain_assets.store.snapshot import ModelSnapshot
from brain_assets.store.storage import SnapshotLocalStorage
from brain_assets_tests.loopback_hub import Answer, Fault, LoopbackHub, Refusal, Request

REPO = "user/lstm"
DATE = datetime.date(2019, 12, 31)
BRANCH = "snapshot-2019-12-31"
TOKEN = "hf_writeQxZ7wKvTnLcRpYbG"  # of a form that is found nowhere by accident
READ_TOKEN = "hf_readMd4JhUsEaFoWiNzD"
KINDS = ("429", "500", "503", "drop", "truncate", "wrong bytes", "silence", "echo token")
"""Every fault that may pass."""

Files = dict[str, bytes]


class WatchedHub(LoopbackHub):
    """Remembers every state of every branch, and what was asked to be created."""

    def __init__(self, latency: float = 0.0) -> None:
        super().__init__(latency, {TOKEN: "write", READ_TOKEN: "read"})
        self.states: list[tuple[str, str, Files]] = []
        self.created: list[dict[str, Any]] = []

    def answer(self, request: Request, body: bytes) -> Answer:
        with self._lock:  # no other request between it and the look at what it has done
            if request.path == "/api/repos/create":
                self.created.append(json.loads(body))
            answer = super().answer(request, body)
            for repo in list(self._repos.values()):
                for branch, oid in repo.branches.items():
                    state = (repo.name, branch, repo.history[oid].files)
                    if state not in self.states:
                        self.states.append(state)
            return answer

    def ever(self, branch: str, repo: str = REPO) -> list[Files]:
        """Give everything that a branch has ever held, oldest first."""
        return [files for name, other, files in self.states if (name, other) == (repo, branch)]

    @property
    def lines(self) -> list[str]:
        """The requests in short."""
        return [f"{request.method} {request.path}" for request in list(self.requests)]

    def asked(self, part: str) -> int:
        """Count the requests that have this in them."""
        return sum(part in line for line in self.lines)


class EchoingHub(WatchedHub):
    """Answers requests from the `at`-th on, all or those of a method, with a status and words that repeat the token."""

    def __init__(self, status: int, at: int = 0, method: str = "") -> None:
        super().__init__()
        self._status, self._at, self._method = status, at, method

    def answer(self, request: Request, body: bytes) -> Answer:
        if request.index < self._at or self._method not in ("", request.method):
            return super().answer(request, body)
        known = request.headers.get("authorization", TOKEN)  # the storage gets none, and might know it nevertheless
        return Refusal(self._status, f"we do not like {known}").answer


def fault(kind: str, at: int = 0, **options: Any) -> Fault:
    """Make a fault; a 429 asks for no wait."""
    return Fault(kind, at=at, retry_after=0, **options)


def bind(
    root: Path, hub: LoopbackHub | str | None, token: str = TOKEN, attempts: int = 5, family: str = "lstm"
) -> SnapshotLocalStorage:
    """Give a storage whose copies are on a Hub, and which waits shortly between its attempts; None: on none."""
    if hub is None:
        return SnapshotLocalStorage(family, root)
    endpoint = hub if isinstance(hub, str) else hub.endpoint
    address = HubAddress(f"user/{family}", SecretStr(token), endpoint)
    return SnapshotLocalStorage(family, root, address, RetryPolicy(attempts, first_wait=0.003))


def fill(storage: SnapshotLocalStorage, contents: Mapping[datetime.date, Files]) -> SnapshotLocalStorage:
    """Write snapshots into a storage, and give it back."""
    for date, files in contents.items():
        storage.store.write(snapshot_name(date), files)
    return storage


def local_files(storage: SnapshotLocalStorage, date: datetime.date = DATE) -> Files:
    """Give what a storage's folder of a snapshot holds, whatever it is."""
    return {path.name: path.read_bytes() for path in storage.path(date).iterdir()}


LEARNED = ("last_session", "last_training_target", "last_validation_target")
"""Keys of a forecaster's metadata["data"] that may not lie after its cut-off."""


def dated(snapshot: ModelSnapshot, cutoff_date: datetime.date) -> ModelSnapshot:
    """Give a snapshot another cut-off, as if what it learned from had ended by then."""
    end = min(cutoff_date, snapshot.cutoff_date).isoformat()
    data = {**snapshot.metadata["data"], **dict.fromkeys(LEARNED, end)}
    return replace(snapshot, cutoff_date=cutoff_date, metadata={**snapshot.metadata, "data": data})


def publish(hub: LoopbackHub, contents: Mapping[datetime.date, Files]) -> None:
    """Put snapshots onto a Hub, as a push would have."""
    if ("model", REPO) not in hub.repos():
        hub.add_repo(REPO)
    for date, files in contents.items():
        hub.put(REPO, snapshot_name(date), files, "put")


def is_one_sentence(text: str, *words: str) -> bool:
    """Tell whether an error is one line that names the repo, says these words, and ends as a sentence does."""
    return "\n" not in text and text.count(". ") == 0 and text.endswith(".") and all(w in text for w in (REPO, *words))
