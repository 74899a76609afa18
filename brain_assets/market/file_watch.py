"""Which years of which tables the user's files hold otherwise than what is stored; nothing is read twice for it.

Layout: a `Memory`, which is JSON, keeps of each file its size, time of change, hash of its bytes and the sums of its
rows (`brain_assets.market.file_sums`), and of each table and year the sums that were last found to be stored, or asked
for.

A file is left for the next look while it may still be written: it changed less than `SETTLE_SECONDS` ago, and since the
last look. One that cannot be read is named, and read again at every look. Either holds up its own table only, since a
fetch reads all files of a table; the others go on. A look reads files for at most `READ_SECONDS`, and goes on with the
rest the next time; one file is always read to its end.
"""

import datetime
import hashlib
import time
from collections.abc import Callable, Collection, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import NamedTuple, Protocol

import numpy as np
import pandas as pd
import pydantic

from brain_assets.errors import BrainAssetsError, MarketError, TableError
from brain_assets.market.file_sums import TABLE_PATTERNS, Partitions, add_sums, sums_of_file, sums_of_table
from brain_assets.market.headlines import NewsFiles
from brain_assets.market.schema import NEWS_TABLE, SCHEMAS
from brain_assets.market.table_files import find_files

VERSION = 1
"""Of the memory's layout."""

SETTLE_SECONDS = 10.0
"""A program that writes a file does not pause for so long; one that does is caught when the next part comes."""

READ_SECONDS = 3.0
"""A tick shall be over in 5 s, and comparing takes the rest."""


class FileMemory(pydantic.BaseModel):
    """What a file held when it was last read."""

    size: int
    changed: int
    """Nanoseconds since 1970."""
    content: str
    """SHA-256 of its bytes."""
    sums: dict[str, int]
    last_day: datetime.date | None


class Memory(pydantic.BaseModel):
    """What is known from one look to the next."""

    version: int = VERSION
    made_for: dict[str, str] = {}
    """What the sums depend on beside the files; with another, all of it is worth nothing."""
    files: dict[str, FileMemory] = {}
    unsettled: dict[str, tuple[int, int]] = {}
    """Size and time of change of files that were left for the next look."""
    handled: dict[str, dict[int, str]] = {}
    """Table -> year -> its fingerprint when it was last found to be stored, or asked for."""


class Need(NamedTuple):
    """A year of a table that shall be fetched."""

    table: str
    year: int
    fingerprint: str
    """Of the rows that the files hold."""

    why: str


def recall(text: str | None, made_for: Mapping[str, str]) -> tuple[Memory, str]:
    """Read a memory; one that is damaged, or was made for something else, is begun anew, and the sentence says so."""
    fresh = Memory(made_for=dict(made_for))
    if text is None:
        return fresh, ""
    try:
        found = Memory.model_validate_json(text)
    except pydantic.ValidationError as error:
        return fresh, f"the cursor cannot be read ({error.errors()[0]['msg']}): all files are read anew"
    if found.version != VERSION or found.made_for != fresh.made_for:
        return fresh, "the cursor was made for other settings or versions: all files are read anew"
    return found, ""


@dataclass
class Look:
    """What a look at the folder found."""

    memory: Memory
    """To be kept for the next look."""
    counts: dict[str, int] = field(default_factory=dict)
    """Table -> number of its files."""
    held: dict[str, str] = field(default_factory=dict)
    """Table -> why nothing can be said of it yet."""
    n_read: int = 0
    """Files whose content was new."""

    @property
    def last_day(self) -> datetime.date | None:
        """The last day that has a price."""
        days = [known.last_day for name, known in self.memory.files.items() if name.startswith("prices")]
        return max((day for day in days if day is not None), default=None)

    def sum_of(self, table: str, part: str) -> int:
        """Add up a part over the files of a table."""
        kinds = tuple(pattern.split("*")[0] for pattern in TABLE_PATTERNS[table])
        return add_sums(*(file.sums.get(part, 0) for name, file in self.memory.files.items() if name.startswith(kinds)))

    def parts(self, table: str, year: int, first_partition: int) -> dict[str, int]:
        """Give the sums that make up a year of a table."""
        names = [str(year), *([f"{year - 1} eve"] if table == "raw_prices" and year > first_partition else [])]
        return {name: self.sum_of(table, name) for name in names}


class StoredTables(Protocol):
    """What is stored of raw tables, such as a `brain_assets.store.tables.TableStore`."""

    def find(self, table: str, year: int, /) -> pd.DataFrame | None:
        """Give a year of a table; None: it is not there."""


