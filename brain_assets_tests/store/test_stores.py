"""What every store promises, run on a disk, on an S3 server and on a Hub."""

import itertools
import os
import random
import subprocess
import sys
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path

import pytest

from brain_assets.errors import BrainAssetsError, DamagedSnapshotError, MissingSnapshotError, SnapshotError
from brain_assets.retry import RetryPolicy
from brain_assets.store.manifest import CARD, MANIFEST, MODEL
from brain_assets.store.places import Store
from brain_assets_tests.loopback_s3 import forget_connections
from brain_assets_tests.store.hubs import TOKEN, Files, WatchedHub
from brain_assets_tests.store.places import DEATHS, FAULTS, NAME, Bucket, Disk, Hub, Place, made_up

pytestmark = pytest.mark.filterwarnings("ignore:Use 'content=:DeprecationWarning")  # of the library, at every upload

OLD, NEW = made_up(1), made_up(2)


def open_place(kind: str, request: pytest.FixtureRequest, tmp_path: Path) -> Place:
    if kind == "disk":
        return Disk(tmp_path / "root")
    if kind == "hub":
        hub = request.getfixturevalue("hub")
        hub.add_repo("user/lstm")
        return Hub(hub)
    s3 = request.getfixturevalue("s3")
    return Bucket(s3.place(), s3)


@pytest.fixture(params=["disk", "s3", "hub"])
def place(request: pytest.FixtureRequest, tmp_path: Path) -> Place:
    return open_place(request.param, request, tmp_path)


@pytest.fixture(params=["s3", "hub"])
def remote(request: pytest.FixtureRequest, tmp_path: Path, quick: None) -> Place:
    return open_place(request.param, request, tmp_path)


@pytest.fixture
def quick(monkeypatch: pytest.MonkeyPatch) -> None:
    """Short waits and time-outs."""
    from fsspec.config import conf

    monkeypatch.setattr("botocore.retries.standard.ExponentialBackoff.delay_amount", lambda *_: 0.003)
    monkeypatch.setitem(conf, "s3", {"config_kwargs": {"read_timeout": 0.5}})
    monkeypatch.setattr("huggingface_hub.constants.HF_HUB_DOWNLOAD_TIMEOUT", 0.5)
    forget_connections()


def outcome(place: Place) -> Files | None:
    """Read, whatever that gives; None: it is told that there is none, or that it is damaged."""
    if isinstance(place, Hub) and ("model", "user/lstm") not in place.hub.repos():
        return None
    try:
        return place.open().read(NAME)
    except SnapshotError:
        return None


def test_nothing_is_there_at_first(place: Place) -> None:
    store = place.open()
    assert NAME not in store.list()
    for read in (store.read, store.read_manifest):
        with pytest.raises(MissingSnapshotError, match=f"{NAME}: expected a snapshot"):
            read(NAME)


def test_what_was_written_is_listed_and_read_by_another(place: Place) -> None:
    place.open().write(NAME, OLD)
    place.open().write("snapshot-2018-12-31", NEW)
    store = place.open()
    assert [name for name in store.list() if name.startswith("snapshot-")] == ["snapshot-2018-12-31", NAME]
    assert store.read(NAME) == OLD == place.get()
    assert store.read_manifest(NAME)["number"] == 1


def test_what_is_replaced_is_gone(place: Place) -> None:
    place.open().write(NAME, OLD)
    place.open().write(NAME, NEW)
    assert place.open().read(NAME) == NEW == place.get()


def test_damage_is_found_and_named(place: Place) -> None:
    for file, data in ((MODEL, NEW[MODEL]), (CARD, None), (MANIFEST, b"{}\n"), (MANIFEST, None)):
        place.put({name: content for name, content in {**OLD, file: data}.items() if content is not None})
        for read in (place.open().read, place.open().read_manifest)[: 2 if file == MANIFEST else 1]:
            with pytest.raises(SnapshotError, match=rf"{NAME}/{file}: expected "):
                read(NAME)
    place.open().write(NAME, OLD)
    assert place.open().read(NAME) == OLD


def test_what_does_not_verify_is_not_written(place: Place) -> None:
    place.open().write(NAME, OLD)
    for files in ({**NEW, "config.json": b"{}"}, {**NEW, "extra.py": b"!"}, {MANIFEST: NEW[MANIFEST]}):
        with pytest.raises(DamagedSnapshotError):
            place.open().write(NAME, files)
    assert place.get() == OLD


ACTS: dict[str, tuple[Files | None, Callable[[Store], object]]] = {
    "first write": (None, lambda store: store.write(NAME, NEW)),
    "replacing write": (OLD, lambda store: store.write(NAME, NEW)),
    "read": (NEW, lambda store: store.read(NAME)),
    "list": (NEW, lambda store: store.list()),
}
"""What can be disturbed: what lies there before, and what is done."""
HOW_MANY = pytest.mark.parametrize("everywhere", [False, pytest.param(True, marks=pytest.mark.slow)])


