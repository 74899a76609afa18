"""What can be concluded from a report and what cannot, a sentence each, made from its figures alone."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, NamedTuple

from brain_assets.forecasting.walkforward import MOMENTUM

if TYPE_CHECKING:
    from brain_assets.portfolio.forecast_figures import ForecasterFigures
    from brain_assets.portfolio.metrics import Estimate
    from brain_assets.portfolio.report import Report, StrategyFigures

SURVIVORS = (
    "that anybody would have earned these returns, since the list of symbols was made with knowledge of who survived"
)
MARKET_LIMITS = {
    "simulator": "anything about a real market, since this one is made up",
    "files": "that anybody would have earned these returns, since it is not known who is missing from the files",
}
"""What a market leaves open; those that are not named have survivors."""


class Conclusion(NamedTuple):
    """Two sentences."""

    can: str
    """What the figures show, beyond chance."""
    cannot: str
    """What they leave open."""


def conclude(report: Report) -> Conclusion:
    """Say what the 95 % intervals of the policies' and forecasters' figures allow to say, and what they do not."""
    policies = [each for each in report.strategies if each.is_policy]
    forecasters = [each for each in report.forecasters if each.name != MOMENTUM]
    shown = [*filter(None, map(_policy_finding, policies)), *filter(None, map(_forecaster_finding, forecasters))]
    return Conclusion(
        f"{_occasion(report)}{_list(shown) if shown else _nothing(policies, forecasters)}.",
        f"It cannot be concluded {_list([*_open(policies, forecasters), *_limits(report, policies)], 'or')}.",
    )


def _occasion(report: Report) -> str:
    return f"Over {report.n_weeks:,} weeks ({report.span}) and after costs, "


def _nothing(policies: Sequence[StrategyFigures], forecasters: Sequence[ForecasterFigures]) -> str:
    """Say that there is no finding, and among what."""
    if not policies and not forecasters:
        return "only rules without learning traded, so there is nothing to say about any model"
    among = [f"{each.label}'s return from that of equal weight" for each in policies]
    among += [f"{each.label}'s forecasts from chance" for each in forecasters]
    return f"nothing was found that tells {_list(among, 'or')}"


def _policy_finding(policy: StrategyFigures) -> str | None:
    """Say that a policy differs from equal weight, if its interval leaves zero out."""
    excess = policy.excess
    if not (excess.above_zero or excess.below_zero):
        return None
    side = "more" if excess.above_zero else "less"
    return (
        f"{policy.label} earned {_points(abs(excess.value))} a year {side} than equal weight of the same symbols "
        f"({_interval(excess, 100, 1)})"
    )


def _forecaster_finding(forecaster: ForecasterFigures) -> str | None:
    """Say that forecasts rank better or worse than chance, if the interval leaves zero out."""
    found = forecaster.rank_correlation
    if not (found.above_zero or found.below_zero):
        return None
    side = "better" if found.above_zero else "worse"
    return (
        f"{forecaster.label}'s forecasts ranked the symbols {side} than chance (mean rank correlation "
        f"{signed(found.value, 3)}, {_interval(found, 1, 3)})"
    )


def _open(policies: Sequence[StrategyFigures], forecasters: Sequence[ForecasterFigures]) -> list[str]:
    """Name what the intervals leave open: zero lies inside, or there are too few weeks for one."""
    said = [
        f"that {policy.label} earns more or less than equal weight ({_range(policy.excess, 100, 1)})"
        for policy in policies
        if _policy_finding(policy) is None
    ]
    said += [
        f"that {forecaster.label}'s forecasts rank better than chance ({_range(forecaster.rank_correlation, 1, 3)})"
        for forecaster in forecasters
        if _forecaster_finding(forecaster) is None
    ]
    return said


def _limits(report: Report, policies: Sequence[StrategyFigures]) -> list[str]:
    """Name what no figure of the report can show."""
    said = []
    if policies and report.n_trials == 0:
        said.append(
            "that the policies were not chosen for their luck, since how many configurations were tried is not recorded"
        )
    elif report.n_trials > 1 and any(each.excess.above_zero for each in policies):
        said.append(
            f"that the lead is no luck of choice, since {report.n_trials} configurations were tried and the "
            "intervals know of one"
        )
    said.append(MARKET_LIMITS.get(report.market.name, SURVIVORS))
    return said


def _list(parts: Sequence[str], word: str = "and") -> str:
    """Join parts as a sentence does."""
    if len(parts) < 3:
        return f" {word} ".join(parts)
    return f"{', '.join(parts[:-1])}, {word} {parts[-1]}"


def _points(share: float) -> str:
    points = f"{100 * share:.1f}"
    return f"{points} percentage point{'' if points == '1.0' else 's'}"


def _range(found: Estimate, factor: float, digits: int) -> str:
    return _interval(found, factor, digits) if found.known else "too few weeks for an interval"


def _interval(found: Estimate, factor: float, digits: int) -> str:
    low, high = (signed(factor * end, digits) for end in (found.low, found.high))
    return f"95 % interval {low} to {high}"


def signed(value: float, digits: int) -> str:
    """Write a number with its sign; a minus is as wide as a plus."""
    return f"{value:+.{digits}f}".replace("-", "\N{MINUS SIGN}")
