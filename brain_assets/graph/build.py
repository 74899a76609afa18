"""From settings to everything that Dagster is told: nothing is opened before somebody asks for it."""

import warnings
from collections.abc import Iterator
from contextlib import AbstractContextManager, contextmanager
from dataclasses import replace
from typing import Any

import dagster as dg

from brain_assets.graph.assets.backtests import backtest_asset
from brain_assets.graph.assets.forecasters import forecaster_asset
from brain_assets.graph.assets.forecasts import forecasts_asset
from brain_assets.graph.assets.policies import policy_asset
from brain_assets.graph.assets.raw import raw_assets
from brain_assets.graph.instance import dagster_home, home_of, open_instance
from brain_assets.graph.options import walkforward_job
from brain_assets.graph.project import Project
from brain_assets.graph.resources import resources_from
from brain_assets.graph.runs import dead_runs
from brain_assets.graph.years import Years
from brain_assets.market.base import Market
from brain_assets.plugins import blamed, use
from brain_assets.registry import Families
from brain_assets.settings import Settings, read_settings


def build_assets(years: Years, families: Families) -> list[dg.AssetsDefinition]:
    """Define the assets that have a partition a year, each after what it depends on."""
    forecasters, policies = families.forecasters.values(), families.policies.values()
    return [
        *raw_assets(years),
        *(forecaster_asset(family, years) for family in forecasters),
        forecasts_asset(forecasters, years),
        *(policy_asset(family, years) for family in policies),
        backtest_asset(policies, years),
    ]


def open_project(settings: Settings) -> Project:
    """Open the market of some settings, and define assets, checks, jobs, sensors, schedules and resources on it.

    Raises `SettingsError` or `MarketError` if what the settings name does not fit together, or is not there; of
    plug-ins, `PluginError`.
    """
    opened = settings.brought.markets[settings.market]
    market = use(opened, Market, settings)  # type: ignore[type-abstract]
    with blamed(opened, "a market that names its last complete year"):
        years = Years.of(settings, market)
    yearly = build_assets(years, settings.families)
    project = Project(settings, market, years, yearly)
    core = dg.Definitions(
        assets=yearly,
        jobs=[walkforward_job(yearly)],
        sensors=[dead_runs],
        resources=resources_from(settings, market),
        executor=dg.in_process_executor,
    )
    added = [use(text, dg.Definitions, project) for text in settings.brought.definitions]
    with blamed("plug-ins", "definitions that go together with ours"):
        definitions = dg.Definitions.merge(core, *added)
        tag, owners = {"market": settings.market}, settings.owners  # the UI shows both, and finds assets by them
        with warnings.catch_warnings(category=dg.PreviewWarning, action="ignore"):  # the method is still called so
            definitions = definitions.map_asset_specs(
                func=lambda spec: spec.replace_attributes(tags={**spec.tags, **tag}, owners=[*spec.owners, *owners])
            )
        definitions.get_repository_def()  # all are put together
    return replace(project, definitions=definitions)


def build_definitions(settings: Settings) -> dg.Definitions:
    """Give what Dagster is told of some settings; see `open_project`."""
    return open_project(settings).definitions


@contextmanager
def open_session(settings: Settings, looking: bool = False) -> Iterator[tuple[Project, dg.DagsterInstance]]:
    """Open what the settings stand for, and the instance; of one that only looks none is made.

    Raises `StorageError` if the data folder is another market's, or the instance cannot be opened or written.
    """
    project = open_project(settings)
    (project.definitions.resources or {})["table_io"].store.check_identity()
    there = not looking or (home_of(settings) / "dagster.yaml").exists()
    with open_instance(dagster_home(settings)) if there else dg.DagsterInstance.ephemeral() as instance:
        yield project, instance


def session(
    market: str | None, engine: str | None = None, looking: bool = False, **others: Any
) -> AbstractContextManager[tuple[Project, dg.DagsterInstance]]:
    """Open what the settings stand for, where the command line wins over the environment, and the user's instance."""
    return open_session(read_settings(market=market, engine=engine, **others), looking)
