"""The user's files: which there are, and each opened as columns that are not yet read, whatever wrote it.

Text files (``.csv``, ``.txt``, ``.tsv``, packed with gzip or not) are UTF-8, or UTF-16 with its mark; what separates
the columns is the tab, semicolon, bar or comma that the first line has most of, or what a line ``sep=;`` before says.
Lines with nothing in them are skipped, but counted; a record of several lines, with a quoted text in it, has the number
of its last line. Names of columns are compared without case, blanks, ``_``, ``.``, ``<`` and ``>``; a wide table has
two levels of them. The rules stand in ``docs/your-own-data.md``.
"""

import ast
import codecs
import csv
import gzip
import io
import re
import zlib
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from typing import NamedTuple

import numpy as np
import pyarrow as pa
import pyarrow.csv as pacsv
import pyarrow.parquet as pq

from brain_assets.arrays import IntArray
from brain_assets.errors import MarketError, TableError
from brain_assets.formatting import listed

csv.field_size_limit(2**31 - 1)  # a quote that is never closed takes in the rest of a file, which is then refused

MOST = 10  # so many rows, files or symbols are named, and the rest is counted
OTHERS = ("news_sentiment", "headlines", "fundamentals", "universe")
"""How the names of files begin that are none of prices."""

_ENDING = re.compile(r"\.((csv|txt|tsv)(\.gz)?|parquet)$", re.IGNORECASE)
_KINDS = (
    (re.compile(rb"PK\x03\x04|\xd0\xcf\x11\xe0"), "an Excel workbook", "save it as CSV"),
    (re.compile(rb"(?i)\s*<(!doctype\s+)?(html|head|body|\?xml|!--)"), "a web page (HTML)", "download it again"),
    (re.compile(rb"\s*[{\[]"), "JSON", "save it as CSV"),
    (re.compile(rb"PAR1"), "a Parquet file", "let its name end in .parquet"),
)
"""How files begin that are no tables of text, what they are, and what to do."""


def is_table(path: Path) -> bool:
    """Say whether a file is one that is read, by its name."""
    return _ENDING.search(path.name) is not None and not path.name.startswith((".", "~"))


def find_files(folder: Path, name: str) -> list[Path]:
    """Give the files of one kind, in the folder and one level below, sorted; raises `MarketError` without a folder.

    Those of ``prices`` are all whose names do not begin like one of `OTHERS`.
    """
    if not folder.is_dir():
        raise MarketError(f"{folder}: expected a folder with data files, got no such folder; create it.")
    tables = [path for pattern in ("*", "*/*") for path in folder.glob(pattern) if is_table(path) and path.is_file()]
    begins = OTHERS if name == "prices" else (name,)
    return sorted(path for path in tables if path.name.lower().startswith(begins) is not (name == "prices"))


# Names of columns

PRICES = ("open", "high", "low", "close")
ADJUSTED = {name: f"adj_{name}" for name in (*PRICES, "volume")}
"""A column -> the same, adjusted for splits and dividends."""

_CHOICES = {
    "date": ("date", "datetime", "timestamp", "day"),
    "symbol": ("symbol", "ticker", "tic", "stock", "name"),
    "from": ("from", "start", "startdate", "added", "dateadded"),
    "to": ("to", "end", "enddate", "removed", "dateremoved"),
}
"""A column -> the names that it may have, the first of which counts."""

_SAME = {"vol": "volume", "splitcoefficient": "split", "splitfactor": "split"} | {
    written: f"adj{name}"
    for name in ADJUSTED
    for written in (f"adjusted{name}", f"{name}adj", f"{name}adjusted")
}  # fmt: skip
_OF_PRICES = {*ADJUSTED, *(f"adj{name}" for name in ADJUSTED), "dividends", "stocksplits", "capitalgains", "repaired?"}
_PAIR = re.compile(r"\('[^'\\]*', '[^'\\]*'\)")  # as pandas writes two levels into Parquet: ('Close', 'AAA')

