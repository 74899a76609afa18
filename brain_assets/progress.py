"""Progress of long work, through Python's logging: the command line shows it, Dagster stores it with the run."""

import logging

LOGGER = logging.getLogger("brain_assets")


def report(message: str) -> None:
    """Say how far the work is, one line."""
    LOGGER.info(message)


def warn(message: str) -> None:
    """Say what the user should know although the work goes on, one line."""
    LOGGER.warning(message)
