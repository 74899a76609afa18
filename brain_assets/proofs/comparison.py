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

from brain_assets.proofs.differences import Comparison, compare_mappings
from brain_assets.proofs.pipeline import Run, upstream_of
from brain_assets.proofs.snapshot_comparison import compare_snapshot
from brain_assets.proofs.table_comparison import compare_table
from brain_assets.store.names import cutoff_of_year


def compare_runs(before: Run, after: Run, date: datetime.date) -> Comparison:
    """Compare two runs of the same years up to a date.

    Parameters
    ----------
    before, after : Run
        Without and with another future after `date`.
    """
    comparison = Comparison(date, upstream_of(before.families))
    models = {family.asset: family for family in before.families.by_name.values()}
    for stage in comparison.upstream:
        for year in before.span.years:
            if stage in models:
                compare_snapshot(comparison, before, after, models[stage], year)
            else:
                compare_table(comparison, before, after, stage, year)
            _compare_metadata(comparison, before, after, stage, year)
    return comparison


def _compare_metadata(comparison: Comparison, before: Run, after: Run, stage: str, year: int) -> None:
    """Compare what a year's materialization shows, once the year is over."""
    last = cutoff_of_year(year)
    found = [dict(run.metadata.get((stage, year), {})) for run in (before, after)]
    if last <= comparison.after:
        compare_mappings(comparison, stage, f"materialization of {stage}[{year}]", last, found, "metadata")
