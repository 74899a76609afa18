"""Proofs that a user can run: that nothing sees the future, and that models find what there is and nothing else."""

from brain_assets.plugins import Plugin

PLUGIN = Plugin(commands={"prove": "brain_assets.prove.command:prove"})
