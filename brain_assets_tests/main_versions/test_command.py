"""`brain-assets train`, `models` and `promote`, as their users run them."""

import json
import re
import shutil
from pathlib import Path

import pytest

from brain_assets.store.places import read_files
from brain_assets_tests.backfills import TINY, Finished, brain_assets, identities, weights
from brain_assets_tests.cli.test_sync import run
from brain_assets_tests.conftest import FORECASTERS
from brain_assets_tests.loopback_hub import LoopbackHub

ANY = " or ".join(FORECASTERS)
VERSION = r"v2021-12-31-[0-9a-f]{12}"


@pytest.fixture(scope="module")
def trained(finished: Finished, tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, str]:
    """A data folder with both main versions, and what the command said."""
    data = finished.copy(tmp_path_factory.mktemp("trained"))
    done = brain_assets(data, "train", "lstm", "patchtst", "--config", str(finished.config))
    assert done.returncode == 0, done.stdout + done.stderr
    return data, done.stdout


def test_train_makes_the_main_version_and_says_why_it_is_current(trained: tuple[Path, str]) -> None:
    data, output = trained
    assert "2 made, 0 run without change, 15 done before, 0 not done" in output
    for family in ("lstm", "patchtst"):
        [line] = [line for line in output.splitlines() if line.strip().startswith(f"{family}_model")]
        said = rf" +{family}_model +made in [0-9.]+ s, ({VERSION}): promoted as the first version; its loss .* is .*"
        found = re.fullmatch(said, line)
        assert found, line
        assert (data / "models" / family / "current").read_text().strip() == found[1]
        files = read_files(data / "models" / family / found[1])
        assert set(files) > {"weights.pt", "metadata.json"}
        assert TINY["ops"][f"{family}_snapshot"]["config"].items() <= json.loads(files["config.json"]).items()


@pytest.mark.slow
def test_what_is_missing_is_trained_and_nothing_twice(
    trained: tuple[Path, str], finished: Finished, tmp_path: Path
) -> None:
    data = Path(shutil.copytree(trained[0], tmp_path / "data"))
    config, gone = ["--config", str(finished.config)], data / "models" / "lstm" / "snapshot-2020-12-31"
    shutil.rmtree(gone)
    before = identities(weights(data))
    skipped = brain_assets(data, "train", "lstm", "--skip-snapshots", *config)
    assert skipped.returncode == 0, skipped.stderr
    assert "run, nothing had changed" in skipped.stdout
    assert identities(weights(data)) == before
    done = brain_assets(data, "train", "lstm", *config)
    assert done.returncode == 0, done.stderr
    assert "2020 lstm_snapshot          made" in done.stdout
    after = identities(weights(data))
    assert set(after) - set(before) == {"lstm/snapshot-2020-12-31"}
    assert {name: after[name] for name in before} == before


@pytest.mark.slow
def test_models_lists_versions_with_scores_and_promote_moves_current_and_main_of_the_hub(
    trained: tuple[Path, str], finished: Finished, tmp_path: Path
) -> None:
    data = Path(shutil.copytree(trained[0], tmp_path / "data"))
    first = (data / "models" / "lstm" / "current").read_text().strip()
    other = tmp_path / "other.yaml"
    other.write_text(finished.config.read_text().replace("hidden_size: 4", "hidden_size: 5"))
    assert brain_assets(data, "train", "lstm", "--skip-snapshots", "--config", str(other)).returncode == 0
    shown = brain_assets(data, "models").stdout
    rows = re.findall(rf"(lstm|patchtst)(, current)? .*\n +({VERSION}) ", shown)
    assert [family for family, *_ in rows] == ["lstm", "lstm", "patchtst"]
    assert [current for _, current, _ in rows].count(", current") == 2
    [second] = [version for family, _, version in rows if family == "lstm" and version != first]
    with LoopbackHub() as hub:
        for version in (second, first):
            moved = run(data, "promote", "lstm", version, hub=hub)
            assert moved.returncode == 0, moved.stderr
            assert f"lstm: current is {version}" in moved.stdout
            assert "hub: main of user/lstm holds it" in moved.stdout
            assert (data / "models" / "lstm" / "current").read_text() == f"{version}\n"
            assert re.search(rf"lstm, current .*\n +{version} ", brain_assets(data, "models").stdout)
            files = read_files(data / "models" / "lstm" / version)
            assert hub.files("user/lstm", version) == files == hub.files("user/lstm", "main")


def test_bad_input_is_one_sentence_and_exit_code_2(tmp_path: Path) -> None:
    absent = "v2021-12-31-0123456789ab"
    version = "lstm: expected a main version that is there, such as v2024-01-02-0123456789ab, got '{}'; see "
    for arguments, sentence in (
        (("train", "gru"), f"family: expected {ANY}, got gru; correct it."),
        (("promote", "ppo", absent), f"family: expected {ANY}, got ppo; correct it."),
        (("promote", "lstm", "best"), version.format("best")),
        (("promote", "lstm", absent), version.format(absent)),
    ):
        done = brain_assets(tmp_path, *arguments)
        assert done.returncode == 2
        assert sentence in done.stderr
        assert "Traceback" not in done.stderr
    assert brain_assets(tmp_path, "models").stdout.strip() == "no main version yet: brain-assets train lstm"
