"""Runs of the graph for proofs: real Dagster runs on an instance of their own, in folders that nobody else uses."""

import hashlib
import json
import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import dagster as dg

from brain_assets.graph.instance import dagster_home
from brain_assets.graph.jobs import WALKFORWARD, walkforward_job
from brain_assets.graph.options import read_options
from brain_assets.graph.project import Project
from brain_assets.graph.resources import build_resources
from brain_assets.graph.tasks import QUIET
from brain_assets.market.base import FILED_BEFORE, Market
from brain_assets.market.schema import RAW
from brain_assets.proofs.corruption import CorruptedMarket, FetchedOnce
from brain_assets.proofs.pipeline import Run, Span, upstream_of
from brain_assets.registry import Families
from brain_assets.store.tables import ParquetTableStore

DATA_VERSION_TAG = "dagster/data_version"

SHOWN_WHOLE = 200
"""Characters; what a materialization shows beyond them (pictures, cards) is compared by its hash."""


class GraphRuns:
    """Makes everything of a market in a fresh folder through the graph; raw tables of all years come first.

    Parameters
    ----------
    project : Project
        Its market is not asked: each run has one of its own.
    span : Span
    options : mapping of str to mapping
        Asset -> its run configuration.
    on_step : callable, optional
        Called after each run with a few words and the seconds that it took.
    """

    def __init__(
        self,
        project: Project,
        span: Span,
        options: Mapping[str, Mapping[str, Any]],
        on_step: Callable[[str, float], None] | None = None,
    ) -> None:
        self._project, self._span, self._options = project, span, options
        self._on_step = on_step

    def __call__(self, market: Market, folder: Path) -> Run:
        """Run all years; an error of an asset is raised as it is."""
        families, yearly = self._project.settings.families, self._project.yearly
        tables = ParquetTableStore(folder, {"market": market.name})
        resources = build_resources(market, tables, folder / "models", families=families)
        defs = dg.Definitions(
            assets=yearly,
            jobs=[walkforward_job(yearly)],
            resources=resources,
            executor=dg.in_process_executor,
        )
        job = defs.resolve_job_def(WALKFORWARD)
        metadata: dict[tuple[str, int], Mapping[str, str]] = {}
        made = [name for name in upstream_of(families) if name not in RAW]
        with self._instance(folder) as instance:
            for what, names in (("raw tables", list(RAW)), ("models, forecasts, backtest", made)):
                for year in self._span.years:
                    started = time.monotonic()
                    metadata |= self._run(job, instance, year, names, folder)
                    if self._on_step is not None:
                        self._on_step(f"{year} {what}", time.monotonic() - started)
        return Run(folder, self._span, families, metadata)

    @contextmanager
    def _instance(self, folder: Path) -> Iterator[dg.DagsterInstance]:
        home = dagster_home(self._project.settings.model_copy(update={"data_dir": folder, "dagster_home": None}))
        with dg.DagsterInstance.from_config(str(home)) as instance:
            yield instance

    def _run(
        self, job: dg.JobDefinition, instance: dg.DagsterInstance, year: int, names: list[str], folder: Path
    ) -> dict[tuple[str, int], Mapping[str, str]]:
        ops = {name: {"config": dict(self._options[name])} for name in names if self._options.get(name)}
        result = job.execute_in_process(
            run_config={"ops": ops, "loggers": QUIET},
            instance=instance,
            partition_key=str(year),
            asset_selection=[dg.AssetKey(name) for name in names],
        )
        return {
            (event.asset_key.to_user_string(), year): _shown(event, folder)
            for event in result.all_events
            if event.is_step_materialization and event.asset_key
        }


def _shown(event: dg.DagsterEvent, folder: Path) -> dict[str, str]:
    """Give what a materialization shows, and its data version, as texts in which the folder has no name."""
    materialization = event.step_materialization_data.materialization
    values = {name: value.value for name, value in materialization.metadata.items()}
    values["data version"] = (materialization.tags or {}).get(DATA_VERSION_TAG, "")
    texts = {
        name: json.dumps(value, sort_keys=True, default=str).replace(str(folder), "<folder>")
        for name, value in values.items()
    }
    return {
        name: text
        if len(text) <= SHOWN_WHOLE
        else f"{text[:40]}… (SHA-256 {hashlib.sha256(text.encode()).hexdigest()})"
        for name, text in texts.items()
    }


def quick_options(families: Families) -> dict[str, Mapping[str, Any]]:
    """Give by asset the options to train for a moment with: a leak does not depend on how long a model learns."""
    return {family.asset: family.quick for family in families.by_name.values() if family.quick}


def checked_options(defs: dg.Definitions, run_config: Mapping[str, Any]) -> Mapping[str, Mapping[str, Any]]:
    """Check a run configuration as a backfill would, and give each asset's options; raises `ConfigError`."""
    return read_options(defs, run_config)


def frozen(market: Market, span: Span) -> Market:
    """Give a market that answers the same however often it is asked: fetched once."""
    start, end = span.window(span.first_partition)[0], span.window(span.last_year)[1]
    return FetchedOnce(market, start, end, start - FILED_BEFORE)


with_another_future = CorruptedMarket
