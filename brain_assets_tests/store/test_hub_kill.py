"""kill -9 while snapshots are written, pushed and pulled: nothing half counts, nothing is lost, a re-run completes."""

import itertools
import os
import random
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field, replace
from pathlib import Path

import numpy as np
import pytest

from brain_assets.store.folder import MANIFEST, PAYLOAD, check_files, read_files, verify
from brain_assets.store.names import cutoff_of_year, parse_snapshot_name, snapshot_name
from brain_assets.store.snapshot import ModelSnapshot
from brain_assets.store.storage import SnapshotLocalStorage
from brain_assets.store.sync import Relation, compare
from brain_assets_tests.backfills import REPOSITORY
from brain_assets_tests.loopback_hub import Answer, Fault, Request
from brain_assets_tests.store.hub_rounds import N_VARIANTS, Rounds, variant_of
from brain_assets_tests.store.hubs import REPO, WatchedHub

N_KILLS = 5
"""One after the other, on one Hub and one pair of folders."""
N_NEW = 2
"""Snapshots that every killed process writes for the first time; it replaces as many of those that are there."""


@pytest.fixture(scope="module")
def variants(trained: ModelSnapshot, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder of snapshots that differ in weights, card and metadata."""
    folder = tmp_path_factory.mktemp("variants")
    for variant in range(N_VARIANTS):
        weights = {
            name: weight + np.float32(variant / N_VARIANTS)
            for name, weight in trained.arrays.items()
            if weight.dtype == np.float32
        }
        card = f"{trained.card}\nVariant {variant}.\n"
        replace(trained, arrays={**trained.arrays, **weights}, card=card).save(folder / str(variant))
    return folder


MOMENTS = ("has come", "is done")
IsReached = Callable[[str, Request], bool]


class ToldHub(WatchedHub):
    """Tells of every request twice: when its header has come, and when it is done but not answered."""

    watch: Callable[[str, Request], object] = staticmethod(lambda moment, request: None)

    def receive(self, method: str, url: str, headers: dict[str, str]) -> tuple[Request, Fault | None]:
        request, fault = super().receive(method, url, headers)
        self.watch(MOMENTS[0], request)
        return request, fault

    def answer(self, request: Request, body: bytes) -> Answer:
        answer = super().answer(request, body)
        self.watch(MOMENTS[1], request)
        return answer


@dataclass
class World:
    """A Hub, the folders that are synchronized with it, and what was there before the kill."""

    root: Path
    hub: ToldHub
    rounds: Rounds = field(init=False)

    def __post_init__(self) -> None:
        self.rounds = Rounds(self.root, self.hub.endpoint)

    @property
    def storages(self) -> tuple[SnapshotLocalStorage, SnapshotLocalStorage]:
        return self.rounds.here, self.rounds.there

    def branches(self) -> dict[str, str]:
        return self.hub.branches(REPO) if ("model", REPO) in self.hub.repos() else {}

    def names(self) -> list[set[str]]:
        """What counts as a snapshot by its name: here, there, on the Hub."""
        folders = [{path.name for path in storage.folder.glob("snapshot-*")} for storage in self.storages]
        return [*folders, {name for name in self.branches() if name.startswith("snapshot-")}]

    def leftovers(self) -> list[str]:
        found = [str(path) for kind in ("new", "old") for path in self.root.rglob(f".{kind}-*")]
        return found + [name for name in self.branches() if name not in {"main", *self.names()[2]}]


@contextmanager
def running(world: World, first_variant: int, years: list[int]) -> Iterator[subprocess.Popen[bytes]]:
    """Run `hub_rounds` in a process group of its own; at the end it is gone, and the Hub has answered all it asked."""
    connections = world.hub.connections
    words = [str(world.root), world.hub.endpoint, str(first_variant), *map(str, years)]
    with subprocess.Popen(
        [sys.executable, "-m", "brain_assets_tests.store.hub_rounds", *words],
        cwd=REPOSITORY,
        stdout=subprocess.DEVNULL,
        stderr=subprocess.PIPE,
        start_new_session=True,
    ) as process:
        try:
            yield process
        finally:
            if process.poll() is None:
                os.killpg(process.pid, signal.SIGKILL)
    deadline = time.monotonic() + 60
    while world.hub.connections > connections:
        assert time.monotonic() < deadline, "the Hub is still answering a dead process"
        time.sleep(0.002)


def kill(world: World, chance: random.Random, first_variant: int, years: list[int]) -> str:
    """Kill it at a random point, counted in what it has done; gives the point in words."""
    delay = chance.choice((0.0, chance.uniform(0.0, 0.01)))
    if chance.random() < 0.35:
        return kill_at_folder(world, chance.randrange(1, 30), delay, first_variant, years)
    moment, counter = chance.choice(MOMENTS), itertools.count()
    is_counted, index = chance.choice(((is_any, chance.randrange(100)), (is_write, chance.randrange(40))))

    def is_reached(reached: str, request: Request) -> bool:
        return reached == moment and is_counted(request) and next(counter) == index

    return kill_at_request(world, is_reached, delay, first_variant, years)


def is_any(request: Request) -> bool:
    return True


def is_write(request: Request) -> bool:
    return request.method != "GET"


def kill_at_request(world: World, is_reached: IsReached, delay: float, first_variant: int, years: list[int]) -> str:
    """Kill it when a request has reached the Hub, or has been done and not been answered yet, or a moment later."""
    points: list[str] = []
    with running(world, first_variant, years) as process:

        def watch(moment: str, request: Request) -> None:
            if points or not is_reached(moment, request):
                return
            points.append(f"{request.method} {request.path} {moment}, + {1000 * delay:.1f} ms")
            if delay:
                threading.Timer(delay, os.killpg, (process.pid, signal.SIGKILL)).start()
            else:
                os.killpg(process.pid, signal.SIGKILL)

        world.hub.watch = watch
        assert process.wait(60) == -signal.SIGKILL, ended(process)
    return points[0]


def kill_at_folder(world: World, wanted: int, delay: float, first_variant: int, years: list[int]) -> str:
    """Kill it a moment after its n-th temporary folder or file has appeared."""
    places = [folder for storage in world.storages for folder in (storage.folder, storage.folder / ".hub")]
    seen: set[str] = set()
    deadline = time.monotonic() + 60
    with running(world, first_variant, years) as process:
        while len(seen) < wanted:
            assert process.poll() is None, ended(process)
            assert time.monotonic() < deadline, f"only {len(seen)} of {wanted} temporary folders"
            for place in places:
                with suppress(FileNotFoundError):
                    seen |= {name for name in os.listdir(place) if name.startswith((f".new-{process.pid}-", ".old-"))}
            time.sleep(0.0002)
        time.sleep(delay)
        assert process.poll() is None, ended(process)
    return f"temporary folder {wanted} + {1000 * delay:.1f} ms"


def ended(process: subprocess.Popen[bytes]) -> str:
    """Say why it ended by itself, which it never should."""
    assert process.stderr is not None
    return f"exit code {process.wait()}: {process.stderr.read().decode()}"


def assert_nothing_half(world: World, before: list[set[str]], payloads: Mapping[int, bytes]) -> None:
    """Check that whatever has a snapshot's name is one, is listed, and is of one variant; and that nothing is gone."""
    for storage, earlier in zip(world.storages, before[:2], strict=True):
        folders = sorted(storage.folder.glob("snapshot-*"))
        assert {folder.name: verify(folder) for folder in folders} == {folder.name: None for folder in folders}
        listed = storage.list_snapshots()  # puts back what was moved aside
        assert {snapshot_name(date) for date in listed} == {path.name for path in storage.folder.glob("snapshot-*")}
        assert {snapshot_name(date) for date in listed} >= earlier
        for date in listed:
            assert storage.load_snapshot(date).cutoff_date == date
            variant, payload = variant_of(read_files(storage.path(date)))
            assert payload == payloads[variant % N_VARIANTS]
    names = world.names()[2]
    assert names >= before[2]
    assert set(world.rounds.here.list_hf_snapshots()) == {parse_snapshot_name(name) for name in names}
    for name in names:
        for files in world.hub.ever(name):  # now, and at every moment
            assert set(files) == {*PAYLOAD, MANIFEST}
            assert check_files(files) is None
            variant, payload = variant_of(files)
            assert payload == payloads[variant % N_VARIANTS]


def complete(world: World, years: list[int], all_years: list[int]) -> None:
    """Do what was killed again, to its end, as a re-run does it: what is whole is not written again."""
    dates = [cutoff_of_year(year) for year in all_years]
    for date in map(cutoff_of_year, years):
        if not world.rounds.here.snapshot_exists(date):
            world.rounds.write(date, 0)
    assert world.rounds.exchange() == []
    for storage in world.storages:
        assert storage.list_snapshots() == dates
        assert storage.list_hf_snapshots() == dates
        assert {row.relation for row in compare(storage)} == {Relation.EQUAL}
    for date in dates:
        files = read_files(world.rounds.here.path(date))
        assert read_files(world.rounds.there.path(date)) == files
        assert world.hub.files(REPO, snapshot_name(date)) == files
    assert world.leftovers() == []


def kill_again_and_again(seed: int, variants: Path, root: Path) -> None:
    """Kill `N_KILLS` times, now and then twice in a row; a re-run follows."""
    chance = random.Random(seed)
    (root / "variants").symlink_to(variants)
    payloads = {i: variant_of_folder(variants / str(i)) for i in range(N_VARIANTS)}
    all_years: list[int] = []
    with ToldHub() as hub:
        world = World(root, hub)
        for number in range(N_KILLS):
            new = range(2000 + N_NEW * number, 2000 + N_NEW * (number + 1))
            years = [*chance.sample(all_years, min(N_NEW, len(all_years))), *new]
            chance.shuffle(years)
            all_years += new
            for _ in range(1 + (chance.random() < 0.3)):
                before = world.names()
                point = kill(world, chance, chance.randrange(1000), years)
                print(f"seed {seed}, kill {number}: {point}; left: {world.leftovers()}")  # noqa: T201
                assert_nothing_half(world, before, payloads)
            complete(world, years, all_years)


def variant_of_folder(folder: Path) -> bytes:
    files = read_files(folder)
    return b"".join(files[name] for name in PAYLOAD)


def test_killed_when_its_branch_has_just_appeared(variants: Path, tmp_path: Path) -> None:
    """It dies before it has removed the branch on which it had prepared the snapshot's."""
    (tmp_path / "variants").symlink_to(variants)

    def is_made(moment: str, request: Request) -> bool:
        return moment == "is done" and request.path.endswith("/branch/snapshot-2000-12-31")

    with ToldHub() as hub:
        world = World(tmp_path, hub)
        kill_at_request(world, is_made, 0.0, 0, [2000])
        assert set(world.branches()) == {"main", "snapshot-2000-12-31", "pushing-snapshot-2000-12-31"}
        complete(world, [2000], [2000])


@pytest.mark.slow
def test_killed_five_times(variants: Path, tmp_path: Path) -> None:
    kill_again_and_again(0, variants, tmp_path)


@pytest.mark.slow
@pytest.mark.claim
@pytest.mark.parametrize("seed", range(1, 11))
def test_killed_fifty_times(seed: int, variants: Path, tmp_path: Path) -> None:
    kill_again_and_again(seed, variants, tmp_path)
