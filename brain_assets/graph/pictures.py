"""Pictures for Dagster's metadata: PNG inside Markdown, which the UI shows."""

import base64
import io
from collections.abc import Sequence
from typing import TYPE_CHECKING

import dagster as dg
import numpy as np
import pandas as pd

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure


def known_or_words(value: float | None) -> float | str:
    """Give a figure for metadata; none, or NaN, which JSON does not know, in words."""
    return value if value is not None and np.isfinite(value) else "not known: fewer than three symbols"


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


def picture(figure: "Figure", alternative: str) -> dg.MarkdownMetadataValue:
    """Give a figure as the UI shows it, and what to read where it cannot."""
    buffer = io.BytesIO()
    figure.savefig(buffer, format="png")
    encoded = base64.b64encode(buffer.getvalue()).decode()
    return dg.MetadataValue.md(f"![{alternative}](data:image/png;base64,{encoded})")


def loss_curve(
    title: str, train: Sequence[float], validation: Sequence[float], zero: float
) -> dg.MarkdownMetadataValue:
    """Draw training and validation loss by epoch beside the loss of predicting zero."""
    from matplotlib.ticker import MaxNLocator

    figure, axes = new_figure(title, "epoch", "mean squared error / target variance")
    axes.xaxis.set_major_locator(MaxNLocator(integer=True))
    epochs = np.arange(1, len(train) + 1)
    axes.plot(epochs, train, label="training", marker=".")
    axes.plot(epochs, validation, label="validation", marker=".")
    axes.axhline(zero, color="gray", linestyle="--", label="validation, predicting zero")
    axes.legend()
    return picture(figure, title)


def weights_by_year(title: str, weights: pd.DataFrame) -> dg.MarkdownMetadataValue:
    """Draw what each feature, a row, weighs in the model of each year, a column: red above zero, blue below."""
    figure, axes = new_figure(title, "", "", 0.8 + 0.17 * len(weights))
    figure.subplots_adjust(left=0.22, right=1.0, top=0.93, bottom=0.06)
    most = float(weights.abs().max(axis=None)) or 1.0
    shown = axes.imshow(weights, cmap="RdBu_r", vmin=-most, vmax=most, aspect="auto", interpolation="nearest")
    axes.set_yticks(range(len(weights)), weights.index, fontsize="x-small")
    axes.set_xticks(
        range(0, weights.shape[1], 1 + weights.shape[1] // 12), weights.columns[:: 1 + weights.shape[1] // 12]
    )
    axes.grid(visible=False)
    figure.colorbar(shown)
    return picture(figure, title)


def reward_curve(title: str, steps: Sequence[float], rewards: Sequence[float]) -> dg.MarkdownMetadataValue:
    """Draw the mean reward of an episode while a policy learns."""
    figure, axes = new_figure(title, "environment steps", "reward of an episode (100 x log growth less equal weight's)")
    axes.plot(steps, rewards, marker=".")
    return picture(figure, title)


def price_chart(title: str, prices: pd.DataFrame) -> dg.MarkdownMetadataValue:
    """Draw every symbol's close relative to its first, on a log scale, and their median in black."""
    figure, axes = new_figure(title, "", "close / first close")
    closes = prices.pivot_table(index="date", columns="symbol", values="close")
    relative = closes / closes.bfill().iloc[0]  # each symbol's own first close; for the eye only
    axes.plot(relative.index, relative, linewidth=0.6, alpha=0.6)
    axes.plot(relative.index, relative.median(axis=1), color="black", linewidth=1.6, label="median")
    axes.set_yscale("log")
    axes.legend()
    return picture(figure, title)


def rank_correlation_chart(title: str, weekly: pd.DataFrame) -> dg.MarkdownMetadataValue:
    """Draw cumulative sums of weekly rank correlations, a column a line: a steady skill is a straight line upward."""
    figure, axes = new_figure(title, "", "sum of weekly rank correlations")
    for name, correlations in weekly.items():
        axes.plot(weekly.index, np.nancumsum(correlations), label=f"{name} (mean {correlations.mean():+.3f})")
    axes.axhline(0, color="gray", linewidth=0.8)
    axes.legend()
    return picture(figure, title)


def equity_chart(title: str, lines: "dict[str, pd.Series]") -> dg.MarkdownMetadataValue:
    """Draw what one dollar became, after costs; each series is net weekly returns by week."""
    figure, axes = new_figure(title, "", "value of one dollar")
    for name, returns in lines.items():
        axes.plot(returns.index, (1 + returns).cumprod(), label=name)
    axes.legend()
    return picture(figure, title)
