"""Runs of the graph for proofs, on a market whose future can be another one.

*Future perturbation*: what a market says up to a date stays, everything after it is changed: every bar (open and close
by factors of their own, so that returns within and between sessions change), every volume, score and filing; quarters
that were known are restated; some symbols have nothing any more; two appear that were never heard of, one that sorts
before all others and one after.

Runs are real Dagster runs on an instance of their own, in folders that nobody else uses.
"""

import datetime
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, NamedTuple

import dagster as dg
import numpy as np
import pandas as pd

from brain_assets.errors import BrainAssetsError, LookAheadError, SettingsError
from brain_assets.graph.checks import findings_of
from brain_assets.graph.io_managers import TableIOManager
from brain_assets.graph.project import build_resources
from brain_assets.graph.tasks import QUIET
from brain_assets.graph.years import Years
from brain_assets.market.base import FILED_BEFORE, Market, ScoreHeadlines, SourcedTable
from brain_assets.market.schema import RATIOS, RAW, SCHEMAS
from brain_assets.registry import Families
from brain_assets.store.tables import TableStore

GUARDS = {"targets_before_cutoff", "sources_before_weeks", "not_too_good"}
"""Checks of assets that are against looking ahead."""

DAY = datetime.timedelta(days=1)

LOOK_BACK = datetime.timedelta(days=30)  # who had a bar so recently is one of those that may disappear

DROPPED_SHARE = 0.2

ADDED = ("!added", "~added")
"""Symbols that appear after the date; the characters sort before and after every letter and digit."""


def other_future(
    name: str, frame: pd.DataFrame, after: datetime.date, dropped: Sequence[str], donors: Sequence[str], seed: int
) -> pd.DataFrame:
    """Change the rows of a raw table after a date, the last day that stays as it is.

    Symbols that are dropped have none; those of `ADDED` have rows modelled on their donors', in this order.
    """
    day = "filed" if "filed" in frame else "date"
    if day == "filed":  # with each filing the same quarter of the year before is restated
        restated = frame.assign(period_end=(frame["period_end"] - pd.DateOffset(years=1)).astype("datetime64[us]"))
        restated = restated[restated["filed"] > pd.Timestamp(after)]
        frame = pd.concat([frame, restated]).drop_duplicates(["filed", "symbol", "period_end"])
    early = frame[day] <= pd.Timestamp(after)
    late = frame[~early & ~frame["symbol"].isin(dropped)]
    added = [late[late["symbol"] == donor].assign(symbol=new) for new, donor in zip(ADDED, donors, strict=True)]
    late = pd.concat([late, *added], ignore_index=True)
    random = np.random.default_rng(seed)

    def draw(low: float, high: float) -> np.ndarray:
        return random.uniform(low, high, len(late))

    if name == "raw_prices":
        opening, close = (late[price] * draw(0.7, 1.4) for price in ("open", "close"))
        high, low = np.maximum(opening, close) * draw(1.0, 1.02), np.minimum(opening, close) * draw(0.98, 1.0)
        volume = (late["volume"] + 1) * draw(0.5, 2.5)
        late = late.assign(open=opening, high=high, low=low, close=close, volume=volume)
    elif name == "raw_news_sentiment":
        articles = (late["n_articles"] + draw(1.0, 4.0).astype(np.int64)).astype(late["n_articles"].dtype)
        late = late.assign(sentiment_score=draw(-1.0, 1.0), n_articles=articles)
    else:
        late = late.assign(**{ratio: draw(-0.5, 1.0) for ratio in RATIOS})
    return SCHEMAS[name].validate(pd.concat([frame[early], late]), f"changed {name}")


class RecordedMarket:
    """A market that is asked once, from `start` up to but not including `end`, so that two runs see the same answers.

    Its recording can be given another future after a date. Headlines are scored by `score`, if it is given.
    """

    def __init__(
        self, market: Market, start: datetime.date, end: datetime.date, score: ScoreHeadlines | None = None
    ) -> None:
        self.name, self.caveat, self.last_complete_year = market.name, market.caveat, market.last_complete_year
        self._market, self._start, self._end, self._score = market, start, end, score
        self._change: Callable[[str, pd.DataFrame], pd.DataFrame] = lambda _, table: table
        self._tables: dict[str, SourcedTable] = {}

    def perturbed(self, after: datetime.date, seed: int = 0) -> "RecordedMarket":
        """Give the same recording with another future after a date; raises `SettingsError` if no bar was before it."""
        symbols = sorted(self.prices(after - LOOK_BACK, after + DAY)["symbol"].unique())
        if not symbols:
            raise SettingsError(
                f"--after: expected a date with bars in the {LOOK_BACK.days} days up to it, got {after}, which has "
                "none; choose another date or market."
            )
        shuffled = np.random.default_rng(seed).permutation(symbols).tolist()
        n_dropped = min(max(round(DROPPED_SHARE * len(shuffled)), 1), len(shuffled) - 1)
        dropped, donors = shuffled[:n_dropped], (shuffled[n_dropped], shuffled[-1])
        changed = RecordedMarket(self, self._start, self._end)
        changed._change = lambda name, table: other_future(name, table, after, dropped, donors, seed)
        return changed

    def prices(self, start: datetime.date, end: datetime.date) -> pd.DataFrame:
        """Give a part of the recording; see `brain_assets.market.base.Market.prices`."""
        fetch = self._market.prices
        return self._part("raw_prices", start, end, lambda: SourcedTable(fetch(self._start, self._end), "")).table

    def news_sentiment(self, start: datetime.date, end: datetime.date, score: ScoreHeadlines) -> SourcedTable:
        """Give a part of the recording; see `brain_assets.market.base.Market.news_sentiment`."""
        fetch, scorer = self._market.news_sentiment, self._score or score
        return self._part("raw_news_sentiment", start, end, lambda: fetch(self._start, self._end, scorer))

    def fundamentals(self, start: datetime.date, end: datetime.date) -> SourcedTable:
        """Give a part of the recording; see `brain_assets.market.base.Market.fundamentals`."""
        fetch, filed_from = self._market.fundamentals, self._start - FILED_BEFORE
        return self._part("raw_fundamentals", start, end, lambda: fetch(filed_from, self._end))

    def _part(
        self, name: str, start: datetime.date, end: datetime.date, fetch: Callable[[], SourcedTable]
    ) -> SourcedTable:
        if name not in self._tables:
            found = fetch()
            self._tables[name] = found._replace(table=self._change(name, found.table))
        found = self._tables[name]
        days = found.table.iloc[:, 0]  # the session, or the day of filing: when a row is known
        inside = (days >= pd.Timestamp(start)) & (days < pd.Timestamp(end))
        return found._replace(table=found.table[inside].reset_index(drop=True))


