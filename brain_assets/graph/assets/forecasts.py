"""Walk-forward forecasts by year."""

from collections.abc import Collection, Sequence
from typing import Any

import dagster as dg
import numpy as np
import pandas as pd

from brain_assets.check_result import format_figure
from brain_assets.forecasting.average import average_entries, families_in
from brain_assets.forecasting.checks import forecast_verdicts
from brain_assets.forecasting.metrics import mean_skill
from brain_assets.forecasting.walkforward import build_forecast_features, weekly_correlations, weeks_by_source
from brain_assets.forecasting.yardsticks import YARDSTICKS, column_label
from brain_assets.graph.assets.inputs import WEEK, Columns, inputs, panel_of, table_result, yearly_table
from brain_assets.graph.checks import FORECAST_CHECKS
from brain_assets.graph.conditions import COMPUTED
from brain_assets.graph.io_managers import Metadata, note_refusal, stored
from brain_assets.graph.options import ForecastsConfig, RunConfig
from brain_assets.graph.pictures import as_table, chart, plotted
from brain_assets.graph.years import Years
from brain_assets.market.schema import NUMBER, RAW, SYMBOL, TEXT
from brain_assets.registry import AVERAGE, OURS, Family
from brain_assets.store.names import cutoff_of_year
from brain_assets.versions import CODE_VERSIONS


def forecasts_asset(forecasters: Collection[Family], years: Years) -> dg.AssetsDefinition:
    """Define the asset ``walkforward_forecasts`` with a column for each of some forecasters."""
    families, models = [family.name for family in forecasters], [family.asset for family in forecasters]
    added = [family.name for family in forecasters if type(family).__module__ not in OURS]  # a column more everywhere
    run_config = RunConfig(ForecastsConfig, lambda given: average_entries(given.average, families), families)

    @yearly_table(
        "walkforward_forecasts",
        years,
        _columns(families),
        FORECAST_CHECKS,
        ".".join([CODE_VERSIONS["walkforward_forecasts"], *added]),
        ins=inputs(RAW, years.up_to_year) | inputs(models, years.previous),
        config_schema=run_config,
        group_name="forecasting",
        **COMPUTED,
    )
    def walkforward_forecasts(  # type: ignore[no-untyped-def]  # with checks there are several outputs: Dagster takes no single type
        context: dg.AssetExecutionContext, **given: Any
    ):
        """Forecasts of every week of the year, by the newest snapshot whose cut-off lies before the week begins.

        That is the snapshot of the year before, from this machine, else from the Hub, else the closest earlier one; the
        source of every forecast stands beside it. In the bootstrap window there is none: the forecast is 4-week
        momentum. Beside them stand the average of the forecasters' ranks, and what all of them have to beat: momentum
        over 4 weeks and over 12 months less the last, and one-week reversal. More: docs/assets.md.
        """
        year = int(context.partition_key)
        config = run_config.read(context.op_execution_context.op_config)
        sources = {family.name: stored(given.pop(family.asset)) for family in forecasters}
        refusals: list[str] = []
        forecasts = build_forecast_features(
            panel_of(given),
            years.calendar_years(year),
            sources,
            cutoff_of_year(years.first),
            note_refusal(refusals),
            config.average,
        )
        weekly = weekly_correlations(forecasts)
        columns = [name for name in families_in(forecasts) if name in weekly]
        used = {name: weeks_by_source(forecasts, name) for name in families_in(forecasts)}
        metadata: Metadata = {
            "skill": _skill(weekly),
            "rank_correlation": chart(
                f"forecasts {year}",
                {column_label(name): np.nancumsum(weekly[name]) for name in columns or weekly},
                0.0,
                "Sum of the weekly rank correlations.",
            ),
            **plotted({f"eval/{name}_rank_correlation": weekly[name].mean() for name in columns}),
            "weeks": str(forecasts["week_start"].nunique()),
            "weeks_by_source": used,
            "places": {name: sources[name].locations(used[name]) for name in used if name in sources},
        }
        if config.average is not None:
            metadata["averaged"] = dg.MetadataValue.json(config.average)  # `StatusReader` compares it
        if refusals:
            metadata["refused_snapshots"] = dg.MetadataValue.json(refusals)
        verdicts = forecast_verdicts(forecasts, config.max_rank_correlation)
        return table_result(forecasts, metadata, FORECAST_CHECKS, verdicts)

    return walkforward_forecasts


def _skill(weekly: pd.DataFrame) -> dg.TableMetadataValue:
    skills = {name: mean_skill(weekly[name].to_numpy()) for name in weekly}
    lines = [
        {
            "forecast": column_label(name),
            "rank correlation": format_figure(skill.rank_correlation, "+.3f"),
            "t": format_figure(skill.t_statistic, "+.1f"),
            "detectable": format_figure(skill.smallest_detectable, ".3f"),
        }
        for name, skill in skills.items()
    ]
    return as_table(pd.DataFrame(lines))


def _columns(families: Sequence[str]) -> Columns:
    of_week = "Return of the week, from its first open to its last close, as a fraction"
    forecast = f"{of_week}, forecast after the last close before it. Empty: too little history."
    source = "Where it comes from: the snapshot's name, or momentum where there was none yet."
    average = (
        "Mean of the ranks that forecasters give the symbols of the week, as a return less the week's mean, of the "
        "size of their forecasts. Empty: none of them has a forecast."
    )
    counted = "The snapshots whose ranks were averaged, each after its family, or momentum where there was none yet."
    pairs = [((family, NUMBER, forecast), (f"{family}_source", TEXT, source)) for family in families]
    return (
        WEEK,
        (SYMBOL.name, SYMBOL.kind, SYMBOL.meaning),
        *(column for pair in pairs for column in pair),
        (AVERAGE, NUMBER, average),
        (f"{AVERAGE}_source", TEXT, counted),
        *((name, NUMBER, yardstick.meaning) for name, yardstick in YARDSTICKS.items()),
        ("realized", NUMBER, f"{of_week}, as it came; known at its last close. Empty: not known."),
    )
