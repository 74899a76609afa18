"""Policy snapshots by year."""

from collections.abc import Callable, Sequence
from functools import partial

import dagster as dg
import pandas as pd

from brain_assets import registry
from brain_assets.device import resolve_device
from brain_assets.errors import ConfigError
from brain_assets.graph.assets.inputs import inputs, panel_of
from brain_assets.graph.checks import POLICY_CHECKS, check_results, check_specs
from brain_assets.graph.conditions import FOLLOWS_INPUTS
from brain_assets.graph.configs import ModelRunConfig, SeedsConfig
from brain_assets.graph.io_managers import SnapshotIOManager
from brain_assets.graph.pools import TRAINING_POOL
from brain_assets.graph.snapshots import SnapshotResult, make_snapshot
from brain_assets.graph.years import Years
from brain_assets.market.base import Market, MarketNote
from brain_assets.market.schema import RAW
from brain_assets.market.weekly import WeeklyBars
from brain_assets.portfolio.checks import weights_verdict
from brain_assets.portfolio.diagnostics import degeneracy
from brain_assets.portfolio.policies import training_weeks
from brain_assets.portfolio.policy import Policy, PolicyProgress, weights_on
from brain_assets.portfolio.rules import RULES
from brain_assets.portfolio.seed_training import SeedTraining
from brain_assets.progress import report
from brain_assets.store.names import cutoff_of_year
from brain_assets.verdict import Verdict

Spread = Callable[[Sequence[int], Callable[[int], None]], None]
"""Does the work for some numbers on several machines; see `brain_assets.graph.spread`."""


def policy_asset(family: Policy, years: Years, spread: Spread | None = None) -> dg.AssetsDefinition:
    """Define the asset ``<family>_policy``.

    Parameters
    ----------
    family : Policy
    years : Years
    spread : callable, optional
        Trains other seeds on several machines; None: here, one after the other.
    """
    run_config = ModelRunConfig(family, SeedsConfig)

    @dg.asset(
        name=family.asset,
        description=f"{family.label} policy over weekly weights, trained on {registry.label(family.forecaster)} "
        "forecasts, signals and weeks up to 31 December.",
        partitions_def=years.definition,
        ins=inputs((*RAW, "walkforward_forecasts"), years.up_to_year),
        check_specs=check_specs(family.asset, POLICY_CHECKS, years),
        code_version=family.code_version,
        config_schema=run_config,
        io_manager_key="snapshot_io",
        pool=TRAINING_POOL,
        automation_condition=FOLLOWS_INPUTS,
        group_name="portfolio",
        kinds=set(family.kinds),
    )
    def policy(  # type: ignore[no-untyped-def]  # with checks there are several outputs: Dagster takes no single type
        context: dg.AssetExecutionContext,
        market: dg.ResourceParam[Market],
        snapshot_io: dg.ResourceParam[SnapshotIOManager],
        **tables: pd.DataFrame,
    ):
        cutoff_date = cutoff_of_year(int(context.partition_key))
        configured, given = run_config.read(context.op_execution_context.op_config)
        device = resolve_device(given.device)
        bars = WeeklyBars.from_panel(panel_of(tables))
        weeks = training_weeks(bars, tables["walkforward_forecasts"], family.name, cutoff_date)
        training = SeedTraining(family.name, weeks, cutoff_date, configured, MarketNote.of(market), device)
        kept = SnapshotIOManager.of(snapshot_io, [family.name])
        if given.n_seeds > 1 and kept is not snapshot_io:
            raise ConfigError(
                f"n_seeds: expected 1, as this IO manager keeps one model, got {given.n_seeds}; correct it."
            )
        made, *other_seeds = _train(context, kept, training, given, spread)
        problem = degeneracy(made.snapshot.metadata["training"])
        if problem:
            context.log.warning(f"{family.name} {cutoff_date.year}: {problem}")
        verdicts = {
            "weights_keep_rules": weights_verdict(weights_on(made.snapshot, weeks), RULES),
            "not_degenerate": Verdict(problem is None, problem or "it acts on what it sees, and not at the bounds"),
        }
        return made.materialization(check_results(POLICY_CHECKS, verdicts), other_seeds)

    return policy


def _train(
    context: dg.AssetExecutionContext,
    snapshot_io: SnapshotIOManager,
    training: SeedTraining,
    config: SeedsConfig,
    spread: Spread | None,
) -> list[SnapshotResult]:
    """Give the year's policy, and the same trained with other seeds."""
    family, year = training.family, training.cutoff_date.year

    def make(number: int, force: bool) -> SnapshotResult:
        head = f"{family} {year}" + (f", seed {number + 1} of {config.n_seeds}" if config.n_seeds > 1 else "")

        def show(point: PolicyProgress) -> None:
            report(
                f"{head}: {point.steps:,} of {point.total_steps:,} steps, reward of an episode "
                f"{point.mean_episode_reward:.2f}"
            )

        return make_snapshot(
            context, snapshot_io, training.fingerprint(number), force, lambda: training.train(number, show), number
        )

    others, force = range(1, config.n_seeds), config.force
    if others and spread is not None:
        spread(others, partial(training.store, snapshot_io.storages[family], force))
        force = False
    other_seeds = [make(number, force) for number in others]  # each is kept at once; the policy itself by its output
    return [make(0, config.force), *other_seeds]
