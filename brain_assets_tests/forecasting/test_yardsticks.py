"""The rules that forecasters are measured beside, by hand."""

import numpy as np

from brain_assets.forecasting.walkforward import build_forecast_features, weekly_correlations
from brain_assets.forecasting.yardsticks import MOMENTUM, YARDSTICKS, column_label
from brain_assets.market.calendar import complete_weeks
from brain_assets.market.prices import PricePanel
from brain_assets.registry import AVERAGE, RESERVED


def test_yardsticks_by_hand(panel: PricePanel) -> None:
    weeks = complete_weeks(panel.sessions)
    close = panel.values[:, weeks.last, 3].T  # of each week; none of this market is too short to be one
    found = {name: yardstick.measure(panel, weeks) for name, yardstick in YARDSTICKS.items()}
    for week in (53, 100):
        known = close[week - 1]
        np.testing.assert_allclose(found[MOMENTUM][week], known / close[week - 5] - 1)
        np.testing.assert_allclose(found["momentum_12_1"][week], close[week - 5] / close[week - 53] - 1)
        np.testing.assert_allclose(found["reversal"][week], 1 - known / close[week - 2])
    assert np.isnan(found["momentum_12_1"][:52]).all()


def test_they_stand_in_the_table_beside_forecasters_and_look_at_nothing_later(panel: PricePanel) -> None:
    weeks = complete_weeks(panel.sessions)
    week = int(np.flatnonzero(weeks.year == 2020)[30])
    values = panel.values.copy()
    values[:, weeks.first[week] :] *= np.linspace(1, 3, len(panel.symbols))[:, None, None]
    one, other = (
        build_forecast_features(each, [2020], {}) for each in (panel, PricePanel(panel.sessions, panel.symbols, values))
    )
    assert list(one.columns) == ["week_start", "symbol", *YARDSTICKS, "realized"]
    past = one["week_start"].to_numpy().astype("datetime64[D]") <= weeks.start[week]
    for name in YARDSTICKS:
        np.testing.assert_array_equal(one.loc[past, name], other.loc[past, name])
        assert (one.loc[~past, name] != other.loc[~past, name]).any()
    assert list(weekly_correlations(one)) == list(YARDSTICKS)


def test_their_names_can_be_no_familys() -> None:
    assert {*YARDSTICKS, AVERAGE} <= RESERVED
    assert [column_label(name) for name in YARDSTICKS] == ["4-week momentum", "12-1 momentum", "1-week reversal"]
    assert (column_label("lstm"), column_label(AVERAGE)) == ("LSTM", "average")
