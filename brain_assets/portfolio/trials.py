"""What was tried: the out-of-sample weeks of every policy configuration, so that a choice among many can be judged."""

from dataclasses import dataclass
from pathlib import Path


@dataclass(frozen=True)
class Trial:
    """A year of a policy configuration, out of sample; known after the year."""

    family: str
    """``ppo`` or ``sac``."""

    configuration: str
    """Tells configurations of a family apart."""

    year: int

    n_weeks: int

    mean: float
    """Of weekly net returns."""

    std: float
    """Sample standard deviation of weekly net returns (n - 1)."""


def read_trials(data_dir: Path) -> list[Trial]:  # noqa: ARG001
    """Give the trials recorded under a data folder: none, since nothing records them yet."""
    return []
