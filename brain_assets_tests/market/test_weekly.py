"""Weeks of a panel, on bars typed by hand; and that no row of them knows what comes later."""

import datetime
from dataclasses import fields, replace
from typing import Any

import numpy as np
import pytest

from brain_assets.market.calendar import sessions_between
from brain_assets.market.prices import CLOSE, OPEN, PricePanel
from brain_assets.market.weekly import PAST_WEEKS, WeeklyPanel, past_weekly_returns

NAN = float("nan")
ARRAYS = tuple(field.name for field in fields(WeeklyPanel) if field.name not in ("weeks", "symbols", "signals"))


def day(text: str) -> datetime.date:
    return datetime.date.fromisoformat(text)


def toy_panel(start: str, end: str, **bars: list[tuple[float, float] | None]) -> PricePanel:
    """A panel of (open, close) bars, one a session from `start` up to but not including `end`; None: no bar."""
    sessions = sessions_between(day(start), day(end))
    rows = [
        [(NAN,) * 5 if row is None else (row[0], max(row), min(row), row[1], 1000) for row in each]
        for each in bars.values()
    ]
    return PricePanel(sessions, tuple(bars), np.array(rows, dtype=np.float64))


def flat(closes: list[float | None]) -> list[tuple[float, float] | None]:
    """Bars that open where they close."""
    return [None if close is None else (close, close) for close in closes]


def starts(bars: WeeklyPanel) -> list[str]:
    return [str(start) for start in bars.weeks.start]


# Returns by hand

TWO_WEEKS = ("2020-01-09", "2020-01-25")
"""Thu 9, Fri 10 | 13, 14, 15, 16, 17 | (20: a holiday) 21, 22, 23, 24 January."""


def test_gap_and_weekly_return_by_hand() -> None:
    panel = toy_panel(
        *TWO_WEEKS,
        AAA=[
            *[(90, 95), (96, 100)],
            *[(102, 103), (50, 60), (1, 2), (70, 80), (104, 107.1)],
            *[(105, 100), (9, 8), (7, 6), (110, 126)],
        ],
    )
    bars = WeeklyPanel.from_panel(panel)
    assert starts(bars) == ["2020-01-13", "2020-01-21"]
    # from Friday's close of 100 to Monday's open of 102; then to Tuesday's open: 105 / 107.1
    np.testing.assert_allclose(bars.pre_open_return, [[102 / 100 - 1], [105 / 107.1 - 1]], rtol=1e-12)
    # from the first open to the last close: 107.1 / 102 - 1 = 0.05, 126 / 105 - 1 = 0.2
    np.testing.assert_allclose(bars.realized, [[0.05], [0.2]], rtol=1e-12)
    np.testing.assert_array_equal(bars.return_ffill, bars.realized)
    assert bars.tradable.tolist() == [[True], [True]]


def test_momentum_counts_the_close_of_a_week_that_is_too_short_to_be_one() -> None:
    # Last sessions of ISO weeks: 31 August 80, 7 September 90, Monday the 10th 50 (then closed), 21st 40, 28th 60,
    # 5 October 70. All other closes are 1.
    sessions = [str(session) for session in sessions_between(day("2001-08-27"), day("2001-10-13"))]
    weekly = {"08-31": 80, "09-07": 90, "09-10": 50, "09-21": 40, "09-28": 60, "10-05": 70}
    panel = toy_panel("2001-08-27", "2001-10-13", AAA=flat([weekly.get(session[5:], 1) for session in sessions]))
    bars = WeeklyPanel.from_panel(panel)
    assert starts(bars) == ["2001-09-04", "2001-09-17", "2001-09-24", "2001-10-01", "2001-10-08"]
    # week of 1 October: t = 28 September (60), t-4 = 31 August (80); of the 8th: t = 5 October (70), t-4 = 7 September
    np.testing.assert_allclose(bars.momentum[:, 0], [NAN, NAN, NAN, -20 / 80, -20 / 90], rtol=1e-12)


