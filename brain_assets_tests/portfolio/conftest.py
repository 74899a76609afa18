"""Momentum under the names of forecasters, and policies that hardly learned from it."""

import pandas as pd
import pytest

from brain_assets import registry
from brain_assets.forecasting.walkforward import build_forecast_features
from brain_assets.market.prices import PricePanel
from brain_assets.market.weekly import WeeklyPanel
from brain_assets.portfolio.policies import train_policy_snapshot, training_weeks
from brain_assets.store.names import cutoff_of_year
from brain_assets.store.snapshot import ModelSnapshot
from brain_assets_tests.conftest import MADE_UP, POLICIES, TINY
from brain_assets_tests.portfolio.toy_results import NO_MODELS

CONFIG = {name: registry.get(name).Config(**TINY["ops"][f"{name}_policy"]["config"]) for name in POLICIES}


@pytest.fixture(scope="session")
def bars(panel: PricePanel) -> WeeklyPanel:
    return WeeklyPanel.from_panel(panel)


@pytest.fixture(scope="session")
def forecasts(panel: PricePanel) -> pd.DataFrame:
    return build_forecast_features(panel, range(2016, 2022), NO_MODELS)


@pytest.fixture(scope="session")
def snapshots(bars: WeeklyPanel, forecasts: pd.DataFrame) -> dict[tuple[str, int], ModelSnapshot]:
    made = {}
    for family, year in (("ppo", 2018), ("ppo", 2019), ("sac", 2018), ("sac", 2019), ("direct", 2018)):
        weeks = training_weeks(bars, forecasts, family, cutoff_of_year(year), CONFIG[family])
        made[family, year] = train_policy_snapshot(family, weeks, cutoff_of_year(year), CONFIG[family], MADE_UP)
    return made
