"""Opens the store that a place is: the one spot that tells a disk from a bucket."""

from brain_assets.paths import DataPath, is_remote
from brain_assets.store.bucket import BucketStore
from brain_assets.store.local import LocalStore
from brain_assets.store.port import FolderStore


def open_store(folder: DataPath) -> FolderStore:
    """Give the store of the snapshots in a folder, on this machine or elsewhere."""
    return BucketStore(folder) if is_remote(folder) else LocalStore(folder)


def read_files(folder: DataPath) -> dict[str, bytes]:
    """Read the files of one snapshot's folder, which verify; raises `SnapshotError`."""
    return open_store(folder.parent).read(folder.name)
