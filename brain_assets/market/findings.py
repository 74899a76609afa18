"""What is not as it should be in data that were taken all the same: counted, named, and kept with the table.

Layout: a table's findings are in ``attrs["findings"]``, as plain lists; so they are stored with it, and whoever reads
the year again is told again. They are counted by calendar year, since what is fetched may reach back further than what
is kept.
"""

from collections.abc import Collection, Iterable, Sequence
from typing import NamedTuple

import pandas as pd

from brain_assets.formatting import CheckResult

FINDINGS = "findings"  # key in ``DataFrame.attrs``
ROWS_TAKEN, SYMBOLS_FOUND = "rows_taken", "symbols_found"  # the checks that show findings
MOST_SAID = 10  # findings that a check says in words; it counts all


class Finding(NamedTuple):
    """Rows of one kind in one calendar year that were left out or changed, or are in doubt."""

    check: str  # the check of the asset that shows it: ``rows_taken``, ``symbols_found``, ...
    subject: str  # what it is about: a file's name, or a symbol
    what: str  # what the rows are, after their number: "rows on days when the exchange was closed"
    done: str = ""  # what was done: "left out"; empty: they were taken as they are
    year: int = 0  # 0: of no year; it is said of every one
    n_rows: int = 1
    first: str = ""  # where to look first, with the day; empty: `what` says it

    @property
    def sentence(self) -> str:
        """Say it in one sentence."""
        first = f", the first {self.first}" if self.first else ""
        return f"{self.subject}: {self.n_rows:,} {self.what}{first}" + (f"; {self.done}." if self.done else ".")


def attach(frame: pd.DataFrame, findings: Iterable[Finding]) -> pd.DataFrame:
    """Put findings beside the rows of a table, in place of those that it has; without any, it has no such attribute."""
    frame.attrs = {key: value for key, value in frame.attrs.items() if key != FINDINGS}
    if kept := [list(finding) for finding in findings]:
        frame.attrs[FINDINGS] = kept
    return frame


def findings_of(frame: pd.DataFrame, years: Collection[int] | None = None) -> list[Finding]:
    """Give what was found of a table; `years`: in these calendar years, and what is of none."""
    found = [Finding(*each) for each in frame.attrs.get(FINDINGS, ())]
    return [each for each in found if years is None or each.year in {0, *years}]


def added_up(findings: Iterable[Finding]) -> list[Finding]:
    """Count what is alike in several years once, the first place being that of the earliest year."""
    sums: dict[tuple[str, ...], Finding] = {}
    for finding in sorted(findings, key=lambda each: each.year):
        before = sums.setdefault(finding[:4], finding._replace(n_rows=0))
        sums[finding[:4]] = before._replace(n_rows=before.n_rows + finding.n_rows)
    return list(sums.values())


def finding_verdicts(frame: pd.DataFrame) -> dict[str, CheckResult]:
    """Give what was found of a table to its two checks; what names neither is one of rows."""
    found: dict[str, list[Finding]] = {ROWS_TAKEN: [], SYMBOLS_FOUND: []}
    for finding in added_up(findings_of(frame)):
        found[SYMBOLS_FOUND if finding.check == SYMBOLS_FOUND else ROWS_TAKEN].append(finding)
    return {
        ROWS_TAKEN: _verdict(found[ROWS_TAKEN], f"all {len(frame):,} rows were taken as they came"),
        SYMBOLS_FOUND: _verdict(found[SYMBOLS_FOUND], f"{frame['symbol'].nunique()} symbols, and none is missing"),
    }


def _verdict(findings: Sequence[Finding], good: str) -> CheckResult:
    said = [finding.sentence for finding in findings[:MOST_SAID]]
    if len(findings) > MOST_SAID:
        said.append(f"{len(findings) - MOST_SAID} more of the kind.")
    counts = {f"{finding.subject}: {finding.what}": finding.n_rows for finding in findings}
    return CheckResult(not findings, " ".join(said) or good, counts)
