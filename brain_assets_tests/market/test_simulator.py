"""The simulated market repeats, its past does not depend on its future, and its signal is as strong as it says."""

import datetime
from collections.abc import Sequence

import numpy as np
import pandas as pd
import pytest
from scipy.stats import rankdata

from brain_assets.errors import MarketError
from brain_assets.market.calendar import complete_weeks, sessions_between
from brain_assets.market.prices import CLOSE, OPEN, PricePanel
from brain_assets.market.signals import NEWS, add_signals
from brain_assets.market.simulator import SimulatorMarket
from brain_assets.market.weekly import WeeklyBars

N_MANY = 60
MANY = tuple(f"S{i:02d}" for i in range(N_MANY))
LONG = (datetime.date(1999, 12, 1), datetime.date(2022, 1, 1))
"""Twenty-two years: the weeks of 2000 to 2021."""


def day(text: str) -> datetime.date:
    return datetime.date.fromisoformat(text)


def rank_correlations(forecast: np.ndarray, realized: np.ndarray) -> np.ndarray:
    """Spearman's, of each week; both of shape (n_weeks, n_assets)."""
    ranks = [rankdata(values, axis=1) for values in (forecast, realized)]
    one, other = ((rank - rank.mean(axis=1, keepdims=True)) / rank.std(axis=1, keepdims=True) for rank in ranks)
    return (one * other).mean(axis=1)


def simulate_weeks(seed: int, signal: float) -> tuple[SimulatorMarket, PricePanel, WeeklyBars]:
    market = SimulatorMarket(MANY, seed=seed, signal=signal)
    panel = PricePanel.from_frame(market.prices(*LONG))
    bars = WeeklyBars.from_panel(panel)
    return market, panel, bars.select(bars.weeks.first >= 6)


def past_returns(panel: PricePanel, bars: WeeklyBars) -> np.ndarray:
    """Log return over the five sessions before each week; shape (n_weeks, n_assets)."""
    log_close = np.log(panel.values[:, :, CLOSE])
    return (log_close[:, bars.weeks.first - 1] - log_close[:, bars.weeks.first - 6]).T


# It repeats


def test_the_same_seed_gives_the_same_bars_in_any_order_of_asking() -> None:
    start, end = day("2019-01-01"), day("2020-01-01")
    once = SimulatorMarket(seed=3).prices(start, end)
    for seed in range(4, 9):  # more than the cache holds
        assert not SimulatorMarket(seed=seed).prices(start, end)["close"].equals(once["close"])
    pd.testing.assert_frame_equal(SimulatorMarket(seed=3).prices(start, end), once, check_exact=True)


@pytest.mark.parametrize("end", ["2019-12-31", "2020-01-01", "2020-01-02", "2020-01-04", "2020-06-15", "2020-12-31"])
def test_a_longer_range_never_changes_an_earlier_bar(end: str) -> None:
    # ends around the week 2019-12-30 to 2020-01-03, which straddles New Year, and in the middle of a week
    market = SimulatorMarket(seed=2, signal=0.3)
    short = market.prices(day("2019-11-01"), day(end))
    assert short["date"].max() >= pd.Timestamp("2019-12-30")
    for later in ("2021-01-01", "2024-01-01"):
        long = market.prices(day("2005-03-08"), day(later))
        same = long[(long["date"] >= pd.Timestamp("2019-11-01")) & (long["date"] < pd.Timestamp(end))]
        pd.testing.assert_frame_equal(same.reset_index(drop=True), short, check_exact=True)


def test_years_in_pieces_are_the_years_at_once() -> None:
    market = SimulatorMarket(seed=2, signal=0.3)
    pieces = [market.prices(day(f"{year}-01-01"), day(f"{year + 1}-01-01")) for year in range(2016, 2022)]
    whole = market.prices(day("2016-01-01"), day("2022-01-01"))
    pd.testing.assert_frame_equal(pd.concat(pieces, ignore_index=True), whole, check_exact=True)