def test_past_weekly_returns_by_hand() -> None:
    """Weekly closes 100 (Fri 10), 110 (Fri 17), 99 (Fri 24 January); then the week of 27 January."""
    closes = [100.0, 100.0, 1, 1, 1, 1, 110.0, 1, 1, 1, 99.0, 7, 7, 7, 7, 7]
    panel = toy_panel("2020-01-09", "2020-02-01", A=flat(closes), B=flat([None, *[50.0] * 15]))
    weeks = WeeklyPanel.from_panel(panel).weeks
    assert [str(start) for start in weeks.start] == ["2020-01-13", "2020-01-21", "2020-01-27"]
    past = past_weekly_returns(panel, weeks)
    assert past.shape == (3, PAST_WEEKS, 2)
    assert np.isnan(past[0]).all()
    np.testing.assert_allclose(past[1, -1], [0.1, 0.0])
    np.testing.assert_allclose(past[2, -2:], [[0.1, 0.0], [-0.1, 0.0]])
    assert np.isnan(past[1, :-1]).all()
    assert np.isnan(past[2, :-2]).all()


def test_volatility_is_that_of_twenty_returns_and_not_one_more() -> None:
    # Sessions: 0 = Thu 30 January 2020, 1, 2-6 = 3-7 February, ..., 16, 21 = 2 March, 26 = 9 March.
    # Log returns: +1 % on odd ones, -1 % on even ones, +10 % on 1, the oldest of the 20 before the week of 2 March.
    returns = np.where(np.arange(31) % 2 == 1, 0.01, -0.01)
    returns[0], returns[1] = 0, 0.10
    panel = toy_panel("2020-01-30", "2020-03-14", AAA=flat(list(100 * np.exp(np.cumsum(returns)))))
    bars = WeeklyPanel.from_panel(panel)
    np.testing.assert_array_equal(bars.weeks.first, [2, 7, 12, 16, 21, 26])
    np.testing.assert_array_equal(bars.volatility[:4, 0], [NAN] * 4)  # only 15 returns lie before session 16
    # ten of -1 %, nine of +1 %, one of +10 %: mean (0.10 - 0.01) / 20 = 0.0045, mean square (19 * 0.0001 + 0.01) / 20
    # = 0.000595, variance 0.000595 - 0.00002025 = 0.00057475
    assert bars.volatility[4, 0] == pytest.approx(np.sqrt(0.00057475), rel=1e-9)
    assert bars.volatility[5, 0] == pytest.approx(0.01, rel=1e-9)


# Symbols that are not there all the time: Thu, Fri | Mon, Tue, Wed, Thu, Fri | Tue, Wed, Thu, Fri


OLD = [(90, 90), (100, 100)]
ODD: dict[str, tuple[list[Any], list[bool], list[float], list[float], list[float]]] = {
    "lists in mid-week: masked until the next; 88 / 80 - 1 and 110 / 88 - 1, nothing before the listing": (
        [None] * 4 + [(50, 60), (60, 70), (70, 80)] + [(88, 90), (1, 1), (1, 1), (100, 110)],
        *([False, True], [NAN, 0.25], [0, 0.1], [0, 0.25]),
    ),
    "lists on a Monday: has a return but could not be chosen": (
        [None] * 2 + [(50, 60)] * 4 + [(60, 75)] + [(75, 75)] * 4,
        *([False, True], [0.5, 0], [0, 0], [0.5, 0]),
    ),
    "stops in mid-week, keeps its last price: opens at 110, last close 88; later it is held, and nothing moves": (
        [*OLD, (110, 100), (99, 99), (80, 88)] + [None] * 6,
        *([True, False], [NAN, NAN], [0.1, 0], [-0.2, 0]),
    ),
    "stops on the last session: offered once more, does not move": (
        [*OLD, *[(100, 120)] * 5] + [None] * 4,
        *([True, True], [0.2, NAN], [0, 0], [0.2, 0]),
    ),
    "a hole on the first session: what is held cannot be traded, stays at 100 and goes to 125 by Friday": (
        [*OLD, None] + [(120, 130)] * 3 + [(120, 125)] + [(125, 125)] * 4,
        *([True, True], [NAN, 0], [0, 0], [0.25, 0]),
    ),
    "a hole on the last session: held from 100 to Thursday's 90, then the gap to 99 and from 99 to 108": (
        [*OLD, *[(100, 100)] * 3, (100, 90), None, (99, 108)] + [(108, 108)] * 3,
        *([True, False], [NAN, 108 / 99 - 1], [0, 0.1], [-0.1, 108 / 99 - 1]),
    ),
    "a hole inside a week changes nothing": (
        [*OLD, (105, 105), None, None, None, (105, 126)] + [(126, 126)] * 4,
        *([True, True], [0.2, 0], [0.05, 0], [0.2, 0]),
    ),
}


