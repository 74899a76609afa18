"""The places that the contract tests of a store run in: a disk, an S3 server, fsspec's memory, a Hub; each can fail."""

import shutil
import uuid
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

from pydantic import SecretStr
from upath import UPath

from brain_assets.paths import ask_store, list_names, parse_place, read_bytes, replace_file
from brain_assets.retry import RetryPolicy
from brain_assets.store.hub import HubStore
from brain_assets.store.hub_client import HubAddress
from brain_assets.store.manifest import CARD, CONFIG, MODEL, SCALER, WEIGHTS, build
from brain_assets.store.places import FolderStore, Store
from brain_assets_tests.loopback_hub import Fault
from brain_assets_tests.loopback_s3 import DROP, STALL, TRUNCATE, LoopbackS3
from brain_assets_tests.store.hubs import KINDS, REPO, TOKEN, Files, WatchedHub

NAME = "snapshot-2019-12-31"
QUICK = RetryPolicy(attempts=5, first_wait=0.003)

FAULTS = {
    "s3": (500, 503, DROP, TRUNCATE, STALL),
    "hub": KINDS,
}
"""Every fault that may pass: statuses, a connection that is reset or closed in the middle of a request or of an answer,
other bytes than asked for, silence, a server that repeats the token."""
DEATHS = {"s3": (DROP, TRUNCATE, 403), "hub": ("drop", "truncate", "401", "403")}
"""What a place sees of a writer that is killed (its request was not done, or was), and what refuses one."""


def made_up(number: int) -> Files:
    """Give the files of a snapshot that no family could load: stores do not look into them."""
    card = f"---\nlicense: other\nmodel_name: made up\ntags:\n- test\n---\n\n# Number {number}\n"
    payload = {
        MODEL: b"\0model %d" % number * 50,
        WEIGHTS: b"\0weights %d" % number,
        SCALER: b"\x80scaler %d" % number,
        CONFIG: b'{\n  "number": %d\n}\n' % number,
        CARD: card.encode(),
    }
    return build(payload, {"family": "lstm", "market": "sample", "number": number})


class Disk:
    kind = "disk"

    def __init__(self, folder: Path) -> None:
        self.folder, self.address = folder, str(folder)

    def open(self, policy: RetryPolicy = QUICK) -> FolderStore:
        return FolderStore(self.folder)

    def put(self, files: Files) -> None:
        shutil.rmtree(self.folder / NAME, ignore_errors=True)
        for name, data in files.items():
            (self.folder / NAME / name).parent.mkdir(parents=True, exist_ok=True)
            (self.folder / NAME / name).write_bytes(data)

    def get(self) -> Files:
        return {path.name: path.read_bytes() for path in (self.folder / NAME).iterdir()}


class Bucket:
    kind = "s3"

    def __init__(self, folder: UPath, server: LoopbackS3) -> None:
        self.folder, self.server, self.address = folder, server, str(folder)

    def open(self, policy: RetryPolicy = QUICK) -> FolderStore:
        return FolderStore(self.folder)

    def put(self, files: Files) -> None:
        for path in [self.folder / NAME / name for name in list_names(self.folder / NAME)]:
            ask_store(path, "remove", lambda store, path=path: store.rm_file(path.path))
        for name, data in files.items():
            replace_file(self.folder / NAME / name, data)

    def get(self) -> Files:
        return {name: read_bytes(self.folder / NAME / name) for name in list_names(self.folder / NAME)}

    def n_requests(self, work: Callable[[], object]) -> int:
        with self.server.counted() as requests:
            work()
        return len(requests)

    @contextmanager
    def faulty(self, fault: int | str, at: int, times: int | None = 1) -> Iterator[None]:
        n_seen = 0

        def befall(request: str) -> int | str | None:
            nonlocal n_seen
            n_seen += 1
            return fault if n_seen > at and (times is None or n_seen <= at + times) else None

        with self.server.faulty(befall):
            yield


class Hub:
    kind = "hub"

    def __init__(self, hub: WatchedHub) -> None:
        self.hub, self.address = hub, hub.endpoint

    def open(self, policy: RetryPolicy = QUICK) -> HubStore:
        return HubStore(HubAddress(REPO, SecretStr(TOKEN), self.address), policy)

    def put(self, files: Files) -> None:
        if ("model", REPO) not in self.hub.repos():
            self.hub.add_repo(REPO)
        self.hub.put(REPO, NAME, files, "put")

    def get(self) -> Files:
        return self.hub.files(REPO, NAME)

    def n_requests(self, work: Callable[[], object]) -> int:
        self.hub.forget()
        work()
        return len(self.hub.requests)

    @contextmanager
    def faulty(self, fault: int | str, at: int, times: int | None = 1) -> Iterator[None]:
        self.hub.fail(Fault(str(fault), at=at, times=times, retry_after=0))
        yield
        self.hub.clear_faults()


Place = Disk | Bucket | Hub
"""A store and what lies under it, past the store: `put` and `get` under `NAME`; `faulty`: let requests fail."""


def open_at(address: str) -> Store:
    """Open a place by its address."""
    if address.startswith("http://"):
        return HubStore(HubAddress(REPO, SecretStr(TOKEN), address), QUICK)
    return FolderStore(parse_place(address))


def memory_place() -> UPath:
    """Give a prefix of fsspec's memory that nobody else has."""
    return UPath(f"memory://{uuid.uuid4().hex}")
