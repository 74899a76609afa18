"""The finished backfill that the commands start from."""

from brain_assets_tests.cli.conftest import finished as finished
