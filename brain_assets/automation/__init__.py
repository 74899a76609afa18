"""What happens by itself, each with a switch: new data is asked for and followed."""

from brain_assets.plugins import Plugin

PLUGIN = Plugin(definitions="brain_assets.automation.definitions:definitions")
