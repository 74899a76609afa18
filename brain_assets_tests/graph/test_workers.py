"""Which workers an engine has, and what is said where its packages are not installed."""

import sys

import dagster as dg
import pytest

from brain_assets.errors import SettingsError
from brain_assets.graph.build import open_project
from brain_assets.graph.workers import ProcessPool, open_pool
from brain_assets.settings import read_settings
from brain_assets_tests.graph.worlds import PROJECT


def test_on_one_machine_no_package_of_a_cluster_is_loaded(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "ray", None)
    with dg.DagsterInstance.ephemeral() as instance:
        assert isinstance(open_pool(PROJECT, instance), ProcessPool)


def test_a_cluster_without_its_packages_is_one_sentence(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "ray", None)
    expected = pytest.raises(SettingsError, match=r"^BRAIN_ENGINE: .* pip install 'brain-assets\[cluster")
    with dg.DagsterInstance.ephemeral() as instance, expected:
        open_pool(open_project(read_settings(engine="ray")), instance)
