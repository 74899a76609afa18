"""The one way to places that are not on this machine: time-outs, bounded retries, and errors in one sentence.

Everything goes through fsspec. Who may do what, and where an S3 server is, comes from the variables that its packages
know (``AWS_ACCESS_KEY_ID``, ``AWS_ENDPOINT_URL``, ``FSSPEC_S3_…``). s3fs would try five times, and botocore, below it,
five times for each of those, in half a minute or in ten: both are told to try once, and what is tried again is decided
here. Listings are not cached, as other machines write too.
"""

import errno
import os
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from functools import lru_cache
from typing import Any, TypeVar

import fsspec
from upath import UPath

from brain_assets.errors import StorageError
from brain_assets.retry import RetryPolicy, TransientError, retry

POLICY = RetryPolicy(attempts=None, first_wait=0.5, longest_wait=15.0, total_seconds=60.0)
N_CONNECTIONS = 16
"""Requests at the same time."""

Answer = TypeVar("Answer")

_LASTING = (FileNotFoundError, FileExistsError, PermissionError, IsADirectoryError, NotADirectoryError)
_LASTING_ERRNO = {errno.EINVAL, errno.EPERM, errno.ENOSYS, errno.ENAMETOOLONG, getattr(errno, "EREMCHG", errno.EINVAL)}
"""What s3fs gives for requests that are wrong, and will be at the next attempt."""
_PASSING = {
    *("ConnectionError", "HTTPClientError", "ResponseParserError"),  # botocore
    *("ClientConnectionError", "ClientPayloadError", "IncompleteRead", "IncompleteReadError"),  # an answer broke off
    "TransportError",  # google.auth
}
"""Errors of clients that may be over at the next attempt; others, such as of a name that cannot be, never are."""
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
    own = {"retries": {"total_max_attempts": 1}, "max_pool_connections": 2 * N_CONNECTIONS}
    own["response_checksum_validation"] = "when_required"  # what is read verifies by itself, and damage is named
    options["config_kwargs"] = own | dict(given.get("config_kwargs", {}))
    options["max_concurrency"] = 1  # with more, every read asks for the size first: two requests instead of one
    files = fsspec.filesystem("s3", **options)
    files.retries = 1
    return files


def ask_store(path: UPath, purpose: str, operation: Callable[[Any], Answer]) -> Answer:
    """Do something with a file system, again after failures that may pass; others, and the last, become a sentence.

    Raises `StorageError`; `FileExistsError`; and `FileNotFoundError`, but not for the purpose ``write``.
    """

    def attempt() -> Answer:
        try:
            return operation(filesystem(path.protocol, os.getpid()))
        except Exception as error:
            if _is_passing(error):
                raise TransientError(_said(error)) from error
            raise

    try:
        return retry(attempt, POLICY, f"{path}: {purpose} it")
    except TransientError as error:
        raise StorageError(
            f"{path}: expected a store that answers, got {error}; run again once it does: what is done stays."
        ) from error.__cause__
    except Exception as error:
        is_absent = isinstance(error, FileNotFoundError) and purpose != "write" and _code(error) != "NoSuchBucket"
        is_of_store = isinstance(error, OSError) or type(error).__module__.partition(".")[0] in _CLIENTS
        if is_absent or isinstance(error, FileExistsError) or not is_of_store:
            raise
        raise StorageError(
            f"{path}: expected to {purpose} it, got: {_said(error)}; correct BRAIN_DATA_DIR, or the credentials that "
            "the store's package finds (for S3: AWS_ACCESS_KEY_ID, AWS_SECRET_ACCESS_KEY) and their rights."
        ) from error


def _is_passing(error: BaseException) -> bool:
    if isinstance(error, OSError):
        return not isinstance(error, _LASTING) and error.errno not in _LASTING_ERRNO
    code = getattr(error, "code", None)  # an HTTP status, of Google's package
    is_busy = isinstance(code, int) and (code in (408, 429) or 500 <= code < 600)
    return is_busy or any(base.__name__ in _PASSING for base in type(error).__mro__)


def _code(error: BaseException) -> str:
    """Give the store's own word for an error of S3, of which s3fs makes one of Python's."""
    response = getattr(error.__cause__, "response", None)
    return str(response.get("Error", {}).get("Code", "")) if isinstance(response, dict) else ""


def _said(error: BaseException) -> str:
    words = " ".join(str(getattr(error, "strerror", None) or error).split()) or type(error).__name__
    code = _code(error)
    return f"{code}, {words}" if code and code not in words else words