def test_a_longer_range_never_changes_an_earlier_expectation() -> None:
    market = SimulatorMarket(seed=2, signal=0.3)
    starts = complete_weeks(sessions_between(day("2018-12-03"), day("2022-01-15"))).start
    every = market.expected_return(starts)
    # the Mondays 10, 17, 24 and 31 December 2018; 52 weeks later, 30 December 2019
    assert [str(starts[3]), str(starts[55])] == ["2018-12-31", "2019-12-30"]
    for n_weeks in (1, 4, 5, 56, 57):  # a range whose last year is 2018, 2018, 2019, 2019, 2020
        np.testing.assert_array_equal(market.expected_return(starts[:n_weeks]), every[:n_weeks])


def test_a_symbol_moves_by_its_position_and_not_its_name() -> None:
    start, end = day("2019-01-01"), day("2019-03-01")
    one = SimulatorMarket(("AAA", "BBB"), seed=1).prices(start, end)
    other = SimulatorMarket(("ZZZ", "YYY"), seed=1).prices(start, end)
    for first, second in (("AAA", "ZZZ"), ("BBB", "YYY")):
        mine, yours = one[one["symbol"] == first], other[other["symbol"] == second]
        np.testing.assert_array_equal(mine["close"].to_numpy(), yours["close"].to_numpy())


# What it gives


def test_every_session_has_a_bar_of_every_symbol_and_end_is_exclusive() -> None:
    frame = SimulatorMarket(seed=1).prices(day("2020-01-01"), day("2020-01-06"))
    assert frame["date"].dt.strftime("%m-%d").unique().tolist() == ["01-02", "01-03"]
    assert frame["symbol"].tolist() == [f"SIM{i:02d}" for i in range(20)] * 2


def test_prices_start_at_100_dollars() -> None:
    frame = SimulatorMarket(seed=1).prices(day("1990-01-01"), day("1990-01-03"))
    # the first open is one night away from 100: 0.4 of a day's 1.8 % is 0.7 %, so 4 % is more than five of them
    np.testing.assert_allclose(frame["open"], 100, rtol=0.04)
    assert frame["open"].std() > 0.1


def test_high_and_low_enclose_open_and_close() -> None:
    frame = SimulatorMarket(seed=5, signal=0.3).prices(day("2010-01-01"), day("2020-01-01"))
    opening, high, low, close = (frame[name].to_numpy() for name in ("open", "high", "low", "close"))
    assert (high > np.maximum(opening, close)).all()
    assert (low < np.minimum(opening, close)).all()
    assert (low > 0).all()
    assert (frame["volume"] > 0).all()
    assert frame["volume"].nunique() > 1000


def test_a_day_has_the_volatility_that_the_module_states() -> None:
    # A day's variance is 0.008^2 + 0.016^2 = 0.00032; overnight has 0.4^2 of it, intraday 0.8^2, both 0.8: 0.016^2.
    # Were all symbols one, 5500 sessions would give a standard error of sqrt(1 / (2 * 5500)) = 1 %; three of them.
    _, panel, _ = simulate_weeks(seed=0, signal=0.0)
    opening, close = np.log(panel.values[:, :, OPEN]), np.log(panel.values[:, :, CLOSE])
    overnight = opening[:, 1:] - close[:, :-1]
    assert np.diff(close, axis=1).std() == pytest.approx(0.016, rel=0.03)
    assert overnight.std() == pytest.approx(0.4 * np.sqrt(0.00032), rel=0.03)
    assert (close - opening).std() == pytest.approx(0.8 * np.sqrt(0.00032), rel=0.03)
    # the common part: the correlation of two symbols is 0.008^2 / (0.008^2 + 0.016^2) = 0.2
    correlations = np.corrcoef(np.diff(close, axis=1))[np.triu_indices(N_MANY, 1)]
    assert correlations.mean() == pytest.approx(0.2, abs=0.02)


# The planted signal


