"""What a look at the user's files tells of them without keeping their rows: a data version of each year.

Layout: of each file, its size and time of change, and the sum of its rows' hashes, year by year, are remembered. Sums
of several files add up to that of a table, so neither the order of rows, nor how they are split into files, nor their
format matters, and a file is read only when its size or time of change is another.

A file is left for the next look while it may still be written: it changed less than `SETTLE_SECONDS` ago, and since the
last look. One that cannot be read is named, and read again at every look. Either holds up its own table only, since a
fetch reads all files of a table. A look reads for `READ_SECONDS`, one file a table at least, and goes on with the rest
the next time.
"""

import datetime
import time
from collections import Counter
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import NamedTuple

import pandas as pd

from brain_assets.errors import BrainAssetsError, MarketError
from brain_assets.market.base import FileState, Observation
from brain_assets.market.calendar import NEW_YORK, sessions_between
from brain_assets.market.table_files import OptionalFiles
from brain_assets.market.text_files import find_files

MAX_LAG_SESSIONS = 5
"""A year is complete when at most so many of its sessions follow the last date found: data often end at Christmas."""

SETTLE_SECONDS = 10.0
"""A program that writes a file does not pause for so long; one that does is caught when the next part comes."""

READ_SECONDS = 3.0
"""A tick shall be over in 5 s, and Dagster stops one after 60 s."""

REMEMBERED = {"raw_prices": datetime.timedelta(days=14)}
"""Table -> rows of so long before a year count for it too: a table of prices remembers the last bar before it."""

_NO_TIME = datetime.timedelta(0)


class _Look(NamedTuple):
    """What was found of the files of one table."""

    files: Mapping[str, FileState]
    n_read: int
    waits: str
    """Why nothing can be said of the table yet; empty: all of it is known."""


def complete_year(last_date: datetime.date, now: datetime.datetime) -> int:
    """Give the last year whose end is reached by data up to a day, up to `MAX_LAG_SESSIONS`, and that is over."""
    after, next_year = last_date + datetime.timedelta(days=1), last_date.year + 1
    lag = len(sessions_between(after, datetime.date(next_year, 1, 1)))
    reached = last_date.year if lag <= MAX_LAG_SESSIONS else last_date.year - 1
    return min(reached, now.astimezone(NEW_YORK).year - 1)


def observe_files(
    folder: Path,
    tables: Mapping[str, type[OptionalFiles]],
    years: Sequence[int],
    known: Mapping[str, FileState],
    now: datetime.datetime,
) -> Observation:
    """Look at the files of some raw tables, prices among them; see `brain_assets.market.base.ObservableMarket`."""
    find_files(folder, "prices", "data")  # raises if there is no folder
    deadline = time.monotonic() + READ_SECONDS
    looks = {table: _look(table, kind(folder), known, now, deadline) for table, kind in tables.items()}
    days = [file.last_day for file in looks["raw_prices"].files.values() if file.last_day]
    complete_until = complete_year(max(days), now) if days else None
    due = [year for year in years if complete_until is not None and year <= complete_until]
    counts = ", ".join(f"{len(look.files)} of {table}" for table, look in looks.items())
    n_read = sum(look.n_read for look in looks.values())
    return Observation(
        {table: _versions(look.files, due) for table, look in looks.items() if not look.waits},
        {path: file for look in looks.values() for path, file in look.files.items()},
        [
            f"{folder}: looked at files, {counts}; {n_read or 'none'} read, new or changed since the last look.",
            *(f"{table} waits: {look.waits}" for table, look in looks.items() if look.waits),
        ],
        complete_until,
    )


def _look(
    table: str, files: OptionalFiles, known: Mapping[str, FileState], now: datetime.datetime, deadline: float
) -> _Look:
    """Read what is new or changed; raises nothing that has to do with files."""
    try:
        word, paths = files.found()
    except MarketError as error:  # of two sorts
        return _Look({}, 0, str(error))
    found: dict[str, FileState] = {}
    n_read, waits = 0, []
    for path in paths:
        try:
            stat = path.stat()
            file = known.get(str(path))
            is_same = file is not None and (file.size, file.changed) == (stat.st_size, stat.st_mtime_ns)
            if file is not None and is_same and file.sums is not None:
                found[str(path)] = file
            elif not is_same and now.timestamp() - stat.st_mtime < SETTLE_SECONDS:
                found[str(path)] = FileState(stat.st_size, stat.st_mtime_ns)
                waits.append(f"{path.name} has just changed, and may still be written.")
            elif n_read and time.monotonic() > deadline:
                waits.append(f"{path.name} and those after it are read at the next look.")
            else:
                rows = files.sorts[word][1]([path]).frame
                last_day = None if rows.empty else rows.iloc[:, 0].max().date()
                sums = sums_by_year(rows, REMEMBERED.get(table, _NO_TIME))
                found[str(path)] = FileState(stat.st_size, stat.st_mtime_ns, sums, last_day)
                n_read += 1
        except (BrainAssetsError, OSError) as error:
            waits.append(f"{error} {path.name} is read again at the next look.")
    return _Look(found, n_read, waits[0] if waits else "")


def sums_by_year(rows: pd.DataFrame, remembered: datetime.timedelta = _NO_TIME) -> dict[int, int]:
    """Add up the hashes of rows, whatever their order, for the year of each one's first column, a day.

    Rows of the last days of a year, as many as are `remembered`, count for the next one too.
    """
    days = rows.iloc[:, 0]
    hashes = pd.util.hash_pandas_object(rows.drop(columns=["file", "row"], errors="ignore"), index=False)
    years, later = days.dt.year.to_numpy(), (days + remembered).dt.year.to_numpy()
    sums = Counter({int(year): int(part.sum()) for year, part in hashes.groupby(years)})
    again = later > years
    sums.update({int(year): int(part.sum()) for year, part in hashes[again].groupby(later[again])})
    return dict(sums)


def _versions(files: Mapping[str, FileState], years: Sequence[int]) -> dict[int, str]:
    """Add up files to a data version of each year; the first holds all before it, too."""
    totals: Counter[int] = Counter()
    for file in files.values():
        for year, value in (file.sums or {}).items():
            totals[max(year, years[0]) if years else year] += value
    return {year: f"{totals[year] % 2**64:016x}" for year in years}
