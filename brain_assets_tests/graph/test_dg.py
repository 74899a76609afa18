"""Dagster's own command `dg` in this folder, as its documentation begins with it."""

import json
import subprocess
import sys
from pathlib import Path

import pytest

from brain_assets_tests.backfills import REPOSITORY, environment

pytestmark = pytest.mark.slow


def dg(data: Path, *arguments: str) -> str:
    """Run it to its end, and give what it prints."""
    home = data / "dagster"
    home.mkdir(parents=True, exist_ok=True)
    ended = subprocess.run(
        [sys.executable, "-c", "from dagster_dg_cli.cli import main; main()", *arguments],
        env=environment(data, DAGSTER_HOME=str(home)),
        cwd=REPOSITORY,
        capture_output=True,
        text=True,
        timeout=600,
        check=False,
    )
    assert ended.returncode == 0, ended.stdout + ended.stderr
    return ended.stdout


def test_definitions_are_checked_and_listed(tmp_path: Path) -> None:
    dg(tmp_path, "check", "defs")
    listed = json.loads(dg(tmp_path, "list", "defs", "--json"))
    assert {"raw_prices", "lstm_snapshot", "backtest", "report"} <= {each["key"] for each in listed["assets"]}


def test_a_year_is_launched_into_the_data_folder(tmp_path: Path) -> None:
    dg(tmp_path, "launch", "--assets", "raw_prices", "--partition", "2019")
    assert (tmp_path / "raw" / "prices" / "2019.parquet").exists()
