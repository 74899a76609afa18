"""Which workers there are if nothing else is said."""

import sys

import dagster as dg
import pytest

from brain_assets.graph.workers import ProcessPool, open_pool
from brain_assets_tests.graph.worlds import PROJECT


def test_on_one_machine_no_package_of_a_cluster_is_loaded(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "ray", None)
    with dg.DagsterInstance.ephemeral() as instance:
        assert isinstance(open_pool(PROJECT, instance), ProcessPool)
