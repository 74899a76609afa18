"""Dagster's own servers on real results: what the UI shows, and both roads of a backfill through its daemon."""

import contextlib
import copy
import itertools
import json
import os
import shlex
import signal
import subprocess
import sys
import time
import urllib.error
import urllib.parse
import urllib.request
from collections.abc import Iterator, Mapping, Sequence
from importlib import resources
from pathlib import Path
from typing import Any

import pytest

from brain_assets.paths import is_running
from brain_assets_tests.backfills import (
    ASSETS,
    REPOSITORY,
    TINY,
    YEARS,
    contents,
    environment,
    identities,
    shared_backfill,
    weights,
)
from brain_assets_tests.conftest import FAMILIES, FORECASTERS
from brain_assets_tests.graph.worlds import MODELS
from brain_assets_tests.postgres import free_port

CHROMIUM = Path("/usr/bin/chromium")
CHROMIUM_FLAGS = ["--no-sandbox", "--disable-gpu", "--disable-background-networking", "--no-first-run"]


class Server:
    """A Dagster web server on this machine, asked through GraphQL."""

    def __init__(self, port: int, group: int | None = None) -> None:
        self.url, self._group = f"http://127.0.0.1:{port}", group

    def kill(self) -> None:
        """End it and all its processes at once, as a power cut does."""
        assert self._group is not None
        os.killpg(self._group, signal.SIGKILL)

    def ask(self, query: str, **variables: Any) -> Any:
        body = json.dumps({"query": query, "variables": variables}).encode()
        request = urllib.request.Request(f"{self.url}/graphql", body, {"Content-Type": "application/json"})
        try:
            with urllib.request.urlopen(request, timeout=60) as answer:
                content = json.load(answer)
        except urllib.error.HTTPError as error:  # Dagster puts what went wrong into the body
            content = json.load(error)
        assert "errors" not in content, content["errors"]
        return content["data"]

    def is_up(self) -> bool:
        with contextlib.suppress(urllib.error.URLError, ConnectionError):
            return bool(self.ask("{ assetNodes { id } }")["assetNodes"])
        return False


@contextlib.contextmanager
def serving(data_dir: Path, *command: str, **variables: str) -> Iterator[Server]:
    """Run one of Dagster's servers on a data folder."""
    port, home, log = free_port(), data_dir / "dagster", data_dir.parent / "server.log"
    home.mkdir(parents=True, exist_ok=True)
    (home / "dagster.yaml").write_text((resources.files("brain_assets.graph") / "dagster.yaml").read_text())
    arguments = ["-m", *command, "-h", "127.0.0.1", "-p", str(port), "-w", "workspace.yaml"]
    with running(arguments, environment(data_dir, DAGSTER_HOME=str(home), **variables), log) as process:
        server = Server(port, process.pid)
        wait_until(lambda: server.is_up() or process.poll() is not None, 90)
        assert process.poll() is None, log.read_text()
        yield server


@contextlib.contextmanager
def running(arguments: Sequence[str], variables: Mapping[str, str], log: Path) -> Iterator[subprocess.Popen[bytes]]:
    """Run Python; it and all its processes are ended by their group: politely, then for certain."""
    with log.open("a") as file:
        process = subprocess.Popen(
            [sys.executable, *arguments],
            env=variables,
            cwd=REPOSITORY,
            stdout=file,
            stderr=subprocess.STDOUT,
            start_new_session=True,
        )
    try:
        yield process
    finally:
        with contextlib.suppress(ProcessLookupError):
            os.killpg(process.pid, signal.SIGTERM)
        with contextlib.suppress(subprocess.TimeoutExpired):
            process.wait(timeout=20)
        with contextlib.suppress(ProcessLookupError):
            os.killpg(process.pid, signal.SIGKILL)
        process.wait()


def wait_until(condition: Any, seconds: float, pause: float = 0.3) -> None:
    deadline = time.monotonic() + seconds
    while not condition():
        assert time.monotonic() < deadline, f"not within {seconds} s"
        time.sleep(pause)


