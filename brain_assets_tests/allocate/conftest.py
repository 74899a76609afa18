"""The finished backfill that tests of the command start from."""

from brain_assets_tests.cli.conftest import finished

__all__ = ["finished"]
