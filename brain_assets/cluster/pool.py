"""Workers on the nodes of a Ray cluster: actors that have paid their imports and take tasks one after the other.

They are started as there is work for them, and Ray places them as nodes have room for what they ask; those that wait
for room cost nothing. Nodes need this package, the same versions everywhere, and the variables that are secret: what
an actor is told of its environment is shown to everyone who can open Ray's dashboard, so only settings are handed over.
"""

import logging
import os
import queue
import socket
import time
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import dagster as dg
import pydantic
import yaml

from brain_assets.errors import ConfigError, StorageError
from brain_assets.graph.build import open_project
from brain_assets.graph.instance import this_process
from brain_assets.graph.project import Project
from brain_assets.graph.tasks import WAIT_SECONDS, Task, Told
from brain_assets.graph.work import Worker
from brain_assets.plugins import require_extra
from brain_assets.settings import Settings, read_settings

CONNECT_SECONDS = 10


class ClusterConfig(pydantic.BaseModel):
    """What ``BRAIN_CLUSTER_CONFIG`` may say."""

    model_config = pydantic.ConfigDict(extra="forbid", frozen=True)

    address: str | None = None
    """As Ray takes it: ``head:6379`` on a node, ``ray://head:10001`` elsewhere; None: ``RAY_ADDRESS``, else auto."""
    env_vars: tuple[str, ...] = ("AWS_ENDPOINT_URL", "AWS_REGION", "AWS_DEFAULT_REGION", "HF_ENDPOINT")
    """Names of variables that are handed to workers as they are here, beside the settings; none that is secret."""
    runtime_env: dict[str, Any] = {}  # of Ray, for nodes that lack the package
    max_workers: int = pydantic.Field(32, ge=1)
    """Of a command without --jobs; Ray lets those wait that it has no room for."""
    retries: int = pydantic.Field(3, ge=0)  # how often a year of an asset is begun again whose worker was lost
    num_cpus: float = pydantic.Field(1.0, ge=0)  # that a worker asks a node for
    num_gpus: float = pydantic.Field(0.0, ge=0)
    memory: int | None = pydantic.Field(None, gt=0)  # bytes


def read_cluster_config(path: Path | None) -> ClusterConfig:
    """Read the file; None: everything as by default. Raises `ConfigError`."""
    if path is None:
        return ClusterConfig()
    try:
        return ClusterConfig.model_validate(yaml.safe_load(path.read_text()) or {})
    except (OSError, UnicodeDecodeError, yaml.YAMLError) as error:
        said = " ".join(str(error).split())
        raise ConfigError(f"{path}: expected a YAML file, got: {said}; correct BRAIN_CLUSTER_CONFIG.") from error
    except pydantic.ValidationError as error:
        found = error.errors()[0]
        place = ".".join(map(str, found["loc"]))
        raise ConfigError(f"{path}: {place}: {found['msg']}, got {found['input']!r}; correct the file.") from error


def worker_environment(settings: Settings, config: ClusterConfig) -> dict[str, str]:
    """Give the variables that a worker needs to see the same world as this process; none is secret.

    A relative folder would mean another one there. Dagster's home is not among them: a worker is told the instance.
    """
    handed = settings.differing_variables()
    handed.pop("DAGSTER_HOME", None)
    for name in ("BRAIN_DATA_DIR", "BRAIN_FILES_DIR", "BRAIN_CLUSTER_CONFIG"):
        value = handed.get(name, "data" if name == "BRAIN_DATA_DIR" else "")
        if value and "://" not in value:
            handed[name] = str(Path(value).resolve())
    named = {name: os.environ[name] for name in config.env_vars if name in os.environ}
    return {"OMP_NUM_THREADS": "1", **named, **handed}


class _Actor:
    """Does tasks on a node, in the world that its environment and the instance name."""

    def __init__(self, instance: Any) -> None:
        self._worker = Worker(open_project(read_settings()), dg.DagsterInstance.from_ref(instance))
        self._told = queue.SimpleQueue[Told]()

    def name(self) -> str:
        """Tell that it is ready."""
        return this_process()

    def do(self, task: Task) -> None:
        """Do a task; what it says, and what it ends with as the last, is for who listens."""
        self._told.put(self._worker.do(task, lambda line, level: self._told.put((line, level))))

    def listen(self) -> Told:
        """Wait for the next that a task tells."""
        return self._told.get()


@dataclass
class _Worker:
    """An actor, and what is awaited of it."""

    actor: Any
    start: Any
    name: str = ""
    task: Task | None = None
    doing: Any = None
    told: Any = None


