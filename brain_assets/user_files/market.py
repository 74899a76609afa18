"""Prices, news and fundamentals from the user's own files.

``docs/your-own-data.md`` has the rules. Dates are days in New York. What is refused is named by file, line and column,
before anything is returned. An instance reads the files once, and keeps the tables until a look finds that a file has
changed.
"""

import datetime
from collections.abc import Callable, Iterator, Mapping, Sequence
from functools import cached_property
from pathlib import Path
from typing import ClassVar

import pandas as pd

from brain_assets.check_result import listed
from brain_assets.errors import BrainAssetsError, EmptyResponseError, MarketError, TableError, UnknownSymbolError
from brain_assets.market.base import Observation, ScoreHeadlines, SourcedTable
from brain_assets.market.calendar import FIRST_DATE, utc_now
from brain_assets.market.file_table import FileTable
from brain_assets.market.findings import Finding, attach, findings_of
from brain_assets.market.members import MEMBERS
from brain_assets.market.news import NewsFiles
from brain_assets.market.schema import FUNDAMENTAL_TABLE, PRICE_TABLE
from brain_assets.market.table_files import OptionalFiles, read_files
from brain_assets.market.text_files import MOST, find_files
from brain_assets.paths import DataPath
from brain_assets.settings import Settings
from brain_assets.store.fingerprint import hash_json
from brain_assets.user_files.check import Checked, not_read, sentences, summary
from brain_assets.user_files.tables import PRICE_LAYOUT, adjust_splits, read_fundamental_files, read_price_files
from brain_assets.user_files.universe import members_of, read_universe, universe_line
from brain_assets.user_files.watch import FileMemory, FileState, complete_year, last_price_date, observe_files

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


WATCHED = {"raw_prices": PriceFiles, "raw_news_sentiment": NewsFiles, "raw_fundamentals": FundamentalFiles}
"""Raw table -> its files."""


