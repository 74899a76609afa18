"""Dagster's own command `dg` in this folder, as its documentation begins with it."""

import shlex
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


def test_the_commands_of_the_page_do_what_they_say(tmp_path: Path) -> None:
    page = (REPOSITORY / "docs" / "ui.md").read_text()
    commands = [shlex.split(line, comments=True)[1:] for line in page.splitlines() if line.startswith("dg ")]
    assert [command[0] for command in commands] == ["dev", "list", "check", "launch"]
    said = [dg(tmp_path, *command) for command in commands[1:]]  # the first is a server
    assert all(name in said[0] for name in ("raw_prices", "lstm_snapshot", "backtest", "report"))
    assert "All definitions loaded successfully" in said[1]
    assert (tmp_path / "raw" / "prices" / "2019.parquet").exists()
