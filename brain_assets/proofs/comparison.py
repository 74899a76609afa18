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

import datetime
import json
from collections import Counter
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd

from brain_assets.arrays import BoolArray, DateArray
from brain_assets.market.calendar import FIRST_DATE, iso_week_numbers, sessions_between
from brain_assets.portfolio.baselines import BASELINES
from brain_assets.proofs.pipeline import SNAPSHOTS, UPSTREAM, Run
from brain_assets.snapshots.names import FORECASTER_FAMILIES, cutoff_of_year, parse_snapshot_name

KEYS = {
    "raw_prices": ("date", "symbol"),
    "raw_news_sentiment": ("date", "symbol"),
    "raw_fundamentals": ("filed", "symbol", "period_end"),
    "walkforward_forecasts": ("week_start", "symbol"),
    "backtest": ("week_start", "strategy"),
}
KNOWN_AT_LAST_CLOSE = ("realized", "net_return", "turnover")
SNAPSHOT_FILES = ("feature_scaler.pkl", "weights.pt", "config.json", "metadata.json", "README.md")
ABSENT = "nothing"


@dataclass(frozen=True)
class Difference:
    """Something knowable that is not the same in the two runs.

    Attributes
    ----------
    known : datetime.date
        When it was knowable.
    stage : str
        What made it, such as ``walkforward_forecasts``.
    artifact : str
        File under the data folder, or the materialization.
    place : str
        Row or key, in words.
    column : str
    before, after : str
        What stands there without and with another future; `after` is empty where what stands there is wrong by itself.
    count : int
        How many values of the same column, key or file differ.
    """

    known: datetime.date
    stage: str
    artifact: str
    place: str
    column: str
    before: str
    after: str
    count: int = 1

    @property
    def order(self) -> tuple[datetime.date, int]:
        """Sorts by time, then by the order in which things are made."""
        return self.known, list(UPSTREAM).index(self.stage)

    @property
    def words(self) -> str:
        """One sentence without an end."""
        where = ", ".join(part for part in (self.place, self.column) if part)
        if not self.after:
            return f"{self.artifact}, {where}: {self.before}, although it was decided on {self.known}"
        return f"{self.artifact}, {where}: {self.before} became {self.after}, although it was known on {self.known}"


@dataclass
class Comparison:
    """What was compared, and what came of it; filled by `compare_runs`.

    Attributes
    ----------
    compared : counter
        By (stage, what): values, files or keys that were knowable.
    differences : list of Difference
        The first of each column or file.
    later, later_changed : counter
        By stage: values, files or keys that were not knowable, and those of them that differ.
    """

    after: datetime.date
    compared: Counter[tuple[str, str]] = field(default_factory=Counter)
    differences: list[Difference] = field(default_factory=list)
    later: Counter[str] = field(default_factory=Counter)
    later_changed: Counter[str] = field(default_factory=Counter)

    def note_later(self, stage: str, count: int, changed: int) -> None:
        """Count what was not knowable."""
        self.later[stage] += count
        self.later_changed[stage] += changed

    @property
    def first(self) -> Difference | None:
        """The first difference in time; of several, that which was made first."""
        return min(self.differences, key=lambda difference: difference.order, default=None)


def compare_runs(before: Run, after: Run, date: datetime.date) -> Comparison:
    """Compare two runs of the same years up to a date.

    Parameters
    ----------
    before, after : Run
        Without and with another future after `date`.
    date : datetime.date

    Returns
    -------
    Comparison
    """
    comparison = Comparison(date)
    for stage in UPSTREAM:
        for year in before.span.years:
            if stage in SNAPSHOTS:
                _compare_snapshot(comparison, before, after, stage, year)
            else:
                _compare_table(comparison, before, after, stage, year)
            _compare_metadata(comparison, before, after, stage, year)
    return comparison


def _compare_table(comparison: Comparison, before: Run, after: Run, stage: str, year: int) -> None:
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
            return _shown(sides[0][row]), _shown(sides[1][row])

        _note_first(comparison, stage, artifact, one, column, known, differs & knowable, values)


def _check_sources(comparison: Comparison, stage: str, artifact: str, frame: pd.DataFrame) -> None:
    """Note the first forecast, of those known by the date, of each family by a snapshot that was not finished then."""
    decided = _known(frame, stage, "")
    for column in (f"{family}_source" for family in FORECASTER_FAMILIES):
        if column not in frame:
            continue
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


def week_times(days: DateArray) -> tuple[DateArray, DateArray, DateArray]:
    """Give for any day of an ISO week, by the calendar, the last session before, the first and the last session of it.

    Parameters
    ----------
    days : ndarray of datetime64[D], shape (n,)

    Returns
    -------
    decided, opened, closed : ndarray of datetime64[D], shape (n,)
    """
    sessions = sessions_between(FIRST_DATE, datetime.date.max)
    numbers, wanted = iso_week_numbers(sessions), iso_week_numbers(days)
    first = np.searchsorted(numbers, wanted, "left")
    return sessions[first - 1], sessions[first], sessions[np.searchsorted(numbers, wanted, "right") - 1]


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
    parts = [_shown(frame[name].iloc[row]) for name in KEYS[stage]]
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
    found = [_flat(dict(frame.attrs)) for frame in frames]
    _compare_mappings(comparison, stage, artifact, first_day - datetime.timedelta(days=1), found, "notes")


