"""Run configurations: every default has its home here; checked as a whole before anything runs, told in a sentence."""

from collections.abc import Callable, Mapping, Sequence
from typing import Any, Self

import dagster as dg
import pydantic
from dagster._config.errors import DagsterEvaluationErrorReason, PostProcessingError

from brain_assets.configuration import ModelConfig
from brain_assets.device import Device
from brain_assets.errors import ConfigError, PluginError, SettingsError
from brain_assets.forecasting.walkforward import MAX_RANK_CORRELATION
from brain_assets.graph.tasks import Task
from brain_assets.market.finbert import DEFAULT_MODEL
from brain_assets.registry import Family


class ForceConfig(dg.Config):
    """Run configuration of an asset that keeps what it has."""

    force: bool = pydantic.Field(False, description="Do it again even if it is there already.")


class TrainingConfig(ForceConfig):
    """Run configuration of an asset that trains a model."""

    device: Device = pydantic.Field(
        "auto",
        description="Where it trains: cpu, cuda (a GPU), or auto, which is a GPU where there is one. A model of a GPU "
        "is another than one of the CPU, and has a fingerprint of its own.",
    )


class SeedsConfig(TrainingConfig):
    """Run configuration of an asset that may train more than once."""

    n_seeds: int = pydantic.Field(
        1,
        description="Trainings, with the seeds seed, seed + 1, ...: the first is the policy, the others show in "
        "backtest and report how much of its result is luck. Each takes as long as the first.",
        ge=1,
        le=100,
    )


class NewsRunConfig(ModelConfig, ForceConfig):
    """How headlines are scored; of no effect where the files hold scores."""

    model: str = pydantic.Field(
        DEFAULT_MODEL, description="Classifier of the Hub, or the folder of one, that knows positive and negative."
    )
    batch_size: int = pydantic.Field(32, description="Headlines in a batch.", ge=1, le=4096)


class ForecastsConfig(ModelConfig, dg.Config):
    """Run configuration of the walk-forward forecasts."""

    max_rank_correlation: float = pydantic.Field(
        MAX_RANK_CORRELATION,
        description="Mean weekly rank correlation in a year that blocks it, if a model is above by 4 standard errors.",
        gt=0,
        le=1,
    )
    average: list[str] | None = pydantic.Field(
        None,
        description="Forecasters whose weekly ranks are averaged into the column average; default: all; empty: no such "
        "column.",
    )


class RunConfig(dg.Shape):
    """What the launchpad knows of the run configuration of an asset.

    A value that it refuses, alone or beside the others, is refused before a run begins: by the launchpad's button, by a
    backfill's, and by `dg.validate_run_config`. (As a parameter of an asset, a `dg.Config` with bounds is checked in
    the run only.)
    """

    def __new__(cls, *_: Any) -> Self:
        """Make one of its own: Dagster shares shapes with equal fields."""
        self = object.__new__(cls)
        self._initialized = False
        return self

    def __init__(
        self, run_config: type[Any], check: Callable[[Any], object] = lambda _: None, known: Sequence[str] = ()
    ) -> None:
        self._run_config, self._check = run_config, check
        schema: Any = run_config.to_config_schema().config_type
        super().__init__(schema.fields, description=run_config.__doc__ or "")  # type: ignore[no-untyped-call]
        self.key = ".".join([self.key, *known])  # what `check` goes by: Dagster takes shapes of one key for the same

    def post_process(self, value: Mapping[str, Any]) -> Mapping[str, Any]:
        """Refuse what is impossible; Dagster asks once it knows that names and types are right."""
        try:
            self.read(value)
        except ConfigError as error:
            raise PostProcessingError(str(error)) from error
        return value

    def read(self, values: Mapping[str, Any]) -> Any:
        """Give all that the asset is told; raises `ConfigError`, as `check` does of what its asset cannot do."""
        given = self._run_config(**values)
        self._check(given)
        return given


class ModelRunConfig(RunConfig):
    """That of an asset that trains a family; `base`: what else it is told."""

    def __init__(self, family: Family, base: type[TrainingConfig] = TrainingConfig) -> None:
        self._config_class = family.Config
        if taken := sorted(set(base.model_fields) & set(family.Config.model_fields)):
            raise PluginError(
                f"{family.name}: expected a Config without {', '.join(taken)}, which its asset has, got one with; "
                "rename the field."
            )
        super().__init__(type(family.Config.__name__, (family.Config, base), {"__doc__": family.Config.__doc__}))

    def read(self, values: Mapping[str, Any]) -> tuple[Any, Any]:
        """Give the family's configuration, and all that the asset is told; raises `ConfigError`."""
        given = super().read(values)
        return self._config_class.of(given), given


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


def takes_force(graph: Any, asset: str) -> bool:
    """Tell whether an asset of a graph can be told to do its work again."""
    schema = getattr(graph.get(dg.AssetKey(asset)).assets_def.node_def, "config_schema", None)
    return "force" in getattr(getattr(schema, "config_type", None), "fields", {})
