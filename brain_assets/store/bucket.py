"""Snapshots in a bucket, or whatever else fsspec knows: the files of a folder on a disk, under the same names.

There is no rename there. So the manifest is written last, and removed first where a snapshot is replaced: who reads
meanwhile, or after a writer that died, finds none, or one that does not verify, and never another model.
"""

from collections.abc import Mapping
from typing import Any

from upath import UPath

from brain_assets.errors import DamagedSnapshotError, MissingSnapshotError
from brain_assets.objects import list_children, list_folders, read_objects, remove_objects, write_object, write_objects
from brain_assets.store.manifest import FILES, MANIFEST, PAYLOAD, parse, verify
from brain_assets.store.port import located


class BucketStore:
    """A prefix with folders of snapshots; see `brain_assets.store.port.Store`.

    Parameters
    ----------
    folder : UPath
        Need not be there.
    """

    def __init__(self, folder: UPath) -> None:
        self.folder = folder

    def list(self) -> list[str]:
        """Name the folders, in order, whole or not."""
        return [name for name in list_folders(self.folder) if not name.startswith(".")]

    def find(self, name: str) -> dict[str, Any] | None:
        """Give the manifest of a folder; what is wrong with the other files is told once they are read."""
        try:
            return self.read_manifest(name)
        except (MissingSnapshotError, DamagedSnapshotError):
            return None

    def read_manifest(self, name: str) -> dict[str, Any]:
        """Read a manifest alone."""
        with located(self.folder / name):
            return parse(self._read(name, MANIFEST)[MANIFEST])

    def read(self, name: str) -> dict[str, bytes]:
        """Read all files at the same time; they verify."""
        with located(self.folder / name):
            files = self._read(name, *FILES)
            verify(files)
        return files

    def write(self, name: str, files: Mapping[str, bytes]) -> None:
        """Write a folder; one of that name is replaced, and gone until this one is whole."""
        folder = self.folder / name
        with located(folder):
            verify(files)
        remove_objects([folder / MANIFEST])
        write_objects({folder / file: files[file] for file in PAYLOAD})
        write_object(folder / MANIFEST, files[MANIFEST])

    def _read(self, name: str, *names: str) -> dict[str, bytes]:
        folder = self.folder / name
        contents = dict(zip(names, read_objects([folder / file for file in names]), strict=True))
        found = {file: content for file, content in contents.items() if content is not None}
        for file in reversed(names):
            if file in found:
                continue
            if found or list_children(folder):
                raise DamagedSnapshotError(file, "a file", "none")
            raise MissingSnapshotError(f"{folder}: expected a snapshot, got none; train it, or pull it.")
        return found
