"""What this machine knows of a snapshot's copy on the Hub: a small file beside the snapshots, ``.hub/<name>.json``.

A commit never changes. So once a commit was seen to hold exactly the files of a local manifest, one listing of branches
tells whether that is still so, for all snapshots at once. The file also keeps why the last push did not get through.
It is a cache: if it is lost or broken, the Hub is asked again.
"""

import json
from dataclasses import asdict, dataclass

from brain_assets.files import replace_file
from brain_assets.paths import DataPath, list_names, read_bytes

_FOLDER, _ENDING = ".hub", ".json"


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


def read_record(folder: DataPath, name: str) -> HubRecord | None:
    """Read the record of a snapshot; None: there is none, or it cannot be read."""
    try:
        values = json.loads(read_bytes(_path(folder, name)))
        record = HubRecord(**values)
    except (OSError, ValueError, TypeError):
        return None
    return record if all(isinstance(value, str) for value in asdict(record).values()) else None


def write_record(folder: DataPath, name: str, record: HubRecord) -> None:
    """Write the record of a snapshot, whole or not at all."""
    content = json.dumps(asdict(record), indent=2) + "\n"
    replace_file(_path(folder, name), lambda temporary: temporary.write_text(content))


def recorded_names(folder: DataPath) -> list[str]:
    """Name the snapshots that have a record, in order."""
    names = list_names(folder / _FOLDER)
    return [name.removesuffix(_ENDING) for name in names if name.endswith(_ENDING)]


def _path(folder: DataPath, name: str) -> DataPath:
    return folder / _FOLDER / f"{name}{_ENDING}"
