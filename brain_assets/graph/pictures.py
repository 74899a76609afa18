"""Pictures for Dagster's metadata: PNG inside Markdown, which the UI shows."""

import base64
import io
import math
from collections.abc import Sequence
from typing import TYPE_CHECKING

import dagster as dg
import numpy as np
import pandas as pd

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

    from brain_assets.portfolio.charts import Chart, Series


def known_or_words(value: float | None) -> float | str:
    """Give a figure for metadata; none, or NaN, which JSON does not know, in words."""
    return value if value is not None and np.isfinite(value) else "not known: fewer than three symbols"


def _figure(title: str, xlabel: str, ylabel: str, height: float = 3.6) -> "tuple[Figure, Axes]":
    from matplotlib.figure import Figure  # without pyplot: no global state, no display

    figure = Figure(figsize=(7, height), dpi=100)
    axes = figure.subplots()
    # to have a layout found would take half the time of a picture
    figure.subplots_adjust(left=0.12, right=0.97, top=0.91, bottom=0.15 if xlabel else 0.09)
    axes.set(title=title, xlabel=xlabel, ylabel=ylabel)
    axes.grid(alpha=0.3)
    return figure, axes


def _png(figure: "Figure") -> bytes:
    buffer = io.BytesIO()
    figure.savefig(buffer, format="png")
    return buffer.getvalue()


def _in_markdown(png: bytes, alternative: str) -> dg.MarkdownMetadataValue:
    return dg.MetadataValue.md(f"![{alternative}](data:image/png;base64,{base64.b64encode(png).decode()})")


def _picture(figure: "Figure", alternative: str) -> dg.MarkdownMetadataValue:
    return _in_markdown(_png(figure), alternative)


def loss_curve(
    title: str, train: Sequence[float], validation: Sequence[float], zero: float, best_epoch: int
) -> dg.MarkdownMetadataValue:
    """Draw training and validation loss by epoch beside the loss of predicting zero."""
    from matplotlib.ticker import MaxNLocator

    figure, axes = _figure(title, "epoch", "mean squared error / target variance")
    axes.xaxis.set_major_locator(MaxNLocator(integer=True))
    epochs = np.arange(1, len(train) + 1)
    axes.plot(epochs, train, label="training", marker=".")
    axes.plot(epochs, validation, label="validation", marker=".")
    axes.axhline(zero, color="gray", linestyle="--", label="validation, predicting zero")
    axes.axvline(best_epoch, color="gray", linestyle=":", label=f"kept: epoch {best_epoch}")
    axes.legend()
    return _picture(figure, title)


def reward_curve(title: str, steps: Sequence[float], rewards: Sequence[float]) -> dg.MarkdownMetadataValue:
    """Draw the mean reward of an episode while a policy learns."""
    figure, axes = _figure(title, "environment steps", "reward of an episode (100 x log growth)")
    axes.plot(steps, rewards, marker=".")
    return _picture(figure, title)


def price_chart(title: str, prices: pd.DataFrame) -> dg.MarkdownMetadataValue:
    """Draw every symbol's close relative to its first, on a log scale, and their median in black."""
    figure, axes = _figure(title, "", "close / first close")
    closes = prices.pivot_table(index="date", columns="symbol", values="close")
    relative = closes / closes.bfill().iloc[0]  # each symbol's own first close; for the eye only
    axes.plot(relative.index, relative, linewidth=0.6, alpha=0.6)
    axes.plot(relative.index, relative.median(axis=1), color="black", linewidth=1.6, label="median")
    axes.set_yscale("log")
    axes.legend()
    return _picture(figure, title)


def rank_correlation_chart(title: str, weeks: np.ndarray, lines: dict[str, np.ndarray]) -> dg.MarkdownMetadataValue:
    """Draw cumulative sums of weekly rank correlations: a steady skill is a straight line upward."""
    figure, axes = _figure(title, "", "sum of weekly rank correlations")
    for name, weekly in lines.items():
        mean = np.mean(weekly[np.isfinite(weekly)]) if np.isfinite(weekly).any() else np.nan
        axes.plot(weeks, np.nancumsum(weekly), label=f"{name} (mean {mean:+.3f})")
    axes.axhline(0, color="gray", linewidth=0.8)
    axes.legend()
    return _picture(figure, title)


def equity_chart(title: str, lines: "dict[str, pd.Series]") -> dg.MarkdownMetadataValue:
    """Draw what one dollar became, after costs; each series is net weekly returns by week."""
    figure, axes = _figure(title, "", "value of one dollar")
    for name, returns in lines.items():
        axes.plot(returns.index, (1 + returns).cumprod(), label=name)
    axes.legend()
    return _picture(figure, title)


def news_chart(title: str, news: pd.DataFrame) -> dg.MarkdownMetadataValue:
    """Draw the mean score of each week over all symbols, and how many articles it rests on."""
    from matplotlib.dates import AutoDateLocator, ConciseDateFormatter

    figure, axes = _figure(title, "", "mean score")
    dates = AutoDateLocator(minticks=2, maxticks=7)  # type: ignore[no-untyped-call]  # two scales leave less room
    axes.xaxis.set_major_locator(dates)
    axes.xaxis.set_major_formatter(ConciseDateFormatter(dates))  # type: ignore[no-untyped-call]
    weekly = news.groupby(pd.Grouper(key="date", freq="W"))
    axes.plot(weekly["sentiment_score"].mean(), color="C0")
    axes.axhline(0, color="gray", linewidth=0.8)
    articles = axes.twinx()
    counts = weekly["n_articles"].sum()
    articles.bar(counts.index, counts, width=6, alpha=0.2, color="gray")
    articles.set_ylabel("articles a week")
    figure.subplots_adjust(right=0.88)
    return _picture(figure, title)


