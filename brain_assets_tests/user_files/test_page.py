"""`docs/your-own-data.md` as a reader follows it: its folder made, its commands run, and what it says of them."""

import re
import shlex
from pathlib import Path

import pandas as pd
import pytest
from typer.testing import CliRunner

from brain_assets.cli import command_line
from brain_assets.market.calendar import sessions_between
from brain_assets.market.sheets import find_files
from brain_assets_tests.backfills import REPOSITORY
from brain_assets_tests.user_files.test_forms import END, START

PAGE = (REPOSITORY / "docs" / "your-own-data.md").read_text()
BLOCKS = re.findall(r"```(\w+)\n(.*?)```", PAGE, re.DOTALL)
[COMMANDS] = [text.splitlines() for language, text in BLOCKS if language == "bash"]
FILES, SAID = (text.splitlines() for language, text in BLOCKS if language == "text")


@pytest.fixture
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """The folder of the page: the heads of its files, with two years of bars below."""
    days = sessions_between(START.replace(year=2018), END.replace(year=2020)).astype(str)
    (tmp_path / "my-data").mkdir()
    for name, head in zip(FILES[::2], FILES[1::2], strict=True):
        columns = head.split(",")
        bars = pd.DataFrame({column: 1.0 if "split" in column else 10.0 for column in columns[1:]}, index=days)
        bars.to_csv(tmp_path / name, index_label=columns[0])
    monkeypatch.chdir(tmp_path)
    return tmp_path


def test_its_folder_is_taken_for_what_it_says(folder: Path) -> None:
    environment = dict(pair.split("=") for pair in COMMANDS[1].removeprefix("export ").split())
    given = {name: environment[name] for name in ("BRAIN_FIRST_YEAR", "BRAIN_BOOTSTRAP_YEARS")}
    result = CliRunner().invoke(command_line(), shlex.split(COMMANDS[0])[1:], env=given)
    assert result.stdout.splitlines()[:-1] == SAID
    assert result.exit_code == 0


@pytest.mark.parametrize("name", ["x.csv", "X.TXT", "x.tsv.gz", "x.parquet", "sub/x.Csv.GZ"])
def test_its_files_are_found(tmp_path: Path, name: str) -> None:
    (tmp_path / name).parent.mkdir(exist_ok=True)
    (tmp_path / name).touch()
    for other in ("x.xlsx", "news_sentiment.csv", "Headlines.csv", "fundamentals.parquet", ".x.csv"):
        (tmp_path / other).touch()
    assert find_files(tmp_path, "prices") == [tmp_path / name]


@pytest.mark.slow
def test_its_commands_run_in_its_order(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    for pair in COMMANDS[1].removeprefix("export ").split():
        monkeypatch.setenv(*pair.split("="))
    result = CliRunner().invoke(command_line(), shlex.split(COMMANDS[2])[1:])
    assert result.exit_code == 0, result.output
    assert len(pd.read_parquet(folder / "data" / "mine" / "raw" / "prices" / "2019.parquet")) == 2 * 503
