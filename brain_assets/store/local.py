"""Snapshots on a disk: a folder each.

A folder is written as a temporary sibling and renamed; one that stands there already is moved aside first, and removed
after. So a process that dies at any moment leaves the old folder, the new one, or none, and never a half.
"""

import errno
from collections.abc import Mapping
from contextlib import suppress
from pathlib import Path
from typing import Any

from brain_assets.errors import DamagedSnapshotError, MissingSnapshotError, StorageError
from brain_assets.files import flush_directory, remove, remove_leftovers, temporary_sibling, write_flushed
from brain_assets.store.manifest import FILES, MANIFEST, check_size, parse, verify
from brain_assets.store.port import located

_TRIES = 100
"""Of giving a folder its name while others do the same."""


class LocalStore:
    """A folder of snapshots; see `brain_assets.store.port.Store`.

    Parameters
    ----------
    folder : Path
        Need not be there.
    """

    def __init__(self, folder: Path) -> None:
        self.folder = folder

    def list(self) -> list[str]:
        """Name the folders, in order, whole or not."""
        if not self.folder.is_dir():
            return []
        return sorted(path.name for path in self.folder.iterdir() if path.is_dir() and not path.name.startswith("."))

    def find(self, name: str) -> dict[str, Any] | None:
        """Give the manifest of a folder that is whole; reads all of it."""
        try:
            return parse(self.read(name)[MANIFEST])
        except (MissingSnapshotError, DamagedSnapshotError):
            return None

    def read_manifest(self, name: str) -> dict[str, Any]:
        """Read a manifest alone."""
        with located(self.folder / name):
            return parse(self._read(name, MANIFEST))

    def read(self, name: str) -> dict[str, bytes]:
        """Read all files of a folder that verifies."""
        with located(self.folder / name):
            files = {file: self._read(name, file) for file in FILES}
            verify(files)
        return files

    def write(self, name: str, files: Mapping[str, bytes]) -> None:
        """Write a folder, whole or not at all; one of that name is replaced."""
        folder = self.folder / name
        with located(folder):
            verify(files)
        try:
            self.folder.mkdir(parents=True, exist_ok=True)
            remove_leftovers(self.folder)
            _write(folder, files)
        except OSError as error:
            raise StorageError.unwritable(folder, error.strerror or error) from error

    def _read(self, name: str, file: str) -> bytes:
        path = self.folder / name / file
        try:
            check_size(file, path.stat().st_size)
            if path.is_file():  # and no pipe, which would never end
                return path.read_bytes()
        except FileNotFoundError as error:
            if not path.parent.is_dir():
                raise MissingSnapshotError(
                    f"{path.parent}: expected a snapshot, got none; train it, or pull it."
                ) from error
            raise DamagedSnapshotError(file, "a file", "none") from error
        except OSError as error:
            raise DamagedSnapshotError(file, "a file that can be read", str(error.strerror)) from error
        raise DamagedSnapshotError(file, "a file", "something else of that name")


def _write(folder: Path, files: Mapping[str, bytes]) -> None:
    temporary = temporary_sibling(folder)
    try:
        temporary.mkdir()
        for name in FILES:
            write_flushed(temporary / name, files[name])
        flush_directory(temporary)
        _put_in_place(temporary, folder)
        flush_directory(folder.parent)
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
