"""What is given to workers, what they tell, and what a pool of them is."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, Protocol, runtime_checkable

QUIET = {"console": {"config": {"log_level": "CRITICAL"}}}
"""Dagster's own console; the command line says what there is to say."""

WAIT_SECONDS = 0.1
"""How long a pool waits at most until it returns, with nothing to tell: so fast is Ctrl-C seen."""

BAD = ("failed", "blocked")
ENDS = ("done", "made", "reused", *BAD)
"""Kinds of events that are the last of a year of an asset, and of those the bad ones."""


@dataclass(frozen=True, eq=False)
class Task:
    """What is given to a worker; each is equal to itself alone."""

    asset: str
    year: int  # 0: an asset without years
    options: Mapping[str, Any] = field(default_factory=dict)  # its run configuration
    reason: str = ""  # why it runs
    seed: int = 0  # number of the one seed of a policy to train, which is no run; 0: the whole asset


@dataclass(frozen=True)
class Event:
    """What happened to one year of one asset.

    Its kind is ``begun`` or ``progress``; then, as the last, ``done`` (was done before), ``made``, ``reused`` (run, but
    found with the same fingerprint or content), ``failed``, or ``blocked`` (something it needs failed).
    """

    kind: str
    asset: str
    year: int  # 0: an asset without years
    worker: str = ""  # the process that does it, ``id@machine``
    detail: str = ""  # reason of a failure or block, why it ran, or a line of progress
    seconds: float = 0.0  # 0 if it did not run
    metadata: Mapping[str, Any] = field(default_factory=dict)  # of the materialization, plain values only
    warnings: Mapping[str, str] = field(default_factory=dict)  # what the checks that warn found, by their name
    roots: Sequence[tuple[str, int]] = ()  # assets with their years that failed, and thereby block it


Told = tuple[str, int] | Event | str
"""What a worker tells of a task: a line of progress with its level as `logging` counts them; what it ended with; or why
it is to be tried again, as the worker is gone, or could not reach Dagster's record."""


@runtime_checkable
class Pool(Protocol):
    """Workers that take tasks."""

    retries: int  # how often a task that was lost is tried again
    advice: str  # what to do about one that is lost again and again
    words: str  # how many tasks it takes at a time

    def has_room(self, task: Task) -> bool:
        """Tell whether a task may be handed over now."""

    def submit(self, task: Task) -> str:
        """Hand a task over, and name its worker as `brain_assets.graph.instance.this_process` does."""

    def wait(self) -> list[tuple[Task, Told]]:
        """Wait until something is told, or there may be room, or `WAIT_SECONDS` are over."""

    def stop(self) -> list[str]:
        """End all workers at once, and name those that were in the middle of a task."""
