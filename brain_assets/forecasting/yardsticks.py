"""What every forecaster is measured beside: rules on past prices that the literature knows, a line each."""

from collections.abc import Callable, Mapping
from typing import NamedTuple

from brain_assets import registry
from brain_assets.arrays import FloatArray
from brain_assets.market.calendar import Weeks
from brain_assets.market.prices import PricePanel
from brain_assets.market.weekly import MOMENTUM_WEEKS, past_return

MOMENTUM = "momentum"
"""The yardstick that stands in for a forecast, and the source of one, where no snapshot is old enough."""


class Yardstick(NamedTuple):
    """A rule without learning, whose ranks are compared with those of forecasters."""

    label: str  # what a reader calls it
    meaning: str  # of its column in the forecasts
    measure: Callable[[PricePanel, Weeks], FloatArray]
    """From bars and some of their weeks to (n_weeks, n_assets), known at decision time; NaN: too little history."""


_KNOWN = "as a fraction; known at the last close before. Empty: too little history."

YARDSTICKS: Mapping[str, Yardstick] = {
    MOMENTUM: Yardstick(
        "4-week momentum",
        f"Return of the four weeks before, {_KNOWN}",
        lambda panel, weeks: past_return(panel, weeks, MOMENTUM_WEEKS),
    ),
    "momentum_12_1": Yardstick(  # Jegadeesh & Titman (1993)
        "12-1 momentum",
        f"Return from 52 to 4 weeks before, {_KNOWN}",
        lambda panel, weeks: past_return(panel, weeks, 52, 4),
    ),
    "reversal": Yardstick(  # Lehmann (1990)
        "1-week reversal",
        f"Minus the return of the week before, {_KNOWN}",
        lambda panel, weeks: -past_return(panel, weeks, 1),
    ),
}
"""By column of the forecasts table, in the order in which tables show them, after the forecasters."""


def column_label(name: str) -> str:
    """Give what a reader calls a column of forecasts: a forecaster's, or a yardstick's."""
    return YARDSTICKS[name].label if name in YARDSTICKS else registry.label(name)
