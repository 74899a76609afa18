"""The simulated market repeats, its past does not depend on its future, and its signal is as strong as it says."""

import datetime
from collections.abc import Sequence
from functools import lru_cache
from typing import Any

import numpy as np
import pandas as pd
import pytest
from scipy.stats import rankdata, t

from brain_assets.errors import MarketError
from brain_assets.market.calendar import complete_weeks, sessions_between
from brain_assets.market.prices import CLOSE, OPEN, PricePanel
from brain_assets.market.schema import RATIOS
from brain_assets.market.signals import NEWS, add_signals
from brain_assets.market.weekly import WeeklyPanel
from brain_assets.settings import read_settings
from brain_assets.simulator.market import SimulatorMarket, open_market
from brain_assets.simulator.simulated import N_SECTORS, PAIR_DEGREES, simulate, solve_scale, symbol_pairs

N_MANY = 60
MANY = tuple(f"S{i:02d}" for i in range(N_MANY))
LONG = (datetime.date(1991, 12, 1), datetime.date(2011, 1, 1))
"""Nineteen years: the weeks of 1992 to 2010."""


def score_nothing(titles: Sequence[str]) -> np.ndarray:
    raise AssertionError(f"asked to score {titles}")


def slow(*values: object) -> object:
    """Keep a variant for the longer tests."""
    return pytest.param(*values, marks=pytest.mark.slow)


def day(text: str) -> datetime.date:
    return datetime.date.fromisoformat(text)


def rank_correlations(forecast: np.ndarray, realized: np.ndarray) -> np.ndarray:
    """Spearman's, of each week; both of shape (n_weeks, n_assets)."""
    ranks = [rankdata(values, axis=1) for values in (forecast, realized)]
    one, other = ((rank - rank.mean(axis=1, keepdims=True)) / rank.std(axis=1, keepdims=True) for rank in ranks)
    return (one * other).mean(axis=1)


@lru_cache(maxsize=8)
def simulate_weeks(seed: int, signal: float) -> tuple[SimulatorMarket, PricePanel, WeeklyPanel]:
    market = SimulatorMarket(MANY, seed=seed, signal=signal)
    panel = PricePanel.from_frame(market.prices(*LONG))
    bars = WeeklyPanel.from_panel(panel)
    return market, panel, bars.select(bars.weeks.first >= 6)


def past_returns(panel: PricePanel, bars: WeeklyPanel) -> np.ndarray:
    """Log return over the five sessions before each week; shape (n_weeks, n_assets)."""
    log_close = np.log(panel.values[:, :, CLOSE])
    return (log_close[:, bars.weeks.first - 1] - log_close[:, bars.weeks.first - 6]).T


# It repeats


def test_the_same_seed_gives_the_same_bars_in_any_order_of_asking() -> None:
    start, end = day("1992-01-01"), day("1993-01-01")
    once = SimulatorMarket(seed=3).prices(start, end)
    assert not SimulatorMarket(seed=4).prices(start, end)["close"].equals(once["close"])
    simulate.cache_clear()
    pd.testing.assert_frame_equal(SimulatorMarket(seed=3).prices(start, end), once, check_exact=True)
    one, other = (open_market(read_settings(market="simulator", symbols=names)) for names in ("AAA,BBB", "BBB,AAA"))
    pd.testing.assert_frame_equal(one.prices(start, end), other.prices(start, end), check_exact=True)


@pytest.mark.parametrize("options", [{"channel": "net_margin"}, slow({}), slow({"channel": "news"})])
def test_a_longer_range_never_changes_what_is_earlier(options: dict[str, Any]) -> None:
    market = SimulatorMarket(seed=2, signal=0.3, **options)
    ask = (market.prices, lambda *days: market.news_sentiment(*days, score_nothing).table)
    ask += (lambda *days: market.fundamentals(*days).table,)
    whole = [table(day("1996-03-01"), day("2000-01-01")) for table in ask]
    # ends around the week 1996-12-30 to 1997-01-03, which straddles New Year, and in the middle of a week
    for end in ("1996-12-31", "1997-01-02", "1997-06-12"):
        for table, long in zip(ask, whole, strict=True):
            known = long[long.iloc[:, 0] < pd.Timestamp(end)].reset_index(drop=True)
            pd.testing.assert_frame_equal(table(day("1996-03-01"), day(end)), known, check_exact=True)
            assert len(known) > 20
    starts = complete_weeks(sessions_between(day("1995-12-04"), day("1999-01-15"))).start
    every = market.expected_return(starts)
    # three weeks of December 1995; 52 weeks after the next, 30 December 1996
    assert [str(starts[3]), str(starts[55])] == ["1996-01-02", "1996-12-30"]
    for n_weeks in (3, 4, 56, 57):  # a range whose last year is 1995, 1996, 1996, 1997
        np.testing.assert_array_equal(market.expected_return(starts[:n_weeks]), every[:n_weeks])


# Properties of real markets


