"""Places of the data folder: a folder on this machine, or a URL of anything that fsspec knows, such as ``s3://``.

What is asked of a file or a folder looks the same for both. Who may do what, and where an S3 server is, comes from the
variables that fsspec's packages know (``AWS_ACCESS_KEY_ID``, ``AWS_ENDPOINT_URL``, ``FSSPEC_S3_…``). Those packages
ask a store in trouble again by themselves; what stays wrong is one sentence. Listings are not cached, as other machines
write too.

On this machine everything that is written goes to a hidden temporary sibling first, is flushed to disk, and renamed. A
process that dies leaves what stood there, what it wrote, nothing, or a sibling that nothing reads and that the next
write beside it removes.
"""

import os
import re
import shutil
import uuid
from collections.abc import Callable, Iterator, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager, suppress
from functools import lru_cache
from pathlib import Path
from typing import Any, TypeVar
from urllib.parse import unquote, urlsplit

import fsspec
from typing_extensions import TypeIs
from upath import UPath

from brain_assets.errors import StorageError

DataPath = Path | UPath
"""A file or folder of the data folder: `Path` on this machine, else a `UPath` that only this package's functions ask
(its own would go past their errors in one sentence)."""

_LOCAL = ("file", "local")
_BUCKETS = ("s3", "s3a", "gs", "gcs", "az", "abfs", "abfss")
"""Schemes whose URLs begin with a bucket or container."""


def parse_place(text: str) -> DataPath:
    """Read a path or URL; a ``file://`` URL is the path that it names.

    Raises `ValueError` with what was expected and what came, to be put into a sentence: an unknown scheme or one whose
    package is not installed, no bucket, a password.
    """
    scheme, separator, rest = text.partition("://")
    if not separator:
        return Path(text)
    scheme, place = scheme.lower(), rest.partition("/")[0]
    if re.search(r":.*@", rest):  # wherever: a key may hold a slash
        raise ValueError("expected a URL without a password, got one with it (not shown here)")
    if scheme in _LOCAL:
        path = urlsplit(f"file://{rest}").path
        if place not in ("", "localhost") or not path:
            raise ValueError("expected an absolute path in a URL of this machine, file:///folder, got another")
        return Path(unquote(path))
    if scheme in _BUCKETS and not place:
        raise ValueError(f"expected a bucket, {scheme}://bucket/prefix, got none")
    try:
        fsspec.get_filesystem_class(scheme)
    except (ImportError, ValueError) as error:
        said = " ".join(str(error).split()).rstrip(".")
        raise ValueError(
            "expected a path, or a URL of a scheme such as s3, gs, az, file, whose package is installed, got "
            f"{scheme}:// ({said})"
        ) from error
    return UPath(f"{scheme}://{rest.rstrip('/')}")


def as_place(given: str | DataPath) -> DataPath:
    """Give the place that a caller in Python names by a path, a text or a URL; raises `StorageError`."""
    try:
        return parse_place(given) if isinstance(given, str) else given
    except ValueError as error:
        raise StorageError(f"folder: {error}; correct it.") from error


def is_remote(path: DataPath) -> TypeIs[UPath]:
    """Tell whether a place is not on this machine's disk."""
    return not isinstance(path, Path)


def read_bytes(path: DataPath) -> bytes:
    """Read a file; raises `FileNotFoundError` if there is none, `StorageError` if it cannot be read."""
    if is_remote(path):
        return bytes(ask_store(path, "read", lambda files: files.cat_file(path.path)))
    try:
        return path.read_bytes()
    except (FileNotFoundError, NotADirectoryError) as error:
        raise FileNotFoundError(str(path)) from error
    except OSError as error:
        raise StorageError(
            f"{path}: expected a file that can be read, got: {error.strerror}; correct BRAIN_DATA_DIR, or remove it."
        ) from error


def read_all(paths: Sequence[DataPath]) -> Iterator[bytes | None]:
    """Read files of one store, those elsewhere at the same time; None: it is not there. Raises as `read_bytes`."""

    def read(path: DataPath) -> bytes | None:
        with suppress(FileNotFoundError):
            return read_bytes(path) if is_remote(path) or path.is_file() else None
        return None

    remote = [path for path in paths if is_remote(path)]
    yield from at_once(read, remote) if remote else map(read, paths)


def is_file(path: DataPath) -> bool:
    """Tell whether a file is there."""
    if not is_remote(path):
        return path.is_file()
    with suppress(FileNotFoundError):
        return bool(ask_store(path, "look for", lambda files: files.info(path.path))["type"] == "file")
    return False


def list_names(folder: DataPath) -> list[str]:
    """Name what lies in a folder, files and folders, in order; nothing if it is not there."""
    if not is_remote(folder):
        return sorted(entry.name for entry in folder.iterdir()) if folder.is_dir() else []
    with suppress(FileNotFoundError):
        found = ask_store(folder, "list", lambda files: files.ls(folder.path, detail=False))
        return sorted(name.rstrip("/").rpartition("/")[2] for name in found)
    return []


def replace_file(path: DataPath, data: bytes | str) -> None:
    """Write a file whole or not at all; its folder is made. Raises `StorageError`; what stood there still does."""
    content = data.encode() if isinstance(data, str) else data
    if is_remote(path):
        ask_store(path, "write", lambda files: files.pipe_file(path.path, content))
        return
    with _beside(path) as temporary:
        _write(temporary, content)
        temporary.replace(path)


