"""Prices, news and fundamentals from the user's own files.

``docs/your-own-data.md`` has the rules. Dates are days in New York. What is refused is named by file, line and column,
before anything is returned. An instance reads the files once, and keeps the tables until a look finds that a file has
changed.
"""

import datetime
from collections.abc import Callable, Iterable, Iterator, Sequence
from pathlib import Path
from typing import ClassVar, cast

import pandas as pd

from brain_assets.errors import BrainAssetsError, EmptyResponseError, MarketError, TableError, UnknownSymbolError
from brain_assets.formatting import listed
from brain_assets.market.base import Observation, ScoreHeadlines, SourcedTable
from brain_assets.market.calendar import FIRST_DATE, utc_now
from brain_assets.market.news import NewsFiles
from brain_assets.market.prices import MEMBERS
from brain_assets.market.schema import FUNDAMENTAL_TABLE, PRICE_TABLE, RAW, Finding, attach, findings_of
from brain_assets.market.sheets import MOST, find_files
from brain_assets.market.table_files import FileTable, OptionalFiles, inside
from brain_assets.paths import DataPath
from brain_assets.settings import Settings
from brain_assets.store.fingerprint import hash_json
from brain_assets.user_files.tables import members_of, read_fundamental_files, read_price_files, read_universe
from brain_assets.user_files.watch import (
    TableState,
    complete_year,
    keep_states,
    read_states,
    refuse_unsettled,
    stamps_of,
    state_of,
    versions_of,
)

MIN_HISTORY_SESSIONS = 66
"""Fewest bars of a symbol, in all files together: 60 sessions of returns need 61 closes, and a week to predict."""


class PriceFiles(OptionalFiles):
    """Daily bars from CSV and Parquet files."""

    schema = PRICE_TABLE
    sorts: ClassVar = {"bars": ("prices", read_price_files)}


class FundamentalFiles(OptionalFiles):
    """Quarterly ratios from CSV and Parquet files; each is known once its filing day is over."""

    schema = FUNDAMENTAL_TABLE
    sorts: ClassVar = {"ratios": ("fundamentals", read_fundamental_files)}


KINDS: dict[str, type[OptionalFiles]] = {
    "raw_prices": PriceFiles,
    "raw_news_sentiment": NewsFiles,
    "raw_fundamentals": FundamentalFiles,
}


