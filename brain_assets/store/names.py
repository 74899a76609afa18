"""The one home of cut-off dates and folder names."""

import datetime
import re
from contextlib import suppress

_REPO = re.compile(r"[A-Za-z0-9][\w.-]{0,95}/[A-Za-z0-9][\w.-]{0,95}", re.ASCII)
_TOKEN = re.compile(r"[!-~]+")
_SNAPSHOT = re.compile(r"snapshot-(\d{4}-\d{2}-\d{2})")
_VERSION = re.compile(r"v(\d{4}-\d{2}-\d{2})-[0-9a-f]{12}")
MAIN_BRANCH = "main"
"""The branch of the Hub that follows a family's current main version."""


def cutoff_of_year(year: int) -> datetime.date:
    """Give the cut-off of a year's snapshot: 31 December."""
    return datetime.date(year, 12, 31)


def snapshot_name(cutoff_date: datetime.date) -> str:
    """Spell a snapshot's folder and branch name."""
    return f"snapshot-{cutoff_date.isoformat()}"


def parse_snapshot_name(name: str) -> datetime.date | None:
    """Read the cut-off out of a folder or branch name; None: it does not name a snapshot."""
    return _date_in(_SNAPSHOT, name)


def version_name(last_session: datetime.date, digest: str) -> str:
    """Spell a main version's folder and branch name."""
    return f"v{last_session.isoformat()}-{digest[:12]}"


def parse_version_name(name: str) -> datetime.date | None:
    """Read the last session out of a main version's name; None: it does not name one."""
    return _date_in(_VERSION, name)


def _date_in(pattern: re.Pattern[str], name: str) -> datetime.date | None:
    match = pattern.fullmatch(name)
    with suppress(ValueError):  # such as of 2020-02-31
        return datetime.date.fromisoformat(match[1]) if match else None
    return None


def is_repo_name(text: str) -> bool:
    """Tell whether a text can name a repo of the Hub: ``user/name``."""
    return _REPO.fullmatch(text) is not None


def is_token(text: str) -> bool:
    """Tell whether a text can be a token of the Hub: any other would stand, in full, in the error of sending it."""
    return _TOKEN.fullmatch(text) is not None
