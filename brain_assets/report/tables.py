"""The tables of a report as text, where a cell's second line is its interval or spread, and its sentences.

Two sentences say what can be concluded from a report and what cannot; they are made from its figures alone.
"""

import calendar
import math
from collections.abc import Callable, Iterable
from typing import Any, NamedTuple

import numpy as np
import pandas as pd

from brain_assets.arrays import FloatArray
from brain_assets.forecasting.walkforward import YARDSTICKS
from brain_assets.formatting import NO_BREAK, format_figure
from brain_assets.portfolio.arithmetic import WEEKS_PER_YEAR
from brain_assets.portfolio.baselines import EQUAL_WEIGHT
from brain_assets.portfolio.strategy import CASH, annual_return, sharpe_ratio
from brain_assets.registry import AVERAGE
from brain_assets.report.metrics import Estimate, worst_drawdowns
from brain_assets.report.report import Report

ENOUGH_SEEDS = 3

SURVIVORS = (
    "that anybody would have earned these returns, since the list of symbols was made with knowledge of who survived"
)
MARKET_LIMITS = {
    "simulator": "anything about a real market, since this one is made up",
    "files": "that anybody would have earned these returns, since it is not known who is missing from the files",
}
"""What a market leaves open; those that are not named have survivors."""


def number(value: float, digits: int = 2, unit: str = "", sign: str = "") -> str:
    """Write a number; what rounds to zero has no sign, and a minus is as wide as a plus."""
    return format_figure(value, f"{sign}.{digits}f", unit).replace("-", "\N{MINUS SIGN}")


def signed(value: float, digits: int, unit: str = "") -> str:
    """Write a number with its sign, also if that is a plus."""
    return number(value, digits, unit, "+")


def percent(value: float, digits: int = 1) -> str:
    """Write a share in percent."""
    return number(100 * value, digits, " %")


def probability(value: float) -> str:
    """Write a probability in percent; never as certain."""
    if math.isfinite(value) and not 0.0005 <= value < 0.9995:
        return "< 0.1 %" if value < 0.5 else "> 99.9 %"
    return percent(value)


def _cell(figure: str, found: Estimate, factor: float, digits: int) -> str:
    """Put the interval below a figure, if there are both."""
    if not (found.known and math.isfinite(found.value)):
        return figure
    return f"{figure}\n[{signed(factor * found.low, digits)}, {signed(factor * found.high, digits)}]"


def points(found: Estimate) -> str:
    """Write a difference of two shares in percentage points; that of a strategy to itself is none."""
    if found == (0.0, 0.0, 0.0):
        return number(math.nan)
    return _cell(signed(100 * found.value, 1, " pp"), found, 100, 1)


def strategy_table(report: Report) -> pd.DataFrame:
    """Give the headline figures, a line a strategy, policies first."""
    found = report.strategies
    columns = {
        "strategy": found["label"],
        "CAGR": [_cell(percent(each.value), each, 100, 1) for each in found["annual_return"]],
        "active return": found["active_return"].map(points),
        "gross active return": found["gross_active_return"].map(points),
        "break-even cost": [_cell(number(each.value, 1, " bp"), each, 1, 1) for each in found["break_even"]],
        "Sharpe ratio a year": [_cell(number(each.value), each, 1, 2) for each in found["sharpe"]],
        "volatility a year": found["volatility"].map(percent),
        "maximum drawdown": found["max_drawdown"].map(percent),
        "Calmar ratio": found["calmar"].map(number),
        "turnover a year": [f"{each:.1f} ×" for each in found["turnover"]],
        "cost drag a year": [percent(each, 2) for each in found["cost_drag"]],
    }
    return pd.DataFrame(columns)


def headline_table(report: Report) -> pd.DataFrame:
    """Give what fits a terminal and Dagster's UI of that; a figure and its unit are one word, which no cell breaks."""
    columns = ["CAGR", "active return", "Sharpe ratio a year", "gross active return", "break-even cost"]
    table = strategy_table(report)[["strategy", *columns]]
    others = table.columns.drop("active return")
    table[others] = table[others].map(lambda cell: cell.partition("\n")[0])
    table[columns] = table[columns].map(lambda cell: cell.replace(" ", NO_BREAK))
    return table.rename(columns={"Sharpe ratio a year": "Sharpe ratio"})


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
    """Give the return of each strategy in each year, by label; with each year the number of its weeks."""
    years = (1.0 + report.returns).groupby(report.ends.year)
    yearly = (years.prod() - 1.0).set_axis(report.strategies["label"], axis=1).T.rename_axis("strategy")
    return yearly.set_axis([f"{year}\n{count} weeks" for year, count in years.size().items()], axis=1)


def monthly_returns(report: Report, strategy: str) -> pd.DataFrame:
    """Give the return of a strategy in each month, by year and month; of weeks, by their last sessions."""
    monthly = (1.0 + report.returns[strategy]).groupby([report.ends.year, report.ends.month]).prod() - 1.0
    table = monthly.unstack().reindex(columns=range(1, 13)).rename_axis("year")
    return table.set_axis(list(calendar.month_abbr[1:]), axis=1)


