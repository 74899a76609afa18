"""The families of models, by name: ours, and those of the modules that a user names.

A family is a class in a file of its own, registered there. This module knows names and objects only; a family's module
is imported when somebody asks for the first one, and is light: torch waits until a model is trained or used.
"""

import hashlib
import importlib
import inspect
import keyword
import re
import sys
from abc import ABC, abstractmethod
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from types import MappingProxyType
from typing import TYPE_CHECKING, Any, ClassVar, Literal, TypeVar

import numpy as np

from brain_assets.arrays import LARGEST_WEIGHT, describe
from brain_assets.configuration import ModelConfig, build
from brain_assets.errors import PluginError, TrainingError
from brain_assets.plugins import Plugin, load_plugins

if TYPE_CHECKING:
    from brain_assets.store.snapshot import ModelSnapshot

OURS: tuple[str, ...] = (
    "brain_assets.forecasting.lstm",
    "brain_assets.forecasting.patchtst",
    "brain_assets.forecasting.ridge",
    "brain_assets.forecasting.boosting",
    "brain_assets.portfolio.ppo",
    "brain_assets.portfolio.sac",
    "brain_assets.portfolio.direct",
)
"""The modules of our own families, in the order in which they are shown."""

AVERAGE = "average"
"""The average of forecasters (`brain_assets.forecasting.average`), a column beside theirs; policies may follow it."""

RESERVED = {
    *("week_start", "symbol", "momentum", "momentum_12_1", "reversal", "realized", "strategy", "source", "cash", "raw"),
    *("main", "current", "seeds", "target", "backtest", "walkforward", "report", AVERAGE),
    *("equal_weight", "buy_and_hold", "risk_parity", "min_variance"),
}
"""Names that mean something else in a table, a folder or a command."""


class Family(ABC):
    """One kind of model: what forecasters and policies have in common."""

    role: ClassVar[Literal["forecaster", "policy"]]
    """Set by the class that a family derives from."""
    name: ClassVar[str]
    """In tables, folders, assets and ``HF_<NAME>_MODEL_REPO``: lower-case letters, digits and underscores."""
    label: ClassVar[str]
    """What a reader calls it."""
    Config: ClassVar[type[ModelConfig]]
    """How it is trained, with a default for every field."""
    code_version: ClassVar[str]
    """Raise it when the code would give other weights for the same data and configuration; default: a hash of the file
    that defines the class, so that it trains anew whatever changes there."""
    kinds: ClassVar[frozenset[str]] = frozenset()
    """Libraries that Dagster's UI shows beside its assets."""
    quick: ClassVar[Mapping[str, Any]] = MappingProxyType({})
    """Options with which it trains in a moment, for proofs that do not depend on how long it learns."""

    @property
    def asset(self) -> str:
        """Name of the yearly asset that makes its snapshots."""
        return f"{self.name}_{'snapshot' if self.role == 'forecaster' else 'policy'}"

    @abstractmethod
    def layout(self, config: Any) -> Mapping[str, tuple[int, ...]]:
        """Name the float32 arrays of a model and give their shapes, without the scaler's, before any is read."""

    def read_config(self, options: Mapping[str, Any]) -> ModelConfig:
        """Read the configuration of a snapshot, believing nothing; raises `ConfigError`."""
        return build(self.Config, options, complete=True)

    def check_fitted(self, arrays: Mapping[str, np.ndarray], config: Any) -> dict[str, np.ndarray]:
        """Give the arrays of a training in the order of the layout; raises `TrainingError` if they are others."""
        layout = self.layout(config)
        if not isinstance(arrays, Mapping) or set(arrays) != set(layout):
            got = ", ".join(map(str, arrays)) or "none" if isinstance(arrays, Mapping) else describe(arrays)
            raise self._misfit(f"arrays {', '.join(layout) or 'none'}", got)
        for name, shape in layout.items():
            if describe(arrays[name]) != f"float32 {tuple(shape)}":
                raise self._misfit(f"{name} as float32 {tuple(shape)}", describe(arrays[name]))
            if not (np.abs(arrays[name]) <= LARGEST_WEIGHT).all():
                raise self._misfit(f"finite numbers up to {LARGEST_WEIGHT:g} in {name}", "some that are not")
        return {name: arrays[name] for name in layout}

    def _misfit(self, expected: str, got: str) -> TrainingError:
        return TrainingError(f"{self.name}: expected fit to give {expected}, got {got}; correct its fit or its layout.")

    @classmethod
    def problem(cls) -> tuple[str, str] | None:
        """Say what this kind of family lacks, as expected and got; None: nothing."""
        return None

    @abstractmethod
    def check(self, snapshot: "ModelSnapshot") -> None:
        """Refuse a snapshot whose parts do not fit; raises `SnapshotError` beginning with the name of the file."""


@dataclass(frozen=True)
class Families:
    """The families that a process works with, by name: ours first, then those of the plug-ins in their order."""

    forecasters: Mapping[str, Any]
    policies: Mapping[str, Any]

    @classmethod
    def of(cls, families: Iterable[Family]) -> "Families":
        """Sort families by their role, in their order."""
        known = list(families)
        return cls(*({each.name: each for each in known if each.role == role} for role in ("forecaster", "policy")))

    @property
    def by_name(self) -> dict[str, Any]:
        """All of them, the forecasters first."""
        return {**self.forecasters, **self.policies}


