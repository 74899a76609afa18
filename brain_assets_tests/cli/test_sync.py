"""`brain-assets sync` and `adopt` as their users run them, against a Hub on this machine."""

import itertools
import re
import sys
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from subprocess import CompletedProcess

import pytest

from brain_assets.store.names import cutoff_of_year
from brain_assets.store.places import read_files
from brain_assets.store.storage import SnapshotLocalStorage
from brain_assets_tests import backfills
from brain_assets_tests.backfills import COMMAND, Finished, outcomes
from brain_assets_tests.conftest import FAMILIES
from brain_assets_tests.graph.test_hub import hub_of
from brain_assets_tests.graph.worlds import MODELS
from brain_assets_tests.loopback_hub import KINDS, TOKEN, Fault, LoopbackHub

REPOS = {f"HF_{family.upper()}_MODEL_REPO": f"user/{family}" for family in FAMILIES}
NAMES = [f"snapshot-{year}-12-31" for year in backfills.YEARS]


@pytest.fixture(scope="module")
def hub() -> Iterator[LoopbackHub]:
    with LoopbackHub() as opened:
        yield opened


def run(data_dir: Path, *arguments: str, hub: LoopbackHub | None = None, **variables: str) -> CompletedProcess[str]:
    endpoint = {"HF_ENDPOINT": hub.endpoint} if hub else {}
    chosen = {"STORAGE_BACKEND": "hf", "HF_TOKEN": TOKEN, **endpoint, **REPOS, **variables}
    return backfills.brain_assets(data_dir, *arguments, **chosen)


