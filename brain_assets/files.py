"""Files and folders on this machine that are written whole or not at all.

Everything goes to a hidden temporary sibling first, is flushed to disk, and renamed. A process that dies leaves what
stood there, what it wrote, nothing, or a sibling that nothing reads and that the next write beside it removes.
"""

import os
import re
import shutil
import uuid
from collections.abc import Iterator, Mapping
from contextlib import contextmanager, suppress
from pathlib import Path

from brain_assets.errors import StorageError

_TEMPORARY = re.compile(r"\.(?:new|old)-(?P<process>\d+)-[0-9a-f]{8}-.+")


def replace_local_file(path: Path, data: bytes) -> None:
    """Write a file whole or not at all; its folder is made. Raises `StorageError`; what stood there still does."""
    with _beside(path) as temporary:
        _write(temporary, data)
        temporary.replace(path)


def replace_local_folder(path: Path, contents: Mapping[str, bytes]) -> None:
    """Write a folder of exactly these files; as `replace_local_file`, but for a moment nothing stands there."""
    with _beside(path) as temporary:
        new = temporary / "new"
        new.mkdir(parents=True)
        for name, data in contents.items():
            _write(new / name, data)
        _flush(new)
        with suppress(FileNotFoundError):
            path.rename(temporary / "old")
        new.rename(path)


@contextmanager
def _beside(path: Path) -> Iterator[Path]:
    """Give a name beside a path for what shall replace it; what is left under it is removed."""
    temporary = path.parent / f".new-{os.getpid()}-{uuid.uuid4().hex[:8]}-{path.name}"
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        _remove_leftovers(path.parent)
        yield temporary
        _flush(path.parent)
    except OSError as error:
        raise StorageError.unwritable(path, error.strerror or error) from error
    finally:
        _remove(temporary)


def _write(path: Path, data: bytes) -> None:
    path.write_bytes(data)
    _flush(path)


def _flush(path: Path) -> None:
    """Make a file's content, or the names in a folder, survive a power cut."""
    descriptor = os.open(path, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)


def _remove_leftovers(parent: Path) -> None:
    """Remove the temporary siblings that dead processes left in a folder."""
    for entry in parent.iterdir():
        match = _TEMPORARY.fullmatch(entry.name)
        if match and not is_running(int(match["process"])):
            _remove(entry)


def _remove(path: Path) -> None:
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
