"""A report as one HTML file: tables, and charts by plotly, which it carries along; it opens without a network.

The charts are plotly figures of the report's tables; the template adds words, legends, fonts and colours.
"""

from __future__ import annotations

import base64
import gzip
import json
import math
from collections.abc import Sequence
from functools import cache
from importlib import resources
from typing import TYPE_CHECKING, Any

import numpy as np
import pandas as pd

from brain_assets.forecasting.metrics import DETECTABLE, N_LAGS
from brain_assets.portfolio.arithmetic import CONSTRAINTS
from brain_assets.portfolio.baselines import EQUAL_WEIGHT
from brain_assets.registry import AVERAGE
from brain_assets.report import metrics, tables
from brain_assets.report.metrics import drawdowns, rolling, wealth
from brain_assets.report.report import BLACK, MAX_LINES, Report

if TYPE_CHECKING:
    from plotly.graph_objects import Figure

Options = dict[str, Any]

MAX_SYMBOLS, MAX_WEIGHTS = 10, 8
"""Symbols with an area of their own (a legend of fifty is read by nobody), and strategies whose weights are drawn."""

NUMBER, PERCENT = ".4~g", ".1%"
"""How a value is shown under the pointer."""

DATES: Options = {"type": "date"}
SHARE: Options = {"tickformat": ",.1~%"}
HIDDEN = "legendonly"
"""How visible a trace is that waits for a click on its name."""

AREAS = (
    *("#332288", "#88CCEE", "#44AA99", "#117733", "#999933", "#DDCC77", "#CC6677", "#882255", "#AA4499", "#4477AA"),
    *("#bbbbbb", "#e4e4e4"),
)
"""Tol's muted scheme, then others and cash in gray."""


def report_page(report: Report) -> str:
    """Write a report's page; equal figures and library versions give equal bytes."""
    from jinja2 import Environment, StrictUndefined

    figures = report_figures(report)
    template = (resources.files("brain_assets.report") / "page.html").read_text(encoding="utf-8")
    environment = Environment(autoescape=True, undefined=StrictUndefined, trim_blocks=True)
    return environment.from_string(template).render(
        report=report,
        tables=tables,
        metrics=metrics,
        average=AVERAGE,
        n_lags=N_LAGS,
        detectable=DETECTABLE,
        heads=[],
        conclusion=tables.conclude(report),
        constraints=CONSTRAINTS,
        cost=f"{CONSTRAINTS.cost_bps:g} basis points",
        banded=any(seeds.shape[1] > 1 for seeds in report.seeds.values()),
        figures=figures,
        ink_color=BLACK,
        plotly=_plotly_library(),
        packed=_packed("{" + ",".join(f"{json.dumps(name)}:{each.to_json()}" for name, each in figures.items()) + "}"),
    )


@cache
def _plotly_library() -> str:
    from plotly.offline import get_plotlyjs

    return _packed(get_plotlyjs())


def _packed(text: str) -> str:
    """Compress a text for the page, which unpacks it: plotly's library alone would fill it."""
    return base64.b64encode(gzip.compress(text.encode(), 6, mtime=0)).decode()


def report_figures(report: Report) -> dict[str, Figure]:
    """Draw all charts of a report, by name, in its order; what it has no figures for is left out."""
    forecasts, strategies = report.forecasts, report.strategies.drop(EQUAL_WEIGHT)
    rolled, axes = rolling(report.returns, EQUAL_WEIGHT), {"volatility": (PERCENT, SHARE)}
    return {
        "equity": _equity(report),
        "drawdowns": _strategy_lines(report, drawdowns(report.returns), PERCENT, SHARE),
        **{
            f"rolling_{name}": _strategy_lines(report, values, *axes.get(name, (NUMBER, {})))
            for name, values in rolled.items()
            if len(values) > 1
        },
        **{f"weights_{name}": _weights(report.weights[name]) for name in strategies.index[:MAX_WEIGHTS]},
        "turnover": _flat_bars(report, "turnover", NUMBER),
        "costs": _flat_bars(report, "cost_drag", PERCENT, **SHARE),
        **({"rank_correlation": _rank_correlations(report)} if forecasts.by_year else {}),
        **{f"calibration_{name}": _calibration(report, name) for name in forecasts.deciles},
    }


def _figure(traces: Sequence[Options], xaxis: Options, yaxis: Options, **layout: Any) -> Figure:
    from plotly.graph_objects import Figure

    axes = {"xaxis": {"automargin": True, **xaxis}, "yaxis": {"automargin": True, "nticks": 8, **yaxis}}
    return Figure(traces, {"bargap": 0.25, "template": {}, **axes, **layout})


def _trace(name: str, x: pd.Index, y: Any, digits: int, shown: str = NUMBER, **look: Any) -> Options:
    """Give what plotly calls a trace; rounded, since a picture shows no more and a page is half the size."""
    hover = f"%{{x}}<br>%{{y:{shown}}}<extra>%{{fullData.name}}</extra>"
    places = x.strftime("%Y-%m-%d") if isinstance(x, pd.DatetimeIndex) else x
    values = np.round(np.asarray(y, dtype=np.float64), digits).tolist()
    return {"type": "scatter", "name": name, "x": list(places), "y": values, "hovertemplate": hover, **look}


def _line(color: str, width: float = 1.4, **more: Any) -> Options:
    return {"mode": "lines", "line": {"color": color, "width": width, **more}}


