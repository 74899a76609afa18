"""Policy snapshots by year, and how they fared the year after."""

from functools import partial
from typing import TYPE_CHECKING

import dagster as dg
import numpy as np
import pandas as pd

from brain_assets.device import resolve_device
from brain_assets.errors import SnapshotError
from brain_assets.graph.automation import FOLLOWS_INPUTS
from brain_assets.graph.checks import check_results, check_specs
from brain_assets.graph.columns import column_schema
from brain_assets.graph.configs import MODEL_CONFIGS, PpoRunConfig, SacRunConfig, SeedsConfig, to_domain
from brain_assets.graph.partitions import FIRST_YEAR, PREVIOUS_YEARS, SETTINGS, UP_TO_YEAR, YEARS, calendar_years
from brain_assets.graph.pictures import equity_chart
from brain_assets.graph.pools import TRAINING_POOL
from brain_assets.graph.snapshots import Made, Snapshots, make_snapshot, note_refusal, places
from brain_assets.market.base import Market, MarketNote
from brain_assets.paths import DataPath
from brain_assets.store.names import POLICY_FAMILIES, cutoff_of_year, parse_snapshot_name
from brain_assets.store.tables import RAW, content_hash
from brain_assets.verdict import Verdict
from brain_assets.versions import CODE_VERSIONS

if TYPE_CHECKING:
    from brain_assets.portfolio.backtest import BacktestResult

INPUTS = {name: dg.AssetIn(partition_mapping=UP_TO_YEAR) for name in (*RAW, "walkforward_forecasts")}


@dg.asset(
    partitions_def=YEARS,
    ins=INPUTS,
    check_specs=check_specs("ppo_policy"),
    code_version=CODE_VERSIONS["ppo_policy"],
    pool=TRAINING_POOL,
    automation_condition=FOLLOWS_INPUTS,
    group_name="portfolio",
    kinds={"pytorch"},
)
def ppo_policy(
    context: dg.AssetExecutionContext,
    config: PpoRunConfig,
    raw_prices: pd.DataFrame,
    raw_news_sentiment: pd.DataFrame,
    raw_fundamentals: pd.DataFrame,
    walkforward_forecasts: pd.DataFrame,
    market: dg.ResourceParam[Market],
    snapshots: dg.ResourceParam[Snapshots],
) -> dg.MaterializeResult:  # type: ignore[type-arg]  # with a check there are two outputs: Dagster takes no argument
    """PPO policy over weekly weights, trained on LSTM forecasts, signals and weeks up to 31 December."""
    tables = (raw_prices, raw_news_sentiment, raw_fundamentals, walkforward_forecasts)
    return _policy(context, "ppo", config, tables, market, snapshots)


@dg.asset(
    partitions_def=YEARS,
    ins=INPUTS,
    check_specs=check_specs("sac_policy"),
    code_version=CODE_VERSIONS["sac_policy"],
    pool=TRAINING_POOL,
    automation_condition=FOLLOWS_INPUTS,
    group_name="portfolio",
    kinds={"pytorch"},
)
def sac_policy(
    context: dg.AssetExecutionContext,
    config: SacRunConfig,
    raw_prices: pd.DataFrame,
    raw_news_sentiment: pd.DataFrame,
    raw_fundamentals: pd.DataFrame,
    walkforward_forecasts: pd.DataFrame,
    market: dg.ResourceParam[Market],
    snapshots: dg.ResourceParam[Snapshots],
) -> dg.MaterializeResult:  # type: ignore[type-arg]
    """SAC policy over weekly weights, trained on PatchTST forecasts, signals and weeks up to 31 December."""
    tables = (raw_prices, raw_news_sentiment, raw_fundamentals, walkforward_forecasts)
    return _policy(context, "sac", config, tables, market, snapshots)


