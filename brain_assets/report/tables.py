"""The tables and sentences of a report, as text; a cell's second line is its interval or spread."""

import calendar
import math
from collections.abc import Callable

import numpy as np
import pandas as pd

from brain_assets.arrays import FloatArray
from brain_assets.portfolio.arithmetic import WEEKS_PER_YEAR
from brain_assets.portfolio.baselines import EQUAL_WEIGHT
from brain_assets.portfolio.strategy import annual_return, sharpe_ratio
from brain_assets.portfolio.weights_table import CASH
from brain_assets.report.conclusion import signed
from brain_assets.report.metrics import Estimate, worst_drawdowns
from brain_assets.report.report import Report

NOTHING = "–"
"""Where there is no figure."""

ENOUGH_SEEDS = 3


def number(value: float, digits: int = 2, unit: str = "") -> str:
    """Write a number."""
    return f"{value:z.{digits}f}{unit}".replace("-", "\N{MINUS SIGN}") if math.isfinite(value) else NOTHING


def percent(value: float, digits: int = 1) -> str:
    """Write a share in percent."""
    return number(100 * value, digits, " %")


def probability(value: float) -> str:
    """Write a probability in percent; never as certain."""
    if math.isfinite(value) and not 0.0005 <= value < 0.9995:
        return "< 0.1 %" if value < 0.5 else "> 99.9 %"
    return percent(value)


def _between(found: Estimate, factor: float, digits: int) -> str:
    return f"\n[{signed(factor * found.low, digits)}, {signed(factor * found.high, digits)}]" if found.known else ""


def points(found: Estimate) -> str:
    """Write a difference of two shares in percentage points; that of a strategy to itself is none."""
    if found == (0.0, 0.0, 0.0) or not math.isfinite(found.value):
        return NOTHING
    return f"{signed(100 * found.value, 1)} pp{_between(found, 100, 1)}"


def basis_points(found: Estimate) -> str:
    """Write a cost of trading; none where it is not known."""
    return NOTHING if not math.isfinite(found.value) else f"{number(found.value, 1)} bp{_between(found, 1, 1)}"


def strategy_table(report: Report) -> pd.DataFrame:
    """Give the headline figures, a line a strategy, policies first."""
    found = report.strategies
    columns = {
        "strategy": found["label"],
        "CAGR": [percent(each.value) + _between(each, 100, 1) for each in found["annual_return"]],
        "active return": found["active_return"].map(points),
        "gross active return": found["gross_active_return"].map(points),
        "break-even cost": found["break_even"].map(basis_points),
        "Sharpe ratio a year": [number(each.value) + _between(each, 1, 2) for each in found["sharpe"]],
        "volatility a year": found["volatility"].map(percent),
        "maximum drawdown": found["max_drawdown"].map(percent),
        "Calmar ratio": found["calmar"].map(number),
        "turnover a year": [f"{each:.1f} ×" for each in found["turnover"]],
        "cost drag a year": [percent(each, 2) for each in found["cost_drag"]],
    }
    return pd.DataFrame(columns)


def policy_table(report: Report) -> pd.DataFrame:
    """Give what is asked of policies beyond that: how sure, after how many trials, from how many seeds."""
    found, seeds = report.policies, [returns.to_numpy() for returns in report.seeds.values()]
    tried = f"{report.n_trials} tried" if report.n_trials else "not recorded"
    columns = {
        "policy": found["label"],
        "probabilistic Sharpe ratio": found["probabilistic_sharpe"].map(probability),
        "deflated Sharpe ratio": [f"{probability(each)}\n{tried}" for each in found["deflated_sharpe"]],
        "training seeds": [str(returns.shape[1]) for returns in seeds],
        "CAGR over seeds": [_spread(annual_return(returns), percent) for returns in seeds],
        "Sharpe ratio over seeds": [_spread(sharpe_ratio(returns), number) for returns in seeds],
    }
    return pd.DataFrame(columns)


def _spread(values: FloatArray, write: Callable[[float], str]) -> str:
    """Give the mean over seeds, and the worst and best of them."""
    ends = f"\n{write(float(values.min()))} to {write(float(values.max()))}" if len(values) > 1 else ""
    return write(float(values.mean())) + ends


