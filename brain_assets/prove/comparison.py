"""What two runs say about everything that was knowable by a date, compared byte for byte.

Every table, file of a snapshot and materialization is taken apart into facts: a text, and the day on which it was
knowable:

- a row of a raw table on its own day (a session's bar and score at its close, a filing on the day that it was filed);
- a week's forecasts, and the weights traded to, at its decision time: the last close before its ISO week, whatever day
  the row is labelled with; the weights of a strategy that only lets drift (buy and hold) at the first open; what
  was realized, earned and traded, at the last close of that ISO week;
- a snapshot at its cut-off, every file of it; the training losses of a forecaster, which are of a training without the
  validation weeks, before the first of those;
- the bytes of a table's file, and what a materialization shows, at the end of its year.

Nothing is exempt and nothing is rounded; a column that is not named here counts as known at decision time. Besides, the
source of a forecast must have been finished at its decision time.
"""

import datetime
import hashlib
import io
import itertools
import json
import re
from collections import Counter, defaultdict
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import pandas as pd

from brain_assets.forecasting.average import newest_cutoff
from brain_assets.graph.years import Years
from brain_assets.market.calendar import week_times
from brain_assets.portfolio.baselines import BUY_AND_HOLD
from brain_assets.registry import Families, Family
from brain_assets.store.manifest import FILES, MANIFEST, MODEL, SCALER, WEIGHTS
from brain_assets.store.names import cutoff_of_year, snapshot_name
from brain_assets.store.scaler import NAMES as SCALER_NAMES
from brain_assets.store.tables import folder_of
from brain_assets.store.weights import read_arrays

KEYS = {
    "raw_prices": ("date", "symbol"),
    "raw_news_sentiment": ("date", "symbol"),
    "raw_fundamentals": ("filed", "symbol", "period_end"),
    "walkforward_forecasts": ("week_start", "symbol"),
    "backtest": ("week_start", "strategy"),
}
KNOWN_AT_LAST_CLOSE = ("realized", "net_return", "turnover")
BEFORE_VALIDATION = re.compile(r"data\.first_session|training\.(train_loss|zero_train_loss|curve\.\d+\.train)")
"""What a forecaster's snapshot says, by name, that follows from the weeks before the validation weeks alone."""

DAY = datetime.timedelta(days=1)
ABSENT, SHOWN = "nothing", "materialization"

Facts = dict[tuple[str, str], tuple[datetime.date, str]]
"""Place (row or key, as text) and column -> when it was knowable, and what stands there; texts have column ""."""


class Run(NamedTuple):
    """What a run of the graph left behind in a data folder."""

    folder: Path
    years: Years
    """Those that were run: all that exist."""
    families: Families
    upstream: Mapping[str, tuple[str, ...]]
    """Asset -> what it is made from, in the order in which they are made."""
    metadata: Mapping[tuple[str, int], Mapping[str, str]]
    """By asset and year: what its materialization shows, as texts."""


class Difference(NamedTuple):
    """Something that was knowable on a day and is not the same in the two runs."""

    known: datetime.date
    asset: str
    """What made it, such as ``walkforward_forecasts``."""
    artifact: str
    """File under the data folder, or the materialization."""
    place: str
    column: str
    before: str
    after: str
    """What stands there with another future; empty where what stands there is wrong by itself."""
    n_values: int
    """How many values of the same column or file differ."""

    @property
    def message(self) -> str:
        """One sentence without an end."""
        where = ", ".join(part for part in (self.artifact, self.place, self.column) if part)
        if not self.after:
            return f"{where}: {self.before}, although it was decided on {self.known}"
        return f"{where}: {_short(self.before)} became {_short(self.after)}, although it was known on {self.known}"