@pytest.fixture(scope="module")
def panel() -> PricePanel:
    """Of a market without a signal."""
    return simulate_weeks(seed=0, signal=0.0)[1]


def daily(panel: PricePanel) -> np.ndarray:
    """Log returns from close to close; shape (n_assets, n_sessions - 1)."""
    return np.diff(np.log(panel.values[:, :, CLOSE]), axis=1)


def autocorrelation(series: np.ndarray, lag: int) -> float:
    """Mean over the rows of (n_assets, n_sessions)."""
    return float(np.mean([np.corrcoef(row[lag:], row[:-lag])[0, 1] for row in series]))


def test_days_move_as_the_module_states(panel: PricePanel) -> None:
    returns = daily(panel)
    # A day's variance is 0.008^2 + 0.007^2 + o^2, o evenly in [0.010, 0.017]: from 0.0146 to 0.0201. Volatility that
    # clusters makes the sample's own uncertain by some per cent. A quarter of it falls between close and open.
    deviation = returns.std(axis=1)
    assert 0.0130 < deviation.min() < 0.0160
    assert 0.0185 < deviation.max() < 0.0220
    overnight = np.log(panel.values[:, 1:, OPEN]) - np.log(panel.values[:, :-1, CLOSE])
    assert overnight.var() / returns.var() == pytest.approx(0.25, abs=0.02)
    # with o = 0.0135 in the middle: (0.008^2 + 0.007^2) / 0.000295 = 0.38 within a sector, 0.008^2 / 0.000295 = 0.22
    correlations, sector = np.corrcoef(returns), np.arange(N_MANY) % N_SECTORS
    same = sector[:, None] == sector
    np.fill_diagonal(correlations, np.nan)
    assert np.nanmean(correlations[same]) == pytest.approx(0.38, abs=0.05)
    assert np.nanmean(correlations[~same]) == pytest.approx(0.22, abs=0.05)


def test_volatility_clusters_with_fat_tails_and_returns_do_not(panel: PricePanel) -> None:
    # Without clustering, the mean over symbols of an autocorrelation at 5500 sessions is within 0.01 of 0.
    returns = daily(panel)
    one, ten, forty = (autocorrelation(np.abs(returns), lag) for lag in (1, 10, 40))
    assert one > 0.08
    assert ten > 0.05
    # it dies away: by 0.97^30 = 0.40 from the tenth to the fortieth session, in a long sample
    assert 0.01 < forty < 0.75 * ten
    assert abs(autocorrelation(returns, 1)) < 0.02
    kurtosis = (returns**4).mean(axis=1) / (returns**2).mean(axis=1) ** 2
    assert (kurtosis > 4).all()  # 3 of normal returns, with a standard error of sqrt(24 / 5500) = 0.07


# The injected signal


@pytest.mark.parametrize("s", [0.08, 0.3])
def test_the_scale_is_a_quantile_of_two_symbols_and_reaches_what_a_simulation_finds(s: float) -> None:
    # Of two symbols, the rank correlation is 1 or -1: E[r] = 2 P - 1 = s, so the difference of the expectations over
    # its deviation is the quantile (1 + s) / 2 of a t of variance 1.
    k = solve_scale(np.array([-1.0, 1.0]), np.array([1.0, 2.0]), np.array([0.05]), symbol_pairs(2), s)
    quantile = t.ppf((1 + s) / 2, PAIR_DEGREES) * np.sqrt((PAIR_DEGREES - 2) / PAIR_DEGREES)
    assert 2 * k / 0.05 == pytest.approx(quantile, rel=1e-6)
    random = np.random.default_rng(0)
    z, deviation = random.normal(size=20), random.uniform(0.02, 0.05, 20)
    first, second = pairs = symbol_pairs(20)
    apart = np.sqrt(deviation[first] ** 2 + deviation[second] ** 2)
    expected = z * solve_scale(z, rankdata(z), apart, pairs, s)
    realized = rankdata(expected + deviation * random.normal(size=(40_000, 20)), axis=1) - 10.5
    rank = rankdata(z) - 10.5
    # normal noise instead of t of 12: its peak is 0.3989 instead of 0.4284 (unit variance), 7 % less
    assert (realized @ rank / (rank @ rank)).mean() == pytest.approx(0.935 * s, rel=0.03)


@pytest.mark.parametrize(("seed", "signal"), [(0, 0.15), slow(1, 0.15), slow(2, 0.08), slow(3, 0.3), slow(4, 0.05)])
def test_the_expectation_reaches_the_stated_rank_correlation(seed: int, signal: float) -> None:
    market, _, bars = simulate_weeks(seed, signal)
    correlations = rank_correlations(market.expected_return(bars.weeks.start), bars.realized)
    assert len(correlations) > 980
    # Of unrelated ranks of 60 symbols the variance is 1 / 59, which over 990 weeks gives the mean a standard error of
    # 0.0041; sectors make it a little larger.
    standard_error = correlations.std() / np.sqrt(len(correlations))
    assert 0.0035 < standard_error < 0.0060
    assert correlations.mean() == pytest.approx(signal, abs=4 * standard_error)


