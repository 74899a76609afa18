"""What each strategy would hold in a week, this one or a past one, and the trades to get there."""

from brain_assets.plugins import Plugin

PLUGIN = Plugin(
    definitions="brain_assets.allocate.assets:definitions",
    commands={"allocate": "brain_assets.allocate.command:allocate"},
)
