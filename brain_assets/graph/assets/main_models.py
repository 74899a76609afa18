"""Main versions of the forecasters: one of each, no partitions, from all data until the last finished session."""

from typing import TYPE_CHECKING

import dagster as dg
import pandas as pd

from brain_assets.device import resolve_device
from brain_assets.errors import HubError
from brain_assets.graph.configs import (
    MODEL_CONFIGS,
    LstmRunConfig,
    PatchTstRunConfig,
    TrainingConfig,
    to_domain,
)
from brain_assets.graph.evidence import version_evidence
from brain_assets.graph.pools import TRAINING_POOL
from brain_assets.graph.snapshots import HubState, Snapshots, snapshot_metadata
from brain_assets.graph.so_far import Clock, recent_window
from brain_assets.market.base import Market, MarketNote
from brain_assets.paths import DataPath
from brain_assets.progress import report, warn
from brain_assets.store.main_versions import MainVersions
from brain_assets.store.tables import RAW
from brain_assets.versions import CODE_VERSIONS

if TYPE_CHECKING:
    from brain_assets.market.prices import PricePanel


@dg.asset(
    ins={"raw_prices": dg.AssetIn(partition_mapping=dg.AllPartitionMapping())},
    code_version=CODE_VERSIONS["lstm_model"],
    pool=TRAINING_POOL,
    group_name="main_versions",
    kinds={"pytorch"},
)
def lstm_model(
    context: dg.AssetExecutionContext,
    config: LstmRunConfig,
    raw_prices: pd.DataFrame,
    market: dg.ResourceParam[Market],
    snapshots: dg.ResourceParam[Snapshots],
    clock: dg.ResourceParam[Clock],
) -> dg.MaterializeResult[None]:
    """LSTM main version: trained on all data until the last finished session; current if better than the last."""
    from brain_assets.market.prices import PricePanel

    panel = PricePanel.from_frame(_with_recent_prices(raw_prices, market, clock))
    return _main_version(context, "lstm", config, panel, market, snapshots)


@dg.asset(
    ins={name: dg.AssetIn(partition_mapping=dg.AllPartitionMapping()) for name in RAW},
    code_version=CODE_VERSIONS["patchtst_model"],
    pool=TRAINING_POOL,
    group_name="main_versions",
    kinds={"pytorch", "huggingface"},
)
def patchtst_model(
    context: dg.AssetExecutionContext,
    config: PatchTstRunConfig,
    raw_prices: pd.DataFrame,
    raw_news_sentiment: pd.DataFrame,
    raw_fundamentals: pd.DataFrame,
    market: dg.ResourceParam[Market],
    snapshots: dg.ResourceParam[Snapshots],
    headline_cache: dg.ResourceParam[DataPath],
    clock: dg.ResourceParam[Clock],
) -> dg.MaterializeResult[None]:
    """PatchTST main version: trained on all data until the last finished session; current if better than the last.

    Headlines of the current year are scored by the default model of `raw_news_sentiment`.
    """
    from brain_assets.market.prices import PricePanel
    from brain_assets.market.signals import add_signals

    window = recent_window(clock)
    news, fundamentals = raw_news_sentiment, raw_fundamentals
    if window is not None:
        from brain_assets.market.finbert import FinBertScorer

        scorer = FinBertScorer(cache=headline_cache)
        news = pd.concat([news, market.news_sentiment(*window, scorer).table], ignore_index=True)
        fundamentals = pd.concat([fundamentals, market.fundamentals(*window).table], ignore_index=True)
    prices = PricePanel.from_frame(_with_recent_prices(raw_prices, market, clock))
    return _main_version(context, "patchtst", config, add_signals(prices, news, fundamentals), market, snapshots)


def _with_recent_prices(prices: pd.DataFrame, market: Market, clock: Clock) -> pd.DataFrame:
    """Add the bars since the last partition, as far as the market has some; they are not stored."""
    from brain_assets.errors import EmptyResponseError
    from brain_assets.market.archive import chain_prices, fetch_prices

    window = recent_window(clock)
    if window is None:
        return prices
    try:
        recent = fetch_prices(market, *window, overlap=True)
    except EmptyResponseError as error:
        report(f"no bars after the last complete year: {error}")
        return prices
    return chain_prices([prices, recent])


def _main_version(
    context: dg.AssetExecutionContext,
    family: str,
    config: TrainingConfig,
    panel: "PricePanel",
    market: Market,
    snapshots: Snapshots,
) -> dg.MaterializeResult[None]:
    """Train the version that the data and the configuration name, unless it is there; promote it if it is better."""
    from brain_assets.forecasting.fingerprint import main_version_name

    options, device = to_domain(config, MODEL_CONFIGS[family][1]), resolve_device(config.device)
    note = MarketNote.of(market)
    versions = MainVersions(snapshots[family])
    name = main_version_name(family, panel, options, note.name, device)
    reused = versions.exists(name) and not config.force
    if reused:
        context.log.info(f"{versions.path(name)} is there already: not trained again")
        snapshot = versions.load(name)
    else:
        from brain_assets.forecasting.main_version import train_version

        current = versions.current()
        previous = None if current in (None, name) else versions.load(str(current))
        snapshot = train_version(
            family,
            panel,
            options,
            note,
            previous,
            lambda losses: report(f"{family} main version: {losses.words(options.max_epochs)}"),
            device,
        )
        versions.write(snapshot)
        if snapshot.metadata["scores"]["promoted"]:
            versions.promote(name)
        report(f"{family} {name}: {snapshot.metadata['scores']['verdict']}")
    hub = _publish(versions, name)
    return dg.MaterializeResult(
        metadata={
            "reused": reused,
            "version": name,
            "current_version": versions.current() or "none",
            **version_evidence(snapshot),
            **snapshot_metadata(snapshot, str(versions.path(name)), hub),
        },
        data_version=dg.DataVersion(name),
    )


def _publish(versions: MainVersions, name: str) -> HubState | None:
    """Push the version, and let ``main`` follow; what does not get through stays pending, and fails nothing."""
    if versions.storage.hub is None:
        return None
    try:
        copy = versions.publish(name)
        versions.publish_current()
    except HubError as error:
        warn(f"hub: pending: {error}")
        return HubState("pending", reason=str(error))
    return HubState("pushed" if copy.changed else "unchanged", copy.url, copy.commit)
