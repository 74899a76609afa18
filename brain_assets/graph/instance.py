"""The user's Dagster instance and its runs: who does one, why one failed, and which were left as started.

Runs whose process is gone would hold up what waits for them for ever. Dagster sees for itself that a run's process
died while the server that started it lives. If that died too, or a command of `brain_assets.graph.backfill` did, nobody
does. `dagster.yaml` has the limit of each pool where none was set.
"""

import fcntl
import os
import re
import socket
import sqlite3
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from importlib import resources
from pathlib import Path
from typing import Any, TypeVar

import dagster as dg
import tenacity
from dagster._check import CheckError
from dagster._core.remote_origin import RemoteRepositoryOrigin
from dagster._core.storage.tags import GRPC_INFO_TAG, REPOSITORY_LABEL_TAG
from dagster._core.workspace.load import location_origin_from_module_name
from dagster_shared.serdes.errors import DeserializationError

from brain_assets import errors
from brain_assets.errors import StorageError
from brain_assets.graph.tasks import WAIT_SECONDS
from brain_assets.paths import is_remote, is_running
from brain_assets.progress import LOGGER
from brain_assets.settings import Settings

T = TypeVar("T")

MARKET_POOL = "market"
"""Assets that ask a source of data, which is asked by one run at a time. Scoring headlines is here too."""

TRAINING_POOL = "training"
"""Assets that compute: each on one thread, so that a limit of as many as there are cores keeps all of them busy."""

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

HEARTBEAT_SECONDS = 60
"""How old the last sign of a daemon may be that still runs: it gives one every half minute."""

MAX_AWAY_SECONDS = 600
"""How long Dagster's database may be away before work is given up."""


def home_of(settings: Settings) -> Path:
    """Give the DAGSTER_HOME, which may not be there yet: the one set, else a persistent one in the data folder.

    If the data folder is elsewhere, Dagster's own records still lie on this machine, in a folder named after the URL:
    for ``s3://bucket/prefix`` in ``data/dagster-s3-bucket-prefix``. Several machines that are to share them set
    DAGSTER_HOME and a database server in its ``dagster.yaml``.
    """
    data = settings.data_dir
    elsewhere = Path("data") / f"dagster-{re.sub(r'[^A-Za-z0-9.]+', '-', str(data)).strip('-')}"
    return (settings.dagster_home or (elsewhere if is_remote(data) else data / "dagster")).resolve()


def dagster_home(settings: Settings) -> Path:
    """Give the DAGSTER_HOME (`home_of`), made if need be; raises `StorageError`."""
    home = home_of(settings)
    try:
        home.mkdir(parents=True, exist_ok=True)
        if not (home / "dagster.yaml").exists():
            shipped = resources.files("brain_assets.graph") / "dagster.yaml"
            (home / "dagster.yaml").write_text(shipped.read_text())
    except OSError as error:
        raise StorageError.unwritable(home, error.strerror) from error
    return home


def prepare_ui(settings: Settings) -> Path:
    """Give the DAGSTER_HOME, its instance ready for runs side by side: one on each core.

    Raises `StorageError` as `open_instance` does, and if a daemon, of any machine, works on the instance already.
    """
    home = dagster_home(settings)
    with open_instance(home) as instance:
        beats = [beat.timestamp for beat in instance.get_daemon_heartbeats().values()]
        if beats and (age := time.time() - max(beats)) < HEARTBEAT_SECONDS:
            raise StorageError(
                f"{home}: expected no other daemon of Dagster, as two would start each run twice, got one that was "
                f"there {max(age, 0):.0f} s ago by its heartbeat; use its UI, or stop it and wait a minute."
            )
        let_training_use_all_cores(instance)
    return home


def let_training_use_all_cores(instance: dg.DagsterInstance) -> None:
    """Set the limit of `TRAINING_POOL` to the number of cores, unless somebody has set one."""
    limits = instance.event_log_storage.get_pool_limits()
    if not any(limit.name == TRAINING_POOL and not limit.from_default for limit in limits):
        instance.event_log_storage.set_concurrency_slots(TRAINING_POOL, len(os.sched_getaffinity(0)))


