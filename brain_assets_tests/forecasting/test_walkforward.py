import datetime
from collections.abc import Collection
from dataclasses import replace

import numpy as np
import pandas as pd
import pytest

from brain_assets.errors import LookAheadError, RefusedSnapshotError
from brain_assets.forecasting.lstm import LstmConfig
from brain_assets.forecasting.training import train_snapshot
from brain_assets.forecasting.walkforward import (
    MOMENTUM,
    YARDSTICKS,
    build_forecast_features,
    choose_snapshots,
    column_label,
    weekly_correlations,
    weeks_by_source,
)
from brain_assets.market.calendar import complete_weeks
from brain_assets.market.prices import PricePanel
from brain_assets.market.weekly import WeeklyPanel
from brain_assets.registry import AVERAGE, RESERVED
from brain_assets.store.snapshot import ModelSnapshot
from brain_assets_tests.conftest import MADE_UP
from brain_assets_tests.portfolio.toy_results import Stored

OF_2018, OF_2019 = datetime.date(2018, 12, 31), datetime.date(2019, 12, 31)


def refusal(year: int) -> RefusedSnapshotError:
    return RefusedSnapshotError("README.md", "not to be believed", f"user/lstm@snapshot-{year}-12-31")


class Shelf(Stored):
    """Some of them not to be believed."""

    refused: Collection[datetime.date] = ()
    wanted: Collection[datetime.date] = ()

    def list_candidates(self, wanted: Collection[datetime.date]) -> list[datetime.date]:
        self.wanted = set(wanted)
        return super().list_candidates(wanted)

    def fetch_snapshot(self, cutoff_date: datetime.date) -> ModelSnapshot:
        if cutoff_date in self.refused:
            raise refusal(cutoff_date.year)
        return super().fetch_snapshot(cutoff_date)


@pytest.fixture(scope="module")
def shelf(panel: PricePanel, tiny_lstm: LstmConfig) -> Shelf:
    return Shelf(*(train_snapshot("lstm", panel, cutoff, tiny_lstm, MADE_UP) for cutoff in (OF_2018, OF_2019)))


def hostile(shelf: Shelf, *refused: datetime.date) -> Shelf:
    found = Shelf(*shelf.by_date.values())
    found.refused = refused
    return found


def test_every_week_goes_to_the_newest_snapshot_that_was_finished_before_it(panel: PricePanel) -> None:
    weeks = complete_weeks(panel.sessions)
    chosen = choose_snapshots(weeks, [OF_2018, OF_2019]).tolist()
    by_start = dict(zip(weeks.start.astype(str), chosen, strict=True))
    assert by_start["2018-12-24"] == -1
    assert by_start["2018-12-31"] == -1  # begins on the cut-off itself: the model knows that session
    assert by_start["2019-01-07"] == 0
    assert by_start["2019-12-30"] == 0  # ends in 2020, but begins before the cut-off of 2019
    assert by_start["2020-01-06"] == by_start["2021-06-07"] == 1


def test_source_stands_beside_every_forecast(panel: PricePanel, shelf: Shelf) -> None:
    until = panel.until(datetime.date(2020, 12, 31))
    forecasts = build_forecast_features(until, [2020], {"lstm": shelf, "patchtst": Shelf()})
    assert list(forecasts.columns) == [
        "week_start", "symbol", "lstm", "lstm_source", "patchtst", "patchtst_source",
        "average", "average_source", "momentum", "momentum_12_1", "reversal", "realized",
    ]  # fmt: skip
    by_week = forecasts.groupby("week_start")["lstm_source"].unique().map(list)
    assert by_week.iloc[0] == ["snapshot-2018-12-31"]  # the week of 2019-12-30
    assert {tuple(sources) for sources in by_week.iloc[1:]} == {("snapshot-2019-12-31",)}
    assert weeks_by_source(forecasts, "lstm") == {"snapshot-2018-12-31": 1, "snapshot-2019-12-31": len(by_week) - 1}
    assert set(forecasts["patchtst_source"]) == {"momentum"}
    pd.testing.assert_series_equal(forecasts["patchtst"], forecasts["momentum"], check_names=False)
    assert not np.allclose(forecasts["lstm"], forecasts["momentum"])
    assert list(weekly_correlations(forecasts)) == ["lstm", "average", *YARDSTICKS]


