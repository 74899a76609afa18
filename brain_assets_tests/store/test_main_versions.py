"""Main versions on disk: whole or not there, and one current that changes in one step."""

import datetime
import shutil
from dataclasses import replace
from pathlib import Path

import pytest
from huggingface_hub import constants

from brain_assets.errors import SnapshotError
from brain_assets.forecasting.lstm import LstmConfig
from brain_assets.main_versions.command import promote
from brain_assets.main_versions.training import train_version
from brain_assets.market.prices import PricePanel
from brain_assets.store.snapshot import ModelSnapshot
from brain_assets.store.storage import SnapshotLocalStorage as Storage
from brain_assets.store.sync import plan
from brain_assets_tests.conftest import MADE_UP
from brain_assets_tests.store.hubs import DATE, REPO, TOKEN, WatchedHub, bind


@pytest.fixture(scope="module")
def made(panel: PricePanel, tiny_lstm: LstmConfig) -> list[ModelSnapshot]:
    """Two versions, the older first."""
    days = (datetime.date(2021, 6, 15), datetime.date(2021, 9, 30))
    return [train_version("lstm", panel.until(day), tiny_lstm, MADE_UP) for day in days]


@pytest.fixture
def versions(tmp_path: Path, made: list[ModelSnapshot]) -> Storage:
    return filled(Storage("lstm", tmp_path / "models"), made)


def filled(storage: Storage, made: list[ModelSnapshot]) -> Storage:
    for version in made:
        storage.write_snapshot(version)
    return storage


def test_writing_promotes_nothing_and_promoting_goes_forward_and_back(versions: Storage, made: list) -> None:
    assert (versions.list_versions(), versions.list_snapshots()) == ([version.name for version in made], [])
    assert versions.current() is None
    for version in (made[0], made[1], made[0]):
        versions.promote(version.name)
        assert versions.current() == version.name
        assert (versions.folder / "current").read_text() == f"{version.name}\n"


def test_a_version_that_is_not_whole_is_none_and_cannot_be_promoted(versions: Storage, made: list) -> None:
    versions.promote(made[0].name)
    weights = versions.folder / made[1].name / "weights.pt"
    weights.write_bytes(weights.read_bytes()[:-1])
    assert versions.list_versions() == [made[0].name]
    with pytest.raises(SnapshotError, match=r"/weights\.pt: expected the .* it is damaged"):
        versions.promote(made[1].name)
    assert versions.current() == made[0].name


@pytest.mark.parametrize("name", ["../lstm", "snapshot-2020-12-31", "v2021-02-30-0123456789ab"])
def test_what_cannot_name_a_version_is_refused_in_one_sentence(versions: Storage, made: list, name: str) -> None:
    versions.path(DATE).mkdir()
    with pytest.raises(SnapshotError, match=f"^lstm: expected a main version that is there, .* got '{name}'; see "):
        versions.promote(name)


@pytest.mark.parametrize("content", ["v2021-06-15-0123456789ab\n", "../../elsewhere"])
def test_a_current_file_that_names_no_version_is_said_so_and_can_be_put_right(
    versions: Storage, made: list, content: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    (versions.folder / "current").write_text(content)
    with pytest.raises(SnapshotError, match=rf"expected the name of a main version .* promote one of {made[0].name}"):
        versions.current()
    monkeypatch.setenv("BRAIN_DATA_DIR", str(versions.folder.parent.parent))
    promote("lstm", made[0].name)
    assert versions.current() == made[0].name
    for version in made:
        shutil.rmtree(versions.folder / version.name)
    with pytest.raises(SnapshotError, match="remove the file, and train one"):
        versions.current()


def test_a_version_under_another_name_is_refused(versions: Storage, made: list) -> None:
    other = "v2021-06-15-0123456789ab"
    (versions.folder / made[0].name).rename(versions.folder / other)
    with pytest.raises(
        SnapshotError, match=f"{other}/metadata.json: expected version {other}, got '{made[0].name}'; do not use"
    ):
        versions.load(other)


# On the Hub


@pytest.fixture
def published(tmp_path: Path, hub: WatchedHub, made: list[ModelSnapshot]) -> Storage:
    """Two versions on this machine, the older one current, and an empty Hub."""
    storage = filled(bind(tmp_path / "here", hub), made)
    storage.promote(made[0].name)
    return storage


def complete(storage: Storage) -> list[str]:
    """Push what the Hub lacks; gives the branches that got through, in turn."""
    return [each.name for each in plan("push", {"lstm": storage}).run() if each.result == "pushed"]


def test_versions_are_branches_and_main_follows_current(published: Storage, hub: WatchedHub, made: list) -> None:
    assert complete(published) == [made[0].name, made[1].name, "main"]
    for version in made:
        assert hub.files(REPO, version.name) == version.files
    assert hub.files(REPO, "main") == made[0].files
    assert complete(published) == []
    published.promote(made[1].name)
    assert complete(published) == ["main"]
    assert [files for files in hub.ever("main") if "metadata.json" in files] == [made[0].files, made[1].files]
    before = hub.asked("/commit/")
    assert published.upload("main").changed is False
    assert hub.asked("/commit/") == before


def test_a_version_and_main_load_from_the_hub(published: Storage, hub: WatchedHub, made: list, monkeypatch) -> None:
    complete(published)
    monkeypatch.setattr(constants, "ENDPOINT", hub.endpoint)
    for revision, version in ((made[1].name, made[1]), ("main", made[0])):
        loaded = ModelSnapshot.from_hub(REPO, revision=revision, token=TOKEN)
        assert loaded.name == version.name
        assert loaded.fingerprint == version.fingerprint


@pytest.mark.parametrize(
    ("change", "sentence"),
    [
        ({"version": "v2021-06-16-0123456789ab"}, "expected the name of a version of 2021-06-15, got v2021-06-16"),
        ({"version": 7}, "expected version to be a text, got 7"),
        ({"scores": {}}, "expected scores.first_week, got nothing"),
    ],
)
def test_a_stranger_s_version_that_lies_about_itself_is_refused(made: list, change: dict, sentence: str) -> None:
    forged = replace(made[0], metadata={**made[0].metadata, **change})
    with pytest.raises(SnapshotError, match=sentence):
        forged.check()
