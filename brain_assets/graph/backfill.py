"""Running years from the command line: each a real Dagster run, all in this process, in dependency order."""

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from functools import cache, partial
from importlib import import_module
from typing import Any

import dagster as dg
from dagster import AssetKey
from dagster._config.errors import DagsterEvaluationErrorReason

from brain_assets.errors import ConfigError, SettingsError
from brain_assets.graph.failures import failed_steps
from brain_assets.graph.jobs import MAIN_VERSIONS, TEAR_SHEET, WALKFORWARD, WEEKLY_WEIGHTS
from brain_assets.graph.runs import PROCESS_TAG, close_dead_runs, this_process
from brain_assets.graph.status import State, StatusReader, asset_names, existing_years, parents_of
from brain_assets.graph.year_to_date import chosen_week
from brain_assets.market.calendar import Clock
from brain_assets.settings import Settings

QUIET = {"console": {"config": {"log_level": "CRITICAL"}}}
"""Dagster's own console; the command line says what there is to say."""


@dataclass(frozen=True)
class Outcome:
    """What became of one year of one asset.

    Attributes
    ----------
    asset : str
    year : int
    result : str
        ``done``: was done before. ``made``, ``reused`` (run, but found with the same fingerprint or content),
        ``failed``, or ``blocked`` (something it needs failed).
    detail : str
        Reason of a failure or block, or why it ran.
    seconds : float
        0 if it did not run.
    metadata : mapping
        Of the materialization, plain values only.
    """

    asset: str
    year: int
    result: str
    detail: str = ""
    seconds: float = 0.0
    metadata: Mapping[str, Any] = field(default_factory=dict)


