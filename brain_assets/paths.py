"""Places of the data folder: a folder on this machine, or a URL of anything that fsspec knows, such as ``s3://``.

What is asked of a file or a folder looks the same for both: what differs is here, in `brain_assets.files` and in
`brain_assets.objects`.
"""

from collections.abc import Iterator, Mapping, Sequence
from contextlib import suppress
from pathlib import Path
from urllib.parse import unquote, urlsplit

import fsspec
from typing_extensions import TypeIs
from upath import UPath

from brain_assets.errors import StorageError
from brain_assets.files import replace_local_file, replace_local_folder
from brain_assets.objects import ask_store, at_once

DataPath = Path | UPath
"""A file or folder of the data folder: `Path` on this machine, else a `UPath` that only this package's functions ask
(its own would go past the time-outs and retries of `brain_assets.objects`)."""

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
    scheme, parts = scheme.lower(), urlsplit(text)
    if scheme in _LOCAL:
        if parts.netloc not in ("", "localhost") or not parts.path:
            raise ValueError(f"expected an absolute path in a URL of this machine, file:///folder, got {text!r}")
        return Path(unquote(parts.path))
    if parts.password is not None:
        raise ValueError("expected a URL without a password, got one with it (not shown here)")
    if scheme in _BUCKETS and not parts.netloc:
        raise ValueError(f"expected a bucket, {scheme}://bucket/prefix, got {text!r}")
    try:
        fsspec.get_filesystem_class(scheme)
    except (ImportError, ValueError) as error:
        said = " ".join(str(error).split()).rstrip(".")
        raise ValueError(
            "expected a path, or a URL of a scheme such as s3, gs, az, file, whose package is installed, got "
            f"{scheme}:// ({said})"
        ) from error
    return UPath(f"{scheme}://{rest.rstrip('/')}")


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
    """Read files, those that are elsewhere at the same time; None: it is not there. Raises as `read_bytes`."""

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


def replace_file(path: DataPath, data: bytes | str, unless_there: bool = False) -> None:
    """Write a file whole or not at all; its folder is made. Raises `StorageError`; what stood there still does.

    One that shall stay if it is there does, in one step where a store can tell, as S3.
    """
    content = data.encode() if isinstance(data, str) else data
    if is_remote(path):
        mode = {"mode": "create"} if unless_there else {}
        with suppress(FileExistsError):
            ask_store(path, "write", lambda files: files.pipe_file(path.path, content, **mode))
    elif not (unless_there and path.exists()):
        replace_local_file(path, content)


def replace_folder(folder: DataPath, contents: Mapping[str, bytes]) -> None:
    """Write a folder of these files, of which the last tells whether all are there; raises `StorageError`.

    Elsewhere there is no rename: the last file is removed first and written last, so that who reads meanwhile, or after
    a writer that died, finds none, or files that do not belong together, and is told.
    """
    if not is_remote(folder):
        replace_local_folder(folder, contents)
        return
    *others, last = (folder / name for name in contents)
    with suppress(FileNotFoundError):
        ask_store(last, "remove", lambda files: files.rm_file(last.path))
    at_once(lambda path: replace_file(path, contents[path.name]), others)
    replace_file(last, contents[last.name])
