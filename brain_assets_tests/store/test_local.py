"""Folders on a disk: whole, or not there."""

import os
import random
import sys
import threading
from collections.abc import Callable
from pathlib import Path

import pytest

from brain_assets.errors import DamagedSnapshotError, MissingSnapshotError, StorageError
from brain_assets.store.manifest import FILES, MANIFEST, PAYLOAD, build
from brain_assets.store.places import FolderStore

NAME = "snapshot-2019-12-31"
DEAD = 2**22 + 1
"""A process id that cannot exist: above the kernel's largest."""


def content(round_: int) -> dict[str, bytes]:
    return build({name: f"{name} {round_}".encode() * 100 for name in PAYLOAD}, {"round": round_})


def names(folder: Path) -> list[str]:
    return sorted(entry.name for entry in folder.iterdir())


@pytest.fixture
def store(tmp_path: Path) -> FolderStore:
    store = FolderStore(tmp_path / "lstm")
    store.write(NAME, content(1))
    return store


def harm(path: Path, how: str) -> None:
    data = path.read_bytes()
    path.unlink()
    if how == "short":
        path.write_bytes(data[:-1])
    elif how == "a folder":
        path.mkdir()
    elif how == "a pipe":
        os.mkfifo(path)


@pytest.mark.parametrize("how", ["absent", "short", "a folder", "a pipe"])
@pytest.mark.parametrize("file", FILES)
def test_a_file_that_is_not_what_was_written_is_named(store: FolderStore, file: str, how: str) -> None:
    harm(store.folder / NAME / file, how)
    with pytest.raises(
        DamagedSnapshotError, match=rf"{NAME}/{file}: expected .*; it is damaged: train it again"
    ) as raised:
        store.read(NAME)
    assert raised.value.file == file
    assert store.list() == [NAME]  # it is there: whoever reads it is told
    assert store.find(NAME) is None
    if file == MANIFEST:
        with pytest.raises(DamagedSnapshotError, match=rf"{NAME}/{MANIFEST}: "):
            store.read_manifest(NAME)


@pytest.mark.parametrize("file", FILES)
def test_a_flipped_bit_on_the_disk_is_named(store: FolderStore, file: str) -> None:
    path, places = store.folder / NAME / file, random.Random(file)
    data = path.read_bytes()
    for _ in range(200):
        flipped = bytearray(data)
        flipped[places.randrange(len(data))] ^= 1 << places.randrange(8)
        path.write_bytes(flipped)
        with pytest.raises(DamagedSnapshotError, match=rf"{NAME}/{file}: "):
            store.read(NAME)


def test_an_empty_folder_is_no_snapshot(store: FolderStore) -> None:
    (store.folder / "snapshot-2018-12-31").mkdir()  # type: ignore[union-attr]
    assert store.find("snapshot-2018-12-31") is None
    with pytest.raises(MissingSnapshotError, match="snapshot-2018-12-31: expected a snapshot, but there is none"):
        store.read("snapshot-2018-12-31")


def test_a_place_that_cannot_be_written_is_one_sentence(store: FolderStore, tmp_path: Path) -> None:
    (tmp_path / "file").write_text("in the way")
    with pytest.raises(StorageError, match="expected a folder with room to write to, got: File exists"):
        FolderStore(tmp_path / "file").write(NAME, content(1))


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
            store.write(NAME, content(2))
            os._exit(0)
        finally:
            os._exit(1)
    code = os.waitstatus_to_exitcode(os.waitpid(child, 0)[1])
    assert code in (0, 9)
    return code == 9


@pytest.mark.parametrize(("is_replaced", "n_ways"), [(False, 2), (True, 3)])
def test_a_process_killed_before_any_step_leaves_the_old_one_the_new_one_or_none(
    tmp_path: Path, is_replaced: bool, n_ways: int
) -> None:
    seen = set()
    died, steps = True, 0
    while died:
        store = FolderStore(tmp_path / str(steps) / "lstm")
        if is_replaced:
            store.write(NAME, content(1))
        died = write_and_die(store, steps)
        stands = [store.read(name) for name in store.list()]
        assert stands in ([], [content(1)], [content(2)])
        seen.add(stands[0]["config.json"] if stands else b"none")
        store.write(NAME, content(3))
        assert names(store.folder) == [NAME]  # what the dead one left is gone
        steps += 1
    assert steps > 8
    assert len(seen) == n_ways


def test_temporary_folders_of_running_processes_are_left_alone(store: FolderStore) -> None:
    mine = f".new-{os.getpid()}-0123abcd-snapshot-2018-12-31"
    (store.folder / mine).mkdir()
    (store.folder / f".old-{DEAD}-0123abcd-snapshot-2018-12-31").mkdir()
    store.write(NAME, content(2))
    assert names(store.folder) == [mine, NAME]
    assert store.list() == [NAME]


def at_once(*works: Callable[[], object]) -> None:
    """Do all of it at once, each in a thread; raises what any of them raises."""
    errors: list[BaseException] = []
    barrier = threading.Barrier(len(works))

    def run(work: Callable[[], object]) -> None:
        barrier.wait()
        try:
            work()
        except BaseException as error:  # noqa: BLE001 - raised below
            errors.append(error)

    threads = [threading.Thread(target=run, args=(work,)) for work in works]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    if errors:
        raise errors[0]