class Run(NamedTuple):
    """What a run of the graph left behind in a data folder."""

    folder: Path
    years: Years  # those that were run: all that exist
    families: Families
    upstream: Mapping[str, tuple[str, ...]]  # asset -> what it is made from, in the order in which they are made
    metadata: Mapping[tuple[str, int], Mapping[str, str]]  # by asset and year: what its materialization shows, as texts


@dataclass(frozen=True)
class GraphRuns:
    """Makes everything of a market in a fresh folder through the graph; raw tables of all years come first."""

    yearly: Sequence[dg.AssetsDefinition]
    """The assets, each after what it depends on; without any policy the backtest is left out."""
    years: Years  # all that exist are run
    families: Families
    options: Mapping[str, Mapping[str, Any]]  # asset -> its run configuration
    say: Callable[[str], None] = lambda _: None  # called with a line on each run

    @property
    def span(self) -> tuple[datetime.date, datetime.date]:
        """The first day of all years, and the day after the last."""
        return self.years.window(self.years.first)[0], self.years.window(self.years.last())[1]

    def __call__(self, market: Market, folder: Path) -> Run:
        """Run all years; an error of an asset is raised as it is."""
        store = TableStore(folder, {"market": market.name})
        tables = _EveryYear(store, self.years.existing(), [each.asset for each in self.families.forecasters.values()])
        resources = {**build_resources(market, store, folder / "models", families=self.families), "table_io": tables}
        defined = dg.Definitions(self.yearly, resources=resources, executor=dg.in_process_executor)
        job = defined.resolve_implicit_global_asset_job_def()
        upstream = {
            asset.key.to_user_string(): tuple(key.to_user_string() for key in asset.dependency_keys)
            for asset in self.yearly
            if self.families.policies or asset.key.to_user_string() != "backtest"
        }
        made = [name for name in upstream if name not in RAW]
        metadata: dict[tuple[str, int], Mapping[str, str]] = {}
        with dg.DagsterInstance.ephemeral() as instance:
            for what, names in (("raw tables", RAW), ("models, forecasts, backtest", made)):
                for year in self.years.existing():
                    started = time.monotonic()
                    metadata |= self._run(job, instance, year, names, folder)
                    self.say(f"  {year} {what} made in {time.monotonic() - started:.1f} s")
        return Run(folder, self.years, self.families, upstream, metadata)

    def _run(
        self, job: dg.JobDefinition, instance: dg.DagsterInstance, year: int, names: Sequence[str], folder: Path
    ) -> dict[tuple[str, int], Mapping[str, str]]:
        ops = {name: {"config": dict(self.options[name])} for name in names if self.options.get(name)}
        try:
            result = job.execute_in_process(
                run_config={"ops": ops, "loggers": QUIET},
                instance=instance,
                partition_key=str(year),
                asset_selection=[dg.AssetKey(name) for name in names],
            )
        except dg.DagsterExecutionInterruptedError as error:
            raise KeyboardInterrupt from error
        except dg.DagsterError as error:
            for name, found in findings_of(instance, job.asset_layer.asset_graph, year).items():
                if checks := [each.check_name for each in found if each.blocking]:
                    kind = LookAheadError if GUARDS.intersection(checks) else BrainAssetsError
                    text = f"{name}[{year}]: expected its checks to pass, got {', '.join(checks)} failed"
                    raise kind(text) from error
            raise
        made = [event.materialization for event in result.get_asset_materialization_events()]
        return {(each.asset_key.to_user_string(), year): _shown(each, folder) for each in made}


class _EveryYear(TableIOManager):
    """Hands the tables of all years to forecasters, which must cut them at their cut-off: a forgotten cut shows."""

    def __init__(self, store: TableStore, years: Sequence[int], forecasters: Sequence[str]) -> None:
        super().__init__(store, store.data_dir)
        self._years, self._forecasters = years, forecasters

    def load_input(self, context: dg.InputContext) -> Any:
        """Read all years, or those that the mapping asks for."""
        if context.op_def.name in self._forecasters:
            return self.store.read(context.asset_key.to_user_string(), self._years)
        return super().load_input(context)


def _shown(materialization: dg.AssetMaterialization, folder: Path) -> dict[str, str]:
    """Give what a materialization shows, and its data version, as texts in which the folder has no name."""
    texts = {name: repr(value) for name, value in materialization.metadata.items()}
    texts["data version"] = (materialization.tags or {}).get("dagster/data_version", "")
    return {name: text.replace(str(folder), "<folder>") for name, text in texts.items()}


def quick_options(families: Families) -> dict[str, Mapping[str, Any]]:
    """Give by asset the options to train for a moment with: a leak does not depend on how long a model learns."""
    return {family.asset: family.quick for family in families.by_name.values()}
