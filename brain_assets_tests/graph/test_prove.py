"""The graph itself looks at nothing of the future, and a leak in it is caught: real Dagster runs, all assets."""

import datetime
from pathlib import Path

import dagster as dg
import pytest

from brain_assets.forecasting import walkforward
from brain_assets.graph.assets import forecasts
from brain_assets.graph.prove import GraphRuns, frozen, with_another_future
from brain_assets.portfolio import baselines
from brain_assets.proofs.no_lookahead import LEAK, PASSED, Verdict, default_dates, prove_no_lookahead
from brain_assets.proofs.pipeline import Span, upstream_of
from brain_assets.registry import families_of
from brain_assets.simulator.market import SimulatorMarket
from brain_assets_tests.conftest import TINY
from brain_assets_tests.graph.worlds import DEFS, PROJECT

SPAN = Span(2016, 2019, 2020)
JULY = datetime.date(2020, 7, 2)


def prove(market: SimulatorMarket, folder: Path, date: datetime.date) -> tuple[Verdict, list[str]]:
    options = {name: each["config"] for name, each in TINY["ops"].items()}
    steps: list[str] = []
    runs = GraphRuns(PROJECT, SPAN, options, lambda words, _: steps.append(words))
    [verdict] = prove_no_lookahead(frozen(market, SPAN), SPAN, [date], folder, runs, corrupt=with_another_future)
    return verdict, steps


@pytest.mark.slow  # the same without Dagster is quick: proofs/test_no_lookahead.py
def test_everything_up_to_a_date_is_blind_to_what_comes_after(
    market: SimulatorMarket, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    quick = {name: baselines.BASELINES[name] for name in ("equal_weight", "buy_and_hold")}
    # those that optimize take most of the time, and are tested slowly below
    monkeypatch.setattr(baselines, "BASELINES", quick)
    verdict, steps = prove(market, tmp_path, JULY)
    assert verdict.result == PASSED, verdict.words
    assert steps[:3] == ["2019 raw tables", "2020 raw tables", "2019 models, forecasts, backtest"]
    comparison = verdict.comparison
    assert comparison is not None
    for stage in upstream_of(families_of()):
        assert comparison.compared[stage, "metadata"] > 3, stage  # what the materializations of 2019 show
        assert comparison.later_changed[stage] > 0, stage
    for family in ("lstm", "patchtst", "ppo", "sac"):
        stage = f"{family}_{'snapshot' if family in ('lstm', 'patchtst') else 'policy'}"
        assert comparison.compared[stage, "snapshot files"] >= 5  # all of 2019


@pytest.mark.slow
def test_default_dates_and_all_rules_pass_on_the_graph(market: SimulatorMarket, tmp_path: Path) -> None:
    for date in default_dates(SPAN.years):
        verdict, _ = prove(market, tmp_path / str(date), date)
        assert verdict.result == PASSED, verdict.words


@pytest.mark.slow
def test_leak_in_the_graph_is_caught(market: SimulatorMarket, monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    features = walkforward.build_forecast_features

    def centred(*arguments: object, **options: object) -> object:
        table = features(*arguments, **options)
        smoothed = table.groupby("symbol")["lstm"].rolling(3, center=True, min_periods=1).mean()
        return table.assign(lstm=smoothed.droplevel(0))

    monkeypatch.setattr(forecasts, "build_forecast_features", centred)
    verdict, _ = prove(market, tmp_path, JULY)
    assert verdict.result == LEAK
    assert verdict.first is not None
    assert (verdict.first.stage, verdict.first.column) == ("walkforward_forecasts", "lstm")
    assert verdict.first.place.startswith("week of 2020-07-06, ")
    assert verdict.equal_upstream == (
        "raw_prices",
        "raw_news_sentiment",
        "raw_fundamentals",
        "lstm_snapshot",
        "patchtst_snapshot",
    )


def test_upstream_is_what_the_graph_says() -> None:
    graph = DEFS.resolve_asset_graph()
    for stage, parents in upstream_of(families_of()).items():
        found = {key.to_user_string() for key in graph.get(dg.AssetKey(stage)).parent_keys}
        assert found == set(parents), stage
