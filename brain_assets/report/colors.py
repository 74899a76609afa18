"""The colours of a report: each strategy and forecaster has its own, those of plug-ins too."""

import colorsys
import zlib
from collections.abc import Collection, Mapping

from brain_assets.forecasting.walkforward import MOMENTUM
from brain_assets.portfolio.baselines import EQUAL_WEIGHT
from brain_assets.registry import AVERAGE

GRAY, BLACK = "#8a8a8a", "#222222"

STRATEGIES: Mapping[str, str] = {
    "ppo": "#0072B2",
    "sac": "#D55E00",
    "direct": "#882255",
    EQUAL_WEIGHT: BLACK,
    "buy_and_hold": GRAY,
    "risk_parity": "#009E73",
    "min_variance": "#56B4E9",
    "momentum_top": "#CC79A7",
    "past_year_top": "#AA4499",
    "reversal_top": "#C9A227",
    "lstm_top": "#E69F00",
    "patchtst_top": "#8C6D1F",
    "ridge_top": "#4B4B9F",
    "boosting_top": "#7FB800",
}
"""After Okabe & Ito (2008): told apart by the colour-blind too; what they lack is told apart by dashes."""

FORECASTERS: Mapping[str, str] = {
    "lstm": "#0072B2",
    "patchtst": "#D55E00",
    "ridge": "#009E73",
    "boosting": "#CC79A7",
    AVERAGE: "#E69F00",
    MOMENTUM: GRAY,
}

AREAS = (
    *("#332288", "#88CCEE", "#44AA99", "#117733", "#999933", "#DDCC77", "#CC6677", "#882255", "#AA4499", "#4477AA"),
    *("#bbbbbb", "#e4e4e4"),
)
"""Tol's muted scheme, then others and cash in gray."""


def colors_of(names: Collection[str], ours: Mapping[str, str]) -> list[str]:
    """Give each name its colour, which for one that is not ours follows from the name alone."""
    found = []
    for name in names:
        number = zlib.crc32(name.encode())
        parts = colorsys.hls_to_rgb(number % 65_536 / 65_536, 0.3 + 0.15 * (number % 3), 0.6)
        found.append(ours.get(name) or "#" + "".join(f"{round(255 * part):02x}" for part in parts))
    return found
