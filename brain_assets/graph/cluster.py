"""Steps as jobs of a Ray cluster, by dagster-ray: one job a step, on whichever node has room for what it asks for.

What differs from dagster-ray's own executor: what a step asks for is configured by pool or by asset, in a file; a step
whose job died (its node went down, its process was killed) is tried again on another node, while one that failed with a
sentence is not, as it would say the same; and the executor waits while Dagster's database is away.

Nodes need this package on their PATH, the same versions everywhere, and the variables that are secret: a job's own
variables are shown to everyone who can open Ray's dashboard, so only settings are handed over.
"""

import os
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from typing import Any, TypeVar

import dagster as dg
import sqlalchemy.exc
import tenacity
from dagster._core.definitions.executor_definition import multiple_process_executor_requirements
from dagster._core.events import DagsterEvent
from dagster._core.execution.plan.objects import StepRetryData
from dagster._core.execution.retries import RetryMode
from dagster._core.executor.step_delegating import CheckStepHealthResult, StepDelegatingExecutor, StepHandlerContext
from dagster_ray.core.executor import RayStepHandler
from ray.job_submission import JobSubmissionClient

from brain_assets.errors import StorageError
from brain_assets.graph.cluster_config import LOCAL_ADDRESS, ClusterConfig, read_cluster_config, step_environment
from brain_assets.progress import LOGGER, warn
from brain_assets.settings import Settings

T = TypeVar("T")

SECONDS_BETWEEN_LOOKS = 5
"""At whether a step's job still lives."""

MAX_AWAY_SECONDS = 600
"""How long Dagster's database or the cluster may be away before a run gives up."""


def open_client(config: ClusterConfig) -> JobSubmissionClient:
    """Connect to the cluster; raises `StorageError` if it does not answer."""
    address = config.address or os.environ.get("RAY_ADDRESS") or LOCAL_ADDRESS
    try:
        return JobSubmissionClient(address)
    except (ConnectionError, RuntimeError, ValueError) as error:
        said = " ".join(str(error).split())
        raise StorageError(
            f"{address}: expected the dashboard of a Ray cluster, got: {said}; start one with `ray start --head`, or "
            "set RAY_ADDRESS or the address in BRAIN_CLUSTER_CONFIG."
        ) from error


class _StepHandler(RayStepHandler):
    """Submits a step with what its asset asks for, and takes it for lost only if two looks in a row say so.

    A step that fails says so in Dagster's log and then ends its job as failed: one look may come between.
    """

    def __init__(
        self,
        client: JobSubmissionClient,
        config: ClusterConfig,
        pools: Mapping[str, str | None],
        environment: Mapping[str, str],
    ) -> None:
        super().__init__(client, None, None, None, None, None, None)
        self._config, self._pools, self._environment = config, pools, dict(environment)
        self._looks_dead: set[str] = set()
        self._silent_since: float | None = None

    def launch_step(self, step_handler_context: StepHandlerContext) -> Iterator[DagsterEvent]:
        """Submit the job."""
        asset = self._get_step_key(step_handler_context)
        asked = self._config.resources_of(asset, self._pools.get(asset))
        runtime_env = self._config.runtime_env
        handler = RayStepHandler(
            client=self.client,
            env_vars=None,
            runtime_env={**runtime_env, "env_vars": {**self._environment, **runtime_env.get("env_vars", {})}},
            num_cpus=asked.num_cpus,
            num_gpus=asked.num_gpus or None,
            memory=asked.memory,
            resources=dict(asked.resources),
        )
        yield from handler.launch_step(step_handler_context)

    def check_step_health(self, step_handler_context: StepHandlerContext) -> CheckStepHealthResult:
        """Look at the job; a cluster that does not answer is waited for, but not for ever."""
        job = self._get_ray_job_submission_id(step_handler_context)
        try:
            found = super().check_step_health(step_handler_context)
        except OSError as error:  # so are the errors of requests
            self._silent_since = self._silent_since or time.monotonic()
            if time.monotonic() - self._silent_since < MAX_AWAY_SECONDS:
                return CheckStepHealthResult.healthy()
            return CheckStepHealthResult.unhealthy(f"the cluster has not answered for {MAX_AWAY_SECONDS} s: {error}")
        self._silent_since = None
        if found.is_healthy or job in self._looks_dead:
            return found
        self._looks_dead.add(job)
        return CheckStepHealthResult.healthy()


class ClusterExecutor(StepDelegatingExecutor):
    """Runs each step as a job; starts those again whose job was lost, and waits while the database is away."""

    def __init__(
        self,
        client: JobSubmissionClient,
        settings: Settings,
        config: ClusterConfig,
        pools: Mapping[str, str | None],
    ) -> None:
        super().__init__(
            _StepHandler(client, config, pools, step_environment(settings, config)),
            retries=RetryMode.ENABLED,
            check_step_health_interval_seconds=SECONDS_BETWEEN_LOOKS,
            should_verify_step=True,
        )
        self._lost_jobs = config.lost_jobs

    def log_failure_or_retry_event_after_error(
        self, step_context: Any, err_info: Any, known_state: Any
    ) -> DagsterEvent:
        """Try a step again whose job was lost; Dagster asks this of no other failure."""
        lost = known_state.get_retry_state().get_attempt_count(step_context.step.key)
        if lost >= self._lost_jobs:
            return super().log_failure_or_retry_event_after_error(step_context, err_info, known_state)
        return patiently(
            lambda: DagsterEvent.step_retry_event(step_context, StepRetryData(err_info, seconds_to_wait=1))  # type: ignore[no-untyped-call]
        )

    def _pop_events(
        self, instance: dg.DagsterInstance, run_id: str, seen_storage_ids: set[int]
    ) -> Sequence[DagsterEvent]:
        return patiently(lambda: super(ClusterExecutor, self)._pop_events(instance, run_id, seen_storage_ids))


def is_away(error: BaseException) -> bool:
    """Tell whether an error says that Dagster's database does not answer."""
    causes = [error, error.__cause__, error.__context__]
    return any(isinstance(cause, sqlalchemy.exc.OperationalError | sqlalchemy.exc.InterfaceError) for cause in causes)


def patiently(operation: Callable[[], T]) -> T:
    """Do something that needs Dagster's database, and wait for it if it is away; raises its error after a while."""
    waiting = tenacity.Retrying(
        retry=tenacity.retry_if_exception(is_away),
        wait=tenacity.wait_exponential(max=10),
        stop=tenacity.stop_after_delay(MAX_AWAY_SECONDS),
        before_sleep=lambda _: LOGGER.info("Dagster's database does not answer: waiting for it"),
        reraise=True,
    )
    return waiting(operation)


def stop_jobs_of(client: JobSubmissionClient, run_ids: Sequence[str]) -> None:
    """Stop what runs that are over have left on the cluster."""
    for job in client.list_jobs():
        left_over = (job.metadata or {}).get("dagster/run-id") in run_ids and not job.status.is_terminal()
        if left_over and job.submission_id:
            client.stop_job(job.submission_id)
            warn(f"stopped job {job.submission_id}: its run is over")


def cluster_executor(settings: Settings, pools: Mapping[str, str | None]) -> dg.ExecutorDefinition:
    """Give what runs each step as a job of the Ray cluster that the settings name; `pools`: that of each asset."""

    @dg.executor(name="ray", requirements=multiple_process_executor_requirements())
    def ray_executor(_context: dg.InitExecutorContext) -> ClusterExecutor:
        config = read_cluster_config(settings.cluster_config, pools)
        return ClusterExecutor(open_client(config), settings, config, pools)

    return ray_executor
