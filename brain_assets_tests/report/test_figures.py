"""What the charts of a report's page show; plotly's own classes have refused an unknown key or value."""

import itertools
from dataclasses import replace
from typing import Any

import numpy as np
import pandas as pd
import pytest

from brain_assets.report.colors import AREAS, STRATEGIES, colors_of
from brain_assets.report.figures import MAX_SYMBOLS, MAX_WEIGHTS, report_figures
from brain_assets.report.report import MAX_LINES, Report, build_report
from brain_assets_tests.report.toy_results import NOTE, backtest_table, forecast_table, toy_report


def figures(report: Report | None = None) -> dict[str, Any]:
    return report_figures(report or toy_report())


def values(figure: Any) -> dict[str, np.ndarray]:
    return {trace.name: np.array(trace.y, dtype=float) for trace in figure.data if trace.showlegend is not False}


def test_everything_that_the_report_knows_has_a_figure() -> None:
    assert list(figures()) == [
        *(
            "equity",
            "drawdowns",
            "rolling_sharpe",
            "rolling_volatility",
            "rolling_beta",
            "weights_ppo",
            "weights_sac",
            "weights_<b>my rule</b>",
            "turnover",
            "costs",
        ),
        *("rank_correlation", "calibration_lstm", "calibration_patchtst", "sources_lstm", "sources_patchtst"),
        *("learning_lstm", "learning_patchtst", "learning_ppo", "learning_sac"),
    ]


def test_what_it_does_not_know_has_none() -> None:
    bare = build_report(backtest_table({"equal_weight": np.zeros(30)}), pd.DataFrame(), {}, [], NOTE)
    assert list(figures(bare)) == ["equity", "drawdowns", "turnover", "costs"]
    two_symbols = build_report(
        backtest_table({"equal_weight": np.zeros(30)}), forecast_table(30, n_symbols=2), {}, [], NOTE
    )
    assert list(figures(two_symbols))[4:] == ["rank_correlation", "sources_lstm", "sources_patchtst"]


def test_equity_is_what_a_dollar_became_and_lies_within_the_band_of_seeds() -> None:
    figure, net = figures()["equity"], toy_report().returns["ppo"]
    drawn = values(figure)
    np.testing.assert_allclose(drawn["PPO"], np.cumprod(1 + net), atol=5e-5)
    low, high = (np.array(trace.y) for trace in figure.data if trace.showlegend is False)  # SAC has one seed
    assert (low <= drawn["PPO"]).all()
    assert (high >= drawn["PPO"]).all()
    assert high[-1] > low[-1] * 1.1  # three thousandths a week apart
    assert list(drawn)[-2:] == ["PPO", "SAC"]  # on top
    below = values(figures()["drawdowns"])["PPO"]
    assert below[drawn["PPO"].argmax()] == 0.0
    assert below.min() == pytest.approx(-toy_report().strategies["max_drawdown"]["ppo"], abs=1e-4)


@pytest.mark.parametrize(("gain", "ticks"), [(0.02, "D1"), (0.08, "D2")])
def test_a_log_scale_has_a_tick_at_every_digit_only_where_there_is_room(gain: float, ticks: str) -> None:
    report = build_report(backtest_table({"equal_weight": np.full(60, gain)}), pd.DataFrame(), {}, [], NOTE)
    axis = figures(report)["equity"].layout.yaxis
    assert (axis.type, axis.dtick) == ("log", ticks)


def test_weights_add_up_end_with_cash_and_small_ones_of_many_symbols_are_one_area() -> None:
    assert list(values(figures()["weights_ppo"])) == ["BBB", "AAA", "cash"]
    names = [*(f"S{place:02d}" for place in range(30)), "cash"]
    row = [*np.arange(30, 0, -1) / 500, 0.07]
    held = pd.DataFrame([row] * 60, toy_report().returns.index, names)
    figure = figures(replace(toy_report(), weights={**toy_report().weights, "ppo": held}))["weights_ppo"]
    drawn = values(figure)
    assert list(drawn)[MAX_SYMBOLS:] == ["20 others", "cash"]
    np.testing.assert_allclose(drawn["20 others"], np.arange(20, 0, -1).sum() / 500, atol=5e-4)
    np.testing.assert_allclose(sum(drawn.values()), 1.0, atol=0.01)
    assert [trace.fillcolor for trace in figure.data] == list(AREAS)
    assert figure.layout.yaxis.range == (0, 1)


