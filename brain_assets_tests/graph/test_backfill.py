"""What the loop makes of what workers tell, with workers that only pretend."""

from collections.abc import Collection

import dagster as dg
import pytest

from brain_assets.graph.backfill import Backfill
from brain_assets.graph.tasks import ENDS, Event, Task, Told
from brain_assets_tests.graph.worlds import DEFS

NAMES = ("raw_prices", "raw_fundamentals", "lstm_snapshot")


class Pretending:
    """Two workers that end each task at once; those of some assets die first, so many times."""

    retries, advice, words = 1, "look into it", "two at a time"

    def __init__(self, deaths: dict[str, int]) -> None:
        self.deaths, self.handed, self._tasks, self.stopped = dict(deaths), list[str](), list[Task](), False

    def has_room(self, _task: Task) -> bool:
        return len(self._tasks) < 2

    def submit(self, task: Task) -> str:
        self._tasks.append(task)
        self.handed.append(f"{task.asset}[{task.year}]" + (f" seed {task.seed}" if task.seed else ""))
        return "1@here"

    def wait(self) -> list[tuple[Task, Told]]:
        task = self._tasks.pop(0)
        self.deaths[task.asset] = self.deaths.get(task.asset, 0) - 1
        if self.deaths[task.asset] >= 0:
            return [(task, "its worker process was killed by signal 9")]
        return [(task, Event("made", task.asset, task.year, seconds=len(task.asset)))]

    def stop(self) -> list[str]:
        self.stopped = True
        return []


def run(pool: Pretending, names: Collection[str] = NAMES, **options: int) -> list[Event]:
    with dg.DagsterInstance.ephemeral() as instance:
        backfill = Backfill(DEFS, instance, list(names), {"ppo_policy": options} if options else None)
        events = list(backfill.run([2019, 2020], pool))
        assert not backfill.unfinished
    assert pool.stopped
    return events


@pytest.mark.parametrize(("deaths", "kind"), [(1, "made"), (2, "failed")])
def test_what_a_dead_worker_had_is_tried_once_more_then_failed_in_a_sentence(deaths: int, kind: str) -> None:
    events = run(Pretending({"raw_prices": deaths}))
    ends = {(event.asset, event.year): event for event in events if event.kind in ENDS}
    assert set(ends) == {(name, year) for name in NAMES for year in (2019, 2020)}
    first = ends["raw_prices", 2019]
    assert first.kind == kind
    if kind == "failed":
        assert first.detail == (
            "expected a worker that lives, got 2 of which its worker process was killed by signal 9; look into it."
        )
        assert ends["lstm_snapshot", 2019].detail == "needs raw_prices[2019]"
        assert ends["raw_prices", 2020].kind == ends["raw_fundamentals", 2020].kind == "made"


def test_each_waits_for_what_it_is_made_from() -> None:
    pool = Pretending({})
    events = run(pool)
    assert pool.handed.index("lstm_snapshot[2020]") > pool.handed.index("raw_prices[2020]")
    assert [event.kind for event in events].count("begun") == len(pool.handed) == 6


def test_other_seeds_are_tasks_before_the_run_of_their_policy() -> None:
    pool = Pretending({})
    run(pool, ("ppo_policy",), n_seeds=3)
    of_2019 = [task for task in pool.handed if "[2019]" in task]
    assert of_2019 == ["ppo_policy[2019] seed 1", "ppo_policy[2019] seed 2", "ppo_policy[2019]"]
