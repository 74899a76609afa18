"""The user's Dagster instance, for the command line."""

import fcntl
import logging
import re
import sqlite3
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from importlib import resources
from pathlib import Path
from typing import TYPE_CHECKING, TypeVar

import dagster as dg
import tenacity
from dagster._check import CheckError
from dagster_shared.serdes.errors import DeserializationError

from brain_assets.errors import StorageError
from brain_assets.graph.pools import let_training_use_all_cores
from brain_assets.graph.tasks import WAIT_SECONDS
from brain_assets.paths import is_remote
from brain_assets.progress import LOGGER, warn
from brain_assets.settings import Settings

if TYPE_CHECKING:
    import sqlalchemy.exc

T = TypeVar("T")

HEARTBEAT_SECONDS = 60
"""How old the last sign of a daemon may be that still runs: it gives one every half minute."""

MAX_AWAY_SECONDS = 600
"""How long Dagster's database may be away before work is given up."""


def home_of(settings: Settings) -> Path:
    """Give the DAGSTER_HOME, which may not be there yet: the one set, else a persistent one in the data folder.

    If the data folder is elsewhere, Dagster's own records still lie on this machine, in a folder named after the URL:
    for ``s3://bucket/prefix`` in ``data/dagster-s3-bucket-prefix``. Several machines that are to share them set
    DAGSTER_HOME and a database server in its ``dagster.yaml``.
    """
    data = settings.data_dir
    elsewhere = Path("data") / f"dagster-{re.sub(r'[^A-Za-z0-9.]+', '-', str(data)).strip('-')}"
    return (settings.dagster_home or (elsewhere if is_remote(data) else data / "dagster")).resolve()


def dagster_home(settings: Settings) -> Path:
    """Give the DAGSTER_HOME (`home_of`), made if need be; raises `StorageError`."""
    home = home_of(settings)
    try:
        home.mkdir(parents=True, exist_ok=True)
        if not (home / "dagster.yaml").exists():
            shipped = resources.files("brain_assets.graph") / "dagster.yaml"
            (home / "dagster.yaml").write_text(shipped.read_text())
    except OSError as error:
        raise StorageError.unwritable(home, error.strerror) from error
    return home


def prepare_ui(settings: Settings) -> Path:
    """Give the DAGSTER_HOME, its instance ready for runs side by side: one on each core.

    Raises
    ------
    StorageError
        As `open_instance`; and if a daemon, of this machine or another, works on the instance already.
    """
    home = dagster_home(settings)
    with open_instance(home) as instance:
        beats = [beat.timestamp for beat in instance.get_daemon_heartbeats().values()]
        if beats and (age := time.time() - max(beats)) < HEARTBEAT_SECONDS:
            raise StorageError(
                f"{home}: expected no other daemon of Dagster, as two would start each run twice, got one that was "
                f"there {max(age, 0):.0f} s ago by its heartbeat; use its UI, or stop it and wait a minute."
            )
        let_training_use_all_cores(instance)
    return home


@contextmanager
def open_instance(home: Path) -> Iterator[dg.DagsterInstance]:
    """Open the instance of a DAGSTER_HOME; raises `StorageError` if it cannot be opened, or not be written to."""
    import sqlalchemy.exc

    def say_once(record: logging.LogRecord) -> bool:
        """Put Dagster's line for each event that it cannot read into one sentence."""
        if is_unreadable := str(record.msg).startswith("Could not parse event record"):
            warn(f"{home}: some events of Dagster's record are damaged: what they tell of counts as missing.")
        return not is_unreadable

    try:
        logging.getLogger().addFilter(say_once)
        with _open(home) as instance:
            yield instance
    except sqlalchemy.exc.DatabaseError as error:
        if not (isinstance(error, sqlalchemy.exc.OperationalError) or _is_broken(error)):
            raise
        raise _unreachable(home, error) from error
    except DeserializationError as error:
        raise _broken(home, str(error).partition("\n")[0]) from error
    finally:
        logging.getLogger().removeFilter(say_once)


def patiently(operation: Callable[[], T], stop_if_asked: Callable[[], None]) -> T:
    """Do something that needs Dagster's database, and wait if its server is away; raises its error after a while.

    The wait ends with what `stop_if_asked`, which is called again and again, raises.
    """

    def sleep(seconds: float) -> None:
        end = time.monotonic() + seconds
        while (left := end - time.monotonic()) > 0:
            stop_if_asked()
            time.sleep(min(left, WAIT_SECONDS))

    waiting = tenacity.Retrying(
        retry=tenacity.retry_if_exception(_is_away),
        wait=tenacity.wait_exponential(max=10),
        stop=tenacity.stop_after_delay(MAX_AWAY_SECONDS),
        sleep=sleep,
        before_sleep=lambda _: LOGGER.info("Dagster's database does not answer: waiting for it"),
        reraise=True,
    )
    return waiting(operation)


def _is_away(error: BaseException) -> bool:
    """Tell whether an error says that a database server does not answer; files that fail, fail for good."""
    import sqlalchemy.exc  # a tenth of the time that definitions load in, which need no database

    lost = sqlalchemy.exc.OperationalError | sqlalchemy.exc.InterfaceError
    causes = (error, error.__cause__, error.__context__)
    return any(isinstance(cause, lost) and not _is_of_files(cause) for cause in causes)


def _is_of_files(error: "sqlalchemy.exc.DBAPIError") -> bool:
    return error.orig is None or error.orig.__class__.__module__.startswith("sqlite3")


def _is_broken(error: "sqlalchemy.exc.DBAPIError") -> bool:
    """Tell whether a file of SQLite is none any more: its other errors are of kinds of their own."""
    return type(error.orig) is sqlite3.DatabaseError or "Could not decode" in str(error.orig)


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
        import sqlalchemy.exc

        if isinstance(error.__cause__, sqlalchemy.exc.DBAPIError):
            raise _unreachable(home, error.__cause__) from error
        raise


def _unreachable(home: Path, error: "sqlalchemy.exc.DBAPIError") -> StorageError:
    """Say that the instance's database does not answer: its files cannot be written, or its server not be reached."""
    if _is_broken(error):
        return _broken(home, str(error.orig).partition(" with text ")[0])
    if _is_of_files(error):
        return StorageError.unwritable(home, error.orig)
    said = " ".join(str(error.orig).split())
    return StorageError(
        f"{home / 'dagster.yaml'}: expected a database server that answers, got: {said}; start it, or correct its "
        "address."
    )


def _broken(home: Path, found: str) -> StorageError:
    return StorageError(
        f"{home}: expected Dagster's record, got: {found}; restore it, or move it away: what is stored stays, and a "
        "backfill finds it."
    )
