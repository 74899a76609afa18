"""Plug-ins: modules that bring families of models, and what else is named here; our own wings come by the same door.

A plug-in is a module that an installed package names as an entry point, or that ``BRAIN_PLUGINS`` names. It registers
families (`brain_assets.registry.register`), or holds a `Plugin` called ``PLUGIN``, or both. It is imported whenever
settings are read, so it should be light: what it brings otherwise is named by texts, and imported when it is used.
"""

import importlib.util
import os
import pkgutil
import sys
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from importlib.metadata import entry_points
from typing import Any, TypeVar

import pydantic
import pydantic.dataclasses

from brain_assets.errors import BrainAssetsError, PluginError, SettingsError

ENTRY_POINTS = "brain_assets.plugins"
"""The group of entry points by which an installed package brings plug-ins: each names a module."""


T = TypeVar("T")


@pydantic.dataclasses.dataclass(frozen=True)
class Plugin:
    """What a module brings beside families. Each text is ``module:name``, imported when it is first used."""

    definitions: str = ""
    """From a `brain_assets.graph.project.Project` to the `dagster.Definitions` that are added to ours."""
    commands: Mapping[str, str] = pydantic.Field(default_factory=dict)
    """A name on the command line -> a function, or a `typer.Typer`."""
    markets: Mapping[str, str] = pydantic.Field(default_factory=dict)
    """A name in ``BRAIN_MARKET`` -> from settings to a `brain_assets.market.base.Market`."""
    engines: Mapping[str, str] = pydantic.Field(default_factory=dict)
    """A name in ``BRAIN_ENGINE`` -> what `brain_assets.graph.workers.open_pool` gives, from what that takes."""


CORE = Plugin(
    markets={"sample": "brain_assets.market.sample:open_market"},
    engines={"local": "brain_assets.graph.workers:local_pool"},
    commands={
        "backfill": "brain_assets.cli:backfill",
        "status": "brain_assets.cli:status",
        "ui": "brain_assets.cli:ui",
        "sync": "brain_assets.cli_sync:sync",
    },
)
"""What the core itself brings."""


@dataclass(frozen=True)
class Brought:
    """What all plug-ins bring together."""

    definitions: tuple[str, ...]
    commands: Mapping[str, str]
    markets: Mapping[str, str]
    engines: Mapping[str, str]


def load_plugins(named: Sequence[str] = ()) -> dict[str, Plugin]:
    """Import the plug-ins of installed packages and those that are named, and give what each brings.

    Modules, such as ``examples.pls_forecaster``, are found as Python finds them, or in the working directory. Raises
    `PluginError` if one cannot be imported.
    """
    installed = sorted(point.module for point in entry_points(group=ENTRY_POINTS))
    return {module: _load(module) for module in dict.fromkeys((*installed, *named))}


def join(plugins: Mapping[str, Plugin]) -> Brought:
    """Join what the core and plug-ins bring; raises `PluginError` if two bring something of the same name."""
    joined: dict[str, dict[str, str]] = {"commands": {}, "markets": {}, "engines": {}}
    for module, plugin in {"brain_assets": CORE, **plugins}.items():
        for kind, names in joined.items():
            if known := sorted(names.keys() & getattr(plugin, kind)):
                raise PluginError(f"{module}: expected {kind} of other names, got {', '.join(known)}; rename them.")
            names |= getattr(plugin, kind)
    return Brought(tuple(plugin.definitions for plugin in plugins.values() if plugin.definitions), **joined)


def resolve(text: str) -> Any:
    """Import what a text ``module:name`` names; raises `PluginError` if that is not there."""
    with blamed(text, "a module and a name in it", "correct the plug-in, or install what it needs"):
        return pkgutil.resolve_name(text)


def use(text: str, kind: type[T], *given: Any) -> T:
    """Call what a text names; raises `PluginError` if that fails, or gives something of another kind."""
    call = resolve(text)
    with blamed(text, f"a {kind.__name__}"):
        made = call(*given)
    if not isinstance(made, kind):
        raise PluginError(f"{text}: expected a {kind.__name__}, got {type(made).__name__}; correct the plug-in.")
    return made


def require_extra(extra: str, user: str, *modules: str) -> None:
    """Raise `SettingsError` if modules that only a wing needs, an extra of the package, are not installed."""
    missing = [module for module in modules if importlib.util.find_spec(module) is None]
    if missing:
        raise SettingsError(
            f"{user}: expected the packages of the extra {extra}, got none named {', '.join(missing)}; install them "
            f"with pip install 'brain-assets[{extra}]'."
        )


@contextmanager
def blamed(text: str, expected: str, advice: str = "correct the plug-in") -> Iterator[None]:
    """Say in one sentence what a plug-in, which may do anything, did wrong; our own errors are such sentences."""
    try:
        yield
    except BrainAssetsError:
        raise
    except (Exception, SystemExit) as error:  # a script that ends the process is no module
        got = f"{type(error).__name__}: {' '.join(str(error).split())}"
        raise PluginError(f"{text}: expected {expected}, got {got}; {advice}.") from error


def _load(module: str) -> Plugin:
    if os.getcwd() not in sys.path:  # a console script does not have it, `python -m` and Dagster do
        sys.path.append(os.getcwd())
    advice = "correct it, or remove it from BRAIN_PLUGINS, or uninstall it"
    with blamed(module, "a module that can be imported", advice):
        plugin = getattr(importlib.import_module(module), "PLUGIN", Plugin())
    if not isinstance(plugin, Plugin):
        raise PluginError(f"{module}: expected a Plugin as PLUGIN, got {type(plugin).__name__}; correct it.")
    return plugin
