"""What is said where the packages of a cluster are not installed."""

import sys

import dagster as dg
import pytest

from brain_assets.errors import SettingsError
from brain_assets.graph.build import open_project
from brain_assets.graph.workers import open_pool
from brain_assets.settings import read_settings


def test_a_cluster_without_its_packages_is_one_sentence(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "ray", None)
    expected = pytest.raises(SettingsError, match=r"^BRAIN_ENGINE=ray: .* pip install 'brain-assets\[cluster")
    with dg.DagsterInstance.ephemeral() as instance, expected:
        open_pool(open_project(read_settings(engine="ray")), instance)
