"""What a worker does: one year of an asset, or an asset without years, as a Dagster run; or one seed of a policy."""

import os
import queue
import threading
from multiprocessing.connection import Connection

import dagster as dg
import sqlalchemy.exc
from dagster import AssetKey

from brain_assets.errors import BrainAssetsError
from brain_assets.graph.assets.models import seed_training
from brain_assets.graph.build import WALKFORWARD, open_session
from brain_assets.graph.checks import warnings_in
from brain_assets.graph.instance import CHECKED, PROCESS_TAG, SHOWN_TAG, failure_in, show, this_process
from brain_assets.graph.options import ModelRunConfig, SeedsConfig
from brain_assets.graph.project import Project
from brain_assets.graph.status import metadata_in
from brain_assets.graph.tasks import QUIET, Event, Task
from brain_assets.market.schema import RAW
from brain_assets.portfolio.policies import SeedTraining
from brain_assets.progress import Say, overheard, report
from brain_assets.settings import read_settings
from brain_assets.store.names import cutoff_of_year


class Worker:
    """Does tasks in this process, one after the other."""

    def __init__(self, project: Project, instance: dg.DagsterInstance) -> None:
        self._project, self._instance = project, instance
        self._training: dict[tuple[str, int], SeedTraining] = {}  # of the last seed

    def do(self, task: Task, say: Say) -> Event | str:
        """Do a task; what it says on the way goes to `say`. A text is a reason to try it again: the database failed."""
        with overheard(say):
            try:
                if task.seed:
                    return self._train_seed(task)
                return execute(self._project.definitions, self._instance, task)
            except sqlalchemy.exc.DBAPIError as error:
                return f"Dagster's database said {' '.join(str(error.orig).split())}"

    def _train_seed(self, task: Task) -> Event:
        """Train and store one seed of a policy, for its run to find; if this fails, the run does it, or says why."""
        force, n_seeds = task.options.get("force", False), task.options["n_seeds"]
        snapshots = (self._project.definitions.resources or {})["snapshot_io"]
        try:
            if (task.asset, task.year) not in self._training:
                self._training = {(task.asset, task.year): self._read_training(task)}
            training = self._training[task.asset, task.year]
            training.store(snapshots.storages[training.family], force, task.seed, n_seeds)
        except (BrainAssetsError, RuntimeError, ValueError) as error:  # the others are of torch
            report(f"{task.asset}[{task.year}], seed {task.seed + 1}: {error}")
        return Event("made", task.asset, task.year, this_process())

    def _read_training(self, task: Task) -> SeedTraining:
        """Read what a policy is trained on, as its asset does."""
        project, resources = self._project, self._project.definitions.resources or {}
        family = next(each for each in project.settings.families.policies.values() if each.asset == task.asset)
        configured, given = ModelRunConfig(family, SeedsConfig).read(dict(task.options))
        read, years = resources["table_io"].store.read, project.years.up_to(task.year)
        tables = {name: read(name, years) for name in (*RAW, "walkforward_forecasts")}
        return seed_training(family.name, tables, cutoff_of_year(task.year), configured, project.market, given.device)


def execute(defs: dg.Definitions, instance: dg.DagsterInstance, task: Task) -> Event:
    """Do a task as a Dagster run in this process; raises `KeyboardInterrupt` if it was interrupted."""
    result = _job_of(defs, task).execute_in_process(
        run_config={"ops": {task.asset: {"config": dict(task.options)}} if task.options else {}, "loggers": QUIET},
        instance=instance,
        partition_key=str(task.year) if task.year else None,
        asset_selection=[AssetKey(task.asset)],
        tags={**SHOWN_TAG, PROCESS_TAG: this_process()},
        raise_on_error=False,
    )
    events = result.all_events
    if any(event.event_type is dg.DagsterEventType.RUN_CANCELED for event in events):
        raise KeyboardInterrupt  # Dagster makes an error of its own of it
    if not result.success:
        return Event("failed", task.asset, task.year, this_process(), failure_in(events, instance))
    show(instance, result.run_id)
    of_step = [event for event in events if event.step_key == task.asset]
    seconds = sum(event.step_success_data.duration_ms / 1000 for event in of_step if event.is_step_success)
    [made] = [event.step_materialization_data.materialization for event in of_step if event.is_step_materialization]
    metadata = metadata_in(made)
    kind = "reused" if metadata.get("reused") else "made"
    warned = warnings_in(event.asset_check_evaluation_data for event in of_step if event.event_type is CHECKED)
    return Event(kind, task.asset, task.year, this_process(), task.reason, seconds, metadata, warned)


def _job_of(defs: dg.Definitions, task: Task) -> dg.JobDefinition:
    """Give the job on whose page a run stands: of years, or of an asset without them; else Dagster's own of all."""
    if task.year:
        return defs.resolve_job_def(WALKFORWARD)
    jobs = [job for job in defs.get_repository_def().get_all_jobs() if job.has_node_named(task.asset)]
    return min(jobs, key=lambda job: job.name.startswith("__"))


def work(descriptor: int) -> None:
    """Do the tasks that come to a process of `brain_assets.graph.workers.ProcessPool`, while who sends them lives."""
    connection, tasks = Connection(descriptor), queue.SimpleQueue[Task]()

    def receive() -> None:
        try:
            while True:
                tasks.put(connection.recv())
        except (EOFError, OSError):
            os._exit(1)

    threading.Thread(target=receive, daemon=True).start()
    with open_session(read_settings()) as session:
        worker = Worker(*session)
        while True:
            connection.send(worker.do(tasks.get(), lambda line, level: connection.send((line, level))))
