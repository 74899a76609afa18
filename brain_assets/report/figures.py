"""The charts of a report's page: plotly figures of its tables; the page adds words, legends, fonts and colours."""

from __future__ import annotations

import math
from collections.abc import Iterable, Sequence
from typing import TYPE_CHECKING, Any

import numpy as np
import pandas as pd

from brain_assets.portfolio.baselines import EQUAL_WEIGHT
from brain_assets.report import colors
from brain_assets.report.metrics import drawdowns, rolling, wealth
from brain_assets.report.report import MAX_LINES, Report

if TYPE_CHECKING:
    from plotly.graph_objects import Figure

Options = dict[str, Any]

MAX_SYMBOLS = 10
"""Symbols with an area of their own; a legend of fifty is read by nobody."""

MAX_WEIGHTS = 8
"""Strategies whose weights are drawn."""

NUMBER, PERCENT = ".4~g", ".1%"
"""How a value is shown under the pointer."""

DATES: Options = {"type": "date"}
SHARE: Options = {"tickformat": ",.1~%"}
WHOLE_SHARE: Options = {**SHARE, "range": [0, 1]}


def report_figures(report: Report) -> dict[str, Figure]:
    """Draw all charts of a report, by name, in its order; what it has no figures for is left out."""
    forecasts, strategies = report.forecasts, report.strategies.drop(EQUAL_WEIGHT)
    return {
        "equity": _equity(report),
        "drawdowns": _figure(_strategy_lines(report, drawdowns(report.returns), PERCENT), DATES, SHARE),
        **_rolling(report),
        **{f"weights_{name}": _weights(report.weights[name]) for name in strategies.index[:MAX_WEIGHTS]},
        "turnover": _flat_bars(report, "turnover", NUMBER),
        "costs": _flat_bars(report, "cost_drag", PERCENT, **SHARE),
        **({"rank_correlation": _rank_correlations(report)} if forecasts.by_year else {}),
        **{f"calibration_{name}": _calibration(report, name) for name in forecasts.deciles},
        **{f"sources_{name}": _sources(shares) for name, shares in forecasts.sources.items()},
        **{f"learning_{family}": _learning(curve) for family, curve in report.curves.items()},
    }


def _figure(traces: Sequence[Options], xaxis: Options, yaxis: Options, **layout: Any) -> Figure:
    from plotly.graph_objects import Figure

    axes = {"xaxis": {"automargin": True, **xaxis}, "yaxis": {"automargin": True, "nticks": 8, **yaxis}}
    return Figure(traces, {"bargap": 0.25, "template": {}, **axes, **layout})


def _trace(name: str, x: Iterable[Any], y: Any, digits: int, shown: str = NUMBER, **look: Any) -> Options:
    """Give what plotly calls a trace; rounded, since a picture shows no more and a page is half the size."""
    hover = f"%{{x}}<br>%{{y:{shown}}}<extra>%{{fullData.name}}</extra>"
    values = np.round(np.asarray(y, dtype=np.float64), digits).tolist()
    return {"type": "scatter", "name": name, "x": list(x), "y": values, "hovertemplate": hover, **look}


def _waits(does: bool) -> bool | str:
    """Say whether a trace waits for a click on its name."""
    return "legendonly" if does else True


def _line(color: str, width: float = 1.4, **more: Any) -> Options:
    return {"mode": "lines", "line": {"color": color, "width": width, **more}}


def _dots(color: str) -> Options:
    return {"mode": "markers", "marker": {"color": color, "size": 8}}


def _bars(color: str) -> Options:
    return {"type": "bar", "marker": {"color": color}}


def _dates(table: pd.DataFrame) -> list[str]:
    days: list[str] = table.index.to_numpy().astype("datetime64[D]").astype(str).tolist()
    return days


def _strategy_lines(report: Report, values: pd.DataFrame, shown: str) -> list[Options]:
    traces = []
    for name, each in report.on_top.iterrows():
        line = _line(each["color"], 2.4) if each["front"] else _line(each["color"], dash="5px,2px")
        line["visible"] = _waits(not each["shown"])
        traces.append(_trace(each["label"], _dates(values), values[name], 4, shown, **line))
    return traces


def _equity(report: Report) -> Figure:
    bands: list[Options] = []
    for name in (name for name, seeds in report.seeds.items() if seeds.shape[1] > 1):
        label, color = report.strategies.loc[name, ["label", "color"]]
        seeds, edge = wealth(report.seeds[name]), {**_line(color, 0), "hoverinfo": "skip", "showlegend": False}
        fill = {"fill": "tonexty", "fillcolor": f"{color}33"}
        bands.append(_trace(label, _dates(seeds), seeds.min(axis=1), 4, **edge))
        bands.append(_trace(label, _dates(seeds), seeds.max(axis=1), 4, **edge, **fill))
    values = wealth(report.returns)
    wide = math.log10(values.max(axis=None) / values.min(axis=None)) >= 1.0
    ticks = "D2" if wide else "D1"  # at 1, 2 and 5, or at every digit
    scale = {"type": "log", "dtick": ticks, "tickformat": ",~g", "nticks": None}
    return _figure([*bands, *_strategy_lines(report, values, NUMBER)], DATES, scale)


