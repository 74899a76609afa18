"""What is read of users' files, whatever they hold, and what is refused, by file, line and column."""

import datetime
import tempfile
from pathlib import Path

import pandas as pd
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st

from brain_assets.errors import TableError
from brain_assets.market.file_values import MOMENT
from brain_assets.market.schema import COUNT, DAY, NUMBER, TEXT
from brain_assets.market.table_files import read_files

LAYOUT = {"day": DAY, "moment": MOMENT, "name": TEXT, "number": NUMBER, "count": COUNT}
HEADER = ",".join(LAYOUT)
LINE = "2024-06-14,2024-06-14T16:00:00-04:00,NA,1.5,3"
EVER = datetime.date.min, datetime.date.max
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
    found = read_files(paths, LAYOUT).frame
    assert [str(kind) for kind in found.dtypes[:5]] == [DAY, MOMENT, "category", "float64", "float64"]
    days, moments = found["day"].dt.strftime("%Y-%m-%d"), (moment.isoformat() for moment in found["moment"])
    return list(zip(days, moments, found["name"], found["number"], found["count"], strict=True))


def refusal(*paths: Path) -> str:
    with pytest.raises(TableError) as caught:
        read_files(paths, LAYOUT).refuse(*EVER)
    return str(caught.value)


def test_csv_and_parquet_files_are_one_table(tmp_path: Path) -> None:
    found = read_files([write(tmp_path, HEADER, LINE), parquet(tmp_path)], LAYOUT)
    assert rows(write(tmp_path, HEADER, LINE), parquet(tmp_path)) == [ROW, ROW]
    assert [file.name for file in found.files] == ["some.csv", "some.parquet"]
    assert found.frame[["file", "row"]].to_numpy().tolist() == [[0, 2], [1, 1]]


def test_blank_lines_are_skipped_but_counted_and_a_record_may_have_several_lines(tmp_path: Path) -> None:
    quoted = LINE.replace("NA", '"Up, ""and\naway"""')
    path = write(tmp_path, HEADER, "", LINE, ",,,,", quoted, LINE.replace("1.5", "abc"))
    assert refusal(path) == (
        "some.csv, line 7, column number: expected a number, got abc; correct the value or remove the row."
    )
    assert rows(write(tmp_path, HEADER, quoted))[0][2] == 'Up, "and\naway"'


def test_a_moment_never_becomes_an_earlier_one(tmp_path: Path) -> None:
    moment = pd.Timestamp("2024-06-14 20:00:00.000000001", tz="Asia/Tokyo")
    later = pa.array([moment.value], pa.int64()).cast(pa.timestamp("ns", "Asia/Tokyo"))
    assert rows(parquet(tmp_path, moment=later))[0][1] == "2024-06-14T11:00:00.000001+00:00"


DAY_RULE, MOMENT_RULE = "a day as YYYY-MM-DD", "a time with its zone, as 2024-06-10T16:00:00-04:00"
OPEN = f"{DAY_RULE}, since it is open whether the day or the month comes first"
WRONG = {
    "day": dict.fromkeys(("2020-02-30", "43991", "2020-06-10 16:00", ""), DAY_RULE) | {"06/10/2020": OPEN},
    "moment": dict.fromkeys(("2024-06-14T16:00:00", "2024-06-14Z", "2024-13-14T16:00:00Z", "16:00Z", ""), MOMENT_RULE),
    "number": dict.fromkeys(("abc", "#N/A", "1.2.3", "38%", "-"), "a number"),
    "count": {"abc": "a number"},
}


@pytest.mark.parametrize("column", WRONG)
def test_a_wrong_value_is_named_by_file_line_and_column(tmp_path: Path, column: str) -> None:
    for text, expected in WRONG[column].items():
        values = [text if name == column else value for name, value in zip(LAYOUT, LINE.split(","), strict=True)]
        assert refusal(write(tmp_path, HEADER, LINE, ",".join(values))) == (
            f"some.csv, line 3, column {column}: expected {expected}, got {text or 'nothing'}; correct the value or "
            "remove the row."
        )


DAYS = [
    *("2024-06-14 00:00:00", "2024-06-14T00:00:00.000Z", "2024-06-14 00:00:00-04:00", "2024-06-14+09:00", "20240614"),
    *("2024/6/14", "14.06.2024", "6/14/2024", "14-Jun-2024", "Jun 14, 2024", "1718323200", "1718323200000"),
    *("1718323200000000", "1718323200000000000", "6/14/2024 0:00"),
]


@pytest.mark.parametrize("text", DAYS)
def test_a_day_may_be_written_in_any_form_whose_order_is_clear(tmp_path: Path, text: str) -> None:
    line = LINE.split(",", 1)[1]
    assert rows(write(tmp_path, HEADER, f'"{text}",{line}')) == [ROW]
    if text.isdigit():
        assert rows(parquet(tmp_path, day=pa.array([int(text)]))) == [ROW]
    assert rows(parquet(tmp_path, day=pa.array([text]), number=pa.array(["1.5"]))) == [ROW]