@pytest.mark.parametrize(("seed", "signal"), [(0, 0.15), (1, 0.15), (2, 0.15), (3, 0.3), (4, 0.05)])
def test_the_expectation_reaches_the_stated_rank_correlation(seed: int, signal: float) -> None:
    market, _, bars = simulate_weeks(seed, signal)
    correlations = rank_correlations(market.expected_return(bars.weeks.start), bars.realized)
    assert len(correlations) > 1140
    # Of unrelated ranks of 60 symbols the variance is 1 / 59; over 1146 weeks the mean's standard error is
    # sqrt(1 / 59 / 1146) = 0.0038. Four of them are 0.0154; a sample of 60 has a rank correlation 1 / 61 smaller than
    # s, 0.005 at most. So 0.02 holds for good draws, and one sixth less of 0.15 would be found out.
    standard_error = np.sqrt(1 / (N_MANY - 1) / len(correlations))
    assert standard_error == pytest.approx(0.0038, abs=0.0001)
    assert correlations.mean() == pytest.approx(signal, abs=4 * standard_error + signal / (N_MANY + 1))


def test_the_expectation_is_a_five_day_reversal_known_at_the_close_before_the_week() -> None:
    signal = 0.15
    market, panel, bars = simulate_weeks(seed=1, signal=signal)
    past = past_returns(panel, bars)
    z = (past - past.mean(axis=1, keepdims=True)) / past.std(axis=1, keepdims=True)
    # s = 6 / pi * asin(rho / 2) = 0.15: rho = 2 sin(0.025 pi) = 0.156918. A whole week of five sessions has own noise
    # of 0.016^2 * (5 * 0.64 + 4 * 0.16) = 0.016^2 * 3.84; of four sessions 0.016^2 * 3.04.
    rho = 0.156918191
    assert 6 / np.pi * np.arcsin(rho / 2) == pytest.approx(signal, abs=1e-8)
    n_sessions = bars.weeks.last - bars.weeks.first + 1
    noise = 0.016 * np.sqrt(n_sessions * 0.64 + (n_sessions - 1) * 0.16)
    expected = -rho / np.sqrt(1 - rho**2) * noise[:, None] * z
    np.testing.assert_allclose(market.expected_return(bars.weeks.start), expected, rtol=1e-6)
    assert set(n_sessions) == {3, 4, 5}  # hurricane Sandy's week has three


def test_the_week_realizes_the_expectation_and_noise_of_its_size() -> None:
    market, _, bars = simulate_weeks(seed=1, signal=0.15)
    own = np.log1p(bars.realized)
    own -= own.mean(axis=1, keepdims=True)
    expected = market.expected_return(bars.weeks.start)
    # The regression of what came on what was expected has slope 1. The expectation explains rho^2 = 2.5 % of the
    # variance, so the standard error is sqrt(1 / 0.025 / (1146 * 60)) = 0.024: four of them are 0.1.
    assert (own * expected).sum() / (expected**2).sum() == pytest.approx(1, abs=0.1)


@pytest.mark.parametrize("seed", [0, 1, 2])
def test_without_a_signal_nothing_is_expected_and_the_reversal_is_not_there(seed: int) -> None:
    market, panel, bars = simulate_weeks(seed, signal=0.0)
    np.testing.assert_array_equal(market.expected_return(bars.weeks.start), 0)
    correlations = rank_correlations(-past_returns(panel, bars), bars.realized)
    # three standard errors of 0.0038, see above
    assert abs(correlations.mean()) < 3 * np.sqrt(1 / (N_MANY - 1) / len(correlations))


def test_with_a_signal_the_reversal_is_there_for_whoever_looks() -> None:
    _, panel, bars = simulate_weeks(seed=0, signal=0.15)
    assert rank_correlations(-past_returns(panel, bars), bars.realized).mean() == pytest.approx(0.15, abs=0.02)


# Errors


@pytest.mark.parametrize("signal", [-0.01, 1.0, 2.0, float("nan")])
def test_an_impossible_signal_is_refused(signal: float) -> None:
    with pytest.raises(MarketError, match=r"signal: expected a rank correlation in \[0, 1\), got "):
        SimulatorMarket(signal=signal)


