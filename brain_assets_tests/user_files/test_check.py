"""`brain-assets check-files`, and the lines before a backfill: what each file is taken for, and all that is wrong."""

from pathlib import Path

import pandas as pd
import pytest
from typer.testing import CliRunner

from brain_assets.cli import command_line


def check(folder: Path, *years: str) -> tuple[int, list[str]]:
    """Give the exit code, and the lines that are printed."""
    result = CliRunner().invoke(command_line(), ["check-files", str(folder), *years])
    return result.exit_code, (result.stdout + result.stderr).splitlines()


@pytest.fixture
def folder(tmp_path: Path, prices: pd.DataFrame) -> Path:
    """A file of prices for each symbol, as Yahoo's page saves them."""
    for symbol, rows in prices.groupby("symbol"):
        named = rows.drop(columns="symbol").rename(columns=str.capitalize)
        named.assign(**{"Adj Close": rows["close"]}).to_csv(tmp_path / f"prices_{symbol}.csv", index=False)
    return tmp_path


def test_each_file_has_a_line_and_a_sound_folder_exits_with_0(folder: Path, prices: pd.DataFrame) -> None:
    (folder / "prices.xlsx").write_bytes(b"PK")
    (folder / "headlines.csv").write_text("published,symbol,title\n2020-06-10T10:00:00Z,AAA.US,up\n")
    (folder / "universe.csv").write_text("symbol,from,to\nAAA,2016-01-01,\nAAA,2010-01-01,2012-01-01\n")
    code, lines = check(folder)
    counts = prices["symbol"].value_counts().sort_index().items()
    assert lines == [
        *(f"prices_{name}.csv: Yahoo, 1 symbol ({name}), {n:,} bars, adjusted by Adj Close" for name, n in counts),
        "headlines.csv: table of headlines, 1 symbol (AAA.US), 1 row",
        "universe.csv: who could be chosen when, 2 spans, 1 symbols",
        "warning: AAA.US: 1 name without prices: one that is written otherwise matches nothing.",
        "warning: not read, since a table's name ends in .csv, .txt, .tsv or .parquet: prices.xlsx.",
        lines[-1],
    ]
    assert lines[-1] == "nothing in 2016-2021 would be refused"
    assert code == 0
    assert check(folder, "2019-2020")[1][-1] == "nothing in 2019-2020 would be refused"


def test_files_without_a_sound_bar_would_be_refused(tmp_path: Path) -> None:
    (tmp_path / "AAA.csv").write_text("date,open,high,low,close,volume\n2017-01-01,1,1,1,1,1\n")
    absent = tmp_path / "absent"
    assert check(absent) == (
        1,
        [f"error: {absent}: expected a folder with data files, got no such folder; create it."],
    )
    code, lines = check(tmp_path, "2017")
    assert code == 1
    assert [line for line in lines if line.startswith("error:")] == [
        f"error: {tmp_path}: expected at least 66 bars of a symbol, got AAA (0); add data.",
        f"error: {tmp_path}: expected bars from 2017-01-01 to 2018-01-01 (exclusive), got none, since the files hold "
        "no sound bar; add data or ask for another range.",
    ]


def test_all_that_is_wrong_is_said_and_what_is_sound_is_told_beside_it(folder: Path) -> None:
    (folder / "ZZZ.csv").write_text("<html>busy</html>")
    (folder / "YYY.csv").write_text("Date,Open\n2020-01-02,1\n")
    (folder / "fundamentals.csv").write_text("filed,symbol\n")
    text = (folder / "prices_AAA.csv").read_text().splitlines()
    rows = [number for number, line in enumerate(text) if line.startswith(("1983", "2018-03"))]
    for number in rows:
        text[number] = text[number].replace(",", ",x", 1)
    (folder / "prices_AAA.csv").write_text("\n".join(text))
    code, lines = check(folder)
    assert code == 1
    assert sum(line.startswith("prices_") for line in lines) == len(list(folder.glob("prices_*")))
    errors = [line for line in lines if line.startswith("error:")]
    assert [line.split()[1] for line in errors] == ["YYY.csv:", "ZZZ.csv:", "prices_AAA.csv,", "fundamentals.csv:"]
    assert f"line {rows[0] + 1}, column Open: expected a number, got x" in errors[2]
    assert f"{len(rows)} rows are so" in errors[2]
    assert len([line for line in check(folder, "2019-2021")[1] if line.startswith("error:")]) == 3
