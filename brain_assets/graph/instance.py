"""The user's Dagster instance, for the command line."""

from collections.abc import Iterator
from contextlib import contextmanager
from importlib import resources
from pathlib import Path

import dagster as dg
import sqlalchemy.exc

from brain_assets.errors import StorageError
from brain_assets.settings import Settings


def dagster_home(settings: Settings) -> Path:
    """Give the DAGSTER_HOME, made if need be: the one set, else a persistent one in the data folder."""
    home = (settings.dagster_home or settings.data_dir / "dagster").resolve()
    try:
        home.mkdir(parents=True, exist_ok=True)
        if not (home / "dagster.yaml").exists():
            shipped = resources.files("brain_assets.graph") / "dagster.yaml"
            (home / "dagster.yaml").write_text(shipped.read_text())
    except OSError as error:
        raise StorageError.unwritable(home, error.strerror) from error
    return home


@contextmanager
def open_session(settings: Settings) -> Iterator[tuple[dg.Definitions, dg.DagsterInstance]]:
    """Load the definitions and open the instance.

    Raises
    ------
    StorageError
        If the data folder is another market's, or the instance's database cannot be written.
    """
    from brain_assets.definitions import defs

    (defs.resources or {})["tables"].check_identity()
    home = dagster_home(settings)
    try:
        with dg.DagsterInstance.from_config(str(home)) as instance:
            yield defs, instance
    except sqlalchemy.exc.OperationalError as error:
        raise StorageError.unwritable(home, error.orig) from error
