"""The pictures of a page of results, by matplotlib."""

import math
from typing import TYPE_CHECKING

from brain_assets.forecasting.walkforward import YARDSTICKS
from brain_assets.report.metrics import wealth
from brain_assets.report.report import Report

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure


def new_figure(title: str, xlabel: str, ylabel: str, height: float = 3.6) -> "tuple[Figure, Axes]":
    """Begin a picture with one pair of axes; a height is in inches."""
    from matplotlib.figure import Figure  # without pyplot: no global state, no display

    figure = Figure(figsize=(7, height), dpi=100)
    axes = figure.subplots()
    # to have a layout found would take half the time of a picture
    figure.subplots_adjust(left=0.12, right=0.97, top=0.91, bottom=0.15 if xlabel else 0.09)
    axes.set(title=title, xlabel=xlabel, ylabel=ylabel)
    axes.grid(alpha=0.3)
    return figure, axes


def report_pictures(report: Report) -> "dict[str, Figure]":
    """Draw what a dollar became, and the rank correlations of forecasts, if there are any."""
    ranks = {"rank_correlation": _rank_correlations(report)} if report.forecasts.by_year else {}
    return {"equity": _equity(report), **ranks}


def _equity(report: Report) -> "Figure":
    from matplotlib.ticker import LogLocator, NullFormatter

    figure, axes = new_figure("What one dollar became", "", "value of one dollar", 4.2)
    for name, returns in report.seeds.items():
        seeds, color = wealth(returns), report.strategies["color"][name]
        axes.fill_between(seeds.index, seeds.min(axis=1), seeds.max(axis=1), color=color, alpha=0.2)
    values = wealth(report.returns)
    for name, each in report.on_top[report.on_top["shown"]].iterrows():
        width, style = (1.8, "-") if each["front"] else (1.0, "--")
        axes.plot(values[name], color=each["color"], label=each["label"], linewidth=width, linestyle=style)
    axes.set_yscale("log")
    axes.yaxis.set_major_locator(LogLocator(subs=(1.0, 1.2, 1.5, 2.0, 3.0, 4.0, 6.0, 8.0)))
    axes.yaxis.set_major_formatter("{x:g}")
    axes.yaxis.set_minor_formatter(NullFormatter())
    return _with_legend(figure)


def _rank_correlations(report: Report) -> "Figure":
    """Draw sums, since eight intervals a year hide each other: what ranks better than chance climbs."""
    figure, axes = new_figure("How well forecasts rank the symbols", "", "mean rank correlations of years, summed", 4.2)
    axes.locator_params(axis="x", integer=True)
    for each in report.forecasts.skill.itertuples():
        found, style = report.forecasts.by_year[each.Index]["value"], "--" if each.Index in YARDSTICKS else "-"
        axes.plot(found.index, found.cumsum(), style, marker=".", color=each.color, label=each.label)
    axes.axhline(0.0, color="gray", linewidth=0.8, linestyle=":")
    return _with_legend(figure)


def _with_legend(figure: "Figure") -> "Figure":
    """Name the lines below the axes, where they hide nothing."""
    legend = figure.legend(loc="lower center", ncols=4, fontsize="x-small", frameon=False)
    figure.subplots_adjust(bottom=0.09 + 0.045 * math.ceil(len(legend.get_texts()) / 4))
    return figure
