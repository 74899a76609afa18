"""A Ray cluster on this machine: some nodes of one core each, started and ended by process id."""

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
from collections.abc import Iterator, Mapping
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field
from importlib.util import find_spec
from pathlib import Path

import pytest

from brain_assets_tests.backfills import REPOSITORY
from brain_assets_tests.postgres import free_port

START_SECONDS = 300
BINARIES = Path(sys.executable).parent


@dataclass
class Cluster:
    """Nodes, and the address of their dashboard."""

    dashboard: str
    port: int
    folder: Path
    variables: Mapping[str, str]
    nodes: list[subprocess.Popen[bytes]] = field(default_factory=list)

    @property
    def address(self) -> str:
        """As ``RAY_ADDRESS`` takes it on this machine."""
        return f"127.0.0.1:{self.port}"

    def add_node(self, *arguments: str) -> int:
        """Start a node with one core, and give its number."""
        options = "start --block --num-cpus=1 --node-ip-address=127.0.0.1 --disable-usage-stats"
        options += f" --object-store-memory=80000000 --dashboard-agent-listen-port={free_port()}"
        command = [str(BINARIES / "ray"), *options.split(), *arguments]
        if not self.nodes:
            command += ["--head", f"--port={self.port}", f"--dashboard-port={self.dashboard.rsplit(':', 1)[1]}"]
            command += [f"--ray-client-server-port={free_port()}", f"--temp-dir={self.folder}"]
        else:
            command += [f"--address=127.0.0.1:{self.port}"]
        with (self.folder / f"node-{len(self.nodes)}.log").open("wb") as log:
            path = f"{BINARIES}{os.pathsep}{os.environ['PATH']}"
            environment = {**os.environ, "PYTHONPATH": str(REPOSITORY), "PATH": path, **self.variables}
            self.nodes.append(
                subprocess.Popen(command, stdout=log, stderr=log, env=environment, cwd="/", start_new_session=True)
            )
        self._await_nodes(sum(node.poll() is None for node in self.nodes))
        return len(self.nodes) - 1

    def kill_node(self, number: int) -> None:
        """Take a node away as a power cut would: all its processes at once."""
        for process_id in _family(self.nodes[number].pid):
            _signal(process_id, signal.SIGKILL)
        self.nodes[number].wait()

    def nodes_of_workers(self) -> dict[str, str]:
        """Give for each worker that there was, as runs name it, its node."""
        with urllib.request.urlopen(f"{self.dashboard}/api/v0/actors?detail=1&limit=1000", timeout=30) as answer:
            found = json.load(answer)["data"]["result"]["result"]
        return {f"{actor['pid']}@{socket.gethostname()}": actor["node_id"] for actor in found if actor["node_id"]}

    def _await_nodes(self, count: int) -> None:
        deadline = time.monotonic() + START_SECONDS
        while time.monotonic() < deadline:
            with suppress(urllib.error.URLError, TimeoutError, ConnectionError, KeyError):
                with urllib.request.urlopen(f"{self.dashboard}/nodes?view=summary", timeout=5) as answer:
                    nodes = json.load(answer)["data"]["summary"]
                if sum(node.get("raylet", {}).get("state") == "ALIVE" for node in nodes) >= count:
                    return
            time.sleep(0.5)
        logs = "\n".join(path.read_text()[-2000:] for path in self.folder.glob("node-*.log"))
        raise AssertionError(f"the cluster did not start within {START_SECONDS} s:\n{logs}")


@contextmanager
def ray_cluster(n_nodes: int = 2, *arguments: str, **variables: str) -> Iterator[Cluster]:
    """Run a cluster whose nodes have some arguments and variables; skips where there is no Ray."""
    if find_spec("ray") is None:
        pytest.skip("no Ray: pip install 'brain_assets[cluster]'")
    with tempfile.TemporaryDirectory(prefix="ray-", dir="/tmp") as folder:  # sockets have short paths
        cluster = Cluster(f"http://127.0.0.1:{free_port()}", free_port(), Path(folder), variables)
        try:
            for _ in range(n_nodes):
                cluster.add_node(*arguments)
            yield cluster
        finally:
            ended = [process_id for node in reversed(cluster.nodes) for process_id in _family(node.pid)]
            for how in (signal.SIGTERM, signal.SIGKILL):
                for process_id in ended:
                    _signal(process_id, how)
                _await_end(ended, 5)
            for node in cluster.nodes:
                node.wait()


def _await_end(process_ids: list[int], seconds: float) -> None:
    deadline = time.monotonic() + seconds
    while time.monotonic() < deadline and any(Path(f"/proc/{process_id}/stat").exists() for process_id in process_ids):
        time.sleep(0.2)


def _family(process_id: int) -> list[int]:
    """Give a process and all its descendants."""
    parents = {}
    for stat in Path("/proc").glob("[0-9]*/stat"):
        with suppress(OSError):  # it has just ended
            parents[int(stat.parent.name)] = int(stat.read_text().rpartition(")")[2].split()[1])
    found = [process_id]
    for each in found:
        found += [child for child, parent in parents.items() if parent == each]
    return found


def _signal(process_id: int, how: signal.Signals) -> None:
    with suppress(ProcessLookupError):
        os.kill(process_id, how)
