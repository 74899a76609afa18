"""Workers on a Ray cluster: what they ask for and are told, and that what they make is what one machine makes."""

import logging
import os
import shutil
import signal
import sys
import time
from collections.abc import Iterator
from pathlib import Path

import dagster as dg
import pytest

from benchmarks.cluster import side_by_side, steps_of
from brain_assets.cluster import pool
from brain_assets.errors import ConfigError, SettingsError
from brain_assets.graph.build import open_project
from brain_assets.graph.instance import PROCESS_TAG, is_gone
from brain_assets.graph.tasks import Task
from brain_assets.graph.workers import open_pool
from brain_assets.progress import Say
from brain_assets.settings import read_settings
from brain_assets_tests.backfills import (
    ASSETS,
    REPOSITORY,
    YEARS,
    all_but,
    assert_nothing_half,
    await_training,
    brain_assets,
    files_of,
    in_own_process,
    long_training,
    outcomes,
    shared_backfill,
    start,
    states,
    statuses,
    write_config,
)
from brain_assets_tests.postgres import home_on_postgres, postgres
from brain_assets_tests.ray_nodes import Cluster, ray_cluster

pytest.importorskip("ray", reason="no Ray: pip install 'brain_assets[cluster]'")

PATIENCE = 600
"""Seconds; much more than anything here takes on a machine that does nothing else."""


@pytest.mark.parametrize(
    ("content", "words"),
    [
        ("workers: 3", "workers: Extra inputs are not permitted, got 3; correct the file."),
        ("num_cpus: -1", "num_cpus: Input should be greater than or equal to 0, got -1; correct the file."),
        ("num_cpus: [", "expected a YAML file, got: while parsing"),
        (None, "expected a YAML file, got: "),
    ],
)
def test_a_configuration_that_is_wrong_is_one_sentence(tmp_path: Path, content: str | None, words: str) -> None:
    path = tmp_path / "cluster.yaml"
    if content is not None:
        path.write_text(content)
    with pytest.raises(ConfigError) as caught:
        pool.read_cluster_config(path)
    assert str(caught.value).startswith(f"{path}: {words}")
    assert pool.read_cluster_config(REPOSITORY / "deploy" / "ray" / "cluster.yaml") == pool.ClusterConfig()


