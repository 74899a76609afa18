"""Tables and charts for Dagster's metadata, which its UI shows without a click."""

import html
from collections.abc import Mapping
from itertools import islice
from urllib.parse import quote

import dagster as dg
import numpy as np
import pandas as pd
from numpy.typing import ArrayLike

from brain_assets.arrays import FloatArray

WIDTH, HEIGHT = 120, 84
"""Of a chart without its legend; small, as every digit counts."""
COLORS = ("teal", "red", "orchid", "orange", "gray")
"""Of the lines of a chart, in their order."""
PLAIN = " '=/:;,"
"""Characters of an SVG that stand for themselves in a URL."""
MAX_CHARACTERS = 999
"""Markdown that is longer is hidden by Dagster's UI behind a link."""


def plotted(figures: Mapping[str, float | None]) -> dict[str, float]:
    """Give figures as numbers, which the UI plots over the years; NaN, which JSON does not know, is left out."""
    return {name: round(float(value), 6) for name, value in figures.items() if value is not None and np.isfinite(value)}


def as_table(frame: pd.DataFrame) -> dg.TableMetadataValue:
    """Give a table of texts."""
    named = frame.rename(columns=str)
    records = [dg.TableRecord(row) for row in named.to_dict("records")]
    return dg.MetadataValue.table(records, dg.TableSchema([dg.TableColumn(name) for name in named]))


def chart(
    title: str, lines: Mapping[str, ArrayLike], level: float | None = None, caption: str = "", log: bool = False
) -> dg.MarkdownMetadataValue:
    """Draw the first five lines as an SVG inside Markdown, each beside its name and last value.

    Each is evenly spaced from left to right, with as many points as there is room for; NaN is left out. `title`: to
    read where no picture is shown; `level`: of a dashed line; `log`: whether the vertical axis is logarithmic.
    """
    known = {name: np.asarray(values, dtype=float) for name, values in lines.items()}
    drawn = {name: values[np.isfinite(values)] for name, values in islice(known.items(), len(COLORS))}
    drawn = {name: values for name, values in drawn.items() if len(values)}
    if not drawn:
        return dg.MetadataValue.md(f"{title}: nothing is known yet")
    scale = np.log if log else np.asarray
    every = scale(np.concatenate([*drawn.values(), [] if level is None else [level]]))
    low, span = every.min(), float(np.ptp(every)) or 1.0
    heights = {name: HEIGHT * (1 - (scale(values) - low) / span) for name, values in drawn.items()}
    dashed = [] if level is None else [HEIGHT * (1 - (float(scale(level)) - low) / span)] * 2
    for n_points in range(60, 1, -1):
        parts = [f"<path d='{_path(np.array(dashed), 2)}' stroke='gray' stroke-dasharray='2'/>"] if dashed else []
        for row, ((name, values), color) in enumerate(zip(heights.items(), COLORS, strict=False)):
            parts.append(f"<path d='{_path(values, n_points)}' stroke='{color}'/>")
            label = f"{html.escape(name)} {drawn[name][-1]:.3g}"
            parts.append(f"<text x='{WIDTH + 3}' y='{4 + 7 * row}' fill='{color}'>{label}</text>")
        style = f"width='330' viewBox='0 -1 180 {HEIGHT + 2}' fill='none' style='font:5px sans-serif;stroke-width:.5'"
        svg = f"<svg xmlns='http://www.w3.org/2000/svg' {style}>{''.join(parts)}</svg>"
        text = f"![{title}](<data:image/svg+xml,{quote(svg, safe=PLAIN)}>)\n\n{caption}"
        if len(text) <= MAX_CHARACTERS:
            break
    return dg.MetadataValue.md(text)


def _path(heights: FloatArray, n_points: int) -> str:
    """Draw a line through some of its points, evenly spaced, from left to right."""
    chosen = np.unique(np.linspace(0, len(heights) - 1, n_points).round().astype(int))
    points = np.column_stack([chosen * WIDTH / max(len(heights) - 1, 1), heights[chosen]]).round().astype(int)
    steps = " ".join(f"{right} {down}" for right, down in np.diff(points, axis=0))
    return f"M{points[0, 0]} {points[0, 1]}l{steps}".replace(" -", "-")
