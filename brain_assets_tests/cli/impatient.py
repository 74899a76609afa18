"""A plug-in, for every process of a command reads it: a store that does not answer is left after three seconds."""

from dataclasses import replace

from brain_assets import paths
from brain_assets.plugins import Plugin

PLUGIN = Plugin(engines={"impatient": "brain_assets.graph.workers:local_pool"})
paths.POLICY = replace(paths.POLICY, total_seconds=3.0)
