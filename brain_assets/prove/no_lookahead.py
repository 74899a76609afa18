"""Proof that nothing saw the future: change everything after a date, run again, and compare what was known by it.

What is changed is in `brain_assets.prove.runs`. What is compared, byte for byte: every table, file of a
snapshot and materialization is taken apart into facts, a text each and the day on which it was knowable:

- a row of a raw table on its own day (a session's bar and score at its close, a filing on the day that it was filed);
- a week's forecasts, and the weights traded to, at its decision time: the last close before its ISO week, whatever day
  the row is labelled with; the weights of a strategy that only lets drift (buy and hold) at the first open; what
  was realized, earned and traded, at the last close of that ISO week;
- a snapshot at its cut-off, every file of it; the training losses of a forecaster, which are of a training without the
  validation weeks, before the first of those;
- the bytes of a table's file, and what a materialization shows, at the end of its year.

Nothing is exempt and nothing is rounded; a column that is not named here counts as known at decision time. Besides, the
source of a forecast must have been finished at its decision time. The result is *passed* only if there was something
to compare and something to see: all there is after the date must have changed.
"""

import datetime
import hashlib
import io
import itertools
import json
import re
from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import pandas as pd

from brain_assets.errors import BrainAssetsError, LookAheadError, SettingsError
from brain_assets.forecasting.average import newest_cutoff
from brain_assets.market.calendar import week_from, week_times
from brain_assets.market.schema import RAW
from brain_assets.portfolio.baselines import BUY_AND_HOLD
from brain_assets.prove.runs import DAY, GraphRuns, RecordedMarket, Run
from brain_assets.registry import Family
from brain_assets.store.manifest import FILES, MANIFEST
from brain_assets.store.names import cutoff_of_year, snapshot_name
from brain_assets.store.tables import folder_of

PASSED, LEAK, GUARDED, VOID = "passed", "leak", "caught by a guard", "no verdict"

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

ABSENT, SHOWN = "nothing", "materialization"

Facts = dict[tuple[str, str], tuple[datetime.date, str]]
"""Place (row or key, as text) and column -> when it was knowable, and what stands there; texts have column ""."""


class Difference(NamedTuple):
    """Something that was knowable on a day and is not the same in the two runs, or is wrong by itself."""

    known: datetime.date
    asset: str  # what made it, such as ``walkforward_forecasts``
    message: str  # where, and what: a sentence without an end


@dataclass
class LookaheadResult:
    """What came of one date; filled by `compare_runs`, unless a guard stopped a run."""

    after: datetime.date  # the last day that was left as it is
    result: str  # ``passed``, ``leak``, ``caught by a guard`` or ``no verdict``
    detail: str = ""  # the guard's sentence, or why there is no verdict
    upstream: Mapping[str, tuple[str, ...]] = field(default_factory=dict)  # as of the runs
    compared: Counter[tuple[str, str]] = field(default_factory=Counter)
    """By (asset, artifact): facts that were knowable by the date."""
    differences: list[Difference] = field(default_factory=list)  # by time, then by the order in which things are made
    later: Counter[str] = field(default_factory=Counter)
    later_changed: Counter[str] = field(default_factory=Counter)
    """By asset: facts that were not knowable, and those of them that differ."""

    @property
    def assets(self) -> list[str]:
        """Those of which something was compared, in the order in which they are made."""
        found = {asset for asset, _ in self.compared}
        return [asset for asset in self.upstream if asset in found]

    @property
    def unharmed(self) -> list[str]:
        """Name what the asset of the first difference is made from, directly or not, and in which nothing differs."""
        wanted = {self.differences[0].asset}
        for asset, parents in reversed([*self.upstream.items()]):  # each is made after its parents
            wanted |= set(parents) if asset in wanted else set()
        wanted -= {found.asset for found in self.differences}
        return [asset for asset in self.assets if asset in wanted]

    @property
    def message(self) -> str:
        """What a user must know, a few sentences."""
        start = f"after {self.after}: "
        if self.result == PASSED:
            return f"{start}passed, {sum(self.compared.values()):,} values and files are the same"
        if self.result != LEAK:
            return f"{start}{'a look ahead was ' if self.result == GUARDED else ''}{self.result}: {self.detail}"
        said = f"{start}LOOK AHEAD. The first artifact that differs: {self.differences[0].message}."
        if self.unharmed:
            said += f" What it is made from is the same up to the date: {', '.join(self.unharmed)}."
        return said

    def compare(self, asset: str, artifact: str, one: Facts, other: Facts, alone: datetime.date) -> None:
        """Compare the facts of an artifact in two runs; what one of them lacks was not knowable before `alone`."""
        for place, column in one | other:
            known, before = one.get((place, column), (alone, ABSENT))
            known_there, after = other.get((place, column), (alone, ABSENT))
            known = max(known, known_there) if ABSENT in (before, after) else known
            if known > self.after:
                self.later[asset] += not artifact.startswith(SHOWN)  # of which some may follow from other assets
                self.later_changed[asset] += not artifact.startswith(SHOWN) and before != after
                continue
            self.compared[asset, artifact] += 1
            where = ", ".join(filter(None, (artifact, place, column)))
            if before != after:
                said = f"{_short(before)} became {_short(after)}, although it was known on {known}"
                self.differences.append(Difference(known, asset, f"{where}: {said}"))
            elif column.endswith("_source") and (newest_cutoff(before) or known) > known:
                said = f"forecast by {before}, which was finished later, although it was decided on {known}"
                self.differences.append(Difference(known, asset, f"{where}: {said}"))
        both = {key for key in one.keys() & other.keys() if one[key][0] <= self.after}
        orders = ([key for key in each if key in both] for each in (one, other))
        for key in (key for key, there in zip(*orders, strict=True) if key != there):
            said = f"another row stands in its place, although the order was known on {one[key][0]}"
            self.differences.append(Difference(one[key][0], asset, f"{artifact}, {key[0]}: {said}"))


