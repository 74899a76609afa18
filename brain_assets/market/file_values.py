"""Columns of files as days, moments and numbers, each with the rows whose value is none.

What is written the same way is read once, since days and symbols repeat. A column of numbers is read at one go; only
where that fails its texts are looked at one by one.
"""

import re
from collections.abc import Mapping
from contextlib import suppress
from typing import NamedTuple

import numpy as np
import pandas as pd
import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.types as pat

from brain_assets.arrays import BoolArray, IntArray
from brain_assets.errors import TableError
from brain_assets.market.schema import DAY, TEXT
from brain_assets.market.sheets import Sheet

MOMENT = "datetime64[us, UTC]"
"""Kind of a column of times, in a file of any zone; rounded up: a moment never becomes an earlier one."""

SPARE = "float64, if it is there"  # kind of a column of numbers that a file need not have

_NOTHING = ("", "nan", "na", "n/a", "null", "none")
"""How files write that a number is not known, in any case. Excel's errors are none of it."""

A_DAY = "a day as YYYY-MM-DD"
A_MOMENT = "a time with its zone, as 2024-06-10T16:00:00-04:00"
_MOMENT = r"\d{4}-\d{2}-\d{2}[T ]\d{2}:\d{2}(:\d{2}(\.\d{1,9})?)?\s*(Z|UTC|GMT|[+-]\d{2}(:?\d{2})?)"
_ZONE = r"\s*(?:Z|UTC|GMT|[+-]\d{2}(?::?\d{2})?)?$"
_MIDNIGHT = rf"[T ]0?0:00(?::00(?:\.0+)?)?{_ZONE}|(?<=^\d{{4}}-\d{{2}}-\d{{2}}){_ZONE}"
_FORMS = (
    (r"\d{4}-\d{2}-\d{2}", "%Y-%m-%d"),
    (r"\d{8}", "%Y%m%d"),
    (r"\d{4}/\d{1,2}/\d{1,2}", "%Y/%m/%d"),
    (r"\d{1,2}-[A-Za-z]{3}-\d{4}", "%d-%b-%Y"),
    (r"[A-Za-z]{3} \d{1,2}, \d{4}", "%b %d, %Y"),
)
"""How a day may be written so that its order is clear."""
_OPEN = r"(\d{1,2})([/.-])(\d{1,2})[/.-](\d{4})"
_UNITS = ((10**17, "ns"), (10**14, "us"), (10**11, "ms"), (0, "s"))
"""From which size on a number counts what since 1970."""
_LARGEST = 9 * 10**18 - 1024  # of such numbers, also where they are floats
_COUNT = r"-?(?:\d{1,18}|[1-8]\d{18})"
_DIGITS = r"(?:19|20)\d{4}(?:0[1-9]|[12]\d|3[01])"
"""A day as eight digits; seconds at a midnight end in 00. One such day, and a longer number beside it is a slip."""

_EXPONENT, _LIMITLESS = r"(?:[eE][+-]?\d+)?", r"[+-]?(?:inf|infinity|nan)"
_POINT = rf"[+-]?(?:\d+|[1-9]\d{{0,2}}(?:,\d{{3}})+)?(?:\.\d*)?{_EXPONENT}"
_COMMA = rf"[+-]?(?:\d+|[1-9]\d{{0,2}}(?:\.\d{{3}})+)?(?:,\d*)?{_EXPONENT}"


Key = tuple[str, int]  # a column, and which of the file's that are named so


class Parsed(NamedTuple):
    """A column of one kind."""

    values: pd.Series
    wrong: BoolArray  # rows that hold something else; their day is given if it is known all the same
    expected: str


