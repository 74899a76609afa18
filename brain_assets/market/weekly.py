"""Weeks of a panel: what a forecaster predicts, what a portfolio earns, and what both know when they decide."""

import datetime
from dataclasses import dataclass, replace

import numpy as np

from brain_assets.arrays import BoolArray, FloatArray
from brain_assets.market.calendar import Weeks, complete_weeks, iso_week_numbers
from brain_assets.market.prices import CLOSE, OPEN, PricePanel

MOMENTUM_WEEKS = 4
VOLATILITY_SESSIONS = 20  # four weeks
PAST_WEEKS = 52  # what rules that weigh risk look back on


@dataclass(frozen=True)
class WeeklyPanel:
    """One row a week, one column a symbol; arrays are float64 of shape (n_weeks, n_assets) unless said otherwise."""

    weeks: Weeks  # complete weeks, in order
    symbols: tuple[str, ...]
    tradable: BoolArray
    """Whether there is a bar on the last session before the week, of a member. Known at decision time."""
    momentum: FloatArray
    """(P[t] - P[t-4]) / P[t-4] over weekly closes, t the last one before the week. Known at decision time; NaN where
    one of the two closes is not known. Weekly closes are those of every ISO week, short ones too."""
    volatility: FloatArray
    """Standard deviation of the last 20 daily log returns before the week. Known at decision time; NaN if one is not
    known."""
    realized: FloatArray
    """Weekly return, last close / first open - 1. Known at the week's last close; NaN where one of the two is not, and
    where the symbol was no member on the last session before the week."""
    pre_open_return: FloatArray
    """First open of the week / last close before it - 1: what is held drifts by it. Known at the first open. 0 where
    nothing traded, since what is held keeps its last price."""
    return_ffill: FloatArray  # as `realized`, but a symbol without a bar keeps its last price; never NaN
    signals: FloatArray | None = None
    """(n_weeks, n_assets, 7): news and filings as known at the last close before the week
    (`brain_assets.market.signals.SIGNALS`); NaN: not known. None: the panel came without."""

    @classmethod
    def from_panel(cls, panel: PricePanel) -> "WeeklyPanel":
        """Compute every field from daily bars; each row uses bars up to its week's last close only."""
        weeks = complete_weeks(panel.sessions)
        opening, close = panel.values[:, :, OPEN], panel.values[:, :, CLOSE]
        before = weeks.first - 1
        first_open, last_close = opening[:, weeks.first].T, close[:, weeks.last].T
        last_known = np.where(np.isfinite(close), np.arange(close.shape[1]), 0)  # 0 is NaN before the first
        carried = np.take_along_axis(close, np.maximum.accumulate(last_known, axis=1), axis=1)
        base, end = carried[:, before].T, carried[:, weeks.last].T
        entry = np.where(np.isfinite(first_open), first_open, base)
        member = np.ones(base.shape, dtype=bool) if panel.members is None else panel.members[:, before].T
        return cls(
            weeks=weeks,
            symbols=panel.symbols,
            tradable=tradable(panel, weeks),
            momentum=past_return(panel, weeks, MOMENTUM_WEEKS),
            volatility=_volatility(close, weeks),
            realized=np.where(member, last_close / first_open - 1, np.nan),
            pre_open_return=np.nan_to_num(entry / base - 1, posinf=0.0, neginf=0.0),
            return_ffill=np.nan_to_num(end / entry - 1, posinf=0.0, neginf=0.0),
            signals=None if panel.signals is None else panel.signals[:, before].swapaxes(0, 1),
        )

    def select(self, mask: np.ndarray) -> "WeeklyPanel":
        """Keep the weeks where `mask` (shape (n_weeks,), bool, or positions) says so."""
        of_weeks = ("tradable", "momentum", "volatility", "realized", "pre_open_return", "return_ffill")
        kept = {name: getattr(self, name)[mask] for name in of_weeks}
        signals = None if self.signals is None else self.signals[mask]
        return replace(self, weeks=self.weeks.select(mask), signals=signals, **kept)

    def until(self, cutoff_date: datetime.date) -> "WeeklyPanel":
        """Keep the weeks that end on or before `cutoff_date`."""
        return self.select(self.weeks.end <= np.datetime64(cutoff_date, "D"))


def tradable(panel: PricePanel, weeks: Weeks) -> BoolArray:
    """Tell of each week's symbols which have a bar on the last session before it and are members; see `WeeklyPanel`."""
    before = weeks.first - 1
    known: BoolArray = np.isfinite(panel.values[:, before, CLOSE]).T
    return known if panel.members is None else known & panel.members[:, before].T


def past_weekly_returns(panel: PricePanel, weeks: Weeks) -> FloatArray:
    """Give the returns of the `PAST_WEEKS` ISO weeks before each week of a panel, from weekly close to weekly close.

    (n_weeks, `PAST_WEEKS`, n_assets), oldest first; the last ends with the last close before the week: known at its
    decision time. NaN where one of the two closes is not known.
    """
    weekly_close, newest = _weekly_closes(panel, weeks)
    returns = np.full((PAST_WEEKS + len(weekly_close), len(panel.symbols)), np.nan)  # row i: until close i - PAST_WEEKS
    returns[PAST_WEEKS + 1 :] = weekly_close[1:] / weekly_close[:-1] - 1
    return returns[np.arange(1, PAST_WEEKS + 1) + newest[:, None]]


def _weekly_closes(panel: PricePanel, weeks: Weeks) -> tuple[FloatArray, np.ndarray]:
    """Give closes of every ISO week, (n_iso_weeks, n_assets), and which is the last before each of `weeks`."""
    numbers = iso_week_numbers(panel.sessions)
    week_last = np.flatnonzero(np.diff(numbers, append=numbers[-1:] + 1)) if len(numbers) else np.empty(0, np.int64)
    return panel.values[:, week_last, CLOSE].T, np.searchsorted(week_last, weeks.first - 1)


def past_return(panel: PricePanel, weeks: Weeks, n_weeks: int, skipped: int = 0) -> FloatArray:
    """Give the return over ISO weeks, from `n_weeks` to `skipped` weeks before the last close before each week.

    (P[t - skipped] - P[t - n_weeks]) / P[t - n_weeks] over weekly closes, (n_weeks, n_assets): of 52 and 4, the 12-1
    momentum of Jegadeesh and Titman (1993). Known at decision time; NaN where one of the two closes is not known.
    """
    weekly_close, last = _weekly_closes(panel, weeks)
    found = np.full((len(weeks), len(panel.symbols)), np.nan)
    known = last >= n_weeks
    start, end = weekly_close[last[known] - n_weeks], weekly_close[last[known] - skipped]
    found[known] = (end - start) / start
    return found


def _volatility(close: FloatArray, weeks: Weeks) -> FloatArray:
    returns = np.diff(np.log(close), axis=1, prepend=np.nan)
    volatility = np.full((len(weeks), close.shape[0]), np.nan)
    for week, first in enumerate(weeks.first):  # a week at a time: all windows at once would be 20 times the returns
        if first >= VOLATILITY_SESSIONS:
            volatility[week] = returns[:, first - VOLATILITY_SESSIONS : first].std(axis=1)
    return volatility