_SHAPES = (
    ("Stooq", {"per", "openint", "ticker"}),
    ("Alpha Vantage", {"timestamp", "adjclose", "split"}),
    ("Tiingo", {"adjopen", "divcash", "split"}),
    ("yfinance", {"dividends", "stocksplits"}),
    ("Yahoo", {"date", "adjclose"}),
    ("Alpha Vantage", {"timestamp", "volume"}),
    ("FinRL", {"tic", "day"}),
)

Roles = Mapping[str, list[int]]
"""A column -> the places where a file has it; where there are several, their values must be the same."""


class Header(NamedTuple):
    """The names of a file's columns."""

    names: tuple[str, ...]
    tickers: tuple[str, ...] = ()  # of a wide table: the symbol of each column; empty for those that are of all
    n_lines: int = 1

    @property
    def shape(self) -> str:
        """Which tool writes such columns, in a word, if that is known."""
        found = {*map(canonical, self.names)}
        known = (tool for tool, columns in _SHAPES if columns <= found)
        return "yfinance" if self.tickers else next(known, "table")


def canonical(name: str) -> str:
    """Give what a name is compared by; ``1. open`` is open."""
    plain = re.sub(r"[\s_.<>]", "", re.sub(r"^\d+\.\s", "", name)).lower()
    return _SAME.get(plain, plain)


def _read_header(lines: Sequence[Sequence[str]]) -> Header:
    """Read the first lines of a text file, as they are split into cells: one of names, or two levels of them."""
    first, *others = [[cell.strip() for cell in line] for line in lines] or [[]]
    if not others or len(others[0]) != len(first) or others[0][0][:1].isdigit():
        return Header(tuple(first))
    n_lines = 3 if len(others) > 1 and not any(others[1][1:]) and not others[1][0][:1].isdigit() else 2
    return _two_levels(first, others[0], n_lines)


def _read_names(names: Sequence[str]) -> Header:
    """Read the names of a Parquet file's columns."""
    pairs = [ast.literal_eval(name) if _PAIR.fullmatch(name) else (name, "") for name in names]
    days = [place for place, (_, ticker) in enumerate(pairs) if not ticker]  # the index, where pandas puts it last
    if len(days) != 1 or len(pairs) == 1:
        return Header(tuple(names))
    found = _two_levels([first for first, _ in pairs], [second for _, second in pairs], 0, days[0])
    return found if found.tickers else Header(tuple(names))


def _two_levels(first: Sequence[str], second: Sequence[str], n_lines: int, day: int = 0) -> Header:
    """Take one of two lines for prices and the other for symbols, or the first for names. `day`: where the days are."""
    for names, tickers in ((first, second), (second, first)):
        found = {canonical(name) for place, name in enumerate(names) if place != day}
        symbols = [text for place, text in enumerate(tickers) if place != day]
        are_symbols = all(re.fullmatch(r"[A-Za-z^][\w.^=&/-]*|\d+\.[A-Za-z]+", text) for text in symbols)
        if {"close"} <= found <= _OF_PRICES and are_symbols:
            levels = (*names[:day], "date", *names[day + 1 :]), (*tickers[:day], "", *tickers[day + 1 :])
            return Header(*levels, n_lines)
    return Header(tuple(first))


def find_roles(names: Sequence[tuple[int, str]], wanted: Iterable[str]) -> Roles:
    """Find columns by their places and names; those that a file lacks are left out.

    Adjusted prices take the place of those as traded: all four, or else the adjusted close stands beside them.
    """
    places: dict[str, list[int]] = {}
    for place, name in names:
        places.setdefault(canonical(name), []).append(place)
    written = {name: [way for way in _CHOICES.get(name, (canonical(name),)) if way in places] for name in wanted}
    roles = {name: places[ways[0]] for name, ways in written.items() if ways}
    adjusted = {name: roles.pop(other) for name, other in ADJUSTED.items() if other in roles}
    if set(PRICES) <= set(adjusted):
        roles |= adjusted
    elif "close" in adjusted:
        roles[ADJUSTED["close"]] = adjusted["close"]
        roles |= {name: adjusted[name] for name in ("volume",) if name in adjusted}
    if "volume" in adjusted or "close" not in adjusted:  # without an adjusted close all count as they are
        roles.pop("split", None)
    return roles


