"""Walk-forward inference: every week is forecast by a model that was finished before it began."""

import datetime
from collections.abc import Callable, Collection, Mapping, Sequence
from typing import TYPE_CHECKING, Protocol

import numpy as np
import pandas as pd

from brain_assets.arrays import DateArray, FloatArray, IntArray
from brain_assets.errors import RefusedSnapshotError
from brain_assets.forecasting.average import SnapshotForecasts, average_ranks, averaged_families, families_in
from brain_assets.forecasting.metrics import weekly_rank_correlation
from brain_assets.forecasting.yardsticks import MOMENTUM, YARDSTICKS
from brain_assets.market.calendar import Weeks, years_of
from brain_assets.market.prices import PricePanel
from brain_assets.market.weekly import WeeklyPanel
from brain_assets.progress import warn
from brain_assets.registry import AVERAGE
from brain_assets.store.names import cutoff_of_year, snapshot_name

if TYPE_CHECKING:
    from brain_assets.store.snapshot import ModelSnapshot


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
