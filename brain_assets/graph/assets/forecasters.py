"""Forecaster snapshots by year."""

from typing import TYPE_CHECKING

import dagster as dg
import pandas as pd

from brain_assets.device import resolve_device
from brain_assets.graph.automation import FOLLOWS_INPUTS
from brain_assets.graph.checks import check_results, check_specs
from brain_assets.graph.configs import MODEL_CONFIGS, LstmRunConfig, PatchTstRunConfig, TrainingConfig, to_domain
from brain_assets.graph.partitions import UP_TO_YEAR, YEARS
from brain_assets.graph.pools import TRAINING_POOL
from brain_assets.graph.snapshots import Snapshots, make_snapshot
from brain_assets.market.base import Market, MarketNote
from brain_assets.store.names import cutoff_of_year
from brain_assets.versions import CODE_VERSIONS

if TYPE_CHECKING:
    from brain_assets.market.prices import PricePanel
    from brain_assets.store.snapshot import ModelSnapshot


@dg.asset(
    partitions_def=YEARS,
    ins={"raw_prices": dg.AssetIn(partition_mapping=UP_TO_YEAR)},
    check_specs=check_specs("lstm_snapshot"),
    code_version=CODE_VERSIONS["lstm_snapshot"],
    pool=TRAINING_POOL,
    automation_condition=FOLLOWS_INPUTS,
    group_name="forecasting",
    kinds={"pytorch"},
)
def lstm_snapshot(
    context: dg.AssetExecutionContext,
    config: LstmRunConfig,
    raw_prices: pd.DataFrame,
    market: dg.ResourceParam[Market],
    snapshots: dg.ResourceParam[Snapshots],
) -> dg.MaterializeResult:  # type: ignore[type-arg]  # with checks there are several outputs: Dagster takes no argument
    """LSTM forecaster of weekly returns, trained on bars and targets up to 31 December of the year, never later."""
    from brain_assets.market.prices import PricePanel

    return _forecaster(context, "lstm", config, PricePanel.from_frame(raw_prices), market, snapshots)


@dg.asset(
    partitions_def=YEARS,
    ins={
        "raw_prices": dg.AssetIn(partition_mapping=UP_TO_YEAR),
        "raw_news_sentiment": dg.AssetIn(partition_mapping=UP_TO_YEAR),
        "raw_fundamentals": dg.AssetIn(partition_mapping=UP_TO_YEAR),
    },
    check_specs=check_specs("patchtst_snapshot"),
    code_version=CODE_VERSIONS["patchtst_snapshot"],
    pool=TRAINING_POOL,
    automation_condition=FOLLOWS_INPUTS,
    group_name="forecasting",
    kinds={"pytorch", "huggingface"},
)
def patchtst_snapshot(
    context: dg.AssetExecutionContext,
    config: PatchTstRunConfig,
    raw_prices: pd.DataFrame,
    raw_news_sentiment: pd.DataFrame,
    raw_fundamentals: pd.DataFrame,
    market: dg.ResourceParam[Market],
    snapshots: dg.ResourceParam[Snapshots],
) -> dg.MaterializeResult:  # type: ignore[type-arg]  # with checks there are several outputs: Dagster takes no argument
    """PatchTST forecaster of weekly returns from bars, news and filings, all known by 31 December of the year."""
    from brain_assets.market.prices import PricePanel
    from brain_assets.market.signals import add_signals

    panel = add_signals(PricePanel.from_frame(raw_prices), raw_news_sentiment, raw_fundamentals)
    return _forecaster(context, "patchtst", config, panel, market, snapshots)


def _forecaster(
    context: dg.AssetExecutionContext,
    family: str,
    config: TrainingConfig,
    panel: "PricePanel",
    market: Market,
    snapshots: Snapshots,
) -> dg.MaterializeResult[None]:
    from brain_assets.forecasting.checks import snapshot_verdicts
    from brain_assets.forecasting.fingerprint import forecaster_fingerprint
    from brain_assets.progress import report

    cutoff_date = cutoff_of_year(int(context.partition_key))
    options, device = to_domain(config, MODEL_CONFIGS[family][1]), resolve_device(config.device)
    panel = panel.until(cutoff_date)

    def train() -> "ModelSnapshot":
        from brain_assets.forecasting.training import train_snapshot

        return train_snapshot(
            family,
            panel,
            cutoff_date,
            options,
            MarketNote.of(market),
            lambda losses: report(f"{family} {cutoff_date.year}: {losses.words(options.max_epochs)}"),
            device=device,
        )

    fingerprint = forecaster_fingerprint(family, panel, options, device)
    made = make_snapshot(context, snapshots[family], fingerprint, config.force, train)
    return made.result_with(check_results(f"{family}_snapshot", snapshot_verdicts(made.snapshot)))
