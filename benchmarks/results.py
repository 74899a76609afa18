"""The tables and pictures of `docs/results.md`: what a walk-forward gave, as it came out.

``python -m benchmarks.results docs/results/sample``, with the settings of the walk-forward, prints the tables as
Markdown, and writes ``docs/results/sample-equity.png`` and ``docs/results/sample-rank_correlation.png``.
``--years 1994-2009`` keeps to some years.
"""

import argparse
import math
from pathlib import Path

import pandas as pd
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.ticker import LogLocator, NullFormatter

from brain_assets.forecasting.walkforward import YARDSTICKS
from brain_assets.graph.build import open_project
from brain_assets.report.assets import report_of
from brain_assets.report.metrics import wealth
from brain_assets.report.report import Report
from brain_assets.report.tables import conclude, forecaster_table, policy_table, strategy_table, trials_sentence
from brain_assets.settings import read_settings
from brain_assets.terminal import parse_years


def _new_figure(title: str, ylabel: str) -> tuple[Figure, Axes]:
    figure = Figure(figsize=(7, 4.2), dpi=100)
    axes = figure.subplots()
    figure.subplots_adjust(left=0.12, right=0.97, top=0.91)
    axes.set(title=title, ylabel=ylabel)
    axes.grid(alpha=0.3)
    return figure, axes


def report_pictures(report: Report) -> dict[str, Figure]:
    """Draw what a dollar became, and the rank correlations of forecasts, if there are any."""
    ranks = {"rank_correlation": _rank_correlations(report)} if report.forecasts.by_year else {}
    return {"equity": _equity(report), **ranks}


def _equity(report: Report) -> Figure:
    figure, axes = _new_figure("What one dollar became", "value of one dollar")
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


def _rank_correlations(report: Report) -> Figure:
    """Draw sums, since eight intervals a year hide each other: what ranks better than chance climbs."""
    figure, axes = _new_figure("How well forecasts rank the symbols", "mean rank correlations of years, summed")
    axes.locator_params(axis="x", integer=True)
    for each in report.forecasts.skill.itertuples():
        found, style = report.forecasts.by_year[each.Index]["value"], "--" if each.Index in YARDSTICKS else "-"
        axes.plot(found.index, found.cumsum(), style, marker=".", color=each.color, label=each.label)
    axes.axhline(0.0, color="gray", linewidth=0.8, linestyle=":")
    return _with_legend(figure)


def _with_legend(figure: Figure) -> Figure:
    """Name the lines below the axes, where they hide nothing."""
    legend = figure.legend(loc="lower center", ncols=4, fontsize="x-small", frameon=False)
    figure.subplots_adjust(bottom=0.09 + 0.045 * math.ceil(len(legend.get_texts()) / 4))
    return figure


def markdown(table: pd.DataFrame) -> str:
    """Write a table as Markdown does."""
    lines = [table.columns, ("---",) * table.shape[1], *table.itertuples(index=False)]
    return "\n".join(f"| {' | '.join(line)} |".replace("\n", "<br>") for line in lines)


def main() -> None:
    """Print the tables, and draw the pictures."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("pictures", type=Path, help="what the names of the pictures begin with, folder and all")
    parser.add_argument("--years", help="a year or a range; default: all, which must be there")
    asked = parser.parse_args()
    project = open_project(read_settings())
    resources = project.definitions.resources or {}
    table_io, storages = resources["table_io"], resources["snapshot_io"].storages
    chosen = parse_years(asked.years, project.years)
    built = report_of(chosen, project.market, table_io.store, storages, table_io.data_dir / "trials")
    asked.pictures.parent.mkdir(parents=True, exist_ok=True)
    for name, picture in report_pictures(built).items():
        picture.savefig(f"{asked.pictures}-{name}.png")
    print(*conclude(built), sep="\n\n")
    for table in (strategy_table(built), policy_table(built), forecaster_table(built)):
        print(f"\n{markdown(table)}")
    print(f"\n{trials_sentence(built)}")


if __name__ == "__main__":
    main()
