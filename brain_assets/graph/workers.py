"""Processes of this machine that do tasks: each pays its imports once, and dies with the process that started it.

Results repeat to the bit at a fixed number of threads only, so each has one thread. They are not in the terminal's
process group: Ctrl-C reaches the process that started them, which ends them.
"""

import os
import signal
import subprocess
import sys
from contextlib import suppress
from dataclasses import dataclass
from multiprocessing.connection import Connection, Pipe, wait
from pathlib import Path

import dagster as dg

from brain_assets.graph.instance import this_process
from brain_assets.graph.project import Project
from brain_assets.graph.tasks import WAIT_SECONDS, Pool, Task, Told
from brain_assets.plugins import use
from brain_assets.settings import Settings

WORKER_BYTES = 1_200_000_000
"""Memory that is reckoned for a worker that trains."""


@dataclass
class _Worker:
    process: "subprocess.Popen[bytes]"
    connection: Connection
    task: Task | None = None

    @property
    def name(self) -> str:
        return this_process(self.process.pid)

    def end(self) -> int:
        """End it and whatever it has started, and give the code that it ended with."""
        with suppress(ProcessLookupError):
            os.killpg(self.process.pid, signal.SIGKILL)
        self.connection.close()
        return self.process.wait()


class ProcessPool:
    """So many processes of this machine, started when there is work for them."""

    retries = 1
    advice = "if memory ran out, give fewer --jobs"

    def __init__(self, settings: Settings, jobs: int) -> None:
        self._environment = {**settings.environment(), "OMP_NUM_THREADS": "1"}
        self._jobs = jobs
        self.words = f"years of assets at a time: {jobs}, each in a process with one thread (--jobs)"
        self._workers: list[_Worker] = []

    def has_room(self, _task: Task) -> bool:
        """Tell whether a worker is idle, or may be started."""
        return len(self._workers) < self._jobs or any(worker.task is None for worker in self._workers)

    def submit(self, task: Task) -> str:
        """Hand a task to an idle worker, else to a new one."""
        worker = next((each for each in self._workers if each.task is None), None) or self._start()
        worker.task = task
        with suppress(OSError):  # it died in idleness: `wait` sees that
            worker.connection.send(task)
        return worker.name

    def wait(self) -> list[tuple[Task, Told]]:
        """Wait for what workers say."""
        ready = wait([worker.connection for worker in self._workers], WAIT_SECONDS)
        speaking = [worker for worker in self._workers if worker.connection in ready]
        return [message for worker in speaking for message in self._hear(worker)]

    def stop(self) -> list[str]:
        """Kill all: whatever is written is written whole."""
        busy = [worker.name for worker in self._workers if worker.task is not None]
        for worker in self._workers:
            worker.end()
        self._workers.clear()
        return busy

    def _start(self) -> _Worker:
        here, there = Pipe()
        code = f"import_to_stay('brain_assets.graph.work').work({there.fileno()})"
        code = f"import sys; sys.path[:] = {sys.path!r}; from brain_assets.start import import_to_stay; {code}"
        process = subprocess.Popen(  # noqa: S603
            [sys.executable, "-c", code],
            env=self._environment,
            stdin=subprocess.DEVNULL,
            pass_fds=[there.fileno()],
            process_group=0,
        )
        there.close()
        self._workers.append(worker := _Worker(process, here))
        return worker

    def _hear(self, worker: _Worker) -> list[tuple[Task, Told]]:
        task = worker.task
        try:
            told = worker.connection.recv()
        except (EOFError, OSError):
            self._workers.remove(worker)
            code = worker.end()
            ended = f"was killed by signal {-code}" if code < 0 else f"ended with exit code {code}"
            return [(task, f"its worker process {ended}")] if task else []
        if task is None:
            return []
        if not isinstance(told, tuple):
            worker.task = None
        return [(task, told)]


def open_pool(project: Project, instance: dg.DagsterInstance, jobs: int | None = None) -> Pool:
    """Give the workers that the settings name, for so many tasks at a time; None: as many as there is room for."""
    engine = project.settings.brought.engines[project.settings.engine]
    return use(engine, Pool, project, instance, jobs)  # type: ignore[type-abstract]


def local_pool(project: Project, _instance: dg.DagsterInstance, jobs: int | None) -> ProcessPool:
    """Give the workers of this machine, by default as many as there are cores and memory for; see `open_pool`."""
    cores = len(os.sched_getaffinity(0))
    return ProcessPool(project.settings, jobs or max(1, min(cores, _free_memory() // WORKER_BYTES)))


def _free_memory() -> int:
    """Give the bytes that are free for new processes: of the machine, or of the container where that has fewer."""
    lines = Path("/proc/meminfo").read_text().splitlines() if Path("/proc/meminfo").exists() else []
    free = [1024 * int(line.split()[1]) for line in lines if line.startswith("MemAvailable:")]
    limit = Path("/sys/fs/cgroup/memory.max")
    given = limit.read_text().strip() if limit.exists() else "max"
    return min([*free, *([int(given)] if given.isdigit() else [])], default=sys.maxsize)
