"""`docs/your-own-model.md` as a reader follows it: its files saved, its commands run in the order of the page."""

import importlib
import os
import re
import shlex
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pandas as pd
import pytest

from brain_assets.graph.build import open_project
from brain_assets.registry import families_of
from brain_assets.settings import read_settings
from brain_assets_tests.backfills import REPOSITORY, parses
from brain_assets_tests.conftest import FAMILIES
from brain_assets_tests.store.hubs import TOKEN, WatchedHub
from brain_assets_tests.test_registry import forget_modules

PAGE = (REPOSITORY / "docs" / "your-own-model.md").read_text()
BLOCKS = re.findall(r"```(\w+)\n(.*?)```", PAGE, re.DOTALL)
FILES = {code.split("\n")[0].removeprefix("# "): code for language, code in BLOCKS if language == "python"}
COMMANDS = [code for language, code in BLOCKS if language == "bash"]


@pytest.fixture
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Path]:
    """A fresh folder with the files of the page, where a stranger works."""
    for name, code in FILES.items():
        (tmp_path / name).write_text(code)
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(sys, "path", [*sys.path, str(tmp_path)])
    yield tmp_path
    forget_modules(tmp_path)


def test_its_files_register_and_its_commands_exist(folder: Path) -> None:
    assert list(FILES) == [*("my_pls.py", "my_momentum.py", "my_extras.py", "my_extras_assets.py", "test_mine.py")]
    families = families_of(["my_pls", "my_momentum"])
    assert families.forecasters["my_pls"].layout(families.forecasters["my_pls"].Config(window=20))["coef"] == (100,)
    assert families.policies["my_momentum"].forecaster == "my_pls"
    lines = [line for block in COMMANDS for line in block.splitlines() if line.startswith("brain-assets ")]
    assert len(lines) == 10
    assert all(parses(line) for line in lines)
    for link in re.findall(r"\]\((\.\./[^)#]+)", PAGE):
        assert (REPOSITORY / "docs" / link).exists()


def test_its_table_is_made_of_a_years_backtest(folder: Path) -> None:
    [asset] = importlib.import_module("my_extras_assets").definitions(open_project(read_settings())).assets
    assert "mean_returns" in str(open_project(read_settings(plugins="my_extras")).definitions.resolve_all_asset_keys())
    backtest = pd.DataFrame({"strategy": ["ppo", "sac", "ppo"], "net_return": [0.01, 0.5, 0.03]})
    found = asset(backtest)
    assert found.to_dict("list") == {"strategy": ["ppo", "sac"], "net_return": [0.02, 0.5]}


@pytest.mark.slow
def test_its_test_passes(folder: Path, tmp_path_factory: pytest.TempPathFactory) -> None:
    [test] = [each for name, each in vars(importlib.import_module("test_mine")).items() if name.startswith("test_")]
    test(tmp_path_factory.mktemp("runs"))


@pytest.mark.slow
def test_its_commands_run_in_its_order(folder: Path) -> None:
    command = folder / "bin" / "brain-assets"
    command.parent.mkdir()
    command.write_text(f'#!/bin/sh\nexec {shlex.quote(sys.executable)} -m brain_assets.start "$@"\n')
    command.chmod(0o755)
    with WatchedHub() as hub:
        repos = {f"HF_{name}_MODEL_REPO": f"user/{name}" for name in map(str.upper, FAMILIES)}
        repos |= {"HF_MY_PLS_MODEL_REPO": "user/my_pls", "HF_MY_MOMENTUM_MODEL_REPO": "user/my_momentum"}
        script = ["set -e", COMMANDS[0], "export STORAGE_BACKEND=hf", *COMMANDS[1:]]
        variables = {"HF_TOKEN": TOKEN, "HF_ENDPOINT": hub.endpoint, **repos, "COLUMNS": "200"}
        done = subprocess.run(
            ["bash", "-c", "\n".join(script)],
            cwd=folder,
            env={
                **os.environ,
                "PATH": f"{command.parent}:{os.environ['PATH']}",
                "PYTHONPATH": str(REPOSITORY),
                **variables,
            },
            capture_output=True,
            text=True,
            check=False,
        )
        assert done.returncode == 0, done.stdout + done.stderr
        assert set(hub.branches("user/my_pls")) >= {f"snapshot-{year}-12-31" for year in (2019, 2020, 2021)}
    [report] = (folder / "data/mine/reports").glob("*.html")
    assert "My PLS forecasts, top third" in report.read_text()
    assert "after 2019-12-31: passed" in done.stdout
    assert "at least 40% of the best possible" in done.stdout
    assert (folder / "data/mine/models/my_momentum/snapshot-2021-12-31/metadata.json").exists()