@pytest.mark.parametrize(
    ("days", "expected"),
    [
        *((("20180102", slip, "20180104"), DAY_RULE) for slip in ("201801033", "9999999999999999999", "-20180103")),
        *((("1514851200", slip, "1515024000"), "midnight UTC, got 1") for slip in ("1514937600000", "1514937601")),
    ],
)
def test_a_slip_among_days_that_are_numbers_is_refused(tmp_path: Path, days: tuple[str, ...], expected: str) -> None:
    found = read_files([write(tmp_path, "day", *days)], {"day": DAY})
    with pytest.raises(TableError, match=f"column day: expected .*{expected}"):
        found.refuse(datetime.date(2018, 1, 1), datetime.date(2019, 1, 1))


@pytest.mark.parametrize(
    ("column", "values", "sentence"),
    [
        ("day", pa.array([pd.Timestamp(ROW[1])]), f"{DAY_RULE}, got 2024-06-14 20:00:00"),
        ("day", pa.array([True]), f"{DAY_RULE}, got True;"),
        ("day", pa.array([1514851200 * 10**9], pa.timestamp("us")), f"{DAY_RULE}, got 1"),  # nanoseconds
        ("day", pa.array([2**30], pa.int32()).cast(pa.date32()), f"{DAY_RULE}, got 1"),
        ("moment", pa.array([pd.Timestamp(ROW[0])]), f"{MOMENT_RULE}, got 2024-06-14 00:00:00;"),
        ("moment", pa.array([2**62], pa.timestamp("ms", "UTC")), f"{MOMENT_RULE}, got 4"),
        ("number", pa.array([True]), "a number, got True;"),
        ("name", pa.array([["NA"]]), "texts, got list<element: string>; write it as text."),
        ("name", pa.array([b"\xff"]), "texts, got binary; write it as text."),
    ],
)
def test_a_parquet_column_of_another_kind_is_named(
    tmp_path: Path, column: str, values: pa.Array, sentence: str
) -> None:
    row = ", row 1" if column != "name" else ""
    found = refusal(parquet(tmp_path, **{column: values}))
    assert found.startswith(f"some.parquet{row}, column {column}: expected {sentence}")


NUMBERS = {
    ",": {"1.5": 1.5, "+1.5": 1.5, " .5 ": 0.5, "1e-3": 0.001, '"1,234.5"': 1234.5, '"1,234"': 1234.0},
    ";": {"1,5": 1.5, "1.234,5": 1234.5, "1,234": 1.234, "1.234": 1.234},
    "\t": {"12,5": 12.5},
    "|": {"12.5": 12.5},
}


@pytest.mark.parametrize("separator", NUMBERS)
def test_numbers_are_read_by_what_separates_the_columns(tmp_path: Path, separator: str) -> None:
    for text, value in NUMBERS[separator].items():
        line = LINE.replace("1.5", "?").replace(",", separator).replace("?", text)
        assert rows(write(tmp_path, HEADER.replace(",", separator), line))[0][3] == value


def test_a_point_before_three_digits_is_what_the_other_numbers_say(tmp_path: Path) -> None:
    path = write(tmp_path, HEADER.replace(",", ";"), ";".join([*LINE.split(",")[:3], "12,5", "123.456"]))
    assert rows(path)[0][3:] == (12.5, 123456.0)
    path = write(tmp_path, HEADER, LINE, ",".join([*LINE.split(",")[:3], '"1,5"', "3"]))
    assert refusal(path) == (
        "some.csv, column number: expected one way to write numbers, got two, 1.5 (line 2) and 1,5 (line 3); write all "
        "of them with a decimal point, or all with a decimal comma."
    )


def test_of_wrong_rows_ten_are_named_and_all_are_counted(tmp_path: Path) -> None:
    wrong = LINE.replace("1.5", "x")
    lines = [LINE] * 40 + [wrong] * 12
    assert refusal(write(tmp_path, HEADER, *lines)) == (
        "some.csv, line 42, column number: expected a number, got x; 12 rows are so (lines 42, 43, 44, 45, 46, 47, 48, "
        "49, 50, 51 and 2 more); correct the values or remove the rows."
    )
    assert refusal(write(tmp_path, HEADER, *[wrong] * 12)).endswith("; correct the column.")
    others = [write(tmp_path, HEADER, LINE, wrong, name=f"other_{i}.csv") for i in range(3)]
    assert "got x; 2 more in other_1.csv, other_2.csv; correct the values or remove the rows." in refusal(*others)


def test_missing_columns_are_named_before_anything_is_read(tmp_path: Path) -> None:
    path = write(tmp_path, HEADER.replace("number", "figure"), "no day")
    expected = "some.csv: expected the columns day, moment, name, number, got day, moment, name, figure, count"
    assert refusal(path) == f"{expected} (missing: number); rename or add them."
    assert "got none (missing: day, moment, name, number)" in refusal(write(tmp_path, ""))


