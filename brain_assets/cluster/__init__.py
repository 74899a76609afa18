"""Workers on the nodes of a Ray cluster: ``BRAIN_ENGINE=ray``."""

from brain_assets.plugins import Plugin

PLUGIN = Plugin(engines={"ray": "brain_assets.cluster.pool:RayPool"})
