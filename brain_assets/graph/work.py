"""What a worker does: one year of an asset, or an asset without years, as a Dagster run; or one seed of a policy."""

from collections.abc import Sequence

import dagster as dg
import sqlalchemy.exc
from dagster import AssetKey

from brain_assets.errors import BrainAssetsError
from brain_assets.graph.assets.policies import seed_training
from brain_assets.graph.checks import warnings_in
from brain_assets.graph.configs import ModelRunConfig, SeedsConfig
from brain_assets.graph.options import job_of
from brain_assets.graph.project import Project
from brain_assets.graph.runs import PROCESS_TAG, SHOWN_TAG, failed_steps, show, this_process
from brain_assets.graph.tasks import QUIET, Event, Task
from brain_assets.market.schema import RAW
from brain_assets.portfolio.policies import SeedTraining
from brain_assets.progress import Say, overheard, report
from brain_assets.store.names import cutoff_of_year


class Worker:
    """Does tasks in this process, one after the other."""

    def __init__(self, project: Project, instance: dg.DagsterInstance) -> None:
        self._project, self._instance = project, instance
        self._training: tuple[Task | None, SeedTraining | None] = (None, None)

    def do(self, task: Task, say: Say) -> Event | str:
        """Do a task; what it says on the way goes to `say`.

        Returns
        -------
        Event or str
            What came of it; or, where Dagster's database failed it, a reason to try it again.
        """
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
            training = self._training_of(task)
            training.store(snapshots.storages[training.family], force, task.seed, n_seeds)
        except (BrainAssetsError, RuntimeError, ValueError) as error:  # the others are of torch
            report(f"{task.asset}[{task.year}], seed {task.seed + 1}: {error}")
        return Event("made", task.asset, task.year, this_process())

    def _training_of(self, task: Task) -> SeedTraining:
        """Read what a policy is trained on, unless its last seed was trained here as well."""
        last, training = self._training
        if training is None or last is None or (last.asset, last.year) != (task.asset, task.year):
            project, resources = self._project, self._project.definitions.resources or {}
            family = next(each for each in project.settings.families.policies.values() if each.asset == task.asset)
            configured, given = ModelRunConfig(family, SeedsConfig).read(dict(task.options))
            read, years = resources["table_io"].store.read, project.years.up_to(task.year)
            tables = {name: read(name, years) for name in (*RAW, "walkforward_forecasts")}
            cutoff_date = cutoff_of_year(task.year)
            training = seed_training(family.name, tables, cutoff_date, configured, project.market, given.device)
            self._training = (task, training)
        return training


def execute(defs: dg.Definitions, instance: dg.DagsterInstance, task: Task) -> Event:
    """Do a task as a Dagster run in this process; raises `KeyboardInterrupt` if it was interrupted."""
    result = defs.resolve_job_def(job_of(defs, task.asset)).execute_in_process(
        run_config={"ops": {task.asset: {"config": dict(task.options)}} if task.options else {}, "loggers": QUIET},
        instance=instance,
        partition_key=str(task.year) if task.year else None,
        asset_selection=[AssetKey(task.asset)],
        tags={**SHOWN_TAG, PROCESS_TAG: this_process(), **task.tags},
        raise_on_error=False,
    )
    events = result.all_events
    if any(event.event_type is dg.DagsterEventType.RUN_CANCELED for event in events):
        raise KeyboardInterrupt  # Dagster makes an error of its own of it
    failures = failed_steps(events, instance)
    if result.success:
        show(instance, result.run_id)
        return _made(events, task)
    cause = failures.get(task.asset) or _run_failure(events)
    return Event("failed", task.asset, task.year, this_process(), cause)


def _made(events: Sequence[dg.DagsterEvent], task: Task) -> Event:
    of_step = [event for event in events if event.step_key == task.asset]
    seconds = sum(event.step_success_data.duration_ms / 1000 for event in of_step if event.is_step_success)
    [made] = [event.step_materialization_data.materialization for event in of_step if event.is_step_materialization]
    metadata = {key: value.value for key, value in made.metadata.items()}
    kind = "reused" if metadata.get("reused") else "made"
    checked = [event for event in of_step if event.event_type is dg.DagsterEventType.ASSET_CHECK_EVALUATION]
    warned = warnings_in(event.asset_check_evaluation_data for event in checked)
    return Event(kind, task.asset, task.year, this_process(), task.reason, seconds, metadata, warned)


def _run_failure(events: Sequence[dg.DagsterEvent]) -> str:
    """Say why a run ended before an asset that has no failure of its own."""
    messages = [event.message for event in events if event.is_failure and event.message]
    return messages[0] if messages else "the run ended before it"
