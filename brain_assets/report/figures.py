"""The charts of a report's page: plotly figures of its tables.

The page writes a figure's title, note and unit, draws its legend, and adds fonts and colours of its own.
"""

from __future__ import annotations

import math
from collections.abc import Iterable, Sequence
from typing import TYPE_CHECKING, Any

import numpy as np
import pandas as pd

from brain_assets import registry
from brain_assets.portfolio import metrics
from brain_assets.portfolio.baselines import EQUAL_WEIGHT
from brain_assets.portfolio.rules import RULES
from brain_assets.report import colors

if TYPE_CHECKING:
    from plotly.graph_objects import Figure

    from brain_assets.report.report import Report

Options = dict[str, Any]

MAX_SYMBOLS = 10
"""Symbols with an area of their own; a legend of fifty is read by nobody."""

NUMBER, PERCENT = ".4~g", ".1%"
"""How a value is shown under the pointer."""

DATES: Options = {"type": "date"}
SHARE: Options = {"tickformat": ",.1~%"}
WHOLE_SHARE: Options = {**SHARE, "range": [0, 1]}


def report_figures(report: Report) -> dict[str, dict[str, Figure]]:
    """Draw all charts of a report, by the section that they stand in and their own name, both in order."""
    policies, forecasts = list(report.policies.index), report.forecasts
    others = [name for name in report.returns if name not in (*policies, EQUAL_WEIGHT)]
    return {
        "value": {"equity": _equity(report), "drawdowns": _drawdowns(report)},
        "weights": {f"weights_{name}": _weights(report, name) for name in policies},
        "weights_of_rules": {f"weights_{name}": _weights(report, name) for name in others},
        "costs": {"turnover": _turnover(report), "costs": _costs(report)},
        "forecasts": {
            **({"rank_correlation": _rank_correlations(report)} if forecasts.by_year else {}),
            **{f"calibration_{name}": _calibration(report, name) for name in forecasts.deciles},
            **{f"sources_{name}": _sources(report, name) for name in forecasts.sources},
        },
        "learning": {f"learning_{family}": _learning(family, curve) for family, curve in report.curves.items()},
    }


def _figure(
    title: str, note: str, unit: str, traces: Sequence[Options], xaxis: Options, yaxis: Options, **layout: Any
) -> Figure:
    from plotly.graph_objects import Figure

    layout |= {"title": {"text": title}, "meta": {"note": note, "unit": unit}, "bargap": 0.25, "template": {}}
    layout |= {"xaxis": {"automargin": True, **xaxis}, "yaxis": {"automargin": True, "nticks": 8, **yaxis}}
    return Figure(traces, layout)


def _trace(name: str, x: Iterable[Any], y: Any, digits: int, shown: str = NUMBER, **look: Any) -> Options:
    """Give what plotly calls a trace; rounded, since a picture shows no more and a page is half the size."""
    hover = f"%{{x}}<br>%{{y:{shown}}}<extra>%{{fullData.name}}</extra>"
    values = np.round(np.asarray(y, dtype=np.float64), digits).tolist()
    return {"type": "scatter", "name": name, "x": list(x), "y": values, "hovertemplate": hover, **look}


def _line(color: str, width: float = 1.4, **more: Any) -> Options:
    return {"mode": "lines", "line": {"color": color, "width": width, **more}}


def _dots(color: str) -> Options:
    return {"mode": "markers", "marker": {"color": color, "size": 8}}


def _bars(color: str) -> Options:
    return {"type": "bar", "marker": {"color": color}}


def _dates(table: pd.DataFrame) -> list[str]:
    return [str(day.date()) for day in table.index]


def _strategy_lines(report: Report, values: pd.DataFrame, shown: str) -> list[Options]:
    traces = []
    for name, each in report.on_top.iterrows():
        line = _line(each["color"], 2.4) if each["front"] else _line(each["color"], dash="5px,2px")
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
    note = "After costs, log scale; value at the end of each week."
    if bands:
        note += " The bands run from the worst to the best training seed."
    wide = math.log10(values.max(axis=None) / values.min(axis=None)) >= 1.0
    ticks = "D2" if wide else "D1"  # at 1, 2 and 5, or at every digit
    scale = {"type": "log", "dtick": ticks, "tickformat": ",~g", "nticks": None}
    lines = _strategy_lines(report, values, NUMBER)
    return _figure("What one dollar became", note, "value of one dollar (log scale)", [*bands, *lines], DATES, scale)


def wealth(returns: pd.DataFrame) -> pd.DataFrame:
    """Give what one dollar became."""
    return (1.0 + returns).cumprod()


def _drawdowns(report: Report) -> Figure:
    returns = report.returns
    values = pd.DataFrame(metrics.drawdowns(returns.to_numpy()), returns.index, returns.columns)
    lines = _strategy_lines(report, values, PERCENT)
    title, note = "How far below its highest value each strategy was", "Zero is a new high; the start counts as one."
    return _figure(title, note, "below the highest value", lines, DATES, SHARE)


