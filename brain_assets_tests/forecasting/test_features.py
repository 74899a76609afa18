import datetime

import numpy as np
import pytest

from brain_assets.forecasting.features import (
    RETURNS,
    Target,
    build_features,
    fit_scaler,
    known_returns,
    scale_features,
    split_weeks,
    training_target,
    window_index,
)
from brain_assets.market.calendar import complete_weeks, sessions_between
from brain_assets.market.prices import PricePanel


def make_panel(n_sessions: int, n_assets: int = 1, seed: int = 0) -> PricePanel:
    """Bars that move, from Monday 2019-01-07 on."""
    sessions = sessions_between(datetime.date(2019, 1, 7), datetime.date(2020, 12, 31))[:n_sessions]
    values = np.exp(np.random.default_rng(seed).normal(0, 0.02, (n_assets, n_sessions, 5)).cumsum(axis=1))
    return PricePanel(sessions, tuple("ABCDEFGH"[:n_assets]), values)


def test_features_are_log_returns_of_each_channel_and_volume_may_be_zero() -> None:
    panel = make_panel(3)
    panel.values[0] = [[10, 11, 9, 10, 0], [11, 12, 10, 12, 99], [11, 12, 10, 6, 0]]
    features = build_features(panel, RETURNS, "lstm")
    assert features.dtype == np.float32
    assert np.isnan(features[0, 0]).all()
    # open 10 -> 11, high 11 -> 12, low 9 -> 10, close 10 -> 12, volume log(100) - log(1)
    expected = [np.log(11 / 10), np.log(12 / 11), np.log(10 / 9), np.log(12 / 10), np.log(100)]
    np.testing.assert_allclose(features[0, 1], expected, rtol=1e-6)
    np.testing.assert_allclose(features[0, 2, 3:], [np.log(6 / 12), -np.log(100)], rtol=1e-6)


def test_windows_end_at_the_close_before_their_week_and_skip_symbols_whose_history_has_a_hole() -> None:
    # sessions 0-4 are the week of 7 January, 5-9 that of the 14th, 10-13 that of the 21st (Monday is a holiday)
    panel = make_panel(19, n_assets=2)
    weeks = complete_weeks(panel.sessions)
    assert weeks.first.tolist() == [5, 10, 14]
    index = window_index(known_returns(panel), weeks, window=6)
    # the first return is that of session 1, so six of them end at session 6 at the earliest: not before week 0
    assert index.week.tolist() == [1, 1, 2, 2]
    assert (index.start + 6).tolist() == [10, 10, 14, 14]
    panel.values[1, 9] = np.nan  # Friday before the second week: its returns 9 and 10 are unknown
    index = window_index(known_returns(panel), weeks, window=4)
    # week 0 needs returns 1-4, week 1 needs 6-9, week 2 needs 10-13
    assert list(zip(index.week, index.asset, strict=True)) == [(0, 0), (0, 1), (1, 0), (2, 0)]


def test_the_scaler_is_fitted_on_training_rows_only_and_unknown_features_become_zero() -> None:
    features = np.array([[[np.nan], [1], [3], [5], [1000], [1000]]], dtype=np.float32)
    scaler = fit_scaler(features, last_session=3)
    root = np.sqrt(8 / 3)
    assert (scaler.mean[0], scaler.scale[0]) == pytest.approx((3, root))
    scaled = scale_features(features, scaler, clip=5.0)
    np.testing.assert_allclose(scaled[0, :, 0], [0, -2 / root, 0, 2 / root, 5, 5], rtol=1e-6)


@pytest.mark.parametrize(
    ("kind", "expected"),
    [
        ("raw", [0.5, -0.2, np.nan, 0.0]),
        ("demeaned", [0.4, -0.3, np.nan, -0.1]),  # the mean of the week is 0.1
        # ranks 2, 0, 1 of three: (rank + 0.5) / 3 - 0.5 = 1/3, -1/3, 0, times sqrt(12)
        ("ranked", [np.sqrt(12) / 3, -np.sqrt(12) / 3, np.nan, 0]),
    ],
)
def test_targets_are_of_each_week_by_itself_and_ignore_unknown_symbols(kind: Target, expected: list[float]) -> None:
    realized = np.array([[0.5, -0.2, np.nan, 0.0], [np.nan] * 4])
    np.testing.assert_allclose(training_target(realized, kind), [expected, [np.nan] * 4], atol=1e-12)


def test_split_is_by_date_and_a_week_that_straddles_new_year_is_in_neither_part(panel: PricePanel) -> None:
    weeks = complete_weeks(panel.sessions)
    for year, first, last in ((2019, "2018-12-31", "2019-12-23"), (2020, "2019-12-30", "2020-12-28")):
        split = split_weeks(weeks, datetime.date(year, 12, 31))
        assert [str(weeks.start[split.validation[at]]) for at in (0, -1)] == [first, last]
        assert weeks.end[split.train].max() < weeks.start[split.validation].min()  # and no target reaches over
        assert set(weeks.year[split.validation].tolist()) == {year}
