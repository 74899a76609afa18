"""Folders on a disk: whole, or not there. See `test_stores` for what every place does."""

import os
import random
import sys
from pathlib import Path

import pytest

from brain_assets.errors import DamagedSnapshotError, StorageError
from brain_assets.store.manifest import FILES, MANIFEST
from brain_assets.store.places import FolderStore
from brain_assets_tests.store.places import NAME, made_up

DEAD = 2**22 + 1
"""A process id that cannot exist: above the kernel's largest."""


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """One that holds a snapshot, number 1."""
    FolderStore(tmp_path / "lstm").write(NAME, made_up(1))
    return tmp_path / "lstm"


def harm(path: Path, how: str) -> None:
    data = path.read_bytes()
    path.unlink()
    if how == "short":
        path.write_bytes(data[:-1])
    elif how == "a folder":
        path.mkdir()
    elif how == "a pipe":
        os.mkfifo(path)
    elif how == "huge":
        with path.open("wb") as file:
            file.truncate(2**30)


@pytest.mark.parametrize("how", ["absent", "short", "a folder", "a pipe", "huge"])
@pytest.mark.parametrize("file", FILES)
def test_a_file_that_is_not_what_was_written_is_named(
    folder: Path, file: str, how: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    harm(folder / NAME / file, how)
    store, read_whole = FolderStore(folder), Path.read_bytes

    def read_bytes(path: Path) -> bytes:
        assert path.stat().st_size < 2**29, f"{path.name} is read, however large it is"
        return read_whole(path)

    monkeypatch.setattr(Path, "read_bytes", read_bytes)
    for read in (store.read, store.read_manifest) if file == MANIFEST else (store.read,):
        with pytest.raises(
            DamagedSnapshotError, match=rf"{NAME}/{file}: expected .*; it is damaged: train it"
        ) as raised:
            read(NAME)
        assert raised.value.file == file
    assert store.list() == [NAME]  # it is there: whoever reads it is told
    assert store.find(NAME) is None


@pytest.mark.parametrize("file", FILES)
def test_a_flipped_bit_on_the_disk_is_named(folder: Path, file: str) -> None:
    path, places = folder / NAME / file, random.Random(file)
    data = path.read_bytes()
    for _ in range(200):
        flipped = bytearray(data)
        flipped[places.randrange(len(data))] ^= 1 << places.randrange(8)
        path.write_bytes(flipped)
        with pytest.raises(DamagedSnapshotError, match=rf"{NAME}/{file}: "):
            FolderStore(folder).read(NAME)


def test_a_place_that_cannot_be_written_is_one_sentence(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("in the way")
    with pytest.raises(StorageError, match="expected a folder with room to write to, got: File exists"):
        FolderStore(tmp_path / "file").write(NAME, made_up(1))


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
            store.write(NAME, made_up(2))
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
    seen, died, steps = set(), True, 0
    while died:
        folder = tmp_path / str(steps) / "lstm"
        store = FolderStore(folder)
        if is_replaced:
            store.write(NAME, made_up(1))
        died = write_and_die(store, steps)
        stands = [store.read(name) for name in store.list()]
        assert stands in ([], [made_up(1)], [made_up(2)])
        seen.add(stands[0]["config.json"] if stands else b"none")
        store.write(NAME, made_up(3))
        assert os.listdir(folder) == [NAME]  # what the dead one left is gone
        steps += 1
    assert steps > 8
    assert len(seen) == n_ways


def test_temporary_folders_of_running_processes_are_left_alone(folder: Path) -> None:
    mine = f".new-{os.getpid()}-0123abcd-snapshot-2018-12-31"
    for name in (mine, f".old-{DEAD}-0123abcd-snapshot-2018-12-31"):
        (folder / name).mkdir()
    FolderStore(folder).write(NAME, made_up(2))
    assert sorted(os.listdir(folder)) == [mine, NAME]
    assert FolderStore(folder).list() == [NAME]
