"""What is read of users' files, whatever they hold, and what is refused, by file, line and column."""

from pathlib import Path

import numpy as np
import pandas as pd
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from brain_assets.errors import TableError
from brain_assets.market.schema import COUNT, DAY, NUMBER, TEXT
from brain_assets.market.table_files import MOMENT, read_files, refuse_duplicates

LAYOUT = {"day": DAY, "moment": MOMENT, "name": TEXT, "number": NUMBER, "count": COUNT}
HEADER = ",".join(LAYOUT)
LINE = "2024-06-14,2024-06-14T16:00:00-04:00,NA,1.5,3"
ROW = ("2024-06-14", "2024-06-14T20:00:00+00:00", "NA", 1.5, 3.0)


def write(folder: Path, *lines: str, name: str = "some.csv", encoding: str = "utf-8") -> Path:
    (folder / name).write_text("\n".join(lines) + "\n", encoding=encoding)
    return folder / name


def parquet(folder: Path, **columns: pa.Array) -> Path:
    """One row of a table in Parquet, with other columns than usual."""
    usual = {"day": pa.array([pd.Timestamp(ROW[0])]), "moment": pa.array([pd.Timestamp(ROW[1])])}
    usual |= {"name": pa.array(["NA"]), "number": pa.array([1.5]), "count": pa.array([3])}
    pq.write_table(pa.table(usual | columns), folder / "some.parquet")
    return folder / "some.parquet"


def rows(*paths: Path) -> list[tuple[object, ...]]:
    found = read_files(paths, LAYOUT)
    assert [str(kind) for kind in found.dtypes[:5]] == [DAY, MOMENT, "str", "float64", "float64"]
    days, moments = found["day"].dt.strftime("%Y-%m-%d"), (moment.isoformat() for moment in found["moment"])
    return list(zip(days, moments, found["name"], found["number"], found["count"], strict=True))


def refusal(*paths: Path) -> str:
    with pytest.raises(TableError) as caught:
        read_files(paths, LAYOUT)
    return str(caught.value)


def test_csv_and_parquet_files_are_one_table(tmp_path: Path) -> None:
    found = read_files([write(tmp_path, HEADER, LINE), parquet(tmp_path)], LAYOUT)
    assert rows(write(tmp_path, HEADER, LINE), parquet(tmp_path)) == [ROW, ROW]
    assert found[["source", "position"]].to_numpy().tolist() == [["some.csv, line", 2], ["some.parquet, row", 1]]
    assert read_files([tmp_path / "some.csv"], LAYOUT, only="day").columns.tolist() == ["day", "source", "position"]


def test_further_columns_their_order_and_a_byte_order_mark_do_not_matter(tmp_path: Path) -> None:
    values = LINE.split(",")
    lines = (",".join([*HEADER.split(",")[::-1], " note "]), ",".join([*values[::-1], "x"]))
    assert rows(write(tmp_path, *lines, encoding="utf-8-sig")) == [ROW]


def test_each_row_counts_as_one_where_a_file_has_no_counts(tmp_path: Path) -> None:
    assert rows(write(tmp_path, HEADER.removesuffix(",count"), LINE.removesuffix(",3"))) == [(*ROW[:4], 1.0)]


@pytest.mark.parametrize("nothing", ["", "NaN", "null", " n/a "])
def test_a_number_may_be_unknown(tmp_path: Path, nothing: str) -> None:
    assert np.isnan(rows(write(tmp_path, HEADER, LINE.replace("1.5", nothing)))[0][3])  # type: ignore[call-overload]


def test_blank_lines_are_skipped_but_counted_and_a_record_may_have_several_lines(tmp_path: Path) -> None:
    quoted = LINE.replace("NA", '"Up, ""and\naway"""')
    path = write(tmp_path, HEADER, "", LINE, ",,,,", quoted, LINE.replace("1.5", "abc"))
    assert refusal(path) == (
        "some.csv, line 7, column number: expected a number, got abc; correct the value or remove the row."
    )
    assert rows(write(tmp_path, HEADER, quoted))[0][2] == 'Up, "and\naway"'


