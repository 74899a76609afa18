"""Bad input: one clear sentence on stderr, a non-zero exit, no traceback, and nothing half left behind."""

import contextlib
import datetime
import os
import re
import subprocess
from pathlib import Path

import numpy as np
import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from brain_assets.errors import SettingsError
from brain_assets.simulator.market import SimulatorMarket
from brain_assets.terminal import read_years
from brain_assets_tests.backfills import assert_nothing_half, brain_assets, in_own_process, write_config
from brain_assets_tests.conftest import TINY_LSTM

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
        pytest.param(
            ["2018-2020"],
            {},
            r"years: expected years from 2019 to 2021, got 2018; choose among those \(.*\)\.",
            id="year before the range",
        ),
        pytest.param(
            ["2022"],
            {},
            r"years: expected years from 2019 to 2021, got 2022; choose among those \(.*\)\.",
            id="year after the range",
        ),
        pytest.param(
            ["2021-2019"],
            {},
            r"years: expected the earlier year first, got 2021-2019; turn it round: 2019-2021\.",
            id="reversed range",
        ),
        pytest.param(["all"], {}, r"years: expected 2021 or 2019-2022, got all; correct it\.", id="no year"),
        pytest.param(
            ["2019", "--assets", "lstm_snapshot,lstm"],
            {},
            r"--assets: expected names among raw_fundamentals, raw_news_sentiment, .*, got lstm; correct them\.",
            id="unknown asset",
        ),
        pytest.param(
            ["2019"],
            {"BRAIN_MARKET": "files", "BRAIN_FILES_DIR": "/no/such/folder"},
            r"/no/such/folder: expected a folder with price files, got no such folder; create it\.",
            id="no such folder of files",
        ),
    ],
)
def test_settings_and_arguments(tmp_path, arguments, variables, sentence):
    assert re.fullmatch(sentence, refusal(tmp_path / "data", "backfill", *arguments, **variables))
    assert not (tmp_path / "data" / "raw").exists()


@given(st.from_regex(r"[0-9]{4}(-[0-9]{4})?", fullmatch=True))
@example("0000")
@example("2019-9999")
def test_years_are_those_that_have_days(text):
    with contextlib.suppress(SettingsError):
        first, last = read_years(text)[0], read_years(text)[-1]
        assert datetime.date(1900, 1, 1) <= datetime.date(first, 1, 1) < datetime.date(last + 1, 1, 1)


@pytest.mark.parametrize(
    ("content", "sentence"),
    [
        pytest.param(
            {"ops": {"lstm_snapshot": {"config": {"hidden": 3}}}},
            r"run configuration: ops\.lstm_snapshot\.config: expected keys among batch_size, clip, device, "
            r"dropout, epochs, force, hidden_size, .*, window, got hidden; correct it\.",
            id="unknown key",
        ),
        pytest.param(
            {"ops": {"lstm": {"config": TINY_LSTM}}},
            r"run configuration: ops: expected keys among backtest, boosting_snapshot, .*, got lstm; correct it\.",
            id="unknown asset",
        ),
        pytest.param(
            {"ops": {2019: {}}},
            r"run configuration: ops: expected keys among backtest, boosting_snapshot, .*, got 2019; correct it\.",
            id="number for an asset",
        ),
        pytest.param(
            {"ops": {"lstm_snapshot": {"config": {"hidden_size": "big"}}}},
            r"run configuration: ops\.lstm_snapshot\.config\.hidden_size: expected Int, got 'big'; correct it\.",
            id="text for a number",
        ),
        pytest.param(
            {"ops": {"ppo_policy": {"config": {"device": "gpu"}}}},
            r"run configuration: ops\.ppo_policy\.config\.device: expected one of auto, cpu, cuda, got 'gpu'; correct "
            r"it\.",
            id="unknown device",
        ),
        pytest.param(
            {"ops": {"lstm_snapshot": {"config": {"hidden_size": -1}}}},
            r"hidden_size: expected an integer: at least 1, at most 1,024, got -1; correct the run configuration\.",
            id="impossible value",
        ),
        pytest.param(
            ["ops"], r".*/run\.yaml: expected a mapping with the key ops, got list; correct the file\.", id="no mapping"
        ),
    ],
)
def test_run_configurations(tmp_path, content, sentence):
    config = write_config(tmp_path / "run.yaml", content)
    assert re.fullmatch(sentence, refusal(tmp_path / "data", "backfill", "2019", "--config", str(config)))


def test_a_run_configuration_that_is_no_yaml_or_absent(tmp_path):
    (tmp_path / "run.yaml").write_text("ops: {lstm_snapshot: [")
    message = refusal(tmp_path / "data", "backfill", "2019", "--config", str(tmp_path / "run.yaml"))
    assert message.startswith(f"{tmp_path}/run.yaml: expected YAML, got: while parsing a flow node")
    assert message.endswith("; correct the file.")
    message = refusal(tmp_path / "data", "backfill", "2019", "--config", str(tmp_path / "none.yaml"))
    assert message == f"{tmp_path}/none.yaml: expected a YAML file, got: No such file or directory; correct --config."


# The user's own prices


@pytest.fixture(scope="module")
def prices():
    return SimulatorMarket(("AAA", "BBB", "CCC")).prices(datetime.date(2016, 1, 1), datetime.date(2021, 1, 1))


SPOIL = {
    "wrong column": (
        lambda frame: frame.rename(columns={"close": "last"}),
        rf"prices\.csv: expected the columns {HEADER}, got .*, last, volume \(missing: close\); rename or add them\.",
    ),
    "no price at all": (
        lambda frame: frame.assign(**dict.fromkeys(["open", "high", "low", "close"], np.nan)),
        r"raw_prices 2019-2020: .*: expected at least 66 bars of a symbol, got AAA \(0\), BBB \(0\), CCC \(0\); add "
        r"data\.",
    ),
}


@pytest.mark.parametrize("name", SPOIL)
def test_prices(tmp_path, prices, name):
    spoil, sentence = SPOIL[name]
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


def test_a_data_folder_below_a_file(tmp_path):
    (tmp_path / "file").write_text("")
    message = refusal(tmp_path / "file" / "data", "backfill", "2019")
    assert message == f"{tmp_path}/file/data/dagster: expected a folder with room to write to, got: " + (
        f"Not a directory; {ROOM}."
    )


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


def test_a_folder_that_cannot_be_written(tmp_path):
    (tmp_path / "data").mkdir(mode=0o500)
    if os.access(tmp_path / "data", os.W_OK):
        pytest.skip("this user may write whatever the mode says; test_a_disk_that_is_read_only stands in")
    message = refusal(tmp_path / "data", "backfill", "2019")
    assert message == f"{tmp_path}/data/dagster: expected a folder with room to write to, got: " + (
        f"Permission denied; {ROOM}."
    )


def test_a_disk_that_is_read_only(disk):
    folder = disk("1m")
    subprocess.run(["mount", "-o", "remount,ro", str(folder)], check=True)
    message = refusal(folder / "data", "backfill", "2019")
    assert message == f"{folder}/data/dagster: expected a folder with room to write to, got: " + (
        f"Read-only file system; {ROOM}."
    )


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
