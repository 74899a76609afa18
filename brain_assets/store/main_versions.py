"""Main versions of a forecaster family on disk and on the Hub, beside its snapshots.

Layout: ``models/<family>/v<date>-<hash>/``, a folder like a snapshot's, and ``models/<family>/current``, a text file of
one line that names the current version. It is replaced in one step, so a reader sees the old name or the new one. On
the Hub, a version is a branch of its name, and ``main`` holds the files of the current one.
"""

from collections.abc import Iterator
from typing import TYPE_CHECKING, Any

from brain_assets.errors import HubError, SnapshotError
from brain_assets.paths import DataPath, read_bytes, replace_file
from brain_assets.progress import warn
from brain_assets.store.names import MAIN_BRANCH, parse_version_name

if TYPE_CHECKING:
    from brain_assets.store.hub import HubCopy
    from brain_assets.store.snapshot import ModelSnapshot
    from brain_assets.store.storage import SnapshotLocalStorage

CURRENT = "current"


class MainVersions:
    """The main versions of one family, in its storage and its repo, if it has one; they go by name."""

    def __init__(self, storage: "SnapshotLocalStorage") -> None:
        self.storage = storage
        self.family, self.folder = storage.family, storage.folder

    def path(self, name: str) -> DataPath:
        """Give the folder of a version, whether it exists or not; raises `SnapshotError` if it cannot name one."""
        if parse_version_name(name) is None:
            raise SnapshotError(
                f"{self.family}: expected the name of a main version, such as v2024-01-02-0123456789ab, got {name!r}; "
                "see `brain-assets models`."
            )
        return self.folder / name

    def list_versions(self) -> list[str]:
        """Name all versions that verify, oldest first."""
        return self.storage.list_existing(parse_version_name)

    def exists(self, name: str) -> bool:
        """Tell whether a version's folder verifies."""
        return self.storage.store.find(self.path(name).name) is not None

    def write(self, snapshot: "ModelSnapshot") -> DataPath:
        """Write a version, whole or not at all, and give its folder; it does not become current by that."""
        self.path(snapshot.name)
        return self.storage.write_snapshot(snapshot)

    def load(self, name: str) -> "ModelSnapshot":
        """Read a version; raises `SnapshotError` if it is not there or not what it says."""
        return self.storage.load(self.path(name).name)

    def read_metadata(self, name: str) -> dict[str, Any]:
        """Read what a version says of itself, without its weights; raises `SnapshotError` if it does not verify."""
        return self.storage.store.read_manifest(self.path(name).name)

    def current(self) -> str | None:
        """Name the current version; None: none was promoted. Raises `SnapshotError` if it is not there."""
        path = self.folder / CURRENT
        try:
            name = read_bytes(path).decode().strip()
        except FileNotFoundError:
            return None
        except UnicodeDecodeError as error:
            raise SnapshotError(f"{path}: expected a file that names a version, got: {error}; promote one.") from error
        if parse_version_name(name) is None or not self.exists(name):
            raise SnapshotError(
                f"{path}: expected the name of a main version that is there, got {name[:60]!r}; promote one of "
                f"{', '.join(self.list_versions()) or 'those that you train next'}."
            )
        return name

    def promote(self, name: str) -> None:
        """Make a version current, in one step; raises `SnapshotError` if it is not there or does not load."""
        self.load(name)
        replace_file(self.folder / CURRENT, f"{name}\n")

    def publish(self, branch: str) -> "HubCopy":
        """Push a version to the branch of its name, or the current one to ``main``.

        Raises `SnapshotError` if there is none, and `HubError` if it does not get through; why is remembered.
        """
        name = branch if branch != MAIN_BRANCH else self.current() or ""
        return self.storage.upload(branch, self.storage.store.read(self.path(name).name))

    def publish_current(self) -> "HubCopy | None":
        """Let the Hub's ``main`` hold the files of the current version; None: there is none. Raises as `publish`."""
        return None if self.current() is None else self.publish(MAIN_BRANCH)

    def unpublished(self) -> list[str]:
        """Name the branches, ``main`` the last, that the Hub is not known to hold as they are here; asks nobody."""
        if self.storage.hub is None:
            return []
        current = self.current()
        folders = {name: name for name in self.list_versions()} | ({MAIN_BRANCH: current} if current else {})
        return [branch for branch, name in folders.items() if not self._is_published(branch, name)]

    def _is_published(self, branch: str, name: str) -> bool:
        record = self.storage.record(branch)
        return record.manifest == self.read_metadata(name)["manifest"] and not record.pending

    def complete(self) -> "Iterator[tuple[str, HubCopy]]":
        """Push what `unpublished` names; gives each branch that got through, and warns of those that did not."""
        for branch in self.unpublished():
            try:
                yield branch, self.publish(branch)
            except HubError as error:
                warn(f"{self.family} {branch}: hub: still pending: {error}")
