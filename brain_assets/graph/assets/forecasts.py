"""Walk-forward forecasts by year."""

import dagster as dg
import pandas as pd

from brain_assets.graph.automation import FOLLOWS_INPUTS
from brain_assets.graph.checks import check_results, check_specs
from brain_assets.graph.columns import column_schema
from brain_assets.graph.configs import ForecastsConfig
from brain_assets.graph.partitions import FIRST_YEAR, PREVIOUS_YEARS, UP_TO_YEAR, YEARS, calendar_years
from brain_assets.graph.pictures import known_or_words, rank_correlation_chart
from brain_assets.graph.pools import TRAINING_POOL
from brain_assets.graph.snapshots import Snapshots, note_refusal, places
from brain_assets.store.tables import content_hash
from brain_assets.versions import CODE_VERSIONS


@dg.asset(
    partitions_def=YEARS,
    ins={
        "raw_prices": dg.AssetIn(partition_mapping=UP_TO_YEAR),
        "raw_news_sentiment": dg.AssetIn(partition_mapping=UP_TO_YEAR),
        "raw_fundamentals": dg.AssetIn(partition_mapping=UP_TO_YEAR),
    },
    deps=[
        dg.AssetDep("lstm_snapshot", partition_mapping=PREVIOUS_YEARS),
        dg.AssetDep("patchtst_snapshot", partition_mapping=PREVIOUS_YEARS),
    ],
    check_specs=check_specs("walkforward_forecasts"),
    code_version=CODE_VERSIONS["walkforward_forecasts"],
    metadata=column_schema("walkforward_forecasts"),
    pool=TRAINING_POOL,
    automation_condition=FOLLOWS_INPUTS,
    io_manager_key="table_io",
    group_name="forecasting",
    kinds={"parquet"},
)
def walkforward_forecasts(  # type: ignore[no-untyped-def]  # with checks there are several outputs: Dagster takes no single type
    context: dg.AssetExecutionContext,
    config: ForecastsConfig,
    raw_prices: pd.DataFrame,
    raw_news_sentiment: pd.DataFrame,
    raw_fundamentals: pd.DataFrame,
    snapshots: dg.ResourceParam[Snapshots],
):
    """Forecasts of every week of the year, by the newest snapshot whose cut-off lies before the week begins.

    That is the snapshot of the year before, from this machine, else from the Hub, else the closest earlier one; the
    source of every forecast stands beside it. In the bootstrap window there is none: the forecast is 4-week momentum.
    """
    from brain_assets.forecasting.checks import forecast_verdicts
    from brain_assets.forecasting.metrics import weekly_rank_correlation
    from brain_assets.forecasting.walkforward import (
        MOMENTUM,
        build_forecast_features,
        forecast_matrices,
        forecast_quality,
    )
    from brain_assets.forecasting.walkforward import weeks_by_source as count_sources
    from brain_assets.market.prices import PricePanel
    from brain_assets.market.signals import add_signals
    from brain_assets.store.names import FORECASTER_FAMILIES, cutoff_of_year

    year = int(context.partition_key)
    panel = add_signals(PricePanel.from_frame(raw_prices), raw_news_sentiment, raw_fundamentals)
    sources = {family: snapshots[family] for family in FORECASTER_FAMILIES}
    here = {family: set(source.list_snapshots()) for family, source in sources.items()}
    refusals: list[str] = []
    forecasts = build_forecast_features(
        panel, calendar_years(year), sources, cutoff_of_year(FIRST_YEAR), note_refusal(context, refusals)
    )
    metadata: dict[str, dg.MetadataValue | float | int | str] = {"weeks": forecasts["week_start"].nunique()}
    lines = {}
    for column in (*FORECASTER_FAMILIES, "momentum"):
        quality = forecast_quality(forecasts, column)
        metadata[f"eval/{column}_rank_correlation"] = known_or_words(quality.rank_correlation)
        metadata[f"eval/{column}_hit_rate"] = known_or_words(quality.hit_rate)
        weeks, forecast, realized = forecast_matrices(forecasts, column)
        lines[column] = weekly_rank_correlation(forecast, realized)
    for family in FORECASTER_FAMILIES:
        used = count_sources(forecasts, family)
        metadata[f"{family}_weeks_by_source"] = dg.MetadataValue.json(used)
        metadata[f"{family}_places"] = dg.MetadataValue.json(places(snapshots[family], used, here[family]))
        if set(used) == {MOMENTUM}:
            del lines[family]  # the line of momentum is its own
    if refusals:
        metadata["refused_snapshots"] = dg.MetadataValue.json(refusals)
    metadata["rank_correlation"] = rank_correlation_chart(f"forecasts {year}", weeks, lines)
    verdicts = forecast_verdicts(forecasts, config.max_rank_correlation)
    return dg.MaterializeResult(
        value=forecasts,
        metadata=metadata,
        data_version=dg.DataVersion(content_hash(forecasts)),
        check_results=check_results("walkforward_forecasts", verdicts),
    )
