"""Snapshots in a folder, on this machine or elsewhere."""

from collections.abc import Mapping
from contextlib import suppress
from typing import Any

from brain_assets.errors import MissingSnapshotError, SnapshotError
from brain_assets.paths import DataPath, is_remote, list_names, read_all, replace_folder
from brain_assets.store.checks import located
from brain_assets.store.manifest import FILES, MANIFEST, damaged, parse, verify
from brain_assets.store.names import parse_snapshot_name, parse_version_name


class FolderStore:
    """A folder with folders of snapshots; it need not be there.

    What it has is what every place has, the Hub too (`brain_assets.store.hub.HubStore`): list, read a manifest, read or
    write a folder whole.
    """

    def __init__(self, folder: DataPath) -> None:
        self.folder = folder

    def list(self) -> list[str]:
        """Name what stands there, in order, whole or not: reading tells."""
        return [name for name in list_names(self.folder) if parse_snapshot_name(name) or parse_version_name(name)]

    def read_manifest(self, name: str) -> dict[str, Any]:
        """Read a manifest, which verifies against itself, and no other file.

        Raises `MissingSnapshotError`; `DamagedSnapshotError`, where strangers write `RefusedSnapshotError`.
        """
        with located(self.folder / name):
            return parse(self._read(name, MANIFEST)[MANIFEST])

    def read(self, name: str) -> dict[str, bytes]:
        """Read all files, which verify. Raises as `read_manifest`, naming the file that is to blame."""
        with located(self.folder / name):
            verify(files := self._read(name, *FILES))
        return files

    def write(self, name: str, files: Mapping[str, bytes]) -> None:
        """Write a folder of exactly these files, which verify, whole or not at all; one of that name is replaced."""
        replace_folder(self.folder / name, {file: files[file] for file in FILES})

    def find(self, name: str) -> dict[str, Any] | None:
        """Give the manifest of a folder that is whole, as far as can be told without moving it; None: there is none.

        A disk reads all files; elsewhere it is the manifest alone, and damage of the others is told once they are read.
        """
        with suppress(SnapshotError):
            return self.read_manifest(name) if is_remote(self.folder) else parse(self.read(name)[MANIFEST])
        return None

    def _read(self, name: str, *files: str) -> dict[str, bytes]:
        contents = zip(files, read_all([self.folder / name / file for file in files]), strict=True)
        found = {file: data for file, data in contents if data is not None}
        if absent := [file for file in files if file not in found]:
            if found or list_names(self.folder / name):
                raise damaged(absent[-1], "a file", "none")
            raise MissingSnapshotError(
                f"{self.folder / name}: expected a snapshot, but there is none; train it (brain-assets backfill), or "
                "pull it."
            )
        return found


def read_files(folder: DataPath) -> dict[str, bytes]:
    """Read the files of one snapshot's folder, which verify; raises `SnapshotError`."""
    return FolderStore(folder.parent).read(folder.name)
