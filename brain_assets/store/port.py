"""What every place of snapshots can do: a disk, a bucket, a repo of the Hugging Face Hub."""

from abc import ABC, abstractmethod
from collections.abc import Mapping
from typing import Any

from brain_assets.errors import SnapshotError


class Store(ABC):
    """The folders of one family in one place; each has a name, and the files of `brain_assets.store.manifest.FILES`.

    Every method raises `StorageError` (a disk, a bucket) or `HubError` where the place itself fails or refuses.
    """

    @abstractmethod
    def list(self) -> list[str]:
        """Name what stands there, in order, whole or not: reading tells."""

    @abstractmethod
    def read_manifest(self, name: str) -> dict[str, Any]:
        """Read a manifest, which verifies against itself; no other file is read.

        Raises `MissingSnapshotError` if there is nothing of that name; `DamagedSnapshotError`, where strangers write
        `RefusedSnapshotError`, if what is there is not a manifest, or not as it was written.
        """

    @abstractmethod
    def read(self, name: str) -> dict[str, bytes]:
        """Read all files, which verify. Raises as `read_manifest`, the error naming the file that is to blame."""

    @abstractmethod
    def write(self, name: str, files: Mapping[str, bytes]) -> None:
        """Write a folder of exactly these files, whole or not at all; one of that name is replaced.

        Raises `DamagedSnapshotError`, and writes nothing, if the files do not verify.
        """

    def find(self, name: str) -> dict[str, Any] | None:
        """Give the manifest of a folder that is whole, as far as can be told without moving it; None: there is none.

        A disk reads all files; elsewhere it is the manifest alone, and damage of the others is told once they are read.
        """
        try:
            return self.read_manifest(name)
        except SnapshotError:
            return None