@dataclass
class Comparison:
    """What was compared, and what came of it; filled by `compare_runs`."""

    after: datetime.date
    """The day up to which things were knowable."""
    upstream: Mapping[str, tuple[str, ...]]
    """As of the runs."""
    compared: Counter[tuple[str, str]] = field(default_factory=Counter)
    """By (asset, artifact): facts that were knowable."""
    differences: list[Difference] = field(default_factory=list)
    """The first of each column or file."""
    later: Counter[str] = field(default_factory=Counter)
    later_changed: Counter[str] = field(default_factory=Counter)
    """By asset: facts that were not knowable, and those of them that differ."""

    @property
    def in_order(self) -> list[Difference]:
        """The differences by time, then by the order in which things are made."""
        assets = list(self.upstream)
        return sorted(self.differences, key=lambda each: (each.known, assets.index(each.asset)))

    @property
    def assets(self) -> list[str]:
        """Those of which something was compared, in the order in which they are made."""
        found = {asset for asset, _ in self.compared}
        return [asset for asset in self.upstream if asset in found]

    def compare(self, asset: str, artifact: str, one: Facts, other: Facts, alone: datetime.date) -> None:
        """Compare the facts of an artifact in two runs; what one of them lacks was not knowable before `alone`."""
        wrong: dict[str, list[tuple[datetime.date, str, str, str]]] = defaultdict(list)
        for place, column in one | other:
            known, before = one.get((place, column), (alone, ABSENT))
            known_there, after = other.get((place, column), (alone, ABSENT))
            known = max(known, known_there) if ABSENT in (before, after) else known
            if known > self.after:
                self.later[asset] += not artifact.startswith(SHOWN)  # of which some may follow from other assets
                self.later_changed[asset] += not artifact.startswith(SHOWN) and before != after
                continue
            self.compared[asset, artifact] += 1
            if before != after:
                wrong[column].append((known, place, before, after))
            elif column.endswith("_source") and (newest_cutoff(before) or known) > known:
                wrong[column].append((known, place, f"forecast by {before}, which was finished later", ""))
        order = {key for key in one.keys() & other.keys() if one[key][0] <= self.after}
        orders = ([key for key in each if key in order] for each in (one, other))
        moved = [key for key, there in zip(*orders, strict=True) if key != there]
        wrong[""] += [(one[key][0], key[0], "the order of rows", "another order of rows") for key in moved]
        for column, found in wrong.items():
            if found:
                known, place, before, after = min(found, key=lambda each: each[0])
                self.differences.append(Difference(known, asset, artifact, place, column, before, after, len(found)))


def compare_runs(before: Run, after: Run, date: datetime.date) -> Comparison:
    """Compare two runs of the same years, without and with another future after a date, up to the date."""
    comparison = Comparison(date, before.upstream)
    for asset, year in itertools.product(before.upstream, before.years.existing()):
        found = [dict(_artifacts(run, asset, year)) for run in (before, after)]
        alone = datetime.date.min if asset in KEYS else cutoff_of_year(year)
        for name in found[0] | found[1]:
            comparison.compare(asset, name, found[0].get(name, {}), found[1].get(name, {}), alone)
    return comparison


def _artifacts(run: Run, asset: str, year: int) -> Iterator[tuple[str, Facts]]:
    """Take apart what there is of an asset's year."""
    if asset in KEYS:
        yield from _table(run, asset, year)
    else:
        [family] = [each for each in run.families.by_name.values() if each.asset == asset]
        yield from _snapshot(run, family, cutoff_of_year(year))
    yield f"{SHOWN} of {asset}[{year}]", _texts(run.metadata.get((asset, year), {}), cutoff_of_year(year))


def _table(run: Run, asset: str, year: int) -> Iterator[tuple[str, Facts]]:
    path = run.folder / folder_of(asset) / f"{year}.parquet"
    if path.is_file():
        data = path.read_bytes()
        frame = pd.read_parquet(io.BytesIO(data))
        first_day, next_day = run.years.window(year)
        notes = flat({**frame.attrs, "types": {name: str(kind) for name, kind in frame.dtypes.items()}})
        facts = _rows(frame, KEYS[asset]) | _texts(notes, first_day - DAY)  # of the last bars before it
        yield path.relative_to(run.folder).as_posix(), facts | _texts(_digest(data), next_day - DAY)


