"""What a run hands to a family and to its checks, seen by a family that takes a moment."""

from pathlib import Path
from typing import Any

import dagster as dg
import pytest
import torch

from brain_assets import registry
from brain_assets.graph.build import build_assets
from brain_assets.graph.resources import build_resources
from brain_assets.graph.tasks import QUIET
from brain_assets.registry import Families
from brain_assets.simulator.market import SimulatorMarket
from brain_assets.store.tables import MemoryTableStore
from brain_assets_tests.conftest import SYMBOLS
from brain_assets_tests.graph.worlds import PROJECT, RAW, metadata_of
from examples.pls_forecaster import Pls


class World:
    """The graph of one family alone, on a market whose signal is strong."""

    def __init__(self, folder: Path) -> None:
        families = Families.of([registry.get(Pls.name)])
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
def world(tmp_path: Path) -> World:
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


def test_models_of_a_gpu_say_so_and_are_found_again(world: World, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(torch.cuda, "is_available", lambda: True)
    for reused in (False, True):
        result = world.run(2019, "pls_snapshot", pls_snapshot={"device": "cuda"})
        assert result.success
        shown = metadata_of(result, "pls_snapshot")
        assert (shown["device"], shown["reused"]) == ("cuda", reused)
