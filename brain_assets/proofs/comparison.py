"""What two runs say about everything that was knowable by a date, compared byte for byte.

When something is knowable:

- a row of a raw table on its own day (a session's bar and score at its close, a filing on the day that it was filed);
- a week's forecasts, and the weights traded to, at its decision time: the last close before its ISO week, whatever day
  the row is labelled with; the weights of a strategy that only lets drift (``Baseline.drifts``) at the first open; what
  was realized, earned and traded, at the last close of that ISO week;
- a snapshot at its cut-off, every file of it; of a later forecaster, what follows from its training weeks alone at the
  end of their last target: scaler, scale of the forecasts, silent channels, loss of zero, training losses;
- what a materialization shows at the end of its year.

Nothing is exempt and nothing is rounded; a column that is not named here counts as known at decision time. Besides, the
source of a forecast must have been finished at its decision time: where the years that a model learns from end long
before its cut-off, using it too early may leave no other trace.
"""

from __future__ import annotations

import datetime
import json
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import pandas as pd

from brain_assets.arrays import BoolArray, DateArray
from brain_assets.forecasting.walkforward import families_in
from brain_assets.market.calendar import week_times
from brain_assets.portfolio.baselines import BASELINES
from brain_assets.proofs.differences import ABSENT, Artifact, Comparison, flat, shown
from brain_assets.store.manifest import FILES, MODEL, SCALER, WEIGHTS
from brain_assets.store.names import cutoff_of_year, parse_snapshot_name
from brain_assets.store.scaler import NAMES as SCALER_NAMES
from brain_assets.store.weights import read_arrays

if TYPE_CHECKING:
    from brain_assets.proofs.pipeline import Run
    from brain_assets.registry import Family

KEYS = {
    "raw_prices": ("date", "symbol"),
    "raw_news_sentiment": ("date", "symbol"),
    "raw_fundamentals": ("filed", "symbol", "period_end"),
    "walkforward_forecasts": ("week_start", "symbol"),
    "backtest": ("week_start", "strategy"),
}
KNOWN_AT_LAST_CLOSE = ("realized", "net_return", "turnover")
DAY = datetime.timedelta(days=1)


def compare_runs(before: Run, after: Run, date: datetime.date) -> Comparison:
    """Compare two runs of the same years, without and with another future after a date, up to the date."""
    comparison = Comparison(date, before.upstream)
    models = {family.asset: family for family in before.families.by_name.values()}
    for stage in comparison.upstream:
        for year in before.span.years:
            if stage in models:
                _compare_snapshot(comparison, before, after, models[stage], year)
            else:
                _compare_table(comparison, before, after, stage, year)
            last = cutoff_of_year(year)
            if last <= date:  # what a materialization shows is known once the year is over
                shown_by = [run.metadata.get((stage, year), {}) for run in (before, after)]
                Artifact(comparison, stage, f"materialization of {stage}[{year}]").compare(last, shown_by, "metadata")
    return comparison


# Tables


def _compare_table(comparison: Comparison, before: Run, after: Run, stage: str, year: int) -> None:
    """Compare a year of a table: each cell that was known by the date, and the file itself once its year is over."""
    paths = [run.table(stage, year) for run in (before, after)]
    artifact = Artifact(comparison, stage, paths[0].relative_to(before.folder).as_posix())
    there = [path.is_file() for path in paths]
    if not any(there):
        return
    first_day, next_day = before.span.window(year)
    if not all(there):
        artifact.note(first_day, "the file", ["a file" if each else ABSENT for each in there])
        return
    frames = [pd.read_parquet(path) for path in paths]
    _compare_rows(artifact, frames[0], frames[1])
    if first_day <= comparison.after + DAY:  # notes of the last bars before it, whatever comes in it
        artifact.compare(first_day - DAY, [flat(dict(frame.attrs)) for frame in frames], "notes")
    if next_day > comparison.after + DAY:
        return
    artifact.count("whole files")
    contents = [path.read_bytes() for path in paths]
    if contents[0] != contents[1] and not any(found.artifact == artifact.name for found in comparison.differences):
        artifact.note(next_day - DAY, "the file's bytes", [f"{len(content):,} bytes" for content in contents])


def _compare_rows(artifact: Artifact, before: pd.DataFrame, after: pd.DataFrame) -> None:
    """Compare cells of rows that both have, and name rows that one has alone, each by when it is known."""
    limit = np.datetime64(artifact.comparison.after, "D")
    keys = [_keys(frame, artifact.stage) for frame in (before, after)]
    for alone, frame, words in (
        (~keys[0].isin(keys[1]), before, ("a row", ABSENT)),
        (~keys[1].isin(keys[0]), after, (ABSENT, "a row")),
    ):
        known = _known(frame, artifact.stage, "")
        artifact.count_later(int((known > limit).sum()), int((alone & (known > limit)).sum()))
        _note_first(artifact, frame, "", known, alone & (known <= limit), ([words] * len(frame)).__getitem__)
    _check_sources(artifact, before, limit)
    where = keys[1].get_indexer(keys[0])
    one, other = before[where >= 0].reset_index(drop=True), after.iloc[where[where >= 0]].reset_index(drop=True)
    _compare_order(artifact, one, where[where >= 0], limit)
    for column in dict.fromkeys([*before.columns, *after.columns]):
        known = _known(one, artifact.stage, column)
        if column not in one or column not in other:
            sides: Any = [[("a column" if column in frame else ABSENT)] * len(one) for frame in (one, other)]
            differs = np.ones(len(one), dtype=np.bool_)
        else:
            sides = [one[column].array, other[column].array]
            differs = _differs(one[column], other[column])
        knowable = known <= limit
        artifact.count("values", int(knowable.sum()))
        artifact.count_later(int((~knowable).sum()), int((differs & ~knowable).sum()))

        def values(row: int, sides: Any = sides) -> tuple[str, str]:
            return shown(sides[0][row]), shown(sides[1][row])

        _note_first(artifact, one, column, known, differs & knowable, values)


