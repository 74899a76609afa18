"""Which executor an engine is, and what is said where its packages are not installed."""

import sys

import dagster as dg
import pytest

from brain_assets.errors import SettingsError
from brain_assets.graph.engines import executor_of
from brain_assets.settings import read_settings


def test_on_one_machine_no_package_of_a_cluster_is_loaded(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "ray", None)
    assert executor_of(read_settings(), {}) is dg.in_process_executor


def test_a_cluster_without_its_packages_is_one_sentence(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "dagster_ray", None)
    for name in [name for name in sys.modules if name.startswith(("dagster_ray.", "brain_assets.graph.cluster"))]:
        monkeypatch.delitem(sys.modules, name)
    with pytest.raises(
        SettingsError, match=r"^BRAIN_ENGINE: expected the packages .* pip install 'brain-assets\[cluster"
    ):
        executor_of(read_settings(engine="ray"), {})