def _weights(report: Report, strategy: str) -> Figure:
    held = report.weights[strategy]
    n_symbols = held.shape[1] - 1
    if n_symbols > MAX_SYMBOLS + 1:
        others = held.iloc[:, MAX_SYMBOLS:-1].sum(axis=1).rename(f"{n_symbols - MAX_SYMBOLS} others")
        held = pd.concat([held.iloc[:, :MAX_SYMBOLS], others, held.iloc[:, -1]], axis=1)
    areas = []
    for name, color in zip(held, (*colors.AREAS[: held.shape[1] - 1], colors.AREAS[-1]), strict=True):
        look = {**_line(color, 0), "stackgroup": "one", "fillcolor": color}
        areas.append(_trace(name, _dates(held), held[name], 3, PERCENT, **look))
    title = f"What {report.strategies['label'][strategy]} held"
    note = "Traded to at the first open of each week; the largest on average at the bottom."
    return _figure(title, note, "share of the value", areas, DATES, WHOLE_SHARE)


def _turnover(report: Report) -> Figure:
    note = "Dollars bought and sold in a year, over the value."
    return _flat_bars(report, "turnover", "How much each strategy trades", note, "times the value, a year", NUMBER)


def _costs(report: Report) -> Figure:
    note = f"At {RULES.cost_bps:g} basis points of every dollar traded."
    return _flat_bars(report, "cost_drag", "What costs take", note, "annual return lost", PERCENT, **SHARE)


def _flat_bars(report: Report, column: str, title: str, note: str, unit: str, shown: str, **axis: Any) -> Figure:
    """Draw a bar a strategy; it lies flat, so that the names can be read on a phone."""
    table = report.strategies
    look = {"type": "bar", "orientation": "h", "marker": {"color": table["color"].tolist()}}
    hover = f"%{{x:{shown}}}<extra>%{{y}}</extra>"
    bars = {**look, "x": table[column].round(5).tolist(), "y": table["label"].tolist(), "hovertemplate": hover}
    names = {"type": "category", "autorange": "reversed", "ticksuffix": "  ", "nticks": None}
    return _figure(title, note, unit, [bars], {"nticks": 8, **axis}, names)


def _rank_correlations(report: Report) -> Figure:
    markers = []
    for each in report.forecasts.skill.itertuples():
        found = report.forecasts.by_year[each.Index]
        look = {**_dots(each.color), "error_y": _interval(found, 4)}
        markers.append(_trace(each.label, (found.index + each.offset).to_numpy().round(2), found["value"], 4, **look))
    return _figure(
        "How well forecasts rank the symbols, by year",
        "Mean over the year's weeks of Spearman's rank correlation, out of sample, with 95 % intervals; 0 is chance.",
        "mean rank correlation",
        markers,
        _whole_numbers([year for found in report.forecasts.by_year.values() for year in found.index]),
        {},
        shapes=[_level(0.0)],
    )


def _calibration(report: Report, forecaster: str) -> Figure:
    table, each = report.forecasts.deciles[forecaster], report.forecasts.skill.loc[forecaster]
    bars = {**_bars(each["color"]), "error_y": _interval(table, 6)}
    return _figure(
        f"What came after {each['label']}'s forecasts, by decile",
        "Return of the week less the mean of its symbols; deciles of each week's forecasts, 95 % intervals. Forecasts "
        "with skill rise to the right; well-sized ones lie on the line.",
        "return of a week, less the mean",
        [
            _trace("realized", table.index, table["value"], 6, PERCENT, **bars),
            _trace("forecast", table.index, table["forecast"], 6, PERCENT, **_line(colors.BLACK, 2.4)),
        ],
        _whole_numbers(table.index, "decile of the forecast, lowest to highest"),
        SHARE,
    )


def _sources(report: Report, forecaster: str) -> Figure:
    table, label = report.forecasts.sources[forecaster], report.forecasts.skill["label"][forecaster]
    bars = [_trace(kind, table.index, table[kind], 4, PERCENT, **_bars(colors.SOURCES[kind])) for kind in table]
    title, years = f"Where {label}'s forecasts came from", _whole_numbers(table.index)
    note, unit = "Share of the forecasts of each year.", "share of forecasts"
    return _figure(title, note, unit, bars, years, WHOLE_SHARE, barmode="stack")


def _learning(family: str, curve: pd.DataFrame) -> Figure:
    step, lines = curve.columns[1], []
    for (year, points), color in zip(curve.groupby("year"), colors.shades(curve["year"].nunique()), strict=True):
        look = _line(color) if len(points) > 1 else _dots(color)
        lines.append(_trace(str(year), points[step], points["value"], 5, **look))
    if step == "epoch":
        note, unit, levels = "below 1 is better than predicting zero", "validation loss / loss of zero", [_level(1.0)]
    else:
        note, unit, levels = (
            "on the weeks that it learned from, so no result",
            "reward of an episode (100 × log growth)",
            [],
        )
    title, note = f"How {registry.label(family)} learned", f"A line a snapshot, early years dark; {note}."
    return _figure(title, note, unit, lines, _whole_numbers(curve[step], step), {}, shapes=levels)


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
