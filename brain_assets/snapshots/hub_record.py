"""What this machine knows of a snapshot's copy on the Hub: a small file beside the snapshots, ``.hub/<name>.json``.

A commit never changes. So once a commit was seen to hold exactly the files of a local manifest, one listing of branches
tells whether that is still so, for all snapshots at once. The file also keeps why the last push did not get through.
It is a cache: if it is lost or broken, the Hub is asked again.
"""

import json
import os
from contextlib import suppress
from dataclasses import asdict, dataclass
from pathlib import Path

from brain_assets.errors import StorageError
from brain_assets.snapshots.folder import settle, temporary_sibling


@dataclass(frozen=True)
class HubRecord:
    """What is known of one snapshot.

    Attributes
    ----------
    repo : str
    commit : str
        A commit that holds the files of `manifest`; empty: none is known.
    manifest : str
        SHA-256 of the local ``metadata.json`` that it was compared with.
    pending : str
        Why the last push did not get through; empty: it did.
    arriving : str
        SHA-256 of a ``metadata.json`` that a pull was about to put here: should it die, what it put is not ours.
    """

    repo: str
    commit: str = ""
    manifest: str = ""
    pending: str = ""
    arriving: str = ""


def read_record(folder: Path, name: str) -> HubRecord | None:
    """Read the record of a snapshot; None: there is none, or it cannot be read."""
    try:
        values = json.loads(_path(folder, name).read_bytes())
        record = HubRecord(**values)
    except (OSError, ValueError, TypeError):
        return None
    return record if all(isinstance(value, str) for value in asdict(record).values()) else None


def write_record(folder: Path, name: str, record: HubRecord) -> None:
    """Write the record of a snapshot, whole or not at all."""
    path = _path(folder, name)
    temporary = temporary_sibling(path, "new")
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        settle(path.parent)
        temporary.write_text(json.dumps(asdict(record), indent=2) + "\n")
        os.replace(temporary, path)
    except OSError as error:
        with suppress(OSError):
            temporary.unlink()
        raise StorageError.unwritable(path, error.strerror or error) from error


def _path(folder: Path, name: str) -> Path:
    return folder / ".hub" / f"{name}.json"
