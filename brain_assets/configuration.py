"""How configurations are declared: frozen pydantic models, each field with its bounds and a description.

One class serves the plain packages, files and Dagster: ``class LstmRun(LstmConfig, dg.Config)`` is a run configuration
with the same fields, and refuses a value with the same sentence.
"""

import reprlib
from collections.abc import Mapping
from typing import Any, Self, TypeVar

import pydantic

from brain_assets.errors import ConfigError
from brain_assets.formatting import listed


class ModelConfig(pydantic.BaseModel):
    """Base of every configuration: frozen, checked on construction; nothing is converted but an integer to a float.

    Fields are ``int``, ``float``, ``bool``, ``str`` or a ``Literal`` of texts, with bounds and a description in
    ``pydantic.Field``. What no field says alone goes into a ``model_validator(mode="after")`` that calls `require`.
    Raises `ConfigError` on an unknown key, a value of another type, NaN or infinity, or a value out of bounds.
    """

    model_config = pydantic.ConfigDict(frozen=True, extra="forbid", strict=True, allow_inf_nan=False)

    def __init__(self, **values: Any) -> None:
        try:
            super().__init__(**values)
        except pydantic.ValidationError as error:
            raise _explain(type(self), error, values) from None

    def replace(self, **changes: Any) -> Self:
        """Give a copy with other values, checked like the first."""
        return type(self)(**{**self.model_dump(), **changes})

    @classmethod
    def of(cls, run: "ModelConfig") -> Self:
        """Take this class's fields out of a configuration that has more, such as a run configuration of Dagster."""
        return cls(**{name: getattr(run, name) for name in cls.model_fields})


Model = TypeVar("Model", bound=ModelConfig)


def build(config_class: type[Model], values: Mapping[str, Any], *, complete: bool = False) -> Model:
    """Build a configuration from JSON or YAML values, which may come from anywhere.

    If it must be `complete`, an absent field is refused; else it has its default. Raises `ConfigError`.
    """
    missing = [name for name in config_class.model_fields if name not in values]
    if complete and missing and not set(values) - set(config_class.model_fields):
        raise ConfigError(
            f"{config_class.__name__}: expected keys {', '.join(config_class.model_fields)}, got none of "
            f"{', '.join(missing)}; add them."
        )
    return config_class(**{str(name): value for name, value in values.items()})


def require(condition: bool, name: str, expected: str, got: object) -> None:
    """Refuse a value: raise `ConfigError` with the option's name, what was expected and what came."""
    if not condition:
        raise ConfigError(f"{name}: expected {expected}, got {reprlib.repr(got)}; correct the run configuration.")


def _explain(
    config_class: type[ModelConfig], error: pydantic.ValidationError, values: Mapping[str, Any]
) -> ConfigError:
    """Turn pydantic's report into one sentence about the first thing that is wrong."""
    fields = config_class.model_fields
    unknown = sorted(set(values) - set(fields))
    if unknown:
        return ConfigError(
            f"{config_class.__name__}: expected keys among {', '.join(fields)}, got "
            f"{listed(list(map(reprlib.repr, unknown)), 3)}; remove them."
        )
    first = error.errors()[0]
    name = str(first["loc"][0]) if first["loc"] else config_class.__name__
    is_missing = first["type"] == "missing"
    expected = "a value" if is_missing else first["msg"].removeprefix("Input should be ")
    got = "nothing" if is_missing else reprlib.repr(values.get(name, first["input"]))
    return ConfigError(f"{name}: expected {expected}, got {got}; correct the run configuration.")
