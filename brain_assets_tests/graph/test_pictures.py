import base64
import io

import dagster as dg
import matplotlib.image
import numpy as np
import pandas as pd
import pytest

from brain_assets.graph.pictures import (
    equity_chart,
    known_or_words,
    loss_curve,
    price_chart,
    rank_correlation_chart,
    reward_curve,
    weights_by_year,
)

WEEKS = np.array(["2020-01-06", "2020-01-13"], dtype="datetime64[D]")


def pixels(picture: dg.MarkdownMetadataValue) -> np.ndarray:
    head, encoded = str(picture.value).removesuffix(")").split("base64,")
    assert head.startswith("![")
    return matplotlib.image.imread(io.BytesIO(base64.b64decode(encoded)), format="png")


@pytest.mark.parametrize(
    "picture",
    [
        loss_curve("losses", [1.0, 0.9], [1.1, 1.0], 1.0),
        reward_curve("rewards", [100, 200], [1.0, 2.0]),
        rank_correlation_chart("ranks", pd.DataFrame({"lstm": [0.1, np.nan], "none": np.nan}, index=WEEKS)),
        equity_chart("equity", {"ppo": pd.Series([0.01, -0.02], index=WEEKS)}),
        price_chart(
            "prices", pd.DataFrame({"date": [*WEEKS, *WEEKS], "symbol": list("AABB"), "close": [1.0, 2, 3, 4]})
        ),
    ],
    ids=["losses", "rewards", "ranks", "equity", "prices"],
)
def test_every_picture_is_a_png_with_something_drawn(picture: dg.MarkdownMetadataValue) -> None:
    image = pixels(picture)
    assert image.shape[:2] == (360, 700)
    assert len(np.unique(image.reshape(-1, image.shape[2]), axis=0)) > 10  # colours: axes, lines and text


def test_weights_are_drawn_in_red_above_zero_and_in_blue_below() -> None:
    image = pixels(weights_by_year("weights", pd.DataFrame({2019: {"a": 0.5, "b": -0.5}, 2020: {"a": 0.5, "b": 0.5}})))
    red, _, blue, _ = (image[:, :550].mean(axis=(0, 1))).tolist()
    assert red > blue + 0.05  # three of four


def test_a_figure_that_is_not_known_is_put_in_words() -> None:
    assert known_or_words(0.25) == 0.25
    assert known_or_words(float("nan")) == "not known: fewer than three symbols"
