"""What differs between two runs, and how much was compared."""

import datetime
from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np
import pandas as pd

ABSENT = "nothing"


@dataclass(frozen=True)
class Difference:
    """Something knowable that is not the same in the two runs."""

    known: datetime.date
    """When it was knowable."""
    stage: str
    """What made it, such as ``walkforward_forecasts``."""
    artifact: str
    """File under the data folder, or the materialization."""
    place: str
    """Row or key, in words."""
    column: str
    before: str
    after: str
    """What stands there with another future; empty where what stands there is wrong by itself."""
    count: int = 1
    """How many values of the same column, key or file differ."""

    @property
    def words(self) -> str:
        """One sentence without an end."""
        where = ", ".join(part for part in (self.place, self.column) if part)
        if not self.after:
            return f"{self.artifact}, {where}: {self.before}, although it was decided on {self.known}"
        return f"{self.artifact}, {where}: {self.before} became {self.after}, although it was known on {self.known}"


@dataclass
class Comparison:
    """What was compared, and what came of it; filled by `brain_assets.proofs.comparison.compare_runs`."""

    after: datetime.date
    """The day up to which things were knowable."""
    upstream: Mapping[str, tuple[str, ...]]
    """What each stage is made from, in the order in which they are made."""
    compared: Counter[tuple[str, str]] = field(default_factory=Counter)
    """By (stage, what): values, files or keys that were knowable."""
    differences: list[Difference] = field(default_factory=list)
    """The first of each column or file."""
    later: Counter[str] = field(default_factory=Counter)
    later_changed: Counter[str] = field(default_factory=Counter)
    """By stage: values, files or keys that were not knowable, and those of them that differ."""

    @property
    def first(self) -> Difference | None:
        """The first difference in time; of several, that which was made first."""
        return next(iter(self.in_order), None)

    @property
    def in_order(self) -> list[Difference]:
        """The differences by time, then by the order in which things are made."""
        stages = list(self.upstream)
        return sorted(self.differences, key=lambda each: (each.known, stages.index(each.stage)))


@dataclass(frozen=True)
class Artifact:
    """One file or materialization in both runs."""

    comparison: Comparison
    stage: str
    name: str

    def count(self, what: str, number: int = 1) -> None:
        """Count what was knowable and is compared."""
        self.comparison.compared[self.stage, what] += number

    def count_later(self, number: int, changed: int) -> None:
        """Count what was not knowable."""
        self.comparison.later[self.stage] += number
        self.comparison.later_changed[self.stage] += changed

    def note(self, known: datetime.date, place: str, values: Sequence[str], column: str = "", number: int = 1) -> None:
        """Note a difference: what stands there in the two runs, or what is wrong by itself and ""."""
        before, after = values
        found = Difference(known, self.stage, self.name, place, column, before, after, number)
        self.comparison.differences.append(found)

    def compare(self, known: datetime.date, found: Sequence[Mapping[str, str]], what: str) -> None:
        """Compare texts by name, and note the first that is not the same; `known` is when all of them were."""
        names = list(dict.fromkeys([*found[0], *found[1]]))
        if names:
            self.count(what, len(names))
        self.note_unlike(known, found, names)

    def note_unlike(self, known: datetime.date, found: Sequence[Mapping[str, str]], names: Sequence[str]) -> bool:
        """Note the first text that is not the same, and tell whether there is one."""
        wrong = [name for name in names if found[0].get(name) != found[1].get(name)]
        if wrong:
            self.note(known, wrong[0], [_short(each.get(wrong[0], ABSENT)) for each in found], number=len(wrong))
        return bool(wrong)


def flat(value: Any, prefix: str = "") -> dict[str, str]:
    """Take a JSON value apart: ``training.curve.0`` -> the text of what stands there."""
    return dict(_leaves(value, prefix))


def _leaves(value: Any, prefix: str) -> Iterator[tuple[str, str]]:
    if isinstance(value, Mapping | list | tuple):
        pairs = value.items() if isinstance(value, Mapping) else enumerate(value)
        for name, each in pairs:
            yield from _leaves(each, f"{prefix}.{name}" if prefix else str(name))
        yield f"{prefix} (length)".strip(), str(len(value))
    else:
        yield prefix, shown(value)


def shown(value: Any) -> str:
    """Give the text of a cell or a JSON value, every digit of it."""
    if isinstance(value, pd.Timestamp | np.datetime64):
        return f"{pd.Timestamp(value):%Y-%m-%d}"
    return repr(value.item() if isinstance(value, np.generic) else value) if not isinstance(value, str) else value


def _short(text: str, most: int = 80) -> str:
    return text if len(text) <= most else f"{text[:most]}…"
