"""Forecaster snapshots by year."""

import dagster as dg
import pandas as pd

from brain_assets.forecasting.config import LstmConfig
from brain_assets.graph.configs import LstmRunConfig, to_domain
from brain_assets.graph.partitions import UP_TO_YEAR, YEARS
from brain_assets.graph.snapshots import Snapshots, make_snapshot
from brain_assets.market.base import Market, MarketNote
from brain_assets.snapshots.names import cutoff_of_year
from brain_assets.versions import CODE_VERSIONS


@dg.asset(
    partitions_def=YEARS,
    ins={"raw_prices": dg.AssetIn(partition_mapping=UP_TO_YEAR)},
    code_version=CODE_VERSIONS["lstm_snapshot"],
    group_name="forecasting",
    kinds={"pytorch"},
)
def lstm_snapshot(
    context: dg.AssetExecutionContext,
    config: LstmRunConfig,
    raw_prices: pd.DataFrame,
    market: dg.ResourceParam[Market],
    snapshots: dg.ResourceParam[Snapshots],
) -> dg.MaterializeResult[None]:
    """LSTM forecaster of weekly returns, trained on bars and targets up to 31 December of the year, never later."""
    from brain_assets.forecasting.fingerprint import forecaster_fingerprint
    from brain_assets.forecasting.forecasters import train_snapshot
    from brain_assets.market.prices import PricePanel
    from brain_assets.progress import report

    cutoff_date = cutoff_of_year(int(context.partition_key))
    options = to_domain(config, LstmConfig)
    panel = PricePanel.from_frame(raw_prices).until(cutoff_date)
    return make_snapshot(
        context,
        snapshots["lstm"],
        forecaster_fingerprint("lstm", panel, options),
        config.force,
        lambda: train_snapshot(
            "lstm",
            panel,
            cutoff_date,
            options,
            MarketNote.of(market),
            lambda losses: report(
                f"lstm {cutoff_date.year}: epoch {losses.epoch} of at most {options.max_epochs}, training loss "
                f"{losses.train:.4f}, validation loss {losses.validation:.4f}"
            ),
        ),
    ).result
