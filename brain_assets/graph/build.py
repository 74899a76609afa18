"""From settings to everything that Dagster is told: nothing is opened before somebody asks for it."""

from typing import NamedTuple

import dagster as dg

from brain_assets.graph.adopt import adopt
from brain_assets.graph.assets import Assets, build_assets
from brain_assets.graph.automation import downstream
from brain_assets.graph.engines import executor_of, spread_of
from brain_assets.graph.failures import failure_sensor
from brain_assets.graph.freshness import freshness_check, freshness_schedule
from brain_assets.graph.jobs import asset_jobs
from brain_assets.graph.new_data import new_data_sensor
from brain_assets.graph.resources import resources_from
from brain_assets.graph.runs import dead_runs
from brain_assets.graph.sync import SYNC_JOBS
from brain_assets.graph.weekly import every_week
from brain_assets.graph.years import Years
from brain_assets.market.base import Market
from brain_assets.market.registry import open_market
from brain_assets.settings import Settings


class Project(NamedTuple):
    """What some settings stand for; a process may have several."""

    settings: Settings
    market: Market
    years: Years
    assets: Assets
    definitions: dg.Definitions


def open_project(settings: Settings) -> Project:
    """Open the market of some settings, and define assets, checks, jobs, sensors, schedules and resources on it.

    Raises
    ------
    SettingsError, MarketError
        If what the settings name does not fit together, or is not there.
    """
    market = open_market(settings.market, settings.symbols, settings.files_dir, settings.edgar_identity)
    years = Years.of(settings, market)
    assets = build_assets(years, settings.families, lambda asset: spread_of(settings, asset))
    check = freshness_check(years)
    definitions = dg.Definitions(
        assets=assets.every,
        asset_checks=[check],
        jobs=[*asset_jobs(assets), *SYNC_JOBS],
        schedules=[every_week, freshness_schedule(check)],
        sensors=[adopt, dead_runs, new_data_sensor(settings, years, assets.raw), downstream, failure_sensor(settings)],
        resources=resources_from(settings, market),
        executor=executor_of(settings, assets.pools),
    )
    return Project(settings, market, years, assets, definitions)


def build_definitions(settings: Settings) -> dg.Definitions:
    """Give what Dagster is told of some settings; see `open_project`."""
    return open_project(settings).definitions
