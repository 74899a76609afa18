"""README.md and the pages of `docs/`: what they name is there, and what the README shows runs as it stands."""

import datetime
import importlib.util
import os
import re
import shlex
import subprocess
import sys
from pathlib import Path
from typing import Any

import dagster as dg
import numpy as np
import pandas as pd
import pytest
import yaml

import brain_assets
from brain_assets.graph.build import open_project
from brain_assets.market.calendar import sessions_between
from brain_assets.settings import Settings, read_settings
from brain_assets_tests.backfills import REPOSITORY, Finished, parses
from brain_assets_tests.conftest import FAMILIES, TINY

pytestmark = pytest.mark.wings

SITE = ("index.md", "benchmarks.md", "changelog.md", "contributing.md")
"""Pages that show other files."""
PAGES = {
    str(path.relative_to(REPOSITORY)): path.read_text()
    for path in [
        *(REPOSITORY / name for name in ("README.md", "CONTRIBUTING.md", "data/README.md", "benchmarks/README.md")),
        *sorted(path for path in (REPOSITORY / "docs").glob("*.md") if path.name not in SITE),
    ]
}
README = PAGES["README.md"]
BLOCKS = re.findall(r"```(\w+)\n(.*?)```", README, re.DOTALL)
[MODEL] = [code for language, code in BLOCKS if language == "python" and code.startswith("# my_ridge.py")]
[NOTEBOOK] = [code for language, code in BLOCKS if code.startswith("import brain_assets as ba")]
[OWN_PRICES] = [code for language, code in BLOCKS if "check-files" in code]


def anchors(page: Path) -> set[str]:
    """Give the names of a page's headings in its address, as GitHub and the site make them, and its own."""
    headings = re.findall(r"^#+ (.*)$", page.read_text(), re.MULTILINE)
    made = {re.sub(r"[^\w -]", "", heading.lower()).replace(" ", "-") for heading in headings}
    return made | set(re.findall(r'<a name="([\w-]+)">', page.read_text()))


@pytest.mark.parametrize("name", PAGES)
def test_links_lead_somewhere(name: str) -> None:
    for link in re.findall(r"\]\((?!https?:)([^)]+)\)", PAGES[name]):
        path, _, anchor = link.partition("#")
        target = (REPOSITORY / name).parent / path if path else REPOSITORY / name
        assert target.exists(), link
        assert not anchor or anchor in anchors(target), link


def commands(text: str) -> list[str]:
    """Give all commands of ours on a page, without the variables before them: in its blocks, and between backticks."""
    lines = "\n".join(re.findall(r"```(?:bash|text)\n(.*?)```", text, re.DOTALL)).replace("\\\n", " ").splitlines()
    spans = re.findall(r"`([^`\n]*brain-assets [a-z][^`\n]*)`", re.sub(r"```.*?```", "", text, flags=re.DOTALL))
    found = (re.match(r"(?:\w+=(?:\"[^\"]*\"|\S*) )*(brain-assets [a-z].*)", line.strip()) for line in [*lines, *spans])
    return [match[1] for match in found if match]


@pytest.mark.parametrize("name", PAGES)
def test_its_commands_and_variables_exist(name: str) -> None:
    assert [command for command in commands(PAGES[name]) if not parses(command)] == []
    targets = set(re.findall(r"^([\w-]+):", (REPOSITORY / "Makefile").read_text(), re.MULTILINE))
    assert set(re.findall(r"(?:`|^)make ([a-z-]+)", PAGES[name], re.MULTILINE)) <= targets
    for module in re.findall(r"python -m (benchmarks[\w.]*)", PAGES[name]):
        assert importlib.util.find_spec(module)
    known = {str(field.alias) for field in Settings.model_fields.values()}
    assert set(re.findall(r"\bBRAIN_[A-Z_]+\b", PAGES[name])) <= known


def test_the_commands_are_found() -> None:
    assert len(commands(PAGES["docs/commands.md"])) > 20
    assert not parses("brain-assets backfil 2019")


def test_the_configuration_of_the_page_is_one_of_the_job() -> None:
    [config] = re.findall(r"```yaml\n(.*?)```", PAGES["docs/commands.md"], re.DOTALL)
    job = open_project(read_settings(market="sample")).definitions.resolve_job_def("walkforward")
    assert dg.validate_run_config(job, yaml.safe_load(config))


def test_every_family_has_its_repo_on_the_page() -> None:
    repos = re.findall(r"\bHF_([A-Z_]+)_MODEL_REPO=", PAGES["docs/stores.md"])
    assert [name.lower() for name in repos] == list(FAMILIES)


