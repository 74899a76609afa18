"""The finished backfill whose models are adopted."""

from brain_assets_tests.cli.conftest import finished as finished
