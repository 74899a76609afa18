"""A cluster of two nodes on this machine, and what it makes beside what one machine makes.

``python -m benchmarks.cluster`` (``make cluster-demo``) starts two Ray nodes of one core, a Postgres server and an S3
server; runs a walk-forward on them and again in one process; shows which step ran when and on which node; compares
every artifact to the bit; and ends what it started, by process id. ``--speed`` measures instead how much faster two
nodes of one core train than one.
"""

import argparse
import os
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import dagster as dg
import httpx2
import pytest
from rich.console import Console

from brain_assets.graph.backfill import Backfill
from brain_assets.graph.build import session
from brain_assets.graph.instance import PROCESS_TAG
from brain_assets.graph.tasks import BAD, Task
from brain_assets.graph.workers import open_pool
from brain_assets.paths import parse_place
from brain_assets.store.manifest import MANIFEST
from brain_assets.store.places import read_files
from brain_assets.terminal import read_years
from brain_assets_tests.postgres import free_port, home_on_postgres, postgres
from brain_assets_tests.ray_nodes import Cluster, ray_cluster

BUCKET = "brain-assets"
WIDTH = 60
"""Characters of the time line."""

console = Console(width=140, highlight=False)


@dataclass(frozen=True)
class Step:
    """A step that ran: seconds since the first began."""

    asset: str
    year: str
    node: str
    start: float
    end: float


@contextmanager
def s3_server(folder: Path) -> Iterator[dict[str, str]]:
    """Run an S3 server with an empty bucket, and give the variables that name it."""
    port = free_port()
    variables = {
        "AWS_ENDPOINT_URL": f"http://127.0.0.1:{port}",
        "AWS_ACCESS_KEY_ID": "someone",
        "AWS_SECRET_ACCESS_KEY": "secret",
        "AWS_DEFAULT_REGION": "us-east-1",
    }
    command = [sys.executable, "-c", "from moto.server import main; main()", "-H", "127.0.0.1", "-p", str(port)]
    with (folder / "s3.log").open("wb") as log:
        server = subprocess.Popen(command, stdout=log, stderr=log)
    try:
        _await(lambda: httpx2.put(f"{variables['AWS_ENDPOINT_URL']}/{BUCKET}").is_success)
        yield variables
    finally:
        server.terminate()
        server.wait()


def _await(ready: Any, seconds: float = 60) -> None:
    deadline = time.monotonic() + seconds
    while time.monotonic() < deadline:
        try:
            if ready():
                return
        except httpx2.TransportError:
            pass
        time.sleep(0.2)
    raise SystemExit(f"a server did not answer within {seconds:.0f} s")


def brain_assets(*arguments: str, **variables: str) -> float:
    """Run the command, its output shown, and give its seconds."""
    settings = " ".join(f"{name}={value}" for name, value in variables.items() if name.startswith("BRAIN_"))
    console.print(f"\n[bold]$ {settings} brain-assets {' '.join(arguments)}[/]", soft_wrap=True)
    started = time.monotonic()
    command = [sys.executable, "-m", "brain_assets.start", *arguments]
    subprocess.run(command, env={**os.environ, **variables}, check=True)
    return time.monotonic() - started


def steps_of(cluster: Cluster, instance: dg.DagsterInstance) -> list[Step]:
    """Read from Ray where each worker was, and from Dagster which ran what, when."""
    places = cluster.nodes_of_workers()
    names = {node: f"node {number}" for number, node in enumerate(dict.fromkeys(places.values()), 1)}
    found = []
    for run in instance.get_runs():
        moments: dict[str, list[float]] = {}
        for entry in instance.all_logs(run.run_id):
            event = entry.dagster_event
            if event and event.step_key and (event.is_step_start or event.is_step_success):
                moments.setdefault(event.step_key, []).append(entry.timestamp)
        for asset, times in moments.items():
            node = names.get(places.get(run.tags.get(PROCESS_TAG, ""), ""), "?")
            found.append(Step(asset, run.tags.get("dagster/partition", ""), node, times[0], times[-1]))
    first = min(step.start for step in found)
    moved = [replace(step, start=step.start - first, end=step.end - first) for step in found]
    return sorted(moved, key=lambda step: step.start)


def side_by_side(steps: list[Step]) -> list[tuple[Step, Step]]:
    """Give the pairs of steps of different years that ran at the same time on different nodes."""
    return [
        (one, other)
        for one in steps
        for other in steps
        if one.year < other.year and one.node != other.node and one.start < other.end and other.start < one.end
    ]


def show_steps(steps: list[Step]) -> None:
    """Draw who worked when."""
    last = max(step.end for step in steps)
    colors = {"node 1": "cyan", "node 2": "magenta"}
    for step in steps:
        first, end = (round(WIDTH * moment / last) for moment in (step.start, step.end))
        bar = " " * first + "█" * max(end - first, 1)
        color = colors.get(step.node, "white")
        span = f"{step.start:6.1f}-{step.end:5.1f} s"
        console.print(f"{step.asset:<31} {step.year:<4} {step.node} {span} [{color}]{bar}[/]")


