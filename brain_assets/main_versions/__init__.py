"""Main versions of the forecasters: trained on all data until the last finished session; the best so far is current."""

from brain_assets.plugins import Plugin

PLUGIN = Plugin(
    definitions="brain_assets.main_versions.assets:definitions",
    commands={
        "train": "brain_assets.main_versions.command:train",
        "models": "brain_assets.main_versions.command:models",
        "promote": "brain_assets.main_versions.command:promote",
    },
)
