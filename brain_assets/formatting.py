"""What a check found, and how figures, and texts from outside, are written."""

import math
import re
from collections.abc import Mapping
from types import MappingProxyType
from typing import NamedTuple

NO_BREAK = "\N{NO-BREAK SPACE}"
"""Between a figure and its unit, where a table would give each a line."""


class CheckResult(NamedTuple):
    """What a check found."""

    passed: bool
    words: str
    """What was found, as one sentence or figure; if it did not pass, also what to do."""
    counts: Mapping[str, int] = MappingProxyType({})
    """What was counted, by what it is."""


def listed(items: list[str], limit: int = 5) -> str:
    """Name the first few of many."""
    more = f" and {len(items) - limit} more" if len(items) > limit else ""
    return ", ".join(items[:limit]) + more


def format_figure(value: float | None, form: str = ".2f", unit: str = "") -> str:
    """Write a figure, zero without a sign; a dash stands for none, and for NaN."""
    if value is None or not math.isfinite(value):
        return "–"
    text = format(value, form)
    return (text if re.search("[1-9]", text) else text.lstrip("+-")) + unit


_FORMULA = ("=", "+", "-", "@", "\t", "\r")
"""What a cell begins with that a spreadsheet takes for a formula."""


def visible(text: str) -> str:
    """Show a text in a terminal: what cannot be seen, as what moves the cursor, stands as its escape."""
    return "".join(
        each if each.isprintable() or each in "\n\t" else each.encode("unicode_escape").decode() for each in text
    )


def in_markdown(text: str) -> str:
    """Put a text into a line or a cell of Markdown, where it is neither markup nor HTML."""
    return re.sub(r"([\\`*_~\[\]<>|&#!$])", r"\\\1", visible(text).replace("\n", r"\n").replace("\t", r"\t"))


def in_csv(text: str) -> str:
    """Put a text into a cell of a CSV file that a spreadsheet may open."""
    return f"'{text}" if text.startswith(_FORMULA) else text
