"""What a check found."""

from collections.abc import Mapping
from types import MappingProxyType
from typing import NamedTuple


class CheckResult(NamedTuple):
    """What a check found.

    Attributes
    ----------
    passed : bool
    words : str
        What was found, as one sentence or figure; if it did not pass, also what to do.
    counts : mapping of str to int
        What was counted, by what it is; empty: nothing.
    """

    passed: bool
    words: str
    counts: Mapping[str, int] = MappingProxyType({})


def listed(items: list[str], limit: int = 5) -> str:
    """Name the first few of many."""
    more = f" and {len(items) - limit} more" if len(items) > limit else ""
    return ", ".join(items[:limit]) + more