def _strategy_lines(
    report: Report, values: pd.DataFrame, shown: str, yaxis: Options, below: Sequence[Options] = ()
) -> Figure:
    """Draw a line a strategy, `below` it what else there is."""
    traces = [*below]
    for name, each in report.on_top.iterrows():
        line = _line(each["color"], 2.4) if each["front"] else _line(each["color"], dash="5px,2px")
        line["visible"] = each["shown"] or HIDDEN
        traces.append(_trace(each["label"], values.index, values[name], 4, shown, **line))
    return _figure(traces, DATES, yaxis)


def _equity(report: Report) -> Figure:
    bands: list[Options] = []
    for name in (name for name, seeds in report.seeds.items() if seeds.shape[1] > 1):
        label, color = report.strategies.loc[name, ["label", "color"]]
        seeds, edge = wealth(report.seeds[name]), {**_line(color, 0), "hoverinfo": "skip", "showlegend": False}
        fill = {"fill": "tonexty", "fillcolor": f"{color}33"}
        bands.append(_trace(label, seeds.index, seeds.min(axis=1), 4, **edge))
        bands.append(_trace(label, seeds.index, seeds.max(axis=1), 4, **edge, **fill))
    values = wealth(report.returns)
    scale = {"type": "log", "dtick": _log_ticks(values), "tickformat": ",~g", "nticks": None}
    return _strategy_lines(report, values, NUMBER, scale, bands)


def _log_ticks(values: pd.DataFrame) -> str:
    """Say where plotly puts labels: at 1, 2 and 5 of each power of ten, or at least four at an even distance."""
    low, high = values.min(axis=None), values.max(axis=None)
    if high >= 10 * low:
        return "D2"
    quarter = max(float(high - low), 1e-3) / 4
    power = 10.0 ** math.floor(math.log10(quarter))
    return f"L{max(each for each in (1, 2, 5) if each * power <= quarter) * power:g}"


def _weights(held: pd.DataFrame) -> Figure:
    n_symbols = held.shape[1] - 1
    if n_symbols > MAX_SYMBOLS + 1:
        others = held.iloc[:, MAX_SYMBOLS:-1].sum(axis=1).rename(f"{n_symbols - MAX_SYMBOLS} others")
        held = pd.concat([held.iloc[:, :MAX_SYMBOLS], others, held.iloc[:, -1]], axis=1)
    areas = []
    for name, color in zip(held, (*AREAS[: held.shape[1] - 1], AREAS[-1]), strict=True):
        look = {**_line(color, 0), "stackgroup": "one", "fillcolor": color}
        areas.append(_trace(name, held.index, held[name], 3, PERCENT, **look))
    return _figure(areas, DATES, {**SHARE, "range": [0, 1]})


def _flat_bars(report: Report, column: str, shown: str, **axis: Any) -> Figure:
    """Draw a bar a strategy; it lies flat, so that the names can be read on a phone."""
    table = report.strategies
    look = {"type": "bar", "orientation": "h", "marker": {"color": table["color"].tolist()}}
    hover = f"%{{x:{shown}}}<extra>%{{y}}</extra>"
    bars = {**look, "x": table[column].round(5).tolist(), "y": table["label"].tolist(), "hovertemplate": hover}
    names = {"type": "category", "autorange": "reversed", "ticksuffix": "  ", "nticks": None}
    return _figure([bars], {"nticks": 8, **axis}, names, height=max(340, 60 + 22 * len(table)))


def _rank_correlations(report: Report) -> Figure:
    markers, count = [], len(report.forecasts.skill)
    offsets = min(0.22, 0.8 / count) * (np.arange(count) - (count - 1) / 2)  # beside each other within a year's place
    for number, each in enumerate(report.forecasts.skill.itertuples()):
        found = report.forecasts.by_year[each.Index]
        look: Options = {"mode": "markers", "marker": {"color": each.color, "size": 8}, "error_y": _interval(found, 4)}
        look["visible"] = number < MAX_LINES or HIDDEN
        markers.append(_trace(each.label, (found.index + offsets[number]).round(2), found["value"], 4, **look))
    years = _whole_numbers([year for found in report.forecasts.by_year.values() for year in found.index])
    chance = {"type": "line", "xref": "paper", "x0": 0, "x1": 1, "y0": 0.0, "y1": 0.0}
    chance |= {"line": {"width": 1.5, "dash": "dot"}, "layer": "below"}
    return _figure(markers, years, {}, shapes=[chance])


def _calibration(report: Report, forecaster: str) -> Figure:
    table, color = report.forecasts.deciles[forecaster], report.forecasts.skill["color"][forecaster]
    bars = {"type": "bar", "marker": {"color": color}, "error_y": _interval(table, 6)}
    realized = _trace("realized", table.index, table["value"], 6, PERCENT, **bars)
    forecast = _trace("forecast", table.index, table["forecast"], 6, PERCENT, **_line(BLACK, 2.4))
    deciles = _whole_numbers(table.index, "decile of the forecast, lowest to highest")
    return _figure([realized, forecast], deciles, SHARE)


def _whole_numbers(values: Sequence[float], title: str = "") -> Options:
    """Ask for a tick at every whole number where there are few: plotly would put some between."""
    few = {"dtick": 1} if len(values) and max(values) - min(values) <= 12 else {}
    return {"title": {"text": title}, "type": "linear", "tickformat": "d", "nticks": 12, "showgrid": False, **few}


def _interval(found: pd.DataFrame, digits: int) -> Options:
    """Give the bars of an interval around the values; a value without one has none."""
    above, below = (found["high"] - found["value"]).round(digits), (found["value"] - found["low"]).round(digits)
    look = {"type": "data", "symmetric": False, "width": 3, "thickness": 1.2}
    return {**look, "array": above.tolist(), "arrayminus": below.tolist()}
