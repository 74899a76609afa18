"""What every place of snapshots can do: a disk, a bucket, a repo of the Hugging Face Hub."""

from abc import ABC, abstractmethod
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any

from brain_assets.errors import DamagedSnapshotError, MissingSnapshotError, SnapshotError
from brain_assets.store.manifest import FILES, MANIFEST, parse, verify

if TYPE_CHECKING:
    from brain_assets.paths import DataPath


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

        Raises
        ------
        MissingSnapshotError
            If there is nothing of that name.
        DamagedSnapshotError, RefusedSnapshotError
            If what is there is not a manifest, or not as it was written; the second where strangers write.
        """

    @abstractmethod
    def read(self, name: str) -> dict[str, bytes]:
        """Read all files, which verify. Raises as `read_manifest`, the error naming the file that is to blame."""

    @abstractmethod
    def write(self, name: str, files: Mapping[str, bytes]) -> None:
        """Write a folder of exactly these files, whole or not at all; one of that name is replaced.

        Raises
        ------
        DamagedSnapshotError
            If the files do not verify; nothing is written.
        """

    def find(self, name: str) -> dict[str, Any] | None:
        """Give the manifest of a folder that is whole, as far as can be told without moving it; None: there is none.

        A disk reads all files; elsewhere it is the manifest alone, and damage of the others is told once they are read.
        """
        try:
            return self.read_manifest(name)
        except SnapshotError:
            return None


class FolderStore(Store):
    """A folder of snapshots, on a disk or elsewhere; it need not be there."""

    folder: "DataPath"

    @abstractmethod
    def _fetch(self, name: str, *files: str) -> dict[str, bytes]:
        """Read files of a folder, not larger than they may be."""

    @abstractmethod
    def _put(self, name: str, files: Mapping[str, bytes]) -> None:
        """Write a folder, whole or not at all."""

    def read_manifest(self, name: str) -> dict[str, Any]:
        """Read a manifest alone."""
        with located(self.folder / name):
            return parse(self._fetch(name, MANIFEST)[MANIFEST])

    def read(self, name: str) -> dict[str, bytes]:
        """Read all files, which verify."""
        with located(self.folder / name):
            verify(files := self._fetch(name, *FILES))
        return files

    def write(self, name: str, files: Mapping[str, bytes]) -> None:
        """Write a folder that verifies; one of that name is replaced."""
        with located(self.folder / name):
            verify(files)
        self._put(name, files)

    def _missing(self, name: str) -> MissingSnapshotError:
        return MissingSnapshotError(f"{self.folder / name}: expected a snapshot, got none; train it, or pull it.")


@contextmanager
def located(place: object) -> Iterator[None]:
    """Let errors about damage name the place of the snapshot too."""
    try:
        yield
    except DamagedSnapshotError as error:
        raise error.at(place) from error
