"""Snapshots in a bucket, or whatever else fsspec knows: the files of a folder on a disk, under the same names.

There is no rename there. So the manifest is written last, and removed first where a snapshot is replaced: who reads
meanwhile, or after a writer that died, finds none, or one that does not verify, and never another model.
"""

from collections.abc import Mapping

from upath import UPath

from brain_assets.errors import DamagedSnapshotError
from brain_assets.objects import list_children, list_folders, read_objects, remove_objects, write_objects
from brain_assets.store.manifest import MANIFEST, PAYLOAD
from brain_assets.store.port import FolderStore


class BucketStore(FolderStore):
    """A prefix with folders of snapshots; see `brain_assets.store.port.Store`."""

    def __init__(self, folder: UPath) -> None:
        self.folder: UPath = folder

    def list(self) -> list[str]:
        """Name the folders, in order, whole or not."""
        return [name for name in list_folders(self.folder) if not name.startswith(".")]

    def _fetch(self, name: str, *files: str) -> dict[str, bytes]:
        folder = self.folder / name
        contents = dict(zip(files, read_objects([folder / file for file in files]), strict=True))
        found = {file: content for file, content in contents.items() if content is not None}
        for file in reversed(files):
            if file not in found:
                if found or list_children(folder):
                    raise DamagedSnapshotError(file, "a file", "none")
                raise self._missing(name)
        return found

    def _put(self, name: str, files: Mapping[str, bytes]) -> None:
        """Write a folder; one of that name is gone until this one is whole."""
        folder = self.folder / name
        remove_objects([folder / MANIFEST])
        write_objects({folder / file: files[file] for file in PAYLOAD})
        write_objects({folder / MANIFEST: files[MANIFEST]})