def _rolling(report: Report) -> dict[str, Figure]:
    found = rolling(report.returns, EQUAL_WEIGHT)
    axes = {"sharpe": (NUMBER, {}), "volatility": (PERCENT, SHARE), "beta": (NUMBER, {})}
    return {
        f"rolling_{name}": _figure(_strategy_lines(report, found[name], shown), DATES, axis)
        for name, (shown, axis) in axes.items()
        if len(found[name]) > 1
    }


def _weights(held: pd.DataFrame) -> Figure:
    n_symbols = held.shape[1] - 1
    if n_symbols > MAX_SYMBOLS + 1:
        others = held.iloc[:, MAX_SYMBOLS:-1].sum(axis=1).rename(f"{n_symbols - MAX_SYMBOLS} others")
        held = pd.concat([held.iloc[:, :MAX_SYMBOLS], others, held.iloc[:, -1]], axis=1)
    areas = []
    for name, color in zip(held, (*colors.AREAS[: held.shape[1] - 1], colors.AREAS[-1]), strict=True):
        look = {**_line(color, 0), "stackgroup": "one", "fillcolor": color}
        areas.append(_trace(name, _dates(held), held[name], 3, PERCENT, **look))
    return _figure(areas, DATES, WHOLE_SHARE)


def _flat_bars(report: Report, column: str, shown: str, **axis: Any) -> Figure:
    """Draw a bar a strategy; it lies flat, so that the names can be read on a phone."""
    table = report.strategies
    look = {"type": "bar", "orientation": "h", "marker": {"color": table["color"].tolist()}}
    hover = f"%{{x:{shown}}}<extra>%{{y}}</extra>"
    bars = {**look, "x": table[column].round(5).tolist(), "y": table["label"].tolist(), "hovertemplate": hover}
    names = {"type": "category", "autorange": "reversed", "ticksuffix": "  ", "nticks": None}
    return _figure([bars], {"nticks": 8, **axis}, names, height=max(340, 60 + 22 * len(table)))


def _rank_correlations(report: Report) -> Figure:
    markers = []
    for number, each in enumerate(report.forecasts.skill.itertuples()):
        found = report.forecasts.by_year[each.Index]
        look = {**_dots(each.color), "error_y": _interval(found, 4), "visible": _waits(number >= MAX_LINES)}
        markers.append(_trace(each.label, (found.index + each.offset).to_numpy().round(2), found["value"], 4, **look))
    years = _whole_numbers([year for found in report.forecasts.by_year.values() for year in found.index])
    return _figure(markers, years, {}, shapes=[_level(0.0)])


def _calibration(report: Report, forecaster: str) -> Figure:
    table, color = report.forecasts.deciles[forecaster], report.forecasts.skill["color"][forecaster]
    bars = {**_bars(color), "error_y": _interval(table, 6)}
    realized = _trace("realized", table.index, table["value"], 6, PERCENT, **bars)
    forecast = _trace("forecast", table.index, table["forecast"], 6, PERCENT, **_line(colors.BLACK, 2.4))
    return _figure(
        [realized, forecast], _whole_numbers(table.index, "decile of the forecast, lowest to highest"), SHARE
    )


def _sources(shares: pd.DataFrame) -> Figure:
    bars = [_trace(kind, shares.index, shares[kind], 4, PERCENT, **_bars(colors.SOURCES[kind])) for kind in shares]
    return _figure(bars, _whole_numbers(shares.index), WHOLE_SHARE, barmode="stack")


def _learning(curve: pd.DataFrame) -> Figure:
    step, lines, oldest = curve.columns[0], [], sorted(set(curve["year"]))[-MAX_LINES:][0]
    for (year, points), color in zip(curve.groupby("year"), colors.shades(curve["year"].nunique()), strict=True):
        look = {**(_line(color) if len(points) > 1 else _dots(color)), "visible": _waits(year < oldest)}
        lines.append(_trace(str(year), points[step], points["value"], 5, **look))
    levels = [_level(1.0)] if step == "epoch" else []
    return _figure(lines, _whole_numbers(curve[step], step), {}, shapes=levels)


def _whole_numbers(values: Sequence[float], title: str = "") -> Options:
    """Ask for a tick at every whole number where there are few: plotly would put some between."""
    few = {"dtick": 1} if len(values) and max(values) - min(values) <= 12 else {}
    return {"title": {"text": title}, "type": "linear", "tickformat": "d", "nticks": 12, "showgrid": False, **few}


def _level(value: float) -> Options:
    """Give a thin line that marks what is nothing."""
    ends = {"xref": "paper", "x0": 0, "x1": 1, "y0": value, "y1": value}
    return {"type": "line", **ends, "line": {"width": 1.5, "dash": "dot"}, "layer": "below"}


def _interval(found: pd.DataFrame, digits: int) -> Options:
    """Give the bars of an interval around the values; a value without one has none."""
    above, below = (found["high"] - found["value"]).round(digits), (found["value"] - found["low"]).round(digits)
    look = {"type": "data", "symmetric": False, "width": 3, "thickness": 1.2}
    return {**look, "array": above.tolist(), "arrayminus": below.tolist()}
