"""Proof that nothing saw the future: change everything after a date, run again, and compare what was known by it.

From a test of one's own::

    from brain_assets.proofs.no_lookahead import assert_no_lookahead

    def test_my_change(tmp_path):
        assert_no_lookahead(tmp_path)

What is changed is in `brain_assets.proofs.corruption`, what is compared in `brain_assets.proofs.comparison`. The
verdict is *passed* only if there was something to compare and something to see: all there is after the date must have
changed.
"""

import datetime
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from brain_assets.errors import BrainAssetsError, LookAheadError, ProofError
from brain_assets.market.base import Market
from brain_assets.market.calendar import sessions_between
from brain_assets.market.schema import RAW
from brain_assets.plugins import resolve
from brain_assets.proofs.comparison import compare_runs
from brain_assets.proofs.corruption import DAY, CorruptedMarket
from brain_assets.proofs.differences import Comparison, Difference
from brain_assets.proofs.pipeline import Run, Span, run_pipeline
from brain_assets.registry import Families, families_of
from brain_assets.settings import read_settings
from brain_assets.store.names import cutoff_of_year

PASSED, LEAK, GUARDED, VOID = "passed", "leak", "caught by a guard", "no verdict"

MakeRun = Callable[[Market, Path], Run]
"""Makes everything of a market in a fresh folder."""

Corrupt = Callable[[Market, datetime.date, int], Market]
"""Gives a market another future after a date, by a seed."""


@dataclass(frozen=True)
class Verdict:
    """What came of one date."""

    after: datetime.date
    """The last day that was left as it is."""
    result: str
    """``passed``, ``leak``, ``caught by a guard`` or ``no verdict``."""
    comparison: Comparison | None = None
    """None if a guard stopped a run."""
    detail: str = ""
    """The guard's sentence, or why there is no verdict."""
    seconds: float = 0.0
    """For the run with another future and the comparison."""

    @property
    def first(self) -> Difference | None:
        """The first artifact that differs."""
        return self.comparison.first if self.comparison else None

    @property
    def equal_upstream(self) -> tuple[str, ...]:
        """What the stage of the first difference is made from, directly or not, and is the same up to the date."""
        return self._upstream(differs=False)

    @property
    def unlike_upstream(self) -> tuple[str, ...]:
        """The same of what is not the same up to the date."""
        return self._upstream(differs=True)

    def _upstream(self, differs: bool) -> tuple[str, ...]:
        if self.comparison is None or self.first is None:
            return ()
        wanted, todo = set[str](), [self.first.stage]
        while todo:
            parents = set(self.comparison.upstream[todo.pop()]) - wanted
            wanted |= parents
            todo += parents
        present = {stage for stage, _ in self.comparison.compared} & wanted
        unlike = {found.stage for found in self.comparison.differences}
        return tuple(name for name in self.comparison.upstream if name in present and (name in unlike) == differs)

    @property
    def words(self) -> str:
        """What a user must know, a few sentences."""
        if self.result == PASSED and self.comparison:
            return (
                f"after {self.after}: passed, {sum(self.comparison.compared.values()):,} values and files are the same"
            )
        if self.result == GUARDED:
            return f"after {self.after}: a look ahead was caught by a guard: {self.detail}"
        if self.result == VOID or self.first is None or self.comparison is None:
            return f"after {self.after}: no verdict: {self.detail}"
        first = self.first
        said = [f"after {self.after}: LOOK AHEAD. The first artifact that differs: {first.words}."]
        if self.equal_upstream:
            said.append(f"What it is made from is the same up to the date: {', '.join(self.equal_upstream)}.")
        if self.unlike_upstream:
            said.append(f"Upstream of it these differ as well, on a later day: {', '.join(self.unlike_upstream)}.")
        else:
            said.append(f"So look at what makes {first.stage}.")
        stages = dict.fromkeys(found.stage for found in self.comparison.in_order)
        rest = [name for name in stages if name not in (first.stage, *self.unlike_upstream)]
        if rest:
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


def _prove_date(
    market: Market, base: Run, after: datetime.date, folder: Path, make_run: MakeRun, seed: int, corrupt: Corrupt
) -> Verdict:
    """Run with another future after a date in a fresh folder, and compare with the run without, `base`."""
    started = time.monotonic()
    changed = corrupt(market, after, seed)
    try:
        other = make_run(changed, folder)
    except BrainAssetsError as error:
        if is_guard(error):
            return Verdict(after, GUARDED, detail=str(error), seconds=time.monotonic() - started)
        raise ProofError(
            f"after {after}: expected the run with another future to go through as the one without did, got: {error}"
        ) from error
    comparison = compare_runs(base, other, after)
    result, detail = _judge(comparison)
    return Verdict(after, result, comparison, detail, time.monotonic() - started)


