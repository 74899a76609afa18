"""Weekly features by plain loops, each known at the decision time."""

import datetime
import itertools
import math
import statistics
import tracemalloc
from collections.abc import Callable, Sequence
from dataclasses import replace
from functools import partial

import numpy as np
import pytest

from brain_assets.arrays import FloatArray
from brain_assets.forecasting import weekly_features
from brain_assets.forecasting.weekly_features import FEATURES, build_weekly_features, uniform_ranks
from brain_assets.market.calendar import Weeks, complete_weeks, sessions_between
from brain_assets.market.prices import CLOSE, VOLUME, PricePanel
from brain_assets.market.schema import RATIOS
from brain_assets.market.signals import SIGNALS

N_SYMBOLS = 8
NOT_KNOWN = math.nan


def made_up() -> PricePanel:
    """Bars and signals that move; symbol 1 has a hole of two sessions, 2 is listed late, 3 never files."""
    random, n_sessions = np.random.default_rng(4), 330
    sessions = sessions_between(datetime.date(2018, 1, 2), datetime.date(2025, 1, 1))[:n_sessions]
    moves = random.standard_t(5, (N_SYMBOLS, n_sessions, 5)) * random.uniform(0.005, 0.02, (N_SYMBOLS, 1, 1))
    values = 50 * np.exp(np.cumsum(moves, axis=1))
    values[:, :, VOLUME] = random.lognormal(10, 1, (N_SYMBOLS, n_sessions)).round()
    values[1, 290:292] = np.nan
    values[2, : n_sessions - 60] = np.nan
    signals = random.normal(size=(N_SYMBOLS, n_sessions, len(SIGNALS)))
    signals[3, :, 1:] = np.nan
    return PricePanel(sessions, tuple(f"S{number:03d}" for number in range(N_SYMBOLS)), values, signals)


PANEL = made_up()
WEEKS = complete_weeks(PANEL.sessions)


def of_known(statistic: Callable[..., float], values: Sequence[float], length: int) -> float:
    known = [value for value in values if math.isfinite(value)]
    return statistic(known) if 2 * len(known) >= length else NOT_KNOWN


mean, deviation = partial(of_known, statistics.fmean), partial(of_known, statistics.pstdev)


def weekly_closes(panel: PricePanel, asset: int, first: int) -> list[float]:
    """Last closes of the ISO weeks before a session, oldest first."""
    closes: dict[tuple[int, int], float] = {}
    for day, close in zip(panel.sessions[:first].tolist(), panel.values[asset, :first, CLOSE].tolist(), strict=True):
        closes[day.isocalendar()[:2]] = close
    return list(closes.values())


def weekly_returns(panel: PricePanel, asset: int, first: int) -> list[float]:
    levels = weekly_closes(panel, asset, first)
    return [later / earlier - 1 for earlier, later in itertools.pairwise(levels)]


