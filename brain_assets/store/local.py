"""Snapshots on a disk: a folder each.

A folder is written as a temporary sibling and renamed; one that stands there already is moved aside first, and removed
after. So a process that dies at any moment leaves the old folder, the new one, or none, and never a half.
"""

import errno
from collections.abc import Mapping
from contextlib import suppress
from pathlib import Path
from typing import Any

from brain_assets.errors import DamagedSnapshotError, SnapshotError, StorageError
from brain_assets.files import flush, remove, remove_leftovers, temporary_sibling, write_flushed
from brain_assets.store.manifest import FILES, MANIFEST, check_size, parse
from brain_assets.store.port import FolderStore

_TRIES = 100
"""Of giving a folder its name while others do the same."""


class LocalStore(FolderStore):
    """A folder on this machine; see `brain_assets.store.port.Store`."""

    def __init__(self, folder: Path) -> None:
        self.folder: Path = folder

    def list(self) -> list[str]:
        """Name the folders, in order, whole or not."""
        if not self.folder.is_dir():
            return []
        return sorted(path.name for path in self.folder.iterdir() if path.is_dir() and not path.name.startswith("."))

    def find(self, name: str) -> dict[str, Any] | None:
        """Give the manifest of a folder that is whole; reads all of it."""
        try:
            return parse(self.read(name)[MANIFEST])
        except SnapshotError:
            return None

    def _fetch(self, name: str, *files: str) -> dict[str, bytes]:
        return {file: self._read(name, file) for file in files}

    def _read(self, name: str, file: str) -> bytes:
        path = self.folder / name / file
        try:
            check_size(file, path.stat().st_size)
            if path.is_file():  # and no pipe, which would never end
                return path.read_bytes()
        except FileNotFoundError as error:
            if not path.parent.is_dir():
                raise self._missing(name) from error
            raise DamagedSnapshotError(file, "a file", "none") from error
        except OSError as error:
            raise DamagedSnapshotError(file, "a file that can be read", str(error.strerror)) from error
        raise DamagedSnapshotError(file, "a file", "something else of that name")

    def _put(self, name: str, files: Mapping[str, bytes]) -> None:
        folder = self.folder / name
        temporary = temporary_sibling(folder)
        try:
            self.folder.mkdir(parents=True, exist_ok=True)
            remove_leftovers(self.folder)
            temporary.mkdir()
            for file in FILES:
                write_flushed(temporary / file, files[file])
            flush(temporary)
            _put_in_place(temporary, folder)
            flush(self.folder)
        except OSError as error:
            raise StorageError.unwritable(folder, error.strerror or error) from error
        finally:
            remove(temporary)


def _put_in_place(temporary: Path, folder: Path) -> None:
    """Rename to the final name; what stood there is moved aside first, and removed."""
    for _ in range(_TRIES):  # others may write the same name at the same time: the last one's stands
        old = temporary_sibling(folder)
        with suppress(FileNotFoundError):
            folder.rename(old)
        try:
            temporary.rename(folder)
            return
        except OSError as error:
            if error.errno not in (errno.ENOTEMPTY, errno.EEXIST):
                raise
        finally:
            remove(old)
    raise OSError(errno.EBUSY, f"other processes replaced it {_TRIES} times in a row")
