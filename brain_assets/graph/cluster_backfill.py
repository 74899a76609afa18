"""Years on a cluster from the command line: a run for each asset and year, as many at once as nothing holds back.

A year of an asset waits for the years of others that it is made from, and for nothing else, so years of a model are
trained side by side. Each run has a small process of its own on this machine, which only watches; its step is a job of
the cluster (`brain_assets.graph.cluster`). (Threads would do, but Dagster configures logging anew at the start of every
run, and two runs in one process lock each other out.) What is done is decided when its turn comes, as on one machine:
by Dagster's record, checked against what is stored.

Rerun behaviour: if this process dies, runs under way go on and store what they make, which the next command finds. Two
such commands at once do work twice, and store the same bytes.
"""

import subprocess
import sys
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property, partial
from typing import Any

import dagster as dg
from dagster import AssetKey
from dagster._core.definitions.reconstruct import ReconstructableJob, ReconstructableRepository
from dagster._core.storage.tags import PARTITION_NAME_TAG
from dagster._grpc.types import ExecuteRunArgs
from ray.job_submission import JobSubmissionClient

from brain_assets.graph.backfill import Backfill, Outcome, run_failure
from brain_assets.graph.cluster import open_client, patiently, stop_jobs_of
from brain_assets.graph.cluster_config import ClusterConfig, read_cluster_config
from brain_assets.graph.jobs import WALKFORWARD
from brain_assets.graph.pools import MARKET_POOL
from brain_assets.graph.runs import PROCESS_TAG, close_dead_runs, name_process
from brain_assets.graph.status import State, StatusReader
from brain_assets.progress import report, warn
from brain_assets.settings import Settings

Unit = tuple[str, int]
"""An asset and a year."""

SECONDS_BETWEEN_LOOKS = 0.5


@dataclass
class _Run:
    """A run under way: why it runs, its process, and how far its log was read."""

    reason: str
    run_id: str
    process: "subprocess.Popen[bytes]"
    attempt: int = 0
    cursor: str | None = None


