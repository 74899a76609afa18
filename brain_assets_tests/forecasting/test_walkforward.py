import datetime
from collections.abc import Collection
from dataclasses import replace
from types import SimpleNamespace
from typing import Any

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
    forecast_verdicts,
    snapshot_verdicts,
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


# What is asked before anything is built on them


def table(skill: float = 0.0, n_symbols: int = 20, source: str = "snapshot-2019-12-31") -> pd.DataFrame:
    """A year of forecasts, each a mix of what comes and of noise."""
    random = np.random.default_rng(0)
    weeks = pd.date_range("2020-01-06", periods=52, freq="7D", unit="us")
    realized = random.normal(size=(52, n_symbols))
    forecast = skill * realized + random.normal(size=realized.shape)
    frame = pd.DataFrame(
        {
            "week_start": np.repeat(weeks, n_symbols),
            "symbol": [f"S{number:02}" for number in range(n_symbols)] * 52,
            "lstm": forecast.ravel(),
            "momentum": random.normal(size=realized.size),
            "realized": realized.ravel(),
        }
    )
    return frame.assign(lstm_source=source, patchtst=frame["momentum"], patchtst_source="momentum")


def failing(forecasts: pd.DataFrame, *bound: float) -> dict[str, str]:
    return {name: found.words for name, found in forecast_verdicts(forecasts, *bound).items() if not found.passed}


def test_honest_forecasts_pass() -> None:
    assert failing(table()) == {}
    assert "lstm +0.1" in forecast_verdicts(table(skill=0.1))["not_too_good"].words


@pytest.mark.parametrize(
    "source", ["snapshot-2020-01-06", "v2019-12-31-0123456789ab", "lstm snapshot-2019-12-31, lstm snapshot-2020-12-31"]
)
def test_a_source_that_is_not_older_than_its_week_is_named(source: str) -> None:
    forecasts = table()
    forecasts.loc[forecasts["week_start"] == "2020-01-06", "lstm_source"] = source
    assert list(failing(forecasts)) == ["sources_before_weeks"]
    assert f"lstm in the week of 2020-01-06 by {source}" in failing(forecasts)["sources_before_weeks"]


def test_infinite_and_missing_forecasts_are_told_apart() -> None:
    forecasts = table()
    forecasts.loc[3, "lstm"] = np.inf
    assert list(failing(forecasts)) == ["finite"]
    forecasts = table()
    forecasts.loc[: len(forecasts) // 5, "lstm"] = np.nan
    assert list(failing(forecasts)) == ["coverage"]
    assert "lstm 79.9%, patchtst 100.0%" in failing(forecasts)["coverage"]


def test_what_is_too_good_to_be_true_is_refused_with_the_reason() -> None:
    found = failing(table(skill=1.0))  # a correlation of 0.71
    assert list(found) == ["not_too_good"]
    assert "too good to be true: mean weekly rank correlation lstm +0.6" in found["not_too_good"]
    assert failing(table(skill=1.0), 0.9) == {}
    assert failing(table(skill=1.0, source="momentum")) == {}  # a rule on past prices has no model to suspect


def test_luck_with_few_symbols_is_not_too_good() -> None:
    """Of 30 years of 3 symbols without any skill, none is refused, whatever mean luck gives them."""
    means = []
    for seed in range(1, 31):  # that of the realized returns is 0
        forecasts = table(n_symbols=3)
        forecasts["lstm"] = np.random.default_rng(seed).normal(size=len(forecasts))
        found = forecast_verdicts(forecasts)["not_too_good"]
        assert found.passed
        means.append(float(found.words.split("lstm ")[1].split(" ")[0]))
    assert max(means) > 0.1  # more than a standard error of one year


@pytest.mark.parametrize(
    ("last_training", "loss", "failing"),
    [
        ("2020-12-31", 0.9, []),
        ("2021-01-08", 0.9, ["targets_before_cutoff"]),
        ("2020-12-31", 1.1, ["beats_zero"]),
        ("2020-12-31", np.nan, ["validation_loss_finite", "beats_zero"]),
    ],
)
def test_a_snapshot_that_learned_past_its_cutoff_is_refused(last_training: str, loss: float, failing: list) -> None:
    training = {"validation_loss": loss, "zero_validation_loss": 1.0}
    metadata = {"data": {"last_training_target": last_training}, "training": training}
    snapshot: Any = SimpleNamespace(cutoff_date=datetime.date(2020, 12, 31), metadata=metadata)
    assert [name for name, found in snapshot_verdicts(snapshot).items() if not found.passed] == failing
