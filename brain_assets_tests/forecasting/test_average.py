"""The average of forecasts: mean ranks by hand, who is averaged, and that nothing later counts."""

import datetime

import numpy as np
import pandas as pd
import pytest

from brain_assets.errors import ConfigError
from brain_assets.forecasting.average import (
    SnapshotForecasts,
    average_ranks,
    averaged_families,
    averaged_in,
    families_in,
    newest_cutoff,
    snapshots_in,
)
from brain_assets.forecasting.ridge import RidgeConfig
from brain_assets.forecasting.training import train_snapshot
from brain_assets.forecasting.walkforward import build_forecast_features, forecast_verdicts, weekly_correlations
from brain_assets.market.prices import PricePanel
from brain_assets_tests.conftest import MADE_UP
from brain_assets_tests.portfolio.toy_results import Stored

NAN = np.nan
OF_YEAR = {year: datetime.date(year, 12, 31) for year in range(2016, 2022)}


def forecasts(*rows: list[float], source: str = "snapshot-2019-12-31") -> SnapshotForecasts:
    return SnapshotForecasts(np.array(rows), np.array([source] * len(rows), dtype=object))


# By hand


def test_mean_of_ranks_with_ties_and_what_is_not_known_by_hand() -> None:
    one = forecasts([0.04, 0.01, 0.01, 0.02], [0.1, 0.2, NAN, NAN])
    two = forecasts([1.0, 2.0, 3.0, NAN], [NAN, 5.0, NAN, NAN])
    none = forecasts([NAN] * 4, [NAN] * 4, source="")  # in the first years there is no snapshot
    average = average_ranks({"one": one, "none": none, "two": two})
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
    nothing = average_ranks({"none": none})
    assert np.isnan(nothing.values).all()
    assert set(nothing.source) == {""}


def test_a_symbol_that_is_listed_later_changes_no_digit() -> None:
    values = np.random.default_rng(0).normal(0.0, 0.02, (5, 40))
    wider = np.concatenate([values[:, :17], np.full((5, 30), NAN), values[:, 17:]], axis=1)
    narrow, wide = (
        average_ranks({"one": forecasts(*each.tolist()), "two": forecasts(*(each**2).tolist())}).values
        for each in (values, wider)
    )
    np.testing.assert_array_equal(np.delete(wide, np.s_[17:47], axis=1), narrow)


# Families and cells


def test_all_are_averaged_or_those_that_are_named() -> None:
    for chosen, expected in ((None, ["one", "two"]), ([], []), (["two"], ["two"])):
        assert averaged_families(chosen, ["one", "two"]) == expected
    for wrong in (["three"], ["one:3"], ["one,two"], [""], ["one", "one"]):
        with pytest.raises(ConfigError, match=rf"average: expected .* among one, two, each once, got '{wrong[-1]}';"):
            averaged_families(wrong, ["one", "two"])


def test_a_cell_names_all_snapshots_or_none() -> None:
    cell = "one snapshot-2020-12-31, two snapshot-2019-12-31"
    assert snapshots_in(cell, "average") == [("one", OF_YEAR[2020]), ("two", OF_YEAR[2019])]
    assert snapshots_in("snapshot-2019-12-31", "one") == [("one", OF_YEAR[2019])]
    assert newest_cutoff(cell) == OF_YEAR[2020]
    assert averaged_in(cell) == ["one", "two"]
    for wrong in ("momentum", "", "one snapshot-2019-12-31, two"):
        assert (snapshots_in(wrong, "one"), newest_cutoff(wrong), averaged_in(wrong)) == ([], None, None)


# In the walk-forward


@pytest.fixture(scope="module")
def fitted(panel: PricePanel) -> Stored:
    return Stored(*(train_snapshot("ridge", panel, OF_YEAR[year], RidgeConfig(), MADE_UP) for year in (2018, 2019)))


def test_it_stands_beside_the_forecasters_with_all_its_sources(panel: PricePanel, fitted: Stored) -> None:
    older = Stored(fitted.fetch_snapshot(OF_YEAR[2018]))
    table = build_forecast_features(panel, [2019, 2020], {"ridge": fitted, "older": older, "lstm": Stored()})
    assert families_in(table) == ["ridge", "older", "lstm", "average"]
    by_week = table.groupby("week_start")["average_source"].unique()
    assert {tuple(cell) for cell in by_week} == {
        ("momentum",),  # the week of 31 December 2018
        ("ridge snapshot-2018-12-31, older snapshot-2018-12-31",),
        ("ridge snapshot-2019-12-31, older snapshot-2018-12-31",),
    }
    last = table[table["week_start"] == table["week_start"].max()]
    both = {name: forecasts(last[name].tolist()) for name in ("ridge", "older")}
    np.testing.assert_array_equal(last["average"], average_ranks(both).values[0])
    assert all(found.passed for found in forecast_verdicts(table).values())
    assert "average" in weekly_correlations(table)


def test_what_is_averaged_is_what_was_chosen(panel: PricePanel, fitted: Stored) -> None:
    sources = {"ridge": fitted, "lstm": Stored()}
    both = build_forecast_features(panel, [2020], sources)
    assert both["average_source"].iloc[-1] == "ridge snapshot-2019-12-31"  # the other has no model, only momentum
    rank = both.groupby("week_start")[["ridge", "average"]].rank()
    np.testing.assert_array_equal(rank["ridge"], rank["average"])
    bootstrap = build_forecast_features(panel, [2017], sources)
    assert set(bootstrap["average_source"]) == {"momentum"}
    pd.testing.assert_series_equal(bootstrap["average"], bootstrap["momentum"], check_names=False)
    none = build_forecast_features(panel, [2020], sources, average=[])
    pd.testing.assert_frame_equal(none, both.drop(columns=["average", "average_source"]))
