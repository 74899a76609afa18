"""Run configurations of the command line: checked as a whole before anything runs, and told in a sentence if wrong."""

from collections.abc import Mapping, Sequence
from typing import Any

import dagster as dg
from dagster import AssetKey
from dagster._config.errors import DagsterEvaluationErrorReason

from brain_assets.errors import ConfigError, SettingsError
from brain_assets.graph.jobs import WALKFORWARD
from brain_assets.graph.tasks import Task


def read_options(defs: dg.Definitions, run_config: Mapping[str, Any]) -> dict[str, dict[str, Any]]:
    """Check a run configuration (``ops: <asset>: config: …``) against the jobs of its assets; gives each one's values.

    Raises `ConfigError` if an asset or a value is not known.
    """
    ops = run_config.get("ops")
    parts: dict[str, dict[str, Any]] = {WALKFORWARD: {}}
    if isinstance(ops, dict):
        for name, entry in ops.items():
            parts.setdefault(job_of(defs, str(name)), {})[str(name)] = entry
        run_config = {**run_config, "ops": parts.pop(WALKFORWARD)}
    else:
        parts.pop(WALKFORWARD)
    for job, values in ((WALKFORWARD, dict(run_config)), *((job, {"ops": own}) for job, own in parts.items())):
        _check(defs.resolve_job_def(job), values)
    others = sorted(set(run_config) - {"ops"})
    if others:
        raise ConfigError(f"run configuration: expected the key ops only, got {', '.join(others)}; remove them.")
    return {name: dict((entry or {}).get("config", {}) or {}) for name, entry in (ops or {}).items()}


def job_of(defs: dg.Definitions, asset: str) -> str:
    """Name the job that holds an asset: that of an asset without years; `WALKFORWARD`, where there is none."""
    graph, key = defs.resolve_asset_graph(), AssetKey(asset)
    if not graph.has(key) or graph.get(key).is_partitioned:
        return WALKFORWARD
    jobs = [job for job in defs.get_repository_def().get_all_jobs() if not job.name.startswith("__")]
    return next((job.name for job in jobs if job.has_node_named(asset)), WALKFORWARD)


def last_tasks(defs: dg.Definitions, names: Sequence[str], options: Mapping[str, Mapping[str, Any]]) -> list[Task]:
    """Give what runs assets without years; raises `SettingsError` if one is not known."""
    graph = defs.resolve_asset_graph()
    known = sorted(key.to_user_string() for key in graph.materializable_asset_keys if not graph.get(key).is_partitioned)
    if unknown := sorted(set(names) - set(known)):
        raise SettingsError(f"--then: expected names among {', '.join(known)}, got {', '.join(unknown)}; correct them.")
    return [Task(name, 0, options.get(name, {})) for name in names]


def _check(job: dg.JobDefinition, values: Mapping[str, Any]) -> None:
    try:
        dg.validate_run_config(job, dict(values))
    except dg.DagsterInvalidConfigError as error:
        problems = "; ".join(_problem(job, problem) for problem in error.errors)
        raise ConfigError(f"run configuration: {problems}; correct it.") from error


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