F = TypeVar("F", bound=type[Family])
_REGISTERED: dict[str, Family] = {}


def register(cls: F) -> F:
    """Make a family known by its name; a class decorator.

    The same class may come again, as when its module is loaded anew: the newest counts. Raises `PluginError` if the
    class lacks something, its name cannot be used, or another class has it.
    """
    if inspect.isclass(cls) and "code_version" not in vars(cls):
        cls.code_version = _file_hash(cls)
    problem = _problem(cls)
    known = None if problem else _REGISTERED.get(cls.name)
    if known is not None and _path(type(known)) != _path(cls):
        problem = "a name that no other family has", f"{cls.name}, that of {_path(type(known))}"
    if problem is not None:
        raise PluginError(f"{_path(cls)}: expected {problem[0]}, got {problem[1]}; correct the family.")
    _REGISTERED[cls.name] = cls()
    return cls


def get(name: str) -> Any:
    """Give a family by its name; raises `PluginError` if there is none."""
    if name not in names():
        known = ", ".join(names())
        raise PluginError(f"family: expected one of {known}, got {name!r}; correct it, or set BRAIN_PLUGINS.")
    return _REGISTERED[name]


def label(name: str) -> str:
    """Give what a reader calls a family; the name itself, where it is not known here."""
    return str(get(name).label) if name in names() else name


def load(module: str) -> Any:
    """Import a module by its name, where it is used: what derives from the classes of torch."""
    return importlib.import_module(module)


def names() -> tuple[str, ...]:
    """Name all families that are known so far: ours, whichever was imported first, and those that were asked for."""
    return tuple({**_ours(), **_REGISTERED})


def families_of(named: Sequence[str] = ()) -> Families:
    """Give our families and those of the plug-ins; see `load_plugins`. Raises as `gather` does."""
    return gather(load_plugins(named))


def gather(plugins: Mapping[str, Plugin]) -> Families:
    """Give our families and those that plug-ins have registered.

    Raises `PluginError` if a plug-in brings nothing, or a policy follows a forecaster that is not among them.
    """
    found = _ours()
    for module, plugin in plugins.items():
        own = _registered_by(module)
        if not own and plugin == Plugin():
            raise PluginError(f"{module}: expected a module that registers a family, got none; remove it.")
        found |= own
    families = Families.of(found.values())
    for policy in families.policies.values():
        if policy.forecaster not in (*families.forecasters, AVERAGE):
            raise PluginError(
                f"{policy.name}: expected a forecaster to follow among {', '.join(families.forecasters)}, got "
                f"{policy.forecaster}; correct it, or name its module in BRAIN_PLUGINS too."
            )
    return families


def _ours() -> dict[str, Family]:
    for module in OURS:
        importlib.import_module(module)
    return {name: family for module in OURS for name, family in _registered_by(module).items()}


def _registered_by(module: str) -> dict[str, Family]:
    """Give the families of a module and of those below it."""
    return {name: each for name, each in _REGISTERED.items() if f"{type(each).__module__}.".startswith(f"{module}.")}


def _path(cls: type) -> str:
    return f"{cls.__module__}.{cls.__qualname__}"


def _file_hash(cls: type) -> str:
    """Hash the file that defines a class, and the version that it inherits; empty: no file, as in a notebook."""
    path = getattr(sys.modules.get(cls.__module__), "__file__", None)
    inherited = str(getattr(cls, "code_version", "")).encode()
    return hashlib.sha256(Path(path).read_bytes() + inherited).hexdigest()[:12] if path else ""


def _problem(cls: type[Family]) -> tuple[str, str] | None:
    """Say what is wrong with a class, as expected and got; None: nothing."""
    if not (inspect.isclass(cls) and issubclass(cls, Family) and hasattr(cls, "role")):
        return "a class that derives from Forecaster or Policy", "another"
    for attribute in ("name", "label", "code_version"):
        if not isinstance(value := getattr(cls, attribute, None), str) or not value.strip():
            return f"a text as {attribute}", repr(value)
    if not re.fullmatch("[a-z][a-z0-9_]{0,39}", cls.name) or keyword.iskeyword(cls.name):
        return "a name of at most 40 lower-case letters, digits and underscores", repr(cls.name)
    if cls.name in RESERVED or re.search(r"_(source|top|tilt|decile|seed_\d+)$", cls.name):
        return "a name that means nothing else", repr(cls.name)
    config = getattr(cls, "Config", None)
    if not (inspect.isclass(config) and issubclass(config, ModelConfig)):
        return "a subclass of ModelConfig as Config", repr(config)
    required = [name for name, field in config.model_fields.items() if field.is_required()]
    if required:
        return "a default for every field of Config", f"none for {', '.join(required)}"
    if inspect.isabstract(cls):
        return f"the methods {', '.join(sorted(cls.__abstractmethods__))}", "none"
    return cls.problem()
