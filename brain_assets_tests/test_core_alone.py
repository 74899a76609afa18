"""The core is whole by itself: its tests pass where no wing can be imported."""

import subprocess
import sys

import pytest

from brain_assets_tests.backfills import REPOSITORY

CORE = ("market", "forecasting", "portfolio", "store", "graph")


@pytest.mark.slow
@pytest.mark.claim
def test_the_core_passes_its_tests_without_any_wing() -> None:
    command = [sys.executable, "-m", "pytest", "-q", "-x", "-p", "brain_assets_tests.without_wings"]
    command += ["-m", "not slow and not wings"]
    command += [f"brain_assets_tests/{package}" for package in CORE]
    done = subprocess.run(command, cwd=REPOSITORY, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stdout[-3000:]


def test_a_market_of_its_own_is_all_that_it_needs() -> None:
    code = "from brain_assets_tests import without_wings; from brain_assets.definitions import defs;"
    code += "print(sorted(key.to_user_string() for key in defs.resolve_all_asset_keys()))"
    environment = {"BRAIN_MARKET": "sample"}
    done = subprocess.run(
        [sys.executable, "-c", code], cwd=REPOSITORY, env=environment, capture_output=True, text=True, check=True
    )
    assert "'walkforward_forecasts'" in done.stdout
    assert "report" not in done.stdout
