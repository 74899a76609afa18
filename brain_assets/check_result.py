"""What a check found."""

from typing import NamedTuple


class CheckResult(NamedTuple):
    """What a check found.

    Attributes
    ----------
    passed : bool
    words : str
        What was found, as one sentence or figure; if it did not pass, also what to do.
    """

    passed: bool
    words: str


def listed(items: list[str], limit: int = 5) -> str:
    """Name the first few of many."""
    more = f" and {len(items) - limit} more" if len(items) > limit else ""
    return ", ".join(items[:limit]) + more
