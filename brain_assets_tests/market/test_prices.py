"""The panel laid out of a price table."""

import datetime

import numpy as np
import pytest

from brain_assets.errors import TableError
from brain_assets.market.prices import CLOSE, PricePanel
from brain_assets_tests.store.test_tables import bars


def test_the_panel_has_every_session_and_leaves_absent_bars_unknown() -> None:
    rows = [("2020-01-02", "ZZZ", 10.0), ("2020-01-03", "AAA", 20.0), ("2020-01-07", "AAA", 22.0)]
    panel = PricePanel.from_frame(bars(*rows, ("2020-01-07", "ZZZ", 12.0)))
    # 1 January is a holiday, 4 and 5 January a weekend, and nobody traded on Monday the 6th
    assert list(map(str, panel.sessions)) == ["2020-01-02", "2020-01-03", "2020-01-06", "2020-01-07"]
    assert panel.symbols == ("AAA", "ZZZ")
    assert panel.values.shape == (2, 4, 5)
    nan = np.nan
    np.testing.assert_array_equal(panel.values[:, :, CLOSE], [[nan, 20.0, nan, 22.0], [10.0, nan, nan, 12.0]])
    # open, high, low, close, volume of ZZZ's first bar
    np.testing.assert_array_equal(panel.values[1, 0], [9.0, 12.0, 8.0, 10.0, 1000.0])
    assert np.isnan(panel.values[1, 1]).all()
    with pytest.raises(TableError, match="expected at least one bar, got an empty price table"):
        PricePanel.from_frame(bars())


def test_until_forgets_symbols_listed_later_and_keeps_those_that_stopped() -> None:
    rows = [("2020-01-02", "AAA", 10.0), ("2020-01-02", "CCC", 30.0), ("2020-01-03", "AAA", 11.0)]
    later = [("2020-01-06", "AAA", 12.0), ("2020-01-06", "BBB", 20.0), ("2020-01-07", "BBB", 21.0)]
    cut = PricePanel.from_frame(bars(*rows, *later)).until(datetime.date(2020, 1, 5))  # a Sunday
    assert cut.symbols == ("AAA", "CCC")
    assert list(map(str, cut.sessions)) == ["2020-01-02", "2020-01-03"]
    np.testing.assert_array_equal(cut.values[:, :, CLOSE], [[10.0, 11.0], [30.0, np.nan]])
