"""What a look at the user's files tells of them without keeping their rows: a data version of each year.

Layout: of each file, its size and times, and the sum of its rows' hashes, year by year, are remembered, in the data
folder under ``cache/``; if that is lost, the files are read again. Sums of several files add up to that of a table, so
neither the order of rows, nor how they are split into files, nor their names and format matter, and a file is read only
when its size or a time of it is another. No folder's name is remembered. Rows that a fetch would refuse count too, and
so do the ways to write a symbol, since a fetch of all files joins them.

A look in passing leaves a file for the next one while it may still be written: it changed less than `SETTLE_SECONDS`
ago. It reads for `READ_SECONDS`, one file a table at least, and goes on with the rest the next time. A file that cannot
be read is named, and read again at every look. All of these hold up their own table only, since a fetch reads all files
of a table.
"""

import datetime
import time
from collections import Counter, defaultdict
from collections.abc import Mapping, Sequence
from functools import cached_property
from pathlib import Path
from typing import NamedTuple

import numpy as np
import pandas as pd
from pydantic import TypeAdapter, ValidationError

from brain_assets.errors import BrainAssetsError, MarketError
from brain_assets.market.base import Observation
from brain_assets.market.calendar import NEW_YORK, sessions_between
from brain_assets.market.table_files import OptionalFiles, read_files
from brain_assets.market.text_files import find_files
from brain_assets.paths import DataPath, read_bytes, replace_file
from brain_assets.user_files.tables import PRICE_LAYOUT

MAX_LAG_SESSIONS = 5
"""A year is complete when at most so many of its sessions follow the last date found: data often end at Christmas."""

SETTLE_SECONDS = 10.0
"""A program that writes a file does not pause for so long; one that does is caught when the next part comes."""

READ_SECONDS = 3.0  # A tick shall be over in 5 s, and Dagster stops one after 60 s

REMEMBERED = {"raw_prices": datetime.timedelta(days=14)}
"""Table -> rows of so long before a year count for it too: a table of prices remembers the last bar before it."""

_NO_TIME = datetime.timedelta(0)


class FileState(NamedTuple):
    """What is remembered of a file; of one that is not as it was, its stamp alone."""

    stamp: tuple[int, int, int]  # bytes; nanoseconds since 1970 of the last change of its content, and of anything
    last_day: datetime.date | None = None
    sums: Mapping[int, int] | None = None  # calendar year -> the sum of its rows' hashes; None: not read yet
    symbols: tuple[str, ...] = ()  # as it writes them


class _Kept(NamedTuple):
    symbols: tuple[str, ...]  # whose rows the sums are of; empty: all
    files: dict[str, FileState]


_KEPT = TypeAdapter(_Kept)


class FileMemory:
    """States of the files of a folder, from one look, and one process, to the next.

    Parameters
    ----------
    place : Path or UPath or None
        The file that keeps them; None: this process alone does.
    symbols : tuple of str
        The universe; empty: all symbols.
    """

    def __init__(self, place: DataPath | None, symbols: tuple[str, ...] = ()) -> None:
        self._place, self._symbols = place, symbols

    @cached_property
    def states(self) -> Mapping[str, FileState]:
        """By table and name, ``raw_prices/prices.csv``."""
        try:
            kept = _KEPT.validate_json(read_bytes(self._place)) if self._place else _Kept((), {})
        except (FileNotFoundError, ValidationError):
            return {}
        return kept.files if kept.symbols == self._symbols else {}

    def state(self, key: str, path: Path) -> FileState:
        """Give what is known of a file as it is now."""
        found = path.stat()
        stamp = (found.st_size, found.st_mtime_ns, found.st_ctime_ns)
        known = self.states.get(key)
        return known if known is not None and known.stamp == stamp else FileState(stamp)

    def keep(self, states: Mapping[str, FileState]) -> None:
        """Remember these, and no others."""
        if states != self.states:
            self.states = states
            if self._place:
                replace_file(self._place, _KEPT.dump_json(_Kept(self._symbols, dict(states))))