def plain_features(panel: PricePanel, first: int, asset: int, others: Sequence[int]) -> dict[str, float]:
    """Compute every feature of one symbol by loops over what came before a session; `others`: who is tradable."""
    close = panel.values[asset, :first, CLOSE].tolist()
    daily = [math.log(later / earlier) for earlier, later in itertools.pairwise(close)]
    volume = [math.log(1 + each) for each in panel.values[asset, :first, VOLUME].tolist()]
    levels, weekly = weekly_closes(panel, asset, first), weekly_returns(panel, asset, first)

    def past(n_weeks: int, skipped: int = 0) -> float:
        return levels[-1 - skipped] / levels[-1 - n_weeks] - 1 if len(levels) > n_weeks else NOT_KNOWN

    found = {f"return_{n_weeks}w": past(n_weeks) for n_weeks in (1, 2, 4, 8, 13, 26, 52)}
    found |= {"momentum_12_1": past(52, 4), "same_month": past(52, 48), "return_1d": daily[-1]}
    for name, length in (("4w", 20), ("13w", 65), ("52w", 252)):
        found[f"volatility_{name}"] = deviation(daily[-length:], length)
    year = [each for each in daily[-252:] if math.isfinite(each)]
    if 2 * len(year) >= 252:
        centre = statistics.fmean(year)
        found["skewness"] = statistics.fmean((each - centre) ** 3 for each in year) / statistics.pstdev(year) ** 3
    found |= {"high_52w": close[-1] / of_known(max, close[-252:], 252), "largest_day": of_known(max, daily[-20:], 20)}
    found["volume_1w"] = mean(volume[-5:], 5) - mean(volume[-65:], 65)
    found["volume_4w"] = mean(volume[-20:], 20) - mean(volume[-252:], 252)
    everyone = [weekly_returns(panel, other, first)[-52:] for other in others]
    market = [statistics.fmean(each for each in week if math.isfinite(each)) for week in zip(*everyone, strict=True)]
    pairs = [(x, y) for x, y in zip(market, weekly[-52:], strict=True) if math.isfinite(y)]
    if len(pairs) >= 26:
        slope, intercept = statistics.linear_regression(*zip(*pairs, strict=True))
        left = [y - intercept - slope * x for x, y in pairs]
        found |= {"beta": slope, "idiosyncratic": statistics.pstdev(left)}
        if math.isfinite(weekly[-1]):
            found["residual_1w"] = left[-1] / statistics.pstdev(left)
    news = panel.signals[asset, :first, 0].tolist()
    found |= {"news": news[-1], "news_4w": mean(news[-20:], 20)}
    return found | {name: panel.signals[asset, first - 1, 1 + number] for number, name in enumerate(RATIOS)}


@pytest.mark.parametrize("week", [-1, -5, 40, 3])
def test_features_are_ranks_of_what_plain_loops_find(week: int) -> None:
    first = int(WEEKS.first[week])
    tradable = [asset for asset in range(N_SYMBOLS) if math.isfinite(PANEL.values[asset, first - 1, CLOSE])]
    plain = {asset: plain_features(PANEL, first, asset, tradable) for asset in tradable}
    features = build_weekly_features(PANEL, WEEKS, "ridge")[:, week]
    assert features.dtype == np.float32
    for column, name in enumerate(FEATURES):
        raw = {asset: each.get(name, NOT_KNOWN) for asset, each in plain.items()}
        known = sorted((value, asset) for asset, value in raw.items() if math.isfinite(value))
        expected = dict.fromkeys(tradable, 0.0)  # unknown: the middle
        expected |= {asset: (rank + 0.5) / len(known) - 0.5 for rank, (_, asset) in enumerate(known)}
        got = {asset: pytest.approx(features[asset, column], abs=1e-6) for asset in tradable}
        assert expected == got, name
    assert np.isnan(np.delete(features, tradable, axis=0)).all()  # who is not tradable has no row


def test_ranks_are_spread_evenly_ties_share_theirs_and_what_is_unknown_is_in_the_middle() -> None:
    values = np.array([[3.0, 1.0, np.nan], [1.0, 1.0, np.nan], [2.0, np.nan, np.nan], [9.0, 5.0, np.inf]])
    ranks = uniform_ranks(values).T.tolist()
    assert ranks[0] == [0.125, -0.375, -0.125, 0.375]
    assert ranks[1] == pytest.approx([-1 / 6, -1 / 6, 0, 1 / 3])
    assert ranks[2] == [0, 0, 0, 0]


def test_a_volume_that_never_changes_ranks_nobody_however_long_it_is_known() -> None:
    values = PANEL.values.copy()
    values[:, :, VOLUME] = np.where(np.isfinite(values[:, :, CLOSE]), 1e6, np.nan)
    values[4, 100:230, VOLUME] = np.nan
    features = build_weekly_features(replace(PANEL, values=values), WEEKS, "ridge")
    columns = [FEATURES.index(name) for name in ("volume_1w", "volume_4w")]
    assert not np.nan_to_num(features[:, :, columns]).any()


