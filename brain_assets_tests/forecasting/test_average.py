"""The average of forecasts: mean ranks by hand, whose snapshots count, and that nothing later does."""

import datetime

import numpy as np
import pandas as pd
import pytest

from brain_assets.errors import ConfigError
from brain_assets.forecasting.average import (
    SnapshotForecasts,
    average_entries,
    average_ranks,
    entries_in,
    families_in,
    newest_cutoff,
    snapshots_in,
)
from brain_assets.forecasting.checks import forecast_verdicts
from brain_assets.forecasting.training import train_snapshot
from brain_assets.forecasting.walkforward import build_forecast_features, weekly_correlations
from brain_assets.market.calendar import complete_weeks
from brain_assets.market.prices import PricePanel
from brain_assets_tests.conftest import MADE_UP
from brain_assets_tests.portfolio.toy_results import Stored
from examples.pls_forecaster import Pls, PlsConfig

NAN = np.nan
OF_YEAR = {year: datetime.date(year, 12, 31) for year in range(2016, 2022)}


def forecasts(*rows: list[float], source: str = "snapshot-2019-12-31") -> SnapshotForecasts:
    return SnapshotForecasts(np.array(rows), np.array([source] * len(rows), dtype=object))


# By hand


def test_mean_of_ranks_with_ties_and_what_is_not_known_by_hand() -> None:
    one = forecasts([0.04, 0.01, 0.01, 0.02], [0.1, 0.2, NAN, NAN])
    two = forecasts([1.0, 2.0, 3.0, NAN], [NAN, 5.0, NAN, NAN])
    average = average_ranks({"one": [one], "two": [two]})
    # week 1, one: ranks 4, 1.5, 1.5, 3 less 2.5 over sqrt(15 / 12); two: ranks 1, 2, 3 less 2 over sqrt(8 / 12)
    first = np.array([1.5, -1.0, -1.0, 0.5]) / np.sqrt(1.25)
    second = np.array([-1.0, 0.0, 1.0]) / np.sqrt(2 / 3)
    scores = [*(first[:3] + second) / 2, first[3]]
    # one: mean .02, deviations .02, -.01, -.01, 0: sqrt(.0006 / 4); two: sqrt(2 / 3)
    spread = (np.sqrt(0.00015) + np.sqrt(2 / 3)) / 2
    np.testing.assert_allclose(average.values[0], np.array(scores) * spread)
    # week 2, one: ranks 1, 2 less 1.5 over .5, spread .05; two: a single one, rank score 0, spread 0
    np.testing.assert_allclose(average.values[1], np.array([-1.0, 0.5, NAN, NAN]) * 0.025)
    assert set(average.source) == {"one snapshot-2019-12-31, two snapshot-2019-12-31"}


def test_three_snapshots_of_a_family_count_as_one_entry() -> None:
    up, down = [0.1, 0.2, 0.3], [0.3, 0.2, 0.1]
    newest, older, none = forecasts(up), forecasts(down, source="snapshot-2018-12-31"), forecasts([NAN] * 3, source="")
    average = average_ranks({"one": [newest, older, older], "two": [newest]})
    # the entries' scores of the last symbol are (1 - 1 - 1) / 3 and 1 times sqrt(3 / 2), all spreads sqrt(2 / 300)
    np.testing.assert_allclose(
        average.values, [np.array([-1, 0, 1]) * np.sqrt(3 / 2) / 3 * np.sqrt(2 / 300)], atol=1e-16
    )
    assert average.source[0] == (
        "one snapshot-2019-12-31, one snapshot-2018-12-31, one snapshot-2018-12-31, two snapshot-2019-12-31"
    )
    alone, early = average_ranks({"one": [newest]}), average_ranks({"one": [newest, none, none]})
    np.testing.assert_array_equal(alone.values, early.values)  # the first years have fewer than three
    nothing = average_ranks({"one": [none]})
    assert np.isnan(nothing.values).all()
    assert nothing.source.tolist() == [""]


def test_a_symbol_that_is_listed_later_changes_no_digit() -> None:
    values = np.random.default_rng(0).normal(0.0, 0.02, (5, 40))
    wider = np.concatenate([values[:, :17], np.full((5, 30), NAN), values[:, 17:]], axis=1)
    narrow, wide = (
        average_ranks({"one": [forecasts(*each.tolist())], "two": [forecasts(*(each**2).tolist())]}).values
        for each in (values, wider)
    )
    np.testing.assert_array_equal(np.delete(wide, np.s_[17:47], axis=1), narrow)


