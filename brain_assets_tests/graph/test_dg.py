"""Dagster's own command `dg` in this folder, as its documentation begins with it."""

import shlex
import subprocess
import sys
from pathlib import Path

import pytest

from brain_assets_tests.backfills import REPOSITORY, environment


@pytest.mark.slow
def test_the_commands_of_the_page_do_what_they_say(tmp_path: Path) -> None:
    page, said = (REPOSITORY / "docs" / "ui.md").read_text(), []
    commands = [shlex.split(line, comments=True)[1:] for line in page.splitlines() if line.startswith("dg ")]
    assert [command[0] for command in commands] == ["dev", "list", "check", "launch"]
    (tmp_path / "dagster").mkdir()
    given = {"env": environment(tmp_path, DAGSTER_HOME=str(tmp_path / "dagster")), "cwd": REPOSITORY}
    for command in commands[1:]:  # the first is a server
        code = [sys.executable, "-c", "from dagster_dg_cli.cli import main; main()", *command]
        ended = subprocess.run(code, capture_output=True, text=True, timeout=600, check=False, **given)
        assert ended.returncode == 0, ended.stdout + ended.stderr
        said.append(ended.stdout)
    assert all(name in said[0] for name in ("raw_prices", "lstm_snapshot", "backtest", "report"))
    assert "All definitions loaded successfully" in said[1]
    assert (tmp_path / "raw" / "prices" / "2019.parquet").exists()
