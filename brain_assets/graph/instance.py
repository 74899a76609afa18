"""The user's Dagster instance, for the command line."""

import fcntl
from collections.abc import Iterator
from contextlib import AbstractContextManager, contextmanager
from importlib import resources
from pathlib import Path

import dagster as dg
import sqlalchemy.exc
from dagster._check import CheckError

from brain_assets.errors import StorageError
from brain_assets.graph.build import Project, open_project
from brain_assets.graph.pools import let_training_use_all_cores
from brain_assets.paths import folder_here
from brain_assets.settings import Settings, read_settings

Session = tuple[Project, dg.DagsterInstance]
"""What a command works on."""


def dagster_home(settings: Settings) -> Path:
    """Give the DAGSTER_HOME, made if need be: the one set, else a persistent one in the data folder.

    If the data folder is elsewhere, Dagster's own records still lie on this machine, in a folder named after the URL:
    for ``s3://bucket/prefix`` in ``data/dagster-s3-bucket-prefix``. Several machines that are to share them set
    DAGSTER_HOME and a database server in its ``dagster.yaml``.
    """
    home = (settings.dagster_home or folder_here(settings.data_dir, "dagster")).resolve()
    try:
        home.mkdir(parents=True, exist_ok=True)
        if not (home / "dagster.yaml").exists():
            shipped = resources.files("brain_assets.graph") / "dagster.yaml"
            (home / "dagster.yaml").write_text(shipped.read_text())
    except OSError as error:
        raise StorageError.unwritable(home, error.strerror) from error
    return home


@contextmanager
def open_session(settings: Settings) -> Iterator[Session]:
    """Open what the settings stand for, and the instance.

    Raises
    ------
    StorageError
        If the data folder is another market's, or the instance cannot be opened or its database not be written.
    """
    project = open_project(settings)
    (project.definitions.resources or {})["table_io"].store.check_identity()
    with _opened(dagster_home(settings)) as instance:
        yield project, instance


def session(market: str | None, engine: str | None = None) -> AbstractContextManager[Session]:
    """Open what the settings stand for, where the command line wins over the environment, and the user's instance."""
    return open_session(read_settings(market=market, engine=engine))


def prepare_ui(settings: Settings) -> Path:
    """Give the DAGSTER_HOME, its instance ready for runs side by side: one on each core.

    Raises
    ------
    StorageError
        As `open_session`.
    """
    home = dagster_home(settings)
    with _opened(home) as instance:
        let_training_use_all_cores(instance)
    return home


@contextmanager
def _opened(home: Path) -> Iterator[dg.DagsterInstance]:
    try:
        with _open(home) as instance:
            yield instance
    except sqlalchemy.exc.OperationalError as error:
        raise _unreachable(home, error) from error


@contextmanager
def _alone(home: Path) -> Iterator[None]:
    """Keep other processes of ours from opening an instance meanwhile."""
    try:
        lock = (home / ".opening").open("w")
    except OSError as error:
        raise StorageError.unwritable(home, error.strerror) from error
    with lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        yield


def _open(home: Path) -> dg.DagsterInstance:
    """Open the instance that ``dagster.yaml`` describes; one process at a time, as two would both make its tables."""
    try:
        with _alone(home):
            return dg.DagsterInstance.from_config(str(home))
    except (dg.DagsterError, CheckError) as error:
        said = " ".join(str(error).split()).split("Error 1: ")[-1].split(" Stack Trace: ")[0]
        raise StorageError(
            f"{home / 'dagster.yaml'}: expected what Dagster can open, got: {said}; correct it, set the variables that "
            "it names, or install what it names."
        ) from error
    except Exception as error:  # dagster-postgres has an error of its own, and may not be installed
        if isinstance(error.__cause__, sqlalchemy.exc.DBAPIError):
            raise _unreachable(home, error.__cause__) from error
        raise


def _unreachable(home: Path, error: sqlalchemy.exc.DBAPIError) -> StorageError:
    """Say that the instance's database does not answer: its files cannot be written, or its server not be reached."""
    if error.orig is None or error.orig.__class__.__module__.startswith("sqlite3"):
        return StorageError.unwritable(home, error.orig)
    said = " ".join(str(error.orig).split())
    return StorageError(
        f"{home / 'dagster.yaml'}: expected a database server that answers, got: {said}; start it, or correct its "
        "address."
    )
