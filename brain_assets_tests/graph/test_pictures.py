import re
from urllib.parse import unquote

import dagster as dg
import numpy as np
import pytest

from brain_assets.formatting import format_figure
from brain_assets.graph.pictures import COLORS, MAX_CHARACTERS, chart, plotted


def svg(picture: dg.MarkdownMetadataValue) -> str:
    return unquote(str(picture.value).partition("(<data:image/svg+xml,")[2].partition(">)")[0])


def test_a_line_goes_through_its_points() -> None:
    drawn = svg(chart("ranks", {"a": [0.0, np.nan, 1.0, 0.5], "none": [np.nan, np.nan]}, 0.0))
    level, line = re.findall("<path d='(.*?)'", drawn)
    assert level == "M0 84l120 0"  # the lowest value is at the bottom
    assert line == "M0 84l60-84 60 42"  # to the top in the middle, and half of the way back; NaN is left out
    assert re.findall(">([^<>]+)</text>", drawn) == ["a 0.5"]


def test_a_logarithmic_axis_shows_growth_as_a_straight_line() -> None:
    assert "d='M0 84l60-42 60-42'" in svg(chart("growth", {"a": [1.0, 10.0, 100.0]}, log=True))


@pytest.mark.parametrize("n_lines", [1, 4, 30])
def test_a_chart_is_short_enough_to_be_shown_without_a_click(n_lines: int) -> None:
    walks = np.random.default_rng(0).normal(size=(n_lines, 5_000)).cumsum(axis=1)
    picture = chart("walks", {f"<family> {number}": walk for number, walk in enumerate(walks)}, 0.0, "A caption.")
    assert len(str(picture.value)) <= MAX_CHARACTERS
    assert svg(picture).count("&lt;family&gt;") == min(n_lines, len(COLORS))
    assert len(re.findall("[- ]", svg(picture).split("stroke='teal'")[0].split("d='")[-1])) > 12  # several points each


def test_nothing_known_is_said() -> None:
    assert chart("ranks", {"a": [np.nan]}).value == "ranks: nothing is known yet"
    assert plotted({"a": 0.12345678, "b": float("nan"), "c": None}) == {"a": 0.123457}


@pytest.mark.parametrize(
    ("value", "text"), [(-0.04, "0.0 pp"), (0.0, "0.0 pp"), (0.05001, "+0.1 pp"), (-0.06, "-0.1 pp"), (np.nan, "–")]
)
def test_a_hair_below_zero_is_zero(value: float, text: str) -> None:
    assert format_figure(value, "+.1f", " pp") == text
