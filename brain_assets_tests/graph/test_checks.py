"""Asset checks in real runs: what passes, what warns, what blocks, and that a year which is refused is not done."""

import datetime
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import dagster as dg
import pandas as pd

from brain_assets.graph.backfill import Backfill
from brain_assets.graph.checks import BACKTEST_CHECKS, FORECAST_CHECKS, FORECASTER_CHECKS, POLICY_CHECKS, PRICE_CHECKS
from brain_assets.graph.status import State, StatusReader
from brain_assets.graph.tasks import ENDS, Event
from brain_assets.simulator.market import SimulatorMarket
from brain_assets.store.tables import TableStore
from brain_assets_tests.conftest import SYMBOLS
from brain_assets_tests.graph.worlds import DEFS, EVERY, YEARLY, PoolHere, run_year, world

CHECKS = {
    "raw_prices": PRICE_CHECKS,
    "lstm_snapshot": FORECASTER_CHECKS,
    "patchtst_snapshot": FORECASTER_CHECKS,
    "walkforward_forecasts": FORECAST_CHECKS,
    "ppo_policy": POLICY_CHECKS,
    "sac_policy": POLICY_CHECKS,
    "backtest": BACKTEST_CHECKS,
}


def evaluations(result: dg.ExecuteInProcessResult) -> dict[tuple[str, str], Any]:
    return {
        (found.asset_key.to_user_string(), found.check_name): found for found in result.get_asset_check_evaluations()
    }


def test_every_check_is_made_for_every_year_and_carries_it(market: SimulatorMarket, tmp_path: Path) -> None:
    resources = world(market, tmp_path)
    with dg.DagsterInstance.ephemeral() as instance:
        for year in (2019, 2020):
            found = evaluations(run_year(year, resources, instance))
            assert set(found) == {(asset, name) for asset, checks in CHECKS.items() for name in checks}
            for (asset, name), evaluation in found.items():
                check = CHECKS[asset][name]
                assert evaluation.blocking is check.blocks
                assert evaluation.partition == str(year)
                assert evaluation.passed or not check.blocks
                assert evaluation.description
                expected = dg.AssetCheckSeverity.ERROR if check.blocks else dg.AssetCheckSeverity.WARN
                assert evaluation.severity == expected


class Changed:
    """A market whose bars are changed as a test says."""

    def __init__(self, market: SimulatorMarket, change: Callable[[pd.DataFrame], None]) -> None:
        self._market, self._change = market, change

    def __getattr__(self, name: str) -> Any:
        return getattr(self._market, name)

    def prices(self, start: datetime.date, end: datetime.date) -> pd.DataFrame:
        frame = self._market.prices(start, end)
        self._change(frame)
        return frame


def swap(frame: pd.DataFrame) -> None:
    """Swap high and low of one bar."""
    wrong = (frame["date"] == "2019-03-05") & (frame["symbol"] == frame["symbol"].iloc[0])
    frame.loc[wrong, ["high", "low"]] = frame.loc[wrong, ["low", "high"]].to_numpy()


def double(frame: pd.DataFrame) -> None:
    """Make prices twice as high from 2020 on, as after a split that nobody adjusted for."""
    frame.loc[frame["date"] >= "2020-01-01", ["open", "high", "low", "close"]] *= 2


def test_a_jump_from_one_year_to_the_next_is_seen_in_the_later(market: SimulatorMarket, tmp_path: Path) -> None:
    resources = world(Changed(market, double), tmp_path)  # type: ignore[arg-type]
    found = [evaluations(run_year(year, resources, names=["raw_prices"])) for year in (2019, 2020)]
    assert [each["raw_prices", "no_jumps"].passed for each in found] == [True, False]
    assert f"{len(SYMBOLS)} closes lie more than" in found[1]["raw_prices", "no_jumps"].description
    assert "2020-01-02 AAA +" in found[1]["raw_prices", "no_jumps"].description


def definitions(resources: Mapping[str, Any]) -> dg.Definitions:
    return dg.Definitions(assets=EVERY, jobs=DEFS.jobs, resources=resources)


def ended(backfill: Backfill, defs: dg.Definitions, instance: dg.DagsterInstance) -> list[Event]:
    return [event for event in backfill.run([2019], PoolHere(defs, instance)) if event.kind in ENDS]


def test_a_year_that_is_refused_blocks_what_needs_it_and_is_not_done(market: SimulatorMarket, tmp_path: Path) -> None:
    tables = TableStore(tmp_path, {"market": "simulator"})
    bad = definitions(world(Changed(market, swap), tmp_path / "models", tables))  # type: ignore[arg-type]
    names = ["raw_prices", "lstm_snapshot"]
    with dg.DagsterInstance.ephemeral() as instance:
        first, second = ended(Backfill(bad, instance, names), bad, instance)
        assert (first.asset, first.kind) == ("raw_prices", "failed")
        assert first.detail.startswith("ohlc_in_order: expected open and close between low and high, got 1 bars")
        assert "2019-03-05" in first.detail
        assert (second.asset, second.kind) == ("lstm_snapshot", "blocked")
        assert not (tmp_path / "models" / "lstm").exists()
        status = StatusReader(bad, instance, {}).read("raw_prices", 2019)
        assert (status.state, status.reason) == (State.STALE, "did not pass its checks: ohlc_in_order")
        good = definitions(world(market, tmp_path / "models", tables))
        [again] = ended(Backfill(good, instance, names[:1]), good, instance)
        assert again.kind == "made", again.detail
        assert again.metadata["replaced_because"].endswith("the stored bars did not pass the checks")
        assert StatusReader(good, instance, {}).read("raw_prices", 2019).state is State.DONE
        assert len(list((tmp_path / "raw" / "prices" / "replaced").iterdir())) == 1  # what was refused is kept


def test_the_graph_has_these_checks() -> None:
    declared = {(spec.asset_key.to_user_string(), spec.name) for asset in YEARLY for spec in asset.check_specs}
    assert declared == {(asset, name) for asset, checks in CHECKS.items() for name in checks}
    assert all(spec.partitions_def is not None for asset in YEARLY for spec in asset.check_specs)
