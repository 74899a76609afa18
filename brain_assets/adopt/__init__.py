"""Snapshots that no run of this instance made (copied here, pulled, or pushed elsewhere) become materializations."""

from brain_assets.plugins import Plugin

PLUGIN = Plugin(
    definitions="brain_assets.adopt.definitions:definitions", commands={"adopt": "brain_assets.adopt.command:adopt"}
)
