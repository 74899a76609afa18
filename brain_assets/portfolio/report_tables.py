"""The tables and sentences of a report, as text."""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

from brain_assets.arrays import FloatArray
from brain_assets.portfolio import metrics
from brain_assets.portfolio.conclusion import signed

if TYPE_CHECKING:
    from brain_assets.portfolio.metrics import Estimate
    from brain_assets.portfolio.report import Report

NOTHING = "–"
"""Where there is no figure."""

ENOUGH_SEEDS = 3

FULL_TINT, FULL_RETURN = 0.45, 0.40
"""Opacity of a year's cell whose return is as large as the second, or larger."""


@dataclass(frozen=True)
class Cell:
    """A figure, and its interval or spread."""

    text: str
    detail: str = ""
    tint: float = 0.0
    """Opacity of the background, with the sign of the figure."""

    @property
    def words(self) -> str:
        """Both in one line."""
        return f"{self.text} {self.detail}".strip()


@dataclass(frozen=True)
class Row:
    """A line of a table."""

    name: str
    cells: tuple[Cell, ...]
    strong: bool = False


@dataclass(frozen=True)
class Table:
    """Head and lines; the first head is that of the lines' names."""

    title: str
    heads: tuple[str, ...]
    rows: tuple[Row, ...]


def number(value: float, digits: int = 2, unit: str = "") -> str:
    """Write a number."""
    return f"{value:.{digits}f}{unit}".replace("-", "\N{MINUS SIGN}") if math.isfinite(value) else NOTHING


def percent(value: float, digits: int = 1) -> str:
    """Write a share in percent."""
    return number(100 * value, digits, " %")


def probability(value: float) -> str:
    """Write a probability in percent; never as certain."""
    if math.isfinite(value) and not 0.0005 <= value < 0.9995:
        return "< 0.1 %" if value < 0.5 else "> 99.9 %"
    return percent(value)


def points(value: float) -> str:
    """Write a difference of two shares in percentage points."""
    return f"{signed(100 * value, 1)} pp" if math.isfinite(value) else NOTHING


def _between(found: Estimate, factor: float, digits: int) -> str:
    return f"[{signed(factor * found.low, digits)}, {signed(factor * found.high, digits)}]" if found.known else ""


def strategy_table(report: Report) -> Table:
    """Give the headline figures, a line a strategy."""
    heads = (
        *("strategy", "return a year", "volatility", "Sharpe ratio", "maximum drawdown", "Calmar ratio"),
        *("turnover a year", "cost drag a year", "return less equal weight's"),
    )
    rows = tuple(
        Row(
            each.label,
            (
                Cell(percent(each.annual_return.value), _between(each.annual_return, 100, 1)),
                Cell(percent(each.volatility)),
                Cell(number(each.sharpe.value), _between(each.sharpe, 1, 2)),
                Cell(percent(each.max_drawdown)),
                Cell(number(each.calmar)),
                Cell(f"{each.turnover:.1f} ×"),
                Cell(percent(each.cost_drag, 2)),
                Cell(NOTHING) if each.excess == (0.0, 0.0, 0.0) else _excess(each.excess),
            ),
            each.is_policy,
        )
        for each in report.strategies
    )
    return Table("Figures by strategy", heads, rows)


def _excess(found: Estimate) -> Cell:
    return Cell(points(found.value), _between(found, 100, 1))


def policy_table(report: Report) -> Table:
    """Give what is asked of policies beyond that: how sure, after how many trials, from how many seeds."""
    excess = {each.name: each.excess for each in report.strategies}
    tried = f"{report.n_trials} tried" if report.n_trials else "not recorded"
    heads = (
        *("policy", "return less equal weight's", "probabilistic Sharpe ratio", "deflated Sharpe ratio"),
        *("training seeds", "return a year over seeds", "Sharpe ratio over seeds"),
    )
    rows = tuple(
        Row(
            each.label,
            (
                _excess(excess[each.name]),
                Cell(probability(each.probabilistic_sharpe)),
                Cell(probability(each.deflated_sharpe), tried),
                Cell(str(each.n_seeds)),
                _spread(each.seed_annual_returns, percent),
                _spread(each.seed_sharpe_ratios, number),
            ),
            strong=True,
        )
        for each in report.policies
    )
    return Table("Figures of the policies", heads, rows)


