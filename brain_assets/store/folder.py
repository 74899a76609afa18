"""The functions of before there was a port, for those who still ask by folder; they stand on the stores."""
# ruff: noqa: D103

from collections.abc import Callable, Mapping
from typing import Any

from brain_assets.errors import SnapshotError
from brain_assets.files import is_running as is_running
from brain_assets.files import replace_file as replace_file
from brain_assets.paths import DataPath, is_remote, list_names
from brain_assets.store.local import LocalStore
from brain_assets.store.manifest import FILES as FILES
from brain_assets.store.manifest import MANIFEST as MANIFEST
from brain_assets.store.manifest import PAYLOAD as PAYLOAD
from brain_assets.store.manifest import build, parse
from brain_assets.store.manifest import verify as verify_files


def write_folder(folder: DataPath, payload: Mapping[str, bytes], metadata: Mapping[str, Any]) -> None:
    write_files(folder, build(payload, metadata))


def write_files(folder: DataPath, files: Mapping[str, bytes]) -> None:
    if is_remote(folder):
        from brain_assets.store import remote_folder

        verify_files(files)
        remote_folder.write(folder, files)
    else:
        LocalStore(folder.parent).write(folder.name, files)


def settle(parent: DataPath) -> None:
    pass


def verify(folder: DataPath) -> str | None:
    try:
        read_manifest_file(folder) if is_remote(folder) else read_files(folder)
    except SnapshotError as error:
        return str(error)
    return None


def list_verified(parent: DataPath, is_name: Callable[[str], bool]) -> list[str]:
    names = [name for name in list_names(parent) if is_name(name)]
    if is_remote(parent):
        from brain_assets.store import remote_folder

        return remote_folder.those_there(parent, names)
    return [name for name in names if verify(parent / name) is None]


def is_there(folder: DataPath) -> bool:
    return verify(folder) is None if is_remote(folder) else folder.is_dir()


def check_files(files: Mapping[str, bytes]) -> str | None:
    try:
        verify_files(files)
    except SnapshotError as error:
        return str(error)
    return None


def read_manifest(data: bytes) -> dict[str, Any]:
    return parse(data)


def read_files(folder: DataPath) -> dict[str, bytes]:
    if is_remote(folder):
        from brain_assets.store import remote_folder

        files, problem = remote_folder.read(folder)
        if problem is not None:
            raise SnapshotError(f"{folder}: expected a complete snapshot, but {problem}; train it again with --force.")
        return files
    return LocalStore(folder.parent).read(folder.name)


def read_manifest_file(folder: DataPath) -> bytes:
    if not is_remote(folder):
        return read_files(folder)[MANIFEST]
    from brain_assets.store import remote_folder

    manifest, problem = remote_folder.read_manifest_file(folder)
    if problem is not None:
        raise SnapshotError(f"{folder}: expected a complete snapshot, but {problem}; train it again with --force.")
    return manifest


def read_folder(folder: DataPath) -> tuple[dict[str, bytes], dict[str, Any]]:
    files = read_files(folder)
    return {name: files[name] for name in PAYLOAD}, read_manifest(files[MANIFEST])