def test_a_start_before_the_first_simulated_year_is_refused() -> None:
    with pytest.raises(MarketError, match="expected a start from 1990 on, got 1989-12-29; raise BRAIN_FIRST_YEAR"):
        SimulatorMarket().prices(day("1989-12-29"), day("1991-01-01"))


def test_every_year_is_offered() -> None:
    assert SimulatorMarket().last_complete_year() is None


def test_a_signal_needs_two_symbols() -> None:
    with pytest.raises(MarketError, match=r"expected two symbols or more, .* got A; add symbols or set signal to 0"):
        SimulatorMarket(("A",))
    alone = SimulatorMarket(("A",), signal=0).prices(datetime.date(2016, 1, 1), datetime.date(2016, 2, 1))
    assert len(alone) == 19


# News and filings


def test_news_carries_the_planted_signal_and_nothing_else_does() -> None:
    market = SimulatorMarket(MANY, seed=4, signal=0.15, planted="news")
    panel = PricePanel.from_frame(market.prices(*LONG))
    panel = add_signals(panel, market.news_sentiment(*LONG, score_nothing).table, market.fundamentals(*LONG).table)
    bars = WeeklyBars.from_panel(panel)
    bars = bars.select(bars.weeks.first >= 120)  # before, the panel lacks news that the simulator has seen
    assert bars.signals is not None
    best = market.expected_return(bars.weeks.start)
    planted = rank_correlations(best, bars.realized)
    assert abs(planted.mean() - 0.15) < 3 * planted.std() / np.sqrt(len(planted))
    # the channel itself is all there is to know: its ranks are those of the expectation
    np.testing.assert_array_equal(rankdata(bars.signals[:, :, NEWS], axis=1), rankdata(best, axis=1))
    for other in (past_returns(panel, bars), *(bars.signals[:, :, signal] for signal in range(1, 7))):
        found = rank_correlations(np.where(np.isfinite(other), other, 0.0), bars.realized)
        assert abs(found.mean()) < 3.5 * found.std() / np.sqrt(len(found))


def score_nothing(titles: Sequence[str]) -> np.ndarray:
    raise AssertionError(f"asked to score {titles}")


@pytest.mark.parametrize("end", ["2019-12-31", "2020-01-01", "2020-01-04", "2020-06-15", "2021-01-01"])
def test_a_longer_range_never_changes_earlier_news_or_filings(end: str) -> None:
    market = SimulatorMarket(seed=2)
    start = day("2019-03-01")
    for short, long in (
        (market.news_sentiment(start, day(end), score_nothing), market.news_sentiment(start, LONG[1], score_nothing)),
        (market.fundamentals(start, day(end)), market.fundamentals(start, LONG[1])),
    ):
        known = long.table[long.table.iloc[:, 0] < pd.Timestamp(end)].reset_index(drop=True)
        pd.testing.assert_frame_equal(short.table, known, check_exact=True)
        assert len(known) > 20


def test_news_and_filings_are_what_the_docstring_says() -> None:
    market = SimulatorMarket(MANY, seed=5)
    news = market.news_sentiment(*LONG, score_nothing).table
    n_sessions = len(sessions_between(*LONG))
    assert abs(len(news) / (n_sessions * N_MANY) - 0.4) < 0.005
    assert abs(news["n_articles"].mean() - 2) < 0.02
    assert news["sentiment_score"].between(-1, 1).all()
    filings = market.fundamentals(*LONG).table
    days = (filings["filed"] - filings["period_end"]).dt.days
    assert (days.min(), days.max()) == (30, 59)
    assert set(filings["period_end"].dt.strftime("%m-%d")) == {"03-31", "06-30", "09-30", "12-31"}
    per_symbol = filings.groupby("symbol")["gross_margin"]
    assert abs(per_symbol.mean().mean() - 0.40) < 0.06
    assert per_symbol.std().mean() < 0.05  # a symbol stays near its own level


def test_where_a_signal_is_planted_is_one_of_the_known_places() -> None:
    with pytest.raises(MarketError, match="planted: expected one of reversal, news, got volume"):
        SimulatorMarket(planted="volume")