# Entries and cells


def test_entries_are_families_with_how_many_of_their_snapshots_count() -> None:
    assert average_entries(None, ["one", "two"]) == {"one": 1, "two": 1}
    assert average_entries([], ["one", "two"]) == {}
    assert average_entries(["two:3", "one"], ["one", "two"]) == {"two": 3, "one": 1}
    for wrong in ("three", "one:0", "one:10", "one:", "one,two", ""):
        with pytest.raises(ConfigError, match=r"average: expected forecasters among one, two, .* as in one:3, got '"):
            average_entries([wrong], ["one", "two"])
    with pytest.raises(ConfigError, match=r"each once, .* got 'one:3'; correct it"):
        average_entries(["one", "one:3"], ["one", "two"])


def test_a_cell_names_all_snapshots_or_none() -> None:
    cell = "one snapshot-2019-12-31, one snapshot-2018-12-31, two snapshot-2020-12-31"
    assert snapshots_in(cell, "average") == [("one", OF_YEAR[2019]), ("one", OF_YEAR[2018]), ("two", OF_YEAR[2020])]
    assert snapshots_in("snapshot-2019-12-31", "one") == [("one", OF_YEAR[2019])]
    assert newest_cutoff(cell) == OF_YEAR[2020]
    assert entries_in(cell) == ["one:2", "two:1"]
    for wrong in ("momentum", "", "one snapshot-2019-12-31, two"):
        assert (snapshots_in(wrong, "one"), newest_cutoff(wrong), entries_in(wrong)) == ([], None, None)


# In the walk-forward


@pytest.fixture(scope="module")
def fitted(panel: PricePanel) -> Stored:
    years = (2017, 2018, 2019)
    return Stored(*(train_snapshot(Pls.name, panel, OF_YEAR[year], PlsConfig(), MADE_UP) for year in years))


def test_it_stands_beside_the_forecasters_with_all_its_sources(panel: PricePanel, fitted: Stored) -> None:
    table = build_forecast_features(panel, [2018, 2019, 2020], {"pls": fitted, "lstm": Stored()}, average=["pls:3"])
    assert families_in(table) == ["pls", "lstm", "average"]
    by_week = table.groupby("week_start")["average_source"].unique()
    assert {tuple(cell) for cell in by_week} == {
        ("pls snapshot-2017-12-31",),
        ("pls snapshot-2018-12-31, pls snapshot-2017-12-31",),
        ("pls snapshot-2019-12-31, pls snapshot-2018-12-31, pls snapshot-2017-12-31",),
    }
    last = table[table["week_start"] == table["week_start"].max()]
    weeks = complete_weeks(panel.sessions)
    row = np.flatnonzero(weeks.start == last["week_start"].to_numpy().astype("datetime64[D]")[0])
    alone = [fitted.fetch_snapshot(OF_YEAR[year]).forecast(panel, weeks.select(row)) for year in (2019, 2018, 2017)]
    expected = average_ranks({"pls": [forecasts(*each.tolist()) for each in alone]}).values[0]
    np.testing.assert_allclose(last["average"], expected, rtol=1e-4, atol=1e-9)  # batches round their last digits
    assert all(found.passed for found in forecast_verdicts(table).values())
    assert "average" in weekly_correlations(table)


def test_what_is_averaged_is_what_was_chosen(panel: PricePanel, fitted: Stored) -> None:
    sources = {"pls": fitted, "lstm": Stored()}
    both = build_forecast_features(panel, [2020], sources)
    assert both["average_source"].iloc[-1] == "pls snapshot-2019-12-31"  # the other has no model, only momentum
    rank = both.groupby("week_start")[["pls", "average"]].rank()
    np.testing.assert_array_equal(rank["pls"], rank["average"])
    bootstrap = build_forecast_features(panel, [2017], sources)
    assert set(bootstrap["average_source"]) == {"momentum"}
    pd.testing.assert_series_equal(bootstrap["average"], bootstrap["momentum"], check_names=False)
    none = build_forecast_features(panel, [2020], sources, average=[])
    pd.testing.assert_frame_equal(none, both.drop(columns=["average", "average_source"]))
