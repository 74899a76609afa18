"""A snapshot's folder on disk.

Layout: ``weights.pt``, ``feature_scaler.pkl``, ``config.json``, ``README.md`` and, written last, ``metadata.json``,
which carries the SHA-256 of the others under ``files``. A folder *exists* when that verifies. It is written as a hidden
temporary sibling, flushed to disk, and renamed: a process that dies at any moment leaves the old snapshot, the new one,
or a temporary folder that nothing reads. Replacing moves the old folder aside first; should the process die between the
two renames, the next look puts the old one back (`settle`).
"""

import errno
import hashlib
import json
import os
import re
import shutil
import uuid
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from brain_assets.errors import SnapshotError, StorageError

MANIFEST = "metadata.json"
PAYLOAD = ("weights.pt", "feature_scaler.pkl", "config.json", "README.md")


def write_folder(folder: Path, payload: Mapping[str, bytes], metadata: Mapping[str, Any]) -> None:
    """Write a snapshot folder, whole or not at all; one that stands there already is replaced.

    Parameters
    ----------
    folder : Path
        Where it shall stand.
    payload : mapping of str to bytes
        Content of every file in `PAYLOAD`.
    metadata : mapping
        JSON values; the SHA-256 of the other files is added under ``files``.

    Raises
    ------
    StorageError
        If the disk is full or the place cannot be written.
    """
    try:
        folder.parent.mkdir(parents=True, exist_ok=True)
        settle(folder.parent)
        _write_and_rename(folder, payload, metadata)
    except OSError as error:
        raise StorageError.unwritable(folder, error.strerror or error) from error


def _write_and_rename(folder: Path, payload: Mapping[str, bytes], metadata: Mapping[str, Any]) -> None:
    mark = f"{os.getpid()}-{uuid.uuid4().hex[:8]}-{folder.name}"
    temporary, old = folder.parent / f".new-{mark}", folder.parent / f".old-{mark}"
    temporary.mkdir()
    try:
        for name in PAYLOAD:
            _write_file(temporary / name, payload[name])
        manifest = {**metadata, "files": {name: hashlib.sha256(payload[name]).hexdigest() for name in PAYLOAD}}
        _write_file(temporary / MANIFEST, (json.dumps(manifest, indent=2, sort_keys=True) + "\n").encode())
        flush_directory(temporary)
        if folder.exists():
            folder.rename(old)
        _put_in_place(temporary, folder)
        shutil.rmtree(old, ignore_errors=True)
        flush_directory(folder.parent)
    except OSError:
        if old.exists() and not folder.exists():
            old.rename(folder)
        raise
    finally:
        shutil.rmtree(temporary, ignore_errors=True)


def _put_in_place(temporary: Path, folder: Path) -> None:
    """Rename, unless another process has just put a folder of the very same content there."""
    try:
        temporary.rename(folder)
    except OSError as error:
        if error.errno not in (errno.ENOTEMPTY, errno.EEXIST) or _manifest(folder) != _manifest(temporary):
            raise


def _manifest(folder: Path) -> bytes | None:
    return (folder / MANIFEST).read_bytes() if verify(folder) is None else None


_TEMPORARY = re.compile(r"\.(?P<kind>new|old)-(?P<process>\d+)-[0-9a-f]{8}-(?P<name>.+)")


def settle(parent: Path) -> None:
    """Finish what dead processes left among the folders of `parent`: put back the old, remove the temporary."""
    leftovers = [_TEMPORARY.fullmatch(entry.name) for entry in parent.iterdir()] if parent.is_dir() else []
    for match in filter(None, leftovers):
        if is_running(int(match["process"])):
            continue
        leftover, folder = parent / match[0], parent / match["name"]
        if match["kind"] == "old" and not folder.exists() and verify(leftover) is None:
            leftover.rename(folder)
        else:
            shutil.rmtree(leftover, ignore_errors=True)


def verify(folder: Path) -> str | None:
    """Check a folder against its manifest.

    Returns
    -------
    str or None
        What is wrong with it, in words; None: it is a snapshot.
    """
    try:
        manifest = json.loads((folder / MANIFEST).read_bytes())
    except FileNotFoundError:
        return f"{MANIFEST} is absent"
    except (json.JSONDecodeError, UnicodeDecodeError, NotADirectoryError) as error:
        return f"{MANIFEST} cannot be read ({error})"
    files = manifest.get("files") if isinstance(manifest, dict) else None
    if not isinstance(files, dict) or set(files) != set(PAYLOAD):
        return f"{MANIFEST} does not list {', '.join(PAYLOAD)}"
    for name in PAYLOAD:
        try:
            found = hashlib.sha256((folder / name).read_bytes()).hexdigest()
        except FileNotFoundError:
            return f"{name} is absent"
        if found != files[name]:
            return f"{name} does not match the SHA-256 in {MANIFEST}"
    return None


def read_folder(folder: Path) -> tuple[dict[str, bytes], dict[str, Any]]:
    """Read a verified folder's files and metadata.

    Raises
    ------
    SnapshotError
        If the folder does not verify.
    """
    problem = verify(folder)
    if problem is not None:
        raise SnapshotError(f"{folder}: expected a complete snapshot, but {problem}; train it again.")
    return {name: (folder / name).read_bytes() for name in PAYLOAD}, json.loads((folder / MANIFEST).read_bytes())


def _write_file(path: Path, data: bytes) -> None:
    with path.open("wb") as file:
        file.write(data)
        file.flush()
        os.fsync(file.fileno())


def flush_directory(path: Path) -> None:
    """Make renames in a folder survive a power cut."""
    descriptor = os.open(path, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)


def is_running(process_id: int) -> bool:
    """Tell whether there is a process of that id on this machine."""
    try:
        os.kill(process_id, 0)
    except ProcessLookupError:
        return False
    except PermissionError:
        return True
    return True
