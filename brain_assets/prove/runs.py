"""Runs of the graph for proofs: real Dagster runs on an instance of their own, in folders that nobody else uses."""

import datetime
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, NamedTuple

import dagster as dg

from brain_assets.errors import BrainAssetsError, LookAheadError
from brain_assets.graph.checks import findings_of
from brain_assets.graph.io_managers import TableIOManager
from brain_assets.graph.project import build_resources
from brain_assets.graph.tasks import QUIET
from brain_assets.graph.years import Years
from brain_assets.market.base import Market
from brain_assets.market.schema import RAW
from brain_assets.registry import Families
from brain_assets.store.tables import TableStore

GUARDS = {"targets_before_cutoff", "sources_before_weeks", "not_too_good"}
"""Checks of assets that are against looking ahead."""


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
