"""The graph in memory, small and quick, for tests of one's own."""

from __future__ import annotations

import uuid
from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any, NamedTuple

from upath import UPath

from brain_assets.errors import SettingsError
from brain_assets.graph.build import build_assets, open_project
from brain_assets.graph.project import build_resources, table_store
from brain_assets.graph.tasks import QUIET
from brain_assets.market.base import Market
from brain_assets.paths import DataPath
from brain_assets.registry import Families, families_of
from brain_assets.settings import read_settings

if TYPE_CHECKING:
    import dagster as dg


class World(NamedTuple):
    """What `dagster.materialize` and `materialize_to_memory` take."""

    assets: Sequence[dg.AssetsDefinition]
    """With a partition a year, each after what it depends on."""
    market: Market
    """Made up; the one resource that `materialize_to_memory` takes, which hands over what the same run has made."""
    resources: Mapping[str, Any]
    """For `materialize`: a year finds what those before it have left in memory, as it would on disk."""
    run_config: Mapping[str, Any]
    """Trains each model for a moment, and keeps Dagster's log short."""
    folder: DataPath
    """In the memory of this process: what `brain_assets.open` takes to read the results of `materialize`."""


def quick_config(families: Families | None = None) -> dict[str, Any]:
    """Give the run configuration with which families, default: all of ours, train in a moment each: their ``quick``."""
    chosen = (families or families_of()).by_name.values()
    return {"ops": {each.asset: {"config": dict(each.quick)} for each in chosen}}


def world(families: Sequence[str] = ("lstm", "ppo"), **settings: Any) -> World:
    """Give a small graph in memory; the first partition is 2019, which holds 2016 to 2019.

    Parameters
    ----------
    families : sequence of str
        Which models are trained; a policy needs the forecaster that it follows.
    **settings
        Fields of `brain_assets.settings.Settings`; default: market ``simulator`` with three symbols.
    """
    chosen = {"market": "simulator", "symbols": "AAA,BBB,CCC", **settings}
    opened = read_settings(data_dir=UPath(f"memory://{uuid.uuid4().hex}"), **chosen)
    known, folder = opened.families.by_name, opened.data_dir
    if unknown := sorted(set(families) - set(known)):
        raise SettingsError(f"families: expected some of {', '.join(known)}, got {', '.join(unknown)}; correct them.")
    project, some = open_project(opened), Families.of(known[name] for name in known if name in families)
    resources = build_resources(project.market, table_store(opened), folder / "models", families=some)
    config = {**quick_config(some), "loggers": QUIET}
    return World(build_assets(project.years, some), project.market, resources, config, folder)
