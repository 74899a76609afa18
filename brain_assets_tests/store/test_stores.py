"""What every store promises, run on a disk, on an S3 server and on a Hub; and what only a disk can do."""

import itertools
import os
import random
import sys
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, contextmanager
from pathlib import Path
from typing import Any

import pytest

from brain_assets.errors import (
    BrainAssetsError,
    DamagedSnapshotError,
    MissingSnapshotError,
    SnapshotError,
    StorageError,
)
from brain_assets.paths import DataPath, list_names, read_bytes, replace_file
from brain_assets.store.hub import HubStore
from brain_assets.store.manifest import CARD, FILES, MANIFEST, MODEL
from brain_assets.store.places import FolderStore
from brain_assets_tests.loopback_hub import KINDS, TOKEN, Fault, Files, LoopbackHub
from brain_assets_tests.loopback_s3 import DROP, TRUNCATE, LoopbackS3, forget_connections
from brain_assets_tests.store.hubs import BRANCH as NAME
from brain_assets_tests.store.hubs import REPO, made_up, open_store

pytestmark = pytest.mark.filterwarnings("ignore:Use 'content=:DeprecationWarning")  # of the library, at every upload

OLD, NEW = made_up(1), made_up(2)


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

    def faulty(self, fault: int | str, at: int) -> AbstractContextManager[None]:
        """Let every request fail from a number on."""
        assert self.server is not None
        seen = itertools.count()
        return self.server.faulty(lambda request: fault if next(seen) >= at else None)


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
    def faulty(self, fault: int | str, at: int) -> Iterator[None]:
        self.hub.fail(Fault(str(fault), at=at, times=None))
        yield
        self.hub.faults.clear()


Place = Folder | Hub


def open_place(kind: str, request: pytest.FixtureRequest) -> Place:
    if kind == "hub":
        return Hub(request.getfixturevalue("hub"))
    s3 = request.getfixturevalue("s3") if kind == "s3" else None
    return Folder(s3.place() if s3 else request.getfixturevalue("tmp_path") / "root", s3)


@pytest.fixture(params=["disk", "s3", "hub"])
def place(request: pytest.FixtureRequest) -> Place:
    return open_place(request.param, request)


