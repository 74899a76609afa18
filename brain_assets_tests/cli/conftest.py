"""The finished backfill that tests of the command line start from."""

import pytest

from brain_assets_tests.backfills import Finished, shared_backfill


@pytest.fixture(scope="session")
def finished(tmp_path_factory: pytest.TempPathFactory) -> Finished:
    return shared_backfill(tmp_path_factory)