def symbols_of_names(names: Sequence[str]) -> list[str]:
    """Give the symbol that each file's name has: its longest token in capitals, or what it is called without them.

    A token that all names with some have, such as a vendor's, is taken only where there is no other. Empty: none.
    """
    stems = [_ENDING.sub("", name) for name in names]
    tokens = [_tokens(stem) for stem in stems]
    some = [set(found) for found in tokens if found]
    shared = set.intersection(*some) if len(some) > 1 else set()
    symbols = []
    for stem, found in zip(stems, tokens, strict=True):
        small = re.sub(r"^prices?[\W_]*", "", stem, flags=re.IGNORECASE).upper()
        if not re.search("[A-Z]", small) or stem.lower().startswith(OTHERS):
            small = ""
        symbols.append(max([token for token in found if token not in shared] or found or [small], key=len))
    return symbols


def _tokens(stem: str) -> list[str]:
    """Split a name at ``_`` and blanks, and at ``-`` where what is between them is no symbol such as BRK-B."""
    parts: list[str] = []
    for part in re.split(r"[_\s]+", stem):
        parts += [part] if re.fullmatch(r"[A-Z][A-Z0-9]*-[A-Z]{1,3}", part) else part.split("-")
    known = [part for part in parts if re.fullmatch(r"\^?[A-Z0-9][A-Z0-9.=&-]*", part) and re.search("[A-Z]", part)]
    return [part for part in known if part != "PRICES"]


# Files


class Sheet(NamedTuple):
    """A file whose columns can be read."""

    path: Path
    name: str  # in messages
    header: Header
    place: str  # how messages count its rows: by ``line``, or by ``row`` in Parquet
    data: bytes = b""  # of a text file, as UTF-8
    separator: str = ""
    start: int = 0  # where in the data the rows begin
    first_line: int = 1  # which line that is

    def read(self, columns: Sequence[int]) -> tuple[list[pa.ChunkedArray], IntArray]:
        """Give some columns, those of text files as texts, and the place of each row. Raises `TableError`."""
        if self.place == "row":
            try:
                with pq.ParquetFile(self.path) as file:
                    table = file.read()
            except (pa.ArrowException, OSError) as error:
                raise _no_parquet(self.name, error) from error
            return [table.column(column) for column in columns], np.arange(1, len(table) + 1)
        rows = memoryview(self.data)[self.start :]
        if not bytes(rows[:4096]).strip() and not bytes(rows).strip():
            return [pa.chunked_array([[]], pa.string()) for _ in columns], np.empty(0, np.int64)
        names = [str(place) for place in range(len(self.header.names))]
        chosen = [names[column] for column in columns]
        try:
            table = pacsv.read_csv(
                pa.BufferReader(rows),
                pacsv.ReadOptions(use_threads=False, block_size=min(len(rows) + 1, 2**31 - 1), column_names=names),
                pacsv.ParseOptions(
                    delimiter=self.separator, newlines_in_values=True, invalid_row_handler=lambda _: "skip"
                ),
                pacsv.ConvertOptions(include_columns=chosen, column_types=dict.fromkeys(chosen, pa.string())),
            )
        except pa.ArrowInvalid as error:
            raise _no_text(self.name) from error
        return [table[name] for name in chosen], self._lines(len(table))

    def _lines(self, n_rows: int) -> IntArray:
        """Give the line of each row; raises `TableError` if lines of another length were skipped that are not blank."""
        n_columns, counted = len(self.header.names), self.data.count
        n_lines = counted(b"\n", self.start) + (not self.data.endswith(b"\n"))
        if n_lines == n_rows and counted(b"\r", self.start) == counted(b"\r\n", self.start):  # every line is a row
            return np.arange(self.first_line, self.first_line + n_rows)
        text = io.TextIOWrapper(io.BytesIO(self.data[self.start :]), encoding="utf-8", newline="")
        reader = csv.reader(text, delimiter=self.separator)
        lengths = [
            (self.first_line + reader.line_num - 1, len(cells))
            for cells in reader
            if "".join(cells).strip() or len(cells) == n_columns
        ]
        if wrong := [(line, n_cells) for line, n_cells in lengths if n_cells != n_columns]:
            line, n_cells = wrong[0]
            lines = listed([str(line) for line, _ in wrong], MOST)
            many = f"; {len(wrong)} lines are so ({lines})" if len(wrong) > 1 else ""
            raise TableError(
                f"{self.name}, line {line}: expected {n_columns} values as in line {self.first_line - 1}, got {n_cells}"
                f"{many}; correct the line{'s' if many else ''}."
            )
        if len(lengths) != n_rows:
            raise TableError(f"{self.name}: expected quotes around whole values, got others; correct them.")
        return np.array([line for line, _ in lengths])