@pytest.fixture(params=["s3", "hub"])
def remote(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> Place:
    """One with short time-outs, that is not asked often."""
    import httpx2
    from fsspec.config import conf
    from huggingface_hub import get_session

    monkeypatch.setattr("brain_assets.paths.N_ATTEMPTS", 2)
    monkeypatch.setitem(conf, "s3", {"config_kwargs": {"read_timeout": 0.5}})
    monkeypatch.setattr("huggingface_hub.constants.HF_HUB_DOWNLOAD_TIMEOUT", 0.5)
    forget_connections()
    place = open_place(request.param, request)
    if isinstance(place, Hub):
        place.open().list()  # it has a client from now on
        monkeypatch.setattr(get_session(), "timeout", httpx2.Timeout(0.5))
    return place


def test_what_was_written_is_listed_and_read_by_another_until_it_is_replaced(place: Place) -> None:
    store = place.open()
    assert NAME not in store.list()
    for read in (store.read, store.read_manifest):
        with pytest.raises(MissingSnapshotError, match=f"{NAME}: expected a snapshot"):
            read(NAME)
    store.write(NAME, OLD)
    store.write("snapshot-2018-12-31", NEW)
    assert [name for name in place.open().list() if name != "main"] == ["snapshot-2018-12-31", NAME]
    assert place.open().read(NAME) == OLD == place.get()
    assert place.open().read_manifest(NAME)["number"] == 1
    store.write(NAME, NEW)
    assert place.open().read(NAME) == NEW == place.get()


@pytest.mark.parametrize(("file", "data"), [(MODEL, NEW[MODEL]), (CARD, None), (MANIFEST, b"{}\n"), (MANIFEST, None)])
def test_damage_is_found_and_named(place: Place, file: str, data: bytes | None) -> None:
    place.put({name: content for name, content in {**OLD, file: data}.items() if content is not None})
    for read in (place.open().read, place.open().read_manifest)[: 2 if file == MANIFEST else 1]:
        with pytest.raises(SnapshotError, match=rf"{NAME}/{file}: expected "):
            read(NAME)
    place.open().write(NAME, OLD)
    assert place.open().read(NAME) == OLD


def test_requests_are_few(remote: Place) -> None:
    """Counted: what a first write, the same again, another, a listing, a manifest and a read cost."""
    store, counts = remote.open(), []
    write, read = store.write, store.read
    for work, *given in ((write, NAME, OLD), (write, NAME, OLD), (write, NAME, NEW), (store.list,), (read, NAME)):
        before = remote.n_requests
        work(*given)
        counts.append(remote.n_requests - before)
    assert counts == [10, 1, 8, 1, 10] if isinstance(remote, Hub) else [7, 7, 7, 1, 6]


ACTS: dict[str, tuple[Files | None, Callable[[Any], object]]] = {
    "first write": (None, lambda store: store.write(NAME, NEW)),
    "replacing write": (OLD, lambda store: store.write(NAME, NEW)),
    "read": (NEW, lambda store: store.read(NAME)),
    "list": (NEW, lambda store: store.list()),
}
"""What can be disturbed: what lies there before, and what is done."""


@pytest.mark.parametrize("act", ACTS)
def test_what_fails_at_any_request_is_one_sentence_and_done_at_the_next_try(
    remote: Place, act: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The connections fail, done or not: also all that a place sees of a process that is killed."""
    monkeypatch.setattr("time.sleep", lambda seconds: None)  # between the attempts of packages below us
    there, work = ACTS[act]
    for k, fault in enumerate(remote.faults):
        place = remote.fresh()
        if there is not None:
            place.put(there)
        with (
            place.faulty(fault, 0 if act == "list" else 2 * k % 6),
            pytest.raises(BrainAssetsError, match=r"^[^\n]+\.$") as caught,
        ):
            work(place.open())
        assert TOKEN not in str(caught.value), fault
        try:
            left = place.open().read(NAME)
        except SnapshotError:
            left = None
        assert left in (there, NEW, None), fault
        result = work(place.open())
        assert result if act == "list" else place.open().read(NAME) == NEW == place.get(), fault


# On a disk


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """One that holds a snapshot, number 1."""
    FolderStore(tmp_path / "lstm").write(NAME, OLD)
    return tmp_path / "lstm"


@pytest.mark.parametrize("file", FILES)
def test_a_file_with_a_flipped_bit_or_that_is_none_is_named(folder: Path, file: str) -> None:
    path, places = folder / NAME / file, random.Random(file)
    data = path.read_bytes()
    for _ in range(50):
        flipped = bytearray(data)
        flipped[places.randrange(len(data))] ^= 1 << places.randrange(8)
        path.write_bytes(flipped)
        with pytest.raises(DamagedSnapshotError, match=rf"{NAME}/{file}: "):
            FolderStore(folder).read(NAME)
    for make in (os.mkdir, os.mkfifo):
        path.rmdir() if path.is_dir() else path.unlink()
        make(path)
        with pytest.raises(DamagedSnapshotError, match=rf"{NAME}/{file}: expected a file, got none; it is damaged"):
            FolderStore(folder).read(NAME)
    assert FolderStore(folder).list() == [NAME]  # it is there: whoever reads it is told
    assert FolderStore(folder).find(NAME) is None


def test_a_place_that_cannot_be_written_is_one_sentence(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("in the way")
    with pytest.raises(StorageError, match="expected a folder with room to write to, got: File exists"):
        FolderStore(tmp_path / "file").write(NAME, OLD)


def write_and_die(store: FolderStore, steps: int) -> bool:
    """Write in a process of its own that dies before it changes anything for the `steps`-th time; False: it did not."""
    child = os.fork()
    if child == 0:
        left = [steps]

        def watch(event: str, arguments: tuple[object, ...]) -> None:
            opened = event == "open" and isinstance(arguments[2], int) and arguments[2] & os.O_CREAT
            if opened or event in ("os.rename", "os.mkdir", "os.remove", "os.rmdir", "shutil.rmtree"):
                left[0] -= 1
                if left[0] < 0:
                    os._exit(9)

        sys.addaudithook(watch)
        try:
            store.write(NAME, NEW)
            os._exit(0)
        finally:
            os._exit(1)
    code = os.waitstatus_to_exitcode(os.waitpid(child, 0)[1])
    assert code in (0, 9)
    return code == 9


def test_a_process_killed_before_any_step_leaves_the_old_one_the_new_one_or_none(tmp_path: Path) -> None:
    seen, died, steps = set(), True, 0
    while died:
        store = FolderStore(tmp_path / str(steps) / "lstm")
        store.write(NAME, OLD)
        died = write_and_die(store, steps)
        stands = [store.read(name) for name in store.list()]
        assert stands in ([], [OLD], [NEW])
        seen.add(stands[0]["config.json"] if stands else b"none")
        store.write(NAME, made_up(3))
        assert os.listdir(store.folder) == [NAME]  # what the dead one left is gone
        steps += 1
    assert steps > 8
    assert len(seen) == 3


def test_temporary_folders_of_running_processes_are_left_alone(folder: Path) -> None:
    mine, dead = (f".new-{process}-0123abcd-snapshot-2018-12-31" for process in (os.getpid(), 2**22 + 1))
    for name in (mine, dead):
        (folder / name).mkdir()
    FolderStore(folder).write(NAME, NEW)
    assert sorted(os.listdir(folder)) == [mine, NAME]
    assert FolderStore(folder).list() == [NAME]
