"""Rows and cells of tables in two runs, each compared if it was known by the date; `comparison` says when that is."""

import datetime
from typing import Any

import numpy as np
import pandas as pd

from brain_assets.arrays import BoolArray, DateArray
from brain_assets.forecasting.walkforward import families_in
from brain_assets.market.calendar import week_times
from brain_assets.portfolio.baselines import BASELINES
from brain_assets.proofs.differences import ABSENT, Comparison, Difference, compare_mappings, flat, shown
from brain_assets.proofs.pipeline import Run
from brain_assets.store.names import parse_snapshot_name

KEYS = {
    "raw_prices": ("date", "symbol"),
    "raw_news_sentiment": ("date", "symbol"),
    "raw_fundamentals": ("filed", "symbol", "period_end"),
    "walkforward_forecasts": ("week_start", "symbol"),
    "backtest": ("week_start", "strategy"),
}
KNOWN_AT_LAST_CLOSE = ("realized", "net_return", "turnover")


def compare_table(comparison: Comparison, before: Run, after: Run, stage: str, year: int) -> None:
    """Compare a year of a table: each cell that was known by the date, and the file itself once its year is over."""
    paths = [run.table(stage, year) for run in (before, after)]
    artifact = paths[0].relative_to(before.folder).as_posix()
    if not any(path.is_file() for path in paths):
        return
    first_day, next_day = before.span.window(year)
    if not all(path.is_file() for path in paths):
        was, became = ("a file" if path.is_file() else ABSENT for path in paths)
        comparison.differences.append(Difference(first_day, stage, artifact, "the file", "", was, became))
        return
    frames = [pd.read_parquet(path) for path in paths]
    _compare_rows(comparison, stage, artifact, frames[0], frames[1])
    _compare_attributes(comparison, stage, artifact, frames, first_day)
    if next_day > comparison.after + datetime.timedelta(days=1):
        return
    comparison.compared[stage, "whole files"] += 1
    contents = [path.read_bytes() for path in paths]
    if contents[0] != contents[1] and not any(found.artifact == artifact for found in comparison.differences):
        last = next_day - datetime.timedelta(days=1)
        was, became = (f"{len(content):,} bytes" for content in contents)
        comparison.differences.append(Difference(last, stage, artifact, "the file's bytes", "", was, became))


def _compare_rows(comparison: Comparison, stage: str, artifact: str, before: pd.DataFrame, after: pd.DataFrame) -> None:
    """Compare cells of rows that both have, and name rows that one has alone, each by when it is known."""
    limit = np.datetime64(comparison.after, "D")
    keys = [_keys(frame, stage) for frame in (before, after)]
    for alone, frame, words in (
        (~keys[0].isin(keys[1]), before, ("a row", ABSENT)),
        (~keys[1].isin(keys[0]), after, (ABSENT, "a row")),
    ):
        known = _known(frame, stage, "")
        comparison.note_later(stage, int((known > limit).sum()), int((alone & (known > limit)).sum()))
        _note_first(comparison, stage, artifact, frame, "", known, alone & (known <= limit), lambda _, w=words: w)
    _check_sources(comparison, stage, artifact, before)
    where = keys[1].get_indexer(keys[0])
    one, other = before[where >= 0].reset_index(drop=True), after.iloc[where[where >= 0]].reset_index(drop=True)
    _compare_order(comparison, stage, artifact, one, where[where >= 0], limit)
    for column in dict.fromkeys([*before.columns, *after.columns]):
        known = _known(one, stage, column)
        if column not in one or column not in other:
            sides: Any = [[("a column" if column in frame else ABSENT)] * len(one) for frame in (one, other)]
            differs = np.ones(len(one), dtype=np.bool_)
        else:
            sides = [one[column].array, other[column].array]
            differs = _differs(one[column], other[column])
        knowable = known <= limit
        comparison.compared[stage, "values"] += int(knowable.sum())
        comparison.note_later(stage, int((~knowable).sum()), int((differs & ~knowable).sum()))

        def values(row: int, sides: Any = sides) -> tuple[str, str]:
            return shown(sides[0][row]), shown(sides[1][row])

        _note_first(comparison, stage, artifact, one, column, known, differs & knowable, values)