STATES = """{ assetNodes {
    assetKey { path }
    partitionStats { numPartitions numMaterialized numFailed }
    assetPartitionStatuses { ... on TimePartitionStatuses { ranges { status startKey endKey } } }
} }"""


def states(server: Server) -> dict[str, tuple[int, list[tuple[str, str, str]]]]:
    """Give each asset's number of partitions, and the ranges of them that the UI colors."""
    return {
        node["assetKey"]["path"][-1]: (
            node["partitionStats"]["numPartitions"],
            [(span["status"], span["startKey"], span["endKey"]) for span in node["assetPartitionStatuses"]["ranges"]],
        )
        for node in server.ask(STATES)["assetNodes"]
        if node["partitionStats"] is not None  # main versions have no partitions
    }


def freshness(server: Server) -> dict[str, list[str]]:
    """Give by asset what the UI says of each partition: fresh, stale or missing."""
    keys = ", ".join(f'{{path: "{asset}"}}' for asset in ASSETS)  # Dagster fails if asked of one without partitions
    nodes = server.ask(f"{{ assetNodes(assetKeys: [{keys}]) {{ assetKey {{ path }} staleStatusByPartition }} }}")
    return {node["assetKey"]["path"][-1]: node["staleStatusByPartition"] for node in nodes["assetNodes"]}


ALL_GREEN = {asset: (len(YEARS), [("MATERIALIZED", str(YEARS[0]), str(YEARS[-1]))]) for asset in ASSETS}


# What the UI shows


@pytest.fixture(scope="module")
def ui(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Server]:
    """The web server on a finished backfill."""
    data_dir = shared_backfill(tmp_path_factory).copy(tmp_path_factory.mktemp("ui"))
    with serving(data_dir, "dagster_webserver") as server:
        yield server


def test_every_partition_is_green(ui):
    assert states(ui) == ALL_GREEN
    assert freshness(ui) == {asset: ["FRESH"] * len(YEARS) for asset in ASSETS}


@contextlib.contextmanager
def browsing() -> Iterator[Any]:
    """Give a page of a real browser."""
    if not CHROMIUM.exists():
        pytest.skip(f"no {CHROMIUM}: apt-get install chromium")
    sync_api = pytest.importorskip("playwright.sync_api", reason="playwright is not installed")
    with sync_api.sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=str(CHROMIUM), args=CHROMIUM_FLAGS)
        yield browser.new_page(viewport={"width": 1400, "height": 1000})
        browser.close()


def test_runs_and_pictures_are_found_in_a_browser(ui):
    with browsing() as page:
        hosts = set()
        page.on("request", lambda request: hosts.add(urllib.parse.urlsplit(request.url).hostname))
        page.goto(ui.url)  # runs of the command line too are on the front page, and on that of their job
        page.get_by_role("link", name="walkforward").first.wait_for()
        page.goto(f"{ui.url}/locations/brain_assets.definitions/jobs/walkforward/runs")
        page.get_by_text("Success").first.wait_for()
        page.goto(ui.url)  # two clicks away
        page.get_by_role("link", name="Catalog").click()
        page.locator("a[href='/assets/backtest']").first.click()
        page.locator(f"img[alt='backtest {YEARS[-1]}']").wait_for()
        page.goto(f"{ui.url}/assets/walkforward_forecasts?view=partitions&partition={YEARS[-1]}")
        page.locator(f"img[alt='forecasts {YEARS[-1]}']").wait_for()
        page.goto(f"{ui.url}/assets/lstm_snapshot?view=partitions&partition=2020")
        page.get_by_text("Materialized (3)").wait_for()
        picture = page.locator("tr", has_text="learning_curve").locator("img[alt='lstm snapshot 2020-12-31']")
        picture.wait_for()  # without a click
        size = picture.evaluate("image => image.decode().then(() => [image.naturalWidth, image.naturalHeight])")
        shown = [cell.split("\n")[0] for cell in page.locator("tr > td:first-child").all_inner_texts()]
        assert [name for name in shown if name in ("losses", "learning_curve")] == ["losses", "learning_curve"]
    assert size[0] > 300
    assert size[1] > 150
    assert hosts <= {"127.0.0.1", None}  # None: the picture's data


