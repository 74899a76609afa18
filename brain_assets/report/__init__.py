"""The report over the years that were backtested: one page, its figures and what can be concluded from them."""

from brain_assets.plugins import Plugin

PLUGIN = Plugin(
    definitions="brain_assets.report.assets:definitions", commands={"report": "brain_assets.report.command:report"}
)