def _policy(
    context: dg.AssetExecutionContext,
    family: str,
    config: SeedsConfig,
    tables: tuple[pd.DataFrame, pd.DataFrame, pd.DataFrame, pd.DataFrame],
    market: Market,
    snapshots: Snapshots,
) -> dg.MaterializeResult[None]:
    from brain_assets.market.prices import PricePanel
    from brain_assets.market.signals import add_signals
    from brain_assets.market.weekly import WeeklyBars
    from brain_assets.portfolio.checks import weights_verdict
    from brain_assets.portfolio.evidence import degeneracy
    from brain_assets.portfolio.policies import training_weeks
    from brain_assets.portfolio.policy import PolicyProgress, weights_on
    from brain_assets.portfolio.rules import RULES
    from brain_assets.portfolio.seed_training import SeedTraining
    from brain_assets.progress import report

    prices, news, fundamentals, forecasts = tables
    cutoff_date = cutoff_of_year(int(context.partition_key))
    configured, device = to_domain(config, MODEL_CONFIGS[family][1]), resolve_device(config.device)
    bars = WeeklyBars.from_panel(add_signals(PricePanel.from_frame(prices), news, fundamentals))
    weeks = training_weeks(bars, forecasts, family, cutoff_date)

    training = SeedTraining(snapshots[family], weeks, cutoff_date, configured, MarketNote.of(market), device)

    def make(number: int, force: bool) -> Made:
        head = f"{family} {cutoff_date.year}"
        if config.n_seeds > 1:
            head += f", seed {number + 1} of {config.n_seeds}"

        def show(point: PolicyProgress) -> None:
            report(
                f"{head}: {point.steps:,} of {point.total_steps:,} steps, reward of an episode "
                f"{point.mean_episode_reward:.2f}"
            )

        return make_snapshot(
            context,
            training.storage_of(number),
            training.fingerprint(number),
            force,
            lambda: training.train(number, show),
        )

    others = range(1, config.n_seeds)
    made = make(0, config.force)
    spread_out = SETTINGS.engine == "ray" and bool(others)
    if spread_out:
        from brain_assets.graph.spread import spread

        spread(others, partial(training.store, config.force), f"{family}_policy")
    other_seeds = [make(number, config.force and not spread_out) for number in others]
    problem = degeneracy(made.snapshot.metadata["training"])
    if problem:
        context.log.warning(f"{family} {cutoff_date.year}: {problem}")
    verdicts = {
        "weights_keep_rules": weights_verdict(weights_on(made.snapshot, weeks), RULES),
        "not_degenerate": Verdict(problem is None, problem or "it acts on what it sees, and not at the bounds"),
    }
    return made.result_with(check_results(f"{family}_policy", verdicts), other_seeds)


