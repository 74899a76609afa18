"""The current week: the rows of the market since the last complete year, and what each strategy would hold."""

import datetime
from collections.abc import Sequence

import dagster as dg
import pandas as pd
import pydantic

from brain_assets.errors import AllocationError, EmptyResponseError, HubError, MarketError, TableError
from brain_assets.graph.assets.inputs import panel_of
from brain_assets.graph.io_managers import SnapshotIOManager, StoredSnapshots, TableIOManager
from brain_assets.graph.pictures import price_chart
from brain_assets.graph.pools import MARKET_POOL, TRAINING_POOL
from brain_assets.graph.snapshots import Metadata, note_refusal
from brain_assets.graph.so_far import Clock, chosen_week, fetch_so_far, read_known, read_so_far, recent_window
from brain_assets.graph.years import Years
from brain_assets.market.base import Market
from brain_assets.market.calendar import CalendarWeek, sessions_between
from brain_assets.market.schema import RAW
from brain_assets.parquet import encode_table
from brain_assets.paths import DataPath, replace_file
from brain_assets.portfolio.allocation import (
    MAX_DATA_AGE_SESSIONS,
    MAX_MODEL_AGE_DAYS,
    WeekTargets,
    decide_week,
    refuse_old_models,
    until_decision,
)
from brain_assets.progress import warn
from brain_assets.store.names import cutoff_of_year
from brain_assets.store.tables import SO_FAR, TableStore, content_hash
from brain_assets.versions import CODE_VERSIONS


class WeightsRunConfig(dg.Config):
    """Which week the weights are for, and how old what they rest on may be."""

    date: str | None = pydantic.Field(
        None,
        description="A day, such as 2022-06-01: the week of the first session on or after it; default: today, in New "
        "York.",
    )
    max_data_age_sessions: int = pydantic.Field(
        MAX_DATA_AGE_SESSIONS,
        description="Sessions before the week of which no bar may be known; they are passed over.",
        ge=0,
        le=260,
    )
    max_model_age_days: int = pydantic.Field(
        MAX_MODEL_AGE_DAYS,
        description="Days from the cut-off of a forecaster or policy to the week's first session, at most.",
        ge=1,
    )


def so_far_asset(years: Years) -> dg.AssetsDefinition:
    """Define the asset ``raw_so_far``."""

    @dg.asset(
        deps=[dg.AssetDep("raw_prices", partition_mapping=dg.AllPartitionMapping())],
        code_version=CODE_VERSIONS["raw_so_far"],
        pool=MARKET_POOL,
        group_name="market",
        kinds={"parquet"},
    )
    def raw_so_far(
        market: dg.ResourceParam[Market],
        table_io: dg.ResourceParam[TableIOManager],
        clock: dg.ResourceParam[Clock],
    ) -> dg.MaterializeResult[None]:
        """Bars, news and filings since the last complete year, until the last finished session, fetched every time.

        If the fetch fails, what was fetched before stays, and how old it is stands here. Headlines are scored by the
        default model of `raw_news_sentiment`. These rows never become a year: that is fetched once it is complete.
        """
        window = recent_window(years, clock)
        if window is None:
            return _nothing("no session since the last complete year is finished, or BRAIN_LAST_YEAR leaves them out")
        problem = _refresh(years, market, table_io, window)
        found = {name: read_so_far(years, table_io.store, name) for name in RAW}
        prices = found["raw_prices"]
        if prices is None:
            return _nothing(problem)
        last = prices["date"].max().date()
        age = len(sessions_between(last + datetime.timedelta(days=1), window[1]))
        if problem:
            warn(f"raw_so_far: not fetched, so the bars until {last} stay, which are {age} sessions old: {problem}")
        return dg.MaterializeResult(
            metadata={
                "fetched": f"no, what was fetched before stays: {problem}" if problem else "yes",
                "sessions_old": age,
                "first_date": f"{prices['date'].min():%Y-%m-%d}",
                "last_date": str(last),
                "symbols": prices["symbol"].nunique(),
                "rows": {name: 0 if frame is None else len(frame) for name, frame in found.items()},
                "market": market.name,
                "caveat": market.caveat,
                "prices": price_chart("bars since the last complete year", prices),
            },
            data_version=dg.DataVersion(
                "-".join("none" if frame is None else content_hash(frame)[:16] for frame in found.values())
            ),
        )

    return raw_so_far


def _refresh(
    years: Years, market: Market, table_io: TableIOManager, window: tuple[datetime.date, datetime.date]
) -> str:
    """Fetch and replace the three tables; gives why not, or nothing. A failure is one if nothing was there before.

    That the market has no bars since the last complete year is none.
    """
    try:
        frames = fetch_so_far(market, window, table_io.headline_cache)
    except (MarketError, TableError, HubError) as error:
        if read_so_far(years, table_io.store, "raw_prices") is None and not isinstance(error, EmptyResponseError):
            raise
        return str(error)
    for name, frame in frames.items():
        table_io.store.write(name, SO_FAR, frame)
    return ""


def _nothing(why: str) -> dg.MaterializeResult[None]:
    return dg.MaterializeResult(metadata={"none_because": why}, data_version=dg.DataVersion("none"))


