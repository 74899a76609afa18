"""The rows of the market since the last complete year, what each strategy would hold in a week, and its schedule."""

import datetime
from collections.abc import Mapping, Sequence
from itertools import takewhile

import dagster as dg
import pandas as pd
import pydantic

from brain_assets.allocate import allocation
from brain_assets.allocate.allocation import WeekTargets, chosen_week
from brain_assets.configuration import ModelConfig
from brain_assets.errors import AllocationError, EmptyResponseError
from brain_assets.formatting import in_csv
from brain_assets.graph.assets.inputs import panel_of
from brain_assets.graph.assets.raw import fetch_year_to_date, join, recent_window
from brain_assets.graph.assets.tables import read_year_before
from brain_assets.graph.instance import MARKET_POOL, TRAINING_POOL
from brain_assets.graph.io_managers import Metadata, SnapshotIOManager, StoredSnapshots, TableIOManager, note_refusal
from brain_assets.graph.options import RunConfig
from brain_assets.graph.pictures import as_table
from brain_assets.graph.project import Project
from brain_assets.graph.years import TIMEZONE, Years
from brain_assets.market.base import Market
from brain_assets.market.calendar import MIN_WEEK_SESSIONS, NEW_YORK, Clock, sessions_between, week_from
from brain_assets.market.schema import RAW
from brain_assets.parquet import encode_table
from brain_assets.paths import replace_file
from brain_assets.store.fingerprint import CODE_VERSIONS
from brain_assets.store.names import cutoff_of_year
from brain_assets.store.tables import YEAR_TO_DATE, TableStore, content_hash

WEEKLY_WEIGHTS = "weekly_weights"


class WeightsRunConfig(ModelConfig, dg.Config):
    """Which week the weights are for, and how old what they rest on may be."""

    date: str | None = pydantic.Field(
        None,
        description="A day, such as 2022-06-01: the week of the first session on or after it; default: today, in New "
        "York.",
    )
    max_data_age_sessions: int = pydantic.Field(
        0, description="Sessions before the week of which no bar may be known; they are passed over.", ge=0, le=260
    )
    max_model_age_days: int = pydantic.Field(  # by default a model of the year before, and a month for making the next
        400, description="Days from the cut-off of a forecaster or policy to the week's first session, at most.", ge=1
    )


def year_to_date_asset(years: Years) -> dg.AssetsDefinition:
    """Define the asset ``raw_year_to_date``."""

    @dg.asset(
        deps=[dg.AssetDep("raw_prices", partition_mapping=dg.AllPartitionMapping())],
        code_version=CODE_VERSIONS["raw_year_to_date"],
        pool=MARKET_POOL,
        group_name="market",
        kinds={"parquet"},
    )
    def raw_year_to_date(
        market: dg.ResourceParam[Market], table_io: dg.ResourceParam[TableIOManager], clock: dg.ResourceParam[Clock]
    ) -> dg.MaterializeResult[None]:
        """Bars, news and filings since the last complete year, until the last finished session, fetched every time.

        Headlines are scored by the default model of `raw_news_sentiment`. These rows never become a year: that is
        fetched once it is complete. That the market has none of them is no failure, unless it had some before. More:
        docs/weights.md.
        """
        if (window := recent_window(years, clock)) is None:
            return _nothing("no session since the last complete year is finished, or BRAIN_LAST_YEAR leaves them out")
        try:
            frames = fetch_year_to_date(market, window, table_io.headline_cache)
        except EmptyResponseError as error:
            if read_year_to_date(years, table_io.store, "raw_prices") is not None:
                raise
            return _nothing(str(error))
        for name, frame in frames.items():
            table_io.store.write(name, YEAR_TO_DATE, frame)
        prices = frames["raw_prices"]
        first, last = prices["date"].min().date(), prices["date"].max().date()
        return dg.MaterializeResult(
            metadata={
                "sessions_old": len(sessions_between(last + allocation.ONE_DAY, window[1])),
                "first_date": str(first),
                "last_date": str(last),
                "symbols": prices["symbol"].nunique(),
                "rows": {name: len(frame) for name, frame in frames.items()},
                "market": market.name,
                "caveat": market.caveat,
            },
            data_version=dg.DataVersion("-".join(content_hash(frame)[:16] for frame in frames.values())),
        )

    return raw_year_to_date


