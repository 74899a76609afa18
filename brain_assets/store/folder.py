"""A snapshot's folder on disk.

Layout: ``weights.pt``, ``feature_scaler.pkl``, ``config.json``, ``README.md`` and, written last, ``metadata.json``,
which carries the SHA-256 of the others under ``files`` and their bytes under ``sizes``. A folder *exists* when that
verifies. It is written as a hidden temporary sibling, flushed to disk, and renamed: a process that dies at any moment
leaves the old snapshot, the new one, or a temporary folder that nothing reads. Replacing swaps old and new in one step,
so there is no moment without a snapshot. Where the system cannot swap (it is not Linux, or a network drive), the old
folder is moved aside first; should the process die between the two renames, the next look puts it back (`settle`).

On an object store it is another layout that keeps the same promise: `brain_assets.store.remote_folder`.
"""

import ctypes
import errno
import hashlib
import json
import os
import re
import shutil
import tempfile
import time
import uuid
from collections.abc import Callable, Mapping
from contextlib import suppress
from pathlib import Path
from typing import Any

from brain_assets.errors import SnapshotError, StorageError
from brain_assets.paths import DataPath, is_remote, list_names

MANIFEST = "metadata.json"
_TRIES = 100
_PAUSE = 0.02
"""Seconds between two looks at a folder that another process is replacing."""
PAYLOAD = ("weights.pt", "feature_scaler.pkl", "config.json", "README.md")


def write_folder(folder: DataPath, payload: Mapping[str, bytes], metadata: Mapping[str, Any]) -> None:
    """Write a snapshot folder, whole or not at all; one that stands there already is replaced.

    Parameters
    ----------
    folder : Path or UPath
        Where it shall stand.
    payload : mapping of str to bytes
        Content of every file in `PAYLOAD`.
    metadata : mapping
        JSON values; the SHA-256 of the other files is added under ``files``, their number of bytes under ``sizes``.

    Raises
    ------
    StorageError
        If the disk is full or the place cannot be written.
    """
    manifest = {
        **metadata,
        "files": {name: hashlib.sha256(payload[name]).hexdigest() for name in PAYLOAD},
        "sizes": {name: len(payload[name]) for name in PAYLOAD},
    }
    write_files(folder, {**payload, MANIFEST: (json.dumps(manifest, indent=2, sort_keys=True) + "\n").encode()})


def write_files(folder: DataPath, files: Mapping[str, bytes]) -> None:
    """Write a snapshot folder of exactly these bytes, manifest included; see `write_folder`.

    Raises
    ------
    SnapshotError
        If they do not verify.
    StorageError
        If the disk is full or the place cannot be written.
    """
    problem = check_files(files)
    if problem is not None:
        raise SnapshotError(f"{folder}: expected the files of a complete snapshot, but {problem}; nothing is written.")
    if is_remote(folder):
        from brain_assets.store import remote_folder

        remote_folder.write(folder, files)
        return
    try:
        folder.parent.mkdir(parents=True, exist_ok=True)
        settle(folder.parent)
        _write_and_rename(folder, files)
    except OSError as error:
        raise StorageError.unwritable(folder, error.strerror or error) from error


def _write_and_rename(folder: Path, files: Mapping[str, bytes]) -> None:
    temporary = temporary_sibling(folder, "new")
    temporary.mkdir()
    try:
        for name in (*PAYLOAD, MANIFEST):
            _write_file(temporary / name, files[name])
        flush_directory(temporary)
        for _ in range(_TRIES):
            if _put_in_place(temporary, folder):
                flush_directory(folder.parent)
                return
        raise OSError(errno.EBUSY, f"other processes replaced it {_TRIES} times in a row")
    finally:
        shutil.rmtree(temporary, ignore_errors=True)


def _put_in_place(temporary: Path, folder: Path) -> bool:
    """Rename to the final name; what stood there is gone, or has the temporary name. False: look again, it changed."""
    try:
        temporary.rename(folder)
        return True
    except OSError as error:
        if error.errno not in (errno.ENOTEMPTY, errno.EEXIST):
            raise
    try:
        _swap(temporary, folder)
        return True
    except FileNotFoundError:
        return False
    except OSError as error:
        if error.errno not in (errno.ENOSYS, errno.EINVAL, errno.ENOTSUP, errno.EPERM):
            raise  # the last is what some containers answer
    return _put_in_place_of_old(temporary, folder)


def _swap(first: Path, second: Path) -> None:
    """Exchange the names of two folders in one step: renameat2(2), which Python does not offer; `OSError` elsewhere."""
    renameat2 = getattr(ctypes.CDLL(None, use_errno=True), "renameat2", None)
    if renameat2 is None:
        raise OSError(errno.ENOSYS, os.strerror(errno.ENOSYS))
    if renameat2(_HERE, os.fsencode(first), _HERE, os.fsencode(second), _EXCHANGE) != 0:
        raise OSError(ctypes.get_errno(), os.strerror(ctypes.get_errno()))