def parse_cells(
    sheet: Sheet,
    titles: Mapping[str, str],
    cells: Mapping[Key, pa.ChunkedArray],
    kinds: Mapping[str, str],
    rows: IntArray,
) -> dict[Key, Parsed]:
    """Read cells as the kinds of their columns; `titles` and `rows`: what the file calls them. Raises `TableError`."""
    readers = {DAY: parse_days, MOMENT: parse_moments, TEXT: parse_texts}
    numbers = {key: column for key, column in cells.items() if kinds[key[0]] not in readers}
    parsed = {}
    for key in [key for key in cells if key not in numbers]:
        try:
            parsed[key] = readers[kinds[key[0]]](cells[key])
        except pa.ArrowException as error:
            what = f"{sheet.name}, column {titles[key[0]]}: expected texts, got {cells[key].type}"
            raise TableError(f"{what}; write it as text.") from error
    try:
        return parsed | parse_numbers(numbers, decimal_comma=sheet.separator in (";", "\t"))
    except TwoWays as error:
        (name, _), found = error.args
        both = " and ".join(f"{text} ({sheet.place} {rows[row]})" for row, text in found)
        raise TableError(
            f"{sheet.name}, column {titles[name]}: expected one way to write numbers, got two, {both}; write all of "
            "them with a decimal point, or all with a decimal comma."
        ) from None


class TwoWays(Exception):  # noqa: N818 - caught where the file is known, and said there
    """Numbers are written in two ways: by the column's key, the row and the text of each, in the order of the rows."""


def _texts(column: pa.ChunkedArray) -> pa.Array:
    """Give a column of text of any type as strings without blanks around them."""
    plain = column.combine_chunks() if isinstance(column, pa.ChunkedArray) else column
    plain = plain.dictionary_decode() if pat.is_dictionary(plain.type) else plain
    return pc.utf8_trim_whitespace(plain.cast(pa.string()))


def _is_text(kind: pa.DataType) -> bool:
    """Say whether a column holds texts."""
    inner = kind.value_type if pat.is_dictionary(kind) else kind
    return bool(pat.is_string(inner) or pat.is_large_string(inner) or pat.is_string_view(inner))


def parse_texts(column: pa.ChunkedArray) -> Parsed:
    """Read texts as categories; a row without one has none. Raises `pyarrow.ArrowException` for other types."""
    written = _texts(column)
    found = pc.if_else(pc.equal(written, ""), pa.scalar(None, pa.string()), written).dictionary_encode()
    codes = found.indices.fill_null(-1).to_numpy(zero_copy_only=False)
    values = pd.Categorical.from_codes(codes, pd.Index(found.dictionary.to_pylist(), dtype="str"))
    return Parsed(pd.Series(values), np.zeros(len(codes), dtype=bool), "a text")


def parse_days(column: pa.ChunkedArray) -> Parsed:
    """Read days: the day that is written counts, whatever its zone; a time other than midnight is none."""
    expected = A_DAY
    if _is_text(column.type):
        with suppress(pa.ArrowInvalid):  # all written as ISO has it
            days = pd.Series(_texts(column).cast(pa.date32()).to_numpy(zero_copy_only=False).astype("datetime64[us]"))
            return Parsed(days, days.isna().to_numpy(), A_DAY)
        written = parse_texts(column).values.cat
        distinct = pd.Series([*written.categories, None], dtype="str")  # the last is what -1 stands for
        values, expected = _written_days(distinct)
        values = values.to_numpy()[written.codes]
    elif pat.is_timestamp(column.type) or pat.is_date(column.type):
        moments = _four_digits(column).to_pandas(date_as_object=False)
        values = moments.dt.tz_localize(None).dt.as_unit("us").to_numpy()
    elif pat.is_integer(column.type) or pat.is_float64(column.type):  # a shorter one rounds 20180103 to 20180104
        numbers = column.to_pandas()
        whole = numbers.where((numbers % 1 == 0) & numbers.between(-_LARGEST, _LARGEST))
        written_days, expected = _written_days(whole.astype("Int64").astype("str"))
        values = written_days.to_numpy()
    else:
        values = np.full(len(column), "NaT", "datetime64[us]")
    days = values.astype("datetime64[D]").astype("datetime64[us]")
    return Parsed(pd.Series(days), values != days, expected)  # NaT is not NaT


