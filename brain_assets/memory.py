"""What becomes of memory that large arrays leave behind."""

import ctypes
from collections.abc import Iterator
from contextlib import contextmanager

# from malloc.h of the GNU C library
_TRIM_THRESHOLD, _MMAP_THRESHOLD = -1, -3
_KEPT, _USUAL = 2**30, 32 * 2**20
"""Bytes up to which an array is kept, and up to which it is at most by the library's own choice."""


@contextmanager
def keep_freed_memory() -> Iterator[None]:
    """Keep what is freed for the next arrays, and give it back at the end.

    Does nothing where the C library is not GNU's, or is older than 2.35. It gives each array of more than 32 MiB back
    to the system at once, and makes the next one out of fresh pages: a training on batches of such arrays spent two
    thirds of its time in there. What is kept is in pieces, so that more memory is held. No number depends on it.
    """
    try:
        library = ctypes.CDLL("libc.so.6")
        mallopt, trim = library.mallopt, library.malloc_trim
    except (OSError, AttributeError):  # another C library
        yield
        return
    mallopt(_MMAP_THRESHOLD, _KEPT)
    mallopt(_TRIM_THRESHOLD, 2**31 - 1)
    try:
        yield
    finally:  # what the library sets itself once it has freed a large array
        mallopt(_MMAP_THRESHOLD, _USUAL)
        mallopt(_TRIM_THRESHOLD, 2 * _USUAL)
        trim(0)