def is_guard(error: BaseException | None) -> bool:
    """Tell whether an error, or what caused it, is that of a guard against looking ahead."""
    return error is not None and (isinstance(error, LookAheadError) or is_guard(error.__cause__))


def check_date(span: Span, after: datetime.date) -> None:
    """Refuse a date that leaves nothing before or after it; raises `ProofError`."""
    first, end = span.window(span.first_partition)[0], span.window(span.last_year)[1]
    if not first + datetime.timedelta(days=31) < after < end - DAY:
        raise ProofError(
            f"--after: expected a date from {first + datetime.timedelta(days=32)} to {end - 2 * DAY}, so that there is "
            f"something before and after it in the years that are run, got {after}; choose one."
        )


def _judge(comparison: Comparison) -> tuple[str, str]:
    if comparison.differences:
        return LEAK, ""
    stages = {stage for stage, _ in comparison.compared}
    idle = [stage for stage, count in comparison.later.items() if count and not comparison.later_changed[stage]]
    if "raw_prices" not in stages or stages <= set(RAW):
        return VOID, "nothing that is made from the market was knowable by the date, so nothing was compared"
    if not comparison.later["raw_prices"]:
        return VOID, "the market has no bar after the date, so nothing was changed"
    if idle:
        return VOID, f"everything after the date was changed, and yet nothing differs after it in {', '.join(idle)}"
    return PASSED, ""


def prove_no_lookahead(
    market: Market,
    span: Span,
    dates: Sequence[datetime.date],
    folder: Path,
    make_run: MakeRun,
    seed: int = 0,
    corrupt: Corrupt = CorruptedMarket,
    on_verdict: Callable[[Verdict], None] | None = None,
    on_run: Callable[[str], None] | None = None,
) -> list[Verdict]:
    """Put a market and the code to the test at some dates; one run without and one with another future for each.

    `span` are the years that `make_run` runs; `folder` is empty or absent. `on_verdict` is called with each verdict
    once it is known, `on_run` before each run with a few words on it. Raises `ProofError` if a date leaves nothing
    before or after it, or the run with another future fails.
    """
    for after in dates:
        check_date(span, after)
    say, begin = on_verdict or (lambda _: None), on_run or (lambda _: None)
    begin("the market as it is")
    try:
        base = make_run(market, folder / "as it was")
    except BrainAssetsError as error:
        if not is_guard(error):
            raise
        verdict = Verdict(dates[0], GUARDED, detail=str(error))
        say(verdict)
        return [verdict]
    verdicts: list[Verdict] = []
    for after in dates:
        begin(f"everything after {after} changed")
        verdicts.append(_prove_date(market, base, after, folder / f"another after {after}", make_run, seed, corrupt))
        say(verdicts[-1])
    return verdicts


DEFAULT_SPAN = Span(2018, 2019, 2021)


def small_configs(families: Families | None = None) -> dict[str, Any]:
    """Give configurations of families (default: ours) that train in a second: leaks do not depend on how long."""
    chosen = families or families_of()
    return {name: family.Config(**family.quick) for name, family in chosen.by_name.items()}


def assert_no_lookahead(
    folder: Path,
    market: Market | None = None,
    *,
    span: Span = DEFAULT_SPAN,
    dates: Sequence[datetime.date] = (),
    configs: Mapping[str, Any] | None = None,
    seed: int = 0,
) -> list[Verdict]:
    """Assert, in a test, that the code as it is imported looks at nothing of the future; takes seconds.

    Raises `AssertionError` with `Verdict.words` of the first date that did not pass.

    Parameters
    ----------
    folder : Path
        Empty; such as pytest's `tmp_path`.
    market : Market, optional
        Default: six simulated symbols.
    span : Span, optional
        Years to run.
    dates : sequence of datetime.date, optional
        Default: `default_dates`.
    configs : mapping, optional
        Family -> configuration; a family without an entry is left out. Default: `small_configs`.
    seed : int
        Of the changes.
    """
    settings = read_settings(market="simulator", symbols=tuple(f"SIM{i}" for i in range(6)))
    chosen = market or resolve(settings.brought.markets["simulator"])(settings)
    options = small_configs() if configs is None else configs
    verdicts = prove_no_lookahead(
        chosen,
        span,
        dates or default_dates(span.years),
        folder,
        lambda each, place: run_pipeline(each, place, span, options),
        seed,
    )
    for verdict in verdicts:
        if verdict.result != PASSED:
            raise AssertionError(verdict.words)
    return verdicts
