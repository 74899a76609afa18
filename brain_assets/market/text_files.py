"""The user's files: which there are, and each opened as columns that are not yet read, whatever wrote it.

Text files (``.csv``, ``.txt``, ``.tsv``, packed with gzip or not) are UTF-8, or UTF-16 with its mark; what separates
the columns is the tab, semicolon, bar or comma that the first line has most of, or what a line ``sep=;`` before says.
Lines with nothing in them are skipped, but counted; a record of several lines, with a quoted text in it, has the number
of its last line.
"""

import codecs
import csv
import gzip
import io
import re
import zlib
from collections.abc import Sequence
from pathlib import Path
from typing import NamedTuple

import numpy as np
import pyarrow as pa
import pyarrow.csv as pacsv
import pyarrow.parquet as pq

from brain_assets.arrays import IntArray
from brain_assets.check_result import listed
from brain_assets.errors import MarketError, TableError
from brain_assets.market.file_columns import OTHERS, Header, is_table, read_header, read_names

csv.field_size_limit(2**31 - 1)  # a quote that is never closed takes in the rest of a file, which is then refused

MOST = 10  # so many rows, files or symbols are named, and the rest is counted

_KINDS = (
    (re.compile(rb"PK\x03\x04|\xd0\xcf\x11\xe0"), "an Excel workbook", "save it as CSV"),
    (re.compile(rb"(?i)\s*<(!doctype\s+)?(html|head|body|\?xml|!--)"), "a web page (HTML)", "download it again"),
    (re.compile(rb"\s*[{\[]"), "JSON", "save it as CSV"),
    (re.compile(rb"PAR1"), "a Parquet file", "let its name end in .parquet"),
)
"""How files begin that are no tables of text, what they are, and what to do."""


def find_files(folder: Path, name: str) -> list[Path]:
    """Give the files of one kind, in the folder and one level below, sorted; raises `MarketError` without a folder.

    Those of ``prices`` are all whose names do not begin like one of `OTHERS`.
    """
    if not folder.is_dir():
        raise MarketError(f"{folder}: expected a folder with data files, got no such folder; create it.")
    tables = [path for pattern in ("*", "*/*") for path in folder.glob(pattern) if is_table(path) and path.is_file()]
    begins = OTHERS if name == "prices" else (name,)
    return sorted(path for path in tables if path.name.lower().startswith(begins) is not (name == "prices"))


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
                raise TableError(f"{self.name}: expected a Parquet file, got {error}; write it again.") from error
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
        n_columns = len(self.header.names)
        if self.data.count(b"\n", self.start) + (not self.data.endswith(b"\n")) == n_rows:  # every line is a row
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
            return Sheet(path, name, read_names(pq.read_schema(path).names), "row")
        except (pa.ArrowException, OSError) as error:
            raise TableError(f"{name}: expected a Parquet file, got {error}; write it again.") from error
    data = _decoded(path, name)
    lines = _first_lines(data, name)
    separator = ","
    if lines and (told := re.fullmatch(r"sep=([\t!#-~])\s*", lines[0].text, re.IGNORECASE)):
        separator, lines = told[1], lines[1:]
    elif lines:
        separator = max("\t;|,", key=re.sub(r'"[^"]*"', "", lines[0].text).count)
    header = read_header(list(csv.reader([line.text for line in lines], delimiter=separator)))
    last = lines[header.n_lines - 1] if lines else _Line("", 0, 0)
    return Sheet(path, name, header, "line", data, separator, last.end, last.number + 1)


class _Line(NamedTuple):
    text: str
    number: int
    end: int  # where the next one begins


def _first_lines(data: bytes, name: str) -> list[_Line]:
    """Give the first lines with something in them: of all that may come before the rows."""
    found: list[_Line] = []
    for number, line in enumerate(re.finditer(rb"([^\r\n]*)(\r\n|\r|\n|$)", data), start=1):
        if line[1].strip():
            try:
                found.append(_Line(line[1].decode(), number, line.end()))
            except UnicodeDecodeError as error:
                raise _no_text(name) from error
        if len(found) == 4 or line.end() == len(data):
            break
    return found


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