@dg.asset(
    partitions_def=YEARS,
    ins={name: dg.AssetIn(partition_mapping=UP_TO_YEAR) for name in RAW},
    deps=[dg.AssetDep(f"{family}_policy", partition_mapping=PREVIOUS_YEARS) for family in POLICY_FAMILIES],
    check_specs=check_specs("backtest"),
    code_version=CODE_VERSIONS["backtest"],
    metadata=column_schema("backtest"),
    pool=TRAINING_POOL,
    automation_condition=FOLLOWS_INPUTS,
    io_manager_key="table_io",
    group_name="portfolio",
    kinds={"parquet"},
)
def backtest(  # type: ignore[no-untyped-def]  # with checks there are several outputs: Dagster takes no single type
    context: dg.AssetExecutionContext,
    raw_prices: pd.DataFrame,
    raw_news_sentiment: pd.DataFrame,
    raw_fundamentals: pd.DataFrame,
    walkforward_forecasts: pd.DataFrame,
    snapshots: dg.ResourceParam[Snapshots],
    trials: dg.ResourceParam[DataPath],
):
    """Out-of-sample returns of the year, after costs: policies of the year before beside rules without learning.

    The rules: equal weight, buy and hold, hierarchical risk parity, minimum variance, and the top third by momentum and
    by the forecasts of each forecaster; where no policy trades, equal weight alone. Left out, and named: a rule whose
    forecaster has no model yet, seeds that were not trained beside each snapshot, and for all strategies the weeks in
    which a model that others have is not there.
    """
    from brain_assets.forecasting.walkforward import families_in
    from brain_assets.market.prices import PricePanel
    from brain_assets.market.signals import add_signals
    from brain_assets.portfolio.backtest import backtest as run_backtest
    from brain_assets.portfolio.backtest import growth
    from brain_assets.portfolio.baselines import benchmark_strategies
    from brain_assets.portfolio.checks import beats_equal_weight, table_weights, weights_verdict
    from brain_assets.portfolio.metrics import sharpe_ratio
    from brain_assets.portfolio.rules import RULES
    from brain_assets.portfolio.seeds import family_of_seed, seed_strategy

    year = int(context.partition_key)
    sources = {family: snapshots[family] for family in POLICY_FAMILIES}
    for storage in sources.values():
        if year > FIRST_YEAR and storage.hub is None:
            storage.read_files(cutoff_of_year(year - 1))
    here = {family: storage.list_snapshots() for family, storage in sources.items()}
    other_seeds = {
        family: {number: storage.of_seed(number) for number in storage.list_seeds()}
        for family, storage in sources.items()
    }
    refusals: list[str] = []
    result = run_backtest(
        add_signals(PricePanel.from_frame(raw_prices), raw_news_sentiment, raw_fundamentals),
        walkforward_forecasts,
        calendar_years(year),
        sources,
        cutoff_of_year(FIRST_YEAR),
        note_refusal(context, refusals),
        other_seeds,
    )
    missing = [family for family in POLICY_FAMILIES if not result.used.get(family)]
    if year > FIRST_YEAR and missing:
        raise SnapshotError(
            f"backtest[{year}]: expected a policy of each family that was finished before the year, here or on the "
            f"Hub, got none of {', '.join(missing)}{''.join(f' ({sentence})' for sentence in refusals)}; materialize "
            f"{', '.join(f'{family}_policy' for family in missing)} for {year - 1}."
        )
    table = result.table
    _record_trials(year, result, walkforward_forecasts, snapshots, trials)
    returns = {name: rows.set_index("week_start")["net_return"] for name, rows in table.groupby("strategy")}
    shown = {name: values for name, values in returns.items() if family_of_seed(str(name)) is None}
    offered = [seed_strategy(family, number) for family, seeds in other_seeds.items() for number in seeds]
    benchmarks = benchmark_strategies(families_in(walkforward_forecasts))
    n_weeks = table["week_start"].nunique()
    return dg.MaterializeResult(
        value=table,
        metadata={
            "weeks": n_weeks,
            "weeks_left_out": walkforward_forecasts["week_start"].nunique() - n_weeks,
            "rules_left_out": ", ".join(name for name in benchmarks if name not in returns) or "none",
            "seeds_left_out": ", ".join(name for name in offered if name not in returns) or "none",
            **{f"eval/{name}_net_return": growth(table, name) for name in returns},
            **{
                f"eval/{name}_sharpe_ratio": ratio
                for name, values in returns.items()
                if np.isfinite(ratio := float(sharpe_ratio(values.to_numpy())))  # JSON does not know NaN
            },
            **{
                f"eval/{name}_mean_turnover": float(rows["turnover"].mean()) for name, rows in table.groupby("strategy")
            },
            **{
                f"{family}_places": dg.MetadataValue.json(places(snapshots[family], result.used[family], here[family]))
                for family in POLICY_FAMILIES
                if family in result.used
            },
            **({"refused_snapshots": dg.MetadataValue.json(refusals)} if refusals else {}),
            "equity": equity_chart(f"backtest {year}", shown),
        },
        data_version=dg.DataVersion(content_hash(table)),
        check_results=check_results(
            "backtest",
            {
                "weights_keep_rules": weights_verdict(table_weights(table), RULES),
                "beats_equal_weight": beats_equal_weight(table),
            },
        ),
    )


def _record_trials(
    year: int, result: "BacktestResult", forecasts: pd.DataFrame, snapshots: Snapshots, folder: DataPath
) -> None:
    """Leave a record of each policy's configuration, and of that of the forecaster whose forecasts it traded on."""
    from brain_assets import registry
    from brain_assets.portfolio.trials import record_trial, trial_of

    for family, policy in result.latest.items():
        forecaster = registry.get(family).forecaster
        cutoff_date = parse_snapshot_name(forecasts[f"{forecaster}_source"].iloc[-1])
        metadata = snapshots[forecaster].read_metadata(cutoff_date) if cutoff_date else None
        net_return = result.table.loc[result.table["strategy"] == family, "net_return"].to_numpy()
        forecaster_config = metadata["fingerprint"]["config"] if metadata else None
        trial = trial_of(family, year, net_return, policy.config, forecaster_config)
        record_trial(folder, trial, policy.config, forecaster_config)
