"""Forecaster snapshots by year."""

import dagster as dg
import pandas as pd

from brain_assets.device import resolve_device
from brain_assets.forecasting.checks import snapshot_verdicts
from brain_assets.forecasting.forecaster import Forecaster
from brain_assets.forecasting.training import forecaster_fingerprint, train_snapshot
from brain_assets.graph.assets.inputs import inputs, panel_of
from brain_assets.graph.checks import FORECASTER_CHECKS, check_results, check_specs
from brain_assets.graph.conditions import FOLLOWS_INPUTS
from brain_assets.graph.configs import ModelRunConfig
from brain_assets.graph.io_managers import SnapshotIOManager
from brain_assets.graph.pools import TRAINING_POOL
from brain_assets.graph.snapshots import feature_weights_metadata, make_snapshot, show_epochs
from brain_assets.graph.years import Years
from brain_assets.market.base import Market, MarketNote
from brain_assets.market.schema import RAW
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

    @dg.asset(
        name=family.asset,
        description=f"{description}\n\nMore: docs/assets.md.",
        partitions_def=years.definition,
        ins=inputs(family.tables, years.up_to_year),
        check_specs=check_specs(family.asset, FORECASTER_CHECKS, years),
        code_version=family.code_version,
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
        kept = SnapshotIOManager.of(snapshot_io, [family.name])
        made = make_snapshot(context, kept, fingerprint, given.force, train)
        checks = check_results(FORECASTER_CHECKS, snapshot_verdicts(made.snapshot))
        weights = feature_weights_metadata(kept.storage(family.name), made.snapshot)
        return made.materialization(checks, more=weights)

    return snapshot