class FilesMarket:
    """Daily bars, news scores and quarterly ratios from the CSV and Parquet files of a folder.

    Parameters
    ----------
    folder : Path
    symbols : tuple of str
        The universe; empty: every symbol in the files.
    memory : Path or UPath, optional
        The file that keeps what looks at the files found; see `brain_assets.user_files.watch`.
    adjust_splits : bool, optional
        Whether to take out what looks like a split that is still in the prices.
    clock : callable, optional
        Gives the present moment; a year that it has not completed is never complete.
    """

    name = "files"
    caveat = "Prices are the user's own files, taken as split- and dividend-adjusted; who is missing is not known."

    def __init__(
        self,
        folder: Path,
        symbols: tuple[str, ...] = (),
        memory: DataPath | None = None,
        *,
        adjust_splits: bool = False,
        clock: Callable[[], datetime.datetime] = utc_now,
    ) -> None:
        self.folder, self.symbols, self.clock, self.adjust_splits = folder, symbols, clock, adjust_splits
        self._memory = FileMemory(memory, symbols)
        self._looked_at: Mapping[str, FileState] | None = None
        self._forget_rows()

    def last_complete_year(self) -> int | None:
        """Give the last year whose end the files reach, up to `MAX_LAG_SESSIONS`, and that is over in New York.

        Reads only dates, and of files that have not changed nothing; those of all symbols count. Raises as `prices`.
        """
        last = last_price_date(self.folder, self._paths(), self._memory)
        if last is None:
            raise MarketError(f"{self.folder}: expected price files with bars, got only empty ones; add data.")
        return complete_year(last, self.clock())

    def prices(self, start: datetime.date, end: datetime.date) -> pd.DataFrame:
        """Give the daily bars of a range; see `brain_assets.market.base.Market.prices`.

        Each is known at the close of its session, as far as the files' adjustment does not look ahead. Raises
        `TableError` for all that is wrong in the range, kind by kind, or if no symbol has enough bars, and
        `MarketError` if there is no folder, no file of prices, no bar in the range, or none of the symbols.
        """
        table = self._bars
        chosen, findings = table.between(start, end), [*table.findings(start, end), *self._symbols_found()]
        if chosen.empty:
            raise self._nothing_in(start, end)
        bars = PRICE_TABLE.validate(chosen[list(PRICE_TABLE.names)], str(self.folder))
        bars, divided = adjust_splits(bars) if self.adjust_splits else (bars, [])
        if (universe := self._universe) is not None:
            bars.attrs[MEMBERS] = members_of(universe, start, end)
        return attach(bars, [*findings, *divided])

    def news_sentiment(self, start: datetime.date, end: datetime.date, score: ScoreHeadlines) -> SourcedTable:
        """Give the daily news scores; see `brain_assets.market.news.NewsFiles.news_sentiment`."""
        return self._sourced(self._news, self._news.news_sentiment(start, end, score))

    def fundamentals(self, start: datetime.date, end: datetime.date) -> SourcedTable:
        """Give the quarterly ratios filed in a range. Raises as `prices`."""
        return self._sourced(self._fundamentals, self._fundamentals.table(start, end))

    def observe(self, years: Sequence[int], in_passing: bool = False) -> Observation:
        """Look for files that are new or have changed; see `brain_assets.market.base.ObservableMarket`."""
        tables = {table: kind(self.folder, self.symbols) for table, kind in WATCHED.items()}
        found = observe_files(self.folder, tables, years, self._memory, self.clock(), in_passing)
        if self._memory.states != self._looked_at:
            self._looked_at = self._memory.states
            self._forget_rows()
        if "raw_prices" not in found.versions:
            return found
        if self.adjust_splits:
            found = _marked(found, "BRAIN_ADJUST_SPLITS", dict.fromkeys(years, "1"))
        return self._with_universe(found, years)

    def _with_universe(self, found: Observation, years: Sequence[int]) -> Observation:
        """Let a change of who could be chosen be one of its years' prices."""
        paths = find_files(self.folder, "universe", "universe")
        vars(self).pop("_universe", None)
        if not paths:
            return found
        try:
            universe = read_universe(paths, ())
        except BrainAssetsError as error:
            versions = {table: those for table, those in found.versions.items() if table != "raw_prices"}
            return found._replace(versions=versions, sentences=[*found.sentences, f"raw_prices waits: {error}"])
        begins = {year: datetime.date(year if year > years[0] else FIRST_DATE.year, 1, 1) for year in years}
        members = {year: members_of(universe, begins[year], datetime.date(year + 1, 1, 1)) for year in years}
        return _marked(found, paths[0].name, {year: hash_json(dict(each)) for year, each in members.items()})

    def _nothing_in(self, start: datetime.date, end: datetime.date) -> EmptyResponseError:
        days = self._bars.days
        there = f"{days.min():%Y-%m-%d} to {days.max():%Y-%m-%d}" if len(days) else "no sound bar"
        return EmptyResponseError(
            f"{self.folder}: expected bars from {start} to {end} (exclusive), got none, since the files hold "
            f"{there}; add data or ask for another range."
        )

    def years(self) -> range:
        """Give the years from the first bar to the last; this one alone where there is none, or no file can be read."""
        this_year = self.clock().year
        try:
            days = self._bars.days
        except BrainAssetsError:
            days = pd.Series([], dtype="datetime64[us]")
        return range(days.min().year, days.max().year + 1) if len(days) else range(this_year, this_year + 1)

    def check(self, start: datetime.date, end: datetime.date) -> Checked:
        """Tell what each file was taken for, and what a fetch of these days would refuse, or warn of."""
        found = Checked()
        with found.going_on():
            found.check_table("bars", self._bars, start, end)
        if not self.folder.is_dir():
            return found
        if not found.refused:
            with found.going_on():
                found.found += sentences(self._symbols_found())
            if not self._bars.inside(start, end).any():
                found.refuse(str(self._nothing_in(start, end)))
                return found
            found.check_bars(self._bars, start, end)
        for files in (self._news, self._fundamentals):
            with found.going_on():
                word, is_sound = files.found()[0], not found.refused
                if files.rows is not None:
                    found.check_table(word, files.rows, start, end)
                    found.found += sentences(self._without_prices(files)) if is_sound else []
        with found.going_on():
            found.lines += self._universe_lines()
        found.found += not_read(self.folder)
        return found

    def _universe_lines(self) -> list[str]:
        return [] if self._universe is None else [universe_line(self._universe)]

    def describe(self) -> Sequence[str]:
        """Say what the files were taken for; see `brain_assets.market.base.DescribedMarket`."""
        lines: list[str] = []
        try:
            lines += summary("bars", self._bars)
            for files in (self._news, self._fundamentals):
                lines += summary(files.found()[0], files.rows) if files.rows else []
            lines += self._universe_lines()
        except BrainAssetsError:
            return lines  # the run says it
        finally:
            self._forget_rows()  # runs read them in processes of their own
        return lines

    def _forget_rows(self) -> None:
        self._news = NewsFiles(self.folder, self.symbols, self._names)
        self._fundamentals = FundamentalFiles(self.folder, self.symbols, self._names)
        for kept in ("_bars", "_symbols", "_universe"):
            vars(self).pop(kept, None)

    def _sourced(self, files: OptionalFiles, table: pd.DataFrame) -> SourcedTable:
        """Name the symbols of the universe that the files do not, and those of the files that have no prices."""
        if files.rows is None:
            return files.sourced(table, sorted(self.symbols))
        sourced = files.sourced(table, sorted(self.symbols or self._names()))
        return sourced._replace(table=attach(sourced.table, (*findings_of(table), *self._without_prices(files))))

    def _without_prices(self, files: OptionalFiles) -> list[Finding]:
        found = set() if files.rows is None else set(files.rows.frame["symbol"].cat.categories)
        if found:
            self._symbols.refuse_files()
        what = "without prices: one that is written otherwise matches nothing"
        return list(_named(sorted(found - set(self._names())), f"name {what}", f"names {what}"))

    @cached_property
    def _bars(self) -> FileTable:
        return read_price_files(self._paths(), self.symbols)

    @cached_property
    def _symbols(self) -> FileTable:
        return read_files(self._paths(), PRICE_LAYOUT, only=("date", "symbol")).joined(self.symbols)

    @cached_property
    def _universe(self) -> FileTable | None:
        """Who could be chosen when; None: there is no such file, so all can be."""
        paths = find_files(self.folder, "universe", "universe")
        return read_universe(paths, self._names()) if paths else None

    def _names(self) -> Sequence[str]:
        return list(self._symbols.frame["symbol"].cat.categories)

    def _symbols_found(self) -> Iterator[Finding]:
        """Name symbols that no file has, and those with too few bars; raises `MarketError` if there are no others."""
        names = self._bars.frame["symbol"].cat.categories
        missing = [symbol for symbol in self.symbols if symbol not in names]
        if missing and len(missing) == len(self.symbols):
            raise UnknownSymbolError(
                f"{self.folder}: expected symbols of the files, got {listed(missing, MOST)}, none of which is one: "
                f"they have {listed(list(names), MOST)}; correct BRAIN_SYMBOLS, or add data."
            )
        n_bars = self._bars.frame["symbol"].value_counts()
        n_bars = n_bars.reindex(self.symbols or names).dropna().astype(int)
        short = [f"{symbol} ({count})" for symbol, count in n_bars.items() if count < MIN_HISTORY_SESSIONS]
        if len(short) == len(n_bars):
            raise TableError(
                f"{self.folder}: expected at least {MIN_HISTORY_SESSIONS} bars of a symbol, got "
                f"{listed(short, MOST) or 'none'}; add data."
            )
        members = set() if self._universe is None else set(self._universe.frame["symbol"].cat.categories)
        yield from _named(missing, "symbol that was asked for is in no file", "symbols asked for are in no file")
        of = "of the universe without prices in any file"
        yield from _named(sorted(members - set(self._names())) if members else [], f"member {of}", f"members {of}")
        few = f"with fewer than {MIN_HISTORY_SESSIONS} bars in all files"
        yield from _named(short, f"symbol {few}", f"symbols {few}")

    def _paths(self) -> list[Path]:
        paths = find_files(self.folder, "prices", "price")
        if not paths:
            raise MarketError(
                f"{self.folder}: expected at least one file of prices (.csv, .txt, .tsv, also with .gz, or .parquet), "
                f"got none; add one with the columns {', '.join(PRICE_TABLE.names)}."
            )
        return paths


def open_market(settings: Settings) -> FilesMarket:
    """Open the market of some settings; nothing is read."""
    if settings.files_dir is None:
        raise MarketError("BRAIN_FILES_DIR: expected a folder for the market files, got nothing; set it.")
    memory = settings.data_dir / "cache" / "files.json"
    return FilesMarket(settings.files_dir, settings.symbols, memory, adjust_splits=settings.adjust_splits)


def _named(symbols: list[str], one: str, several: str) -> Iterator[Finding]:
    if symbols:
        what = one if len(symbols) == 1 else several
        yield Finding("symbols_found", listed(symbols, MOST), what, n_rows=len(symbols))


def _marked(found: Observation, name: str, marks: Mapping[int, str]) -> Observation:
    """Let the prices of each year have another version where something that is no row of theirs is another."""
    prices = {year: f"{version}, {name} {marks[year]}" for year, version in found.versions["raw_prices"].items()}
    files = {year: {**sums, name: marks[year]} for year, sums in found.files["raw_prices"].items()}
    return found._replace(versions={**found.versions, "raw_prices": prices}, files={**found.files, "raw_prices": files})
