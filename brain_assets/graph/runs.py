"""Runs: who does one, why one failed, and which were left as started.

Those whose process is gone would hold up what waits for them for ever. Dagster sees for itself that a run's process
died while the server that started it lives. If that died too, or a command of `brain_assets.graph.backfill` did, nobody
does.
"""

import os
import socket
from collections.abc import Sequence
from typing import Any

import dagster as dg
from dagster._core.remote_origin import RemoteRepositoryOrigin
from dagster._core.storage.tags import GRPC_INFO_TAG, REPOSITORY_LABEL_TAG
from dagster._core.workspace.load import location_origin_from_module_name

from brain_assets import errors
from brain_assets.paths import is_running

PROCESS_TAG = "brain_assets/process"
"""Which process does a run that a command started: its id and machine, as `this_process` gives them."""

ORIGIN = RemoteRepositoryOrigin(
    location_origin_from_module_name("brain_assets.definitions", None, None), "__repository__"
)
"""Where runs come from that the UI shows on its front page and on that of their job; of others it knows no job.

`workspace.yaml`, `pyproject.toml` and `brain-assets ui` name the code location by its module, too."""
SHOWN_TAG = {REPOSITORY_LABEL_TAG: ORIGIN.get_label()}
"""Lets the page of its job show a run while it goes on."""

CHECKED = dg.DagsterEventType.ASSET_CHECK_EVALUATION
UNFINISHED = [dg.DagsterRunStatus.STARTING, dg.DagsterRunStatus.STARTED, dg.DagsterRunStatus.CANCELING]


def show(instance: dg.DagsterInstance, run_id: str) -> None:
    """Let the UI show a run of this process on its front page, once it went well.

    One that failed would be tried again by Dagster's daemon, beside the command that ran it.
    """
    run = instance.get_run_by_id(run_id)
    if run is not None:
        instance.run_storage.replace_job_origin(run, ORIGIN.get_job_origin(run.job_name))


def this_process(process_id: int | None = None) -> str:
    """Name this process, or another of this machine, among all machines that share an instance."""
    return f"{process_id or os.getpid()}@{socket.gethostname()}"


def is_gone(process: str) -> bool:
    """Tell whether a process, as `this_process` named it, is known to be over; of another machine nothing is known."""
    process_id, _, machine = process.partition("@")
    return machine == socket.gethostname() and not is_running(int(process_id))


def close_dead_runs(instance: dg.DagsterInstance, launched: bool = False) -> list[str]:
    """Mark runs whose process is gone as failed, and give their ids.

    `launched`: take those too that Dagster's daemon launched, through a server on this machine. Say so only where that
    server runs: elsewhere their process ids mean nothing.
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


def _launched_process(instance: dg.DagsterInstance, run_id: str) -> str | None:
    """Read from a run's own log which process does it; None: it has not said so yet."""
    entries = instance.all_logs(run_id, of_type=dg.DagsterEventType.ENGINE_EVENT)
    said = [entry.dagster_event.engine_event_data.metadata for entry in entries if entry.dagster_event]
    processes = [metadata["pid"].value for metadata in said if "pid" in metadata]
    return this_process(int(str(processes[-1]))) if processes else None


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


def failure_in(events: Sequence[dg.DagsterEvent], instance: dg.DagsterInstance) -> str:
    """Say why the run of an asset failed: a check that blocks, an error, or what became of the run."""
    checked = [event.asset_check_evaluation_data for event in events if event.event_type is CHECKED]
    error = dg.AssetCheckSeverity.ERROR
    refused = [each for each in checked if each.blocking and not each.passed and each.severity is error]
    if refused:
        return f"{refused[-1].check_name}: {refused[-1].description}"
    raised = [_cause_of(event.step_failure_data.error, instance) for event in events if event.is_step_failure]
    others = [event.message for event in events if event.is_failure and event.message]
    return next(iter([*raised, *others]), "the run ended before it")


def _cause_of(error: Any, instance: dg.DagsterInstance) -> str:
    while error.cause is not None and not hasattr(errors, error.cls_name or ""):
        error = error.cause
    message = str(error.message).strip().split(": ", 1)[-1]
    if hasattr(errors, error.cls_name or ""):
        return message
    if error.cls_name == "OperationalError":  # of the instance's SQLite
        return str(errors.StorageError.unwritable(instance.root_directory, message))
    if str(error.cls_name).endswith("MemoryError") or "can't allocate memory" in message:  # of numpy; of torch
        return f"expected enough memory for it, got too little ({message}); give fewer --jobs, or the machine more."
    return f"expected no error of this kind, got {error.cls_name}: {message}; its run in Dagster's UI has the rest."
