"""Files and folders on this machine that are written whole or not at all.

Everything goes to a hidden temporary sibling first, is flushed to disk, and renamed. A process that dies leaves what
stood there, what it wrote, or a sibling that nothing reads and that the next write beside it removes.
"""

import os
import re
import shutil
import uuid
from contextlib import suppress
from pathlib import Path

from brain_assets.errors import StorageError

_TEMPORARY = re.compile(r"\.(?:new|old)-(?P<process>\d+)-[0-9a-f]{8}-.+")


def replace_local_file(path: Path, data: bytes) -> None:
    """Write a file whole or not at all; its folder is made. Raises `StorageError`; what stood there still does."""
    temporary = temporary_sibling(path)
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        remove_leftovers(path.parent)
        write_flushed(temporary, data)
        temporary.replace(path)
        flush(path.parent)
    except OSError as error:
        raise StorageError.unwritable(path, error.strerror or error) from error
    finally:
        remove(temporary)


def write_flushed(path: Path, data: bytes) -> None:
    """Write a file that survives a power cut once the name of it is flushed too."""
    path.write_bytes(data)
    flush(path)


def flush(path: Path) -> None:
    """Make a file's content, or the names in a folder, survive a power cut."""
    descriptor = os.open(path, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)


def temporary_sibling(path: Path) -> Path:
    """Give a name beside a file or a folder that `remove_leftovers` knows."""
    return path.parent / f".new-{os.getpid()}-{uuid.uuid4().hex[:8]}-{path.name}"


def remove_leftovers(parent: Path) -> None:
    """Remove the temporary siblings that dead processes left in a folder."""
    for entry in parent.iterdir():
        match = _TEMPORARY.fullmatch(entry.name)
        if match and not is_running(int(match["process"])):
            remove(entry)


def remove(path: Path) -> None:
    """Remove a file or a folder, if it is there and can be removed."""
    if path.is_dir() and not path.is_symlink():
        shutil.rmtree(path, ignore_errors=True)
    else:
        with suppress(OSError):
            path.unlink()


def is_running(process_id: int) -> bool:
    """Tell whether there is a process of that id on this machine."""
    try:
        os.kill(process_id, 0)
    except ProcessLookupError:
        return False
    except (PermissionError, OverflowError):  # somebody else's; no number of a process
        return True
    return True