@pytest.mark.parametrize("kind", [pa.date32(), pa.timestamp("ns"), pa.timestamp("ms")])
def test_parquet_days_may_have_any_type_without_a_zone(tmp_path: Path, kind: pa.DataType) -> None:
    names = pa.array(["NA"]).dictionary_encode()
    assert rows(parquet(tmp_path, day=pa.array([pd.Timestamp(ROW[0])]).cast(kind), name=names)) == [ROW]


def test_a_moment_never_becomes_an_earlier_one(tmp_path: Path) -> None:
    moment = pd.Timestamp("2024-06-14 20:00:00.000000001", tz="Asia/Tokyo")
    later = pa.array([moment.value], pa.int64()).cast(pa.timestamp("ns", "Asia/Tokyo"))
    assert rows(parquet(tmp_path, moment=later))[0][1] == "2024-06-14T11:00:00.000001+00:00"


DAY_RULE, MOMENT_RULE = "a day as YYYY-MM-DD", "a time with its zone, as 2024-06-10T16:00:00-04:00"
WRONG = [
    *(("day", text, DAY_RULE) for text in ("06/10/2020", "2020-02-30", "20200610", "2020-06-10 16:00", "")),
    *(("moment", text, MOMENT_RULE) for text in ("2024-06-14T16:00:00", "2024-06-14", "2024-06-14Z", "16:00Z", "")),
    *(("moment", text, MOMENT_RULE) for text in ("2024-06-14 16:00 EST", "2024-13-14T16:00:00Z", "1718373600")),
    *((name, "abc", "a number") for name in ("number", "count")),
]


@pytest.mark.parametrize(("column", "text", "expected"), WRONG)
def test_a_wrong_value_is_named_by_file_line_and_column(tmp_path: Path, column: str, text: str, expected: str) -> None:
    values = [text if name == column else value for name, value in zip(LAYOUT, LINE.split(","), strict=True)]
    assert refusal(write(tmp_path, HEADER, LINE, ",".join(values))) == (
        f"some.csv, line 3, column {column}: expected {expected}, got {text or 'nothing'}; correct the value or remove "
        "the row."
    )


@pytest.mark.parametrize(
    ("column", "values", "sentence"),
    [
        ("day", pa.array([pd.Timestamp(ROW[1])]), "days in New York, no zone, got timestamp[us, tz=UTC]"),
        ("day", pa.array(["2024-06-14"]), "days in New York, no zone, got string"),
        ("moment", pa.array([pd.Timestamp(ROW[0])]), "timestamps with a zone, got timestamp[us]"),
        ("name", pa.array([7]), "text, got int64"),
        ("number", pa.array(["1.5"]), "numbers, got string"),
    ],
)
def test_a_parquet_column_of_another_type_is_named(
    tmp_path: Path, column: str, values: pa.Array, sentence: str
) -> None:
    assert refusal(parquet(tmp_path, **{column: values})) == (
        f"some.parquet, column {column}: expected {sentence}; convert the column."
    )


def test_missing_columns_are_named_before_anything_is_read(tmp_path: Path) -> None:
    path = write(tmp_path, HEADER.replace("number", "Number"), "no day")
    expected = "some.csv: expected the columns day, moment, name, number, got day, moment, name, Number, count"
    assert refusal(path) == f"{expected} (missing: number); rename or add them."
    assert "got none (missing: day, moment, name, number)" in refusal(write(tmp_path, ""))


def test_files_that_are_none_of_their_kind_are_named(tmp_path: Path) -> None:
    assert refusal(write(tmp_path, HEADER, LINE + ",4")) == (
        "some.csv, line 2: expected 5 values as in line 1, got 6; correct the line."
    )
    assert refusal(write(tmp_path, HEADER, "\u00ff", encoding="latin-1")).startswith(
        "some.csv: expected comma-separated text in UTF-8, got "
    )
    assert refusal(write(tmp_path, "day", name="some.parquet")).startswith("some.parquet: expected a Parquet file, got")


def test_a_second_row_of_a_key_is_named_with_the_first(tmp_path: Path) -> None:
    found = read_files([write(tmp_path, HEADER, LINE), parquet(tmp_path)], LAYOUT)
    with pytest.raises(TableError) as caught:
        refuse_duplicates(found, ["day", "name"])
    assert str(caught.value) == (
        "some.parquet, row 1, columns day and name: expected one row a day and name, got a second for 2024-06-14 NA "
        "(the first: some.csv, line 2); remove one of them."
    )