@pytest.fixture(scope="module")
def pushed(finished: Finished, hub: LoopbackHub, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A data folder whose snapshots are on the Hub."""
    data_dir = finished.copy(tmp_path_factory.mktemp("pushed"))
    dry = run(data_dir, "sync", "push", "--dry-run", hub=hub)
    assert dry.returncode == 0, dry.stderr
    assert f"would push {3 * len(FAMILIES)} of {3 * len(FAMILIES)} snapshots; nothing was done" in dry.stdout
    assert hub.repos() == []
    done = run(data_dir, "sync", "push", hub=hub)
    assert done.returncode == 0, done.stderr
    assert sorted(line for line in done.stdout.splitlines() if line.endswith(" pushed")) == sorted(
        f"{family:<8} {name} pushed" for family in FAMILIES for name in NAMES
    )
    assert f"{3 * len(FAMILIES)} pushed; 0 equal or only on the other side" in done.stdout
    return data_dir


def test_years_and_force_choose_what_is_transferred_and_without_the_right_to_push_each_is_said(
    finished: Finished, tmp_path: Path
) -> None:
    data_dir = finished.copy(tmp_path)
    storage = SnapshotLocalStorage("lstm", data_dir / "models")
    there = storage.load_snapshot(cutoff_of_year(2020))
    storage.write_snapshot(replace(there, card=f"{there.card}\nMine.\n"))
    with hub_of(finished.data_dir / "models") as filled, LoopbackHub() as empty:
        pushed = run(data_dir, "sync", "push", "--family", "lstm", "--year", "2019", hub=empty)
        assert "1 pushed; 0 equal or only on the other side" in pushed.stdout, pushed.stderr
        kept = run(data_dir, "sync", "pull", "--family", "lstm", "--year", "2020", hub=filled)
        assert "1 kept; 0 equal" in kept.stdout, kept.stderr
        forced = run(data_dir, "sync", "pull", "--family", "lstm", "--year", "2020", "--force", hub=filled)
        assert "1 pulled; 0 equal" in forced.stdout, forced.stderr
        empty.fail(Fault("echo 403", "POST ", times=None))
        failed = run(data_dir, "sync", "push", "--family", "lstm", hub=empty)
    assert failed.returncode == 1
    words = "expected the right to write to it, got: 403 (cannot serve you, Bearer ***)"
    assert failed.stdout.count(words) == failed.stdout.count(" failed: user/lstm: ") == 2
    assert TOKEN not in failed.stdout + failed.stderr
    assert storage.load_snapshot(cutoff_of_year(2020)).card == there.card


def test_status_shows_here_hub_and_whether_they_are_equal(pushed: Path, hub: LoopbackHub, tmp_path: Path) -> None:
    shown = run(pushed, "sync", "status", "--family", "lstm", hub=hub)
    assert shown.returncode == 0, shown.stderr
    commits = hub.branches("user/lstm")
    for name in NAMES:
        assert re.search(rf"lstm +│ {name} │ yes  │ {commits[name][:8]} │ equal", shown.stdout)
    assert "ppo" not in shown.stdout
    elsewhere = run(tmp_path, "sync", "status", "--family", "ppo", "--year", "2020-2021", hub=hub)
    rows = [line for line in elsewhere.stdout.splitlines() if "snapshot-" in line]
    assert len(rows) == 2
    assert all("│ -    │" in row and "on the Hub only" in row for row in rows)


@pytest.mark.slow
def test_pull_adopt_and_backfill_train_nothing(
    pushed: Path, finished: Finished, hub: LoopbackHub, tmp_path: Path
) -> None:
    pulled = run(tmp_path, "sync", "pull", hub=hub)
    assert pulled.returncode == 0, pulled.stderr
    assert f"{3 * len(FAMILIES)} pulled; 0 equal or only on the other side" in pulled.stdout
    for family, name in itertools.product(FAMILIES, NAMES):
        folder = Path("models") / family / name
        assert read_files(tmp_path / folder) == read_files(pushed / folder) == hub.files(f"user/{family}", name)
    assert f"nothing to pull; {3 * len(FAMILIES)} equal" in run(tmp_path, "sync", "pull", hub=hub).stdout

    adopted = run(tmp_path, "adopt", hub=hub)
    assert adopted.returncode == 0, adopted.stderr
    assert f"{3 * len(FAMILIES)} adopted" in adopted.stdout
    assert "nothing to adopt" in run(tmp_path, "adopt", hub=hub).stdout
    status = run(tmp_path, "status", "--config", str(finished.config), hub=hub)
    found = {asset: state for (year, asset), state in backfills.states(status.stdout).items() if year == 2020}
    assert found == {asset: "done" if asset in MODELS else "missing" for asset in backfills.ASSETS}

    before = hub.branches("user/lstm")
    years = f"{backfills.YEARS[0]}-{backfills.YEARS[-1]}"
    backfill = run(tmp_path, "backfill", years, "--config", str(finished.config), hub=hub)
    assert backfill.returncode == 0, backfill.stdout + backfill.stderr
    results = outcomes(backfill.stdout)
    for year in backfills.YEARS:
        for asset in MODELS:
            assert results[year, asset].startswith("run, nothing had changed")
    assert "hub: unchanged" in backfill.stdout
    assert hub.branches("user/lstm") == before


@pytest.mark.parametrize(
    ("arguments", "variables", "words"),
    [
        (("sync", "push"), {"HF_TOKEN": "hf_unknown"}, ("user/lstm", "a token that the Hub accepts", "HF_TOKEN")),
        (("sync", "status"), {"HF_ENDPOINT": "http://127.0.0.1:9"}, ("user/lstm", "try again later")),
        (("sync", "status"), {"STORAGE_BACKEND": "local"}, ("STORAGE_BACKEND=local", "HF_LSTM_MODEL_REPO")),
        (("sync", "status"), {"HF_PPO_MODEL_REPO": ""}, ("HF_PPO_MODEL_REPO: expected a model repo each",)),
        (
            ("sync", "pull", "--family", "gru"),
            {},
            ("--family: expected one of lstm, patchtst, ridge, boosting, ppo, sac, direct, got gru",),
        ),
    ],
)
def test_what_cannot_be_done_is_one_sentence(
    hub: LoopbackHub, tmp_path: Path, arguments: tuple[str, ...], variables: dict[str, str], words: tuple[str, ...]
) -> None:
    failed = run(tmp_path, *arguments, **{"HF_ENDPOINT": hub.endpoint, **variables})
    assert failed.returncode == 2
    [line] = failed.stderr.splitlines()
    assert line.startswith("error: ")
    assert all(word in line for word in words)


@pytest.mark.slow
def test_run_whose_hub_is_in_trouble_goes_through_a_push_completes_it_and_nobody_is_told_the_token(
    finished: Finished, tmp_path: Path
) -> None:
    with LoopbackHub() as hub:
        for place, kind in enumerate(kind for kind in KINDS if kind != "silence"):
            hub.fail(Fault(kind, at=3 + 12 * place))
        done = run(tmp_path, "backfill", "2019-2020", "--config", str(finished.config), hub=hub)
        assert done.returncode == 0, done.stdout + done.stderr
        assert all(said.startswith("made") for said in outcomes(done.stdout).values())
        assert "hub: failed: user/" in done.stdout
        pushed = run(tmp_path, "sync", "push", hub=hub)
        assert pushed.returncode == 0, pushed.stdout + pushed.stderr
        for family, name in itertools.product(FAMILIES, NAMES[:2]):
            assert hub.files(f"user/{family}", name) == read_files(tmp_path / "models" / family / name)
        assert any(TOKEN in request.headers.get("authorization", "") for request in hub.requests)
    assert TOKEN not in done.stdout + done.stderr
    files = [path for path in tmp_path.rglob("*") if path.is_file()]
    assert any(path.suffix == ".db" for path in files)  # Dagster's events are among them
    assert [path for path in files if TOKEN.encode() in path.read_bytes()] == []


LOCAL_RUN = """
import sys
asked = []
sys.addaudithook(lambda event, args: event in ("socket.getaddrinfo", "socket.connect") and asked.append((event, *args)))
from brain_assets.cli import main
try:
    main()
finally:
    client = ("huggingface_hub.hf_api", "httpx2")
    print(asked, [name for name in client if name in sys.modules])
"""


@pytest.mark.slow
def test_without_a_hub_a_whole_run_asks_no_network(
    finished: Finished, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(backfills, "COMMAND", (sys.executable, "-c", LOCAL_RUN))
    assert backfills.COMMAND != COMMAND
    done = backfills.in_own_process(tmp_path, "backfill", "2019", "--config", str(finished.config))
    assert done.returncode == 0, done.stderr
    assert "2019 sac_policy             made" in done.stdout
    assert done.stdout.splitlines()[-1].startswith("[] ")  # a model card is written by the library of the Hub
    adopt = backfills.in_own_process(tmp_path, "adopt")
    assert adopt.stdout.splitlines()[-1] == "[] []"
