"""The pictures of a report, as data: the page and Dagster's metadata draw the same numbers from the same `Chart`."""

from __future__ import annotations

import colorsys
import math
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

from brain_assets import registry
from brain_assets.arrays import FloatArray
from brain_assets.portfolio import metrics
from brain_assets.portfolio.baselines import EQUAL_WEIGHT
from brain_assets.portfolio.forecast_figures import SOURCE_KINDS, ForecasterFigures

if TYPE_CHECKING:
    from brain_assets.portfolio.learning_curves import LearningCurve
    from brain_assets.portfolio.report import PolicyFigures, Report, StrategyFigures

Point = float | str
Values = tuple[float | None, ...]
"""None: there is no value; lines break there."""

GRAY, BLACK = "#8a8a8a", "#222222"

STRATEGY_COLORS: Mapping[str, str] = {
    "ppo": "#0072B2",
    "sac": "#D55E00",
    EQUAL_WEIGHT: BLACK,
    "buy_and_hold": GRAY,
    "risk_parity": "#009E73",
    "min_variance": "#56B4E9",
    "momentum_top": "#CC79A7",
    "lstm_top": "#E69F00",
    "patchtst_top": "#8C6D1F",
}
"""After Okabe & Ito (2008): told apart by the colour-blind too; what they lack is told apart by dashes."""

FORECASTER_COLORS: Mapping[str, str] = {"lstm": "#0072B2", "patchtst": "#D55E00", "momentum": GRAY}

SOURCE_COLORS = ("#0072B2", "#E69F00", "#bbbbbb")
AREA_COLORS = (
    *("#332288", "#88CCEE", "#44AA99", "#117733", "#999933", "#DDCC77", "#CC6677", "#882255", "#AA4499", "#4477AA"),
    *("#bbbbbb", "#e4e4e4"),
)
"""Tol's muted scheme, then others and cash in gray."""

MAX_SYMBOLS = 10
"""Symbols with an area of their own; a legend of fifty is read by nobody."""


@dataclass(frozen=True)
class Series:
    """One line, row of bars, area, band or row of markers."""

    kind: str
    """``line``, ``area`` (areas stack), ``bar``, ``band`` (between `low` and `high`) or ``marker``."""
    name: str
    x: tuple[Point, ...]
    """Dates as ``2020-01-06``, numbers or names, the same kind throughout a chart."""
    y: Values
    color: str
    low: Values | None = None
    """Of a band, or of an interval around bars and markers."""
    high: Values | None = None
    dashed: bool = False
    bold: bool = False
    legend: bool = True
    """Whether the legend names it."""


@dataclass(frozen=True)
class Chart:
    """A picture; what it shows is in its title, how to read it in its note."""

    key: str
    """Names it in the page and in metadata."""
    title: str
    note: str
    y_label: str
    series: tuple[Series, ...]
    x_label: str = ""
    x_kind: str = "date"
    """``date``, ``number`` (whole numbers) or ``name``."""
    log: bool = False
    percent: bool = False
    """Whether `y` is a share to be shown in percent."""
    stacked: bool = False
    """Whether bars stand on each other, not beside each other."""
    zero_line: float | None = None
    """Where a thin line marks what is nothing."""


@dataclass(frozen=True)
class ChartGroup:
    """Charts that belong together."""

    title: str
    charts: tuple[Chart, ...]
    folded: tuple[Chart, ...] = ()
    """Shown on demand."""


def report_charts(report: Report) -> tuple[ChartGroup, ...]:
    """Give all pictures of a report, in its order; what it has no figures for is left out."""
    main = [each for each in report.strategies if each.is_policy]
    rules = [each for each in report.strategies if not each.is_policy and each.name != EQUAL_WEIGHT]
    forecasters = report.forecasters
    colors = _colors(FORECASTER_COLORS, [each.name for each in forecasters])
    groups = (
        ChartGroup("Value and drawdowns", (_equity(report), _drawdowns(report))),
        ChartGroup(
            "Weights over time",
            tuple(_weights(report, each) for each in main),
            tuple(_weights(report, each) for each in rules),
        ),
        ChartGroup("Turnover and costs", (_turnover(report), _costs(report))),
        ChartGroup(
            "Forecasts",
            (
                *([_rank_correlations(forecasters, colors)] if forecasters else []),
                *(_calibration(each, colors[each.name]) for each in forecasters if each.deciles),
                *(_sources(each) for each in forecasters if each.sources),
            ),
        ),
        ChartGroup(
            "Learning curves",
            tuple(
                _learning(family, [curve for curve in report.curves if curve.family == family])
                for family in dict.fromkeys(curve.family for curve in report.curves)
            ),
        ),
    )
    return tuple(group for group in groups if group.charts or group.folded)


