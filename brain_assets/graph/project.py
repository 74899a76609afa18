"""What some settings stand for."""

from collections.abc import Sequence
from dataclasses import dataclass, field

import dagster as dg

from brain_assets.graph.years import Years
from brain_assets.market.base import Market
from brain_assets.settings import Settings


@dataclass(frozen=True)
class Project:
    """What some settings stand for; a process may have several.

    Plug-ins are given it to define what they add, when `yearly` is known and `definitions` is still empty.
    """

    settings: Settings
    market: Market
    years: Years
    yearly: Sequence[dg.AssetsDefinition]  # with a partition a year, each after what it depends on
    definitions: dg.Definitions = field(default_factory=dg.Definitions)  # all, with what plug-ins add
