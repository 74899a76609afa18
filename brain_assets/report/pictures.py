"""The pictures of a report that Dagster's UI shows, by matplotlib; the page draws the same tables, and more."""

import math
from typing import TYPE_CHECKING

from brain_assets.graph.pictures import new_figure
from brain_assets.report.metrics import wealth
from brain_assets.report.report import Report

if TYPE_CHECKING:
    from matplotlib.figure import Figure


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
    figure, axes = new_figure("How well forecasts rank the symbols, by year", "", "mean rank correlation", 4.2)
    axes.locator_params(axis="x", integer=True)
    for each in report.forecasts.skill.itertuples():
        found = report.forecasts.by_year[each.Index]
        ends = found["value"] - found["low"], found["high"] - found["value"]
        years = found.index + each.offset
        axes.errorbar(years, found["value"], ends, fmt="o", color=each.color, capsize=2, label=each.label)
    axes.axhline(0.0, color="gray", linewidth=0.8, linestyle=":")
    return _with_legend(figure)


def _with_legend(figure: "Figure") -> "Figure":
    """Name the lines below the axes, where they hide nothing."""
    legend = figure.legend(loc="lower center", ncols=4, fontsize="x-small", frameon=False)
    figure.subplots_adjust(bottom=0.09 + 0.045 * math.ceil(len(legend.get_texts()) / 4))
    return figure
