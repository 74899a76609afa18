"""What a look at the user's files tells of them without keeping their rows: a data version of each year.

Layout: of each raw table, the size and times of its files, and the sum of each one's rows' hashes, year by year, are
remembered, in the data folder under ``cache/``; if that is lost, the files are read again. Sums of several files add up
to that of a table, so neither the order of rows, nor how they are split into files, nor their names and format matter.
The files of a table are read only when the size or a time of one of them is another. Rows that a fetch would refuse
count too.
"""

import datetime
from collections import Counter
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import NamedTuple

import numpy as np
import pandas as pd
from pydantic import TypeAdapter, ValidationError

from brain_assets.errors import MarketError
from brain_assets.market.calendar import NEW_YORK, sessions_between
from brain_assets.market.table_files import FileTable
from brain_assets.paths import DataPath, read_bytes, replace_file

MAX_LAG_SESSIONS = 5
"""A year is complete when at most so many of its sessions follow the last date found: data often end at Christmas."""

SETTLE_SECONDS = 10.0
"""A program that writes a file does not pause for so long; one that does is caught when the next part comes."""

REMEMBERED = {"raw_prices": datetime.timedelta(days=14)}
"""Table -> rows of so long before a year count for it too: a table of prices remembers the last bar before it."""

Stamps = dict[str, tuple[int, int, int]]
"""File -> its bytes, and nanoseconds since 1970 of the last change of its content, and of anything."""


class TableState(NamedTuple):
    """What is remembered of the files of a raw table."""

    stamps: Stamps
    spelled: tuple[str, ...]  # how symbols were to be written
    symbols: tuple[str, ...]  # whose rows count; empty: all
    names: tuple[str, ...] = ()  # all symbols of the files
    last_day: datetime.date | None = None  # of all rows, of whatever symbol
    sums: Mapping[str, Mapping[int, int]] = {}  # file -> calendar year -> the sum of its rows' hashes


_STATES = TypeAdapter(dict[str, TableState])


def read_states(place: DataPath | None) -> dict[str, TableState]:
    """Read what is remembered of each raw table; nothing, if there is nothing or it is damaged."""
    try:
        return _STATES.validate_json(read_bytes(place)) if place else {}
    except (FileNotFoundError, ValidationError):
        return {}


def keep_states(place: DataPath | None, states: Mapping[str, TableState]) -> None:
    """Remember these, and no others."""
    if place:
        replace_file(place, _STATES.dump_json(dict(states)))


def stamps_of(folder: Path, paths: Sequence[Path]) -> Stamps:
    """Look at files without reading them."""
    found = {path.relative_to(folder).as_posix(): path.stat() for path in paths}
    return {name: (each.st_size, each.st_mtime_ns, each.st_ctime_ns) for name, each in found.items()}


def refuse_unsettled(stamps: Stamps, now: datetime.datetime) -> None:
    """Raise `MarketError` if a file changed less than `SETTLE_SECONDS` ago, or a little after now."""
    for name, (_, changed, _) in stamps.items():
        if abs(now.timestamp() - changed / 1e9) < SETTLE_SECONDS:
            raise MarketError(f"{name} has just changed, and may still be written.")


def state_of(raw: str, asked: TableState, table: FileTable | None) -> TableState:
    """Add up what a table of files holds; raises `TableError` if one of them is no table. None: there are no files."""
    if table is None:
        return asked
    table.refuse_files()
    hashes = pd.util.hash_pandas_object(table.frame.drop(columns=["file", "row"]), index=False)
    rows = pd.DataFrame({"file": table.frame["file"], "year": table.days.dt.year, "hash": hashes})
    later = (table.days + REMEMBERED.get(raw, datetime.timedelta(0))).dt.year
    faults = table.faults
    texts = [f"{table.files[row.file].titles.get(row.column, row.column)} {row.got}" for row in faults.itertuples()]
    faults = faults.assign(year=faults["day"].dt.year, hash=pd.util.hash_array(np.array(texts, dtype=object)))
    found = pd.concat([rows, rows.assign(year=later)[later > rows["year"]], faults[["file", "year", "hash"]]])
    sums: list[dict[int, int]] = [{} for _ in table.files]
    for (number, year), hashed in found.groupby(["file", "year"])["hash"]:
        sums[number][int(year)] = int(hashed.sum())
    for number, hashed in faults[faults["day"].isna()].groupby("file")["hash"]:  # in whatever year
        sums[number] = {year: value + int(hashed.sum()) for year, value in sums[number].items()}
    last = None if pd.isna(table.last_day) else table.last_day.date()
    return asked._replace(names=tuple(table.names), last_day=last, sums=dict(zip(asked.stamps, sums, strict=True)))


def complete_year(last_date: datetime.date, now: datetime.datetime) -> int:
    """Give the last year whose end is reached by data up to a day, up to `MAX_LAG_SESSIONS`, and that is over."""
    after, next_year = last_date + datetime.timedelta(days=1), last_date.year + 1
    lag = len(sessions_between(after, datetime.date(next_year, 1, 1)))
    reached = last_date.year if lag <= MAX_LAG_SESSIONS else last_date.year - 1
    return min(reached, now.astimezone(NEW_YORK).year - 1)


def versions_of(state: TableState, years: Sequence[int]) -> tuple[dict[int, str], dict[int, dict[str, str]]]:
    """Give the version of each partition year, and of what each file has of it; the first holds all before it, too."""
    sums: dict[int, Counter[str]] = {year: Counter() for year in years}
    for name, of_years in state.sums.items():
        for calendar_year, value in of_years.items():
            if years and (year := max(calendar_year, years[0])) in sums:
                sums[year][name] += value
    versions = {year: _as_version(sum(of.values())) for year, of in sums.items()}
    return versions, {year: {name: _as_version(value) for name, value in of.items()} for year, of in sums.items()}


def _as_version(value: int) -> str:
    return f"{value % 2**64:016x}"
