"""News and filings beside the bars: every number by hand, nothing from later."""

import datetime

import numpy as np
import pandas as pd
import pytest

from brain_assets.market.calendar import sessions_between
from brain_assets.market.prices import PricePanel
from brain_assets.market.schema import FUNDAMENTAL_TABLE, NEWS_TABLE, RATIOS
from brain_assets.market.signals import NEWS, add_signals
from brain_assets.market.weekly import WeeklyPanel

FIRST, LAST = datetime.date(2024, 1, 2), datetime.date(2024, 2, 1)
"""22 sessions; the 13 are 2024-01-02 to 2024-01-19 with Martin Luther King Day, the 15th, left out."""


@pytest.fixture(scope="module")
def panel() -> PricePanel:
    sessions = sessions_between(FIRST, LAST)
    return PricePanel(sessions, ("AAA", "BBB"), np.ones((2, len(sessions), 5)))


def news(*rows: tuple[str, str, float, int]) -> pd.DataFrame:
    return NEWS_TABLE.validate(pd.DataFrame(rows, columns=list(NEWS_TABLE.names)).astype(NEWS_TABLE.types), "test")


def filings(*rows: tuple[str, str, str, float]) -> pd.DataFrame:
    """Rows of filed, period_end, symbol, and one number that all five ratios get."""
    frame = pd.DataFrame([(*row[:3], *[row[3]] * len(RATIOS)) for row in rows], columns=list(FUNDAMENTAL_TABLE.names))
    return FUNDAMENTAL_TABLE.validate(frame.astype(FUNDAMENTAL_TABLE.types), "test")


def at(panel: PricePanel, signals: np.ndarray, symbol: str, date: str) -> np.ndarray:
    return signals[panel.symbols.index(symbol), int(np.searchsorted(panel.sessions, np.datetime64(date)))]


def test_a_score_fades_by_half_in_five_sessions_and_counts_by_its_articles(panel: PricePanel) -> None:
    signals = add_signals(panel, news(("2024-01-03", "AAA", 0.8, 3), ("2024-01-11", "AAA", -0.5, 1))).signals
    series = signals[panel.symbols.index("AAA"), :, NEWS]
    assert series[0] == 0.0  # no news yet is no score
    assert series[1] == pytest.approx(0.8 * 3 / 4)
    assert series[2] == pytest.approx(0.8 * 3 / 4 * 0.5 ** (1 / 5))
    assert series[6] == pytest.approx(0.8 * 3 / 4 / 2)  # 2024-01-10, five sessions later
    assert series[7] == pytest.approx(-0.5 * 1 / 2)  # the newest score takes the place of the one before
    np.testing.assert_array_equal(signals[panel.symbols.index("BBB"), :, NEWS], 0.0)  # neutral without any


def test_a_filing_counts_from_the_session_after_its_day_and_grows_old(panel: PricePanel) -> None:
    signals = add_signals(panel, None, filings(("2024-01-04", "2023-12-31", "AAA", 0.25))).signals
    assert np.isnan(at(panel, signals, "AAA", "2024-01-04")[1:]).all()  # it may have come after the close
    np.testing.assert_allclose(at(panel, signals, "AAA", "2024-01-05")[1:], [0.25] * 5 + [1 / 90])
    np.testing.assert_allclose(at(panel, signals, "AAA", "2024-01-19")[1:], [0.25] * 5 + [15 / 90])
    assert np.isnan(signals[panel.symbols.index("BBB"), :, 1:]).all()


def test_the_newest_quarter_counts_in_its_latest_version(panel: PricePanel) -> None:
    rows = filings(
        ("2024-01-03", "2023-12-31", "AAA", 0.30),
        ("2024-01-09", "2023-09-30", "AAA", 0.90),  # an older quarter, restated: changes nothing
        ("2024-01-11", "2023-12-31", "AAA", 0.20),  # the newest quarter, restated
    )
    signals = add_signals(panel, None, rows).signals
    assert [at(panel, signals, "AAA", day)[1] for day in ("2024-01-10", "2024-01-11", "2024-01-12")] == [0.3, 0.3, 0.2]


def test_age_and_ratios_are_bounded(panel: PricePanel) -> None:
    signals = add_signals(panel, None, filings(("2022-06-01", "2022-03-31", "AAA", 40.0))).signals
    np.testing.assert_array_equal(signals[panel.symbols.index("AAA"), 0], [0.0, 1.0, 1.0, 1.0, 10.0, 5.0, 4.0])


def test_what_is_published_or_filed_later_changes_nothing_before(panel: PricePanel) -> None:
    day = np.searchsorted(panel.sessions, np.datetime64("2024-01-17"))
    some_news = (("2024-01-03", "AAA", 0.8, 3), ("2024-01-16", "BBB", 0.1, 1))
    some_filings = (("2024-01-04", "2023-12-31", "AAA", 0.25),)
    before = add_signals(panel, news(*some_news), filings(*some_filings)).signals
    later_news = (("2024-01-17", "AAA", -1.0, 9), ("2024-01-30", "BBB", 1.0, 1))
    later_filings = (("2024-01-16", "2024-01-15", "AAA", -9.0), ("2024-01-20", "2023-12-31", "BBB", 7.0))
    after = add_signals(panel, news(*some_news, *later_news), filings(*some_filings, *later_filings)).signals
    np.testing.assert_array_equal(before[:, :day], after[:, :day])
    assert not np.array_equal(before[:, day], after[:, day], equal_nan=True)


def test_weeks_know_what_was_known_at_the_close_before(panel: PricePanel) -> None:
    full = add_signals(panel, news(("2024-01-05", "AAA", 0.5, 1), ("2024-01-08", "AAA", -0.5, 1)))
    bars = WeeklyPanel.from_panel(full)
    week = int(np.flatnonzero(bars.weeks.start == np.datetime64("2024-01-08"))[0])
    assert bars.signals[week, bars.symbols.index("AAA"), NEWS] == 0.25  # Friday's news, not Monday's
    assert WeeklyPanel.from_panel(panel).signals is None
    cut = full.until(datetime.date(2024, 1, 12))
    np.testing.assert_array_equal(cut.signals, full.signals[:, : len(cut.sessions)])  # type: ignore[index]