class Backfill:
    """Years of assets on one instance.

    Parameters
    ----------
    defs : Definitions
    instance : DagsterInstance
    assets : sequence of str
        Which to run; empty: all.
    run_config : mapping
        Dagster run configuration; ``ops: <asset>: config: …`` goes to the runs that hold the asset.
    force : bool
        Run what is done already, and make models anew even if their fingerprint is the same.
    """

    def __init__(
        self,
        defs: dg.Definitions,
        instance: dg.DagsterInstance,
        assets: Sequence[str] = (),
        run_config: Mapping[str, Any] | None = None,
        force: bool = False,
    ) -> None:
        self._defs, self._instance, self._force = defs, instance, force
        self._clock: Clock = (defs.resources or {})["clock"]
        known = asset_names(defs)
        unknown = sorted(set(assets) - set(known))
        if unknown:
            raise SettingsError(
                f"--assets: expected names among {', '.join(known)}, got {', '.join(unknown)}; correct them."
            )
        self._assets = [name for name in known if not assets or name in assets]
        self._job = defs.resolve_job_def(WALKFORWARD)
        self._main_job = defs.resolve_job_def(MAIN_VERSIONS)
        self._report_job = defs.resolve_job_def(TEAR_SHEET)
        self._week_job = defs.resolve_job_def(WEEKLY_WEIGHTS)
        self._parents = cache(partial(parents_of, defs.resolve_asset_graph()))  # asked again and again, and slow
        self.options = self._check_config(run_config or {})
        self._broken: set[tuple[str, int]] = set()

    def run(self, years: Sequence[int], on_year: Callable[[int, Sequence[str]], None]) -> Iterator[Outcome]:
        """Run the years in order, and give an outcome for every asset of a year once the year is over.

        Parameters
        ----------
        years : sequence of int
        on_year : callable
            Called with the year and the assets that will run, before they do.
        """
        close_dead_runs(self._instance)
        for year in years:
            yield from self._run_year(year, on_year)

    def _run_year(self, year: int, on_year: Callable[[int, Sequence[str]], None]) -> Iterator[Outcome]:
        reader = StatusReader(self._defs, self._instance, self.options)
        reasons: dict[str, str] = {}
        for name in self._assets:
            status = reader.read(name, year)
            cause = self._broken_parent(name, year)
            if cause:
                self._broken.add((name, year))
                yield Outcome(name, year, "blocked", cause)
            elif self._force:
                reasons[name] = "forced"
            elif status.state is not State.DONE:
                reasons[name] = f"{status.state.value}: {status.reason}"
            elif rerun := [parent for parent, when in self._parents(name, year) if when == year and parent in reasons]:
                reasons[name] = f"{rerun[0]} runs again"  # what it makes may be the same; then this changes nothing
            else:
                yield Outcome(name, year, "done")
        if reasons:
            on_year(year, list(reasons))
            yield from self._execute(year, reasons)

    def _execute(self, year: int, reasons: Mapping[str, str]) -> Iterator[Outcome]:
        result = self._job.execute_in_process(
            run_config=self._run_config(list(reasons)),
            instance=self._instance,
            partition_key=str(year),
            asset_selection=[AssetKey(name) for name in reasons],
            tags={PROCESS_TAG: this_process()},
            raise_on_error=False,
        )
        made, failures = self._read(result.all_events, year, reasons)
        held_up: dict[str, str] = {}
        for name, reason in reasons.items():
            if name in made:
                yield made[name]
                continue
            cause = failures.get(name) or self._broken_parent(name, year)
            if not cause and failures:  # Dagster skips what follows a failed step, even if it needs another year of it
                held_up[name] = reason
                continue
            cause = cause or run_failure(result.all_events)
            self._broken.add((name, year))
            yield Outcome(name, year, "failed" if name in failures else "blocked", cause)
        if held_up:
            yield from self._execute(year, held_up)

    def _read(
        self, events: Sequence[dg.DagsterEvent], year: int, reasons: Mapping[str, str]
    ) -> tuple[dict[str, Outcome], dict[str, str]]:
        """Tell what a run made, and the sentence of each asset that failed."""
        seconds = {
            event.step_key: event.step_success_data.duration_ms / 1000 for event in events if event.is_step_success
        }
        failures = failed_steps(events, self._instance)
        made = {}
        for event in events:
            if event.is_step_materialization and event.asset_key and event.step_key not in failures:
                name = event.asset_key.to_user_string()
                metadata = {
                    key: value.value for key, value in event.step_materialization_data.materialization.metadata.items()
                }
                verdict = "reused" if metadata.get("reused") else "made"
                made[name] = Outcome(name, year, verdict, reasons.get(name, ""), seconds.get(name, 0.0), metadata)
        return made, failures

    def run_main_version(self, family: str, force: bool = False) -> Outcome:
        """Train the main version of a forecaster; without options of its own it takes those of the yearly snapshots.

        Parameters
        ----------
        family : str
            ``lstm`` or ``patchtst``.
        force : bool
            Train it again even if it is there.
        """
        name = f"{family}_model"
        options = self.options.get(name) or self.options.get(f"{family}_snapshot", {})
        return self._run_alone(self._main_job, name, {**options, "force": force})

    def run_report(self, first_year: int, last_year: int) -> Outcome:
        """Write the report over the years from the first to the last that were backtested."""
        close_dead_runs(self._instance)
        return self._run_alone(self._report_job, "report", {"first_year": first_year, "last_year": last_year})

    def run_weights(self, date: str | None = None) -> Outcome:
        """Decide the weights of a week; what it needs of the year that has not ended is fetched first.

        Parameters
        ----------
        date : str, optional
            A day: the week of the first session on or after it; None: what the options say, else today.
        """
        close_dead_runs(self._instance)
        options = {**self.options.get("target_weights", {}), **({} if date is None else {"date": date})}
        week = chosen_week(options.get("date"), self._clock)
        options["date"] = str(week.start)  # asked for, so that a refusal is a failure
        before = ["raw_year_to_date"] if week.decided.year > max(existing_years(self._defs), default=0) else []
        return self._run_alone(self._week_job, "target_weights", options, before)

    def _run_alone(
        self, job: dg.JobDefinition, name: str, config: Mapping[str, Any], before: Sequence[str] = ()
    ) -> Outcome:
        """Run an asset without partitions, and others before it in the same run."""
        result = job.execute_in_process(
            run_config={"ops": {name: {"config": dict(config)}}, "loggers": QUIET},
            instance=self._instance,
            asset_selection=[AssetKey(each) for each in (*before, name)],
            tags={PROCESS_TAG: this_process()},
            raise_on_error=False,
        )
        made, failures = self._read(result.all_events, 0, {})
        causes = [failures[each] for each in (name, *before) if each in failures]
        return made.get(name) or Outcome(name, 0, "failed", causes[0] if causes else run_failure(result.all_events))

    def _broken_parent(self, name: str, year: int) -> str:
        if not self._broken:
            return ""
        broken = [f"{parent}[{when}]" for parent, when in self._parents(name, year) if (parent, when) in self._broken]
        return f"needs {', '.join(broken)}" if broken else ""

    def _check_config(self, run_config: Mapping[str, Any]) -> dict[str, dict[str, Any]]:
        """Validate a run configuration against the whole jobs that take one; gives each asset's values."""
        ops = run_config.get("ops")
        parts = [(self._job, dict(run_config))]
        if isinstance(ops, dict):
            rest = dict(ops)
            for job in (self._main_job, self._week_job):
                own = {key: rest.pop(key) for key in ops if job.has_node_named(str(key))}
                parts += [(job, {"ops": own})] if own else []
            parts[0] = (self._job, {**run_config, "ops": rest})
        for job, values in parts:
            try:
                dg.validate_run_config(job, values)
            except dg.DagsterInvalidConfigError as error:
                problems = "; ".join(self._config_problem(job, problem) for problem in error.errors)
                raise ConfigError(f"run configuration: {problems}; correct it.") from error
        others = sorted(set(run_config) - {"ops"})
        if others:
            raise ConfigError(f"run configuration: expected the key ops only, got {', '.join(others)}; remove them.")
        ops = ops or {}
        return {name: dict((entry or {}).get("config", {}) or {}) for name, entry in ops.items()}

    def _config_problem(self, job: dg.JobDefinition, problem: Any) -> str:
        """Put one of Dagster's findings into words: its own spell out the whole schema."""
        levels, data = problem.stack.levels, problem.error_data
        if problem.reason is DagsterEvaluationErrorReason.FAILED_POST_PROCESSING:
            raise ConfigError(str(data.message).strip().split(": ", 1)[1])
        place = ".".join(levels) or "top level"
        unknown = [data.field_name] if hasattr(data, "field_name") else getattr(data, "field_names", [])
        if unknown:
            config_type: Any = job.run_config_schema.config_type
            for level in levels:
                config_type = config_type.fields[level].config_type
            return f"{place}: expected keys among {', '.join(sorted(config_type.fields))}, got {', '.join(unknown)}"
        if hasattr(data, "value_rep"):
            choices = [value.value for value in data.config_type_snap.enum_values or ()]
            expected = f"one of {', '.join(choices)}" if choices else data.config_type_snap.given_name or "a mapping"
            return f"{place}: expected {expected}, got {data.value_rep}"
        return str(problem.message).splitlines()[0].split(" Expected: ", maxsplit=1)[0]

    def _run_config(self, names: Sequence[str]) -> dict[str, Any]:
        ops: dict[str, Any] = {}
        for name in names:
            node = self._job.graph.node_named(name).definition
            takes_force = "force" in getattr(getattr(node.config_schema, "config_type", None), "fields", {})
            options = {**self.options.get(name, {}), **({"force": True} if self._force and takes_force else {})}
            if options:
                ops[name] = {"config": options}
        return {"ops": ops, "loggers": QUIET}


def open_backfill(settings: Settings, *arguments: Any) -> Backfill:
    """Give what runs years on the engine of the settings; see `Backfill` for the other arguments."""
    if settings.engine == "local":
        return Backfill(*arguments)
    backfill: Backfill = import_module("brain_assets.graph.cluster_backfill").ClusterBackfill(settings, *arguments)
    return backfill


def main_version_inputs(defs: dg.Definitions, family: str) -> list[str]:
    """Name the yearly assets that a family's main version is trained on."""
    node = defs.resolve_asset_graph().get(AssetKey(f"{family}_model"))
    return sorted(key.to_user_string() for key in node.parent_keys)


def run_failure(events: Sequence[dg.DagsterEvent]) -> str:
    """Say why a run ended before an asset that has no failure of its own."""
    messages = [event.message for event in events if event.is_failure and event.message]
    return messages[0] if messages else "the run ended before it"