def _four_digits(column: pa.ChunkedArray) -> pa.Array:
    """Give days or moments; none of years beyond 9998, such as of nanoseconds that were stored as microseconds."""
    years = column.to_numpy().astype("datetime64[Y]")
    far = (years < np.datetime64("0002")) | (years > np.datetime64("9998"))
    return pc.if_else(pa.array(far), pa.scalar(None, column.type), column.combine_chunks())


def _written_days(written: pd.Series) -> tuple[pd.Series, str]:
    """Read texts; what is no day is NaT, what has a time keeps it. Days and months in an open order are none."""
    bare = written.str.replace(_MIDNIGHT, "", regex=True)
    values = pd.Series(pd.NaT, index=written.index, dtype="datetime64[us]")
    is_count = bare.str.fullmatch(_COUNT)
    if (is_count & (bare.str.len() > 8)).any() and not bare.str.fullmatch(_DIGITS).any():
        numbers = pd.to_numeric(bare.where(is_count), dtype_backend="numpy_nullable")
        size = int(numbers.abs().max())
        unit = next(name for least, name in _UNITS if size >= least)
        counted = pd.to_datetime(numbers, unit=unit, errors="coerce").astype("datetime64[us]")
        at_midnight = counted == counted.dt.normalize()  # of others the unit may be another, and so the day
        return counted.where(at_midnight), f"{A_DAY}, or midnight UTC"
    for pattern, form in _FORMS:
        values = values.fillna(_read(bare, pattern, form))
    with_time = written.where(values.isna()).str.extract(r"^(\d{4}-\d{2}-\d{2})[T ](\d{2}:\d{2})", expand=True)
    values = values.fillna(_read(with_time[0] + " " + with_time[1], r".*", "%Y-%m-%d %H:%M"))
    parts = bare.str.extract(rf"^{_OPEN}$", expand=True)
    if parts[0].isna().all():
        return values, A_DAY
    is_month = [pd.to_numeric(parts[place]).max() <= 12 for place in (0, 2)]
    if is_month[0] == is_month[1]:
        return values, f"{A_DAY}, since it is open whether the day or the month comes first"
    form = "%m/%d/%Y" if is_month[0] else "%d/%m/%Y"
    ordered = parts[0] + "/" + parts[2] + "/" + parts[3]
    return values.fillna(_read(ordered, r".*", form)), A_DAY


def _read(written: pd.Series, pattern: str, form: str) -> pd.Series:
    fitting = written.where(written.str.fullmatch(pattern))
    return pd.to_datetime(fitting, format=form, errors="coerce").dt.as_unit("us")


def parse_moments(column: pa.ChunkedArray) -> Parsed:
    """Read moments with a zone, in UTC; rounded up: a moment never becomes an earlier one."""
    if pat.is_timestamp(column.type) and column.type.tz is not None:
        values = _four_digits(column).to_pandas()
    elif _is_text(column.type):
        written = _texts(column).to_pandas().astype("str")
        zoned = written.where(written.str.fullmatch(_MOMENT)).str.replace(r"\s*(Z|UTC|GMT)$", "+00:00", regex=True)
        values = pd.to_datetime(zoned, format="ISO8601", utc=True, errors="coerce")
    else:
        values = pd.Series(pd.NaT, index=range(len(column)), dtype="datetime64[us, UTC]")
    moments = values.dt.tz_convert("UTC").dt.ceil("us").dt.as_unit("us")
    return Parsed(moments, moments.isna().to_numpy(), A_MOMENT)


