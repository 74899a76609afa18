"""Proof that nothing saw the future: change everything after a date, run again, and compare what was known by it.

What is changed is in `brain_assets.prove.perturbation`, what is compared in `brain_assets.prove.comparison`. The
result is *passed* only if there was something to compare and something to see: all there is after the date must have
changed.
"""

import datetime
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from brain_assets.errors import BrainAssetsError, LookAheadError, ProofError
from brain_assets.market.calendar import sessions_between
from brain_assets.market.schema import RAW
from brain_assets.prove.comparison import DAY, Comparison, Difference, Run, compare_runs
from brain_assets.prove.perturbation import RecordedMarket
from brain_assets.store.names import cutoff_of_year

if TYPE_CHECKING:
    from brain_assets.prove.runs import GraphRuns

PASSED, LEAK, GUARDED, VOID = "passed", "leak", "caught by a guard", "no verdict"


@dataclass(frozen=True)
class LookaheadResult:
    """What came of one date."""

    after: datetime.date
    """The last day that was left as it is."""
    result: str
    """``passed``, ``leak``, ``caught by a guard`` or ``no verdict``."""
    comparison: Comparison | None = None
    """None if a guard stopped a run."""
    detail: str = ""
    """The guard's sentence, or why there is no verdict."""

    @property
    def first(self) -> Difference | None:
        """The first difference in time; of several, that of what was made first."""
        return next(iter(self.comparison.in_order), None) if self.comparison else None

    def upstream(self, differs: bool) -> tuple[str, ...]:
        """Name what the asset of the first difference is made from, directly or not, and that differs, or does not."""
        if self.comparison is None or self.first is None:
            return ()
        wanted, todo = set[str](), [self.first.asset]
        while todo:
            parents = set(self.comparison.upstream[todo.pop()]) - wanted
            wanted |= parents
            todo += parents
        unlike = {found.asset for found in self.comparison.differences}
        return tuple(name for name in self.comparison.assets if name in wanted and (name in unlike) == differs)

    @property
    def message(self) -> str:
        """What a user must know, a few sentences."""
        start = f"after {self.after}: "
        if self.comparison and self.result == PASSED:
            return f"{start}passed, {sum(self.comparison.compared.values()):,} values and files are the same"
        if self.result == GUARDED:
            return f"{start}a look ahead was caught by a guard: {self.detail}"
        if self.comparison is None or self.first is None:
            return f"{start}no verdict: {self.detail}"
        said = [f"{start}LOOK AHEAD. The first artifact that differs: {self.first.message}."]
        if equal := self.upstream(differs=False):
            said.append(f"What it is made from is the same up to the date: {', '.join(equal)}.")
        if unlike := self.upstream(differs=True):
            said.append(f"Upstream of it these differ as well, on a later day: {', '.join(unlike)}.")
        else:
            said.append(f"So look at what makes {self.first.asset}.")
        assets = dict.fromkeys(found.asset for found in self.comparison.in_order)
        if rest := [name for name in assets if name not in (self.first.asset, *unlike)]:
            said.append(f"It goes on in {', '.join(rest)}.")
        return " ".join(said)


def default_dates(years: Sequence[int]) -> list[datetime.date]:
    """Give two dates that show most leaks, by the last year.

    31 December of the year before, if that is a partition: whole snapshots lie before it, and a year of forecasts
    after. The last session of a week early in July: forecasts of half a year lie before it, the decision of the next
    week is due, and a quarter has ended whose filings are yet to come.
    """
    last = years[-1]
    dates = [cutoff_of_year(last - 1)] if last - 1 in years else []
    sessions = sessions_between(datetime.date(last, 7, 1), datetime.date(last, 7, 15))
    weekly_last = np.flatnonzero(np.diff(sessions).astype(np.int64) > 2)  # a weekend follows
    ends = [day for day in sessions[weekly_last].tolist() if day > datetime.date(last, 7, 1)]
    return [*dates, ends[0]]


def prove_no_lookahead(
    market: RecordedMarket,
    runs: "GraphRuns",
    folder: Path,
    dates: Sequence[datetime.date] = (),
    seed: int = 0,
    on_result: Callable[[LookaheadResult], None] = lambda _: None,
    on_run: Callable[[str], None] = lambda _: None,
) -> list[LookaheadResult]:
    """Put a market and the code to the test: one run as it is, and one with another future after each date.

    Parameters
    ----------
    market : RecordedMarket
        Of all years of the runs.
    runs : GraphRuns
    folder : Path
        Empty or absent; every run gets a folder in it.
    dates : sequence of datetime.date, optional
        Default: `default_dates`.
    seed : int
        Of what is changed, and who disappears.
    on_result, on_run : callable, optional
        Called with each result once it is known, and before each run with a few words on it.

    Raises
    ------
    ProofError
        If a date leaves nothing before or after it, or a run with another future fails.
    """
    chosen = dates or default_dates(runs.years.existing())
    first, last = runs.span[0] + 32 * DAY, runs.span[1] - 2 * DAY
    for after in chosen:
        if not first <= after <= last:
            raise ProofError(
                f"--after: expected a date from {first} to {last}, so that there is something before and after it in "
                f"the years that are run, got {after}; choose one."
            )
    on_run("the market as it is")
    try:
        base = runs(market, folder / "as it was")
    except BrainAssetsError as error:
        if not is_guard(error):
            raise
        on_result(result := LookaheadResult(chosen[0], GUARDED, detail=str(error)))
        return [result]
    results = []
    for after in chosen:
        on_run(f"everything after {after} changed")
        results.append(_prove_date(market.perturbed(after, seed), runs, folder / f"another after {after}", base, after))
        on_result(results[-1])
    return results


def _prove_date(
    changed: RecordedMarket, runs: "GraphRuns", folder: Path, base: Run, after: datetime.date
) -> LookaheadResult:
    """Run with another future after a date, and compare with the run without, `base`."""
    try:
        comparison = compare_runs(base, runs(changed, folder), after)
    except BrainAssetsError as error:
        if is_guard(error):
            return LookaheadResult(after, GUARDED, detail=str(error))
        raise ProofError(
            f"after {after}: expected the run with another future to go through as the one without did, got: {error}"
        ) from error
    detail = "" if comparison.differences else _why_void(comparison)
    result = LEAK if comparison.differences else VOID if detail else PASSED
    return LookaheadResult(after, result, comparison, detail)


def is_guard(error: BaseException | None) -> bool:
    """Tell whether an error, or what caused it, is that of a guard against looking ahead."""
    return error is not None and (isinstance(error, LookAheadError) or is_guard(error.__cause__))


def _why_void(comparison: Comparison) -> str:
    """Say why a comparison without differences proves nothing; empty: it does."""
    if "raw_prices" not in comparison.assets or set(comparison.assets) <= set(RAW):
        return "nothing that is made from the market was knowable by the date, so nothing was compared"
    if not comparison.later["raw_prices"]:
        return "the market has no bar after the date, so nothing was changed"
    idle = [asset for asset, count in comparison.later.items() if count and not comparison.later_changed[asset]]
    said = "everything after the date was changed, and yet nothing differs after it in"
    return f"{said} {', '.join(idle)}" if idle else ""
