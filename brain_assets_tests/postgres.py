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


@contextmanager
def postgres_url() -> Iterator[str]:
    """Run an empty server and give the address of its database, as ``deploy/postgres.yaml`` takes it."""
    if find_spec("dagster_postgres") is None:
        pytest.skip("no dagster-postgres: pip install 'brain_assets[postgres]'")
    binaries, port = _binaries(), free_port()
    with tempfile.TemporaryDirectory(prefix="brain-assets-postgres-") as folder:
        as_user = []
        if os.geteuid() == 0:
            shutil.chown(folder, USER)
            as_user = ["runuser", "-u", USER, "--"]

        def run(*command: str) -> None:
            subprocess.run([*as_user, *command], check=True, capture_output=True, text=True, cwd=folder)

        data = f"{folder}/data"
        run(str(binaries / "initdb"), "-D", data, "-U", "brain", "-A", "trust", "--no-sync")
        options = f"-p {port} -c listen_addresses=127.0.0.1 -c unix_socket_directories='' -c fsync=off"
        run(str(binaries / "pg_ctl"), "-D", data, "-o", options, "-l", f"{folder}/log", "-w", "start")
        try:
            run(str(binaries / "createdb"), "-h", "127.0.0.1", "-p", str(port), "-U", "brain", "dagster")
            yield f"postgresql+psycopg2://brain@127.0.0.1:{port}/dagster"
        finally:
            run(str(binaries / "pg_ctl"), "-D", data, "-m", "immediate", "-w", "stop")


def home_on_postgres(home: Path) -> Path:
    """Make a DAGSTER_HOME as docs/operations.md says: the shipped configuration, and the storage appended."""
    home.mkdir(parents=True)
    shipped = (resources.files("brain_assets.graph") / "dagster.yaml").read_text()
    (home / "dagster.yaml").write_text(shipped + (REPOSITORY / "deploy" / "postgres.yaml").read_text())
    return home
