"""Bad input: one clear sentence on stderr, a non-zero exit, no traceback, and nothing half left behind."""

import datetime
import os
import re
import subprocess
from pathlib import Path

import numpy as np
import pytest

from brain_assets.errors import ConfigError, SettingsError
from brain_assets.graph.options import read_options
from brain_assets.simulator.market import SimulatorMarket
from brain_assets.terminal import read_config, read_years
from brain_assets_tests.backfills import assert_nothing_half, brain_assets, in_own_process
from brain_assets_tests.graph.worlds import DEFS

HEADER = "date, symbol, open, high, low, close, volume"
ROOM = "free some space or set BRAIN_DATA_DIR to another folder"


def refusal(data_dir, *arguments, record_fails=False, **variables):
    """Run the command and give its one sentence; where Dagster's record fails, it ends in the middle."""
    run = (in_own_process if record_fails else brain_assets)(data_dir, *arguments, **variables)
    assert run.returncode in (1, 2), run.stdout + run.stderr
    assert "Traceback" not in run.stdout + run.stderr
    [sentence] = [line for line in run.stderr.splitlines() if line.startswith("error: ")]
    assert record_fails or (run.returncode == 2) == (
        run.stdout == ""
    )  # before anything ran, or in a run, whose line says it too
    return sentence.removeprefix("error: ")


# Settings and arguments


@pytest.mark.parametrize(
    ("arguments", "variables", "sentence"),
    [
        (["2018-2020"], {}, r"years: expected years from 2019 to 2021, got 2018; choose among those \(.*\)\."),
        (["2022"], {}, r"years: expected years from 2019 to 2021, got 2022; choose among those \(.*\)\."),
        (["2021-2019"], {}, r"years: expected the earlier year first, got 2021-2019; turn it round: 2019-2021\."),
        (["all"], {}, r"years: expected 2021 or 2019-2022, got all; correct it\."),
        (
            ["2019", "--assets", "lstm_snapshot,lstm"],
            {},
            r"--assets: expected names among raw_fundamentals, raw_news_sentiment, .*, got lstm; correct them\.",
        ),
        (
            ["2019"],
            {"BRAIN_MARKET": "files", "BRAIN_FILES_DIR": "/no/such/folder"},
            r"/no/such/folder: expected a folder with data files, got no such folder; create it\.",
        ),
    ],
)
def test_settings_and_arguments(tmp_path, arguments, variables, sentence):
    assert re.fullmatch(sentence, refusal(tmp_path / "data", "backfill", *arguments, **variables))
    assert not (tmp_path / "data" / "raw").exists()


@pytest.mark.parametrize("text", ["0000", "1899", "2019-9999", "20191", "2019-"])
def test_years_are_those_that_have_days(text):
    with pytest.raises(SettingsError, match=r"^years: expected 2021 or 2019-2022, got"):
        read_years(text)


LSTM, PPO = "ops.lstm_snapshot.config", "ops.ppo_policy.config"


@pytest.mark.parametrize(
    ("content", "sentence"),
    [
        ("{ops: {lstm_snapshot: {config: {hidden: 3}}}}", f"{LSTM}: expected keys among batch_size, .*, got hidden"),
        ("{ops: {lstm: {config: {}}}}", "ops: expected keys among backtest, boosting_model, .*, got lstm"),
        ("{ops: {2019: {}}}", "ops: expected keys among backtest, boosting_model, .*, got 2019"),
        ("{ops: {lstm_snapshot: {config: {hidden_size: big}}}}", f"{LSTM}.hidden_size: expected Int, got 'big'"),
        ("{ops: {ppo_policy: {config: {device: gpu}}}}", f"{PPO}.device: expected one of auto, cpu, cuda, got 'gpu'"),
        (
            "{ops: {lstm_snapshot: {config: {hidden_size: -1}}}}",
            "hidden_size: expected greater than or equal to 1, got -1",
        ),
        ("[ops]", "run.yaml: expected a mapping with the key ops, got list"),
        ("{ops: {lstm_snapshot: [", "run.yaml: expected a YAML file, got: while parsing a flow node .*"),
        (None, "run.yaml: expected a YAML file, got: No such file or directory"),
    ],
)
def test_run_configurations(tmp_path, content, sentence):
    config = tmp_path / "run.yaml"
    if content is not None:
        config.write_text(content)
    with pytest.raises(ConfigError, match=rf"^(run configuration: |{tmp_path}/)?{sentence}; correct .*\.$"):
        read_options(DEFS, read_config(config))


# The user's own prices


@pytest.fixture(scope="module")
def prices():
    return SimulatorMarket(("AAA", "BBB", "CCC")).prices(datetime.date(2016, 1, 1), datetime.date(2021, 1, 1))


