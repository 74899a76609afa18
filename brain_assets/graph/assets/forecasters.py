"""Forecaster snapshots by year."""

import dagster as dg
import pandas as pd

from brain_assets.device import resolve_device
from brain_assets.forecasting.forecaster import Forecaster
from brain_assets.forecasting.training import forecaster_fingerprint, train_snapshot
from brain_assets.forecasting.walkforward import snapshot_verdicts
from brain_assets.graph.assets.inputs import inputs, panel_of, yearly_model
from brain_assets.graph.checks import FORECASTER_CHECKS, check_results
from brain_assets.graph.conditions import COMPUTED
from brain_assets.graph.configs import ModelRunConfig
from brain_assets.graph.io_managers import SnapshotIOManager
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