@pytest.mark.parametrize("case", ODD)
def test_a_symbol_that_is_not_there_all_the_time(case: str) -> None:
    """Beside another that trades throughout, whose numbers must not change."""
    rows, tradable, *returns = ODD[case]
    bars = WeeklyPanel.from_panel(toy_panel(*TWO_WEEKS, FULL=flat([10] * 11), ODD=rows))
    for name, value in (("tradable", True), ("realized", 0), ("pre_open_return", 0), ("return_ffill", 0)):
        np.testing.assert_array_equal(getattr(bars, name)[:, 0], [value] * 2)
    assert bars.tradable[:, 1].tolist() == tradable
    for name, expected in zip(("realized", "pre_open_return", "return_ffill"), returns, strict=True):
        np.testing.assert_allclose(getattr(bars, name)[:, 1], expected, rtol=1e-12, atol=1e-15)


# No row knows what comes later


@pytest.fixture(scope="module")
def holed(panel: PricePanel) -> PricePanel:
    """The simulated panel to the end of 2017 with holes, a symbol that stops in mid 2016 and one that lists in 2017."""
    panel = panel.until(day("2017-12-31"))
    values = panel.values.copy()
    rng = np.random.default_rng(0)
    values[rng.random(values.shape[:2]) < 0.03] = NAN
    values[1, panel.sessions > np.datetime64("2016-07-06")] = NAN
    values[2, panel.sessions < np.datetime64("2017-03-08")] = NAN
    values[0] = panel.values[0]  # one without holes
    return replace(panel, values=values)


def test_weeks_computed_on_a_panel_cut_anywhere_are_the_same_bit_for_bit(holed: PricePanel) -> None:
    full = WeeklyPanel.from_panel(holed)
    cuts = np.concatenate([holed.sessions[5:60], holed.sessions[60::17]])
    for cut in cuts.tolist():
        earlier = holed.until(cut)
        part = WeeklyPanel.from_panel(earlier)
        expected = full.until(cut)
        assert starts(part) == starts(expected)
        assets = [holed.symbols.index(symbol) for symbol in earlier.symbols]
        for name in ARRAYS:
            mine = np.ascontiguousarray(getattr(expected, name)[:, assets])
            assert np.ascontiguousarray(getattr(part, name)).tobytes() == mine.tobytes(), (name, cut)
        assert (expected.weeks.end <= np.datetime64(cut)).all()
    assert np.isfinite(full.momentum).any()
    assert np.isfinite(full.volatility).any()


@pytest.mark.parametrize("week", [0, 4, 20, 60, 90])
def test_a_bar_of_the_week_changes_nothing_that_is_known_at_its_decision(holed: PricePanel, week: int) -> None:
    before = WeeklyPanel.from_panel(holed)
    first, past = before.weeks.first[week], past_weekly_returns(holed, before.weeks)[week]
    assert np.isfinite(past).any() == (week > 0)
    random = np.random.default_rng(week).uniform(1, 1000, holed.values[:, first:].shape)
    opens = random.copy()
    opens[:, 0, OPEN] = holed.values[:, first, OPEN]
    known_at_open = ("tradable", "momentum", "volatility", "pre_open_return")
    for future, known in ((random, known_at_open[:3]), (NAN, known_at_open[:3]), (opens, known_at_open)):
        values = holed.values.copy()
        values[:, first:] = future
        changed = replace(holed, values=values)
        after = WeeklyPanel.from_panel(changed)
        for name in ARRAYS:
            mine, yours = (getattr(bars, name)[: week + 1].tobytes() for bars in (after, before))
            assert (mine == yours) == (name in known), name
        assert past_weekly_returns(changed, before.weeks)[week].tobytes() == past.tobytes()


def test_the_close_before_the_week_is_used(holed: PricePanel) -> None:
    # otherwise the two tests above would pass on numbers that look at nothing
    before = WeeklyPanel.from_panel(holed)
    first = before.weeks.first[20]
    values = holed.values.copy()
    values[0, first - 1, CLOSE] *= 1.5
    after = WeeklyPanel.from_panel(replace(holed, values=values))
    assert after.momentum[20, 0] == pytest.approx(1.5 * (1 + before.momentum[20, 0]) - 1)
    assert after.volatility[20, 0] > 2 * before.volatility[20, 0]
    assert after.pre_open_return[20, 0] == pytest.approx((1 + before.pre_open_return[20, 0]) / 1.5 - 1)
