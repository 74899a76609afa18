"""Forecaster snapshots by year."""

from typing import TYPE_CHECKING, Any

import dagster as dg
import pandas as pd

from brain_assets.device import resolve_device
from brain_assets.forecasting.checks import snapshot_verdicts
from brain_assets.forecasting.fingerprint import forecaster_fingerprint
from brain_assets.graph.assets.inputs import inputs, panel_of
from brain_assets.graph.automation import FOLLOWS_INPUTS
from brain_assets.graph.checks import FORECASTER_CHECKS, check_results, check_specs
from brain_assets.graph.configs import ModelRunConfig
from brain_assets.graph.families import GraphFamily
from brain_assets.graph.pools import TRAINING_POOL
from brain_assets.graph.snapshots import make_snapshot
from brain_assets.graph.years import Years
from brain_assets.market.base import Market, MarketNote
from brain_assets.progress import report
from brain_assets.store.names import cutoff_of_year
from brain_assets.versions import CODE_VERSIONS

if TYPE_CHECKING:
    from brain_assets.store.model_snapshot import ModelSnapshot


def forecaster_asset(family: GraphFamily, years: Years) -> dg.AssetsDefinition:
    """Define the asset ``<family>_snapshot``."""
    name = f"{family.name}_snapshot"
    run_config = ModelRunConfig(family.config_class)

    @dg.asset(
        name=name,
        description=family.description,
        partitions_def=years.definition,
        ins=inputs(family.inputs, years.up_to_year),
        check_specs=check_specs(name, FORECASTER_CHECKS, years),
        code_version=CODE_VERSIONS[name],
        config_schema=run_config,
        io_manager_key="snapshot_io",
        pool=TRAINING_POOL,
        automation_condition=FOLLOWS_INPUTS,
        group_name="forecasting",
        kinds=set(family.kinds),
    )
    def snapshot(  # type: ignore[no-untyped-def]  # with checks there are several outputs: Dagster takes no single type
        context: dg.AssetExecutionContext,
        market: dg.ResourceParam[Market],
        snapshot_io: dg.ResourceParam[Any],
        **tables: pd.DataFrame,
    ):
        cutoff_date = cutoff_of_year(int(context.partition_key))
        options, given = run_config.read(context.op_execution_context.op_config)
        device = resolve_device(given.device)
        panel = panel_of(tables).until(cutoff_date)

        def train() -> "ModelSnapshot":
            from brain_assets.forecasting.forecasters import train_snapshot

            return train_snapshot(
                family.name,
                panel,
                cutoff_date,
                options,
                MarketNote.of(market),
                lambda losses: report(f"{family.name} {cutoff_date.year}: {losses.words(options.max_epochs)}"),
                device=device,
            )

        fingerprint = forecaster_fingerprint(family.name, panel, options, device)
        made = make_snapshot(context, snapshot_io, fingerprint, given.force, train, family.name)
        return made.materialization(check_results(FORECASTER_CHECKS, snapshot_verdicts(made.snapshot)))

    return snapshot
