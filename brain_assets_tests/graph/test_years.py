import datetime

import dagster as dg
import pytest
from dagster._core.definitions.partitions.context import partition_loading_context
from dagster._core.test_utils import freeze_time

from brain_assets.errors import SettingsError
from brain_assets.graph.years import Years
from brain_assets.market.sample import SampleMarket
from brain_assets.settings import read_settings
from brain_assets.simulator.market import SimulatorMarket
from brain_assets_tests.graph.worlds import DEFS

NEW_YORK = datetime.timezone(datetime.timedelta(hours=-5))


@pytest.mark.parametrize(
    ("now", "keys"),
    [
        (datetime.datetime(2021, 12, 31, 23, 59, 59, tzinfo=NEW_YORK), [2019, 2020]),
        (datetime.datetime(2022, 1, 1, 0, 0, 0, tzinfo=NEW_YORK), [2019, 2020, 2021]),
        (datetime.datetime(2022, 1, 1, 0, 0, 0, tzinfo=datetime.UTC), [2019, 2020]),  # still 2021 in New York
        (datetime.datetime(2019, 6, 1, tzinfo=NEW_YORK), []),
    ],
)
def test_unfinished_year_is_never_a_partition(now: datetime.datetime, keys: list[int]) -> None:
    for last_year in (None, "2035"):  # not even where it is asked for
        years = Years.of(read_settings(market="simulator", last_year=last_year), SimulatorMarket())
        with freeze_time(now):
            assert years.existing() == keys


def test_last_year_and_market_bound_the_years() -> None:
    with freeze_time(datetime.datetime(2026, 3, 1, tzinfo=NEW_YORK)):
        years = Years.of(read_settings(market="simulator", last_year="2021"), SimulatorMarket())
        assert years.existing() == [2019, 2020, 2021]
        years = Years.of(read_settings(market="sample"), SampleMarket())
        assert years.existing() == [2019, 2020, 2021, 2022]
        settings = read_settings(market="sample", first_year="1990", bootstrap_years="3", last_year="1994")
        assert Years.of(settings, SampleMarket()).existing() == [1992, 1993, 1994]


def test_market_that_ends_before_the_bootstrap_window_does_is_one_sentence() -> None:
    settings = read_settings(market="sample", first_year="2021")
    with pytest.raises(
        SettingsError, match=r"expected a bootstrap window of 4 years that ends by 2022.* got 2021; set"
    ):
        Years.of(settings, SampleMarket())


def test_a_week_that_straddles_new_year_declares_the_older_snapshot_it_needs() -> None:
    graph = DEFS.resolve_asset_graph()
    for child, parent in (("walkforward_forecasts", "lstm_snapshot"), ("backtest", "ppo_policy")):
        with partition_loading_context():
            needs = graph.get_parents_partitions(dg.AssetKey(child), "2025").parent_partitions
        years = {need.partition_key for need in needs if need.asset_key == dg.AssetKey(parent)}
        assert years == {"2023", "2024"}  # the week of 2024-12-30 begins before the cut-off of 2024
