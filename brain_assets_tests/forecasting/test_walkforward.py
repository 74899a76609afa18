import datetime
from collections.abc import Collection
from dataclasses import replace

import numpy as np
import pandas as pd
import pytest

from brain_assets.errors import LookAheadError, RefusedSnapshotError
from brain_assets.forecasting.lstm import LstmConfig
from brain_assets.forecasting.training import train_snapshot
from brain_assets.forecasting.walkforward import build_forecast_features, choose_snapshots, weeks_by_source
from brain_assets.market.calendar import complete_weeks
from brain_assets.market.prices import PricePanel
from brain_assets.market.weekly import WeeklyPanel
from brain_assets.store.snapshot import ModelSnapshot
from brain_assets_tests.conftest import MADE_UP
from brain_assets_tests.portfolio.toy_results import Stored


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
    cutoffs = [datetime.date(2018, 12, 31), datetime.date(2019, 12, 31)]
    return Shelf(*(train_snapshot("lstm", panel, cutoff, tiny_lstm, MADE_UP) for cutoff in cutoffs))


def test_every_week_goes_to_the_newest_snapshot_that_was_finished_before_it(panel: PricePanel) -> None:
    weeks = complete_weeks(panel.sessions)
    cutoffs = [datetime.date(2018, 12, 31), datetime.date(2019, 12, 31)]
    by_start = dict(zip(weeks.start.astype(str), choose_snapshots(weeks, cutoffs).tolist(), strict=True))
    assert by_start["2018-12-24"] == -1
    assert by_start["2018-12-31"] == -1  # begins on the cut-off itself: the model knows that session
    assert by_start["2019-01-07"] == 0
    assert by_start["2019-12-30"] == 0  # ends in 2020, but begins before the cut-off of 2019
    assert by_start["2020-01-06"] == 1
    assert by_start["2021-06-07"] == 1


def test_source_stands_beside_every_forecast(panel: PricePanel, shelf: Shelf) -> None:
    forecasts = build_forecast_features(
        panel.until(datetime.date(2020, 12, 31)), [2020], {"lstm": shelf, "patchtst": Shelf()}
    )
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


def test_rows_are_the_years_weeks_and_the_symbols_tradable_then(panel: PricePanel, shelf: Shelf) -> None:
    values = panel.values.copy()
    late = panel.sessions < np.datetime64("2020-06-01")
    values[0, late] = np.nan  # listed on 1 June 2020
    ragged = PricePanel(panel.sessions, panel.symbols, values)
    forecasts = build_forecast_features(ragged, [2020], {"lstm": shelf})
    mine = forecasts[forecasts["symbol"] == panel.symbols[0]]
    assert mine["week_start"].min() == pd.Timestamp("2020-06-08")  # the first week with a close before it
    assert mine["lstm"].isna().sum() == 4  # 20 returns are first known at the close of 29 June
    assert mine["lstm"].notna().sum() == len(mine) - 4


def test_snapshot_refuses_weeks_that_begin_on_or_before_its_cutoff(panel: PricePanel, shelf: Shelf) -> None:
    snapshot = shelf.fetch_snapshot(datetime.date(2019, 12, 31))
    weeks = complete_weeks(panel.sessions)
    known = weeks.select(weeks.start == np.datetime64("2019-12-30"))
    with pytest.raises(LookAheadError, match="expected weeks that begin after its cut-off, got one of 2019-12-30"):
        snapshot.forecast(panel, known)


def test_one_batched_pass_equals_a_call_a_symbol_and_week(panel: PricePanel, shelf: Shelf) -> None:
    snapshot = shelf.fetch_snapshot(datetime.date(2019, 12, 31))
    bars = WeeklyPanel.from_panel(panel)
    weeks = bars.weeks.select(bars.weeks.year == 2021)
    together = snapshot.forecast(panel, weeks)
    for week in (0, 20, 51):
        for asset, symbol in enumerate(panel.symbols[:3]):
            alone = PricePanel(panel.sessions, (symbol,), panel.values[[asset]])
            single = snapshot.forecast(alone, weeks.select(np.array([week])))
            np.testing.assert_allclose(single[0, 0], together[week, asset], rtol=1e-4, atol=1e-7)


