"""The one home of cut-off dates, families and folder names."""

import datetime
import re

FORECASTER_FAMILIES = ("lstm", "patchtst")
POLICY_FAMILIES = ("ppo", "sac")
FAMILIES = FORECASTER_FAMILIES + POLICY_FAMILIES

_SNAPSHOT = re.compile(r"snapshot-(\d{4}-\d{2}-\d{2})")


def cutoff_of_year(year: int) -> datetime.date:
    """Give the cut-off of a year's snapshot: 31 December."""
    return datetime.date(year, 12, 31)


def snapshot_name(cutoff_date: datetime.date) -> str:
    """Spell a snapshot's folder and branch name."""
    return f"snapshot-{cutoff_date.isoformat()}"


def parse_snapshot_name(name: str) -> datetime.date | None:
    """Read the cut-off out of a folder or branch name; None: it does not name a snapshot."""
    match = _SNAPSHOT.fullmatch(name)
    if match is None:
        return None
    try:
        return datetime.date.fromisoformat(match[1])
    except ValueError:  # such as 2020-02-31
        return None