def test_a_worker_is_told_the_settings_whole_paths_and_no_secret(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("HF_TOKEN", "hf_secret")
    monkeypatch.setenv("AWS_SECRET_ACCESS_KEY", "secret")
    monkeypatch.setenv("AWS_ENDPOINT_URL", "http://127.0.0.1:9000")
    monkeypatch.setenv("BRAIN_DATA_DIR", "results")
    monkeypatch.setenv("DAGSTER_HOME", str(tmp_path))
    monkeypatch.setenv("BRAIN_SYMBOLS", "AAA,BBB")
    monkeypatch.setenv("BRAIN_ENGINE", "ray")
    told = pool.worker_environment(read_settings(), pool.ClusterConfig())
    assert told == {
        "OMP_NUM_THREADS": "1",
        "AWS_ENDPOINT_URL": "http://127.0.0.1:9000",
        "BRAIN_MARKET": "simulator",
        "BRAIN_SYMBOLS": "AAA,BBB",
        "BRAIN_ENGINE": "ray",
        "BRAIN_DATA_DIR": str(tmp_path / "results"),
    }


def test_a_cluster_that_is_not_there_is_one_sentence(tmp_path: Path) -> None:
    failed = brain_assets(tmp_path, "backfill", "2019", "--engine", "ray", RAY_ADDRESS="127.0.0.1:9")
    assert failed.returncode == 2
    assert failed.stderr.startswith("error: 127.0.0.1:9: expected a Ray cluster, got: ")
    assert len(failed.stderr.splitlines()) == 1


def test_a_cluster_without_its_packages_is_one_sentence(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "ray", None)
    expected = pytest.raises(SettingsError, match=r"^BRAIN_ENGINE=ray: .* pip install 'brain-assets\[cluster")
    with dg.DagsterInstance.ephemeral() as instance, expected:
        open_pool(open_project(read_settings(engine="ray")), instance)


class Saying:
    """Does nothing but say the lines that a task asks for."""

    def do(self, task: Task, say: Say) -> str:
        for line in task.options["lines"]:
            say(line, logging.WARNING)
        return task.asset


def test_no_line_of_a_task_is_lost_or_taken_for_one_of_the_next(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(pool, "Worker", lambda *_: Saying())
    monkeypatch.setattr(pool, "open_project", lambda _: None)
    monkeypatch.setattr(dg.DagsterInstance, "from_ref", lambda _: None)
    actor = pool._Actor(None)
    for lines in ([], ["one"], [], ["two", "three", "four"], ["five"]):
        actor.do(Task("raw_prices", 2019, {"lines": lines}))
        heard = [actor.listen() for _ in range(len(lines) + 1)]
        assert heard == [*((line, logging.WARNING) for line in lines), "raw_prices"]


@pytest.fixture(scope="module")
def cluster() -> Iterator[Cluster]:
    """Two nodes of one core."""
    with ray_cluster(2) as nodes:
        yield nodes


@pytest.mark.slow
@pytest.mark.claim
def test_a_cluster_makes_the_bytes_of_one_machine_and_years_run_side_by_side(
    tmp_path_factory: pytest.TempPathFactory, tmp_path: Path, cluster: Cluster
) -> None:
    finished = shared_backfill(tmp_path_factory)
    years = f"{YEARS[0]}-{YEARS[-1]}"
    command = ("backfill", years, "--engine", "ray", "--config", str(finished.config))
    variables = {"RAY_ADDRESS": cluster.address}
    run = in_own_process(tmp_path / "data", *command, seconds=2 * PATIENCE, **variables)
    assert run.returncode == 0, run.stdout + run.stderr
    said = outcomes(run.stdout)
    assert all(said[year, asset].startswith("made") for year in YEARS for asset in ASSETS)
    assert files_of(tmp_path / "data") == files_of(finished.data_dir)
    with dg.DagsterInstance.from_config(str(tmp_path / "data" / "dagster")) as instance:
        assert side_by_side(steps_of(cluster, instance))
    again = in_own_process(tmp_path / "data", *command, **variables)
    assert f"0 made, 0 run without change, {3 * len(ASSETS)} done before, 0 not done" in again.stdout
    local = in_own_process(tmp_path / "data", "status", years, "--config", str(finished.config))
    assert set(states(local.stdout).values()) == {"done"}


@pytest.mark.slow
def test_seeds_are_spread_over_the_nodes_and_are_those_of_one_machine(tmp_path: Path, cluster: Cluster) -> None:
    """Both policies wait with a core each, and still their seeds get trained: nobody waits for a free core."""
    config = write_config(tmp_path / "tiny.yaml")
    data = all_but(["ppo_policy", "sac_policy", "direct_policy", "backtest"], tmp_path / "spread", config)
    alone = Path(shutil.copytree(data, tmp_path / "alone"))
    options = ("backfill", "2019", "--config", str(config), "--seeds", "4")
    local = in_own_process(alone, *options)
    assert local.returncode == 0, local.stdout + local.stderr
    run = in_own_process(data, *options, "--engine", "ray", seconds=PATIENCE, RAY_ADDRESS=cluster.address)
    assert run.returncode == 0, run.stdout + run.stderr
    found = files_of(data)
    assert found == files_of(alone)
    for family in ("ppo", "sac"):
        for number in (1, 2, 3):
            assert f"models/seeds/{number}/{family}/snapshot-2019-12-31/metadata.json" in found


@pytest.mark.slow
def test_a_node_that_dies_in_training_costs_that_run_and_nothing_else(tmp_path: Path) -> None:
    config = long_training(tmp_path)
    data = all_but(["ppo_policy", "backtest"], tmp_path / "data", config)
    command = ("backfill", "2019", "--engine", "ray", "--config", str(config), "--assets", "ppo_policy")
    with ray_cluster(1, "--num-cpus=0") as cluster:
        doomed = cluster.add_node()
        running = start(data, *command, RAY_ADDRESS=cluster.address)
        await_training(data / "dagster")
        cluster.kill_node(doomed)
        cluster.add_node()
        assert running.wait(PATIENCE) == 0
    assert_nothing_half(data)
    assert statuses(data / "dagster") == ["FAILURE", "SUCCESS"]


@pytest.mark.slow
@pytest.mark.claim
def test_work_waits_for_a_database_that_is_restarted(
    tmp_path: Path, cluster: Cluster, monkeypatch: pytest.MonkeyPatch
) -> None:
    config = long_training(tmp_path)
    data, home = tmp_path / "data", home_on_postgres(tmp_path / "home")
    with postgres() as server:
        variables = {"RAY_ADDRESS": cluster.address, "DAGSTER_HOME": str(home), "DAGSTER_POSTGRES_URL": server.url}
        handed = {"env_vars": ["DAGSTER_POSTGRES_URL"]}  # of a server without a password
        variables["BRAIN_CLUSTER_CONFIG"] = str(write_config(tmp_path / "cluster.yaml", handed))
        all_but(["ppo_policy", "backtest"], data, config, **variables)
        running = start(data, "backfill", "2019", "--engine", "ray", "--config", str(config), **variables)
        monkeypatch.setenv("DAGSTER_POSTGRES_URL", server.url)
        await_training(home)
        server.stop()
        time.sleep(15)
        assert running.poll() is None
        server.start()
        assert running.wait(PATIENCE) == 0
        again = in_own_process(data, "backfill", "2019", "--config", str(config), **variables)
        assert f"0 made, 0 run without change, {len(ASSETS)} done before, 0 not done" in again.stdout
    assert_nothing_half(data)


@pytest.mark.slow
@pytest.mark.claim
def test_two_drivers_are_as_two_runs_on_one_disk(tmp_path: Path, cluster: Cluster) -> None:
    config = write_config(tmp_path / "tiny.yaml")
    command = ("backfill", "2019", "--config", str(config))
    local = in_own_process(tmp_path / "local", *command)
    assert local.returncode == 0, local.stdout + local.stderr
    one, other = (start(tmp_path / "data", *command, "--engine", "ray", RAY_ADDRESS=cluster.address) for _ in range(2))
    assert (one.wait(PATIENCE), other.wait(PATIENCE)) == (0, 0)
    assert files_of(tmp_path / "data") == files_of(tmp_path / "local")
    assert_nothing_half(tmp_path / "data")


@pytest.mark.slow
@pytest.mark.claim
def test_stopping_the_command_stops_what_it_has_on_the_cluster(tmp_path: Path, cluster: Cluster) -> None:
    config = long_training(tmp_path)
    data = all_but(["ppo_policy", "backtest"], tmp_path / "data", config)
    command = ("backfill", "2019", "--engine", "ray", "--config", str(config), "--assets", "ppo_policy")
    running = start(data, *command, RAY_ADDRESS=cluster.address)
    worker = await_training(data / "dagster").tags[PROCESS_TAG]
    os.killpg(running.pid, signal.SIGINT)  # as a terminal does
    assert running.wait(PATIENCE) == 130
    assert is_gone(worker)
    assert statuses(data / "dagster") == ["CANCELED"]
    assert_nothing_half(data)
    assert not (data / "models" / "ppo" / "snapshot-2019-12-31").exists()
