"""Runs whose process is gone: left as started, they would hold up what waits for them for ever.

Dagster sees for itself that a run's process died while the server that started it lives. If that died too, or a command
of `brain_assets.graph.backfill` did, nobody does.
"""

import os
import socket
from collections.abc import Sequence

import dagster as dg
from dagster._core.storage.tags import GRPC_INFO_TAG

from brain_assets.files import is_running

PROCESS_TAG = "brain_assets/process"
"""Which process does a run that a command started: its id and machine, as `this_process` gives them."""

UNFINISHED = [dg.DagsterRunStatus.STARTING, dg.DagsterRunStatus.STARTED, dg.DagsterRunStatus.CANCELING]


def this_process() -> str:
    """Name this process among all machines that share an instance."""
    return name_process(os.getpid())


def name_process(process_id: int) -> str:
    """Name a process of this machine, as `is_gone` reads it."""
    return f"{process_id}@{socket.gethostname()}"


def is_gone(process: str) -> bool:
    """Tell whether a process, as `this_process` named it, is known to be over; of another machine nothing is known."""
    process_id, _, machine = process.partition("@")
    return machine == socket.gethostname() and not is_running(int(process_id))


def close_dead_runs(instance: dg.DagsterInstance, launched: bool = False) -> list[str]:
    """Mark runs whose process is gone as failed.

    Parameters
    ----------
    instance : DagsterInstance
    launched : bool
        Take those too that Dagster's daemon launched, through a server on this machine. Say so only where that server
        runs: elsewhere their process ids mean nothing.

    Returns
    -------
    list of str
        Run ids.
    """
    closed = []
    for run in instance.get_runs(filters=dg.RunsFilter(statuses=UNFINISHED)):
        process = run.tags.get(PROCESS_TAG)
        if process is None and launched and GRPC_INFO_TAG in run.tags:
            process = _launched_process(instance, run.run_id)
        if process is not None and is_gone(process):
            instance.report_run_failed(run, f"process {process} died")
            closed.append(run.run_id)
    return closed


def end_runs_of(instance: dg.DagsterInstance, processes: Sequence[str], canceled: bool) -> None:
    """Mark the runs of processes that were ended, or are gone, as canceled or as failed."""
    if not processes:
        return
    begun = dg.RunsFilter(statuses=[dg.DagsterRunStatus.NOT_STARTED, *UNFINISHED], tags={PROCESS_TAG: list(processes)})
    for run in instance.get_runs(filters=begun):
        if canceled:
            instance.report_run_canceled(run, "stopped by the user")
        else:
            instance.report_run_failed(run, f"process {run.tags[PROCESS_TAG]} died")


def _launched_process(instance: dg.DagsterInstance, run_id: str) -> str | None:
    """Read from a run's own log which process does it; None: it has not said so yet."""
    processes = [
        entry.dagster_event.engine_event_data.metadata["pid"].value
        for entry in instance.all_logs(run_id, of_type=dg.DagsterEventType.ENGINE_EVENT)
        if entry.dagster_event and "pid" in entry.dagster_event.engine_event_data.metadata
    ]
    return name_process(int(str(processes[-1]))) if processes else None


@dg.sensor(
    name="dead_runs",
    description="Marks runs whose process died as failed, so that they are tried again and hold nothing up.",
    minimum_interval_seconds=30,
    default_status=dg.DefaultSensorStatus.RUNNING,
)
def dead_runs(context: dg.SensorEvaluationContext) -> dg.SkipReason:
    """Close what a power cut or a killed server left as started."""
    closed = close_dead_runs(context.instance, launched=True)
    return dg.SkipReason(f"closed {', '.join(closed)}" if closed else "every run that has begun has a process")
