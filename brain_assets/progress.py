"""Progress of long work, through Python's logging: the command line shows it, Dagster stores it with the run."""

import logging
from collections.abc import Callable, Iterator
from contextlib import contextmanager

LOGGER = logging.getLogger("brain_assets")

Say = Callable[[str, int], None]
"""Takes a line of progress and its level, as `logging` counts them."""


def report(message: str) -> None:
    """Say how far the work is, one line."""
    LOGGER.info(message)


def warn(message: str) -> None:
    """Say what the user should know although the work goes on, one line."""
    LOGGER.warning(message)


class _Ear(logging.Handler):
    def __init__(self, say: Say, level: int) -> None:
        super().__init__(level)
        self._say = say

    def emit(self, record: logging.LogRecord) -> None:
        """Pass one line on."""
        self._say(record.getMessage(), record.levelno)


@contextmanager
def overheard(say: Say, level: int = logging.INFO) -> Iterator[None]:
    """Pass on what is said meanwhile, from a level up."""
    ear, before = _Ear(say, level), LOGGER.level
    LOGGER.setLevel(min(level, LOGGER.getEffectiveLevel()))
    LOGGER.addHandler(ear)
    try:
        yield
    finally:
        LOGGER.removeHandler(ear)
        LOGGER.setLevel(before)