def replace_folder(folder: DataPath, contents: Mapping[str, bytes]) -> None:
    """Write a folder of exactly these files, of which the last tells whether all are there; raises `StorageError`.

    On this machine nothing stands there for a moment. Elsewhere there is no rename: the last file is removed first and
    written last, so that who reads meanwhile, or after a writer that died, finds none, or files that do not belong
    together, and is told.
    """
    if not is_remote(folder):
        with _beside(folder) as temporary:
            new = temporary / "new"
            new.mkdir(parents=True)
            for name, data in contents.items():
                _write(new / name, data)
            _flush(new)
            with suppress(FileNotFoundError):
                folder.rename(temporary / "old")
            new.rename(folder)
        return
    *others, last = (folder / name for name in contents)
    with suppress(FileNotFoundError):
        ask_store(last, "remove", lambda files: files.rm_file(last.path))
    at_once(lambda path: replace_file(path, contents[path.name]), others)
    replace_file(last, contents[last.name])


# Elsewhere

N_ATTEMPTS = 3
"""Of s3fs, and of botocore below it for each of those. Their own 5 times 5 take minutes where nobody answers."""
N_CONNECTIONS = 16
"""Requests at the same time."""

Answer = TypeVar("Answer")

_CLIENTS = {"botocore", "aiobotocore", "aiohttp", "s3fs", "gcsfs", "google", "adlfs", "azure", "http"}
"""Packages whose errors are about the store, and not about this program."""


def at_once(work: Callable[[UPath], Answer], paths: Sequence[UPath]) -> list[Answer]:
    """Do the same with every path; at the same time where the package can (it is not safe with others)."""
    if len(paths) < 2 or not getattr(filesystem(paths[0].protocol, os.getpid()), "async_impl", False):
        return [work(path) for path in paths]
    with ThreadPoolExecutor(min(N_CONNECTIONS, len(paths))) as pool:
        return list(pool.map(work, paths))


@lru_cache
def filesystem(protocol: str, process_id: int) -> Any:  # noqa: ARG001 - fsspec's loop does not survive a fork
    """Give the file system of a scheme, one in a process."""
    options: dict[str, Any] = {"use_listings_cache": False, "skip_instance_cache": True}
    if protocol not in ("s3", "s3a"):
        return fsspec.filesystem(protocol, **options)
    given = fsspec.config.conf.get("s3", {})
    own = {"retries": {"mode": "standard", "total_max_attempts": N_ATTEMPTS}, "max_pool_connections": 2 * N_CONNECTIONS}
    own["response_checksum_validation"] = "when_required"  # what is read verifies by itself, and damage is named
    options["config_kwargs"] = own | dict(given.get("config_kwargs", {}))
    options["max_concurrency"] = 1  # with more, every read asks for the size first: two requests instead of one
    files = fsspec.filesystem("s3", **options)
    files.retries = N_ATTEMPTS
    return files


def ask_store(path: UPath, purpose: str, operation: Callable[[Any], Answer]) -> Answer:
    """Do something with a file system; what the store refuses, or goes on failing at, becomes a sentence.

    Raises `StorageError`; and `FileNotFoundError`, but not for the purpose ``write``.
    """
    try:
        return operation(filesystem(path.protocol, os.getpid()))
    except Exception as error:
        response = getattr(error.__cause__, "response", None)  # of S3's own error, of which s3fs makes one of Python's
        code = str(response.get("Error", {}).get("Code", "")) if isinstance(response, dict) else ""
        is_absent = isinstance(error, FileNotFoundError) and purpose != "write" and code != "NoSuchBucket"
        is_of_store = isinstance(error, OSError) or type(error).__module__.partition(".")[0] in _CLIENTS
        if is_absent or not is_of_store:
            raise
        words = " ".join(str(getattr(error, "strerror", None) or error).split()) or type(error).__name__
        said = f"{code}, {words}" if code and code not in words else words
        raise StorageError(
            f"{path}: expected to {purpose} it, got: {said}; run again once the store answers (what is done stays), or "
            "correct BRAIN_DATA_DIR, or the credentials that the store's package finds (for S3: AWS_ACCESS_KEY_ID, "
            "AWS_SECRET_ACCESS_KEY) and their rights."
        ) from error


# On this machine

_TEMPORARY = re.compile(r"\.new-(?P<process>\d+)-[0-9a-f]{8}-.+")


@contextmanager
def _beside(path: Path) -> Iterator[Path]:
    """Give a name beside a path for what shall replace it; what is left under it is removed."""
    temporary = path.parent / f".new-{os.getpid()}-{uuid.uuid4().hex[:8]}-{path.name}"
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        for entry in path.parent.iterdir():  # what dead processes left
            if (match := _TEMPORARY.fullmatch(entry.name)) and not is_running(int(match["process"])):
                _remove(entry)
        yield temporary
        _flush(path.parent)
    except OSError as error:
        raise StorageError.unwritable(path, error.strerror or error) from error
    finally:
        _remove(temporary)


def _write(path: Path, data: bytes) -> None:
    path.write_bytes(data)
    _flush(path)


def _flush(path: Path) -> None:
    """Make a file's content, or the names in a folder, survive a power cut."""
    descriptor = os.open(path, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)


def _remove(path: Path) -> None:
    if path.is_dir() and not path.is_symlink():
        shutil.rmtree(path, ignore_errors=True)
    else:
        with suppress(OSError):
            path.unlink()


def is_running(process_id: int) -> bool:
    """Tell whether there is a process of that id on this machine."""
    try:
        os.kill(process_id, 0)
    except ProcessLookupError:
        return False
    except (PermissionError, OverflowError):  # somebody else's; no number of a process
        return True
    return True
