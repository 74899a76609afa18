"""A model of one's own in one file: what follows from its registration, and that look-ahead is noticed."""

import dataclasses
import datetime
import json
from collections.abc import Mapping
from pathlib import Path

import numpy as np
import pytest

from brain_assets import Act, ModelConfig, OnProgress, Policy, PolicyDataset, PortfolioConstraints, registry
from brain_assets.forecasting.lstm import LstmConfig
from brain_assets.parquet import read_table
from brain_assets.prove.no_lookahead import LookaheadResult
from brain_assets.prove.testing import assert_no_lookahead
from brain_assets.simulator.market import SimulatorMarket
from brain_assets.store.places import read_files
from brain_assets_tests import backfills
from brain_assets_tests.backfills import (
    Finished,
    brain_assets,
    shared_backfill,
)
from brain_assets_tests.conftest import FAMILIES, SYMBOLS, TINY_LSTM
from brain_assets_tests.report.toy_results import unpacked
from brain_assets_tests.store.hubs import TOKEN, WatchedHub
from examples.momentum_policy import MomentumRank
from examples.pls_forecaster import Pls

PLUGINS = {"BRAIN_PLUGINS": "examples.pls_forecaster,examples.momentum_policy"}
OWN = (Pls.name, MomentumRank.name)
YEARS = (2019, 2020)


@pytest.fixture(scope="module")
def before(tmp_path_factory: pytest.TempPathFactory) -> Finished:
    return shared_backfill(tmp_path_factory)


@pytest.fixture(scope="module")
def mill(before: Finished, tmp_path_factory: pytest.TempPathFactory) -> Finished:
    """A finished backfill, and its first years again with two models of a stranger."""
    data_dir = before.copy(tmp_path_factory.mktemp("mill"))
    run = brain_assets(data_dir, "backfill", "2019-2020", "--config", str(before.config), **PLUGINS)
    assert run.returncode == 0, run.stdout + run.stderr
    return dataclasses.replace(before, data_dir=data_dir, output=run.stdout)


def run(mill: Finished, *arguments: str, **variables: str) -> str:
    done = brain_assets(mill.data_dir, *arguments, **{**PLUGINS, **variables})
    assert done.returncode == 0, done.stdout + done.stderr
    return done.stdout


# What follows from the registration


def test_it_is_trained_forecasts_and_trades_and_no_other_model_changes(mill: Finished, before: Finished) -> None:
    said = {tuple(line.split(maxsplit=2)[:2]): line for line in mill.output.splitlines() if line[:4].isdigit()}
    for year in map(str, YEARS):
        assert "done already, skipped" in said[year, "lstm_snapshot"]
        assert "made in" in said[year, "pls_snapshot"]
        assert "made in" in said[year, "momentum_rank_policy"]
    assert (
        backfills.contents(backfills.weights(before.data_dir)).items()
        <= backfills.contents(backfills.weights(mill.data_dir)).items()
    )
    for year in YEARS:
        file = f"forecasts/{year}.parquet"
        forecasts = read_table(mill.data_dir / file)
        assert [name for name in forecasts if name.startswith("pls")] == ["pls", "pls_source"]
        averaged = ["average", "average_source"]  # of all forecasters, so of one more
        without = read_table(before.data_dir / file).drop(columns=averaged)
        assert forecasts.drop(columns=["pls", "pls_source", *averaged]).equals(without)
    assert set(forecasts["pls_source"]) == {"momentum", "snapshot-2019-12-31"}  # the week over New Year
    assert forecasts["pls"].notna().all()
    assert forecasts["average_source"].iloc[-1].endswith(", pls snapshot-2019-12-31")
    traded = read_table(mill.data_dir / "backtests/2020.parquet").groupby("strategy")["weights"].first()
    assert {"pls_top", "momentum_rank"} < set(traded.index)
    weights = json.loads(traded["momentum_rank"])
    assert min(weights.values()) < 0.1 < max(weights.values())  # as steep as its logits


def test_the_report_shows_it_in_a_colour_of_its_own(mill: Finished) -> None:
    run(mill, "report")
    [page] = (mill.data_dir / "reports").glob("*.html")
    lines = json.loads(unpacked(page.read_text(), "figures"))["equity"]["data"]
    colors = {line["name"]: line["line"]["color"] for line in lines}
    assert {"PLS forecasts, top third", "momentum, by rank"} < colors.keys()
    assert len(set(colors.values())) == len(colors)


def test_it_goes_to_the_hub_and_comes_back_as_it_was(mill: Finished, tmp_path: Path) -> None:
    names = (*FAMILIES, *OWN)
    with WatchedHub() as hub:
        repos = {f"HF_{name.upper()}_MODEL_REPO": f"user/{name}" for name in names}
        variables = {**PLUGINS, "STORAGE_BACKEND": "hf", "HF_TOKEN": TOKEN, "HF_ENDPOINT": hub.endpoint, **repos}
        pushed = brain_assets(mill.data_dir, "sync", "push", "--family", ",".join(OWN), **variables)
        pulled = brain_assets(tmp_path, "sync", "pull", "--family", ",".join(OWN), **variables)
        assert pushed.returncode == pulled.returncode == 0, pushed.stderr + pulled.stderr
        lacking = brain_assets(tmp_path, "status", **{**variables, "HF_PLS_MODEL_REPO": ""})
    for name in OWN:
        for year in YEARS:
            folder = Path("models") / name / f"snapshot-{year}-12-31"
            assert read_files(tmp_path / folder) == read_files(mill.data_dir / folder)
    assert lacking.stderr.startswith("error: HF_PLS_MODEL_REPO: expected a model repo")


# No look-ahead

JULY = datetime.date(2020, 7, 2)


class Foreseeing(Policy):
    """Holds what will rise most this week: rows of the past and rows of the future lie in one array."""

    name, label = "foreseeing", "Foreseeing"
    Config = ModelConfig
    forecaster = "lstm"

    def fit(
        self, weeks: PolicyDataset, config: ModelConfig, rules: PortfolioConstraints, progress: OnProgress, device: str
    ) -> Mapping[str, np.ndarray]:
        return {}

    def act(self, arrays: Mapping[str, np.ndarray], config: ModelConfig, weeks: PolicyDataset) -> Act:
        return lambda week, held: np.append(100.0 * weeks.weekly_return[week], 0.0)


def proof(folder: Path, *plugins: str) -> LookaheadResult:
    families = registry.families_of(plugins)
    configs = {name: family.Config() for name, family in families.by_name.items() if name in (*OWN, "foreseeing")}
    market = SimulatorMarket(SYMBOLS, seed=1)
    configs["lstm"] = LstmConfig(**TINY_LSTM)
    [result] = assert_no_lookahead(folder, market, last_year=2020, dates=[JULY], configs=configs)
    return result


def test_the_examples_see_nothing_of_the_future(tmp_path: Path) -> None:
    comparison = proof(tmp_path, *PLUGINS["BRAIN_PLUGINS"].split(",")).comparison
    assert comparison is not None
    assert {"pls_snapshot", "walkforward_forecasts", "momentum_rank_policy"} < set(comparison.assets)
    assert comparison.compared["pls_snapshot", "models/pls/snapshot-2019-12-31/model.safetensors"] > 0


def test_a_policy_that_sees_the_week_to_come_is_named(tmp_path: Path) -> None:
    registry.register(Foreseeing)
    with pytest.raises(AssertionError, match=r"LOOK AHEAD.* backtests/2020.parquet, week of 2020-07-06, foreseeing"):
        proof(tmp_path, __name__)
