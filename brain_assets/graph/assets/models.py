"""Snapshots of forecasters and policies by year."""

import datetime
from collections.abc import Mapping
from functools import partial

import dagster as dg
import pandas as pd

from brain_assets import registry
from brain_assets.configuration import ModelConfig
from brain_assets.device import Device, resolve_device
from brain_assets.errors import ConfigError
from brain_assets.forecasting.forecaster import Forecaster
from brain_assets.forecasting.training import forecaster_fingerprint, train_snapshot
from brain_assets.forecasting.walkforward import snapshot_verdicts
from brain_assets.formatting import CheckResult
from brain_assets.graph.assets.inputs import inputs, panel_of, yearly_model
from brain_assets.graph.checks import FORECASTER_CHECKS, POLICY_CHECKS, check_results
from brain_assets.graph.conditions import COMPUTED
from brain_assets.graph.instance import PROCESS_TAG
from brain_assets.graph.io_managers import (
    SnapshotIOManager,
    SnapshotResult,
    feature_weights_metadata,
    make_snapshot,
    show_epochs,
)
from brain_assets.graph.options import ModelRunConfig, SeedsConfig
from brain_assets.graph.years import Years
from brain_assets.market.base import Market, MarketNote
from brain_assets.market.schema import RAW
from brain_assets.market.weekly import WeeklyPanel
from brain_assets.portfolio.arithmetic import CONSTRAINTS
from brain_assets.portfolio.backtest import weights_verdict
from brain_assets.portfolio.policies import SeedTraining, degeneracy, training_weeks
from brain_assets.portfolio.policy import Policy, weights_on
from brain_assets.store.names import cutoff_of_year
from brain_assets.store.snapshot import ModelSnapshot


def forecaster_asset(family: Forecaster, years: Years) -> dg.AssetsDefinition:
    """Define the asset ``<family>_snapshot``."""
    run_config = ModelRunConfig(family)
    description = f"{family.label} forecaster of weekly returns" + (
        " from bars, news and filings, all known by 31 December of the year."
        if family.tables == RAW
        else ", trained on bars and targets up to 31 December of the year, never later."
    )

    @yearly_model(
        family,
        years,
        description,
        run_config,
        FORECASTER_CHECKS,
        ins=inputs(family.tables, years.up_to_year),
        group_name="forecasting",
        **COMPUTED,
    )
    def snapshot(  # type: ignore[no-untyped-def]  # with checks there are several outputs: Dagster takes no single type
        context: dg.AssetExecutionContext,
        market: dg.ResourceParam[Market],
        snapshot_io: dg.ResourceParam[SnapshotIOManager],
        **tables: pd.DataFrame,
    ):
        cutoff_date = cutoff_of_year(int(context.partition_key))
        options, given = run_config.read(context.op_execution_context.op_config)
        device = resolve_device(given.device)
        panel = panel_of(tables).until(cutoff_date)
        show = show_epochs(f"{family.name} {cutoff_date.year}", options)

        def train() -> ModelSnapshot:
            note = MarketNote.of(market)
            return train_snapshot(family.name, panel, cutoff_date, options, note, show, device=device)

        fingerprint = forecaster_fingerprint(family.name, panel, options, device)
        storage = SnapshotIOManager.of(snapshot_io, [family.name]).storage(family.name)
        made = make_snapshot(context, storage, fingerprint, given.force, train)
        checks = check_results(FORECASTER_CHECKS, snapshot_verdicts(made.snapshot))
        return made.materialization(checks, more=feature_weights_metadata(storage, made.snapshot))

    return snapshot


def policy_asset(family: Policy, years: Years) -> dg.AssetsDefinition:
    """Define the asset ``<family>_policy``."""
    run_config = ModelRunConfig(family, SeedsConfig)

    @yearly_model(
        family,
        years,
        f"{family.label} policy over weekly weights, trained on the forecasts of one forecaster "
        f"({registry.label(family.forecaster)}, or whom the configuration names), signals and weeks up to 31 December.",
        run_config,
        POLICY_CHECKS,
        ins=inputs((*RAW, "walkforward_forecasts"), years.up_to_year),
        group_name="portfolio",
        **COMPUTED,
    )
    def policy(  # type: ignore[no-untyped-def]  # with checks there are several outputs: Dagster takes no single type
        context: dg.AssetExecutionContext,
        market: dg.ResourceParam[Market],
        snapshot_io: dg.ResourceParam[SnapshotIOManager],
        **tables: pd.DataFrame,
    ):
        cutoff_date = cutoff_of_year(int(context.partition_key))
        configured, given = run_config.read(context.op_execution_context.op_config)
        training = seed_training(family.name, tables, cutoff_date, configured, market, given.device)
        kept = SnapshotIOManager.of(snapshot_io, [family.name])
        if given.n_seeds > 1 and kept is not snapshot_io:  # the others would be lost before a backtest trades them
            raise ConfigError(
                f"n_seeds: expected 1, as this IO manager keeps one model, got {given.n_seeds}; correct it."
            )

        def make(number: int) -> SnapshotResult:
            train = partial(training.train, number, given.n_seeds)
            storage, fingerprint = kept.storage(family.name, number), training.fingerprint(number)
            is_trained = number > 0 and PROCESS_TAG in context.run.tags  # a command's tasks before this run did it
            force = given.force and not is_trained
            result = make_snapshot(context, storage, fingerprint, force, train)
            if number and not result.reused:
                storage.write_snapshot(result.snapshot)  # at once: the output of the asset is the policy itself
            return result

        other_seeds, made = [make(number) for number in range(1, given.n_seeds)], make(0)
        trained = made.snapshot.metadata["training"]
        problem = degeneracy(trained)
        fact = f"its targets are {trained['distance_to_equal_weight']:.1%} of the value away from equal weight"
        if problem:
            context.log.warning(f"{family.name} {cutoff_date.year}: {problem}")
        verdicts = {
            "weights_keep_rules": weights_verdict(weights_on(made.snapshot, training.weeks), CONSTRAINTS),
            "not_degenerate": CheckResult(problem is None, problem or fact),
        }
        return made.materialization(check_results(POLICY_CHECKS, verdicts), other_seeds)

    return policy


def seed_training(
    family: str,
    tables: Mapping[str, pd.DataFrame],
    cutoff_date: datetime.date,
    config: ModelConfig,
    market: Market,
    device: Device,
) -> SeedTraining:
    """Put together what a policy is trained on, from the tables that its asset takes."""
    forecasts = tables["walkforward_forecasts"]
    weeks = training_weeks(WeeklyPanel.from_panel(panel_of(tables)), forecasts, family, cutoff_date, config)
    return SeedTraining(family, weeks, cutoff_date, config, MarketNote.of(market), resolve_device(device))
