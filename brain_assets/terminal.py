"""What the commands share: the console, how an error looks, how years are read."""

import logging
import re
import sys
from collections.abc import Iterator
from contextlib import contextmanager

from rich.console import Console
from rich.markup import escape

from brain_assets.errors import SettingsError

MIN_WIDTH = 100
"""Columns; tables are read in log files too, where there is no terminal to ask for its width."""

console = Console(highlight=False, width=None if sys.stdout.isatty() else MIN_WIDTH)


def print_error(message: str) -> None:
    """Print one sentence to standard error."""
    Console(stderr=True, highlight=False).print(f"[red]error:[/] {escape(message)}", soft_wrap=True)


def read_years(text: str) -> range:
    """Read ``2021`` or ``2019-2022``."""
    first, _, last = text.partition("-")
    if not re.fullmatch(r"[0-9]{4}(-[0-9]{4})?", text):
        raise SettingsError(f"years: expected 2021 or 2019-2022, got {text}; correct it.")
    start, end = int(first), int(last or first)
    if start > end:
        raise SettingsError(f"years: expected the earlier year first, got {text}; turn it round: {end}-{start}.")
    return range(start, end + 1)


class _WarningHandler(logging.Handler):
    """Shows warnings of the package on standard error, each once."""

    def __init__(self) -> None:
        super().__init__(logging.WARNING)
        self._seen: set[str] = set()

    def emit(self, record: logging.LogRecord) -> None:
        """Show one message."""
        message = record.getMessage()
        if message not in self._seen:
            self._seen.add(message)
            Console(stderr=True, highlight=False).print(f"[yellow]warning:[/] {escape(message)}", soft_wrap=True)


@contextmanager
def warnings_shown() -> Iterator[None]:
    """Show the package's warnings while a command runs."""
    logger, handler = logging.getLogger("brain_assets"), _WarningHandler()
    logger.addHandler(handler)
    try:
        yield
    finally:
        logger.removeHandler(handler)
