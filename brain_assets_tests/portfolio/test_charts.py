"""What the pictures of a report show, before anybody draws them."""

import itertools
from dataclasses import replace

import numpy as np
import pytest

from brain_assets.portfolio.charts import AREA_COLORS, MAX_SYMBOLS, Chart, report_charts
from brain_assets.portfolio.report import Weights
from brain_assets_tests.portfolio.toy_results import toy_report


def charts(report=None) -> dict[str, Chart]:
    groups = report_charts(report or toy_report())
    return {chart.key: chart for group in groups for chart in (*group.charts, *group.folded)}


def series(chart: Chart) -> dict[str, np.ndarray]:
    return {each.name: np.array(each.y, dtype=float) for each in chart.series if each.kind != "band"}


def test_everything_that_the_report_knows_has_a_picture() -> None:
    assert list(charts()) == [
        *("equity", "drawdowns", "weights_ppo", "weights_sac", "weights_<b>my rule</b>", "turnover", "costs"),
        *("rank_correlation", "calibration_lstm", "calibration_patchtst", "sources_lstm", "sources_patchtst"),
        *("learning_lstm", "learning_patchtst", "learning_ppo", "learning_sac"),
    ]


def test_what_it_does_not_know_has_none() -> None:
    rules = tuple(each for each in toy_report().strategies if each.name == "equal_weight")
    bare = replace(toy_report(), strategies=rules, policies=(), forecasters=(), curves=())
    assert list(charts(bare)) == ["equity", "drawdowns", "turnover", "costs"]


def test_equity_is_what_a_dollar_became_and_lies_within_the_band_of_seeds() -> None:
    chart = charts()["equity"]
    policy = toy_report().strategies[0]
    assert chart.log
    np.testing.assert_allclose(series(chart)["PPO"], np.cumprod(1 + policy.net_returns), atol=5e-5)
    [band] = [each for each in chart.series if each.kind == "band"]  # SAC has one seed
    assert (np.array(band.low) <= series(chart)["PPO"]).all()
    assert (np.array(band.high) >= series(chart)["PPO"]).all()
    assert band.high[-1] > band.low[-1] * 1.1  # three thousandths a week apart
    assert [each.name for each in chart.series][-2:] == ["PPO", "SAC"]  # on top


def test_drawdowns_are_zero_at_a_new_high() -> None:
    chart = charts()["drawdowns"]
    wealth = np.cumprod(1 + toy_report().strategies[0].net_returns)
    drawn = series(chart)["PPO"]
    assert drawn[wealth.argmax()] == 0.0
    assert drawn.min() == pytest.approx(-toy_report().strategies[0].max_drawdown, abs=1e-4)


def test_weights_add_up_and_end_with_cash() -> None:
    chart = charts()["weights_ppo"]
    assert list(series(chart)) == ["BBB", "AAA", "cash"]
    np.testing.assert_allclose(sum(series(chart).values()), 1.0)


def test_small_weights_of_many_symbols_are_one_area() -> None:
    n_symbols = 30
    values = np.column_stack([np.tile(np.arange(n_symbols, 0, -1) / 500, (60, 1)), np.full(60, 0.07)])
    policy = replace(
        toy_report().strategies[0], weights=Weights((*(f"S{place:02d}" for place in range(n_symbols)), "cash"), values)
    )
    chart = charts(replace(toy_report(), strategies=(policy, *toy_report().strategies[1:])))["weights_ppo"]
    drawn = series(chart)
    assert list(drawn)[MAX_SYMBOLS:] == ["20 others", "cash"]
    np.testing.assert_allclose(drawn["20 others"], np.arange(20, 0, -1).sum() / 500, atol=5e-4)
    np.testing.assert_allclose(sum(drawn.values()), 1.0, atol=0.01)
    assert [each.color for each in chart.series] == list(AREA_COLORS)


def test_rank_correlations_stand_beside_each_other_at_their_year() -> None:
    chart = charts()["rank_correlation"]
    assert [each.name for each in chart.series] == ["LSTM", "PatchTST", "momentum"]
    assert [round(float(point)) for point in chart.series[0].x] == [2020, 2021]
    assert chart.series[0].x[0] < chart.series[1].x[0] < chart.series[2].x[0]
    found = toy_report().forecasters[0].by_year[2020]
    assert (chart.series[0].y[0], chart.series[0].low[0]) == pytest.approx((found.value, found.low), abs=1e-4)
    assert chart.series[0].low[1] is None  # seven weeks of 2021


def test_calibration_has_both_what_was_forecast_and_what_came() -> None:
    chart = charts()["calibration_lstm"]
    deciles = toy_report().forecasters[0].deciles
    assert [each.kind for each in chart.series] == ["bar", "line"]
    np.testing.assert_allclose(series(chart)["realized"], [each.realized.value for each in deciles], atol=1e-6)
    np.testing.assert_allclose(series(chart)["forecast"], [each.forecast for each in deciles], atol=1e-6)


def test_sources_of_a_year_add_up() -> None:
    shares = series(charts()["sources_lstm"])
    assert list(shares) == ["snapshot of the year before", "momentum (no model yet)"]
    np.testing.assert_allclose(sum(shares.values()), 1.0)
    assert shares["momentum (no model yet)"][0] == pytest.approx(20 / 53, abs=1e-4)


def test_every_line_of_a_picture_can_be_told_from_the_others() -> None:
    looks = [(each.color, each.dashed) for each in charts()["equity"].series if each.kind == "line"]
    assert all(one != other for one, other in itertools.combinations(looks, 2))
    looks = [each.color for each in charts()["learning_lstm"].series]
    assert len(set(looks)) == len(looks)


def test_families_that_are_not_ours_have_colours_of_their_own() -> None:
    """And those of ours stay as they are."""
    report = toy_report()
    names = ("ridge_top", "zebra", "momentum_rank", "ridge", *(f"family_{number}" for number in range(60)))
    others = [replace(report.strategies[0], name=name, label=name) for name in names]
    figures = [replace(report.forecasters[0], name=name, label=name) for name in ("zebra", "ridge")]
    more = replace(report, strategies=(*report.strategies, *others), forecasters=(*report.forecasters, *figures))
    before, after = ({each.name: each.color for each in charts(one)["turnover"].series} for one in (report, more))
    assert {name: after[name] for name in before if name in ("PPO", "SAC", "equal weight")} == {
        "PPO": "#0072B2",
        "SAC": "#D55E00",
        "equal weight": "#222222",
    }
    assert len(set(after.values())) == len(after)
    drawn = [each.color for each in charts(more)["rank_correlation"].series]
    assert drawn[:3] == [each.color for each in charts()["rank_correlation"].series]
    assert len(set(drawn)) == 5
    assert charts(more)["calibration_ridge"].series[0].color == drawn[4]
