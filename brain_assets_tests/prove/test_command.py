"""`brain-assets prove no-lookahead` as its users run it."""

import re
from pathlib import Path

import pytest

from brain_assets_tests.backfills import brain_assets, write_config
from brain_assets_tests.conftest import FAMILIES


@pytest.mark.slow
def test_no_lookahead(tmp_path: Path) -> None:
    config, kept = write_config(tmp_path / "tiny.yaml"), tmp_path / "kept"
    options = ["--years", "2019", "--after", "2019-07-05", "--config", str(config), "--keep", str(kept)]
    short = {"BRAIN_FIRST_YEAR": "2018", "BRAIN_BOOTSTRAP_YEARS": "2"}
    run = brain_assets(tmp_path / "data", "prove", "no-lookahead", *options, **short)
    assert run.returncode == 0, run.stdout + run.stderr
    assert re.search(r"after 2019-07-05: passed, [\d,]+ values and files are the same", run.stdout)
    assert not (tmp_path / "data").exists()
    assert (kept / "as it was" / "forecasts" / "2019.parquet").is_file()


@pytest.mark.parametrize(
    ("arguments", "sentence"),
    [
        ("no-lookahead --after July", r"--after: expected a day as 2020-12-31, got July; correct it\."),
        (f"no-lookahead --keep {__file__}", r"--keep: expected a folder that is empty or not there yet, got .*"),
        pytest.param(
            "no-lookahead --after 2030-01-01",
            r"--after: expected a date from 2016-02-02 to 2021-12-30, .*, got 2030-01-01; choose one\.",
            marks=pytest.mark.slow,
        ),
        ("skill arima", rf"family: expected one of {', '.join(FAMILIES)}, got 'arima'; correct it, or .*"),
    ],
)
def test_bad_input_is_one_sentence(tmp_path: Path, arguments: str, sentence: str) -> None:
    run = brain_assets(tmp_path / "data", "prove", *arguments.split())
    assert run.returncode == 2, run.stdout + run.stderr
    assert re.fullmatch(rf"error: {sentence}\n", run.stderr)
    assert not (tmp_path / "data").exists()


@pytest.mark.slow
def test_skill_quickly_of_one_family(tmp_path: Path) -> None:
    run = brain_assets(tmp_path / "data", "prove", "skill", "lstm", "--quick")
    assert run.returncode == 0, run.stdout + run.stderr
    assert re.search(r"lstm, 0.15 injected in reversal: at least 60% .*: got \d+%, holds \(\d+ s\)", run.stdout)
    assert not (tmp_path / "data").exists()
