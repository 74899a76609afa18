"""Walk-forward inference: every week is forecast by a model that was finished before it began.

Beside the forecasts stand yardsticks, rules on past prices that the literature knows, a line each. And here is what is
asked of a forecaster and of its forecasts before anything is built on them.
"""

import datetime
import math
from collections.abc import Callable, Collection, Mapping, Sequence
from typing import TYPE_CHECKING, NamedTuple, Protocol

import numpy as np
import pandas as pd

from brain_assets import registry
from brain_assets.arrays import DateArray, FloatArray, IntArray
from brain_assets.errors import RefusedSnapshotError
from brain_assets.forecasting.average import (
    SnapshotForecasts,
    average_ranks,
    averaged_families,
    families_in,
    newest_cutoff,
)
from brain_assets.forecasting.metrics import weekly_rank_correlation
from brain_assets.formatting import CheckResult, listed
from brain_assets.market.calendar import Weeks, years_of
from brain_assets.market.prices import PricePanel
from brain_assets.market.weekly import MOMENTUM_WEEKS, WeeklyPanel, past_return
from brain_assets.progress import warn
from brain_assets.registry import AVERAGE
from brain_assets.store.names import cutoff_of_year, snapshot_name

if TYPE_CHECKING:
    from brain_assets.store.snapshot import ModelSnapshot

MIN_COVERAGE = 0.9
"""Of the symbols that can be traded, over all weeks: fewer forecasts, and the year is about another universe."""

MAX_RANK_CORRELATION = 0.2
"""Of weekly returns, the mean of a year. By Grinold's law (1989) the Sharpe ratio of a strategy is about the rank
correlation times the root of the number of bets: 0.2 on 20 symbols every week would be one of 6, which nobody has."""

N_ERRORS = 4
"""Standard errors by which the mean has to lie above the bound: that much is not luck of one year with few symbols."""

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


class SnapshotSource(Protocol):
    """What walk-forward inference asks of a storage; `SnapshotLocalStorage` is one."""

    def list_candidates(self, wanted: Collection[datetime.date]) -> list[datetime.date]:
        """Give the cut-offs of all snapshots, oldest first; may leave the Hub out if it has all that are wanted."""

    def fetch_snapshot(self, cutoff_date: datetime.date) -> "ModelSnapshot":
        """Read one; raises `RefusedSnapshotError` if it came from the Hub and is not to be believed."""


def build_forecast_features(
    panel: PricePanel,
    years: Sequence[int],
    sources: Mapping[str, SnapshotSource],
    first_cutoff: datetime.date | None = None,
    on_refusal: Callable[[str], None] | None = None,
    average: Sequence[str] | None = None,
) -> pd.DataFrame:
    """Forecast every week of some years with the newest snapshot whose cut-off lies before its first session.

    That is the snapshot of the year before; the one before that for a week that straddles New Year; the closest earlier
    one where it is absent; and 4-week momentum where there is none. Which one it was stands beside every forecast.

    `panel` has the bars of the years, to which a week belongs by its last session, and of the history that forecasts
    need; `sources` the snapshots of each family, on this machine or the Hub. `first_cutoff` is that of the first model
    there can be: nobody asks the Hub for an older one. `on_refusal` is called with a sentence for every snapshot of the
    Hub that was refused; default: a warning. `average` are the families whose average there is, see
    `brain_assets.forecasting.average`; default: all; empty: there is no average.

    Gives a row a week and tradable symbol: week_start (first session), symbol, then for every family its forecast (NaN
    where the symbol has too little history) and ``<family>_source``, the same two of `AVERAGE`, then `YARDSTICKS`, all
    known at decision time, and realized (known at the week's last close; NaN where it is not).
    """
    averaged = averaged_families(average, sources)
    bars = WeeklyPanel.from_panel(panel)
    bars = bars.select(np.isin(bars.weeks.year, list(years)))
    week, asset = np.nonzero(bars.tradable)
    columns: dict[str, object] = {
        "week_start": bars.weeks.start[week].astype("datetime64[us]"),
        "symbol": pd.array(np.array(bars.symbols, dtype=object)[asset], dtype="str"),
    }
    forecasts = {
        family: _forecast_family(panel, bars, snapshots, first_cutoff, on_refusal)
        for family, snapshots in sources.items()
    }
    if averaged:
        forecasts[AVERAGE] = average_ranks({family: forecasts[family] for family in averaged})
    for column, (values, source) in forecasts.items():
        has_model = source != ""
        columns[column] = np.where(has_model[:, None], values, bars.momentum)[week, asset]
        columns[f"{column}_source"] = pd.array(np.where(has_model, source, MOMENTUM)[week], dtype="str")
    for name, yardstick in YARDSTICKS.items():
        columns[name] = yardstick.measure(panel, bars.weeks)[week, asset]
    columns["realized"] = bars.realized[week, asset]
    return pd.DataFrame(columns)


