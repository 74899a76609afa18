"""From settings to everything that Dagster is told: nothing is opened before somebody asks for it."""

import warnings
from collections.abc import Iterator, Sequence
from contextlib import AbstractContextManager, contextmanager
from dataclasses import replace
from typing import Any

import dagster as dg
from dagster._core.definitions.unresolved_asset_job_definition import UnresolvedAssetJobDefinition
from dagster._core.storage.tags import MAX_RETRIES_TAG, RETRY_ON_ASSET_OR_OP_FAILURE_TAG

from brain_assets.graph.assets.models import forecaster_asset, policy_asset
from brain_assets.graph.assets.raw import raw_assets
from brain_assets.graph.assets.tables import backtest_asset, forecasts_asset
from brain_assets.graph.checks import with_own_checks
from brain_assets.graph.instance import dagster_home, dead_runs, home_of, open_instance
from brain_assets.graph.project import Project, build_resources, table_store
from brain_assets.graph.years import Years
from brain_assets.market.base import Market
from brain_assets.plugins import blamed, use
from brain_assets.registry import Families
from brain_assets.settings import Settings, read_settings
from brain_assets.store.storage import hub_address

WALKFORWARD = "walkforward"
RUN_ORDER_TAG = "brain_assets/run_order"
"""`dagster.yaml` lets one run with this tag go at a time: years of a backfill by job run in order."""


def walkforward_job(yearly: Sequence[dg.AssetsDefinition]) -> UnresolvedAssetJobDefinition:
    """Define the job of every asset of a year.

    If the process of a year dies, the years after it come first and fail, for what it has not made. One more try each,
    in the same order, completes them all; what fails for another reason fails again, in seconds.
    """
    return dg.define_asset_job(
        WALKFORWARD,
        selection=with_own_checks(yearly),
        tags={RUN_ORDER_TAG: "years", RETRY_ON_ASSET_OR_OP_FAILURE_TAG: "true", MAX_RETRIES_TAG: "1"},
        description="Every asset of one year in one run: choose the year as its partition. A backfill of this job runs "
        "its years one after the other. (One of chosen assets takes those between them too, or Dagster runs the first "
        "alone, and says that all went well.)",
    )


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
    hubs = {name: hub_address(settings, name) for name in settings.families.by_name}
    core = dg.Definitions(
        assets=yearly,
        jobs=[walkforward_job(yearly)],
        sensors=[dead_runs],
        resources=build_resources(
            market, table_store(settings), settings.data_dir / "models", hubs, families=settings.families
        ),
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
