"""From settings to everything that Dagster is told: nothing is opened before somebody asks for it."""

from collections.abc import Callable, Iterator, Sequence
from contextlib import AbstractContextManager, contextmanager
from typing import NamedTuple

import dagster as dg

from brain_assets.graph.adopt import adopt
from brain_assets.graph.assets.backtests import backtest_asset
from brain_assets.graph.assets.forecasters import forecaster_asset
from brain_assets.graph.assets.forecasts import forecasts_asset
from brain_assets.graph.assets.main_models import main_model_asset
from brain_assets.graph.assets.policies import Spread, policy_asset
from brain_assets.graph.assets.prices import raw_prices_asset
from brain_assets.graph.assets.reports import report_asset
from brain_assets.graph.assets.signals import fundamentals_asset, news_asset
from brain_assets.graph.assets.week import so_far_asset, target_weights_asset
from brain_assets.graph.automation import downstream
from brain_assets.graph.engines import executor_of, spread_of
from brain_assets.graph.failures import failure_sensor
from brain_assets.graph.freshness import freshness_check, freshness_schedule
from brain_assets.graph.instance import dagster_home, open_instance
from brain_assets.graph.jobs import asset_jobs
from brain_assets.graph.new_data import new_data_sensor
from brain_assets.graph.resources import resources_from
from brain_assets.graph.runs import dead_runs
from brain_assets.graph.sync import SYNC_JOBS
from brain_assets.graph.weekly import every_week
from brain_assets.graph.years import Years
from brain_assets.market.base import Market
from brain_assets.market.registry import open_market
from brain_assets.market.schema import RAW
from brain_assets.registry import Families
from brain_assets.settings import Settings, read_settings


class Assets(NamedTuple):
    """All assets, by what runs them together; those of `yearly` alone have a partition a year."""

    yearly: Sequence[dg.AssetsDefinition]
    main_models: Sequence[dg.AssetsDefinition]
    reports: Sequence[dg.AssetsDefinition]
    this_week: Sequence[dg.AssetsDefinition]

    @property
    def raw(self) -> list[dg.AssetsDefinition]:
        """What comes from the market."""
        return [asset for asset in self.yearly if asset.key.to_user_string() in RAW]

    @property
    def every(self) -> list[dg.AssetsDefinition]:
        """All of them."""
        return [asset for group in self for asset in group]

    @property
    def pools(self) -> dict[str, str | None]:
        """Give the pool of each; None: it is in none."""
        return {asset.key.to_user_string(): asset.op.pool for asset in self.every}


def build_assets(years: Years, families: Families, spread_of: Callable[[str], Spread | None] | None = None) -> Assets:
    """Define the assets of some years and families.

    Parameters
    ----------
    years : Years
    families : Families
    spread_of : callable, optional
        From the name of a policy's asset to what trains its other seeds; see `policy_asset`.
    """
    forecasters, policies = families.forecasters.values(), families.policies.values()
    models = [family.asset for family in families.by_name.values()]
    yearly = [
        raw_prices_asset(years),
        news_asset(years),
        fundamentals_asset(years),
        *(forecaster_asset(family, years) for family in forecasters),
        forecasts_asset(forecasters, years),
        *(policy_asset(family, years, spread_of(family.asset) if spread_of else None) for family in policies),
        backtest_asset(policies, years),
    ]
    return Assets(
        yearly,
        [main_model_asset(family, years) for family in forecasters],
        [report_asset(years)],
        [so_far_asset(years), target_weights_asset(models, years)],
    )


class Project(NamedTuple):
    """What some settings stand for; a process may have several."""

    settings: Settings
    market: Market
    years: Years
    assets: Assets
    definitions: dg.Definitions


Session = tuple[Project, dg.DagsterInstance]
"""What a command works on."""


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
        sensors=[adopt, dead_runs, new_data_sensor(years, assets.raw), downstream, failure_sensor(settings)],
        resources=resources_from(settings, market),
        executor=executor_of(settings, assets.pools),
    )
    return Project(settings, market, years, assets, definitions)


def build_definitions(settings: Settings) -> dg.Definitions:
    """Give what Dagster is told of some settings; see `open_project`."""
    return open_project(settings).definitions


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