def _rows(frame: pd.DataFrame, keys: tuple[str, ...]) -> Facts:
    """Give the cells of a table; should a key stand there twice, its occurrences are numbered."""
    days = frame[keys[0]].to_numpy().astype("datetime64[D]")
    parts = zip(*(map(shown, frame[name]) for name in keys), strict=True)
    week = "week of " if keys[0] == "week_start" else ""
    repeats = (f" ({number})" if number else "" for number in frame.groupby(list(keys)).cumcount())
    places = [f"{week}{', '.join(part)}{repeat}" for part, repeat in zip(parts, repeats, strict=True)]
    decided, opened, closed = week_times(days) if week else (days, days, days)
    facts: Facts = {}
    for column in frame:
        known = closed if column in KNOWN_AT_LAST_CLOSE else decided
        if column == "weights":
            known = np.where(frame["strategy"] == BUY_AND_HOLD, opened, decided)
        for place, day, value in zip(places, known.tolist(), frame[column], strict=True):
            facts[place, column] = day, shown(value)
    return facts


def _snapshot(run: Run, family: Family, cutoff: datetime.date) -> Iterator[tuple[str, Facts]]:
    folder = run.folder / "models" / family.name / snapshot_name(cutoff)
    contents = {name: (folder / name).read_bytes() for name in FILES if (folder / name).is_file()}
    learned = cutoff
    if family.role == "forecaster" and MANIFEST in contents:
        learned = datetime.date.fromisoformat(json.loads(contents[MANIFEST])["data"]["first_validation_week"]) - DAY
    for name, content in contents.items():
        said = {**_readable(name, content), **_digest(content)}
        early = {key: text for key, text in said.items() if BEFORE_VALIDATION.fullmatch(key)}
        yield (folder / name).relative_to(run.folder).as_posix(), _texts(said, cutoff) | _texts(early, learned)


def _texts(texts: Mapping[str, str], known: datetime.date) -> Facts:
    return {(name, ""): (known, text) for name, text in texts.items()}


def _readable(name: str, content: bytes) -> dict[str, str]:
    """Give what a file of a snapshot says in single values; empty where it cannot be taken apart."""
    if name in (WEIGHTS, SCALER):  # never opened; what they hold is in the model too
        return {}
    if name == MODEL:
        arrays = read_arrays(content)
        scaler = flat({name: arrays.pop(name).tolist() for name in SCALER_NAMES})
        return {**scaler, **{name: str(arrays[name].sum()) for name in sorted(arrays)}}
    if name.endswith(".json"):
        return flat(json.loads(content))
    return {f"line {number}": line for number, line in enumerate(content.decode().splitlines(), start=1)}


def _digest(content: bytes) -> dict[str, str]:
    return {"the file's bytes": f"{len(content):,} bytes, SHA-256 {hashlib.sha256(content).hexdigest()[:12]}"}


def flat(value: Any, prefix: str = "") -> dict[str, str]:
    """Take a JSON value apart: ``training.curve.0`` -> the text of what stands there."""
    if not isinstance(value, Mapping | list | tuple):
        return {prefix: shown(value)}
    pairs = value.items() if isinstance(value, Mapping) else enumerate(value)
    found: dict[str, str] = {}
    for name, each in pairs:
        found |= flat(each, f"{prefix}.{name}" if prefix else str(name))
    return found | {f"{prefix} (length)".strip(): str(len(value))}


def shown(value: Any) -> str:
    """Give the text of a cell or a JSON value, every digit of it."""
    if isinstance(value, pd.Timestamp):
        return f"{value:%Y-%m-%d}"
    return value if isinstance(value, str) else repr(value)


def _short(text: str) -> str:
    return text if len(text) <= 80 else f"{text[:40]}… (SHA-256 {hashlib.sha256(text.encode()).hexdigest()[:12]})"
