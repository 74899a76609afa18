"""How model configurations are declared: frozen dataclasses whose fields carry their description."""

import dataclasses
import math
import reprlib
from collections.abc import Mapping
from typing import Any, TypeVar

from brain_assets.errors import ConfigError

Config = TypeVar("Config")

LARGEST_FLOAT_AS_INT = 2**53
"""The largest integer that is taken for a float: every one up to it is a double exactly."""


def option(default: Any, description: str) -> Any:
    """Declare a field of a configuration with its default and a description (meaning and unit)."""
    return dataclasses.field(default=default, metadata={"description": description})


def require(condition: bool, name: str, expected: str, got: object) -> None:
    """Refuse a value.

    Raises
    ------
    ConfigError
        One sentence with the option's name, what was expected and what came.
    """
    if not condition:
        raise ConfigError(f"{name}: expected {expected}, got {reprlib.repr(got)}; correct the run configuration.")


def require_count(value: int, name: str, at_least: int, at_most: int, unit: str) -> None:
    """Refuse a number of things outside its bounds; `unit` is the name of one such thing."""
    require(value >= at_least, name, f"at least {at_least} {unit}{'' if at_least == 1 else 's'}", value)
    require(value <= at_most, name, f"at most {at_most:,} {unit}s", value)


def from_mapping(config_class: type[Config], values: Mapping[str, Any], *, complete: bool = False) -> Config:
    """Build a configuration from JSON or YAML values; nothing is converted but an integer where a float is asked for.

    Parameters
    ----------
    config_class : type
        A dataclass whose fields are ``int``, ``float`` or ``str``.
    values : mapping of str to Any
        May come from anywhere.
    complete : bool, default=False
        Whether every field must be there; else an absent one has its default.

    Raises
    ------
    ConfigError
        On an unknown or missing key, a value of another type, NaN or infinity, or a value that the class refuses.
    """
    fields = dataclasses.fields(config_class)  # type: ignore[arg-type]
    known = [field.name for field in fields]
    unknown = sorted(str(key) for key in values if key not in known)
    if unknown:
        raise ConfigError(
            f"{config_class.__name__}: expected keys among {', '.join(known)}, got {_shortened(unknown)}; remove them."
        )
    missing = [name for name in known if name not in values]
    if complete and missing:
        raise ConfigError(
            f"{config_class.__name__}: expected keys {', '.join(known)}, got none of {', '.join(missing)}; add them."
        )
    given = {field.name: _typed(field, values[field.name]) for field in fields if field.name in values}
    return config_class(**given)


def without_advice(error: ConfigError) -> str:
    """Give the sentence of a `ConfigError` less its last part, what to do about it, and less the full stop."""
    return str(error).rpartition("; ")[0]


def _shortened(names: list[str]) -> str:
    shown = ", ".join(reprlib.repr(name) for name in names[:3])
    return shown if len(names) <= 3 else f"{shown} and {len(names) - 3} more"


_KINDS = {int: "an integer", float: "a finite number", str: "a text"}


def _typed(field: "dataclasses.Field[Any]", value: object) -> object:
    """Give a field's value if it is of the field's type; True is no integer."""
    if field.type is float and type(value) is int and abs(value) <= LARGEST_FLOAT_AS_INT:
        return float(value)
    is_finite = not isinstance(value, float) or math.isfinite(value)
    require(type(value) is field.type and is_finite, field.name, _KINDS[field.type], value)  # type: ignore[index]
    return value