def ratio_chart(title: str, fundamentals: pd.DataFrame) -> dg.MarkdownMetadataValue:
    """Draw the median of each ratio over what was filed in each quarter."""
    figure, axes = _figure(title, "date of filing", "ratio")
    by_quarter = fundamentals.groupby(pd.Grouper(key="filed", freq="QE"))
    for name in fundamentals.columns[3:]:
        axes.plot(by_quarter[name].median(), marker=".", label=name)
    axes.legend()
    return _picture(figure, title)


LEGEND_COLUMNS = 4

WIDE_TICKS, NARROW_TICKS = (1.0, 2.0, 5.0), (1.0, 1.5, 2.0, 3.0, 4.0, 6.0, 8.0)
"""Of a log scale, in each power of ten."""


def chart_picture(chart: "Chart") -> dg.MarkdownMetadataValue:
    """Draw a chart of a report; the report's page draws the same numbers."""
    return _in_markdown(chart_png(chart), chart.title)


def chart_png(chart: "Chart") -> bytes:
    """Draw a chart of a report as a file."""
    from matplotlib.ticker import LogLocator, MaxNLocator, NullFormatter, PercentFormatter, StrMethodFormatter

    flat = chart.x_kind == "name"
    figure, axes = _figure(chart.title, chart.x_label, "" if flat else chart.y_label, 4.2)
    axes.set_axisbelow(True)
    values = axes.xaxis if flat else axes.yaxis
    for position, series in enumerate(chart.series):
        _draw(axes, chart, series, position)
    if any(series.kind == "area" for series in chart.series):
        areas = [series for series in chart.series if series.kind == "area"]
        parts = [_numbers(series.y) for series in areas]
        axes.stackplot(_points(chart, areas[0]), parts, colors=[each.color for each in areas], labels=_names(areas))
        axes.set_ylim(0.0, 1.0)
    if flat:
        axes.set_xlabel(chart.y_label)
        axes.invert_yaxis()
    if chart.x_kind == "number":
        axes.xaxis.set_major_locator(MaxNLocator(integer=True))
    if chart.log:
        axes.set_yscale("log")
        low, high = values.get_view_interval()
        values.set_major_locator(LogLocator(subs=WIDE_TICKS if high > 15 * low else NARROW_TICKS))
        values.set_major_formatter(StrMethodFormatter("{x:g}"))
        values.set_minor_formatter(NullFormatter())
    if chart.percent:
        values.set_major_formatter(PercentFormatter(xmax=1.0))
    if chart.zero_line is not None:
        axes.axhline(chart.zero_line, color="gray", linewidth=0.8, linestyle=":")
    handles, labels = axes.get_legend_handles_labels()
    legend_rows = math.ceil(len(labels) / LEGEND_COLUMNS) if len(labels) > 1 else 0
    if legend_rows:
        figure.legend(
            handles,
            labels,
            loc="lower center",
            bbox_to_anchor=(0.5, 0.01),
            ncols=LEGEND_COLUMNS,
            fontsize="x-small",
            frameon=False,
        )
    figure.subplots_adjust(
        left=0.33 if flat else 0.12,  # names stand there
        right=0.97,
        top=0.92,
        bottom=0.09 + 0.045 * legend_rows + 0.05 * bool(axes.get_xlabel()),
    )
    return _png(figure)


def _draw(axes: "Axes", chart: "Chart", series: "Series", position: int) -> None:
    """Draw one series of a chart; areas are drawn together, elsewhere."""
    points, label = _points(chart, series), series.name if series.legend else None
    interval = _interval(series)
    match series.kind:
        case "line":
            width, style = (1.8 if series.bold else 1.0), ("--" if series.dashed else "-")
            axes.plot(points, _numbers(series.y), color=series.color, linewidth=width, linestyle=style, label=label)
        case "marker":
            axes.errorbar(points, _numbers(series.y), interval, fmt="o", color=series.color, capsize=2, label=label)
        case "band":
            axes.fill_between(points, _numbers(series.low), _numbers(series.high), color=series.color, alpha=0.2)
        case "bar" if chart.x_kind == "name":
            axes.barh(points, _numbers(series.y), color=series.color, label=label)
        case "bar":
            below = [each for each in chart.series[:position] if each.kind == "bar"] if chart.stacked else []
            bottom = np.sum([_numbers(each.y) for each in below], axis=0) if below else 0.0
            axes.bar(
                points, _numbers(series.y), 0.75, bottom, color=series.color, yerr=interval, capsize=2, label=label
            )


def _points(chart: "Chart", series: "Series") -> np.ndarray:
    if chart.x_kind == "date":
        return np.array(series.x, dtype="datetime64[D]")
    return np.array(series.x, dtype=np.float64 if chart.x_kind == "number" else object)


def _numbers(values: Sequence[float | None] | None) -> np.ndarray:
    return np.array([np.nan if value is None else value for value in values or ()], dtype=np.float64)


def _names(series: "Sequence[Series]") -> list[str]:
    return [each.name for each in series]


def _interval(series: "Series") -> np.ndarray | None:
    """Give how far an interval reaches below and above its values, (2, n); None: there is none."""
    if series.low is None or series.high is None or series.kind == "band":
        return None
    middle = _numbers(series.y)
    ends: np.ndarray = np.abs(np.stack([middle - _numbers(series.low), _numbers(series.high) - middle]))
    return ends