class FileWatch:
    """Looks at a folder of the market `files`; `now` gives the present moment with its time zone."""

    def __init__(
        self, folder: Path, partitions: Partitions, tables: StoredTables, now: Callable[[], datetime.datetime]
    ) -> None:
        self._folder, self._partitions, self._tables, self._now = folder, partitions, tables, now

    @property
    def made_for(self) -> dict[str, str]:
        """What sums depend on beside the files."""
        return {"folder": str(self._folder), "partitions": str(self._partitions), "pandas": pd.__version__}

    def look(self, memory: Memory) -> Look:
        """Read what is new in the folder, and leave out what is gone; raises `MarketError` if there is no folder."""
        found = Look(memory.model_copy(update={"files": {}, "unsettled": {}}, deep=True))
        begun = time.monotonic()
        for table, patterns in TABLE_PATTERNS.items():
            paths = find_files(self._folder, patterns, "data")
            found.counts[table] = len(paths)
            for path in paths:
                try:
                    late = time.monotonic() - begun > READ_SECONDS
                    self._look_at(table, path, memory, found, late)
                except FileNotFoundError:  # gone since the folder was listed
                    found.counts[table] -= 1
                except (BrainAssetsError, OSError) as error:
                    found.held[table] = f"{error} {path.name} is read again at the next look."
        try:
            NewsFiles(self._folder).found()
        except MarketError as error:
            found.held["raw_news_sentiment"] = str(error)
        return found

    def _look_at(self, table: str, path: Path, memory: Memory, found: Look, late: bool) -> None:
        state = path.stat()
        seen, known = (state.st_size, state.st_mtime_ns), memory.files.get(path.name)
        if known is not None and (known.size, known.changed) == seen:
            found.memory.files[path.name] = known
            return
        age = self._now().timestamp() - state.st_mtime
        if age < SETTLE_SECONDS and memory.unsettled.get(path.name) != seen:
            found.memory.unsettled[path.name] = seen
            found.held.setdefault(table, f"{path.name} has just changed, and may still be written.")
        elif late:
            found.held.setdefault(table, f"{path.name} and those after it are read at the next look.")
        else:
            found.memory.files[path.name] = self._read(table, path, seen, known)
            found.n_read += known is None or known.content != found.memory.files[path.name].content

    def _read(self, table: str, path: Path, seen: tuple[int, int], known: FileMemory | None) -> FileMemory:
        content = hashlib.sha256(path.read_bytes()).hexdigest()
        if known is not None and known.content == content:  # touched
            return known.model_copy(update={"size": seen[0], "changed": seen[1]})
        sums, last_day = sums_of_file(table, path, self._partitions)
        return FileMemory(size=seen[0], changed=seen[1], content=content, sums=sums, last_day=last_day)

    def needs(self, look: Look, years: Sequence[int], materialized: Mapping[str, Collection[int]]) -> list[Need]:
        """Tell what shall be fetched, the oldest year first; it is remembered as asked for.

        That is a year whose rows differ from those stored, and one that Dagster has no materialization of: of all three
        tables if there are prices of the year. Nothing is said of a table that is held up, nor of a year whose prices
        are new and held up.
        """
        needs = []
        prices_held = "raw_prices" in look.held
        covered = [
            year
            for year in years
            if year in materialized["raw_prices"] or (look.sum_of("raw_prices", str(year)) and not prices_held)
        ]
        for table in SCHEMAS:
            for year in covered:
                if table in look.held:
                    continue
                parts = look.parts(table, year, self._partitions.first_partition)
                fingerprint = "-".join(f"{value:016x}" for value in parts.values())
                handled = look.memory.handled.setdefault(table, {})
                if handled.get(year) == fingerprint:
                    continue
                try:
                    why = self._why(table, year, parts, year in materialized[table], year in handled)
                except TableError as error:
                    look.held[table] = str(error)
                    continue
                handled[year] = fingerprint
                if why:
                    needs.append(Need(table, year, fingerprint, why))
        return sorted(needs, key=lambda need: need.year)

    def _why(self, table: str, year: int, parts: Mapping[str, int], materialized: bool, looked_before: bool) -> str:
        """Tell why a year shall be fetched; empty: it is stored as it is in the files."""
        stored = self._tables.find(table, year) if materialized else None
        if stored is None:
            return "not materialized"
        known = sums_of_table(table, year, stored)
        if all(known[name] == value for name, value in parts.items()):
            return ""
        if table == "raw_news_sentiment" and not looked_before and self._is_news(year, stored):
            return ""
        return "rows changed"

    def _is_news(self, year: int, stored: pd.DataFrame) -> bool:
        """Tell whether stored scores may be those of the files, where rows of the files are not rows of the table.

        Scores of days without a session are put together with those of the next. Of headlines, articles are counted by
        session and symbol, since scoring takes longer than a tick may.
        """
        news = NewsFiles(self._folder, self._partitions.symbols)
        first = self._partitions.first_year if year == self._partitions.first_partition else year
        window = datetime.date(first, 1, 1), datetime.date(year + 1, 1, 1)
        table = news.news_sentiment(*window, lambda titles: np.zeros(len(titles)))
        columns = [name for name in NEWS_TABLE.names if name != "sentiment_score" or news.source.startswith("scores")]
        return bool(table[columns].equals(stored[columns]))
