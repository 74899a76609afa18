"""Composition root: what `dagster dev` loads, from the environment of its process."""

from brain_assets.graph.build import build_definitions
from brain_assets.settings import read_settings

defs = build_definitions(read_settings())
