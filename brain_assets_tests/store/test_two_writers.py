"""Several that write the same snapshot at once: one complete result, no error, and never a mixture or a gap."""

import errno
import json
import subprocess
import sys
import threading
import time
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import pytest

from brain_assets.store import folder as folders
from brain_assets.store.folder import read_files, settle, write_files
from brain_assets.store.model_snapshot import ModelSnapshot
from brain_assets.store.storage import SnapshotLocalStorage
from brain_assets_tests.backfills import REPOSITORY
from brain_assets_tests.store.hubs import DATE, Files
from brain_assets_tests.store.test_folder import DEAD
from brain_assets_tests.store.two_writers import DATES

N_PROCESSES = 3


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


def repeated(times: int, work: Callable[[], object]) -> Callable[[], None]:
    def run() -> None:
        for _ in range(times):
            work()

    return run


def names(folder: Path) -> list[str]:
    return sorted(path.name for path in folder.iterdir())


@pytest.mark.parametrize("n_contents", [1, 2], ids=["same content", "different content"])
def test_processes(n_contents: int, files: Files, other_files: Files, tmp_path: Path) -> None:
    contents = [files, other_files][:n_contents]
    places = [tmp_path / f"content-{i}" for i in range(n_contents)]
    for place, content in zip(places, contents, strict=True):
        write_files(place, content)
    root = tmp_path / "models"
    command = [sys.executable, "-m", "brain_assets_tests.store.two_writers"]
    words = [str(time.time() + 1.0), str(root), *map(str, places)]

    def start(role: str) -> subprocess.Popen[str]:
        return subprocess.Popen(
            [*command, role, *words], cwd=REPOSITORY, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True
        )

    with start("read") as reader:
        writers = [start("write") for _ in range(N_PROCESSES)]
        assert [json.loads(writer.communicate()[0]) for writer in writers] == [[]] * N_PROCESSES
        time.sleep(0.1)  # for a last look
        assert json.loads(reader.communicate("stop")[0]) == []
    storage = SnapshotLocalStorage("lstm", root)
    assert storage.list_snapshots() == DATES
    assert all(read_files(storage.path(date)) in contents for date in DATES)
    assert names(storage.folder) == [storage.path(date).name for date in DATES]  # no temporary is left


def test_threads(trained: ModelSnapshot, tmp_path: Path) -> None:
    """A whole model is written and loaded; card and weights stay together."""
    storage = SnapshotLocalStorage("lstm", tmp_path)
    snapshots = {}
    for factor in (1.0, 0.5):
        weights = {name: weight * factor for name, weight in trained.state_dict.items()}
        snapshots[f"factor {factor}"] = replace(trained, state_dict=weights, card=f"factor {factor}")

    def look() -> None:
        loaded = storage.load_snapshot(DATE)
        assert all(weight.equal(loaded.state_dict[name]) for name, weight in snapshots[loaded.card].state_dict.items())

    first, second = snapshots.values()
    storage.write_snapshot(first)
    at_once(
        *(repeated(20, lambda snapshot=snapshot: storage.write_snapshot(snapshot)) for snapshot in (first, second) * 2),
        repeated(20, look),
    )
    look()
    assert names(storage.folder) == [storage.path(DATE).name]


def test_threads_where_folders_cannot_be_swapped(
    files: Files, other_files: Files, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The old folder is moved aside first; who reads meanwhile looks again."""

    def refuse(first: Path, second: Path) -> None:
        raise OSError(errno.EINVAL, "Invalid argument")  # a network drive's answer

    monkeypatch.setattr(folders, "_swap", refuse)
    folder = tmp_path / "snapshot-2019-12-31"
    write_files(folder, files)
    seen = []
    at_once(
        *(repeated(30, lambda content=content: write_files(folder, content)) for content in (files, other_files) * 2),
        repeated(60, lambda: seen.append(read_files(folder))),
    )
    assert {json.dumps(sorted(map(str, content.items()))) for content in seen} <= {
        json.dumps(sorted(map(str, content.items()))) for content in (files, other_files)
    }
    assert read_files(folder) in (files, other_files)
    assert names(tmp_path) == ["snapshot-2019-12-31"]


@pytest.mark.parametrize("is_written", [False, True])
def test_several_that_tidy_up_after_a_dead_process(
    is_written: bool, files: Files, other_files: Files, tmp_path: Path
) -> None:
    """It died between its two renames; what it had moved aside is put back, unless one of them writes anew."""
    for number in range(30):
        parent = tmp_path / str(number)
        folder = parent / "snapshot-2019-12-31"
        write_files(parent / f".old-{DEAD}-0123abcd-snapshot-2019-12-31", files)
        works: list[Callable[[], object]] = [lambda parent=parent: settle(parent)] * 4
        if is_written:
            works.append(lambda folder=folder: write_files(folder, other_files))
        at_once(*works)
        settle(parent)
        assert read_files(folder) == (other_files if is_written else files)
        assert names(parent) == ["snapshot-2019-12-31"]
