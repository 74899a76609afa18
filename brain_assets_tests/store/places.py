"""The places that the contract tests of a store run in: a disk, an S3 server, a Hub; each can fail."""

import itertools
import uuid
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from upath import UPath

from brain_assets.paths import DataPath, list_names, read_bytes, replace_file
from brain_assets.store.hub import HubStore
from brain_assets.store.manifest import CARD, CONFIG, MODEL, SCALER, WEIGHTS, build
from brain_assets.store.places import FolderStore
from brain_assets_tests.loopback_hub import KINDS, Fault, Files, LoopbackHub
from brain_assets_tests.loopback_s3 import DROP, TRUNCATE, LoopbackS3
from brain_assets_tests.store.hubs import REPO, open_store

NAME = "snapshot-2019-12-31"


def made_up(number: int) -> Files:
    """Give the files of a snapshot that no family could load: stores do not look into them."""
    payload = {
        MODEL: b"\0model %d" % number * 50,
        WEIGHTS: b"\0weights %d" % number,
        SCALER: b"\0scaler %d" % number,
        CONFIG: b'{\n  "number": %d\n}\n' % number,
        CARD: b"---\nlicense: other\n---\n\n# Number %d\n" % number,
    }
    return build(payload, {"family": "lstm", "market": "sample", "number": number})


class Folder:
    """A folder on a disk or in a bucket, and what lies under it, past the store: `put` and `get` under `NAME`."""

    faults: tuple[int | str, ...] = (500, 503, DROP, TRUNCATE, 403)
    numbers = itertools.count()

    def __init__(self, folder: DataPath, server: LoopbackS3 | None = None) -> None:
        self.folder, self.server = folder, server

    def fresh(self) -> "Folder":
        """Give another one, in which nothing lies."""
        return Folder(self.folder.parent / f"{self.folder.name}-{next(self.numbers)}", self.server)

    def open(self) -> FolderStore:
        return FolderStore(self.folder)

    def put(self, files: Files) -> None:
        for name, data in files.items():
            replace_file(self.folder / NAME / name, data)

    def get(self) -> Files:
        return {name: read_bytes(self.folder / NAME / name) for name in list_names(self.folder / NAME)}

    @property
    def n_requests(self) -> int:
        return len(self.server.requests) if self.server else 0

    @contextmanager
    def faulty(self, fault: int | str, at: int, times: int | None = 1) -> Iterator[None]:
        assert self.server is not None
        seen = itertools.count()
        end = float("inf") if times is None else at + times
        with self.server.faulty(lambda request: fault if at <= next(seen) < end else None):
            yield


class Hub:
    """A model repo, and what its branch `NAME` holds, past the store."""

    faults = (*KINDS, "401", "403")

    def __init__(self, hub: LoopbackHub) -> None:
        self.hub = hub
        hub.add_repo(REPO)

    def fresh(self) -> "Hub":
        return Hub(self.hub)  # makes the repo anew

    def open(self) -> HubStore:
        return open_store(self.hub)

    def put(self, files: Files) -> None:
        self.hub.put(REPO, NAME, files)

    def get(self) -> Files:
        return self.hub.files(REPO, NAME)

    @property
    def n_requests(self) -> int:
        return len(self.hub.requests)

    @contextmanager
    def faulty(self, fault: int | str, at: int, times: int | None = 1) -> Iterator[None]:
        self.hub.fail(Fault(str(fault), at=at, times=times))
        yield
        self.hub.faults.clear()


Place = Folder | Hub


def memory_place() -> UPath:
    """Give a prefix of fsspec's memory that nobody else has."""
    return UPath(f"memory://{uuid.uuid4().hex}")


def disk(folder: Path) -> Folder:
    return Folder(folder / "root")
