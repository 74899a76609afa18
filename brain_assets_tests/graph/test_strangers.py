"""What a run hands to a family and to its checks, seen by families that take a moment and say what they were given."""

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import dagster as dg
import numpy as np
import pytest
import torch

from brain_assets import Act, ModelConfig, OnProgress, Policy, PolicyDataset, PortfolioConstraints, registry
from brain_assets.graph.build import build_assets
from brain_assets.graph.resources import build_resources
from brain_assets.graph.tasks import QUIET
from brain_assets.registry import Families
from brain_assets.simulator.market import SimulatorMarket
from brain_assets.store.tables import MemoryTableStore
from brain_assets_tests.conftest import SYMBOLS
from brain_assets_tests.graph.worlds import PROJECT, RAW, metadata_of
from examples.pls_forecaster import Pls


class Steady(Policy):
    """Holds every asset alike, whatever it sees."""

    name, label = "steady", "Steady"
    Config = ModelConfig
    forecaster = Pls.name

    def fit(
        self, weeks: PolicyDataset, config: ModelConfig, rules: PortfolioConstraints, progress: OnProgress, device: str
    ) -> Mapping[str, np.ndarray]:
        assert device == "cuda"
        return {}

    def act(self, arrays: Mapping[str, np.ndarray], config: ModelConfig, weeks: PolicyDataset) -> Act:
        return lambda week, held: np.append(np.full(weeks.n_assets, 2.0), -4.0)

    def logit_bound(self, config: ModelConfig) -> float:
        return 4.0


class World:
    """The graph of these two families alone, on a market whose signal is strong, and a machine that has a GPU."""

    def __init__(self, folder: Path) -> None:
        registry.register(Steady)
        families = Families.of([registry.get(Pls.name), registry.get(Steady.name)])
        market = SimulatorMarket(SYMBOLS, seed=1, signal=0.9)
        self.assets = build_assets(PROJECT.years, families)
        self.resources = build_resources(market, MemoryTableStore(), folder / "models", families=families)

    def run(self, year: int, *names: str, **configs: Any) -> dg.ExecuteInProcessResult:
        return dg.materialize(
            self.assets,
            selection=[*RAW, *names],
            partition_key=str(year),
            resources=dict(self.resources),
            run_config={"ops": {name: {"config": config} for name, config in configs.items()}, "loggers": QUIET},
            raise_on_error=False,
        )


@pytest.fixture
def world(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> World:
    monkeypatch.setattr(torch.cuda, "is_available", lambda: True)
    return World(tmp_path)


def check(result: dg.ExecuteInProcessResult, name: str) -> dg.AssetCheckEvaluation:
    [found] = [each for each in result.get_asset_check_evaluations() if each.check_name == name]
    return found


def test_what_is_too_good_blocks_the_year_unless_more_is_allowed(world: World) -> None:
    assert world.run(2019, "pls_snapshot").success
    refused = world.run(2020, "walkforward_forecasts")
    assert not refused.success
    assert not check(refused, "not_too_good").passed
    assert "too good to be true" in (check(refused, "not_too_good").description or "")
    assert world.run(2020, "walkforward_forecasts", walkforward_forecasts={"max_rank_correlation": 0.95}).success


def test_models_of_a_gpu_say_so_and_are_found_again(world: World) -> None:
    options = {"pls_snapshot": {"device": "cuda"}, "steady_policy": {"device": "cuda"}}
    for reused in (False, True):
        result = world.run(2019, "walkforward_forecasts", *options, **options)
        assert result.success
        for name in options:
            shown = metadata_of(result, name)
            assert (shown["device"], shown["reused"]) == ("cuda", reused)