def parse_numbers(columns: Mapping[Key, pa.ChunkedArray], decimal_comma: bool) -> dict[Key, Parsed]:
    """Read the columns of numbers of one file, which are written in one way; raises `TwoWays`.

    `decimal_comma`: what a comma or a point before three digits is taken for where no other number decides it.
    """
    parsed, written = {}, {}
    for key, column in columns.items():
        kind = column.type
        if _is_text(kind):
            found = _texts(column)
            nothing = pc.is_in(pc.utf8_lower(found), pa.array(_NOTHING))
            written[key] = pc.if_else(nothing, pa.scalar(None, pa.string()), found)
        elif pat.is_integer(kind) or pat.is_floating(kind) or pat.is_decimal(kind) or pat.is_null(kind):
            parsed[key] = _numbers(column.cast(pa.float64(), safe=False))
        else:
            parsed[key] = _numbers(pa.nulls(len(column), pa.float64()), np.ones(len(column), dtype=bool))
    try:
        return parsed | {key: _numbers(column.cast(pa.float64())) for key, column in written.items()}
    except pa.ArrowInvalid:
        comma = _is_comma(written, decimal_comma)
        return parsed | {key: _one_by_one(column, comma) for key, column in written.items()}


def _numbers(values: pa.Array, wrong: BoolArray | None = None) -> Parsed:
    numbers = pd.Series(values.to_pandas(), dtype="float64")
    return Parsed(numbers, np.zeros(len(numbers), dtype=bool) if wrong is None else wrong, "a number")


def _is_comma(written: Mapping[Key, pa.Array], decimal_comma: bool) -> bool:
    """Decide whether the comma is the decimal sign; raises `TwoWays` if some numbers say so and others not."""
    first: dict[bool, tuple[int, str, Key]] = {}  # whether the comma is the sign -> where a number says so
    unsure: dict[bool, tuple[int, str, Key]] = {}
    for key, column in written.items():
        is_point, is_comma = _matches(column, _POINT), _matches(column, _COMMA)
        for comma, fits, sign in ((True, is_comma & ~is_point, ","), (False, is_point & ~is_comma, ".")):
            with_sign = pc.fill_null(pc.match_substring(column, sign), False).to_numpy(zero_copy_only=False)
            for found, rows in ((first, fits), (unsure, is_comma & is_point & with_sign)):
                if comma not in found and rows.any():
                    row = int(np.argmax(rows))
                    found[comma] = row, column[row].as_py(), key
    decided = first or unsure
    if len(decided) > 1 and (first or decimal_comma):
        raise TwoWays(decided[False][2], sorted((row, text) for row, text, _ in decided.values()))
    return next(iter(first)) if first else decimal_comma and True in unsure


def _matches(column: pa.Array, pattern: str) -> BoolArray:
    fits = pc.match_substring_regex(column, rf"^(?:{pattern})$")
    digits = pc.match_substring_regex(column, r"\d")
    return pc.fill_null(pc.and_(fits, digits), False).to_numpy(zero_copy_only=False)


def _one_by_one(column: pa.Array, comma: bool) -> Parsed:
    """Read what is a number; tells which rows hold something else."""
    fits = _matches(column, _COMMA if comma else _POINT)
    other = pc.fill_null(pc.match_substring_regex(column, rf"(?i)^{_LIMITLESS}$"), False).to_numpy(zero_copy_only=False)
    plain = pc.replace_substring(column, "." if comma else ",", "")
    plain = pc.replace_substring(plain, ",", ".") if comma else plain
    values = pc.if_else(pa.array(fits | other), plain, pa.scalar(None, pa.string())).cast(pa.float64())
    return _numbers(values, ~(fits | other) & column.is_valid().to_numpy(zero_copy_only=False))


def text_at(column: pa.ChunkedArray, row: int) -> str:
    """Give what stands in a row, for a message; without blanks around it."""
    try:
        value = column[row].as_py()
    except (OverflowError, ValueError):  # beyond what Python calls a time
        value = column[row].value
    return "nothing" if value is None or not str(value).strip() else re.sub(r"\s+", " ", str(value)).strip()


def is_blank(column: pa.ChunkedArray) -> BoolArray:
    """Say of which rows nothing is written, (n_rows,)."""
    nothing = pc.equal(_texts(column), "") if _is_text(column.type) else column.is_null()
    return pc.fill_null(nothing, True).to_numpy(zero_copy_only=False)