def _check_sources(artifact: Artifact, frame: pd.DataFrame, limit: np.datetime64) -> None:
    """Note the first forecast, of those known by the date, of each family by a snapshot that was not finished then."""
    decided = _known(frame, artifact.stage, "")
    for column in (f"{family}_source" for family in families_in(frame)):
        cutoffs = {name: parse_snapshot_name(name) for name in frame[column].unique()}
        finished = frame[column].map({name: np.datetime64(date, "D") for name, date in cutoffs.items() if date})
        late: BoolArray = finished.to_numpy().astype("datetime64[D]") > decided
        said = [(f"forecast by {name}, which was finished later", "") for name in frame[column]]
        _note_first(artifact, frame, column, decided, late & (decided <= limit), said.__getitem__)


def _compare_order(artifact: Artifact, rows: pd.DataFrame, where: np.ndarray, limit: np.datetime64) -> None:
    """Note the first row, of those known by the date and in both tables, that stands before one that it stood after."""
    known = _known(rows, artifact.stage, "")
    early = np.flatnonzero(known <= limit)
    late = np.zeros(len(rows), dtype=np.bool_)
    late[early[1:]] = np.diff(where[early]) < 0
    _note_first(artifact, rows, "", known, late, lambda _: ("the order of rows", "another order of rows"))


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
    artifact: Artifact,
    frame: pd.DataFrame,
    column: str,
    known: DateArray,
    wrong: BoolArray,
    values: Callable[[int], Sequence[str]],
) -> None:
    """Note the earliest of the rows that are wrong."""
    rows = np.flatnonzero(wrong)
    if len(rows) == 0:
        return
    row = int(rows[np.argmin(known[rows])])
    parts = [shown(frame[name].iloc[row]) for name in KEYS[artifact.stage]]
    place = f"week of {parts[0]}, {parts[1]}" if "week_start" in KEYS[artifact.stage] else ", ".join(parts)
    artifact.note(known[row].item(), place, values(row), column, len(rows))


# Snapshots


def _compare_snapshot(comparison: Comparison, before: Run, after: Run, family: Family, year: int) -> None:
    """Compare a year's snapshot: all of it if its cut-off has passed by the date, else what was settled by then."""
    cutoff = cutoff_of_year(year)
    folders = [Path(str(run.storage(family.name).path(cutoff))) for run in (before, after)]  # proofs run on disk
    name = folders[0].relative_to(before.folder).as_posix()
    contents = [{path.name: path.read_bytes() for path in folder.glob("*")} for folder in folders]
    if not any(contents):
        return
    if cutoff <= comparison.after:
        for file in FILES:
            _compare_file(Artifact(comparison, family.asset, f"{name}/{file}"), cutoff, [c.get(file) for c in contents])
        return
    Artifact(comparison, family.asset, name).count_later(1, int(contents[0] != contents[1]))
    if family.role == "forecaster" and all("metadata.json" in each for each in contents):
        _compare_learned_before(comparison, family.asset, name, contents)


def _compare_learned_before(comparison: Comparison, stage: str, name: str, contents: list[dict[str, bytes]]) -> None:
    """Compare what a later forecaster has from its training weeks alone, if the last of them ended by the date."""
    metadata = [json.loads(each["metadata.json"]) for each in contents]
    known = datetime.date.fromisoformat(metadata[0]["data"]["last_training_target"])
    if known > comparison.after:
        return
    n_epochs = min(len(each["training"]["curve"]) for each in metadata)  # when it stops, its validation weeks decide
    data = ("first_session", "last_training_target", "n_training_windows")
    settled = [
        {
            "data": {name: each["data"][name] for name in data},
            "forecast_scale": each["forecast_scale"],
            "neutral_channels": each["neutral_channels"],
            "training": {
                "zero_train_loss": each["training"]["zero_train_loss"],
                "curve": [losses["train"] for losses in each["training"]["curve"][:n_epochs]],
            },
        }
        for each in metadata
    ]
    for file, found in (
        (MODEL, [_scaler(each[MODEL]) for each in contents]),
        ("metadata.json", [flat(each) for each in settled]),
    ):
        Artifact(comparison, stage, f"{name}/{file}").compare(known, found, "parts of later snapshots")


def _scaler(model: bytes) -> dict[str, str]:
    return flat({name: read_arrays(model)[name].tolist() for name in SCALER_NAMES})


def _compare_file(artifact: Artifact, known: datetime.date, contents: list[bytes | None]) -> None:
    artifact.count("snapshot files")
    if contents[0] == contents[1]:
        return
    found = [_readable(artifact.name, content) for content in contents]
    if not artifact.note_unlike(known, found, list(dict.fromkeys([*found[0], *found[1]]))):
        sizes = [ABSENT if content is None else f"{len(content):,} other bytes" for content in contents]
        artifact.note(known, "the file's bytes", sizes)


def _readable(name: str, content: bytes | None) -> dict[str, str]:
    """Give what a file of a snapshot says in single values; empty where it cannot be taken apart."""
    if content is None or name.endswith((WEIGHTS, SCALER)):  # never opened; what they hold is in the model too
        return {}
    if name.endswith(".json"):
        return flat(json.loads(content))
    if name.endswith(MODEL):
        weights = {name: str(array.sum()) for name, array in read_arrays(content).items() if name not in SCALER_NAMES}
        return {**_scaler(content), **weights}
    return {f"line {number}": line for number, line in enumerate(content.decode().splitlines(), start=1)}