@contextmanager
def open_instance(home: Path) -> Iterator[dg.DagsterInstance]:
    """Open the instance of a DAGSTER_HOME; raises `StorageError` if it cannot be opened, read or written."""
    import sqlalchemy.exc  # a tenth of the time that definitions load in, which need no database

    try:
        with _open(home) as instance:
            yield instance
    except (sqlalchemy.exc.DatabaseError, DeserializationError) as error:
        if type(error) not in (sqlalchemy.exc.DatabaseError, sqlalchemy.exc.OperationalError, DeserializationError):
            raise
        raise _unusable(home, error) from error


def patiently(operation: Callable[[], T], stop_if_asked: Callable[[], None]) -> T:
    """Do something that needs Dagster's database, and wait if its server is away; raises its error after a while.

    The wait ends with what `stop_if_asked`, which is called again and again, raises.
    """

    def sleep(seconds: float) -> None:
        end = time.monotonic() + seconds
        while (left := end - time.monotonic()) > 0:
            stop_if_asked()
            time.sleep(min(left, WAIT_SECONDS))

    waiting = tenacity.Retrying(
        retry=tenacity.retry_if_exception(_is_away),
        wait=tenacity.wait_exponential(max=10),
        stop=tenacity.stop_after_delay(MAX_AWAY_SECONDS),
        sleep=sleep,
        before_sleep=lambda _: LOGGER.info("Dagster's database does not answer: waiting for it"),
        reraise=True,
    )
    return waiting(operation)


def _is_away(error: BaseException) -> bool:
    """Tell whether an error says that a database server does not answer; files that fail, fail for good."""
    import sqlalchemy.exc

    lost = sqlalchemy.exc.OperationalError | sqlalchemy.exc.InterfaceError
    causes = (error, error.__cause__, error.__context__)
    return any(isinstance(cause, lost) and not isinstance(cause.orig, sqlite3.Error | None) for cause in causes)


def _open(home: Path) -> dg.DagsterInstance:
    """Open the instance that ``dagster.yaml`` describes; one process at a time, as two would both make its tables."""
    try:
        with (home / ".opening").open("w") as lock:
            fcntl.flock(lock, fcntl.LOCK_EX)
            return dg.DagsterInstance.from_config(str(home))
    except OSError as error:
        raise StorageError.unwritable(home, error.strerror) from error
    except (dg.DagsterError, CheckError) as error:
        said = " ".join(str(error).split()).split("Error 1: ")[-1].split(" Stack Trace: ")[0]
        raise StorageError(
            f"{home / 'dagster.yaml'}: expected what Dagster can open, got: {said}; correct it, set the variables that "
            "it names, or install what it names."
        ) from error
    except Exception as error:  # dagster-postgres has an error of its own, and may not be installed
        if hasattr(error.__cause__, "orig"):
            raise _unusable(home, error.__cause__) from error
        raise


def _unusable(home: Path, error: BaseException | None) -> StorageError:
    """Say why the record cannot be used: its files cannot be written or are broken, or its server does not answer."""
    cause = getattr(error, "orig", None) or error
    if isinstance(cause, sqlite3.OperationalError) and "Could not decode" not in str(cause):
        return StorageError.unwritable(home, cause)
    said = str(cause).partition("\n")[0].partition(" with text ")[0]  # without the event itself
    return StorageError(
        f"{home}: expected Dagster's record, got: {said}; start its server, or correct dagster.yaml; if it is broken, "
        "restore it or move it away: what is stored stays, and a backfill finds it."
    )


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
        return str(StorageError.unwritable(instance.root_directory, message))
    if str(error.cls_name).endswith("MemoryError") or "can't allocate memory" in message:  # of numpy; of torch
        return f"expected enough memory for it, got too little ({message}); give fewer --jobs, or the machine more."
    return f"expected no error of this kind, got {error.cls_name}: {message}; its run in Dagster's UI has the rest."
