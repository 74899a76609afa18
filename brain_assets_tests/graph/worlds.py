"""Running the graph in tests: real Dagster runs, small models, any table store."""

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import dagster as dg

from brain_assets.graph.assets import ASSETS
from brain_assets.graph.resources import build_resources
from brain_assets.market.base import Market
from brain_assets.tables import MemoryTableStore, TableStore
from brain_assets_tests.conftest import TINY_LSTM, TINY_PPO

RUN_CONFIG = {"ops": {"lstm_snapshot": {"config": TINY_LSTM}, "ppo_policy": {"config": TINY_PPO}}}
NAMES = ("raw_prices", "lstm_snapshot", "walkforward_forecasts", "ppo_policy", "backtest")


def run_year(
    year: int,
    resources: Mapping[str, Any],
    instance: dg.DagsterInstance | None = None,
    names: Sequence[str] = NAMES,
    run_config: Mapping[str, Any] | None = None,
    raise_on_error: bool = True,
) -> dg.ExecuteInProcessResult:
    """Materialize a year of some assets."""
    ops = {name: options for name, options in (run_config or RUN_CONFIG)["ops"].items() if name in names}
    return dg.materialize(
        ASSETS,
        selection=list(names),
        partition_key=str(year),
        instance=instance,
        resources=dict(resources),
        run_config={"ops": ops},
        raise_on_error=raise_on_error,
    )


def world(market: Market, models_dir: Path, tables: TableStore | None = None) -> Mapping[str, Any]:
    return build_resources(market, tables or MemoryTableStore(), models_dir)


def metadata_of(result: dg.ExecuteInProcessResult, name: str) -> dict[str, Any]:
    """Give the plain metadata of an asset's materialization."""
    [event] = [event for event in result.get_asset_materialization_events() if event.asset_key == dg.AssetKey(name)]
    return {key: value.value for key, value in event.materialization.metadata.items()}
