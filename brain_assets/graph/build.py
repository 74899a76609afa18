"""From settings to everything that Dagster is told: nothing is opened before somebody asks for it."""

from collections.abc import Iterator
from contextlib import AbstractContextManager, contextmanager
from dataclasses import replace

import dagster as dg

from brain_assets.graph.adopt import adopt
from brain_assets.graph.assets.backtests import backtest_asset
from brain_assets.graph.assets.forecasters import forecaster_asset
from brain_assets.graph.assets.forecasts import forecasts_asset
from brain_assets.graph.assets.policies import policy_asset
from brain_assets.graph.assets.prices import raw_prices_asset
from brain_assets.graph.assets.reports import report_asset
from brain_assets.graph.assets.signals import fundamentals_asset, news_asset
from brain_assets.graph.assets.week import so_far_asset, target_weights_asset
from brain_assets.graph.automation import downstream
from brain_assets.graph.failures import failure_sensor
from brain_assets.graph.freshness import freshness_check, freshness_schedule
from brain_assets.graph.instance import dagster_home, open_instance
from brain_assets.graph.jobs import tear_sheet_job, walkforward_job, weekly_weights_job
from brain_assets.graph.new_data import new_data_sensor
from brain_assets.graph.project import Project
from brain_assets.graph.resources import resources_from
from brain_assets.graph.runs import dead_runs
from brain_assets.graph.sync import SYNC_JOBS
from brain_assets.graph.weekly import every_week
from brain_assets.graph.years import Years
from brain_assets.market.schema import RAW
from brain_assets.plugins import resolve
from brain_assets.registry import Families
from brain_assets.settings import Settings, read_settings


def build_assets(years: Years, families: Families) -> list[dg.AssetsDefinition]:
    """Define the assets that have a partition a year, each after what it depends on."""
    forecasters, policies = families.forecasters.values(), families.policies.values()
    return [
        raw_prices_asset(years),
        news_asset(years),
        fundamentals_asset(years),
        *(forecaster_asset(family, years) for family in forecasters),
        forecasts_asset(forecasters, years),
        *(policy_asset(family, years) for family in policies),
        backtest_asset(policies, years),
    ]


Session = tuple[Project, dg.DagsterInstance]
"""What a command works on."""


def open_project(settings: Settings) -> Project:
    """Open the market of some settings, and define assets, checks, jobs, sensors, schedules and resources on it.

    Raises
    ------
    SettingsError, MarketError
        If what the settings name does not fit together, or is not there.
    """
    market = resolve(settings.brought.markets[settings.market])(settings)
    years = Years.of(settings, market)
    yearly = build_assets(years, settings.families)
    project = Project(settings, market, years, yearly)
    core = dg.Definitions(
        assets=yearly,
        jobs=[walkforward_job(yearly), *SYNC_JOBS],
        sensors=[dead_runs],
        resources=resources_from(settings, market),
        executor=dg.in_process_executor,
    )
    added = [resolve(text)(project) for text in settings.brought.definitions]
    definitions = dg.Definitions.merge(core, *(wing(project) for wing in WINGS), *added)
    return replace(project, definitions=definitions)


def build_definitions(settings: Settings) -> dg.Definitions:
    """Give what Dagster is told of some settings; see `open_project`."""
    return open_project(settings).definitions


def _report(project: Project) -> dg.Definitions:
    assets = [report_asset(project.years)]
    return dg.Definitions(assets, jobs=[tear_sheet_job(assets)])


def _allocate(project: Project) -> dg.Definitions:
    models = [family.asset for family in project.settings.families.by_name.values()]
    assets = [so_far_asset(project.years), target_weights_asset(models, project.years)]
    return dg.Definitions(assets, jobs=[weekly_weights_job(assets)], schedules=[every_week])


def _automation(project: Project) -> dg.Definitions:
    check = freshness_check(project.years)
    raw = [asset for asset in project.yearly if asset.key.to_user_string() in RAW]
    return dg.Definitions(
        asset_checks=[check],
        schedules=[freshness_schedule(check)],
        sensors=[
            new_data_sensor(project.years, raw),
            downstream,
            failure_sensor(project.settings),
        ],
    )


def _adopt(_: Project) -> dg.Definitions:
    return dg.Definitions(sensors=[adopt])


WINGS = (_report, _allocate, _automation, _adopt)
"""What is still defined here, and not by a plug-in."""


@contextmanager
def open_session(settings: Settings) -> Iterator[Session]:
    """Open what the settings stand for, and the instance.

    Raises
    ------
    StorageError
        If the data folder is another market's, or the instance cannot be opened or its database not be written.
    """
    project = open_project(settings)
    (project.definitions.resources or {})["table_io"].store.check_identity()
    with open_instance(dagster_home(settings)) as instance:
        yield project, instance


def session(market: str | None, engine: str | None = None) -> AbstractContextManager[Session]:
    """Open what the settings stand for, where the command line wins over the environment, and the user's instance."""
    return open_session(read_settings(market=market, engine=engine))