def risk_table(report: Report) -> pd.DataFrame:
    """Give figures of the distribution of weekly returns, beside equal weight's, and how concentrated weights are."""
    from skfolio import measures

    net, year = report.returns.to_numpy(), math.sqrt(WEEKS_PER_YEAR)
    active = net - report.returns[[EQUAL_WEIGHT]].to_numpy()
    downside = np.asarray(measures.semi_deviation(net, min_acceptable_return=0.0))
    held = [report.weights[name].drop(columns=CASH) for name in report.returns]
    effective = [(each.sum(axis=1) ** 2 / (each**2).sum(axis=1)).mean() for each in held]  # 1 / Herfindahl, each week
    figures = (
        ("Sortino ratio a year", net.mean(axis=0) / np.where(downside > 0.0, downside, np.nan) * year, number),
        ("best week", net.max(axis=0), percent),
        ("worst week", net.min(axis=0), percent),
        ("hit rate", (net > 0.0).mean(axis=0), percent),
        ("skew", measures.skew(net), number),
        ("VaR 95 %, a week", measures.value_at_risk(net), percent),
        ("CVaR 95 %, a week", measures.cvar(net), percent),
        ("tracking error a year", active.std(axis=0, ddof=1) * year, percent),
        ("information ratio a year", sharpe_ratio(active), number),
        ("symbols held, effective", effective, number),
    )
    columns = {head: [write(float(value)) for value in values] for head, values, write in figures}
    return pd.DataFrame({"strategy": report.strategies["label"], **columns})


def drawdown_table(report: Report) -> pd.DataFrame:
    """Give the five deepest drawdowns of the policies and equal weight, by the first sessions of their weeks."""
    front, lines = report.strategies["label"][report.strategies["front"]], []
    for name, label in front.items():
        for each in worst_drawdowns(report.returns[str(name)]).itertuples():
            ends = "not yet" if pd.isna(each.recovered) else f"{each.recovered:%Y-%m-%d}"
            days = f"{each.start:%Y-%m-%d}", f"{each.lowest:%Y-%m-%d}", ends
            lines.append((label, percent(each.depth), *days, str(each.weeks)))
    return pd.DataFrame(lines, columns=["strategy", "depth", "first week", "lowest", "recovered", "weeks"])


def yearly_returns(report: Report) -> pd.DataFrame:
    """Give the return of each strategy in each year, by label and year."""
    yearly = (1.0 + report.returns).groupby(report.years).prod() - 1.0
    return yearly.set_axis(report.strategies["label"], axis=1).T


def yearly_table(report: Report) -> pd.DataFrame:
    """Give the same as text, a line a strategy; with each year the number of its weeks."""
    years, counts = np.unique(report.years, return_counts=True)
    heads = [f"{year}\n{count} weeks" for year, count in zip(years, counts, strict=True)]
    return yearly_returns(report).map(percent).set_axis(heads, axis=1).rename_axis("strategy").reset_index()


def monthly_returns(report: Report, strategy: str) -> pd.DataFrame:
    """Give the return of a strategy in each month, by year and month; of weeks, by their last sessions."""
    monthly = (1.0 + report.returns[strategy]).groupby([report.ends.year, report.ends.month]).prod() - 1.0
    return monthly.unstack().reindex(columns=range(1, 13)).set_axis(list(calendar.month_abbr[1:]), axis=1)


def monthly_table(report: Report, strategy: str) -> pd.DataFrame:
    """Give the same as text, a line a year."""
    lines = monthly_returns(report, strategy).map(percent).rename_axis("year").reset_index()
    return lines.astype({"year": "str"})


def forecaster_table(report: Report) -> pd.DataFrame:
    """Give the rank correlation over all weeks, a line a forecaster and yardstick."""
    found = report.forecasts.skill
    columns = {
        "forecaster": found["label"],
        "weeks": [f"{count:,}" for count in found["n_weeks"]],
        "mean rank correlation": [signed(each.value, 3) + _between(each, 1, 3) for each in found["rank_correlation"]],
        "t statistic": found["t_statistic"].map(number),
        "smallest detectable": [number(each, 3) for each in found["smallest_detectable"]],
    }
    return pd.DataFrame(columns)


def trials_sentence(report: Report) -> str:
    """Say how many configurations were tried."""
    few = {
        0: "How many configurations were tried is not recorded, so nothing is deflated.",
        1: "One configuration was tried, so both are the same.",
    }
    return (
        "Probability that the true Sharpe ratio is above 0; deflated: that it is above the best of as many trials "
        "without skill. "
    ) + few.get(
        report.n_trials,
        f"{report.n_trials} configurations were tried: {report.n_trials - report.n_tuned} recorded in these years, "
        f"{report.n_tuned} to choose the defaults of these families, which benchmarks/README.md lists.",
    )


def seeds_sentence(report: Report) -> str:
    """Say what the seeds allow to say, and what to do where there are too few."""
    few = [
        f"{label} was trained from {'one seed' if count == 1 else f'{count} seeds'} only"
        for name, label in report.policies["label"].items()
        if (count := report.seeds[name].shape[1]) < ENOUGH_SEEDS
    ]
    if not few:
        return "Mean over training seeds, and the worst and best of them; the tables and charts show the first seed."
    return (
        f"{' and '.join(few)}, which does not tell skill from luck in training: set n_seeds: {ENOUGH_SEEDS} in the "
        "policy's run configuration."
    )