def _compare_snapshot(comparison: Comparison, before: Run, after: Run, stage: str, year: int) -> None:
    family, cutoff = SNAPSHOTS[stage], cutoff_of_year(year)
    folders = [run.storage(family).path(cutoff) for run in (before, after)]
    artifact = folders[0].relative_to(before.folder).as_posix()
    if not any(folder.is_dir() for folder in folders):
        return
    contents = [_files(folder) for folder in folders]
    if cutoff <= comparison.after:
        for name in SNAPSHOT_FILES:
            _compare_file(comparison, stage, f"{artifact}/{name}", cutoff, [each.get(name) for each in contents])
        return
    comparison.note_later(stage, 1, int(contents[0] != contents[1]))
    if family in FORECASTER_FAMILIES and all("metadata.json" in each for each in contents):
        _compare_learned_before(comparison, stage, artifact, contents)


def _compare_learned_before(
    comparison: Comparison, stage: str, artifact: str, contents: list[dict[str, bytes]]
) -> None:
    """Compare what a later forecaster has from its training weeks alone, if the last of them ended by the date."""
    metadata = [json.loads(each["metadata.json"]) for each in contents]
    known = datetime.date.fromisoformat(metadata[0]["data"]["last_training_target"])
    if known > comparison.after:
        return
    scalers = [each.get("feature_scaler.pkl") for each in contents]
    _compare_file(comparison, stage, f"{artifact}/feature_scaler.pkl", known, scalers)
    parts = []
    n_epochs = min(len(each["training"]["curve"]) for each in metadata)  # when it stops, its validation weeks decide
    for each in metadata:
        data, training = each["data"], each["training"]
        parts.append(
            _flat(
                {
                    "data": {name: data[name] for name in ("first_session", "last_training_target")}
                    | {"n_training_windows": data["n_training_windows"]},
                    "forecast_scale": each["forecast_scale"],
                    "neutral_channels": each["neutral_channels"],
                    "training": {
                        "zero_train_loss": training["zero_train_loss"],
                        "curve": [losses["train"] for losses in training["curve"][:n_epochs]],
                    },
                }
            )
        )
    _compare_mappings(comparison, stage, f"{artifact}/metadata.json", known, parts, "parts of later snapshots")


def _files(folder: Path) -> dict[str, bytes]:
    return {path.name: path.read_bytes() for path in folder.iterdir()} if folder.is_dir() else {}


def _compare_file(
    comparison: Comparison, stage: str, artifact: str, known: datetime.date, contents: list[bytes | None]
) -> None:
    comparison.compared[stage, "snapshot files"] += 1
    if contents[0] == contents[1]:
        return
    found = [_readable(artifact, content) for content in contents]
    if found[0] != found[1]:
        count = comparison.compared.copy()
        _compare_mappings(comparison, stage, artifact, known, found, "keys")
        comparison.compared = count  # the file counts, not its keys
        return
    was, became = (ABSENT if content is None else f"{len(content):,} other bytes" for content in contents)
    comparison.differences.append(Difference(known, stage, artifact, "the file's bytes", "", was, became))


def _readable(artifact: str, content: bytes | None) -> dict[str, str]:
    """Give what a file of a snapshot says in single values; empty where it cannot be taken apart."""
    if content is None:
        return {}
    if artifact.endswith(".json"):
        return _flat(json.loads(content))
    if artifact.endswith("feature_scaler.pkl"):
        from brain_assets.snapshots.scaler_file import load_scaler

        scaler = load_scaler(content)
        return _flat({"mean": scaler.mean_.tolist(), "scale": scaler.scale_.tolist(), "n": int(scaler.n_samples_seen_)})
    if artifact.endswith("weights.pt"):
        from brain_assets.snapshots.weights_file import load_weights

        state = load_weights(content)
        return {name: str(float(value.double().sum())) for name, value in state.items()}
    return {f"line {number}": line for number, line in enumerate(content.decode().splitlines(), start=1)}


def _compare_metadata(comparison: Comparison, before: Run, after: Run, stage: str, year: int) -> None:
    """Compare what a year's materialization shows, once the year is over."""
    last = cutoff_of_year(year)
    found = [dict(run.metadata.get((stage, year), {})) for run in (before, after)]
    if last <= comparison.after:
        _compare_mappings(comparison, stage, f"materialization of {stage}[{year}]", last, found, "metadata")


def _compare_mappings(
    comparison: Comparison,
    stage: str,
    artifact: str,
    known: datetime.date,
    found: list[dict[str, str]],
    what: str,
) -> None:
    names = list(dict.fromkeys([*found[0], *found[1]]))
    if not names:
        return
    comparison.compared[stage, what] += len(names)
    wrong = [name for name in names if found[0].get(name) != found[1].get(name)]
    if wrong:
        was, became = (_short(each.get(wrong[0], ABSENT)) for each in found)
        comparison.differences.append(Difference(known, stage, artifact, wrong[0], "", was, became, len(wrong)))


def _flat(value: Any, prefix: str = "") -> dict[str, str]:
    """Take a JSON value apart: ``training.curve.0`` -> the text of what stands there."""
    return dict(_leaves(value, prefix))


def _leaves(value: Any, prefix: str) -> Iterator[tuple[str, str]]:
    if isinstance(value, Mapping | list | tuple):
        pairs = value.items() if isinstance(value, Mapping) else enumerate(value)
        for name, each in pairs:
            yield from _leaves(each, f"{prefix}.{name}" if prefix else str(name))
        yield f"{prefix} (length)".strip(), str(len(value))
    else:
        yield prefix, _shown(value)


def _shown(value: Any) -> str:
    if isinstance(value, pd.Timestamp | np.datetime64):
        return f"{pd.Timestamp(value):%Y-%m-%d}"
    return repr(value.item() if isinstance(value, np.generic) else value) if not isinstance(value, str) else value


def _short(text: str, most: int = 80) -> str:
    return text if len(text) <= most else f"{text[:most]}…"
