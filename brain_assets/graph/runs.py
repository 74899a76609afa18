"""Runs: why one failed, which were left as started, and which are old and nothing rests on them.

Those whose process is gone would hold up what waits for them for ever. Dagster sees for itself that a run's process
died while the server that started it lives. If that died too, or a command of `brain_assets.graph.backfill` did, nobody
does. What Dagster knows of a year is an event of the run that made it: with that run deleted, the year counts as
missing. So a run stays as long as it holds the newest materialization of any asset and year.
"""

import datetime
import os
import socket
from collections.abc import Sequence
from typing import Any

import dagster as dg
from dagster._core.remote_origin import RemoteRepositoryOrigin
from dagster._core.storage.tags import GRPC_INFO_TAG, REPOSITORY_LABEL_TAG
from dagster._core.workspace.load import location_origin_from_module_name

from brain_assets import errors
from brain_assets.files import is_running
from brain_assets.graph.record import newest_materializations

PROCESS_TAG = "brain_assets/process"
"""Which process does a run that a command started: its id and machine, as `this_process` gives them."""

ORIGIN = RemoteRepositoryOrigin(
    location_origin_from_module_name("brain_assets.definitions", None, None), "__repository__"
)
"""Where runs come from that the UI shows on its front page and on that of their job; of others it knows no job.

`workspace.yaml`, `pyproject.toml` and `brain-assets ui` name the code location by its module, too."""
SHOWN_TAG = {REPOSITORY_LABEL_TAG: ORIGIN.get_label()}
"""Lets the page of its job show a run while it goes on."""

UNFINISHED = [dg.DagsterRunStatus.STARTING, dg.DagsterRunStatus.STARTED, dg.DagsterRunStatus.CANCELING]
FINISHED = [dg.DagsterRunStatus.SUCCESS, dg.DagsterRunStatus.FAILURE, dg.DagsterRunStatus.CANCELED]


def show(instance: dg.DagsterInstance, run_id: str) -> None:
    """Let the UI show a run of this process on its front page, once it went well.

    One that failed would be tried again by Dagster's daemon, beside the command that ran it.
    """
    run = instance.get_run_by_id(run_id)
    if run is not None:
        instance.run_storage.replace_job_origin(run, ORIGIN.get_job_origin(run.job_name))


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


def prunable(instance: dg.DagsterInstance, before: datetime.datetime) -> list[dg.RunRecord]:
    """Give the runs that ended before a moment (with a time zone) and hold no newest materialization, oldest first."""
    needed = {made.run_id for key in instance.all_asset_keys() for made in newest_materializations(instance, key)}
    finished = dg.RunsFilter(statuses=FINISHED, updated_before=before)
    records = instance.get_run_records(filters=finished, ascending=True)
    return [record for record in records if record.dagster_run.run_id not in needed]


def prune(instance: dg.DagsterInstance, record: dg.RunRecord) -> None:
    """Delete a run, its events and what its processes printed."""
    run_id = record.dagster_run.run_id
    instance.delete_run(run_id)
    instance.compute_log_manager.delete_logs(prefix=[run_id])


def cause_of(error: Any, instance: dg.DagsterInstance) -> str:
    """Give our own error's sentence, else make one of the innermost error."""
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


def failed_steps(events: Sequence[dg.DagsterEvent], instance: dg.DagsterInstance) -> dict[str, str]:
    """Give the sentence of each step that failed, or whose check that blocks did not pass."""
    failures = {
        str(event.step_key): cause_of(event.step_failure_data.error, instance)
        for event in events
        if event.is_step_failure
    }
    for event in events:
        if event.event_type is dg.DagsterEventType.ASSET_CHECK_EVALUATION:
            found = event.asset_check_evaluation_data
            if found.blocking and not found.passed and found.severity is dg.AssetCheckSeverity.ERROR:
                failures[found.asset_key.to_user_string()] = f"{found.check_name}: {found.description}"
    return failures