def last_price_date(folder: Path, paths: Sequence[Path], memory: FileMemory) -> datetime.date | None:
    """Give the last date in files of prices, of which only the dates are read; None: there is none."""
    keys = {path: f"raw_prices/{path.relative_to(folder).as_posix()}" for path in paths}
    found = {path: memory.state(key, path) for path, key in keys.items()}
    unread = [path for path, file in found.items() if file.last_day is None]
    table = read_files(unread, PRICE_LAYOUT, only=("date",)) if unread else None
    if table is not None:
        table.refuse_files()
        for number, day in table.frame.groupby("file")["date"].max().items():
            found[unread[number]] = found[unread[number]]._replace(last_day=day.date())
    memory.keep({**memory.states, **{key: found[path] for path, key in keys.items()}})
    last = max((file.last_day for file in found.values() if file.last_day), default=None)
    if last is None and table is not None:
        table.refuse(datetime.date.min, datetime.date.max)
    return last


class _Look(NamedTuple):
    files: Mapping[str, FileState]  # by name
    n_read: int
    waits: str  # why nothing can be said of the table yet; empty: all of it is known


def complete_year(last_date: datetime.date, now: datetime.datetime) -> int:
    """Give the last year whose end is reached by data up to a day, up to `MAX_LAG_SESSIONS`, and that is over."""
    after, next_year = last_date + datetime.timedelta(days=1), last_date.year + 1
    lag = len(sessions_between(after, datetime.date(next_year, 1, 1)))
    reached = last_date.year if lag <= MAX_LAG_SESSIONS else last_date.year - 1
    return min(reached, now.astimezone(NEW_YORK).year - 1)


def observe_files(
    folder: Path,
    tables: Mapping[str, OptionalFiles],
    years: Sequence[int],
    memory: FileMemory,
    now: datetime.datetime,
    in_passing: bool,
) -> Observation:
    """Look at the files of some raw tables, prices among them; see `brain_assets.market.base.ObservableMarket`."""
    find_files(folder, "prices", "data")  # raises if there is no folder
    hurry = _Hurry(now.timestamp() - SETTLE_SECONDS, time.monotonic() + READ_SECONDS) if in_passing else None
    looks = {table: _look(table, files, memory, hurry) for table, files in tables.items()}
    memory.keep({f"{table}/{name}": file for table, look in looks.items() for name, file in look.files.items()})
    days = [file.last_day for file in looks["raw_prices"].files.values() if file.last_day]
    complete_until = complete_year(max(days), now) if days else None
    due = [year for year in years if complete_until is not None and year <= complete_until]
    files = {
        table: _by_year(look.files, due, _ways_to_write(look, looks["raw_prices"]))
        for table, look in looks.items()
        if not look.waits
    }
    counts = ", ".join(f"{len(look.files)} of {table}" for table, look in looks.items())
    n_read = sum(look.n_read for look in looks.values())
    return Observation(
        {table: {year: _hex(sum(sums.values())) for year, sums in found.items()} for table, found in files.items()},
        {
            table: {year: {name: _hex(value) for name, value in sums.items()} for year, sums in found.items()}
            for table, found in files.items()
        },
        [
            f"{folder}: looked at files, {counts}; {n_read or 'none'} read, new or changed since the last look.",
            *(f"{table} waits: {look.waits}" for table, look in looks.items() if look.waits),
        ],
    )


class _Hurry(NamedTuple):
    settled: float  # a file that changed later may still be written; seconds since 1970
    deadline: float  # on the monotonic clock