@pytest.mark.slow
def test_a_wrong_configuration_is_refused_before_anything_runs(ui):
    """A wrong name while it is typed, a wrong number when it is launched."""
    runs = "{ runsOrError { ... on Runs { count } } }"
    before = ui.ask(runs)
    with browsing() as page:
        page.goto(f"{ui.url}/locations/brain_assets.definitions/jobs/walkforward/playground")
        page.get_by_placeholder("Partition").fill("2019")
        page.keyboard.press("Enter")
        launch_it = page.get_by_role("button", name="Launch Run")
        for config, said in (
            ("{epoch: 3}", 'Received unexpected config entry "epoch"'),
            ("{hidden_size: -4}", "hidden_size: expected greater than or equal to 1, got -4"),
        ):
            page.locator(".CodeMirror").first.click()
            page.keyboard.press("Control+A")
            page.keyboard.insert_text(f"ops:\n  lstm_snapshot:\n    config: {config}\n")
            if "epoch" not in config:
                page.get_by_text("No errors").wait_for()
                launch_it.click()
            page.get_by_text(said).first.wait_for()
            assert launch_it.is_disabled() or "epoch" not in config
    assert ui.ask(runs) == before


# Both roads of a backfill

SELECTOR = {"repositoryLocationName": "brain_assets.definitions", "repositoryName": "__repository__"}
JOB = {"partitionSetName": "walkforward_partition_set", "repositorySelector": SELECTOR}
LAUNCH = """mutation ($params: LaunchBackfillParams!) { launchPartitionBackfill(backfillParams: $params) {
    __typename ... on LaunchBackfillSuccess { backfillId } ... on PythonError { message }
} }"""

BACKFILL = """query ($id: String!) { partitionBackfillOrError(backfillId: $id) { ... on PartitionBackfill {
    status error { message }
    runs(limit: 100) { id status startTime endTime tags { key value } assetSelection { path } }
} } }"""


def launch(server: Server, **params: Any) -> str:
    answer = server.ask(LAUNCH, params=params)["launchPartitionBackfill"]
    assert answer["__typename"] == "LaunchBackfillSuccess", answer
    return str(answer["backfillId"])


def followed(server: Server, backfill_id: str, seconds: float) -> Any:
    """Give a backfill once it is over."""
    over = ("COMPLETED_SUCCESS", "COMPLETED_FAILED", "COMPLETED", "FAILED", "CANCELED")
    answer: dict[str, Any] = {}

    def is_over() -> bool:
        answer.update(server.ask(BACKFILL, id=backfill_id)["partitionBackfillOrError"])
        return answer["status"] in over

    wait_until(is_over, seconds, pause=2.0)
    return answer


@pytest.mark.slow
def test_a_backfill_by_job_runs_its_years_in_order(tmp_path):
    with serving(tmp_path / "data", "dagster", "dev") as server:
        backfill_id = launch(server, selector=JOB, partitionNames=list(map(str, YEARS)), runConfigData=TINY)
        backfill = followed(server, backfill_id, 400)
        assert backfill["status"] == "COMPLETED_SUCCESS", backfill
        assert states(server) == ALL_GREEN
    runs = sorted(backfill["runs"], key=lambda run: run["startTime"])
    tags = [{tag["key"]: tag["value"] for tag in run["tags"]} for run in runs]
    assert [tag["dagster/partition"] for tag in tags] == [str(year) for year in YEARS]
    for earlier, later in itertools.pairwise(runs):
        assert earlier["endTime"] <= later["startTime"]