def test_rank_correlations_stand_beside_each_other_at_their_year() -> None:
    figure, found = figures()["rank_correlation"], toy_report().forecasts.by_year["lstm"]
    assert [trace.name for trace in figure.data] == ["LSTM", "PatchTST", "4-week momentum"]
    lstm, patchtst, momentum = figure.data
    assert [round(point) for point in lstm.x] == [2020, 2021]
    assert lstm.x[0] < patchtst.x[0] < momentum.x[0]
    assert lstm.y[0] == pytest.approx(found["value"][2020], abs=1e-4)
    assert lstm.error_y.arrayminus[0] == pytest.approx(found["value"][2020] - found["low"][2020], abs=1e-4)
    assert np.isnan(lstm.error_y.array[1])  # seven weeks of 2021
    assert (figure.layout.xaxis.dtick, figure.layout.shapes[0].y0) == (1, 0.0)


def test_calibration_has_both_what_was_forecast_and_what_came() -> None:
    figure, table = figures()["calibration_lstm"], toy_report().forecasts.deciles["lstm"]
    assert [trace.type for trace in figure.data] == ["bar", "scatter"]
    np.testing.assert_allclose(values(figure)["realized"], table["value"], atol=1e-6)
    np.testing.assert_allclose(values(figure)["forecast"], table["forecast"], atol=1e-6)


def test_sources_of_a_year_add_up() -> None:
    figure = figures()["sources_lstm"]
    shares = values(figure)
    assert list(shares) == ["snapshot of the year before", "momentum (no model yet)"]
    np.testing.assert_allclose(sum(shares.values()), 1.0)
    assert shares["momentum (no model yet)"][0] == pytest.approx(20 / 53, abs=1e-4)
    assert figure.layout.barmode == "stack"


def test_more_strategies_than_can_be_read_wait_for_a_click_and_have_room_for_their_names() -> None:
    net = {"equal_weight": np.zeros(30), **{f"rule {number:02d}": np.zeros(30) for number in range(20)}}
    drawn = figures(build_report(backtest_table(net), pd.DataFrame(), {}, [], NOTE))
    for name in ("equity", "drawdowns"):
        lines = {trace.name: trace.visible for trace in drawn[name].data}
        assert len(lines) == 21
        assert [label for label, visible in lines.items() if visible is True] == [
            *(f"rule {number:02d}" for number in range(MAX_LINES - 1)),
            "equal weight",
        ]
    assert sum(name.startswith("weights_") for name in drawn) == MAX_WEIGHTS
    assert drawn["costs"].layout.height >= 21 * 20


def test_at_most_five_snapshots_and_forecasters_are_shown_at_first() -> None:
    years = pd.DataFrame({"epoch": [1, 2] * 7, "value": 1.0, "year": np.repeat(range(2013, 2020), 2)})
    skill = pd.concat([toy_report().forecasts.skill] * 2)
    drawn = figures(
        replace(toy_report(), curves={"lstm": years}, forecasts=toy_report().forecasts._replace(skill=skill))
    )
    waiting = [trace.name for trace in drawn["learning_lstm"].data if trace.visible == "legendonly"]
    assert waiting == ["2013", "2014"]
    assert [trace.visible for trace in drawn["rank_correlation"].data] == [True] * MAX_LINES + ["legendonly"]


def test_every_line_of_a_figure_can_be_told_from_the_others() -> None:
    looks = [(trace.line.color, trace.line.dash) for trace in figures()["equity"].data if trace.showlegend is not False]
    assert all(one != other for one, other in itertools.combinations(looks, 2))
    looks = [trace.line.color for trace in figures()["learning_lstm"].data]
    assert len(set(looks)) == len(looks)


def test_families_that_are_not_ours_have_colours_of_their_own() -> None:
    """And those of ours stay as they are; a name has the same colour, whatever others there are."""
    names = [*STRATEGIES, "pls_top", "zebra", "momentum_rank", "pls", *(f"family_{number}" for number in range(60))]
    found = colors_of(names, STRATEGIES)
    assert found[: len(STRATEGIES)] == list(STRATEGIES.values())
    assert len(set(found)) == len(found)
    assert colors_of(["zebra"], STRATEGIES) == [found[names.index("zebra")]]
    forecasts = forecast_table(60).rename(columns=lambda name: name.replace("patchtst", "pls"))
    report = build_report(backtest_table({"equal_weight": np.zeros(60)}), forecasts, {}, [], NOTE)
    pls = report.forecasts.skill["color"]["pls"]
    assert pls not in report.forecasts.skill["color"].drop("pls").tolist()
    assert figures(report)["rank_correlation"].data[1].marker.color == pls
    assert figures(report)["calibration_pls"].data[0].marker.color == pls
