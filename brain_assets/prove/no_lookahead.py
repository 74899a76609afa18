"""Proof that nothing saw the future: change everything after a date, run again, and compare what was known by it.

What is changed is in `brain_assets.prove.perturbation`, what is compared in `brain_assets.prove.comparison`. The
result is *passed* only if there was something to compare and something to see: all there is after the date must have
changed.
"""

import datetime
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from brain_assets.errors import BrainAssetsError, LookAheadError, ProofError
from brain_assets.market.calendar import sessions_between
from brain_assets.market.schema import RAW
from brain_assets.prove.comparison import DAY, Comparison, Difference, compare_runs
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
        wanted = {self.first.asset}
        for asset, parents in reversed([*self.comparison.upstream.items()]):  # each is made after its parents
            wanted |= set(parents) if asset in wanted else set()
        unlike = {found.asset for found in self.comparison.differences}
        others = [name for name in self.comparison.assets if name in wanted - {self.first.asset}]
        return tuple(name for name in others if (name in unlike) == differs)

    @property
    def message(self) -> str:
        """What a user must know, a few sentences."""
        start = f"after {self.after}: "
        if self.comparison and self.result == PASSED:
            return f"{start}passed, {sum(self.comparison.compared.values()):,} values and files are the same"
        if self.comparison is None or self.first is None:
            why = "a look ahead was caught by a guard" if self.result == GUARDED else "no verdict"
            return f"{start}{why}: {self.detail}"
        equal, unlike = self.upstream(differs=False), self.upstream(differs=True)
        said = [f"{start}LOOK AHEAD. The first artifact that differs: {self.first.message}."]
        if equal:
            said.append(f"What it is made from is the same up to the date: {', '.join(equal)}.")
        if unlike:
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
    sessions = sessions_between(datetime.date(last, 7, 2), datetime.date(last, 7, 15))
    before_weekend = np.flatnonzero(np.diff(sessions).astype(np.int64) > 2)[0]
    return [*([cutoff_of_year(last - 1)] if last - 1 in years else []), sessions[before_weekend].item()]


def prove_no_lookahead(
    market: RecordedMarket, runs: "GraphRuns", folder: Path, dates: Sequence[datetime.date] = (), seed: int = 0
) -> Iterator[LookaheadResult]:
    """Run a market as it is, and again with another future after each date; give each result once it is known.

    The market is of all years of the runs, each of which gets a folder in `folder`. By default dates are
    `default_dates`; `seed` is of what is changed, and who disappears. Raises `ProofError` if a date leaves nothing
    before or after it, or a run with another future fails.
    """
    chosen = dates or default_dates(runs.years.existing())
    first, last = runs.span[0] + 32 * DAY, runs.span[1] - 2 * DAY
    for after in chosen:
        if not first <= after <= last:
            raise ProofError(
                f"--after: expected a date from {first} to {last}, so that there is something before and after it in "
                f"the years that are run, got {after}; choose one."
            )
    runs.say("the market as it is")
    try:
        base = runs(market, folder / "as it was")
    except BrainAssetsError as error:
        if not is_guard(error):
            raise
        yield LookaheadResult(chosen[0], GUARDED, detail=str(error))
        return
    for after in chosen:
        runs.say(f"everything after {after} changed")
        changed = market.perturbed(after, seed)
        try:
            comparison = compare_runs(base, runs(changed, folder / f"another after {after}"), after)
        except BrainAssetsError as error:
            if not is_guard(error):
                went = "the run with another future to go through as the one without did"
                raise ProofError(f"after {after}: expected {went}, got: {error}") from error
            yield LookaheadResult(after, GUARDED, detail=str(error))
            continue
        void = "" if comparison.differences else _why_void(comparison)
        result = LEAK if comparison.differences else VOID if void else PASSED
        yield LookaheadResult(after, result, comparison, void)


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
