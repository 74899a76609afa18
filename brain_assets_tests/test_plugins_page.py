"""A model of one's own: `docs/your-own-model.md` as a reader follows it, and that no other model changes beside one."""

import importlib
import json
import re
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pandas as pd
import pytest

from brain_assets.graph.build import open_project
from brain_assets.parquet import read_table
from brain_assets.registry import families_of
from brain_assets.settings import read_settings
from brain_assets_tests.backfills import REPOSITORY, Finished, brain_assets, contents, parses, weights
from brain_assets_tests.conftest import FAMILIES
from brain_assets_tests.loopback_hub import LoopbackHub
from brain_assets_tests.report.toy_results import unpacked
from brain_assets_tests.store.hubs import TOKEN
from brain_assets_tests.test_pages import environment
from brain_assets_tests.test_registry import forget_modules

PAGE = (REPOSITORY / "docs" / "your-own-model.md").read_text()
BLOCKS = re.findall(r"```(\w+)\n(.*?)```", PAGE, re.DOTALL)
FILES = {code.split("\n")[0].removeprefix("# "): code for language, code in BLOCKS if language == "python"}
COMMANDS = [code for language, code in BLOCKS if language == "bash"]
PLUGINS = {"BRAIN_PLUGINS": "examples.pls_forecaster,examples.momentum_policy"}


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
    assert "mean_returns" in str(open_project(read_settings(plugins="my_extras")).definitions.resolve_all_asset_keys())
    [asset] = importlib.import_module("my_extras_assets").definitions(open_project(read_settings())).assets
    backtest = pd.DataFrame({"strategy": ["ppo", "sac", "ppo"], "net_return": [0.01, 0.5, 0.03]})
    assert asset(backtest).to_dict("list") == {"strategy": ["ppo", "sac"], "net_return": [0.02, 0.5]}


@pytest.mark.slow
def test_its_test_passes(folder: Path, tmp_path_factory: pytest.TempPathFactory) -> None:
    [test] = [each for name, each in vars(importlib.import_module("test_mine")).items() if name.startswith("test_")]
    test(tmp_path_factory.mktemp("runs"))


@pytest.mark.slow
def test_its_commands_run_in_its_order(folder: Path) -> None:
    with LoopbackHub() as hub:
        repos = {f"HF_{name}_MODEL_REPO": f"user/{name}" for name in map(str.upper, FAMILIES)}
        repos |= {"HF_MY_PLS_MODEL_REPO": "user/my_pls", "HF_MY_MOMENTUM_MODEL_REPO": "user/my_momentum"}
        script = "\n".join(["set -e", COMMANDS[0], "export STORAGE_BACKEND=hf", *COMMANDS[1:]])
        given = environment(folder, COLUMNS="200", HF_TOKEN=TOKEN, HF_ENDPOINT=hub.endpoint, **repos)
        run = ["bash", "-c", script]
        done = subprocess.run(run, cwd=folder, env=given, capture_output=True, text=True, check=False)
        assert done.returncode == 0, done.stdout + done.stderr
        assert set(hub.branches("user/my_pls")) >= {f"snapshot-{year}-12-31" for year in (2019, 2020, 2021)}
    [report] = (folder / "data/mine/reports").glob("*.html")
    lines = json.loads(unpacked(report.read_text(), "figures"))["equity"]["data"]
    colors = {line["name"]: line["line"]["color"] for line in lines}
    assert {"My PLS forecasts, top third", "My momentum"} < colors.keys()
    assert len(set(colors.values())) == len(colors)
    assert "after 2019-12-31: passed" in done.stdout
    assert "at least 40% of the best possible" in done.stdout
    assert (folder / "data/mine/models/my_momentum/snapshot-2021-12-31/metadata.json").exists()


def test_it_is_trained_forecasts_and_trades_and_no_other_model_changes(finished: Finished, tmp_path: Path) -> None:
    data = finished.copy(tmp_path)
    run = brain_assets(data, "backfill", "2019-2020", "--config", str(finished.config), **PLUGINS)
    assert run.returncode == 0, run.stdout + run.stderr
    said = {tuple(line.split(maxsplit=2)[:2]): line for line in run.stdout.splitlines() if line[:4].isdigit()}
    for year in ("2019", "2020"):
        assert "done already, skipped" in said[year, "lstm_snapshot"]
        assert "made in" in said[year, "pls_snapshot"]
        assert "made in" in said[year, "momentum_rank_policy"]
        forecasts = read_table(data / f"forecasts/{year}.parquet")
        added = [name for name in forecasts if name.startswith("pls")]
        assert added == ["pls", "pls_source"]
        averaged = ["average", "average_source"]  # of all forecasters, so of one more
        without = read_table(finished.data_dir / f"forecasts/{year}.parquet").drop(columns=averaged)
        assert forecasts.drop(columns=[*added, *averaged]).equals(without)
    assert contents(weights(finished.data_dir)).items() <= contents(weights(data)).items()
    assert set(forecasts["pls_source"]) == {"momentum", "snapshot-2019-12-31"}  # the week over New Year
    assert forecasts["average_source"].iloc[-1].endswith(", pls snapshot-2019-12-31")
    traded = read_table(data / "backtests/2020.parquet").groupby("strategy")["weights"].first()
    assert {"pls_top", "momentum_rank"} < set(traded.index)
    weighed = json.loads(traded["momentum_rank"])
    assert min(weighed.values()) < 0.1 < max(weighed.values())  # as steep as its logits
