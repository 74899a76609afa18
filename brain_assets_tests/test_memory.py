"""Memory of large arrays is kept while it is asked for, and given back afterwards."""

import platform
import resource

import numpy as np
import pytest

from brain_assets.memory import keep_freed_memory

MEBIBYTE = 2**20


def faults(n_arrays: int = 10) -> int:
    """Make arrays of 48 MiB, one after the other; give how often the system had to find a page."""
    before = resource.getrusage(resource.RUSAGE_SELF).ru_minflt
    for _ in range(n_arrays):
        np.empty(48 * MEBIBYTE // 8).fill(1.0)
    return resource.getrusage(resource.RUSAGE_SELF).ru_minflt - before


def resident() -> int:
    with open("/proc/self/statm") as file:
        return int(file.read().split()[1]) * resource.getpagesize()


@pytest.mark.skipif(platform.libc_ver()[0] != "glibc", reason="only the GNU C library can be told")
def test_large_arrays_take_the_place_of_those_before_them_and_leave_none_behind() -> None:
    usual = faults()
    held = resident()
    with keep_freed_memory():
        faults(1)
        assert faults() < usual / 5
    assert resident() < held + 16 * MEBIBYTE
    assert faults() > usual / 2  # as before
