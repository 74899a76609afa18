"""What each strategy would hold in one week: the backtest of its year, ended by the decision.

The week is given its place in the calendar and no bar, the year is forecast and traded up to it as in any backtest, and
the last row is the target. So the target of a week that has passed is what the backtest traded in it: to the bit with
the stored forecasts; forecasts made anew differ in their last digits, as 32-bit sums do with the size of a batch.
"""

import datetime
from collections.abc import Callable, Iterable, Mapping, Sequence
from typing import NamedTuple

import numpy as np
import pandas as pd

from brain_assets import registry
from brain_assets.errors import AllocationError, SettingsError
from brain_assets.forecasting.average import averaged_in, families_in, newest_cutoff
from brain_assets.forecasting.walkforward import MOMENTUM, SnapshotSource, build_forecast_features
from brain_assets.market.calendar import MIN_WEEK_SESSIONS, NEW_YORK, CalendarWeek, Clock, sessions_between, week_from
from brain_assets.market.prices import CLOSE, PricePanel
from brain_assets.portfolio.backtest import backtest
from brain_assets.portfolio.baselines import benchmark_strategies, is_tenth
from brain_assets.portfolio.strategy import CASH, weights_table
from brain_assets.registry import AVERAGE
from brain_assets.store.names import snapshot_name

RECENT_SESSIONS = 20  # a symbol that has had no bar for as long is gone, and no news
ONE_DAY = datetime.timedelta(days=1)
AVERAGE_SOURCE = f"{AVERAGE}_source"


def strategies_of(policies: Iterable[str], forecasters: Iterable[str]) -> tuple[str, ...]:
    """Name all strategies that some families give, in the order in which targets are shown."""
    return (*policies, *benchmark_strategies(forecasters))


class WeekTargets(NamedTuple):
    """What each strategy would hold in a week; known at its decision time."""

    week: CalendarWeek
    last_session: datetime.date  # of the newest bar that was looked at
    table: pd.DataFrame
    """A row a symbol, in alphabetical order, then one of cash: symbol, then a column a strategy with the weight to
    trade to at the week's first open. Buy and hold trades nothing: its weights are those at the decision."""
    sources: Mapping[str, str]
    """Family, forecasters and policies, -> name of the snapshot that spoke for it, or `MOMENTUM`; of the average, the
    names of all that it is of."""
    missing_symbols: tuple[str, ...]
    """Without a bar on `last_session`, but with one in the `RECENT_SESSIONS` before: nobody can hold them."""
    left_out: tuple[str, ...]  # strategies without a target; a top tenth of too few symbols is none

    @property
    def model_ages(self) -> Mapping[str, int]:
        """Family -> days from its snapshot's cut-off to the week's first session; one on momentum has no entry."""
        cutoffs = {family: newest_cutoff(name) for family, name in self.sources.items()}
        return {family: (self.week.start - date).days for family, date in cutoffs.items() if date is not None}


def chosen_week(date: str | None, clock: Clock) -> CalendarWeek:
    """Give the week of the first session on or after a day; None: today, in New York. `SettingsError`: no day."""
    if date is None:
        return week_from(clock().astimezone(NEW_YORK).date())
    try:
        return week_from(datetime.date.fromisoformat(date))
    except ValueError as error:
        raise SettingsError(f"date: expected a day such as 2022-06-01, got {date}; correct it.") from error


def data_age(last_session: datetime.date, week: CalendarWeek) -> int:
    """Count the sessions that have passed by the decision of a week and have no bar."""
    return len(sessions_between(last_session + ONE_DAY, week.decided + ONE_DAY))


def until_decision(panel: PricePanel, week: CalendarWeek, max_data_age: int = 0) -> PricePanel:
    """Cut a panel at the decision time of a week; raises `AllocationError` if that is none, or too old."""
    if not week.is_long_enough:
        raise AllocationError(
            f"target_weights: expected a week of at least {MIN_WEEK_SESSIONS} sessions, got that of {week.start} with "
            f"{len(week.sessions)}, in which nobody trades; choose another date."
        )
    known = panel.until(week.decided)
    with_bars = np.flatnonzero(np.isfinite(known.values[:, :, CLOSE]).any(axis=0))
    if len(with_bars) == 0:
        raise AllocationError(
            f"target_weights: expected a week after the first bar, of {panel.sessions[0]}, got that of {week.start}; "
            "choose a later date."
        )
    last = known.sessions[with_bars[-1]].item()
    if (age := data_age(last, week)) > max_data_age:
        reached = week_from(last + ONE_DAY)
        newest = (reached if reached.is_long_enough else week_from(reached.decided)).start
        raise AllocationError(
            f"target_weights: expected bars until {week.decided}, the last close before the week of {week.start}, or "
            f"until at most {max_data_age} sessions before, got bars until {last}, {age} sessions before; get newer "
            f"ones, or choose a week that they reach, such as {newest} (--date {newest}, or date in the run "
            "configuration)."
        )
    return known.until(last)