def _spread(values: FloatArray, write: Callable[[float], str]) -> Cell:
    """Give the mean over seeds, and the worst and best of them."""
    detail = f"{write(float(values.min()))} to {write(float(values.max()))}" if len(values) > 1 else ""
    return Cell(write(float(values.mean())), detail)


def trials_sentence(report: Report) -> str:
    """Say how many configurations were tried."""
    few = (
        "How many configurations were tried is not recorded, so nothing is deflated.",
        "One configuration was tried, so both are the same.",
    )
    return (
        "Probability that the true Sharpe ratio is above 0; deflated: that it is above the best of as many trials "
        "without skill. "
    ) + (few[report.n_trials] if report.n_trials < 2 else f"{report.n_trials} configurations were tried, as recorded.")


def seeds_sentence(report: Report) -> str:
    """Say what the seeds allow to say, and what to do where there are too few."""
    few = [each for each in report.policies if each.n_seeds < ENOUGH_SEEDS]
    if not few:
        return "Mean over training seeds, and the worst and best of them; the tables and charts show the first seed."
    counts = " and ".join(
        f"{each.label} was trained from {'one seed' if each.n_seeds == 1 else f'{each.n_seeds} seeds'} only"
        for each in few
    )
    return (
        f"{counts}, which does not tell skill from luck in training: set n_seeds: {ENOUGH_SEEDS} in the policy's run "
        "configuration."
    )


def yearly_table(report: Report) -> Table:
    """Give the return of each year, a line a year."""
    years, counts = np.unique(report.years, return_counts=True)
    rows = []
    for year, count in zip(years, counts, strict=True):
        returns = [each.yearly[int(year)] for each in report.strategies]
        cells = [Cell(percent(value), tint=_tint(value)) for value in returns]
        rows.append(Row(str(year), (Cell(str(count)), *cells)))
    return Table("Returns by year", ("year", "weeks", *(each.label for each in report.strategies)), tuple(rows))


def _tint(value: float) -> float:
    return round(math.copysign(min(abs(value) / FULL_RETURN, 1.0) * FULL_TINT, value), 2)


def forecaster_table(report: Report) -> Table:
    """Give the rank correlation over all weeks, a line a forecaster."""
    rows = []
    for each in report.forecasters:
        found = each.rank_correlation
        skill = Cell(signed(found.value, 3), _between(found, 1, 3))
        rows.append(Row(each.label, (Cell(f"{each.n_weeks:,}"), skill)))
    return Table("Rank correlation of the forecasts", ("forecaster", "weeks", "mean rank correlation"), tuple(rows))


def glossary(report: Report) -> Sequence[tuple[str, str]]:
    """Explain every figure, with what was assumed."""
    left_out = f" {report.weeks_left_out} weeks that only some strategies traded are left out."
    meanings = {
        "weeks": "All strategies trade the same weeks and symbols under the same rules."
        f"{left_out if report.weeks_left_out else ''} Every year starts in cash, for all of them, so each January has "
        "the cost of buying in.",
        "return a year": "Geometric mean of weekly net returns, a year of 52 weeks.",
        "Sharpe ratio": "Weekly mean over standard deviation, times the root of 52; the risk-free rate is taken as 0.",
        "intervals": f"Middle 95 % of {metrics.N_RESAMPLES:,} resamplings of the weeks in blocks (stationary "
        f"bootstrap, mean block {report.block_length} weeks for strategies), the same weeks for all; none with fewer "
        f"than {metrics.MIN_WEEKS} weeks. They know what chance does to the weeks, not what else may change.",
        "maximum drawdown": "Deepest fall from the highest value so far. Calmar ratio: return a year over it.",
        "turnover": "Dollars bought and sold in a year over the value. Cost drag: return a year that the same trades "
        "would have had without costs, less the one that they had.",
        "rank correlation": "Spearman's, over the symbols of a week, forecast against what came; weeks that momentum "
        "stood in for a model do not count.",
        "this market": report.market.caveat,
    }
    return tuple(meanings.items())