def test_forecasts_do_not_move_when_the_future_does(panel: PricePanel, shelf: Shelf) -> None:
    weeks = complete_weeks(panel.sessions)
    week = int(np.flatnonzero(weeks.year == 2020)[30])
    values = panel.values.copy()
    values[:, weeks.first[week] :] *= 3  # everything from the week's first open on
    changed = build_forecast_features(PricePanel(panel.sessions, panel.symbols, values), [2020], {"lstm": shelf})
    forecasts = build_forecast_features(panel, [2020], {"lstm": shelf})
    past = forecasts["week_start"] <= pd.Timestamp(weeks.start[week])
    known_then = ["week_start", "symbol", "lstm", "lstm_source", "momentum"]
    pd.testing.assert_frame_equal(forecasts.loc[past, known_then], changed.loc[past, known_then], check_exact=True)
    assert not forecasts.loc[~past, "lstm"].equals(changed.loc[~past, "lstm"])


def test_refused_snapshot_gives_way_to_the_next_older_one_and_then_to_momentum(panel: PricePanel, shelf: Shelf) -> None:
    sources, sentences = {}, []
    for refused in (set(), {2019}, {2018, 2019}):
        hostile = Shelf(*(shelf.fetch_snapshot(datetime.date(year, 12, 31)) for year in (2018, 2019)))
        hostile.refused = {datetime.date(year, 12, 31) for year in refused}
        table = build_forecast_features(panel, [2021], {"lstm": hostile}, on_refusal=sentences.append)
        [sources[len(refused)]] = set(table["lstm_source"])
        if len(refused) == 2:
            np.testing.assert_array_equal(table["lstm"], table["momentum"])
    assert sources == {0: "snapshot-2019-12-31", 1: "snapshot-2018-12-31", 2: "momentum"}
    assert sentences == [str(refusal(year)) for year in (2019, 2019, 2018)]


def test_a_return_that_did_not_come_is_not_known(panel: PricePanel) -> None:
    weeks = WeeklyPanel.from_panel(panel).weeks
    week, values = np.flatnonzero(weeks.year == 2020)[10], panel.values.copy()
    values[0, weeks.last[week]] = np.nan  # the price is carried forward, the return is not made of it
    table = build_forecast_features(replace(panel, values=values), [2020], {})
    [unknown] = table[table["realized"].isna()].itertuples()
    assert (unknown.week_start, unknown.symbol) == (pd.Timestamp(weeks.start[week]), panel.symbols[0])


def test_a_refused_snapshot_takes_no_newer_one_with_it(panel: PricePanel, shelf: Shelf) -> None:
    hostile, sentences = Shelf(*(shelf.fetch_snapshot(datetime.date(year, 12, 31)) for year in (2018, 2019))), []
    hostile.refused = {datetime.date(2018, 12, 31)}
    table = build_forecast_features(panel, [2019, 2020], {"lstm": hostile}, on_refusal=sentences.append)
    sources = table.groupby("week_start")["lstm_source"].first()
    assert set(sources[: pd.Timestamp("2019-12-30")]) == {"momentum"}
    assert set(sources[pd.Timestamp("2020-01-06") :]) == {"snapshot-2019-12-31"}
    assert sentences == [str(refusal(2018))]


def test_nobody_asks_for_a_model_older_than_the_first_there_can_be(panel: PricePanel, shelf: Shelf) -> None:
    first = datetime.date(2019, 12, 31)
    build_forecast_features(panel, [2016, 2017, 2018, 2019], {"lstm": shelf}, first)
    assert shelf.wanted == set()
    build_forecast_features(panel, [2020], {"lstm": shelf}, first)  # its first week began in 2019: momentum, or 2018's
    assert shelf.wanted == {first}
    build_forecast_features(panel, [2020], {"lstm": shelf})
    assert shelf.wanted == {datetime.date(2018, 12, 31), first}
