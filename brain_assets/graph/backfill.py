"""Years of assets, handed to workers as soon as nothing holds them back: one loop, whoever the workers are.

A year of an asset waits for the years of others that it is made from, and for nothing else. What is done is decided
when its turn comes, by Dagster's record checked against what is stored. Each year of an asset is a Dagster run of its
own. The other seeds of a policy are tasks before its run, which finds them.

Rerun behaviour: whatever ends this process ends its workers; what they had stored is whole, and found by the next.
"""

import logging
import math
import signal
import threading
from collections.abc import Callable, Generator, Iterator, Mapping, Sequence
from contextlib import contextmanager, suppress
from dataclasses import replace
from functools import partial
from typing import Any

import dagster as dg
import sqlalchemy.exc

from brain_assets.errors import SettingsError
from brain_assets.graph.instance import MARKET_POOL, close_dead_runs, end_runs_of, patiently
from brain_assets.graph.options import takes_force
from brain_assets.graph.status import State, StatusReader, asset_names, parents_of
from brain_assets.graph.tasks import BAD, Event, Pool, Task, Told
from brain_assets.progress import warn

Unit = tuple[str, int]
"""An asset and a year."""


class Backfill:
    """Years of some assets (none named: all) on one instance.

    `options`: asset -> its run configuration, as `brain_assets.graph.options.read_options` gives it. `force`: run what
    is done already, and make models anew even if their fingerprint is the same.
    """

    def __init__(
        self,
        defs: dg.Definitions,
        instance: dg.DagsterInstance,
        assets: Sequence[str] = (),
        options: Mapping[str, Mapping[str, Any]] | None = None,
        force: bool = False,
    ) -> None:
        self._defs, self._instance, self._force = defs, instance, force
        known = asset_names(defs)
        if unknown := sorted(set(assets) - set(known)):
            raise SettingsError(
                f"--assets: expected names among {', '.join(known)}, got {', '.join(unknown)}; correct them."
            )
        self._assets = [name for name in known if not assets or name in assets]
        self._graph = defs.resolve_asset_graph()
        self._parents = partial(parents_of, self._graph)
        self._options = options or {}
        self._waiting: dict[Unit, Task | None] = {}  # the task, where there is nothing to decide
        self._ready: list[Task] = []
        self._running: dict[Task, str] = {}
        self._lost: dict[Task, int] = {}
        self._broken: dict[Unit, Sequence[Unit]] = {}  # with what failed and broke it
        self.unfinished: set[Unit] = set()
        """The years of assets, of those asked for, that have not come to an end."""
        self._reader: StatusReader | None = None
        self._stop_if_asked: Callable[[], None] = lambda: None

    def run(self, years: Sequence[int], pool: Pool, last: Sequence[Task] = ()) -> Generator[Event]:
        """Run the years, and tell what happens as it happens; close the iterator to stop.

        Ctrl-C is `KeyboardInterrupt`, as ever, but raised where it does no harm: within a fraction of a second. The
        pool is stopped at the end. `last`: assets without years, each run once the years that it is made from are done.
        """
        self._waiting = dict.fromkeys((name, year) for year in years for name in self._assets)
        self._waiting |= {(task.asset, task.year): task for task in last}
        self.unfinished = set(self._waiting)
        with _interrupts_noted() as self._stop_if_asked:
            try:
                close_dead_runs(self._instance)
                yield from self._decide_all()
                while self._ready or self._running:
                    yield from self._hand_out(pool)
                    for task, told in pool.wait():
                        self._stop_if_asked()  # Ctrl-C may have killed a worker as well
                        yield from self._heard(task, told, pool)
                        if not isinstance(told, tuple):
                            yield from self._decide_all()
                    self._stop_if_asked()
            finally:
                with suppress(sqlalchemy.exc.DBAPIError):  # the next command marks them, then
                    end_runs_of(self._instance, pool.stop(), canceled=True)
                close_dead_runs(self._instance)  # a worker may outlive the command before this one by a moment

    def _decide_all(self) -> Iterator[Event]:
        """Decide on whatever nothing holds back: it ends here, or gets ready to be handed out."""
        for unit in list(self._waiting):
            self._stop_if_asked()
            if any(parent in self.unfinished for parent in self._parents(*unit)):
                continue
            found = patiently(partial(self._decide, unit), self._stop_if_asked)
            del self._waiting[unit]
            if isinstance(found, Event):
                yield self._ended(found)
            else:
                self._ready += found

    def _decide(self, unit: Unit) -> Event | list[Task]:
        name, year = unit
        broken = dict.fromkeys(root for parent in self._parents(name, year) for root in self._broken.get(parent, ()))
        if broken:
            needs = ", ".join(f"{parent}[{when}]" for parent, when in broken)
            return Event("blocked", name, year, detail=f"needs {needs}", roots=tuple(broken))
        if task := self._waiting[unit]:
            return [task]
        reason = "forced"
        if not self._force:
            self._reader = self._reader or StatusReader(self._defs, self._instance, self._options)
            status = self._reader.read(name, year)
            if status.state is State.DONE:
                return Event("done", name, year, detail=status.reason, warnings=status.warnings)
            reason = f"{status.state.value}: {status.reason}"
        forced = {"force": True} if self._force and takes_force(self._graph, name) else {}
        task = Task(name, year, {**self._options.get(name, {}), **forced}, reason=reason)
        return [*(replace(task, seed=number) for number in range(1, task.options.get("n_seeds", 1))), task]

    def _hand_out(self, pool: Pool) -> Iterator[Event]:
        """Give to workers what there is room for, the earliest years first, and of a year the seeds."""
        self._ready.sort(key=lambda task: (task.year or math.inf, not task.seed))
        for task in list(self._ready):
            if self._must_queue(task) or not pool.has_room(task):
                continue
            self._ready.remove(task)
            self._running[task] = pool.submit(task)
            if not task.seed:
                yield Event("begun", task.asset, task.year, self._running[task], task.reason)

    def _must_queue(self, task: Task) -> bool:
        """Tell whether its source of data is being asked for another year, or its other seeds are not trained yet."""
        pools = self._graph.get(dg.AssetKey(task.asset)).pools or ()
        if MARKET_POOL in pools and any(each.asset == task.asset for each in self._running):
            return True
        others = (each for each in (*self._ready, *self._running) if each.seed and not task.seed)
        return any((each.asset, each.year) == (task.asset, task.year) for each in others)

    def _heard(self, task: Task, told: Told, pool: Pool) -> Iterator[Event]:
        """Pass on what a worker tells of a task; if it has ended, tell how."""
        name, year, worker = task.asset, task.year, self._running[task]
        if isinstance(told, tuple):
            line, level = told
            if level >= logging.WARNING:
                warn(line)
            else:
                yield Event("progress", name, year, worker, line)
            return
        del self._running[task]
        self._reader = None  # it remembers what it read
        if isinstance(told, str):
            patiently(partial(end_runs_of, self._instance, [worker], canceled=False), self._stop_if_asked)
        if task.seed:
            return  # what became of it, its policy's own run finds
        if isinstance(told, Event):
            yield self._ended(told)
            return
        self._lost[task] = self._lost.get(task, 0) + 1
        if self._lost[task] <= pool.retries:
            warn(f"{name}[{year}]: {told}: it is tried again")
            self._ready.append(task)
            return
        detail = f"expected a worker that lives, got {self._lost[task]} of which {told}; {pool.advice}."
        yield self._ended(Event("failed", name, year, worker, detail))

    def _ended(self, event: Event) -> Event:
        self.unfinished.discard((event.asset, event.year))
        if event.kind in BAD:
            self._broken[event.asset, event.year] = event.roots or [(event.asset, event.year)]
        return event


@contextmanager
def _interrupts_noted() -> Iterator[Callable[[], None]]:
    """Note Ctrl-C, and give what raises it if it was pressed: in the middle of a call of Dagster it does harm."""
    if threading.current_thread() is not threading.main_thread():
        yield lambda: None
        return
    noted = threading.Event()

    def raise_if_noted() -> None:
        if noted.is_set():
            raise KeyboardInterrupt

    before = signal.signal(signal.SIGINT, lambda *_: noted.set())
    try:
        yield raise_if_noted
    finally:
        signal.signal(signal.SIGINT, before)