def _colors(ours: Mapping[str, str], names: Sequence[str]) -> dict[str, str]:
    """Give each name a colour: its own, or the next further one, in the order of names."""
    further = {name: _further_color(number) for number, name in enumerate(sorted(set(names) - set(ours)))}
    return {name: ours.get(name) or further[name] for name in names}


def _further_color(number: int) -> str:
    """Give the colours of families that are not ours, one after the other: steps of the golden ratio round all hues."""
    parts = colorsys.hls_to_rgb((0.3 + number * 0.618034) % 1.0, 0.3 + 0.15 * (number % 3), 0.6)
    return "#" + "".join(f"{round(255 * part):02x}" for part in parts)


def _strategy_colors(report: Report) -> dict[str, str]:
    return _colors(STRATEGY_COLORS, [each.name for each in report.strategies])


def _rounded(values: Iterable[float], digits: int) -> Values:
    """Round to decimals: a picture shows no more, and a page of ten years is half the size."""
    return tuple(round(float(value), digits) if math.isfinite(value) else None for value in values)


def _ends(found: Sequence[metrics.Estimate], digits: int) -> tuple[Values, Values]:
    """Give the low and the high ends of intervals."""
    return _rounded([each.low for each in found], digits), _rounded([each.high for each in found], digits)


def _weeks(report: Report) -> tuple[str, ...]:
    return tuple(map(str, report.weeks))


def _wealth(net_returns: FloatArray) -> FloatArray:
    return np.cumprod(1.0 + net_returns, axis=0, dtype=np.float64)


def _lines(report: Report, figure: Callable[[FloatArray], FloatArray]) -> list[Series]:
    """Draw a line a strategy; equal weight and then policies come last, so that they lie on top."""
    colors, lines = _strategy_colors(report), []
    for each in sorted(report.strategies, key=lambda each: (each.is_policy, each.name == EQUAL_WEIGHT)):
        front = each.is_policy or each.name == EQUAL_WEIGHT
        values = _rounded(figure(each.net_returns), 4)
        color = colors[each.name]
        lines.append(Series("line", each.label, _weeks(report), values, color, dashed=not front, bold=front))
    return lines


def _equity(report: Report) -> Chart:
    weeks, colors = _weeks(report), _strategy_colors(report)
    bands = [_seed_band(policy, weeks, colors[policy.name]) for policy in report.policies if policy.n_seeds > 1]
    note = "After costs, log scale; value at the end of each week."
    if bands:
        note += " The bands run from the worst to the best training seed."
    series = (*bands, *_lines(report, _wealth))
    return Chart("equity", "What one dollar became", note, "value of one dollar", series, log=True)


def _seed_band(policy: PolicyFigures, weeks: tuple[str, ...], color: str) -> Series:
    wealth = _wealth(policy.seed_returns)
    low, high = _rounded(wealth.min(axis=1), 4), _rounded(wealth.max(axis=1), 4)
    return Series("band", f"{policy.label}, all seeds", weeks, (), color, low, high, legend=False)


def _drawdowns(report: Report) -> Chart:
    title, note = "How far below its highest value each strategy was", "Zero is a new high; the start counts as one."
    series = tuple(_lines(report, metrics.drawdowns))
    return Chart("drawdowns", title, note, "below the highest value", series, percent=True)


def _weights(report: Report, strategy: StrategyFigures) -> Chart:
    weeks, (names, values) = _weeks(report), strategy.weights
    symbols = names[:-1]
    shown = symbols if len(symbols) <= MAX_SYMBOLS + 1 else symbols[:MAX_SYMBOLS]
    parts = [(name, values[:, position]) for position, name in enumerate(shown)]
    if len(shown) < len(symbols):
        parts.append((f"{len(symbols) - len(shown)} others", values[:, len(shown) : -1].sum(axis=1)))
    parts.append(("cash", values[:, -1]))
    colors = (*AREA_COLORS[: len(parts) - 1], AREA_COLORS[-1])
    return Chart(
        f"weights_{strategy.name}",
        f"What {strategy.label} held",
        "Traded to at the first open of each week; the largest on average at the bottom.",
        "share of the value",
        tuple(
            Series("area", name, weeks, _rounded(part, 3), color)
            for (name, part), color in zip(parts, colors, strict=True)
        ),
        percent=True,
    )


def _turnover(report: Report) -> Chart:
    note, values = "Dollars bought and sold in a year, over the value.", [each.turnover for each in report.strategies]
    bars = _bars(report, values)
    return Chart("turnover", "How much each strategy trades", note, "times the value, a year", bars, x_kind="name")