def with_week_to_come(panel: PricePanel, week: CalendarWeek) -> PricePanel:
    """Add the sessions of a week without a bar: what is known at its decision is computed as for any other week.

    Sessions that are not known at the end of the panel are passed over as if the exchange had been closed.
    """
    later = (0, 0), (0, len(week.sessions))
    values = np.pad(panel.values, (*later, (0, 0)), constant_values=np.nan)
    signals = None if panel.signals is None else np.pad(panel.signals, (*later, (0, 0)), constant_values=np.nan)
    members = None if panel.members is None else np.pad(panel.members, later, mode="edge")
    return PricePanel(np.concatenate([panel.sessions, week.sessions]), panel.symbols, values, signals, members)


def decide_week(
    known: PricePanel,
    week: CalendarWeek,
    years: Sequence[int],
    sources: Mapping[str, SnapshotSource],
    stored: pd.DataFrame | None = None,
    first_cutoff: datetime.date | None = None,
    on_refusal: Callable[[str], None] | None = None,
    before: pd.DataFrame | None = None,
) -> WeekTargets:
    """Give what each strategy would hold in a week; `AllocationError` if policies have no snapshot from before it.

    `known` is from `until_decision`, `years` are those that a backtest of the week covers. Of each family's `sources`
    the newest snapshot whose cut-off lies before the week decides; of `first_cutoff`, `on_refusal` and `before` see
    `backtest`.

    `stored` are walk-forward forecasts of the years, or of years before. Rows after the week are not looked at; if it
    has none itself, the forecasts are made, with an average of the same families as in the last row; if there are none
    at all, of all forecasters.
    """
    forecasters, policies = (
        {family: source for family, source in sources.items() if registry.get(family).role == role}
        for role in ("forecaster", "policy")
    )
    panel, start = with_week_to_come(known, week), pd.Timestamp(week.start)
    if stored is not None and (stored["week_start"] == start).any():
        forecasts = stored[stored["week_start"] <= start]
    else:
        average = None
        if stored is not None:  # one without a model has no average
            average = averaged_in(stored[AVERAGE_SOURCE].iloc[-1]) if AVERAGE_SOURCE in stored else ()
        forecasts = build_forecast_features(panel, years, forecasters, first_cutoff, on_refusal, average)
    result = backtest(panel, forecasts, years, policies, first_cutoff, on_refusal, before=before)
    rows = result.table[result.table["week_start"] == start].set_index("strategy")
    missing = [family for family in policies if family not in rows.index]
    if missing:
        first = week.start.year - 1 if first_cutoff is None else max(week.start.year - 1, first_cutoff.year)
        raise AllocationError(
            f"target_weights: expected a policy of each family that was finished before the week of {week.start}, got "
            f"none of {', '.join(missing)}; materialize {', '.join(f'{family}_policy' for family in missing)} for "
            f"{first}, and choose a week after that year."
        )
    families = families_in(forecasts)
    offered = strategies_of(policies, families)
    weights = weights_table(rows["weights"]).set_axis(rows.index).loc[[name for name in offered if name in rows.index]]
    table = weights.reindex(columns=[*panel.symbols, CASH], fill_value=0.0).T
    forecast = forecasts[forecasts["week_start"] == start].iloc[0]
    has_bar = np.isfinite(known.values[:, -RECENT_SESSIONS - 1 :, CLOSE])
    return WeekTargets(
        week=week,
        last_session=known.sessions[-1].item(),
        table=table.rename_axis(index="symbol", columns=None).reset_index().astype({"symbol": "str"}),
        sources={
            **{family: str(forecast[f"{family}_source"]) for family in families},
            **{family: snapshot_name(snapshot.cutoff_date) for family, snapshot in result.latest.items()},
        },
        missing_symbols=tuple(np.array(known.symbols)[has_bar.any(axis=1) & ~has_bar[:, -1]].tolist()),
        left_out=tuple(name for name in offered if name not in rows.index and not is_tenth(name)),
    )


def refuse_old_models(targets: WeekTargets, max_model_age: int) -> None:
    """Raise `AllocationError` naming each model that is older than so many days, or momentum in the place of one."""
    ages = targets.model_ages
    old = [f"{family} {targets.sources[family]} ({age} days)" for family, age in ages.items() if age > max_model_age]
    old += [f"{family} none ({MOMENTUM} in its place)" for family, name in targets.sources.items() if name == MOMENTUM]
    if old:
        raise AllocationError(
            f"target_weights: expected models whose cut-off lies at most {max_model_age} days before the week of "
            f"{targets.week.start}, got {', '.join(old)}; materialize those of {targets.week.start.year - 1} "
            "(brain-assets backfill), or raise max_model_age_days in the run configuration."
        )
