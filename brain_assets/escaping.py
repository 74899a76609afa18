"""Texts from outside (symbols, names of files, words of a server) as they are shown: a helper for each place."""

import re

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