def target_weights_asset(models: Sequence[str], years: Years) -> dg.AssetsDefinition:
    """Define the asset ``target_weights``, made by the models of some yearly assets."""

    @dg.asset(
        deps=[
            "raw_so_far",
            *(
                dg.AssetDep(name, partition_mapping=dg.AllPartitionMapping())
                for name in (*RAW, *models, "walkforward_forecasts")
            ),
        ],
        code_version=CODE_VERSIONS["target_weights"],
        pool=TRAINING_POOL,
        group_name="portfolio",
        kinds={"parquet", "csv"},
    )
    def target_weights(
        context: dg.AssetExecutionContext,
        config: WeightsRunConfig,
        market: dg.ResourceParam[Market],
        table_io: dg.ResourceParam[TableIOManager],
        snapshot_io: dg.ResourceParam[SnapshotIOManager],
        clock: dg.ResourceParam[Clock],
    ) -> dg.MaterializeResult[None]:
        """Weights that each policy and each rule would hold in a week, decided after the last close before it.

        They are those that a backtest trades in that week: the same snapshots, the same forecasts, and before it the
        same model portfolio, which began the year in cash. Older data or models than the configuration allows are
        refused: the run fails if it was asked for a date, as the schedule and the command do; else nothing is written,
        and it says why.
        """
        week = chosen_week(config.date, clock)
        try:
            return _weights_of(years, week, context, config, market, table_io, snapshot_io)
        except AllocationError as error:
            if config.date is not None:
                raise
            context.log.warning(f"target_weights: nothing written: {error}")
            return _nothing(str(error))

    return target_weights


def _weights_of(
    years: Years,
    week: CalendarWeek,
    context: dg.AssetExecutionContext,
    config: WeightsRunConfig,
    market: Market,
    table_io: TableIOManager,
    snapshot_io: SnapshotIOManager,
) -> dg.MaterializeResult[None]:
    sources = {family: StoredSnapshots(storage) for family, storage in snapshot_io.storages.items()}
    refusals: list[str] = []
    known = read_known(years, table_io.store, week.decided)
    forecasts = _stored_forecasts(years, table_io.store, week)
    targets = decide_week(
        until_decision(panel_of(known.tables), week, config.max_data_age_sessions),
        week,
        years.calendar_years(_partition(years, week)),
        sources,
        forecasts,
        cutoff_of_year(years.first),
        note_refusal(context, refusals),
    )
    refuse_old_models(targets, config.max_model_age_days)
    paths = _write(targets, table_io.folder("weights"))
    closes = known.newest_prices.loc[known.newest_prices["date"] == pd.Timestamp(targets.last_session)]
    found = {family: sources[family].locations([name]).get(name, "nowhere") for family, name in targets.sources.items()}
    return dg.MaterializeResult(
        metadata={
            **_ages(targets),
            "forecasts": "made now" if forecasts is None else f"walkforward_forecasts[{_partition(years, week)}]",
            "caveat": market.caveat,
            **{name: dg.MetadataValue.path(str(path)) for name, path in paths.items()},
            **({"refused_snapshots": dg.MetadataValue.json(refusals)} if refusals else {}),
            "weights": _shown(targets),
            "places": dg.MetadataValue.json(found),
            "closes": dg.MetadataValue.json(dict(zip(closes["symbol"], closes["close"].astype(float), strict=True))),
        },
        data_version=dg.DataVersion(content_hash(targets.table)),
    )


def _partition(years: Years, week: CalendarWeek) -> int:
    """Give the partition that a week belongs to, whether it exists yet or not."""
    return max(week.year, years.first)


def _stored_forecasts(years: Years, tables: TableStore, week: CalendarWeek) -> pd.DataFrame | None:
    """Read the forecasts of the week's year; None: there are none yet."""
    year = _partition(years, week)
    is_stored = year <= years.last() and tables.exists("walkforward_forecasts", year)
    return tables.read_year("walkforward_forecasts", year) if is_stored else None


def _write(targets: WeekTargets, folder: DataPath) -> dict[str, DataPath]:
    """Write the table as Parquet and as CSV, each whole, named by the week's first session."""
    table, stem = targets.table, folder / targets.week.start.isoformat()
    parquet, text = stem.with_suffix(".parquet"), stem.with_suffix(".csv")
    replace_file(parquet, encode_table(table))
    replace_file(text, table.to_csv(index=False))
    return {"path": parquet, "csv": text}


def _ages(targets: WeekTargets) -> Metadata:
    """Give the week, what was known of it, and from when the data and the models are."""
    week, ages = targets.week, targets.model_ages
    models = {
        family: {"source": name, "age_days": ages.get(family)} for family, name in sorted(targets.sources.items())
    }
    return {
        "week": f"{week.start}, {len(week.sessions)} sessions",
        "decided_after": f"the close of {week.decision_time:%Y-%m-%d %H:%M} in New York",
        "data_until": str(targets.last_session),
        "data_age_sessions": targets.data_age,
        **{f"{family}_age_days": age for family, age in ages.items()},
        "models": dg.MetadataValue.json(models),
        "strategies_left_out": ", ".join(targets.left_out) or "none",
        "symbols_without_a_bar": ", ".join(targets.unknown) or "none",
    }


def _shown(targets: WeekTargets) -> dg.TableMetadataValue:
    """Give the weights in percent."""
    return dg.MetadataValue.table(
        [
            dg.TableRecord({name: value if name == "symbol" else f"{value:.1%}" for name, value in row.items()})
            for row in targets.table.to_dict("records")
        ]
    )