def default_dates(years: Sequence[int]) -> list[datetime.date]:
    """Give two dates that show most leaks, by the last year.

    31 December of the year before, if that is a partition: whole snapshots lie before it, and a year of forecasts
    after. The last session of a week early in July: forecasts of half a year lie before it, the decision of the next
    week is due, and a quarter has ended whose filings are yet to come.
    """
    last = years[-1]
    in_july = week_from(datetime.date(last, 7, 8)).decided
    return [cutoff_of_year(last - 1), in_july] if last - 1 in years else [in_july]


def prove_no_lookahead(
    market: RecordedMarket, runs: GraphRuns, folder: Path, dates: Sequence[datetime.date] = (), seed: int = 0
) -> Iterator[LookaheadResult]:
    """Run a market as it is, and again with another future after each date; give each result once it is known.

    The market is of all years of the runs, each of which gets a folder in `folder`. By default dates are
    `default_dates`; `seed` is of what is changed, and who disappears. Raises `SettingsError` if a date leaves nothing
    before or after it, `BrainAssetsError` if a run with another future fails.
    """
    chosen = dates or default_dates(runs.years.existing())
    first, last = runs.span[0] + 32 * DAY, runs.span[1] - 2 * DAY
    for after in chosen:
        if not first <= after <= last:
            raise SettingsError(
                f"--after: expected a date from {first} to {last}, so that there is something before and after it in "
                f"the years that are run, got {after}; choose one."
            )
    runs.say("the market as it is")
    try:
        base = runs(market, folder / "as it was")
    except BrainAssetsError as error:
        if not _is_guard(error):
            raise
        yield LookaheadResult(chosen[0], GUARDED, str(error))
        return
    for after in chosen:
        runs.say(f"everything after {after} changed")
        changed = market.perturbed(after, seed)
        try:
            yield compare_runs(base, runs(changed, folder / f"another after {after}"), after)
        except BrainAssetsError as error:
            if not _is_guard(error):
                went = "the run with another future to go through as the one without did"
                raise BrainAssetsError(f"after {after}: expected {went}, got: {error}") from error
            yield LookaheadResult(after, GUARDED, str(error))


def _is_guard(error: BaseException | None) -> bool:
    """Tell whether an error, or what caused it, is that of a guard against looking ahead."""
    return error is not None and (isinstance(error, LookAheadError) or _is_guard(error.__cause__))


def compare_runs(before: Run, after: Run, date: datetime.date) -> LookaheadResult:
    """Compare two runs of the same years, without and with another future after a date, up to the date."""
    found = LookaheadResult(date, PASSED, upstream=before.upstream)
    for asset, year in itertools.product(before.upstream, before.years.existing()):
        one, other = (dict(_artifacts(run, asset, year)) for run in (before, after))
        alone = datetime.date.min if asset in KEYS else cutoff_of_year(year)
        for name in one | other:
            found.compare(asset, name, one.get(name, {}), other.get(name, {}), alone)
    made = list(before.upstream)
    found.differences.sort(key=lambda each: (each.known, made.index(each.asset)))
    if found.differences:
        found.result = LEAK
    elif why := _why_void(found):
        found.result, found.detail = VOID, why
    return found


def _why_void(found: LookaheadResult) -> str:
    """Say why a comparison without differences proves nothing; empty: it does."""
    if "raw_prices" not in found.assets or set(found.assets) <= set(RAW):
        return "nothing that is made from the market was knowable by the date, so nothing was compared"
    if not found.later["raw_prices"]:
        return "the market has no bar after the date, so nothing was changed"
    idle = [asset for asset, count in found.later.items() if count and not found.later_changed[asset]]
    said = "everything after the date was changed, and yet nothing differs after it in"
    return f"{said} {', '.join(idle)}" if idle else ""


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
        said = _digest(content) | (flat(json.loads(content)) if name.endswith(".json") else {})
        early = {key: text for key, text in said.items() if BEFORE_VALIDATION.fullmatch(key)}
        yield (folder / name).relative_to(run.folder).as_posix(), _texts(said, cutoff) | _texts(early, learned)


def _texts(texts: Mapping[str, str], known: datetime.date) -> Facts:
    return {(name, ""): (known, text) for name, text in texts.items()}


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
