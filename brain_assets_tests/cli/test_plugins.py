"""Families that are not ours: what follows from their registration, and from nothing else."""

import os
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import dagster as dg
import pytest

from brain_assets.errors import SettingsError
from brain_assets.graph.build import Project, open_project
from brain_assets.settings import read_settings
from brain_assets_tests.backfills import Finished, brain_assets, outcomes
from brain_assets_tests.conftest import FAMILIES
from brain_assets_tests.store.hubs import TOKEN, WatchedHub

PLUGINS = "examples.ridge_forecaster,examples.momentum_policy"
MADE = ("ridge_snapshot", "momentum_rank_policy")


@pytest.fixture
def projects() -> tuple[Project, Project]:
    """Ours alone, and with theirs, in one process."""
    return open_project(read_settings()), open_project(read_settings(plugins=PLUGINS))


def names(project: Project) -> set[str]:
    return {asset.key.to_user_string() for asset in project.assets.every}


def test_assets_follow_and_are_of_their_own_settings_only(projects: tuple[Project, Project]) -> None:
    ours, theirs = projects
    assert names(theirs) - names(ours) == {*MADE, "ridge_model"}
    graph = theirs.definitions.resolve_asset_graph()
    ridge, policy = (graph.get(dg.AssetKey(name)) for name in MADE)
    assert {key.to_user_string() for key in ridge.parent_keys} == {"raw_prices"}  # it sees returns alone
    assert dg.AssetKey("walkforward_forecasts") in policy.parent_keys
    assert ridge.code_version == "1"
    assert str(ridge.description).startswith("Ridge forecaster of weekly returns")
    assert {key.name for key in ridge.check_keys} == {
        key.name for key in graph.get(dg.AssetKey("lstm_snapshot")).check_keys
    }
    for project, has in ((ours, False), (theirs, True)):
        known = project.definitions.resolve_asset_graph()
        schema = known.get(dg.AssetKey("walkforward_forecasts")).metadata["dagster/column_schema"]
        columns = {column.name for column in schema.columns}
        assert ({"ridge", "ridge_source"} <= columns) is has
        for name, needed in (("walkforward_forecasts", MADE[0]), ("backtest", MADE[1]), ("target_weights", MADE[0])):
            assert (dg.AssetKey(needed) in known.get(dg.AssetKey(name)).parent_keys) is has
        assert project.definitions.resolve_job_def("walkforward").has_node_named(MADE[0]) is has
        assert ("ridge" in (project.definitions.resources or {})["snapshot_io"].storages) is has


def test_a_family_of_ones_own_needs_a_repo_of_its_own_on_the_hub(monkeypatch: pytest.MonkeyPatch) -> None:
    for name, value in repos((*FAMILIES, "ridge")).items():
        monkeypatch.setenv(name, value)
    assert read_settings(storage_backend="hf").families.by_name.keys() == set(FAMILIES)
    with pytest.raises(SettingsError, match=r"^HF_MOMENTUM_RANK_MODEL_REPO: expected a model repo each"):
        read_settings(storage_backend="hf", plugins=PLUGINS)
    monkeypatch.setenv("HF_MOMENTUM_RANK_MODEL_REPO", "user/momentum_rank")
    settings = read_settings(storage_backend="hf", plugins=PLUGINS)
    assert settings.model_repo("momentum_rank") == "user/momentum_rank"
    assert settings.differing_variables()["HF_RIDGE_MODEL_REPO"] == "user/ridge"


def repos(families: Any) -> dict[str, str]:
    return {f"HF_{family.upper()}_MODEL_REPO": f"user/{family}" for family in families}


@pytest.mark.parametrize(
    ("plugin", "sentence"),
    [
        ("nothing_of_that_name", "expected a module that can be imported, got ModuleNotFoundError"),
        ("json", "expected a module that registers a family, got none"),
    ],
)
def test_a_broken_one_is_one_sentence_everywhere(plugin: str, sentence: str, tmp_path: Path) -> None:
    for command in (("status",), ("models",), ("sync", "status"), ("backfill", "2019"), ("prove", "skill")):
        done = brain_assets(tmp_path, *command, BRAIN_PLUGINS=plugin)
        assert done.returncode == 2
        assert done.stderr.startswith(f"error: {plugin}: {sentence}")
        assert "\n" not in done.stderr.strip()
    environment = {**os.environ, "BRAIN_PLUGINS": plugin}
    loaded = subprocess.run(
        [sys.executable, "-c", "import brain_assets.definitions"], env=environment, capture_output=True, text=True
    )
    assert f"{plugin}: {sentence}" in loaded.stderr.splitlines()[-1]


@pytest.fixture
def made(finished: Finished, tmp_path: Path) -> Iterator[tuple[Path, Any]]:
    """A folder of finished years in which a stranger's models were made as well, and how to run commands on it."""
    data = finished.copy(tmp_path)
    hub_variables = {"STORAGE_BACKEND": "hf", "HF_TOKEN": TOKEN, "BRAIN_PLUGINS": PLUGINS}
    with WatchedHub() as hub:
        hub_variables |= {"HF_ENDPOINT": hub.endpoint, **repos((*FAMILIES, "ridge", "momentum_rank"))}

        def run(folder: Path, *arguments: str) -> subprocess.CompletedProcess[str]:
            done = brain_assets(folder, *arguments, **hub_variables)
            assert done.returncode == 0, done.stdout + done.stderr
            return done

        yield data, run


@pytest.mark.slow
def test_theirs_go_through_years_a_report_the_hub_and_back(
    made: tuple[Path, Any], finished: Finished, tmp_path: Path
) -> None:
    data, run = made
    said = outcomes(run(data, "backfill", "2019-2021", "--config", str(finished.config)).stdout)
    assert {name for year, name in said if year == 2021 and name in MADE} == set(MADE)
    report = run(data, "report").stdout
    assert "momentum, by" in report
    assert "Ridge" in report
    assert "done" in run(data, "status", "2021", "--config", str(finished.config)).stdout
    assert "ridge_model" in run(data, "train", "ridge", "--skip-snapshots").stdout
    assert "ridge" in run(data, "models").stdout
    other = tmp_path / "other"
    run(other, "sync", "pull", "--family", "ridge,momentum_rank")
    for family in ("ridge", "momentum_rank"):
        folder = f"models/{family}/snapshot-2021-12-31"
        assert (other / folder / "metadata.json").read_bytes() == (data / folder / "metadata.json").read_bytes()
    blind = run(tmp_path / "prove", "prove", "no-lookahead", "--years", "2019-2020", "--after", "2020-07-02")
    assert "ridge_snapshot" in blind.stdout