@contextmanager
def fresh(remote: Place, there: Files | None) -> Iterator[Place]:
    """Give a place of the same kind in which these files lie, and nothing else."""
    with WatchedHub() as hub:
        place: Place = Hub(hub)
        if isinstance(remote, Bucket):
            place = remote
            remote.folder = remote.folder.parent / f"prefix-{next(NUMBERS)}"
        if there is not None:
            place.put(there)
        yield place


NUMBERS = itertools.count()


def each(
    remote: Place, act: str, faults: Sequence[int | str], everywhere: bool
) -> Iterator[tuple[Place, Callable[[Store], object], int | str, int, str]]:
    """Give a place for each fault at each request, or at one."""
    there, work = ACTS[act]
    with fresh(remote, there) as place:
        n_requests = place.n_requests(lambda: work(place.open()))
    for k, fault in enumerate(faults):
        for at in range(n_requests):
            if everywhere or at == 3 * k % n_requests:
                with fresh(remote, there) as place:
                    yield place, work, fault, at, f"{fault} at request {at} of {n_requests}"


@HOW_MANY
@pytest.mark.parametrize("act", ACTS)
def test_one_fault_at_any_request_changes_nothing(remote: Place, act: str, everywhere: bool) -> None:
    for place, work, fault, at, where in each(remote, act, FAULTS[remote.kind], everywhere):
        with place.faulty(fault, at):
            result = work(place.open())
        assert place.open().read(NAME) == NEW if act != "list" else result, where
        assert place.get() == NEW, where


@HOW_MANY
@pytest.mark.parametrize("act", ["first write", "replacing write"])
def test_a_write_that_dies_at_any_request_leaves_no_mixture(remote: Place, act: str, everywhere: bool) -> None:
    """Its connections fail from a request on, done or not: all that a place sees of a process that is killed."""
    for place, work, fault, at, where in each(remote, act, DEATHS[remote.kind], everywhere):
        with place.faulty(fault, at, None), pytest.raises(BrainAssetsError) as caught:
            work(place.open(RetryPolicy(attempts=1)))
        assert "\n" not in str(caught.value), where
        assert TOKEN not in str(caught.value), where
        left = outcome(place)
        assert left in ((OLD, NEW, None) if act == "replacing write" else (NEW, None)), where
        if remote.kind == "hub" and act == "replacing write":
            assert left is not None, where
        work(place.open())
        assert place.open().read(NAME) == NEW == place.get(), where


WRITES = """
import itertools, sys
from brain_assets_tests.store.places import NAME, made_up, open_at
store = open_at(sys.argv[1])
for number in itertools.count(int(sys.argv[2])):
    print(number, flush=True)
    store.write(NAME, made_up(number))
"""


@pytest.mark.slow
@pytest.mark.parametrize("kind", ["disk", "s3", "hub"])
def test_a_writer_that_is_killed_leaves_no_mixture(kind: str, request: pytest.FixtureRequest, tmp_path: Path) -> None:
    """SIGKILL, whenever it comes: the snapshot before or the new one stands, or none where there is no rename."""
    place, chance, number = open_place(kind, request, tmp_path), random.Random(kind), 3
    for _ in range(12):
        command = [sys.executable, "-W", "ignore", "-c", WRITES, place.address, str(number)]
        with subprocess.Popen(command, stdout=subprocess.PIPE, text=True) as process:
            assert process.stdout is not None
            for _ in range(chance.randrange(1, 4)):
                number = int(process.stdout.readline())
            time.sleep(chance.uniform(0.0, 0.05))
            process.kill()
            number = max([number, *map(int, process.stdout.read().split())])
        time.sleep(0.3)  # what it has asked for is done
        left = outcome(place)
        assert left in (made_up(number), made_up(number - 1), None)
        assert left is not None or kind != "hub" or number == 3
        number += 1
        place.open().write(NAME, made_up(number))
        assert place.open().read(NAME) == made_up(number) == place.get()
        if isinstance(place, Disk):
            assert os.listdir(place.folder) == [NAME]
        number += 1


@pytest.mark.parametrize("kind", ["s3", "hub"])
def test_requests_are_few(kind: str, request: pytest.FixtureRequest, tmp_path: Path) -> None:
    """Counted: what a first write, the same again, another, a listing, a manifest and a read cost."""
    remote = open_place(kind, request, tmp_path)
    store = remote.open()
    counts = [
        remote.n_requests(work)
        for work in (
            lambda: store.write(NAME, OLD),
            lambda: store.write(NAME, OLD),
            lambda: store.write(NAME, NEW),
            store.list,
            lambda: store.read_manifest(NAME),
            lambda: store.read(NAME),
        )
    ]
    assert counts == {"s3": [7, 7, 7, 1, 1, 6], "hub": [13, 1, 11, 1, 2, 10]}[kind]
