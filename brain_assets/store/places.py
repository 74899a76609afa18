"""Opens the store that a place is: the one spot that tells a disk from a bucket."""

from collections.abc import Mapping

from brain_assets.paths import DataPath, is_remote
from brain_assets.store.bucket import BucketStore
from brain_assets.store.local import LocalStore


def open_store(folder: DataPath) -> LocalStore | BucketStore:
    """Give the store of the snapshots in a folder, on this machine or elsewhere."""
    return BucketStore(folder) if is_remote(folder) else LocalStore(folder)


def read_files(folder: DataPath) -> dict[str, bytes]:
    """Read the files of one snapshot's folder, which verify; raises `SnapshotError`."""
    return open_store(folder.parent).read(folder.name)


def write_files(folder: DataPath, files: Mapping[str, bytes]) -> None:
    """Write one snapshot's folder of exactly these files, whole or not at all; see `Store.write`."""
    open_store(folder.parent).write(folder.name, files)
