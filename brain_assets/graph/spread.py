"""Work for several numbers, such as seeds, spread over a cluster from within a step.

The step holds a core of its own, and others may do the same: if each waited for helpers that wait for a core, nothing
would ever move. So the step works too, and whoever is free takes the next number; helpers that never got a core are
called off. What a lost node had taken is not done then: the caller looks at what is there, and does it itself.
"""

from collections.abc import Callable, Sequence
from typing import Any

from brain_assets.graph.cluster_config import StepResources
from brain_assets.progress import report


def spread(asked: StepResources, numbers: Sequence[int], work: Callable[[int], None]) -> None:
    """Do some work for each number, here and on what the cluster has free; raises what the work here raises.

    Parameters
    ----------
    asked : StepResources
        What a helper asks for.
    numbers : sequence of int
    work : callable
        Takes a number; can be pickled, and stores its result where everyone finds it. If it fails elsewhere, its number
        is left undone.
    """
    import ray

    ray.init(address="auto", ignore_reinit_error=True, log_to_driver=False, configure_logging=False)
    queue: Any = ray.remote(num_cpus=0)(_Queue).remote(list(numbers))
    shared = ray.put(work)
    helper: Any = ray.remote(**asked.model_dump(exclude_none=True), max_retries=3)(_help)
    helpers = [helper.remote(queue, shared, place) for place in range(len(numbers) - 1)]
    try:
        while (number := ray.get(queue.take.remote())) is not None:
            work(number)
            report(f"{ray.get(queue.left.remote())} of {len(numbers)} left to begin")
        begun = ray.get(queue.close.remote())
        for place, reference in enumerate(helpers):
            if place not in begun:
                ray.cancel(reference)
        if begun:
            ray.wait([helpers[place] for place in begun], num_returns=len(begun))
    finally:
        ray.kill(queue)
        ray.shutdown()


class _Queue:
    """Hands out each number once; knows which helpers have come."""

    def __init__(self, numbers: list[int]) -> None:
        self._numbers, self._begun, self._open = numbers, set[int](), True

    def begin(self, place: int) -> None:
        """Note that a helper has come."""
        if self._open:
            self._begun.add(place)

    def take(self) -> int | None:
        """Give the next number; None: there is none."""
        return self._numbers.pop(0) if self._numbers else None

    def left(self) -> int:
        """Count the numbers that nobody has taken."""
        return len(self._numbers)

    def close(self) -> list[int]:
        """Give the helpers that have come; who comes later finds nothing to do."""
        self._open = False
        return sorted(self._begun)


def _help(queue: Any, work: Callable[[int], None], place: int) -> None:
    import ray

    ray.get(queue.begin.remote(place))
    while (number := ray.get(queue.take.remote())) is not None:
        work(number)