def _nothing(why: str) -> dg.MaterializeResult[None]:
    return dg.MaterializeResult(metadata={"none_because": why}, data_version=dg.DataVersion("none"))


def read_year_to_date(years: Years, tables: TableStore, name: str) -> pd.DataFrame | None:
    """Read the rows of a raw table since the last partition, some of which may be one by now; None: there are none."""
    if years.last_asked is not None or not tables.exists(name, YEAR_TO_DATE):
        return None
    frame = tables.read_year(name, YEAR_TO_DATE)
    known_on = frame[frame.columns[0]]  # the session, or the day of filing
    frame = frame[known_on >= pd.Timestamp(years.last() + 1, 1, 1)].reset_index(drop=True)
    return None if frame.empty else frame


def read_raw_tables(
    years: Years, tables: TableStore, until: datetime.date
) -> tuple[Mapping[str, pd.DataFrame], pd.DataFrame]:
    """Read the raw tables of every year up to that of a day, and the year to date if the day lies in it.

    They end before the first year without prices; some rows may lie after the day. Also gives the newest of the price
    tables as it was fetched, not joined to the level of those before. Raises `TableError` if a table is not there.
    """
    wanted = years.up_to(min(max(until.year, years.first), years.last()))
    # without the newest years the week is refused, and it is said which one could be decided
    there = list(takewhile(lambda year: tables.exists("raw_prices", year), wanted)) or wanted
    found = {name: tables.read(name, there) for name in RAW}
    newest = tables.read_year("raw_prices", there[-1])
    for name in RAW if until.year > years.last() == there[-1] else ():
        rows = read_year_to_date(years, tables, name)
        if rows is not None:
            found[name] = join(name, found[name], rows)
            if name == "raw_prices" and rows["date"].min() <= pd.Timestamp(until):
                newest = rows
    return found, newest


def target_weights_asset(models: Sequence[str], years: Years) -> dg.AssetsDefinition:
    """Define the asset ``target_weights``, made by the models of some yearly assets."""
    run_config = RunConfig(WeightsRunConfig)

    @dg.asset(
        deps=[
            "raw_year_to_date",
            *(
                dg.AssetDep(name, partition_mapping=dg.AllPartitionMapping())
                for name in (*RAW, *models, "walkforward_forecasts", "backtest")
            ),
        ],
        config_schema=run_config,
        code_version=CODE_VERSIONS["target_weights"],
        pool=TRAINING_POOL,
        group_name="portfolio",
        kinds={"parquet", "csv"},
    )
    def target_weights(
        context: dg.AssetExecutionContext,
        market: dg.ResourceParam[Market],
        table_io: dg.ResourceParam[TableIOManager],
        snapshot_io: dg.ResourceParam[SnapshotIOManager],
        clock: dg.ResourceParam[Clock],
    ) -> dg.MaterializeResult[None]:
        """Weights that each strategy would hold in a week, decided after the last close before it.

        They are those that a backtest trades in that week. Older data or models than the configuration allows are
        refused: the run fails if it was asked for a date, as the schedule and the command do; else nothing is written,
        and it says why. More: docs/weights.md.
        """
        config = run_config.read(context.op_execution_context.op_config)
        week = chosen_week(config.date, clock)
        partition = max(week.year, years.first)  # whether it exists yet or not
        sources = {family: StoredSnapshots(storage) for family, storage in snapshot_io.storages.items()}
        refusals: list[str] = []
        tables, newest_prices = read_raw_tables(years, table_io.store, week.decided)
        year = min(partition, years.last())
        is_stored = table_io.store.exists("walkforward_forecasts", year)
        is_forecast = is_stored and year == partition
        try:
            targets = allocation.decide_week(
                allocation.until_decision(panel_of(tables), week, config.max_data_age_sessions),
                week,
                years.calendar_years(partition),
                sources,
                table_io.store.read_year("walkforward_forecasts", year) if is_stored else None,
                cutoff_of_year(years.first),
                note_refusal(refusals),
                read_year_before(table_io.store, years, partition),
            )
            allocation.refuse_old_models(targets, config.max_model_age_days)
        except AllocationError as error:
            if config.date is not None:
                raise
            context.log.warning(f"target_weights: nothing written: {error}")
            return _nothing(str(error))
        table = targets.table
        parquet, text = (table_io.data_dir / "weights" / f"{week.start}.{ending}" for ending in ("parquet", "csv"))
        replace_file(parquet, encode_table(table))
        replace_file(text, table.assign(symbol=table["symbol"].map(in_csv)).to_csv(index=False))
        last_bars = newest_prices.loc[newest_prices["date"] == pd.Timestamp(targets.last_session)]
        places = {
            family: sources[family].locations([name]).get(name, "nowhere")
            for family, name in targets.sources.items()
            if family in sources  # the average is of those that are
        }
        return dg.MaterializeResult(
            metadata={
                "weights": as_table(table.set_index("symbol").map("{:.1%}".format).reset_index()),
                **_known_of(targets),
                "forecasts": f"walkforward_forecasts[{partition}]" if is_forecast else "made now",
                "caveat": market.caveat,
                "path": dg.MetadataValue.path(str(parquet)),
                "csv": dg.MetadataValue.path(str(text)),
                **({"refused_snapshots": dg.MetadataValue.json(refusals)} if refusals else {}),
                "places": dg.MetadataValue.json(places),
                "closes": dg.MetadataValue.json(last_bars.set_index("symbol")["close"].astype(float).to_dict()),
            },
            data_version=dg.DataVersion(content_hash(table)),
        )

    return target_weights