_HERE, _EXCHANGE = -100, 2
"""AT_FDCWD and RENAME_EXCHANGE of Linux."""


def _put_in_place_of_old(temporary: Path, folder: Path) -> bool:
    """Move aside what stands there, then rename; False: another process's snapshot, whole too, stands there now."""
    old = temporary_sibling(folder, "old")
    with suppress(FileNotFoundError):  # another process has just moved it aside
        folder.rename(old)
    try:
        temporary.rename(folder)
    except OSError as error:
        if error.errno in (errno.ENOTEMPTY, errno.EEXIST):
            shutil.rmtree(old, ignore_errors=True)
            return False
        if old.exists():
            old.rename(folder)
        raise
    shutil.rmtree(old, ignore_errors=True)
    return True


def temporary_sibling(path: Path, kind: str) -> Path:
    """Give a name beside a folder or a file that `settle` knows; `kind` is ``new`` or ``old``."""
    return path.parent / f".{kind}-{os.getpid()}-{uuid.uuid4().hex[:8]}-{path.name}"


_TEMPORARY = re.compile(r"\.(?P<kind>new|old)-(?P<process>\d+)-[0-9a-f]{8}-(?P<name>.+)")


def settle(parent: DataPath) -> None:
    """Finish what dead processes left in `parent`: put back the old folders, remove the temporary, files too."""
    if is_remote(parent):  # what they leave there has no name that anything reads
        return
    leftovers = [_TEMPORARY.fullmatch(entry.name) for entry in parent.iterdir()] if parent.is_dir() else []
    for match in filter(None, leftovers):
        if is_running(int(match["process"])):
            continue
        leftover, folder = parent / match[0], parent / match["name"]
        if match["kind"] == "old" and not folder.exists() and verify(leftover) is None:
            with suppress(OSError):  # another process was faster, to put it back or to write a new one
                leftover.rename(folder)
        elif leftover.is_dir():
            shutil.rmtree(leftover, ignore_errors=True)
        else:
            with suppress(OSError):
                leftover.unlink()


def verify(folder: DataPath) -> str | None:
    """Check a folder against its manifest; on an object store, the manifest alone: the rest once it is read.

    Returns
    -------
    str or None
        What is wrong with it, in words; None: it is a snapshot.
    """
    if is_remote(folder):
        from brain_assets.store import remote_folder

        return remote_folder.read_manifest_file(folder)[1]
    return _read(folder)[1]


def list_verified(parent: DataPath, is_name: Callable[[str], bool]) -> list[str]:
    """Name the folders in a folder that verify, those with a fitting name, in order; nothing if it is not there."""
    settle(parent)
    names = [name for name in list_names(parent) if is_name(name)]
    if is_remote(parent):
        from brain_assets.store import remote_folder

        return remote_folder.those_there(parent, names)
    return [name for name in names if verify(parent / name) is None]


def is_there(folder: DataPath) -> bool:
    """Tell whether there is a folder of that name, whole or not."""
    return verify(folder) is None if is_remote(folder) else folder.is_dir()


def _read(folder: Path) -> tuple[dict[str, bytes], str | None]:
    """Read a folder's files, and what is wrong with them; looks again while another process replaces the folder."""
    for attempt in range(_TRIES):
        files, problem, settled = _read_now(folder)
        if problem is None or (settled and attempt):
            break
        time.sleep(0 if settled else _PAUSE)
    return files, problem


def _read_now(folder: Path) -> tuple[dict[str, bytes], str | None, bool]:
    """Read the files of one folder, even if another one takes its name meanwhile.

    Returns
    -------
    dict of str to bytes, str or None, bool
        The files; what is wrong; whether no other process had a hand in that.
    """
    try:
        descriptor = os.open(folder, os.O_RDONLY | os.O_DIRECTORY)
    except FileNotFoundError:
        return {}, f"{MANIFEST} is absent", not _is_being_replaced(folder)
    except NotADirectoryError as error:
        return {}, f"it cannot be read ({error.strerror})", True
    try:
        files, problem = _read_open(descriptor)
        return files, problem, problem is None or _is_still(folder, descriptor)
    finally:
        os.close(descriptor)


def _read_open(descriptor: int) -> tuple[dict[str, bytes], str | None]:
    def within(name: str, flags: int) -> int:
        return os.open(name, flags, dir_fd=descriptor)

    files = {}
    for name in (MANIFEST, *PAYLOAD):
        try:
            with open(name, "rb", opener=within) as file:
                files[name] = file.read()
        except FileNotFoundError:
            return {}, f"{name} is absent"
        except (NotADirectoryError, IsADirectoryError) as error:
            return {}, f"it cannot be read ({error.strerror})"
    return files, check_files(files)