def test_rows_are_the_years_weeks_and_the_symbols_tradable_then(panel: PricePanel, shelf: Shelf) -> None:
    weeks = WeeklyPanel.from_panel(panel).weeks
    week, values = np.flatnonzero(weeks.year == 2020)[10], panel.values.copy()
    values[0, panel.sessions < np.datetime64("2020-06-01")] = np.nan  # listed on 1 June 2020
    values[1, weeks.last[week]] = np.nan  # the price is carried forward, the return is not made of it
    forecasts = build_forecast_features(replace(panel, values=values), [2020], {"lstm": shelf})
    mine = forecasts[forecasts["symbol"] == panel.symbols[0]]
    assert mine["week_start"].min() == pd.Timestamp("2020-06-08")  # the first week with a close before it
    assert mine["lstm"].isna().tolist() == [True] * 4 + [False] * (len(mine) - 4)  # 20 returns by 29 June's close
    [unknown] = forecasts[forecasts["realized"].isna()].itertuples()
    assert (unknown.week_start, unknown.symbol) == (pd.Timestamp(weeks.start[week]), panel.symbols[1])


def test_one_batched_pass_equals_a_call_a_symbol_and_week(panel: PricePanel, shelf: Shelf) -> None:
    snapshot, weeks = shelf.fetch_snapshot(OF_2019), complete_weeks(panel.sessions)
    known = weeks.select(weeks.start == np.datetime64("2019-12-30"))
    with pytest.raises(LookAheadError, match="expected weeks that begin after its cut-off, got one of 2019-12-30"):
        snapshot.forecast(panel, known)
    weeks = weeks.select(weeks.year == 2021)
    together = snapshot.forecast(panel, weeks)
    for week, asset in ((0, 0), (20, 1), (51, 2)):
        alone = PricePanel(panel.sessions, (panel.symbols[asset],), panel.values[[asset]])
        single = snapshot.forecast(alone, weeks.select(np.array([week])))
        np.testing.assert_allclose(single[0, 0], together[week, asset], rtol=1e-4, atol=1e-7)


def test_nothing_moves_when_the_future_does_not_even_by_a_digit(panel: PricePanel, shelf: Shelf) -> None:
    weeks = complete_weeks(panel.sessions)
    week = int(np.flatnonzero(weeks.year == 2020)[30])
    values = panel.values.copy()
    values[:, weeks.first[week] :] *= np.linspace(2, 3, len(panel.symbols))[:, None, None]  # from its first open on
    values[2, weeks.first[week] :] = np.nan  # and one is gone
    one, other = (
        build_forecast_features(each, [2020], {"lstm": shelf})
        for each in (panel, PricePanel(panel.sessions, panel.symbols, values))
    )
    past = one["week_start"] <= pd.Timestamp(weeks.start[week])
    known = [name for name in one if name != "realized"]
    pd.testing.assert_frame_equal(one.loc[past, known], other.loc[: past.sum() - 1, known], check_exact=True)
    for name in ("lstm", "average", *YARDSTICKS):
        assert not one.loc[~past, name].reset_index(drop=True).equals(other[name][past.sum() :].reset_index(drop=True))


def test_a_refused_snapshot_gives_way_to_the_next_older_one_and_takes_no_newer_one_with_it(
    panel: PricePanel, shelf: Shelf
) -> None:
    sources, sentences = [], []
    for refused in ([], [OF_2019], [OF_2018, OF_2019]):
        given = {"lstm": hostile(shelf, *refused)}
        table = build_forecast_features(panel, [2021], given, on_refusal=sentences.append)
        sources += set(table["lstm_source"])
    assert sources == ["snapshot-2019-12-31", "snapshot-2018-12-31", "momentum"]
    assert sentences == [str(refusal(year)) for year in (2019, 2019, 2018)]
    np.testing.assert_array_equal(table["lstm"], table["momentum"])
    given = {"lstm": hostile(shelf, OF_2018)}
    table = build_forecast_features(panel, [2019, 2020], given, on_refusal=sentences.append)
    by_week = table.groupby("week_start")["lstm_source"].first()
    assert set(by_week[: pd.Timestamp("2019-12-30")]) == {"momentum"}
    assert set(by_week[pd.Timestamp("2020-01-06") :]) == {"snapshot-2019-12-31"}


def test_nobody_asks_for_a_model_older_than_the_first_there_can_be(panel: PricePanel, shelf: Shelf) -> None:
    # the first week of 2020 began in 2019: momentum, or 2018's
    for years, first, wanted in (
        ([2016, 2017, 2018, 2019], OF_2019, set()),
        ([2020], OF_2019, {OF_2019}),
        ([2020], None, {OF_2018, OF_2019}),
    ):
        build_forecast_features(panel, years, {"lstm": shelf}, first)
        assert shelf.wanted == wanted


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
    assert {*YARDSTICKS, AVERAGE} <= RESERVED  # no family may be called so
    labels = [column_label(name) for name in (*YARDSTICKS, "lstm", AVERAGE)]
    assert labels == ["4-week momentum", "12-1 momentum", "1-week reversal", "LSTM", "average"]
