"""`docs/old-endpoints.md`: each line as it stands: against a running Dagster, or a Hub on this machine."""

import datetime
import json
import re
import shutil
import subprocess
from collections.abc import Collection
from pathlib import Path
from typing import Any

import pytest
from dagster_graphql.schema import create_schema
from graphql import parse, validate

from brain_assets.store.places import read_files
from brain_assets_tests.backfills import REPOSITORY, YEARS, Finished, parses
from brain_assets_tests.conftest import FAMILIES, TINY
from brain_assets_tests.graph.test_ui import Server, serving, wait_until
from brain_assets_tests.graph.worlds import EVERY, RAW, YEARLY
from brain_assets_tests.loopback_hub import LoopbackHub
from brain_assets_tests.store.hubs import TOKEN

pytestmark = pytest.mark.wings

PAGE = (REPOSITORY / "docs" / "old-endpoints.md").read_text()
[CURL], [PYTHON, STORAGE] = (
    re.findall(rf"```{language}\n(.*?)```", PAGE, re.DOTALL) for language in ("bash", "python")
)
COMMANDS = {int(number): text for number, text in re.findall(r"^# (\d+):.*\n((?:(?!#).*\n)+)", CURL, re.MULTILINE)}
PREAMBLE, OPENED = (re.sub(r"^.*  # \d+\n", "", text, flags=re.MULTILINE) for text in (PYTHON, STORAGE))
CALLS, METHODS = (
    {int(number): call for call, number in re.findall(r"^(\S.*)  # (\d+)$", text, re.MULTILINE)}
    for text in (PYTHON, STORAGE)
)

TRAINED: dict[int, tuple[set[str], set[str]]] = {
    1: ({"raw_prices", "lstm_snapshot"}, {"lstm_model"}),
    2: ({*RAW, "patchtst_snapshot"}, {"patchtst_model"}),
    3: ({"raw_prices"}, {"lstm_model"}),
    4: ({*RAW, "walkforward_forecasts", "ppo_policy"}, set()),
    5: ({*RAW, "walkforward_forecasts", "sac_policy"}, set()),
}
"""Number of a line -> what it makes: assets of every year, and assets without years."""
SMALL = {"BRAIN_FIRST_YEAR": "2018", "BRAIN_BOOTSTRAP_YEARS": "2", "BRAIN_LAST_YEAR": "2019"}
"""One year to train, on two years of data."""


def queries(command: str) -> list[str]:
    return re.findall(r"-d '(.*?)'", command, re.DOTALL)


def test_the_page_names_every_line_commands_that_there_are_queries_that_dagster_knows_and_what_is_made() -> None:
    numbers = [int(number) for number in re.findall(r"\| (\d+) \|$", PAGE, re.MULTILINE)]
    assert numbers == list(range(1, 13)) == [*COMMANDS, *list(METHODS)[1:]]
    assert [*CALLS, *METHODS] == numbers
    commands = re.findall(r"`(brain-assets .*?)`", PAGE)
    assert len(commands) > 9
    assert [command for command in commands if not parses(command)] == []
    assert not parses("brain-assets train lstm --skip-snapshot")
    schema = create_schema().graphql_schema
    found = [query for command in COMMANDS.values() for query in queries(command)]
    assert len(found) == CURL.count("curl -s") == 8
    assert {query: validate(schema, parse(query)) for query in found} == {query: [] for query in found}
    for number, (yearly, alone) in TRAINED.items():
        [query] = queries(COMMANDS[number])
        assert set(re.findall(r'path: "(\w+)"', query)) == yearly | alone
        assert yearly <= {asset.key.to_user_string() for asset in YEARLY}
        assert alone <= {asset.key.to_user_string() for asset in EVERY}


# As it stands, against a running Dagster


def run(server: Server, command: str) -> str:
    """Run a line of the page with another host and port; gives what the server answered."""
    text = command.replace("http://127.0.0.1:3000", server.url)
    done = subprocess.run(["bash", "-c", text], capture_output=True, text=True, timeout=1800, check=True)
    return done.stdout + done.stderr


def call(server: Server, text: str, known: dict[str, Any]) -> list[str]:
    """Run a line of the page's Python; gives the runs that it launched."""
    before = len(known.setdefault("_runs", []))
    if "client" not in known:
        exec(PREAMBLE.replace("port_number=3000", f"port_number={server.url.rsplit(':', 1)[1]}"), known)
    if text.startswith("run_ids = "):
        exec(text, known)
        known["_runs"] += known["run_ids"]
    else:
        known["_runs"] += eval(text, known)
    return list(known["_runs"][before:])


RUNS = "{ runsOrError { ... on Runs { results { runId status } } } }"