def test_the_expectation_is_a_five_day_reversal_known_at_the_close_before_the_week() -> None:
    market, panel, bars = simulate_weeks(seed=0, signal=0.15)
    past, expected = past_returns(panel, bars), market.expected_return(bars.weeks.start)
    np.testing.assert_array_equal(rankdata(-past, axis=1), rankdata(expected, axis=1))
    # The scores of 60 ranks are those of normal quantiles (r - 0.375) / 60.25: from the lowest, -2.3139, to the
    # middle pair, -0.0208 and 0.0208. Their ratio does not depend on the size.
    ordered = np.sort(expected, axis=1)
    np.testing.assert_allclose(ordered[:, 0] / ordered[:, 29], 2.3139 / 0.0208, rtol=0.01)
    np.testing.assert_allclose(ordered[:, 0], -ordered[:, -1], rtol=1e-6)


@pytest.mark.parametrize("seed", [0, slow(1), slow(2)])
def test_without_a_signal_log_prices_are_a_martingale(seed: int) -> None:
    simulated, panel, bars = simulate_weeks(seed, signal=0.0)
    np.testing.assert_array_equal(simulated.expected_return(bars.weeks.start), 0)
    returns = daily(panel)
    market = returns.mean(axis=0)
    assert abs(market.mean()) < 3.5 * market.std() / np.sqrt(len(market))
    # no past return of a symbol over any span says anything about its next day
    for span in (1, 5, 20, 60):
        past = np.lib.stride_tricks.sliding_window_view(returns, span, axis=1).sum(axis=2)[:, :-1]
        daily_product = (past * returns[:, span:] / returns.var()).mean(axis=0)
        assert abs(daily_product.mean()) < 3.5 * daily_product.std() / np.sqrt(len(daily_product))


# News and filings


@pytest.mark.slow
@pytest.mark.parametrize(("channel", "position"), [("net_margin", 1 + RATIOS.index("net_margin")), ("news", NEWS)])
def test_a_channel_carries_the_injected_signal_and_nothing_else_does(channel: str, position: int) -> None:
    market = SimulatorMarket(MANY, seed=4, signal=0.15, channel=channel)
    panel = PricePanel.from_frame(market.prices(*LONG))
    panel = add_signals(panel, market.news_sentiment(*LONG, score_nothing).table, market.fundamentals(*LONG).table)
    bars = WeeklyPanel.from_panel(panel)
    bars = bars.select(bars.weeks.first >= 120)  # before, the panel lacks news that the simulator has seen
    best = market.expected_return(bars.weeks.start)
    reached = rank_correlations(best, bars.realized)
    assert abs(reached.mean() - 0.15) < 3 * reached.std() / np.sqrt(len(reached))
    # the channel itself is all there is to know: its ranks are those of the expectation
    np.testing.assert_array_equal(rankdata(bars.signals[:, :, position], axis=1), rankdata(best, axis=1))
    others = [bars.signals[:, :, signal] for signal in range(7) if signal != position]
    if channel == "news":  # a ratio keeps its level, so that past returns tell of it too
        others.append(past_returns(panel, bars))
    for other in others:
        found = rank_correlations(np.where(np.isfinite(other), other, 0.0), bars.realized)
        # a ratio stays for a quarter and more, and so does its rank correlation with that of the signal
        assert abs(found.mean()) < (3.5 * found.std() / np.sqrt(len(found)) if channel == "news" else 0.06)


@pytest.mark.parametrize("channel", ["net_margin", "debt_to_equity"])
def test_a_signal_that_few_filings_cannot_carry_is_as_strong_as_they_can(channel: str) -> None:
    """In the first weeks of 1990 two symbols of twenty have filed: the others are alike, and no order of them is."""
    market = SimulatorMarket(signal=0.6, channel=channel)
    found = market.prices(day("1990-01-01"), day("1992-01-01"))
    assert np.isfinite(found[["open", "close"]]).all(axis=None)
    sessions = found["date"].unique().to_numpy().astype("datetime64[D]")
    assert np.abs(market.expected_return(sessions)).max() < 0.5  # log return of a week


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


@pytest.mark.parametrize(
    ("options", "sentence"),
    [
        *(({"signal": signal}, r"signal: expected a rank correlation in \[0, 1\), got ") for signal in (1.0, np.nan)),
        ({"symbols": ("A",)}, "expected two symbols or more, .* got A; add symbols or set signal to 0"),
        ({"channel": "volume"}, "channel: expected one of reversal, news, gross_margin, .*, got volume"),
    ],
)
def test_impossible_options_are_refused(options: dict[str, Any], sentence: str) -> None:
    with pytest.raises(MarketError, match=sentence):
        SimulatorMarket(**options)
    with pytest.raises(MarketError, match="expected a start from 1990 on, got 1989-12-29; raise BRAIN_FIRST_YEAR"):
        SimulatorMarket().prices(day("1989-12-29"), day("1991-01-01"))