def test_the_front_page_is_short_and_keeps_old_links() -> None:
    assert README.count("\n") <= 200
    old = """a-model-of-your-own from-what-you-want-to-the-command how-fast how-we-know-that-it-is-true in-python
    main-versions new-data no-look-ahead old-endpoints-new-calls on-the-hub results-in-a-bucket settings start
    the-report this-weeks-weights what-it-makes years-in-the-ui"""
    assert set(old.split()) <= anchors(REPOSITORY / "README.md")


def test_the_reference_lists_the_front_door() -> None:
    named = set(re.findall(r"^   ([A-Za-z]\w+)$", PAGES["docs/api.md"], re.MULTILINE))
    assert named == set(brain_assets._HOMES)


def test_five_lines_open_a_notebook(finished: Finished) -> None:
    folder = finished.data_dir
    known: dict[str, Any] = {}
    *lines, last = (
        NOTEBOOK.replace("data/demo", str(folder)).replace("2021", "2020").replace("2022", "2021").splitlines()
    )
    exec("\n".join(lines), known)
    assert set(known["study"].forecasts(2021).index.names) == {"week_start", "symbol"}
    assert "PPO" in {line.name for line in eval(last, known).data}


def environment(folder: Path, **variables: str) -> dict[str, str]:
    """Give the environment of a reader: our command on the path, and none of our variables."""
    command = folder / "bin" / "brain-assets"
    command.parent.mkdir(exist_ok=True)
    command.write_text(f'#!/bin/sh\nexec {shlex.quote(sys.executable)} -m brain_assets.start "$@"\n')
    command.chmod(0o755)
    kept = {name: value for name, value in os.environ.items() if not name.startswith(("BRAIN_", "DAGSTER_", "HF_"))}
    return {**kept, "PATH": f"{command.parent}:{kept['PATH']}", "PYTHONPATH": str(REPOSITORY), **variables}


@pytest.mark.slow
def test_own_prices_and_the_own_model_go_through_the_mill(tmp_path: Path) -> None:
    days = sessions_between(datetime.date(2016, 1, 1), datetime.date(2023, 1, 1)).astype(str)
    rng = np.random.default_rng(3)
    (tmp_path / "my-data").mkdir()
    for symbol in ("AAA", "BBB", "CCC", "DDD", "EEE"):
        close = 100 * np.exp(rng.normal(0, 0.01, len(days)).cumsum())
        bars = {"Open": close, "High": close, "Low": close, "Close": close, "Adj Close": close, "Volume": 1e6}
        pd.DataFrame(bars, index=days).to_csv(tmp_path / "my-data" / f"{symbol}.csv", index_label="Date")
    (tmp_path / "my_ridge.py").write_text(MODEL)
    (tmp_path / "quick.yaml").write_text(yaml.safe_dump(TINY))
    assert "backfill 2019-2022 " in OWN_PRICES
    script = "set -e\n" + OWN_PRICES.replace("backfill 2019-2022 ", "backfill 2019-2020 --config quick.yaml ")
    done = subprocess.run(
        ["bash", "-c", script],
        cwd=tmp_path,
        env=environment(tmp_path, BRAIN_PLUGINS="my_ridge", COLUMNS="200"),
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stdout + done.stderr
    assert "AAA.csv: Yahoo, 1 symbol (AAA), 1,762 bars, adjusted by Adj Close" in done.stdout
    forecasts = pd.read_parquet(tmp_path / "data/mine/forecasts/2020.parquet")
    assert "snapshot-2019-12-31" in set(forecasts["my_ridge_source"])
    assert "my_ridge_top" in set(pd.read_parquet(tmp_path / "data/mine/backtests/2020.parquet")["strategy"])


@pytest.mark.slow
def test_the_pages_become_a_site(tmp_path: Path) -> None:
    pytest.importorskip("sphinx", reason="the extra docs is not installed")
    [line] = re.findall(
        r"^\t\$\(BIN\)/(python -m sphinx .*) build/docs$", (REPOSITORY / "Makefile").read_text(), re.MULTILINE
    )
    done = subprocess.run(
        [sys.executable, *shlex.split(line)[1:], tmp_path], cwd=REPOSITORY, capture_output=True, text=True, check=False
    )
    assert done.returncode == 0, done.stdout + done.stderr
    front = (tmp_path / "index.html").read_text()
    for link in set(re.findall(r'href="([\w./-]+\.html)"', front)):
        assert (tmp_path / link).exists(), link
    assert len(re.findall(r'<img [^>]*src="_images/', front)) == 2
    assert "Units of each LSTM layer." in (tmp_path / "api/brain_assets.forecasting.lstm.LstmConfig.html").read_text()