@pytest.mark.parametrize(
    ("spoil", "sentence"),
    [
        (
            lambda frame: frame.rename(columns={"close": "last"}),
            rf"prices\.csv: expected the columns {HEADER}, got .*, last, volume \(missing: close\); rename .*\.",
        ),
        (
            lambda frame: frame.assign(**dict.fromkeys(["open", "high", "low", "close"], np.nan)),
            r"raw_prices 2019-2020: .*: expected at least 66 bars of a symbol, got AAA \(0\), BBB .*; add data\.",
        ),
    ],
    ids=["wrong column", "no price at all"],
)
def test_prices(tmp_path, prices, spoil, sentence):
    (tmp_path / "files").mkdir()
    spoil(prices).to_csv(tmp_path / "files" / "prices.csv", index=False)
    market = {"BRAIN_MARKET": "files", "BRAIN_FILES_DIR": str(tmp_path / "files"), "BRAIN_SYMBOLS": ""}
    arguments = ["backfill", "2019-2020", "--assets", "raw_prices"]
    assert re.fullmatch(sentence, refusal(tmp_path / "data", *arguments, **(market | {"BRAIN_LAST_YEAR": "2020"})))
    assert not list((tmp_path / "data").rglob("*.parquet"))


# The data folder


def test_a_data_folder_of_another_market(finished):
    message = refusal(finished.data_dir, "backfill", "2019", BRAIN_MARKET="sample", BRAIN_SYMBOLS="")
    assert message.startswith(f"{finished.data_dir}: expected results of the market asked for ({{'market': 'sample', ")
    assert message.endswith("; set BRAIN_DATA_DIR to another folder, or the market back.")


@pytest.fixture
def disk(tmp_path):
    """Give a function that mounts a small disk of its own and gives its folder."""
    folder = tmp_path / "disk"
    folder.mkdir()
    mounted: list[Path] = []

    def mount(size: str) -> Path:
        command = ["mount", "-t", "tmpfs", "-o", f"size={size}", "tmpfs", str(folder)]
        tried = subprocess.run(command, capture_output=True, text=True, check=False) if os.geteuid() == 0 else None
        if tried is None or tried.returncode:
            pytest.skip(f"no right to mount a tmpfs: {tried.stderr.strip() if tried else 'not root'}")
        mounted.append(folder)
        return folder

    yield mount
    for place in mounted:
        subprocess.run(["umount", "--lazy", str(place)], check=True)


@pytest.mark.parametrize("said", ["Not a directory", "Permission denied", "Read-only file system"])
def test_a_folder_that_cannot_be_written(tmp_path, request, said):
    folder = tmp_path / "folder"
    if said == "Not a directory":
        folder.write_text("")
    elif said == "Permission denied":
        folder.mkdir(mode=0o500)
        if os.access(folder, os.W_OK):
            pytest.skip("this user may write whatever the mode says; the disk that is read-only stands in")
    else:
        folder = request.getfixturevalue("disk")("1m")
        subprocess.run(["mount", "-o", "remount,ro", str(folder)], check=True)
    message = refusal(folder / "data", "backfill", "2019")
    assert message == f"{folder}/data/dagster: expected a folder with room to write to, got: {said}; {ROOM}."


@pytest.mark.parametrize(
    ("size", "place"),
    [
        pytest.param("100k", "dagster", id="no room for the database"),
        pytest.param("1500k", "dagster", id="the database fills up in a run", marks=pytest.mark.slow),
    ],
)
def test_a_disk_that_is_full(disk, finished, size, place):
    data = disk(size) / "data"
    message = refusal(data, "backfill", "2019", "--config", str(finished.config), record_fails=size == "1500k")
    assets = r"((\w+ 2019; )*\w+ 2019: )?"
    assert re.fullmatch(rf"{assets}{data}/{place}: expected a folder with room to write to, got: .*; {ROOM}\.", message)
    assert_nothing_half(data)


@pytest.mark.parametrize(
    ("size", "asset", "place"),
    [
        pytest.param("200k", "raw_prices", "raw/prices/2019.parquet", id="no room for prices"),
        pytest.param(
            "300k",
            "lstm_snapshot",
            "models/lstm/snapshot-2019-12-31",
            id="no room for a snapshot",
            marks=pytest.mark.slow,
        ),
    ],
)
def test_a_disk_that_is_full_beside_a_database_that_is_not(disk, finished, tmp_path, size, asset, place):
    data = disk(size) / "data"
    (tmp_path / "home").mkdir()
    arguments = ["backfill", "2019", "--assets", "raw_prices,lstm_snapshot", "--config", str(finished.config)]
    message = refusal(data, *arguments, DAGSTER_HOME=str(tmp_path / "home"))
    reason = rf"expected a folder with room to write to, got: .*No space left on device; {ROOM}\."
    assert re.fullmatch(rf"{asset} 2019: {data}/{place}: {reason}", message)
    assert_nothing_half(data)
    assert not [path for path in data.rglob("*") if path.name.startswith(".")]  # nothing of the failed write