def _check_sources(comparison: Comparison, stage: str, artifact: str, frame: pd.DataFrame) -> None:
    """Note the first forecast, of those known by the date, of each family by a snapshot that was not finished then."""
    decided = _known(frame, stage, "")
    for column in (f"{family}_source" for family in families_in(frame)):
        cutoffs = {name: parse_snapshot_name(name) for name in frame[column].unique()}
        finished = frame[column].map({name: np.datetime64(date, "D") for name, date in cutoffs.items() if date})
        late: BoolArray = finished.to_numpy().astype("datetime64[D]") > decided
        known: BoolArray = decided <= np.datetime64(comparison.after, "D")
        sentences = [f"forecast by {name}, which was finished later" for name in frame[column]]
        _note_first(
            comparison, stage, artifact, frame, column, decided, late & known, lambda row, s=sentences: (s[row], "")
        )


def _compare_order(
    comparison: Comparison, stage: str, artifact: str, rows: pd.DataFrame, where: np.ndarray, limit: np.datetime64
) -> None:
    """Note the first row, of those known by the date and in both tables, that stands before one that it stood after."""
    known = _known(rows, stage, "")
    early = np.flatnonzero(known <= limit)
    late = np.zeros(len(rows), dtype=np.bool_)
    late[early[1:]] = np.diff(where[early]) < 0
    _note_first(
        comparison, stage, artifact, rows, "", known, late, lambda _: ("the order of rows", "another order of rows")
    )


def _keys(frame: pd.DataFrame, stage: str) -> pd.MultiIndex:
    """Give an index without repeats: should a key stand there twice, its occurrences are numbered."""
    columns = list(KEYS[stage])
    return pd.MultiIndex.from_arrays([*(frame[name] for name in columns), frame.groupby(columns).cumcount()])


def _known(frame: pd.DataFrame, stage: str, column: str) -> DateArray:
    """Give the day on which each row's value in a column is knowable; of column "", the row itself."""
    days: DateArray = frame[KEYS[stage][0]].to_numpy().astype("datetime64[D]")
    if KEYS[stage][0] != "week_start":
        return days
    decided, opened, closed = week_times(days)
    if column in KNOWN_AT_LAST_CLOSE:
        return closed
    if column == "weights":
        drifts = frame["strategy"].isin([name for name, baseline in BASELINES.items() if baseline.drifts]).to_numpy()
        known: DateArray = np.where(drifts, opened, decided)
        return known
    return decided


def _differs(one: pd.Series, other: pd.Series) -> BoolArray:
    """Tell where two columns of equal length are not the same to the bit; NaN is like NaN."""
    if one.dtype != other.dtype:
        return np.ones(len(one), dtype=np.bool_)
    if one.dtype == np.float64:
        unlike: BoolArray = one.to_numpy().view(np.int64) != other.to_numpy().view(np.int64)
    else:
        unlike = np.asarray(one.to_numpy(dtype=object) != other.to_numpy(dtype=object), dtype=np.bool_)
    known: BoolArray = ~(one.isna() & other.isna()).to_numpy()
    return unlike & known


def _note_first(
    comparison: Comparison,
    stage: str,
    artifact: str,
    frame: pd.DataFrame,
    column: str,
    known: DateArray,
    wrong: BoolArray,
    values: Any,
) -> None:
    """Note the earliest of the rows that are wrong."""
    rows = np.flatnonzero(wrong)
    if len(rows) == 0:
        return
    row = int(rows[np.argmin(known[rows])])
    parts = [shown(frame[name].iloc[row]) for name in KEYS[stage]]
    place = f"week of {parts[0]}, {parts[1]}" if KEYS[stage][0] == "week_start" else ", ".join(parts)
    before, after = values(row)
    day: datetime.date = known[row].item()
    comparison.differences.append(Difference(day, stage, artifact, place, column, before, after, len(rows)))


def _compare_attributes(
    comparison: Comparison, stage: str, artifact: str, frames: list[pd.DataFrame], first_day: datetime.date
) -> None:
    """Compare what a price table notes of the last bars before it: known before its first day, whatever comes in it."""
    if first_day > comparison.after + datetime.timedelta(days=1):
        return
    found = [flat(dict(frame.attrs)) for frame in frames]
    compare_mappings(comparison, stage, artifact, first_day - datetime.timedelta(days=1), found, "notes")