def _is_still(folder: Path, descriptor: int) -> bool:
    """Tell whether a folder is the one that was opened, and not another of its name."""
    try:
        return os.path.samestat(os.stat(folder), os.fstat(descriptor))
    except FileNotFoundError:
        return False


def _is_being_replaced(folder: Path) -> bool:
    matches = (_TEMPORARY.fullmatch(path.name) for path in folder.parent.glob(f".old-*-{folder.name}"))
    return any(is_running(int(match["process"])) for match in matches if match and match["name"] == folder.name)


def check_files(files: Mapping[str, bytes]) -> str | None:
    """Check the files of a snapshot against the manifest among them; gives what is wrong, None: nothing."""
    try:
        manifest = read_manifest(files[MANIFEST])
    except SnapshotError as error:
        return str(error)
    for name in PAYLOAD:
        if hashlib.sha256(files[name]).hexdigest() != manifest["files"][name]:
            return f"{name} does not match the SHA-256 in {MANIFEST}"
    return None


def read_manifest(data: bytes) -> dict[str, Any]:
    """Parse ``metadata.json``.

    Raises
    ------
    SnapshotError
        If it is not JSON, or does not list the SHA-256 of every other file: a clause, to be put into a sentence.
    """
    try:
        manifest = json.loads(data)
    except (ValueError, RecursionError) as error:
        raise SnapshotError(f"{MANIFEST} cannot be read ({error})") from error
    files = manifest.get("files") if isinstance(manifest, dict) else None
    if not isinstance(files, dict) or set(files) != set(PAYLOAD):
        raise SnapshotError(f"{MANIFEST} does not list {', '.join(PAYLOAD)}")
    return dict(manifest)


def read_files(folder: DataPath) -> dict[str, bytes]:
    """Read all files of a snapshot, its manifest among them.

    Raises
    ------
    SnapshotError
        If the folder does not verify.
    StorageError
        If it is on an object store that fails or refuses.
    """
    if is_remote(folder):
        from brain_assets.store import remote_folder

        files, problem = remote_folder.read(folder)
    else:
        files, problem = _read(folder)
    _refuse(folder, problem)
    return files


def read_manifest_file(folder: DataPath) -> bytes:
    """Read a snapshot's ``metadata.json``, and from an object store nothing else; see `read_files`."""
    if not is_remote(folder):
        return read_files(folder)[MANIFEST]
    from brain_assets.store import remote_folder

    manifest, problem = remote_folder.read_manifest_file(folder)
    _refuse(folder, problem)
    return manifest


def _refuse(folder: DataPath, problem: str | None) -> None:
    if problem is not None:
        again = "train it again with --force" if is_remote(folder) else "train it again"  # its manifest counts as done
        raise SnapshotError(f"{folder}: expected a complete snapshot, but {problem}; {again}.")


def read_folder(folder: DataPath) -> tuple[dict[str, bytes], dict[str, Any]]:
    """Read a verified folder's files and, apart, its metadata; see `read_files`."""
    files = read_files(folder)
    return {name: files[name] for name in PAYLOAD}, read_manifest(files[MANIFEST])


def _write_file(path: Path, data: bytes) -> None:
    with path.open("wb") as file:
        file.write(data)
        file.flush()
        os.fsync(file.fileno())


def replace_file(path: DataPath, write: Callable[[Path], object]) -> None:
    """Write a file whole or not at all: to a temporary sibling that is flushed, then renamed over what is there.

    Siblings that dead processes left are removed. The folder is made if it is not there. For an object store it is
    written to a temporary file on this machine, and sent in one request.

    Parameters
    ----------
    path : Path or UPath
    write : callable
        Called with the path to write to.

    Raises
    ------
    StorageError
        If it cannot be written; what stood there still does.
    """
    if is_remote(path):
        from brain_assets.store.objects import write_object

        write_object(path, written_bytes(path.name, write))
        return
    temporary = temporary_sibling(path, "new")
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        settle(path.parent)
        write(temporary)
        with temporary.open("rb") as file:
            os.fsync(file.fileno())
        temporary.replace(path)
        flush_directory(path.parent)
    except OSError as error:
        raise StorageError.unwritable(path, error.strerror or error) from error
    finally:
        with suppress(OSError):
            temporary.unlink()


def written_bytes(name: str, write: Callable[[Path], object]) -> bytes:
    """Give what `write` writes to a file of a name."""
    try:
        with tempfile.TemporaryDirectory(prefix="brain-assets-") as folder:
            write(Path(folder) / name)
            return (Path(folder) / name).read_bytes()
    except OSError as error:
        raise StorageError.unwritable(tempfile.gettempdir(), error.strerror or error) from error


def flush_directory(path: Path) -> None:
    """Make renames in a folder survive a power cut."""
    descriptor = os.open(path, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)


def is_running(process_id: int) -> bool:
    """Tell whether there is a process of that id on this machine."""
    try:
        os.kill(process_id, 0)
    except ProcessLookupError:
        return False
    except PermissionError:
        return True
    return True