class FilesMarket:
    """Daily bars, news scores and quarterly ratios from the CSV and Parquet files of a folder.

    `symbols` are the universe, empty: every symbol in the files; the file `memory` keeps what looks found
    (`brain_assets.user_files.watch`).
    """

    name = "files"
    caveat = "Prices are the user's own files, taken as split- and dividend-adjusted; who is missing is not known."

    def __init__(
        self,
        folder: Path,
        symbols: tuple[str, ...] = (),
        memory: DataPath | None = None,
        *,
        clock: Callable[[], datetime.datetime] = utc_now,
    ) -> None:
        self.folder, self.symbols, self.clock, self._memory = folder, symbols, clock, memory
        self._states = {raw: state for raw, state in read_states(memory).items() if state.symbols == symbols}
        self.files: dict[str, OptionalFiles] = {}
        self._forget_rows()

    def last_complete_year(self) -> int | None:
        """Give the last year whose end the files reach, up to `MAX_LAG_SESSIONS`, and that is over in New York.

        The dates of all symbols count. Files that have not changed since the last look are not read. Raises as
        `prices`.
        """
        if (last := self._look("raw_prices").last_day) is None:
            self.bars.refuse(datetime.date.min, datetime.date.max)
            raise MarketError(f"{self.folder}: expected price files with bars, got only empty ones; add data.")
        return complete_year(last, self.clock())

    def prices(self, start: datetime.date, end: datetime.date) -> pd.DataFrame:
        """Give the daily bars of a range; see `brain_assets.market.base.Market.prices`.

        Each is known at the close of its session, as far as the files' adjustment does not look ahead. Raises
        `TableError` for all that is wrong in the range, kind by kind, or if no symbol has enough bars, and
        `MarketError` if there is no folder, no file of prices, no bar in the range, or none of the symbols.
        """
        self.bars.refuse(start, end)
        missing = list(self.symbols_found())
        if not inside(self.bars.days, start, end).any():
            raise self.nothing_in(start, end)
        bars = self.files["raw_prices"].table(start, end)
        if (universe := self.universe(self.names())) is not None:
            bars.attrs[MEMBERS] = members_of(universe, start, end)
        return attach(bars, [*findings_of(bars), *missing])

    def news_sentiment(self, start: datetime.date, end: datetime.date, score: ScoreHeadlines) -> SourcedTable:
        """Give the daily news scores; see `brain_assets.market.news.NewsFiles.news_sentiment`."""
        files = cast(NewsFiles, self.files["raw_news_sentiment"])
        return self._sourced(files, files.news_sentiment(start, end, score))

    def fundamentals(self, start: datetime.date, end: datetime.date) -> SourcedTable:
        """Give the quarterly ratios filed in a range. Raises as `prices`."""
        files = self.files["raw_fundamentals"]
        return self._sourced(files, files.table(start, end))

    def observe(self, years: Sequence[int], in_passing: bool = False) -> Observation:
        """Look for files that are new or have changed; see `brain_assets.market.base.ObservableMarket`.

        In passing, a table waits while one of its files may still be written; one with a file that cannot be read waits
        until it can. Both hold up their own table only.
        """
        find_files(self.folder, "prices")  # raises if there is no folder
        known, states, waits = self._states, {}, []
        for raw in RAW:
            try:
                if in_passing:
                    refuse_unsettled(stamps_of(self.folder, self.files[raw].found()[1]), self.clock())
                states[raw] = self._look(raw)
            except (BrainAssetsError, OSError) as error:
                waits.append(f"{raw} waits: {error}")
        if in_passing:
            self._forget_rows()  # runs read them in processes of their own
        last = self._states["raw_prices"].last_day if "raw_prices" in self._states else None
        due = [year for year in years if last is not None and year <= complete_year(last, self.clock())]
        found = {raw: versions_of(state, due) for raw, state in states.items()}
        versions = {raw: of_years for raw, (of_years, _) in found.items()}
        files_of = {raw: of_files for raw, (_, of_files) in found.items()}
        try:
            universe = self.universe(()) if "raw_prices" in states else None
        except BrainAssetsError as error:
            universe = None
            del versions["raw_prices"]
            waits.append(f"raw_prices waits: {error}")
        if universe is not None:  # prices depend on who was a member, too
            for year in due:
                begin = datetime.date(year if year > years[0] else FIRST_DATE.year, 1, 1)
                mark = hash_json(dict(members_of(universe, begin, datetime.date(year + 1, 1, 1))))
                versions["raw_prices"][year] += f", {universe.files[0].name} {mark}"
                files_of["raw_prices"][year][universe.files[0].name] = mark
        counts = ", ".join(f"{len(state.stamps)} of {raw}" for raw, state in states.items())
        n_read = sum(len(state.stamps) for raw, state in states.items() if state is not known.get(raw))
        said = f"looked at files, {counts}; {n_read or 'none'} read, new or changed since the last look."
        return Observation(versions, files_of, [f"{self.folder}: {said}", *waits])

    def _look(self, raw: str) -> TableState:
        """Give what is known of the files of a table as they are now, which are read if they are others than before."""
        stamps = stamps_of(self.folder, self.files[raw].found()[1])
        spelled = self.symbols if raw == "raw_prices" else tuple(self.names())
        before = self._states.get(raw)
        if before is not None and (before.stamps, before.spelled) == (stamps, spelled):
            return before
        self._forget_rows(RAW if raw == "raw_prices" else [raw])  # other tables write symbols as prices do
        state = state_of(raw, TableState(stamps, spelled, self.symbols), self.files[raw].rows)
        self._states = {**self._states, raw: state}
        keep_states(self._memory, self._states)
        return state

    def nothing_in(self, start: datetime.date, end: datetime.date) -> EmptyResponseError:
        """Give the error of a range without bars, which says what there is."""
        days = self.bars.days
        there = f"{days.min():%Y-%m-%d} to {days.max():%Y-%m-%d}" if len(days) else "no sound bar"
        return EmptyResponseError(
            f"{self.folder}: expected bars from {start} to {end} (exclusive), got none, since the files hold "
            f"{there}; add data or ask for another range."
        )

    def _forget_rows(self, tables: Iterable[str] = RAW) -> None:
        for raw in tables:
            self.files[raw] = KINDS[raw](self.folder, self.symbols, tuple if raw == "raw_prices" else self.names)

    def _sourced(self, files: OptionalFiles, table: pd.DataFrame) -> SourcedTable:
        """Name the symbols of the universe that the files do not, and those of the files that have no prices."""
        if files.rows is None:
            return files.sourced(table, sorted(self.symbols))
        if "raw_prices" not in self._states:
            self.bars.refuse_files()  # or a name of a file that cannot be read would have no prices
        sourced = files.sourced(table, sorted(self.symbols or self.names()))
        return sourced._replace(
            table=attach(sourced.table, (*findings_of(table), *self.without_prices(files.rows.names)))
        )

    def without_prices(self, symbols: Sequence[str]) -> list[Finding]:
        """Name the symbols of other files that have no prices."""
        what = "without prices: one that is written otherwise matches nothing"
        return list(_named(sorted({*symbols} - {*self.names()}), f"name {what}", f"names {what}"))

    @property
    def bars(self) -> FileTable:
        """All rows of prices; raises `MarketError` if there are no files of them."""
        if (rows := self.files["raw_prices"].rows) is None:
            raise MarketError(
                f"{self.folder}: expected at least one file of prices (.csv, .txt, .tsv, also with .gz, or .parquet), "
                f"got none; add one with the columns {', '.join(PRICE_TABLE.names)}."
            )
        return rows

    def universe(self, names: Sequence[str]) -> FileTable | None:
        """Read who could be chosen when; None: there is no such file, so all can be."""
        paths = find_files(self.folder, "universe")
        return read_universe(paths, names) if paths else None

    def names(self) -> Sequence[str]:
        """Give the symbols of the prices, as they are written."""
        if (state := self._states.get("raw_prices")) is not None:
            return state.names
        rows = self.files["raw_prices"].rows
        return [] if rows is None else rows.names

    def symbols_found(self) -> Iterator[Finding]:
        """Name symbols that no file has, and those with too few bars; raises `MarketError` if there are no others."""
        names = self.bars.names
        missing = [symbol for symbol in self.symbols if symbol not in names]
        if missing and len(missing) == len(self.symbols):
            raise UnknownSymbolError(
                f"{self.folder}: expected symbols of the files, got {listed(missing, MOST)}, none of which is one: "
                f"they have {listed(names, MOST)}; correct BRAIN_SYMBOLS, or add data."
            )
        n_bars = self.bars.frame["symbol"].value_counts()
        n_bars = n_bars.reindex(self.symbols or names).dropna().astype(int)
        short = [f"{symbol} ({count})" for symbol, count in n_bars.items() if count < MIN_HISTORY_SESSIONS]
        if len(short) == len(n_bars):
            raise TableError(
                f"{self.folder}: expected at least {MIN_HISTORY_SESSIONS} bars of a symbol, got "
                f"{listed(short, MOST) or 'none'}; add data."
            )
        universe = self.universe(self.names())
        members = set() if universe is None else {*universe.names} - {*self.names()}
        yield from _named(missing, "symbol that was asked for is in no file", "symbols asked for are in no file")
        of = "of the universe without prices in any file"
        yield from _named(sorted(members), f"member {of}", f"members {of}")
        few = f"with fewer than {MIN_HISTORY_SESSIONS} bars in all files"
        yield from _named(short, f"symbol {few}", f"symbols {few}")


def open_market(settings: Settings) -> FilesMarket:
    """Open the market of some settings; nothing is read."""
    if settings.files_dir is None:
        raise MarketError("BRAIN_FILES_DIR: expected a folder for the market files, got nothing; set it.")
    return FilesMarket(settings.files_dir, settings.symbols, settings.data_dir / "cache" / "files.json")


def _named(symbols: list[str], one: str, several: str) -> Iterator[Finding]:
    if symbols:
        what = one if len(symbols) == 1 else several
        yield Finding("symbols_found", listed(symbols, MOST), what, n_rows=len(symbols))