def differences(local: Path, remote: str) -> tuple[int, list[str]]:
    """Compare every artifact of a folder with that of another place; gives how many there are, and which differ."""
    place, count, differing = parse_place(remote), 0, []
    for path in sorted(each for each in local.rglob("*") if each.is_file()):
        name = path.relative_to(local)
        if name.parts[0] == "dagster" or ((path.parent / MANIFEST).exists() and path.name != MANIFEST):
            continue
        count += 1
        if path.name == MANIFEST:
            same = read_files(place.joinpath(*name.parent.parts)) == read_files(path.parent)
        else:
            same = place.joinpath(*name.parts).read_bytes() == path.read_bytes()
        differing += [] if same else [str(name)]
    return count, differing


def demo(years: str, market: str, config: tuple[str, ...]) -> None:
    """Run the walk-forward on the cluster and in one process, and compare."""
    with tempfile.TemporaryDirectory(prefix="brain-assets-") as temporary, postgres() as database:
        folder = Path(temporary)
        home = home_on_postgres(folder / "home", "ray/dagster.yaml")
        with s3_server(folder) as s3:
            world = {**s3, "BRAIN_MARKET": market, "DAGSTER_POSTGRES_URL": database.url}
            os.environ |= world
            console.print("starting two Ray nodes of one core each")
            with ray_cluster(2, **world) as cluster:
                url = f"s3://{BUCKET}/results"
                ours = {"BRAIN_DATA_DIR": url, "DAGSTER_HOME": str(home), "RAY_ADDRESS": cluster.address}
                on_cluster = brain_assets("backfill", years, "--engine", "ray", *config, **world, **ours)
                with dg.DagsterInstance.from_config(str(home)) as instance:
                    steps = steps_of(cluster, instance)
            alone = brain_assets("backfill", years, "--jobs", "1", *config, **world, BRAIN_DATA_DIR=str(folder / "one"))
            console.print("\n[bold]Steps on the cluster[/]")
            show_steps(steps)
            pairs = side_by_side(steps)
            count, differing = differences(folder / "one", url)
    console.print(f"\n{on_cluster:.0f} s on two nodes of one core, {alone:.0f} s in one process")
    console.print(f"{len(pairs)} pairs of steps of different years at the same time on different nodes")
    console.print(f"{count} artifacts compared to the bit: {len(differing)} differ {' '.join(differing)}")
    if differing or not pairs:
        raise SystemExit(1)


def training_seconds(n_nodes: int, years: str, seeds: int) -> float:
    """Train policies on some nodes of one core; gives the seconds from the first task that a worker takes to the end.

    A worker takes one when it has paid its imports, so those of the first are not counted.
    """
    with ray_cluster(n_nodes) as cluster:
        os.environ["RAY_ADDRESS"] = cluster.address
        with session(None, "ray") as (project, instance):
            policies = [family.asset for family in project.settings.families.policies.values()]
            options = {name: {"n_seeds": seeds} for name in policies}
            backfill = Backfill(project.definitions, instance, policies, options, force=True)
            pool, begun, ended = open_pool(project, instance), list[float](), list[float]()
            hand_over = pool.submit

            def submit(task: Task) -> str:
                begun.append(time.monotonic())
                return hand_over(task)

            pool.submit = submit  # type: ignore[method-assign]
            for event in backfill.run(read_years(years), pool):
                if event.kind in BAD:
                    raise SystemExit(f"expected policies that are trained, got: {event.detail}")
                ended.append(time.monotonic())
    return ended[-1] - begun[0]


def speed(years: str, seeds: int) -> tuple[float, float]:
    """Give the seconds that training policies takes on one node, and on two."""
    with tempfile.TemporaryDirectory(prefix="brain-assets-") as temporary:
        data = Path(temporary) / "data"
        needed = "raw_prices,raw_news_sentiment,raw_fundamentals,lstm_snapshot,patchtst_snapshot,walkforward_forecasts"
        os.environ |= {"BRAIN_MARKET": "sample", "BRAIN_DATA_DIR": str(data)}
        brain_assets("backfill", years, "--assets", needed)
        one, two = (training_seconds(n_nodes, years, seeds) for n_nodes in (1, 2))
    return one, two


def main() -> None:
    """Read the command line."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--years", default="2019-2020", help="a year or a range; default: 2019-2020")
    parser.add_argument("--market", default="sample", help="sample (default) or simulator")
    parser.add_argument("--config", help="Dagster run configuration (YAML)")
    parser.add_argument("--speed", action="store_true", help="compare one node with two, and nothing else")
    parser.add_argument("--seeds", type=int, default=4, help="with --speed: trainings of each policy; default: 4")
    asked = parser.parse_args()
    if asked.speed:
        one, two = speed(asked.years, asked.seeds)
        console.print(f"training: {one:.1f} s on one node of one core, {two:.1f} s on two: {one / two:.2f}x")
        return
    try:
        demo(asked.years, asked.market, ("--config", asked.config) if asked.config else ())
    except pytest.skip.Exception as missing:  # what the tests do without
        raise SystemExit(str(missing)) from None


if __name__ == "__main__":
    main()
