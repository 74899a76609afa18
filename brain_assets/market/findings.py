"""What is not as it should be in data that were taken all the same: counted, named, and kept with the table.

Layout: a table's findings are in ``attrs["findings"]``, as plain lists; so they are stored with it, and whoever reads
the year again is told again. They are counted by calendar year, since what is fetched may reach back further than what
is kept.
"""

from collections.abc import Collection, Iterable, Sequence
from typing import NamedTuple

import pandas as pd

FINDINGS = "findings"
"""Key in ``DataFrame.attrs``."""


class Finding(NamedTuple):
    """Rows of one kind in one calendar year that were left out or changed, or are in doubt.

    Attributes
    ----------
    check : str
        The check of the asset that shows it: ``rows_taken``, ``symbols_found``, ...
    subject : str
        What it is about: a file's name, or a symbol.
    what : str
        What the rows are, after their number: "rows on days when the exchange was closed".
    done : str
        What was done: "left out"; empty: they were taken as they are.
    year : int
        0: of no year; it is said of every one.
    n_rows : int
    first : str
        Where to look first, with the day; empty: `what` says it.
    """

    check: str
    subject: str
    what: str
    done: str = ""
    year: int = 0
    n_rows: int = 1
    first: str = ""

    @property
    def sentence(self) -> str:
        """Say it in one sentence."""
        first = f", the first {self.first}" if self.first else ""
        return f"{self.subject}: {self.n_rows:,} {self.what}{first}" + (f"; {self.done}." if self.done else ".")


def attach(frame: pd.DataFrame, findings: Iterable[Finding]) -> pd.DataFrame:
    """Put findings beside the rows of a table, in place of those that it has; without any, it has no such attribute."""
    kept = [list(finding) for finding in findings]
    frame.attrs = {key: value for key, value in frame.attrs.items() if key != FINDINGS} | (
        {FINDINGS: kept} if kept else {}
    )
    return frame


def findings_of(frame: pd.DataFrame, years: Collection[int] | None = None) -> list[Finding]:
    """Give what was found of a table; `years`: in these calendar years, and what is of none."""
    found = [Finding(*each) for each in frame.attrs.get(FINDINGS, ())]
    return [each for each in found if years is None or each.year in {0, *years}]


def added_up(findings: Sequence[Finding]) -> list[Finding]:
    """Count what is alike in several years once, the first place being that of the earliest year."""
    sums: dict[tuple[str, ...], Finding] = {}
    for finding in sorted(findings, key=lambda each: each.year):
        before = sums.setdefault(finding[:4], finding._replace(n_rows=0))
        sums[finding[:4]] = before._replace(n_rows=before.n_rows + finding.n_rows)
    return list(sums.values())