class RayPool:
    """Workers on the nodes of a cluster; see `brain_assets.graph.tasks.Pool`."""

    advice = "Ray's dashboard has its log"

    def __init__(self, project: Project, instance: dg.DagsterInstance, jobs: int | None) -> None:
        require_extra("cluster", "BRAIN_ENGINE=ray", "ray")
        import ray

        self._ray: Any = ray
        self._config = read_cluster_config(project.settings.cluster_config)
        self.retries, self._jobs = self._config.retries, jobs or self._config.max_workers
        self.words = f"years of assets at a time: as many as the cluster has room for, at most {self._jobs} (--jobs)"
        self._instance, self._environment = instance.get_ref(), worker_environment(project.settings, self._config)
        self._workers: list[_Worker] = []
        self._waiting: set[Task] = set()
        _connect(self._ray, self._config.address or os.environ.get("RAY_ADDRESS") or "auto")

    def has_room(self, task: Task) -> bool:
        """Tell whether a worker is idle; if not, one may be started."""
        if any(worker.name and worker.task is None for worker in self._workers):
            return True
        self._waiting.add(task)
        n_starting = sum(not worker.name for worker in self._workers)
        if n_starting < len(self._waiting) and len(self._workers) < self._jobs:
            self._start()
        return False

    def submit(self, task: Task) -> str:
        """Hand a task to an idle worker."""
        self._waiting.discard(task)
        worker = next(each for each in self._workers if each.name and each.task is None)
        worker.task, worker.doing, worker.told = task, worker.actor.do.remote(task), worker.actor.listen.remote()
        return worker.name

    def wait(self) -> list[tuple[Task, Told]]:
        """Wait for what workers say, and for those that start."""
        awaited = [each for worker in self._workers for each in (worker.start, worker.doing, worker.told) if each]
        ready, _ = self._ray.wait(awaited, num_returns=1, timeout=WAIT_SECONDS)
        return [message for worker in list(self._workers) for message in self._hear(worker, ready)]

    def stop(self) -> list[str]:
        """Kill all: whatever is written is written whole."""
        busy = [worker.name for worker in self._workers if worker.task is not None]
        for worker in self._workers:
            self._ray.kill(worker.actor)
        self._workers.clear()
        self._ray.shutdown()
        return busy

    def _start(self) -> None:
        config, runtime_env = self._config, self._config.runtime_env
        told = {**self._environment, **runtime_env.get("env_vars", {})}
        actor: Any = (
            self._ray.remote(_Actor)
            .options(
                **config.model_dump(include={"num_cpus", "num_gpus", "memory"}, exclude_none=True),
                runtime_env={**runtime_env, "env_vars": told},
                max_concurrency=2,  # it listens while it works
            )
            .remote(self._instance)
        )
        self._workers.append(_Worker(actor, start=actor.name.remote()))

    def _hear(self, worker: _Worker, ready: list[Any]) -> list[tuple[Task, Told]]:
        if worker.start in ready:
            self._started(worker)
        task = worker.task
        try:
            if worker.doing in ready:
                worker.doing = self._ray.get(worker.doing)  # raises what its worker was lost by
            if task is None or worker.told not in ready:
                return []
            told = self._ray.get(worker.told)
        except self._ray.exceptions.RayError as error:
            self._workers.remove(worker)
            self._ray.kill(worker.actor)
            return [(task, f"its worker was lost: {_last_line(error)}")] if task else []
        if isinstance(told, tuple):
            worker.told = worker.actor.listen.remote()
        else:
            worker.task = worker.told = None
        return [(task, told)]

    def _started(self, worker: _Worker) -> None:
        try:
            worker.name, worker.start = self._ray.get(worker.start), None
        except self._ray.exceptions.RayError as error:
            said = str(error)
            if "creation task" in said or isinstance(error, self._ray.exceptions.RuntimeEnvSetupError):
                raise StorageError(
                    f"BRAIN_ENGINE: expected workers that start on the cluster's nodes, got: {_last_line(error)}; "
                    "install the same package there, and set the variables that are secret."
                ) from error
            self._workers.remove(worker)  # its node is gone; another is started while one is wanted
            time.sleep(WAIT_SECONDS)


def _connect(ray: Any, address: str) -> None:
    """Join a cluster; Ray itself would wait for one that does not answer for ever."""
    host, _, port = address.removeprefix("ray://").rpartition(":")
    try:
        if address != "auto":
            socket.create_connection((host, int(port)), CONNECT_SECONDS).close()
        ray.init(address, log_to_driver=False, configure_logging=False, logging_level=logging.ERROR)
    except (OSError, RuntimeError, ValueError) as error:
        raise StorageError(
            f"{address}: expected a Ray cluster, got: {_last_line(error)}; start one with `ray start --head`, or set "
            "RAY_ADDRESS or the address in BRAIN_CLUSTER_CONFIG to head:6379 on a node, ray://head:10001 elsewhere."
        ) from error


def _last_line(error: Exception) -> str:
    return str(error).strip().splitlines()[-1].strip() if str(error).strip() else type(error).__name__
