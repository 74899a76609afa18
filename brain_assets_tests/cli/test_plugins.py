"""Families that are not ours: what follows from their registration, and from nothing else."""

import dagster as dg
import pytest

from brain_assets.graph.build import open_project
from brain_assets.graph.project import Project
from brain_assets.settings import read_settings

PLUGINS = "examples.pls_forecaster,examples.momentum_policy"
MADE = ("pls_snapshot", "momentum_rank_policy")


@pytest.fixture
def projects() -> tuple[Project, Project]:
    """Ours alone, and with theirs, in one process."""
    return open_project(read_settings()), open_project(read_settings(plugins=PLUGINS))


def names(project: Project) -> set[str]:
    return {asset.key.to_user_string() for asset in project.definitions.assets}


def test_assets_follow_and_are_of_their_own_settings_only(projects: tuple[Project, Project]) -> None:
    ours, theirs = projects
    assert names(theirs) - names(ours) == {*MADE, "pls_model"}
    graph = theirs.definitions.resolve_asset_graph()
    pls, policy = (graph.get(dg.AssetKey(name)) for name in MADE)
    assert {key.to_user_string() for key in pls.parent_keys} == {"raw_prices"}  # it sees returns alone
    assert dg.AssetKey("walkforward_forecasts") in policy.parent_keys
    assert pls.code_version == theirs.settings.families.forecasters["pls"].code_version
    assert str(pls.description).startswith("PLS forecaster of weekly returns")
    assert {key.name for key in pls.check_keys} == {
        key.name for key in graph.get(dg.AssetKey("lstm_snapshot")).check_keys
    }
    for project, has in ((ours, False), (theirs, True)):
        known = project.definitions.resolve_asset_graph()
        schema = known.get(dg.AssetKey("walkforward_forecasts")).metadata["dagster/column_schema"]
        columns = {column.name for column in schema.columns}
        assert ({"pls", "pls_source"} <= columns) is has
        for name, needed in (("walkforward_forecasts", MADE[0]), ("backtest", MADE[1]), ("target_weights", MADE[0])):
            assert (dg.AssetKey(needed) in known.get(dg.AssetKey(name)).parent_keys) is has
        assert project.definitions.resolve_job_def("walkforward").has_node_named(MADE[0]) is has
        assert ("pls" in (project.definitions.resources or {})["snapshot_io"].storages) is has