STAGES = 5
"""Raw tables, forecasters, forecasts, policies, backtest: a run each and year."""

BACKFILLS = "{ partitionBackfillsOrError { ... on PartitionBackfills { results { id } } } }"


def materialize_all(server: Server, years: str, missing_only: bool = False) -> None:
    """Click through the UI as a user does."""
    with browsing() as page:
        page.goto(f"{server.url}/asset-groups")
        page.get_by_text("Materialize all").first.click()
        page.get_by_placeholder("ex: 2019, 2020").fill(years)
        page.keyboard.press("Enter")
        if missing_only:
            page.get_by_text("Backfill only failed and missing partitions within selection").click()
        page.get_by_role("button", name="Launch").last.click()
        page.get_by_role("button", name="Launch").last.wait_for(state="detached")


def newest_backfill(server: Server) -> Any:
    """Give the one that was launched last, once it is over."""
    return followed(server, server.ask(BACKFILLS)["partitionBackfillsOrError"]["results"][0]["id"], 900)


@pytest.mark.slow
@pytest.mark.claim
def test_all_is_materialized_from_the_lineage_and_never_trained_twice(tmp_path):
    """With the default configurations, as the dialog launches it: two years, then what is missing, then all again."""
    data, all_years = tmp_path / "data", f"[{YEARS[0]}...{YEARS[-1]}]"
    with serving(data, "dagster", "dev") as server:
        materialize_all(server, f"[{YEARS[0]}...{YEARS[1]}]")
        newest_backfill(server)  # it spills into the third year, which fails
        assert states(server)["backtest"][1][0] == ("MATERIALIZED", str(YEARS[0]), str(YEARS[1]))
        two_years = identities(weights(data))
        assert len(two_years) == len(MODELS) * 2
        materialize_all(server, all_years, missing_only=True)  # one year: the UI starts a run, no backfill
        wait_until(lambda: states(server) == ALL_GREEN, 600, pause=3.0)
        three_years = identities(weights(data))
        assert {name: three_years[name] for name in two_years} == two_years
        materialize_all(server, all_years)
        again = newest_backfill(server)
        assert again["status"] == "COMPLETED_SUCCESS", again
        yearly = [run for run in again["runs"] if "dagster/partition" in {tag["key"] for tag in run["tags"]}]
        assert len(yearly) == STAGES * len(YEARS)
        # main versions, report, weights of the week: what gets ready in the same tick shares a run
        alone = [asset["path"][0] for run in again["runs"] if run not in yearly for asset in run["assetSelection"]]
        assert len(alone) == len(set(alone)) >= len(FORECASTERS) + 3
        assert states(server) == ALL_GREEN
    assert identities(weights(data)) == three_years


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


@pytest.mark.slow
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


@pytest.mark.slow
def test_the_commands_of_the_page_do_what_they_say(tmp_path: Path) -> None:
    page, said = (REPOSITORY / "docs" / "ui.md").read_text(), []
    commands = [shlex.split(line, comments=True)[1:] for line in page.splitlines() if line.startswith("dg ")]
    assert [command[0] for command in commands] == ["dev", "list", "check", "launch"]
    (tmp_path / "dagster").mkdir()
    given = {"env": environment(tmp_path, DAGSTER_HOME=str(tmp_path / "dagster")), "cwd": REPOSITORY}
    for command in commands[1:]:  # the first is a server
        code = [sys.executable, "-c", "from dagster_dg_cli.cli import main; main()", *command]
        ended = subprocess.run(code, capture_output=True, text=True, timeout=600, check=False, **given)
        assert ended.returncode == 0, ended.stdout + ended.stderr
        said.append(ended.stdout)
    assert all(name in said[0] for name in ("raw_prices", "lstm_snapshot", "backtest", "report"))
    assert "All definitions loaded successfully" in said[1]
    assert (tmp_path / "raw" / "prices" / "2019.parquet").exists()
