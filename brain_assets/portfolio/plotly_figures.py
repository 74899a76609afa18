"""A `Chart` as plotly draws it: plain data for plotly.js, which the page brings along."""

from __future__ import annotations

import math
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from brain_assets.portfolio.charts import Chart, Series


def plotly_figure(chart: Chart) -> dict[str, Any]:
    """Give `data` and `layout`; colours of the page, fonts and margins are added where it is shown.

    Bars with names lie flat, so that the names can be read on a phone.
    """
    flat = chart.x_kind == "name"
    value_axis: dict[str, Any] = {"automargin": True, "type": "log" if chart.log else "linear", "nticks": 8}
    if chart.percent:
        value_axis["tickformat"] = ",.1~%"
    if chart.log:  # all digits, or 1, 2 and 5
        value_axis |= {"dtick": "D1" if _decades(chart) < 1.0 else "D2", "tickformat": ",~g"}
        del value_axis["nticks"]
    kind = {"date": "date", "name": "category"}.get(chart.x_kind, "-")
    point_axis: dict[str, Any] = {"automargin": True, "type": kind}
    if chart.x_kind == "number":
        point_axis |= {"type": "linear", "tickformat": "d", "nticks": 12, "showgrid": False, **_whole_ticks(chart)}
    if chart.x_label:
        point_axis["title"] = {"text": chart.x_label}
    if flat:
        point_axis |= {"autorange": "reversed", "ticksuffix": "  "}
    layout: dict[str, Any] = {
        "xaxis": value_axis if flat else point_axis,
        "yaxis": point_axis if flat else value_axis,
        "barmode": "stack" if chart.stacked or flat else "group",
        "bargap": 0.25,
    }
    if chart.stacked or any(series.kind == "area" for series in chart.series):
        value_axis["range"] = [0, 1]
    if chart.zero_line is not None:
        level = {"type": "line", "xref": "paper", "x0": 0, "x1": 1, "y0": chart.zero_line, "y1": chart.zero_line}
        layout["shapes"] = [{**level, "line": {"width": 1.5, "dash": "dot"}, "layer": "below"}]
    return {"data": [trace for series in chart.series for trace in _traces(chart, series, flat)], "layout": layout}


def _decades(chart: Chart) -> float:
    """Tell how many powers of ten the values span."""
    values = [value for series in chart.series for value in series.y if value is not None and value > 0]
    return math.log10(max(values) / min(values)) if values else 0.0


def _whole_ticks(chart: Chart) -> dict[str, Any]:
    """Ask for a tick at every whole number where there are few: plotly would put some between."""
    numbers = [round(float(point)) for series in chart.series for point in series.x]
    return {"dtick": 1} if numbers and max(numbers) - min(numbers) <= 12 else {}


def _traces(chart: Chart, series: Series, flat: bool) -> list[dict[str, Any]]:
    """Give the traces of a series: a band has two."""
    points, values = list(series.x), list(series.y)
    trace: dict[str, Any] = {"name": series.name, "x": points, "y": values}
    shown = "%{y:.1%}" if chart.percent else "%{y:.4~g}"
    trace["hovertemplate"] = f"%{{x}}<br>{shown}<extra>%{{fullData.name}}</extra>"
    match series.kind:
        case "line":
            width = 2.4 if series.bold else 1.4
            line = {"color": series.color, "width": width, "dash": "5px,2px" if series.dashed else "solid"}
            return [{**trace, "type": "scatter", "mode": "lines", "line": line}]
        case "marker":
            marker = {"color": series.color, "size": 8}
            return [{**trace, "type": "scatter", "mode": "markers", "marker": marker, **_interval(series)}]
        case "area":
            area = {"stackgroup": "one", "fillcolor": series.color, "line": {"width": 0, "color": series.color}}
            return [{**trace, "type": "scatter", "mode": "lines", **area}]
        case "bar":
            if flat:
                hover = trace["hovertemplate"].replace("%{x}<br>", "").replace("{y:", "{x:")
                trace |= {"x": values, "y": points, "orientation": "h", "hovertemplate": hover}
            return [{**trace, "type": "bar", "marker": {"color": series.color}, **_interval(series)}]
        case _:
            edge = {"type": "scatter", "mode": "lines", "line": {"width": 0}, "hoverinfo": "skip", "name": series.name}
            fill = {"fill": "tonexty", "fillcolor": f"{series.color}33"}
            return [{**edge, "x": points, "y": series.low}, {**edge, "x": points, "y": series.high, **fill}]


def _interval(series: Series) -> dict[str, Any]:
    """Give the bars of an interval around the values; a value without one has none."""
    if series.low is None or series.high is None:
        return {}
    above, below = (
        [
            None if value is None or end is None else round(abs(end - value), 6)
            for value, end in zip(series.y, ends, strict=True)
        ]
        for ends in (series.high, series.low)
    )
    look = {"type": "data", "symmetric": False, "width": 3, "thickness": 1.2}
    return {"error_y": {**look, "array": above, "arrayminus": below}}