def wait_for(server: Server, run_ids: list[str], seconds: float = 600) -> None:
    """Wait until runs are over, all of which must have succeeded."""

    def statuses() -> set[str]:
        found = server.ask(RUNS)["runsOrError"]["results"]
        return {entry["status"] for entry in found if entry["runId"] in run_ids}

    wait_until(lambda: statuses() <= {"SUCCESS", "FAILURE"}, seconds, pause=2.0)
    assert statuses() == {"SUCCESS"}


MADE = "{ assetNodes { assetKey { path } assetMaterializations { runId } } }"


def made(server: Server) -> dict[str, int]:
    """Give by asset how often it was materialized."""
    nodes = server.ask(MADE)["assetNodes"]
    return {node["assetKey"]["path"][0]: len(node["assetMaterializations"]) for node in nodes}


def tiny(assets: Collection[str]) -> dict[str, Any]:
    """Give the run configuration with which what these assets train takes a moment."""
    known = {name: TINY["ops"].get(name.replace("_model", "_snapshot")) for name in assets}
    return {"ops": {name: options for name, options in known.items() if options}}


def train_by_curl(server: Server, number: int, assets: set[str], _known: dict[str, Any]) -> None:
    config = re.sub(r'"(\w+)":', r"\1:", json.dumps(tiny(assets)))
    command = re.sub(r"\](, runConfigData: .*)?\n? *\}\) \{", f"], runConfigData: {config}}}) {{", COMMANDS[number])
    answer = json.loads(run(server, command))
    assert answer["data"]["launchPartitionBackfill"]["__typename"] == "LaunchBackfillSuccess", answer
    waited = run(server, COMMANDS[6])
    assert "COMPLETED_SUCCESS" in waited
    assert "SUCCESS" in waited.rsplit("runsOrError", 1)[1]


def train_by_python(server: Server, number: int, assets: set[str], known: dict[str, Any]) -> None:
    if "client" not in known:
        call(server, "[]", known)
        submit, known["range"] = known["client"].submit_job_execution, lambda first, _last: [first]
        known["client"].submit_job_execution = lambda *given, asset_selection, **options: submit(
            *given, run_config=tiny(asset_selection), asset_selection=asset_selection, **options
        )
    run_ids = call(server, CALLS[number], known)
    assert len(run_ids) == 1 + len(TRAINED[number][1])
    wait_for(server, run_ids)


@pytest.mark.slow
@pytest.mark.parametrize(("train", "numbers"), [(train_by_curl, (1,)), (train_by_python, TRAINED)])
def test_lines_of_a_training_make_what_they_say(train: Any, numbers: Collection[int], tmp_path: Path) -> None:
    """Of the mutations, which differ in their assets alone, one is sent: the daemon takes minutes for each."""
    data_dir, known = tmp_path / "data", {}
    with serving(data_dir, "dagster", "dev", **SMALL) as server:
        for number in numbers:
            yearly, alone = TRAINED[number]
            before = made(server)
            train(server, number, yearly | alone, known)
            assert {name for name, times in made(server).items() if times > before[name]} == yearly | alone
        ranges = json.loads(run(server, COMMANDS[7]))["data"]["assetNodes"][0]["assetPartitionStatuses"]["ranges"]
        assert ranges == [{"status": "MATERIALIZED", "startKey": "2019", "endKey": "2019"}]
        if train is train_by_python:
            assert [status.value for status in eval(CALLS[6], known)] == ["SUCCESS"]


def test_every_method_does_what_it_did(finished: Finished, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    data_dir, known = finished.copy(tmp_path), {}
    folder, names = data_dir / "models" / "lstm", [f"snapshot-{year}-12-31" for year in YEARS]
    original = {name: read_files(folder / name) for name in names}

    def there() -> list[str]:
        return [name for name in names if (folder / name).exists() and read_files(folder / name) == original[name]]

    with LoopbackHub() as hub:
        repos = {f"HF_{family.upper()}_MODEL_REPO": f"user/{family}" for family in FAMILIES}
        variables = {"STORAGE_BACKEND": "hf", "HF_TOKEN": TOKEN, "BRAIN_DATA_DIR": str(data_dir), **repos}
        for name, value in variables.items():
            monkeypatch.setenv(name, value)
        monkeypatch.setattr("huggingface_hub.constants.ENDPOINT", hub.endpoint)  # it is read at import
        exec(OPENED, known)
        assert eval(METHODS[7], known) == [datetime.date(year, 12, 31) for year in YEARS]
        eval(METHODS[9], known)
        assert eval(METHODS[8], known) == [datetime.date(2020, 12, 31)]
        eval(METHODS[11], known)
        assert {name: hub.files("user/lstm", name) for name in names} == original
        shutil.rmtree(folder)
        eval(METHODS[10], known)
        assert there() == [names[1]]
        eval(METHODS[12], known)
        assert there() == names
