"""What can be concluded from a report and what cannot, a sentence each, made from its figures alone."""

from collections.abc import Sequence
from math import isfinite
from typing import NamedTuple

from brain_assets.check_result import format_figure
from brain_assets.forecasting.yardsticks import YARDSTICKS, column_label
from brain_assets.registry import AVERAGE
from brain_assets.report.metrics import Estimate
from brain_assets.report.report import Report

SURVIVORS = (
    "that anybody would have earned these returns, since the list of symbols was made with knowledge of who survived"
)
MARKET_LIMITS = {
    "simulator": "anything about a real market, since this one is made up",
    "files": "that anybody would have earned these returns, since it is not known who is missing from the files",
}
"""What a market leaves open; those that are not named have survivors."""

BEFORE_COSTS = ["gross_active_return", "break_even"]


class Conclusion(NamedTuple):
    """Two sentences."""

    can: str
    """What the figures show, beyond chance."""
    cannot: str
    """What they leave open."""


def conclude(report: Report) -> Conclusion:
    """Say what the 95 % intervals of the policies' and forecasters' figures allow to say, and what they do not."""
    findings, doubts, asked = [], [], []
    for label, found, *before in report.policies[["label", "active_return", *BEFORE_COSTS]].to_numpy():
        interval, side = _interval(found, 100, 1) + _before_costs(*before), "more" if found.side > 0 else "less"
        asked.append(f"{label}'s return from that of equal weight")
        if found.side:
            points = _points(abs(found.value))
            findings.append(f"{label} earned {points} a year {side} than equal weight of the same symbols ({interval})")
        else:
            doubts.append(f"that {label} earns more or less than equal weight ({interval})")
    models = report.forecasts.skill.drop(list(YARDSTICKS), errors="ignore")
    for label, found in models[["label", "rank_correlation"]].to_numpy():
        interval, side = _interval(found, 1, 3), "better" if found.side > 0 else "worse"
        asked.append(f"{forecasts_of(label)} from chance")
        if found.side:
            mean = f"mean rank correlation {signed(found.value, 3)}, {interval}"
            findings.append(f"{forecasts_of(label)} ranked the symbols {side} than chance ({mean})")
        else:
            doubts.append(f"that {forecasts_of(label)} rank better than chance ({interval})")
    said = "only benchmark strategies traded, so there is nothing to say about any model"
    if asked:
        said = _list(findings) or f"nothing was found that tells {_list(asked, 'or')}"
    return Conclusion(
        f"Over {len(report.returns):,} weeks ({report.span}) and after costs, {said}.",
        f"It cannot be concluded {_list([*doubts, *_limits(report)], 'or')}.",
    )


def _limits(report: Report) -> list[str]:
    """Name what no figure of the report can show."""
    luck = []
    if len(report.policies) and report.n_trials == 0:
        luck.append(
            "that the policies were not chosen for their luck, since how many configurations were tried is not recorded"
        )
    elif report.n_trials > 1 and any(found.side > 0 for found in report.policies["active_return"]):
        luck.append(
            f"that the lead is no luck of choice, since {report.n_trials} configurations were tried and the intervals "
            "know of one"
        )
    return [*luck, MARKET_LIMITS.get(report.market.name, SURVIVORS)]


def _list(parts: Sequence[str], word: str = "and") -> str:
    """Join parts as a sentence does."""
    if len(parts) < 3:
        return f" {word} ".join(parts)
    return f"{', '.join(parts[:-1])}, {word} {parts[-1]}"


def forecasts_of(label: str) -> str:
    """Name the forecasts of a forecaster, or the average of all, in a sentence."""
    return "the averaged forecasts" if label == column_label(AVERAGE) else f"{label}'s forecasts"


def _points(share: float) -> str:
    points = f"{100 * share:.1f}"
    return f"{points} percentage point{'' if points == '1.0' else 's'}"


def _interval(found: Estimate, factor: float, digits: int) -> str:
    if not found.known:
        return "too few weeks for an interval"
    return f"95 % interval {signed(factor * found.low, digits)} to {signed(factor * found.high, digits)}"


def _before_costs(active: Estimate, cost: Estimate) -> str:
    known = f", break-even at {signed(cost.value, 1)} basis points of a dollar traded" if isfinite(cost.value) else ""
    return f"; before costs {signed(100 * active.value, 1)}{known}"


def signed(value: float, digits: int) -> str:
    """Write a number with its sign, which what rounds to zero has none of; a minus is as wide as a plus."""
    return format_figure(value, f"+.{digits}f").replace("-", "\N{MINUS SIGN}")