@pytest.mark.parametrize(
    ("content", "what"),
    [
        (b"PK\x03\x04...", "a table as text, got an Excel workbook; save it as CSV"),
        (b"\n<!DOCTYPE html>\n", "a table as text, got a web page (HTML); download it again"),
        (b'{"Note": "5 calls a minute"}', "a table as text, got JSON; save it as CSV"),
        (b"PAR1", "a table as text, got a Parquet file; let its name end in .parquet"),
        (b"\x1f\x8b\x08\x00", "a whole file, got "),
        (f"{HEADER}\n{LINE}\n".encode("utf-16-le"), "text in UTF-8, or in UTF-16 with its mark, got other bytes"),
        (f"{HEADER}\n{LINE}\n".replace("NA", "\u00e4").encode("latin-1"), "text in UTF-8, or in UTF-16 with its mark"),
    ],
)
def test_files_that_are_none_of_their_kind_are_named(tmp_path: Path, content: bytes, what: str) -> None:
    (tmp_path / "some.csv").write_bytes(content)
    good = write(tmp_path, HEADER, LINE, name="good.csv")
    assert refusal(good, tmp_path / "some.csv").startswith(f"some.csv: expected {what}")


def test_lines_of_another_length_are_named_and_so_is_a_file_that_is_no_parquet(tmp_path: Path) -> None:
    assert refusal(write(tmp_path, HEADER, LINE + ",4")) == (
        "some.csv, line 2: expected 5 values as in line 1, got 6; correct the line."
    )
    assert refusal(write(tmp_path, "", HEADER, LINE, "", "1,2", LINE, "1")) == (
        "some.csv, line 5: expected 5 values as in line 2, got 2; 2 lines are so (5, 7); correct the lines."
    )
    assert refusal(write(tmp_path, "day", name="some.parquet")).startswith("some.parquet: expected a Parquet file, got")


@pytest.mark.parametrize("separator", [";", "^"])
def test_a_line_may_say_what_separates(tmp_path: Path, separator: str) -> None:
    lines = (line.replace(",", separator) for line in (HEADER, LINE))
    assert rows(write(tmp_path, f"sep={separator}", *lines)) == [ROW]


@given(st.lists(st.sampled_from([*'\n,"\r\t\v \u2028x;\0', "2024-06-14", LINE, f"\n{LINE}\n"]), max_size=14))
@example([",", LINE, "\r", LINE])  # two lines in all, of which one has a value too many, and one is a row
@settings(deadline=None, max_examples=40)
def test_whatever_stands_below_a_header_is_read_or_refused_in_words(parts: list[str]) -> None:
    with tempfile.TemporaryDirectory() as folder:
        found = read_files([write(Path(folder), HEADER, "".join(parts))], LAYOUT)
        said = [*found.refused, *found.refusals(*EVER)]
    assert all(sentence.startswith("some.csv") for sentence in said)
    assert said or len(found.frame) == sum(part.strip() == LINE for part in parts)


def test_columns_of_one_name_must_be_equal(tmp_path: Path) -> None:
    assert rows(write(tmp_path, f"{HEADER},Number", f"{LINE},1.50")) == [ROW]
    path = write(tmp_path, f"{HEADER},Number", f"{LINE},2.5")
    assert "expected one column number, got two that differ, 1.5 and 2.5" in refusal(path)


def test_rows_that_are_there_twice_count_once_and_others_of_their_key_are_named_with_the_first(tmp_path: Path) -> None:
    other, key = LINE.replace("1.5", "2.5"), ["day", "name"]
    found = read_files([write(tmp_path, HEADER, LINE, LINE, other), parquet(tmp_path)], LAYOUT).without_repeats(key)
    assert len(found.frame) == 1
    assert [finding.sentence for finding in found.findings(*EVER)] == [
        "some.csv, some.parquet: 2 rows that are there twice, with the same values, the first 2024-06-14 (some.csv, "
        "line 3); each counted once."
    ]
    assert found.refusals(*EVER) == [
        "some.csv, line 4, columns day and name: expected one row a day and name, got a second for 2024-06-14 NA "
        "(the first: some.csv, line 2); remove one of them."
    ]


def test_columns_of_a_wide_table_may_hold_whole_numbers_and_others_but_no_texts_beside_them(tmp_path: Path) -> None:
    names = [f"('{name}', '{symbol}')" for symbol in ("AAA", "BBB") for name in ("Open", "High", "Low", "Close")]
    values = {"('Date', '')": pa.array([pd.Timestamp(ROW[0])])} | {name: pa.array([1.5]) for name in names}
    layout = {"date": DAY, "symbol": TEXT, "close": NUMBER}
    for odd, n_rows in ((pa.array([2]), 2), (pa.array(["x"]), 0)):
        pq.write_table(pa.table(values | {names[-1]: odd}), tmp_path / "some.parquet")
        found = read_files([tmp_path / "some.parquet"], layout)
        assert len(found.frame) == n_rows
        assert ("expected one type for all symbols" in "".join(found.refused)) is (n_rows == 0)