def _known_of(targets: WeekTargets) -> Metadata:
    """Give the week, what was known of it, and from when the data and the models are."""
    week, ages = targets.week, targets.model_ages
    models = {family: {"source": name, "age_days": ages.get(family)} for family, name in targets.sources.items()}
    return {
        "week": f"{week.start}, {len(week.sessions)} sessions",
        "decided_after": f"the close of {week.decision_time:%Y-%m-%d %H:%M} in New York",
        "data_until": str(targets.last_session),
        "data_age_sessions": allocation.data_age(targets.last_session, week),
        **{f"{family}_age_days": age for family, age in ages.items()},
        "models": dg.MetadataValue.json(dict(sorted(models.items()))),
        "strategies_left_out": ", ".join(targets.left_out) or "none",
        "symbols_without_a_bar": ", ".join(targets.missing_symbols) or "none",
    }


@dg.schedule(
    name="every_week",
    job_name=WEEKLY_WEIGHTS,
    cron_schedule="0 8 * * 1-5",
    execution_timezone=TIMEZONE,
    description="Weights of the week, at 8:00 in New York on its first session. Off until it is switched on.",
)
def every_week(context: dg.ScheduleEvaluationContext) -> dg.RunRequest | dg.SkipReason:
    """Ask for a run on the first session of a week; it names the week, so one that starts late decides the same."""
    day = context.scheduled_execution_time.astimezone(NEW_YORK).date()
    week = week_from(day)
    if day != week.start or not week.is_long_enough:
        return dg.SkipReason(
            f"{day} is not the first session of a week of at least {MIN_WEEK_SESSIONS}: that of {week.start} has "
            f"{len(week.sessions)}"
        )
    config = {"ops": {"target_weights": {"config": {"date": str(week.start)}}}}
    return dg.RunRequest(run_key=f"week-{week.start}", run_config=config)


def definitions(project: Project) -> dg.Definitions:
    """Define the two assets, their job and its schedule."""
    models = [family.asset for family in project.settings.families.by_name.values()]
    assets = [year_to_date_asset(project.years), target_weights_asset(models, project.years)]
    job = dg.define_asset_job(
        WEEKLY_WEIGHTS,
        selection=dg.AssetSelection.assets(*assets),
        description="Fetches the bars since the last complete year, and decides this week's weights.",
    )
    return dg.Definitions(assets, jobs=[job], schedules=[every_week])