def forecaster_table(report: Report) -> pd.DataFrame:
    """Give the rank correlation over all weeks, a line a forecaster and yardstick."""
    found = report.forecasts.skill
    columns = {
        "forecaster": found["label"],
        "weeks": [f"{count:,}" for count in found["n_weeks"]],
        "mean rank correlation": [_cell(signed(each.value, 3), each, 1, 3) for each in found["rank_correlation"]],
        "t statistic": found["t_statistic"].map(number),
        "smallest detectable": [number(each, 3) for each in found["smallest_detectable"]],
    }
    return pd.DataFrame(columns)


def trials_sentence(report: Report) -> str:
    """Say how many configurations were tried."""
    tried = (
        f"{report.n_trials} configurations were tried: {report.n_trials - report.n_tuned} recorded in these years, "
        f"{report.n_tuned} to choose the defaults of these families, which benchmarks/README.md lists."
    )
    if report.n_trials < 2:
        unknown = "How many configurations were tried is not recorded, so nothing is deflated."
        tried = "One configuration was tried, so both are the same." if report.n_trials else unknown
    meaning = "Probability that the true Sharpe ratio is above 0; deflated: that it is above the best of as many trials"
    return f"{meaning} without skill. {tried}"


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


LEAD = (
    "the return of {} from that of equal weight",
    "that {} earns more or less than equal weight (95 % interval, percentage points a year: {})",
)
SKILL = (
    "the forecasts of {} from chance",
    "that the forecasts of {} rank better than chance (95 % interval of the mean rank correlation: {})",
)
"""What is asked of policies and forecasters, and what is left open where their intervals cover zero."""


class Conclusion(NamedTuple):
    """Two sentences: what the figures show, beyond chance, and what they leave open."""

    can: str
    cannot: str


def conclude(report: Report) -> Conclusion:
    """Say what the 95 % intervals of the policies' and forecasters' figures allow to say, and what they do not."""
    policies, models = report.policies, report.forecasts.skill.drop(list(YARDSTICKS), errors="ignore")
    leads = dict(zip(policies["label"], policies["active_return"], strict=True))
    names = models["label"].where(models.index != AVERAGE, "the average")
    skills = dict(zip(names, models["rank_correlation"], strict=True))
    findings = [_lead(each) for each in policies.itertuples() if each.active_return.side]
    for name, found in skills.items():
        if found.side:
            side = "better" if found.side > 0 else "worse"
            mean = f"mean rank correlation {signed(found.value, 3)}, 95 % interval {_interval(found, 1, 3)}"
            findings.append(f"the forecasts of {name} ranked the symbols {side} than chance ({mean})")
    asked, doubts = [], []
    for figures, question, doubt, factor, digits in ((leads, *LEAD, 100, 1), (skills, *SKILL, 1, 3)):
        if figures:
            asked.append(question.format(_list(figures, "or")))
        if unsure := {name: _interval(each, factor, digits) for name, each in figures.items() if not each.side}:
            doubts.append(doubt.format(_list(unsure, "or"), "; ".join(unsure.values())))
    said = "only benchmark strategies traded, so there is nothing to say about any model"
    if asked:
        said = _list(findings) or f"nothing was found that tells {', or '.join(asked)}"
    return Conclusion(
        f"Over {len(report.returns):,} weeks ({report.span}) and after costs, {said}.",
        f"It cannot be concluded {_list([*doubts, *_limits(report)], 'or')}.",
    )


def _lead(policy: Any) -> str:
    """Say how far a policy is ahead of equal weight, or behind it."""
    found, cost = policy.active_return, policy.break_even.value
    points, side = f"{100 * abs(found.value):.1f}", "more" if found.side > 0 else "less"
    points += f" percentage point{'' if points == '1.0' else 's'}"
    more = f"95 % interval {_interval(found, 100, 1)}; before costs {signed(100 * policy.gross_active_return.value, 1)}"
    if math.isfinite(cost):
        more += f", break-even at {signed(cost, 1)} basis points of a dollar traded"
    return f"{policy.label} earned {points} a year {side} than equal weight of the same symbols ({more})"


def _limits(report: Report) -> list[str]:
    """Name what no figure of the report can show."""
    market = MARKET_LIMITS.get(report.market.name, SURVIVORS)
    if len(report.policies) and report.n_trials == 0:
        chosen = "that the policies were not chosen for their luck"
        return [f"{chosen}, since how many configurations were tried is not recorded", market]
    if report.n_trials > 1 and any(found.side > 0 for found in report.policies["active_return"]):
        tried = f"{report.n_trials} configurations were tried"
        return [f"that the lead is no luck of choice, since {tried} and the intervals know of one", market]
    return [market]


def _list(parts: Iterable[str], word: str = "and") -> str:
    """Join parts as a sentence does."""
    *others, last = [*parts] or [""]
    return f"{', '.join(others)}{',' * (len(others) > 1)} {word} {last}" if others else last


def _interval(found: Estimate, factor: float, digits: int) -> str:
    known = f"{signed(factor * found.low, digits)} to {signed(factor * found.high, digits)}"
    return known if found.known else "too few weeks for one"