def _costs(report: Report) -> Chart:
    note = f"At {report.cost_bps:g} basis points of every dollar traded."
    bars = _bars(report, [each.cost_drag for each in report.strategies])
    return Chart("costs", "What costs take", note, "annual return lost", bars, x_kind="name", percent=True)


def _bars(report: Report, values: Sequence[float]) -> tuple[Series, ...]:
    colors = _strategy_colors(report)
    return tuple(
        Series("bar", each.label, (each.label,), _rounded([value], 5), colors[each.name], legend=False)
        for each, value in zip(report.strategies, values, strict=True)
    )


def _rank_correlations(forecasters: Sequence[ForecasterFigures], colors: Mapping[str, str]) -> Chart:
    series = []
    for position, each in enumerate(forecasters):
        offset = 0.22 * (position - (len(forecasters) - 1) / 2)
        years = tuple(round(year + offset, 2) for year in each.by_year)
        found = list(each.by_year.values())
        values = _rounded([estimate.value for estimate in found], 4)
        series.append(Series("marker", each.label, years, values, colors[each.name], *_ends(found, 4)))
    return Chart(
        "rank_correlation",
        "How well forecasts rank the symbols, by year",
        "Mean over the year's weeks of Spearman's rank correlation, out of sample, with 95 % intervals; 0 is chance.",
        "mean rank correlation",
        tuple(series),
        x_kind="number",
        zero_line=0.0,
    )


def _calibration(forecaster: ForecasterFigures, color: str) -> Chart:
    x = tuple(float(each.number) for each in forecaster.deciles)
    realized = [each.realized for each in forecaster.deciles]
    earned = _rounded([each.value for each in realized], 6)
    forecast = _rounded([each.forecast for each in forecaster.deciles], 6)
    return Chart(
        f"calibration_{forecaster.name}",
        f"What came after {forecaster.label}'s forecasts, by decile",
        "Return of the week less the mean of its symbols; deciles of each week's forecasts, 95 % intervals. Forecasts "
        "with skill rise to the right; well-sized ones lie on the line.",
        "return of a week, less the mean",
        (
            Series("bar", "realized", x, earned, color, *_ends(realized, 6)),
            Series("line", "forecast", x, forecast, BLACK, bold=True),
        ),
        x_label="decile of the forecast, lowest to highest",
        x_kind="number",
        percent=True,
    )


def _sources(forecaster: ForecasterFigures) -> Chart:
    years = tuple(float(year) for year in forecaster.sources)
    series = tuple(
        Series("bar", kind, years, _rounded(shares, 4), color)
        for kind, color in zip(SOURCE_KINDS, SOURCE_COLORS, strict=True)
        if any(shares := [found.get(kind, 0.0) for found in forecaster.sources.values()])
    )
    return Chart(
        f"sources_{forecaster.name}",
        f"Where {forecaster.label}'s forecasts came from",
        "Share of the forecasts of each year.",
        "share of forecasts",
        series,
        x_kind="number",
        percent=True,
        stacked=True,
    )


def _learning(family: str, curves: Sequence[LearningCurve]) -> Chart:
    lines = tuple(
        Series(
            "line" if len(curve.steps) > 1 else "marker",
            str(curve.year),
            curve.steps,
            _rounded(curve.values, 5),
            _shade(position / max(len(curves) - 1, 1)),
        )
        for position, curve in enumerate(curves)
    )
    if curves[0].by_epoch:
        note = "A line a snapshot, early years dark; below 1 is better than predicting zero."
        y_label, x_label, zero_line = "validation loss / loss of zero", "epoch", 1.0
    else:
        note = "A line a snapshot, early years dark; on the weeks that it learned from, so no result."
        y_label, x_label, zero_line = "reward of an episode (100 × log growth)", "environment steps", None
    return Chart(
        f"learning_{family}",
        f"How {registry.label(family)} learned",
        note,
        y_label,
        lines,
        x_label,
        "number",
        zero_line=zero_line,
    )


def _shade(place: float) -> str:
    """Give a colour between dark blue and light orange, for an order of years; `place` in [0, 1]."""
    stops = np.array([[0x0B, 0x3C, 0x6F], [0x3A, 0x8F, 0xB7], [0xE6, 0x9F, 0x00]], dtype=np.float64)
    red, green, blue = (round(float(np.interp(place, [0.0, 0.5, 1.0], stops[:, part]))) for part in range(3))
    return f"#{red:02x}{green:02x}{blue:02x}"
