"""What is asked of a forecaster and of its forecasts before anything is built on them."""

import math
from typing import TYPE_CHECKING

import numpy as np
import pandas as pd

from brain_assets.forecasting.average import families_in, newest_cutoff
from brain_assets.forecasting.metrics import weekly_rank_correlation
from brain_assets.forecasting.walkforward import forecast_matrices
from brain_assets.forecasting.yardsticks import MOMENTUM, YARDSTICKS
from brain_assets.formatting import CheckResult, listed

if TYPE_CHECKING:
    from brain_assets.store.snapshot import ModelSnapshot

MIN_COVERAGE = 0.9
"""Of the symbols that can be traded, over all weeks: fewer forecasts, and the year is about another universe."""

MAX_RANK_CORRELATION = 0.2
"""Of weekly returns, the mean of a year. By Grinold's law (1989) the Sharpe ratio of a strategy is about the rank
correlation times the root of the number of bets: 0.2 on 20 symbols every week would be one of 6, which nobody has."""

N_ERRORS = 4
"""Standard errors by which the mean has to lie above the bound: that much is not luck of one year with few symbols."""


def snapshot_verdicts(snapshot: "ModelSnapshot") -> dict[str, CheckResult]:
    """Check a forecaster."""
    data, training = snapshot.metadata["data"], snapshot.metadata["training"]
    last = data["last_training_target"]
    cutoff, loss, zero = str(snapshot.cutoff_date), training["validation_loss"], training["zero_validation_loss"]
    return {
        "targets_before_cutoff": CheckResult(last <= cutoff, f"the last target is of {last}, the cut-off {cutoff}"),
        "validation_loss_finite": CheckResult(math.isfinite(loss), f"validation loss {loss:.4f}"),
        "beats_zero": CheckResult(loss < zero, f"validation loss {loss:.4f}, that of predicting zero {zero:.4f}"),
    }


def forecast_verdicts(
    forecasts: pd.DataFrame, max_rank_correlation: float = MAX_RANK_CORRELATION
) -> dict[str, CheckResult]:
    """Check a table of walk-forward forecasts.

    A model's mean weekly rank correlation above `max_rank_correlation`, by `N_ERRORS` standard errors, is too good to
    be true.
    """
    families = families_in(forecasts)
    columns = [*families, *(name for name in YARDSTICKS if name in forecasts)]
    infinite = {name: int(np.isinf(forecasts[name]).sum()) for name in columns}
    named = [f"{count} of {name}" for name, count in infinite.items() if count]
    said = f"expected finite forecasts, got infinite ones: {listed(named)}; look at the model card." if named else ""
    shares = {family: float(forecasts[family].notna().mean()) for family in families}
    words = ", ".join(f"{family} {share:.1%}" for family, share in shares.items())
    covered = min(shares.values(), default=1.0) >= MIN_COVERAGE
    return {
        "sources_before_weeks": _sources_before_weeks(forecasts),
        "finite": CheckResult(not named, said or f"no forecast of {len(forecasts):,} rows is infinite"),
        "coverage": CheckResult(covered, f"forecasts for tradable symbols: {words}"),
        "not_too_good": _not_too_good(forecasts, max_rank_correlation),
    }


def _sources_before_weeks(forecasts: pd.DataFrame) -> CheckResult:
    wrong = []
    for family in families_in(forecasts):
        for (source, week), _ in forecasts.groupby([f"{family}_source", "week_start"]):
            cutoff_date = newest_cutoff(str(source))
            if source != MOMENTUM and (cutoff_date is None or cutoff_date >= pd.Timestamp(week).date()):
                wrong.append(f"{family} in the week of {pd.Timestamp(week):%Y-%m-%d} by {source}")
    expected = "expected snapshots whose cut-off lies before the week"
    said = f"{expected}, got {listed(wrong)}; run the year again." if wrong else ""
    return CheckResult(not wrong, said or "the cut-off of each source lies before its week")


def _not_too_good(forecasts: pd.DataFrame, bound: float) -> CheckResult:
    found, too_good = [], []
    for family in families_in(forecasts):
        own = forecasts[forecasts[f"{family}_source"] != MOMENTUM]
        if own.empty:
            continue
        _, forecast, realized = forecast_matrices(own, family)
        weekly = weekly_rank_correlation(forecast, realized)
        weekly = weekly[np.isfinite(weekly)]
        if len(weekly) < 2:
            continue
        mean, error = float(weekly.mean()), float(weekly.std(ddof=1) / math.sqrt(len(weekly)))
        found.append(f"{family} {mean:+.3f} ± {error:.3f}")
        if mean - N_ERRORS * error > bound:
            too_good.append(family)
    if too_good:
        return CheckResult(
            False,
            f"too good to be true: mean weekly rank correlation {', '.join(found)}, expected no more than {bound:g}; "
            f"look for what {' and '.join(too_good)} saw of the future, or set "
            "max_rank_correlation, where the market is made up with a stronger signal.",
        )
    shown = ", ".join(found) or "of no model yet"
    return CheckResult(True, f"mean weekly rank correlation {shown}; bound {bound:g}")
