"""What a user waits for: loading the definitions, a backfill of years that are done, the demo, and what Dagster adds.

What it adds to a backfill of the job `walkforward` by its daemon: six runs, one after the other.
"""

import json
import os
import signal
import socket
import statistics
import subprocess
import sys
import tempfile
import time
import urllib.error
import urllib.request
from importlib import resources
from pathlib import Path
from typing import Any, NamedTuple

import yaml

REPEATS = 3
CLI = [sys.executable, "-m", "brain_assets.start"]
TINY = """
ops:
  lstm_snapshot: {config: {epochs: 1, hidden_size: 4}}
  patchtst_snapshot: {config: {epochs: 1}}
  ppo_policy: {config: {total_steps: 1664}}
  sac_policy: {config: {total_steps: 1664, warmup_steps: 832}}
"""
YEARS = range(2019, 2025)
LAUNCH = """mutation ($params: LaunchBackfillParams!) { launchPartitionBackfill(backfillParams: $params) {
    ... on LaunchBackfillSuccess { backfillId } ... on PythonError { message }
} }"""
RUNS = """query ($id: String!) { partitionBackfillOrError(backfillId: $id) { ... on PartitionBackfill { status
    runs(limit: 100) { status startTime endTime stepStats { startTime endTime } }
} } }"""
REPOSITORY = {"repositoryLocationName": "brain_assets.definitions", "repositoryName": "__repository__"}


def seconds(command: list[str], environment: dict[str, str]) -> float:
    started = time.perf_counter()
    subprocess.run(command, check=True, env={**os.environ, **environment}, stdout=subprocess.DEVNULL)
    return time.perf_counter() - started


def definitions() -> float:
    """Give seconds of ``import brain_assets.definitions`` itself, without the start of Python; median."""
    code = "import time; t = time.perf_counter(); import brain_assets.definitions; print(time.perf_counter() - t)"
    runs = [subprocess.run([sys.executable, "-c", code], check=True, capture_output=True, text=True) for _ in range(5)]
    return statistics.median(float(done.stdout) for done in runs)


def demo() -> tuple[float, float]:
    """Give seconds of what `make demo` does after the installation, the first time and the second."""
    with tempfile.TemporaryDirectory() as folder:
        environment = {"BRAIN_DATA_DIR": folder, "BRAIN_MARKET": "sample", "DAGSTER_HOME": ""}
        command = [*CLI, "backfill", "2019-2022", "--then", "lstm_model,patchtst_model"]
        return seconds(command, environment), seconds(command, environment)


def finished_backfill() -> float:
    """Give seconds of a backfill of four years that are done; median."""
    with tempfile.TemporaryDirectory() as folder:
        path = os.path.join(folder, "tiny.yaml")
        with open(path, "w") as file:
            file.write(TINY)
        environment = {"BRAIN_DATA_DIR": folder, "BRAIN_MARKET": "sample", "DAGSTER_HOME": ""}
        command = [*CLI, "backfill", "2019-2022", "--config", path]
        seconds(command, environment)
        return statistics.median(seconds(command, environment) for _ in range(REPEATS))


class Overhead(NamedTuple):
    """Seconds of six runs."""

    wall: float
    """From the launch to the end of the last run."""
    steps: float
    """Sum of all steps."""
    before_first: float
    """From the launch until the first run begins: the daemon looks for backfills every now and then."""


def job_overhead() -> Overhead:
    """Run the backfill in a folder of its own."""
    with tempfile.TemporaryDirectory() as folder, socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
        free.close()
        home = Path(folder) / "dagster"
        home.mkdir()
        (home / "dagster.yaml").write_text((resources.files("brain_assets.graph") / "dagster.yaml").read_text())
        chosen = {
            "DAGSTER_HOME": str(home),
            "BRAIN_DATA_DIR": folder,
            "BRAIN_MARKET": "simulator",
            "BRAIN_SYMBOLS": "AAA,BBB,CCC,DDD,EEE,FFF",
            "BRAIN_LAST_YEAR": str(YEARS[-1]),
        }
        server = subprocess.Popen(
            [sys.executable, "-m", "dagster", "dev", "-m", "brain_assets.definitions", "-p", str(port)],
            env={**os.environ, **chosen},
            stdout=subprocess.DEVNULL,
            stderr=subprocess.DEVNULL,
            start_new_session=True,
        )
        try:
            return _backfill(f"http://127.0.0.1:{port}/graphql")
        finally:
            os.killpg(server.pid, signal.SIGTERM)
            server.wait()


def _backfill(url: str) -> Overhead:
    params = {
        "selector": {"partitionSetName": "walkforward_partition_set", "repositorySelector": REPOSITORY},
        "partitionNames": [str(year) for year in YEARS],
        "runConfigData": yaml.safe_load(TINY),
    }
    while _ask(url, "{ version }") is None:
        time.sleep(0.5)
    launched = time.time()
    backfill = _ask(url, LAUNCH, params=params)["launchPartitionBackfill"]["backfillId"]
    found: dict[str, Any] = {"status": "REQUESTED"}
    while found["status"] == "REQUESTED":
        time.sleep(1.0)
        found = _ask(url, RUNS, id=backfill)["partitionBackfillOrError"]
    runs = found["runs"]
    assert [run["status"] for run in runs] == ["SUCCESS"] * len(YEARS), found
    steps = sum(step["endTime"] - step["startTime"] for run in runs for step in run["stepStats"])
    first, last = min(run["startTime"] for run in runs), max(run["endTime"] for run in runs)
    return Overhead(last - launched, steps, first - launched)


def _ask(url: str, query: str, **variables: Any) -> Any:
    body = json.dumps({"query": query, "variables": variables}).encode()
    request = urllib.request.Request(url, body, {"Content-Type": "application/json"})
    try:
        with urllib.request.urlopen(request, timeout=60) as answer:
            return json.load(answer)["data"]
    except (urllib.error.URLError, ConnectionError):
        return None
