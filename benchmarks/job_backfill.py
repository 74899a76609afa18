"""What Dagster adds to a backfill of the job `walkforward` by its daemon: six runs, one after the other."""

import json
import os
import signal
import socket
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

from benchmarks.commands import TINY

YEARS = range(2019, 2025)
LAUNCH = """mutation ($params: LaunchBackfillParams!) { launchPartitionBackfill(backfillParams: $params) {
    ... on LaunchBackfillSuccess { backfillId } ... on PythonError { message }
} }"""
RUNS = """query ($id: String!) { partitionBackfillOrError(backfillId: $id) { ... on PartitionBackfill { status
    runs(limit: 100) { status startTime endTime stepStats { startTime endTime } }
} } }"""
REPOSITORY = {"repositoryLocationName": "brain_assets.definitions", "repositoryName": "__repository__"}


class Overhead(NamedTuple):
    """Seconds of six runs."""

    wall: float
    """From the launch to the end of the last run."""
    steps: float
    """Sum of all steps."""
    before_first: float
    """From the launch until the first run begins: the daemon looks for backfills every now and then."""


def measure() -> Overhead:
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