def open_sheet(path: Path, name: str) -> Sheet:
    """Open a file; raises `TableError` if it is no table."""
    if path.suffix.lower() == ".parquet":
        try:
            return Sheet(path, name, _read_names(pq.read_schema(path).names), "row")
        except (pa.ArrowException, OSError) as error:
            raise _no_parquet(name, error) from error
    data = _decoded(path, name)
    found = []  # the first lines with something in them: text, number, and where the next one begins
    for number, line in enumerate(re.finditer(rb"([^\r\n]*)(\r\n|\r|\n|$)", data), start=1):
        if line[1].strip():
            try:
                found.append((line[1].decode(), number, line.end()))
            except UnicodeDecodeError as error:
                raise _no_text(name) from error
        if len(found) == 4 or line.end() == len(data):
            break
    separator = ","
    if found and (told := re.fullmatch(r"sep=([\t!#-~])\s*", found[0][0], re.IGNORECASE)):
        separator, found = told[1], found[1:]
    elif found:
        separator = max("\t;|,", key=re.sub(r'"[^"]*"', "", found[0][0]).count)
    header = _read_header(list(csv.reader([text for text, *_ in found], delimiter=separator)))
    _, last_line, start = found[header.n_lines - 1] if found else ("", 0, 0)
    return Sheet(path, name, header, "line", data, separator, start, last_line + 1)


def _decoded(path: Path, name: str) -> bytes:
    """Give a text file as UTF-8 without its mark; raises `TableError` if it is something else."""
    try:
        data = path.read_bytes()
        if data.startswith(b"\x1f\x8b"):
            data = gzip.decompress(data)
        if data.startswith((codecs.BOM_UTF16_LE, codecs.BOM_UTF16_BE)):
            data = data.decode("utf-16").encode()
    except (OSError, EOFError, zlib.error) as error:
        raise TableError(f"{name}: expected a whole file, got {error}; write it again.") from error
    except UnicodeDecodeError as error:
        raise _no_text(name) from error
    data = data.removeprefix(codecs.BOM_UTF8)
    for begins, what, advice in _KINDS:
        if begins.match(data):
            raise TableError(f"{name}: expected a table as text, got {what}; {advice}.")
    if b"\0" in data[:4096]:
        raise _no_text(name)
    return data


def _no_text(name: str) -> TableError:
    return TableError(f"{name}: expected text in UTF-8, or in UTF-16 with its mark, got other bytes; save it so.")


def _no_parquet(name: str, error: Exception) -> TableError:
    return TableError(f"{name}: expected a Parquet file, got {error}; write it again.")
