"""The job of a year, and run configurations: checked as a whole before anything runs, told in a sentence if wrong."""

from collections.abc import Mapping, Sequence
from typing import Any

import dagster as dg
from dagster._config.errors import DagsterEvaluationErrorReason
from dagster._core.definitions.unresolved_asset_job_definition import UnresolvedAssetJobDefinition
from dagster._core.storage.tags import MAX_RETRIES_TAG, RETRY_ON_ASSET_OR_OP_FAILURE_TAG

from brain_assets.errors import ConfigError, SettingsError
from brain_assets.graph.checks import with_own_checks
from brain_assets.graph.tasks import Task

WALKFORWARD = "walkforward"
RUN_ORDER_TAG = "brain_assets/run_order"
"""`dagster.yaml` lets one run with this tag go at a time: years of a backfill by job run in order."""


def walkforward_job(yearly: Sequence[dg.AssetsDefinition]) -> UnresolvedAssetJobDefinition:
    """Define the job of every asset of a year.

    If the process of a year dies, the years after it come first and fail, for what it has not made. One more try each,
    in the same order, completes them all; what fails for another reason fails again, in seconds.
    """
    return dg.define_asset_job(
        WALKFORWARD,
        selection=with_own_checks(yearly),
        tags={RUN_ORDER_TAG: "years", RETRY_ON_ASSET_OR_OP_FAILURE_TAG: "true", MAX_RETRIES_TAG: "1"},
        description="Every asset of one year in one run: choose the year as its partition. A backfill of this job runs "
        "its years one after the other. (One of chosen assets takes those between them too, or Dagster runs the first "
        "alone, and says that all went well.)",
    )


def read_options(defs: dg.Definitions, run_config: Mapping[str, Any]) -> dict[str, dict[str, Any]]:
    """Check a run configuration (``ops: <asset>: config: …``) against all assets; gives each one's values.

    Raises `ConfigError` if an asset or a value is not known.
    """
    job, ops = defs.resolve_implicit_global_asset_job_def(), run_config.get("ops")
    if isinstance(ops, dict) and (unknown := sorted({*map(str, ops)} - {*job.graph.node_dict})):
        known = ", ".join(sorted(job.graph.node_dict))
        raise ConfigError(f"run configuration: ops: expected keys among {known}, got {', '.join(unknown)}; correct it.")
    try:
        dg.validate_run_config(job, dict(run_config))
    except dg.DagsterInvalidConfigError as error:
        problems = "; ".join(_problem(job, problem) for problem in error.errors)
        raise ConfigError(f"run configuration: {problems}; correct it.") from error
    if others := sorted(set(run_config) - {"ops"}):
        raise ConfigError(f"run configuration: expected the key ops only, got {', '.join(others)}; remove them.")
    return {name: dict(entry.get("config") or {}) for name, entry in (ops or {}).items()}


def last_tasks(defs: dg.Definitions, names: Sequence[str], options: Mapping[str, Mapping[str, Any]]) -> list[Task]:
    """Give what runs assets without years; raises `SettingsError` if one is not known."""
    graph = defs.resolve_asset_graph()
    known = sorted(key.to_user_string() for key in graph.materializable_asset_keys if not graph.get(key).is_partitioned)
    if unknown := sorted(set(names) - set(known)):
        raise SettingsError(f"--then: expected names among {', '.join(known)}, got {', '.join(unknown)}; correct them.")
    return [Task(name, 0, options.get(name, {})) for name in names]


def _problem(job: dg.JobDefinition, problem: Any) -> str:
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


def takes_force(job: dg.JobDefinition, asset: str) -> bool:
    """Tell whether an asset can be told to do its work again."""
    schema = job.graph.node_named(asset).definition.config_schema
    return "force" in getattr(getattr(schema, "config_type", None), "fields", {})
