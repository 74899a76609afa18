"""A Postgres server of the test's own, and an instance of Dagster that keeps its record there."""

import os
import shutil
import socket
import subprocess
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from importlib import resources
from importlib.util import find_spec
from pathlib import Path

import pytest

from brain_assets_tests.backfills import REPOSITORY

USER = "postgres"
"""The server refuses to run as root."""


def free_port() -> int:
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port: int = free.getsockname()[1]
        return port


def _binaries() -> Path:
    found = [Path(path) for path in [shutil.which("pg_ctl")] if path]
    found += sorted(Path("/usr/lib/postgresql").glob("*/bin/pg_ctl"))
    if not found:
        pytest.skip("no Postgres server: apt-get install postgresql")
    return found[-1].parent


class Server:
    """A server that can be stopped and started again; `url` is its database's address."""

    def __init__(self, folder: str) -> None:
        self._binaries, self._port, self._folder = _binaries(), free_port(), folder
        self._as_user = ["runuser", "-u", USER, "--"] if os.geteuid() == 0 else []
        self.url = f"postgresql+psycopg2://brain@127.0.0.1:{self._port}/dagster"

    def create(self) -> None:
        """Make the server's files, start it, and make the database."""
        if self._as_user:
            shutil.chown(self._folder, USER)
        self._run("initdb", "-D", f"{self._folder}/data", "-U", "brain", "-A", "trust", "--no-sync")
        self.start()
        self._run("createdb", "-h", "127.0.0.1", "-p", str(self._port), "-U", "brain", "dagster")

    def start(self) -> None:
        options = f"-p {self._port} -c listen_addresses=127.0.0.1 -c unix_socket_directories='' -c fsync=off"
        self._run("pg_ctl", "-D", f"{self._folder}/data", "-o", options, "-l", f"{self._folder}/log", "-w", "start")

    def stop(self) -> None:
        self._run("pg_ctl", "-D", f"{self._folder}/data", "-m", "immediate", "-w", "stop")

    def _run(self, name: str, *arguments: str) -> None:
        command = [*self._as_user, str(self._binaries / name), *arguments]
        subprocess.run(command, check=True, capture_output=True, text=True, cwd=self._folder)


@contextmanager
def postgres() -> Iterator[Server]:
    """Run an empty server."""
    if find_spec("dagster_postgres") is None:
        pytest.skip("no dagster-postgres: pip install 'brain_assets[postgres]'")
    with tempfile.TemporaryDirectory(prefix="brain-assets-postgres-") as folder:
        server = Server(folder)
        server.create()
        try:
            yield server
        finally:
            server.stop()


@contextmanager
def postgres_url() -> Iterator[str]:
    """Run an empty server and give the address of its database, as ``deploy/postgres.yaml`` takes it."""
    with postgres() as server:
        yield server.url


def home_on_postgres(home: Path, appended: str = "postgres.yaml") -> Path:
    """Make a DAGSTER_HOME as the pages in docs say: the shipped configuration, and a file of ``deploy`` appended."""
    home.mkdir(parents=True)
    shipped = (resources.files("brain_assets.graph") / "dagster.yaml").read_text()
    (home / "dagster.yaml").write_text(shipped + (REPOSITORY / "deploy" / appended).read_text())
    return home