def _forecast_family(
    panel: PricePanel,
    bars: WeeklyPanel,
    source: SnapshotSource,
    first_cutoff: datetime.date | None,
    on_refusal: Callable[[str], None] | None,
) -> SnapshotForecasts:
    """Give the forecasts by the newest snapshot before each week."""
    choice, snapshots = fetch_snapshots(bars.weeks, source, first_cutoff, on_refusal)
    values = np.full(bars.momentum.shape, np.nan)
    names = np.full(len(bars.weeks), "", dtype=object)
    for position, snapshot in enumerate(snapshots):
        rows = np.flatnonzero(choice == position)
        forecast = snapshot.forecast(panel, bars.weeks.select(rows))
        values[rows] = np.where(bars.tradable[rows], forecast, np.nan)
        names[rows] = snapshot_name(snapshot.cutoff_date)
    return SnapshotForecasts(values, names)


def fetch_snapshots(
    weeks: Weeks,
    source: SnapshotSource,
    first_cutoff: datetime.date | None = None,
    on_refusal: Callable[[str], None] | None = None,
) -> "tuple[IntArray, list[ModelSnapshot]]":
    """Read the newest snapshot before each week; where one is refused, the next older one takes its place.

    Gives the position of each week's snapshot in the list, (n_weeks,), -1: none. The list has those that are used,
    oldest first.
    """
    wanted = {cutoff_of_year(int(year) - 1) for year in np.unique(years_of(weeks.start))}
    candidates = source.list_candidates({date for date in wanted if first_cutoff is None or date >= first_cutoff})
    while True:
        choice = choose_snapshots(weeks, candidates)
        used = np.unique(choice[choice >= 0])
        snapshots = []
        for position in used:
            try:
                snapshots.append(source.fetch_snapshot(candidates[position]))
            except RefusedSnapshotError as error:
                (on_refusal or warn)(str(error))
                del candidates[position]
                break
        else:
            return np.where(choice >= 0, np.searchsorted(used, choice), -1), snapshots


def choose_snapshots(weeks: Weeks, cutoffs: Sequence[datetime.date]) -> np.ndarray:
    """Give for every week the position of the newest of `cutoffs`, oldest first, before its start; -1: none."""
    dates: DateArray = np.array(cutoffs, dtype="datetime64[D]")
    return np.searchsorted(dates, weeks.start, "left") - 1


def forecast_matrices(forecasts: pd.DataFrame, column: str) -> tuple[DateArray, FloatArray, FloatArray]:
    """Give weeks (n_weeks,), a column, and what was realized, both (n_weeks, n_assets); NaN: there is no row."""
    wide = forecasts.pivot(index="week_start", columns="symbol", values=[column, "realized"])
    return wide.index.to_numpy(), wide[column].to_numpy(), wide["realized"].to_numpy()


def forecast_weeks(forecasts: pd.DataFrame, family: str) -> np.ndarray:
    """Give the weeks, by their first session, that a snapshot of a family forecast; repeated as rows are."""
    source = forecasts[f"{family}_source"]
    weeks: np.ndarray = forecasts.loc[source.notna() & (source != MOMENTUM), "week_start"].to_numpy()
    return weeks


def weeks_by_source(forecasts: pd.DataFrame, family: str) -> dict[str, int]:
    """Count the weeks that each source forecast."""
    counts = forecasts.drop_duplicates("week_start")[f"{family}_source"].value_counts()
    return {str(source): int(count) for source, count in counts.items()}


def weekly_correlations(forecasts: pd.DataFrame) -> pd.DataFrame:
    """Give the rank correlation of each week, a column a forecaster and yardstick; NaN: none, or it does not count.

    A forecaster counts in the weeks that snapshots of its own forecast, and is left out if there are none. Yardsticks
    count in the weeks that some snapshot forecast, so that they stand beside forecasters; in all, if there is none.
    """
    weeks, _, realized = forecast_matrices(forecasts, MOMENTUM)
    counts = {family: np.isin(weeks, forecast_weeks(forecasts, family)) for family in families_in(forecasts)}
    counts = {family: mask for family, mask in counts.items() if mask.any()}
    forecast_at_all = np.logical_or.reduce(list(counts.values())) if counts else np.ones(len(weeks), dtype=np.bool_)
    counts |= {name: forecast_at_all for name in YARDSTICKS if name in forecasts}
    found = {
        name: np.where(mask, weekly_rank_correlation(forecast_matrices(forecasts, name)[1], realized), np.nan)
        for name, mask in counts.items()
    }
    return pd.DataFrame(found, index=pd.Index(weeks, name="week_start"))


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
