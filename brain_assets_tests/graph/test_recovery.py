"""Backfills of Dagster's own daemon that are interrupted, or whose data is broken: they go on, and redo nothing."""

import copy
from pathlib import Path

import pytest

from brain_assets.files import is_running
from brain_assets_tests.backfills import TINY, YEARS, contents, identities, weights
from brain_assets_tests.conftest import FAMILIES
from brain_assets_tests.graph.test_ui import (
    ALL_GREEN,
    Server,
    followed,
    launch,
    serving,
    states,
    wait_until,
)

pytestmark = pytest.mark.slow

REPOSITORY = {"repositoryLocationName": "brain_assets.definitions", "repositoryName": "__repository__"}
JOB = {"partitionSetName": "walkforward_partition_set", "repositorySelector": REPOSITORY}

UNFINISHED = """{ runsOrError(filter: {statuses: [STARTED]}) { ... on Runs { results { id
    eventConnection { events { __typename
        ... on EngineEvent { metadataEntries { label ... on TextMetadataEntry { text } } }
        ... on ExecutionStepStartEvent { stepKey }
    } } } } } }"""


def run_in(server: Server, step: str) -> int | None:
    """Give the process of a run that is in the middle of a step; None: there is none."""
    for run in server.ask(UNFINISHED)["runsOrError"]["results"]:
        events = run["eventConnection"]["events"]
        if step in [event.get("stepKey") for event in events]:
            entries = [entry for event in events for entry in event.get("metadataEntries", [])]
            return next(int(entry["text"]) for entry in entries if entry["label"] == "pid")
    return None


def test_a_backfill_goes_on_after_everything_was_killed(tmp_path: Path) -> None:
    """The web server, the daemon and the run die together, as in a power cut; nothing that was whole is made again."""
    data, config = tmp_path / "data", copy.deepcopy(TINY)
    config["ops"]["ppo_policy"]["config"]["total_steps"] = 20_000  # it takes long enough to be killed in the middle
    with serving(data, "dagster", "dev") as server:
        backfill_id = launch(server, selector=JOB, partitionNames=list(map(str, YEARS)), runConfigData=config)
        wait_until(lambda: run_in(server, "ppo_policy") is not None, 300, pause=0.2)
        process = run_in(server, "ppo_policy")
        assert process is not None
        whole = weights(data)
        before, bytes_before = identities(whole), contents(whole)
        assert {"lstm/snapshot-2019-12-31", "patchtst/snapshot-2019-12-31"} <= set(whole)
        server.kill()
        wait_until(lambda: not is_running(process), 20)
    with serving(data, "dagster", "dev") as server:
        backfill = followed(server, backfill_id, 900)
        assert states(server) == ALL_GREEN, backfill  # its status is that of its worst run, tried again or not
    after = weights(data)
    assert len(after) == len(FAMILIES) * len(YEARS)
    assert {name: identities(after)[name] for name in before} == before
    assert {name: contents(after)[name] for name in before} == bytes_before