class ClusterBackfill(Backfill):
    """Years of assets on one instance, each step a job of a cluster; see `Backfill`."""

    def __init__(self, settings: Settings, *arguments: Any) -> None:
        super().__init__(*arguments)
        self._settings = settings

    @cached_property
    def _config(self) -> ClusterConfig:
        assets = self._defs.resolve_asset_graph().get_all_asset_keys()
        return read_cluster_config(self._settings.cluster_config, [key.to_user_string() for key in assets])

    def _pool_of(self, asset: str) -> str | None:
        node = self._job.get_node_named(asset).definition
        return node.pool if isinstance(node, dg.OpDefinition) else None

    @cached_property
    def _client(self) -> JobSubmissionClient:
        return open_client(self._config)

    @cached_property
    def _reconstructable(self) -> ReconstructableJob:
        repository = ReconstructableRepository.for_module("brain_assets.definitions", "defs")
        return repository.get_reconstructable_job(WALKFORWARD)

    def run(self, years: Sequence[int], on_year: Callable[[int, Sequence[str]], None]) -> Iterator[Outcome]:
        """Run the years, and give the outcome of each asset and year when it is known."""
        stop_jobs_of(self._client, close_dead_runs(self._instance))
        waiting = [(name, year) for year in years for name in self._assets]
        running: dict[Unit, _Run] = {}
        try:
            while waiting or running:
                for unit, reason in self._next(waiting, running):
                    waiting.remove(unit)
                    if isinstance(reason, Outcome):
                        yield reason
                        continue
                    running[unit] = self._start(unit, reason)
                    on_year(unit[1], [name for name, year in running if year == unit[1]])
                yield from self._finished(running)
        finally:  # the user's Ctrl-C reaches the runs as well: they stop their jobs
            for run in running.values():
                run.process.wait()
            if running:
                stop_jobs_of(self._client, [run.run_id for run in running.values()])

    def _next(self, waiting: Sequence[Unit], running: Mapping[Unit, _Run]) -> Iterator[tuple[Unit, Outcome | str]]:
        """Give the units that nothing holds back, with the reason to run, or the outcome."""
        reader: StatusReader | None = None
        for unit in list(waiting):
            if not {*waiting, *running}.isdisjoint(self._parents(*unit)) or self._must_queue(unit, running):
                continue
            reader = reader or StatusReader(self._defs, self._instance, self.options)
            yield unit, self._decide(unit, reader)

    def _must_queue(self, unit: Unit, running: Iterable[Unit]) -> bool:
        """Tell whether there is no room for a unit, or its source of data is being asked for another year."""
        under_way = [name for name, _ in running]
        return len(under_way) >= self._config.max_runs or (
            self._pool_of(unit[0]) == MARKET_POOL and unit[0] in under_way
        )

    def _decide(self, unit: Unit, reader: StatusReader) -> Outcome | str:
        name, year = unit
        cause = self._broken_parent(name, year)
        if cause:
            self._broken.add(unit)
            return Outcome(name, year, "blocked", cause)
        if self._force:
            return "forced"
        status = reader.read(name, year)
        return Outcome(name, year, "done") if status.state is State.DONE else f"{status.state.value}: {status.reason}"

    def _run_config(self, names: Sequence[str]) -> dict[str, Any]:
        """Give the configuration, steps' consoles not silenced: they are the jobs' logs in Ray's dashboard."""
        return {"ops": super()._run_config(names)["ops"]}

    def _start(self, unit: Unit, reason: str, attempt: int = 0) -> _Run:
        """Start a run in a process of its own."""
        name, year = unit
        selection, origin = frozenset([AssetKey(name)]), self._reconstructable.get_python_origin()
        run = patiently(
            lambda: self._instance.create_run_for_job(
                job_def=self._job.get_subset(asset_selection=selection),
                run_config=self._run_config([name]),
                tags={PARTITION_NAME_TAG: str(year)},
                asset_selection=selection,
                job_code_origin=origin,
            )
        )
        arguments = ExecuteRunArgs(origin, run.run_id, self._instance.get_ref()).get_command_args()
        command = [sys.executable, "-m", *arguments]  # they begin with `dagster`, which need not be on the PATH here
        environment = self._settings.environment()
        process = subprocess.Popen(  # noqa: S603
            command, env=environment, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL
        )
        patiently(lambda: self._instance.add_run_tags(run.run_id, {PROCESS_TAG: name_process(process.pid)}))
        return _Run(reason, run.run_id, process, attempt)

    def _finished(self, running: dict[Unit, _Run]) -> Iterator[Outcome]:
        """Wait a moment, show what runs say, and give the outcomes of those that have ended."""
        for unit, run in list(running.items()):
            try:
                run.process.wait(SECONDS_BETWEEN_LOOKS / len(running))
            except subprocess.TimeoutExpired:
                patiently(partial(self._relay, run))
                continue
            del running[unit]
            outcome = patiently(partial(self._outcome, unit, run))
            if outcome is None:
                running[unit] = self._start(unit, run.reason, run.attempt + 1)
                continue
            self._broken |= {unit} if outcome.result == "failed" else set()
            yield outcome

    def _outcome(self, unit: Unit, run: _Run) -> Outcome | None:
        """Read what became of a run whose process has ended; None: that died, and the run is to be tried again."""
        name, year = unit
        record = self._instance.get_run_by_id(run.run_id)
        if record is not None and not record.is_finished:
            self._instance.report_run_failed(record, f"process {name_process(run.process.pid)} died")
            stop_jobs_of(self._client, [run.run_id])
            if run.attempt < self._config.lost_jobs:
                warn(f"{name}[{year}]: the process that watched it died: it is started again")
                return None
        events = [entry.dagster_event for entry in self._instance.all_logs(run.run_id) if entry.dagster_event]
        made, failures = self._read(events, year, {name: run.reason})
        return made.get(name) or Outcome(name, year, "failed", failures.get(name) or run_failure(events))

    def _relay(self, run: _Run) -> None:
        """Show the newest line that a step on another machine has logged, as if it were here."""
        found = self._instance.get_records_for_run(run.run_id, run.cursor)
        run.cursor = found.cursor
        entries = [record.event_log_entry for record in found.records]
        for line in [entry.user_message for entry in entries if entry.dagster_event is None][-1:]:
            report(line)
