"""Charts as plotly takes them: its own classes refuse an unknown key or value."""

from dataclasses import replace

import pytest

from brain_assets.portfolio.charts import Chart, Series, report_charts
from brain_assets.portfolio.plotly_figures import plotly_figure
from brain_assets_tests.portfolio.toy_results import toy_report


@pytest.fixture(scope="module")
def charts() -> dict[str, Chart]:
    return {chart.key: chart for group in report_charts(toy_report()) for chart in (*group.charts, *group.folded)}


def test_plotly_takes_every_figure(charts) -> None:
    graph_objects = pytest.importorskip("plotly.graph_objects")
    for chart in charts.values():
        figure = graph_objects.Figure(plotly_figure(chart))
        assert len(figure.data) == len(chart.series) + sum(each.kind == "band" for each in chart.series)


def test_numbers_are_the_chart_s_own(charts) -> None:
    for chart in charts.values():
        traces = {trace["name"]: trace for trace in plotly_figure(chart)["data"]}
        for series in chart.series:
            if series.kind != "band":
                side = "x" if chart.x_kind == "name" else "y"  # bars with names lie flat
                assert traces[series.name][side] == list(series.y)


def test_intervals_are_distances_from_the_value() -> None:
    series = Series("marker", "a", (2020.0, 2021.0), (0.5, 0.1), "#000000", (0.3, None), (0.6, None))
    [trace] = plotly_figure(Chart("k", "t", "n", "y", (series,), x_kind="number"))["data"]
    assert trace["error_y"]["array"] == [pytest.approx(0.1), None]
    assert trace["error_y"]["arrayminus"] == [pytest.approx(0.2), None]


def test_scales_and_ticks_follow_the_chart(charts) -> None:
    assert plotly_figure(charts["equity"])["layout"]["yaxis"]["type"] == "log"
    assert plotly_figure(charts["weights_ppo"])["layout"]["yaxis"]["range"] == [0, 1]
    assert plotly_figure(charts["sources_lstm"])["layout"]["barmode"] == "stack"
    years = plotly_figure(charts["rank_correlation"])["layout"]
    assert years["xaxis"]["dtick"] == 1
    assert years["shapes"][0]["y0"] == 0.0
    long = replace(charts["learning_ppo"], series=(Series("line", "a", (0.0, 5000.0), (1.0, 2.0), "#000000"),))
    assert "dtick" not in plotly_figure(long)["layout"]["xaxis"]


@pytest.mark.parametrize(("high", "ticks"), [(3.0, "D1"), (80.0, "D2")])
def test_a_log_scale_has_a_tick_at_every_digit_only_where_there_is_room(high, ticks) -> None:
    series = Series("line", "a", (0.0, 1.0), (1.0, high), "#000000")
    figure = plotly_figure(Chart("k", "t", "n", "y", (series,), x_kind="number", log=True))
    assert figure["layout"]["yaxis"]["dtick"] == ticks