def test_a_member_is_compared_with_members_alone() -> None:
    members = np.ones(PANEL.values.shape[:2], dtype=bool)
    members[5, 200:] = False
    features = build_weekly_features(replace(PANEL, members=members), WEEKS, "ridge")
    after = WEEKS.first - 1 >= 200
    assert np.isnan(features[5, after]).all()
    assert np.isfinite(features[5, ~after]).all()
    few = [number for number in range(N_SYMBOLS) if number != 5]
    without = PricePanel(PANEL.sessions, PANEL.symbols[1:], PANEL.values[few], PANEL.signals[few])
    np.testing.assert_array_equal(features[few][:, after], build_weekly_features(without, WEEKS, "ridge")[:, after])


# What is known


def moved_by_the_week(week: int) -> set[str]:
    """Change all from the first session of a week on, and who is there then; name the features that move up to it."""
    first = WEEKS.first[week]
    values, signals = PANEL.values.copy(), PANEL.signals.copy()
    random = np.random.default_rng(9)
    values[:, first:] *= random.lognormal(0, 0.5, values[:, first:].shape)
    values[4, first:], signals[:, first:] = np.nan, random.normal(size=signals[:, first:].shape)
    changed = build_weekly_features(replace(PANEL, values=values, signals=signals), WEEKS, "ridge")
    as_it_was = build_weekly_features(PANEL, WEEKS, "ridge")
    differs = (changed != as_it_was) & ~(np.isnan(changed) & np.isnan(as_it_was))
    return {name for column, name in enumerate(FEATURES) if differs[:, : len(WEEKS) + week + 1, column].any()}


@pytest.mark.parametrize("week", [-1, -6])
def test_nothing_from_the_first_session_of_the_week_on_moves_a_feature(week: int) -> None:
    assert moved_by_the_week(week) == set()


@pytest.mark.parametrize("name", ["past", "daily", "signals"])
def test_a_feature_that_is_shifted_by_a_day_is_caught(monkeypatch: pytest.MonkeyPatch, name: str) -> None:
    past, daily = weekly_features.past_return, weekly_features._daily_features

    def late(panel: PricePanel, weeks: Weeks, *reach: int) -> FloatArray:
        return past(panel, replace(weeks, first=weeks.first + 1), *reach)

    if name == "past":
        monkeypatch.setattr(weekly_features, "past_return", late)
        expected = set(weekly_features.PAST_RETURNS) - {"same_month", "momentum_12_1"}  # they end weeks before
    elif name == "daily":
        monkeypatch.setattr(weekly_features, "_daily_features", lambda *given: daily(*given[:-1], given[-1] + 1))
        expected = set(weekly_features.DAILY)
    else:
        monkeypatch.setattr(weekly_features, "require_signals", lambda panel, _: np.roll(panel.signals, -1, axis=1))
        expected = {"news", "news_4w", *RATIOS}
    assert moved_by_the_week(-1) == expected


def test_symbols_that_come_later_change_nothing() -> None:
    before = np.flatnonzero(WEEKS.first < PANEL.values.shape[1] - 60)  # symbol 2 is not listed yet
    earlier = [number for number in range(N_SYMBOLS) if number != 2]
    without = PricePanel(PANEL.sessions, PANEL.symbols[1:], PANEL.values[earlier], PANEL.signals[earlier])
    np.testing.assert_array_equal(
        build_weekly_features(PANEL, WEEKS.select(before), "ridge")[earlier],
        build_weekly_features(without, WEEKS.select(before), "ridge"),
    )


@pytest.mark.slow
def test_a_wide_universe_takes_bounded_memory() -> None:
    """347 symbols x 18 years: beside the panel and the result, a few times the result is held at most."""
    random = np.random.default_rng(4)
    sessions = sessions_between(datetime.date(1995, 1, 2), datetime.date(2025, 1, 1))[: 18 * 252]
    values = 50 * np.exp(np.cumsum(random.normal(0.0, 0.01, (347, len(sessions), 5)), axis=1))
    signals = random.normal(size=(347, len(sessions), len(SIGNALS)))
    panel = PricePanel(sessions, tuple(f"S{number:03d}" for number in range(347)), values, signals)
    weeks = complete_weeks(panel.sessions)
    tracemalloc.start()
    features = build_weekly_features(panel, weeks, "ridge")
    peak = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    assert features.shape == (347, 938, len(FEATURES))
    assert peak < 4 * features.nbytes, f"{peak / 1e6:.0f} MB"