def _look(table: str, files: OptionalFiles, memory: FileMemory, hurry: _Hurry | None) -> _Look:
    """Read what is new or changed; raises nothing that has to do with files."""
    try:
        word, paths = files.found()
    except MarketError as error:  # of two sorts
        return _Look({}, 0, str(error))
    found: dict[str, FileState] = {}
    n_read, waits = 0, []
    for path in paths:
        name = path.relative_to(files.folder or path.parent).as_posix()
        try:
            file = found[name] = memory.state(f"{table}/{name}", path)
            if file.sums is not None:
                continue
            if hurry and 0 <= file.stamp[1] / 1e9 - hurry.settled < 2 * SETTLE_SECONDS:
                waits.append(f"{path.name} has just changed, and may still be written.")
            elif hurry and n_read and time.monotonic() > hurry.deadline:
                waits.append(f"{path.name} and those after it are read at the next look.")
            else:
                found[name] = _read(table, files, word, path, file.stamp)
                n_read += 1
        except (BrainAssetsError, OSError) as error:
            waits.append(f"{error} {path.name} is read again at the next look.")
    return _Look(found, n_read, waits[0] if waits else "")


def _read(table: str, files: OptionalFiles, word: str, path: Path, stamp: tuple[int, int, int]) -> FileState:
    read = files.read(word, [path])
    read.refuse_files()
    rows, last = read.frame, read.days.max()
    chosen = rows[rows["symbol"].isin(files.symbols)] if files.symbols else rows
    sums = Counter(sums_by_year(chosen, REMEMBERED.get(table, _NO_TIME)))
    for fault in read.faults:
        years = pd.DatetimeIndex(fault.days).year.fillna(0).astype(int)
        hashes = pd.Series(pd.util.hash_array(np.array([f"{fault.column} {got}" for got in fault.got], dtype=object)))
        for year, part in hashes.groupby(years):
            sums.update(dict.fromkeys([int(year)] if year else list(sums), int(part.sum())))
    return FileState(stamp, None if rows.empty else last.date(), dict(sums), tuple(rows["symbol"].cat.categories))


def _ways_to_write(*looks: _Look) -> dict[str, int]:
    """Give for symbols that are written in several ways a number that is another once there is one more."""
    ways: dict[str, set[str]] = defaultdict(set)
    for name in {name for look in looks for file in look.files.values() for name in file.symbols}:
        ways[name.casefold()].add(name)
    several = {" ".join(sorted(names)): names for names in ways.values() if len(names) > 1}
    hashes = pd.util.hash_array(np.array(list(several), dtype=object)).tolist()
    return {name: value for names, value in zip(several.values(), hashes, strict=True) for name in names}


def sums_by_year(rows: pd.DataFrame, remembered: datetime.timedelta = _NO_TIME) -> dict[int, int]:
    """Add up the hashes of rows, whatever their order, for the year of each one's first column, a day.

    Rows of the last days of a year, as many as are `remembered`, count for the next one too.
    """
    days = rows.iloc[:, 0]
    hashes = pd.util.hash_pandas_object(rows.drop(columns=["file", "row"], errors="ignore"), index=False)
    years, later = days.dt.year.to_numpy(), (days + remembered).dt.year.to_numpy()
    sums = defaultdict(int, {int(year): int(part.sum()) for year, part in hashes.groupby(years)})
    again = later > years
    for year, part in hashes[again].groupby(later[again]):
        sums[int(year)] += int(part.sum())
    return dict(sums)


def _by_year(
    files: Mapping[str, FileState], years: Sequence[int], ways: Mapping[str, int]
) -> dict[int, dict[str, int]]:
    """Give the sums of the files that have rows of each year; the first holds all before it, too."""
    found: dict[int, dict[str, int]] = {year: {} for year in years}
    for name, file in files.items():
        of_symbols = sum({ways.get(symbol, 0) for symbol in file.symbols})
        for calendar_year, value in (file.sums or {}).items():
            year = max(calendar_year, years[0]) if years else calendar_year
            if year in found:
                found[year][name] = found[year].get(name, 0) + value + of_symbols
    return found


def _hex(value: int) -> str:
    return f"{value % 2**64:016x}"
