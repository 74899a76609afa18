"""The storage of a family: snapshots by their cut-off, main versions by name, on a disk, in a bucket and on a Hub."""

import datetime
import os
from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path

import pytest

from brain_assets.errors import DamagedSnapshotError, HubError, RefusedSnapshotError, SnapshotError
from brain_assets.forecasting.lstm import LstmConfig
from brain_assets.main_versions.training import train_version
from brain_assets.market.prices import PricePanel
from brain_assets.store.names import cutoff_of_year, parse_snapshot_name, snapshot_name
from brain_assets.store.snapshot import ModelSnapshot
from brain_assets.store.storage import ModelCopy, compare, transfer
from brain_assets.store.storage import SnapshotLocalStorage as Storage
from brain_assets_tests.conftest import FAMILIES, MADE_UP
from brain_assets_tests.loopback_hub import TOKEN, Fault, Files, LoopbackHub
from brain_assets_tests.loopback_s3 import LoopbackS3
from brain_assets_tests.store.hubs import BRANCH, DATE, REPO, bind, dated, fill, local_files, publish

pytestmark = pytest.mark.filterwarnings("ignore:Use 'content=:DeprecationWarning")  # of the library, at every upload

Years = Mapping[datetime.date, Files]
ABSENT = cutoff_of_year(2016)


@pytest.fixture
def here(tmp_path: Path) -> Storage:
    """One without a Hub, which holds nothing."""
    return Storage("lstm", tmp_path / "models")


# On a disk, or in a bucket


@pytest.mark.parametrize(("backend", "repo"), [("hf", "me/lstm"), ("local", None)])
def test_the_environment_names_folder_and_repo(
    backend: str, repo: str | None, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    repos = {f"HF_{family.upper()}_MODEL_REPO": f"me/{family}" for family in FAMILIES}
    for name, value in {"BRAIN_DATA_DIR": str(tmp_path), "STORAGE_BACKEND": backend, **repos}.items():
        monkeypatch.setenv(name, value)
    storage = Storage("lstm")
    assert (storage.folder, storage.hub and storage.hub.repo) == (tmp_path / "models" / "lstm", repo)


def test_only_folders_that_verify_are_listed(here: Storage, trained: ModelSnapshot) -> None:
    assert here.list_snapshots() == []
    old, new, broken = map(cutoff_of_year, (2017, 2019, 2021))
    for date in (new, old, broken):
        here.write_snapshot(replace(trained, cutoff_date=date))
    for name in ("snapshot-2018-12-31", "snapshot-2020-02-31", "v2024-01-01-abc123"):  # empty; no such day; no snapshot
        (here.folder / name).mkdir()
    (here.path(broken) / "weights.pt").write_bytes(b"half")
    assert here.list_snapshots() == [old, new]
    assert (here.snapshot_exists(broken), here.read_metadata(broken)) == (False, None)
    with pytest.raises(DamagedSnapshotError, match=r"2021-12-31/weights\.pt"):
        here.refuse_damaged(broken)
    for date in (old, cutoff_of_year(2018)):
        here.refuse_damaged(date)
    newest = {year: here.get_snapshot_for_year(year) for year in (2017, 2018, 2019, 2020, 2030)}
    assert newest == {2017: None, 2018: old, 2019: old, 2020: new, 2030: new}


def test_a_wanted_snapshot_that_is_damaged_or_whose_stand_in_is_does_not_give_way_without_a_word(
    here: Storage, trained: ModelSnapshot
) -> None:
    dates = old, mid, new = [cutoff_of_year(year) for year in (2016, 2017, 2018)]
    for date in dates:
        here.write_snapshot(dated(trained, date))
    assert here.list_candidates([DATE]) == dates
    (here.path(mid) / "weights.pt").write_bytes(b"half")
    for wanted in ([new], [old, new], [DATE], [cutoff_of_year(2015)]):
        assert here.list_candidates(wanted) == [old, new]
    with pytest.raises(DamagedSnapshotError, match=r"2017-12-31/weights\.pt"):
        here.list_candidates([mid])
    (here.path(new) / "config.json").write_bytes(b"{}")
    with pytest.raises(DamagedSnapshotError, match=r"2017-12-31/weights\.pt|2018-12-31/config\.json"):
        here.list_candidates([DATE])
    assert here.list_candidates([old]) == [old]


def test_a_storage_in_a_bucket_does_what_it_does_on_disk_and_lists_by_manifests_alone(
    trained: ModelSnapshot, hub: LoopbackHub, s3: LoopbackS3
) -> None:
    storage = bind(s3.place(), hub)  # type: ignore[arg-type]
    assert (storage.list_snapshots(), storage.list_seeds(), storage.read_metadata(DATE)) == ([], [], None)
    for year in (2019, 2017):
        storage.write_snapshot(dated(trained, cutoff_of_year(year)))
    for work, n_requests in (
        (storage.list_snapshots, 1 + 2),
        (lambda: storage.read_metadata(DATE), 1),
        (lambda: storage.load_snapshot(DATE), 6),
    ):
        with s3.counted() as requests:
            assert work()
        assert len(requests) == n_requests
    assert storage.sync_all_local_to_hf() == [cutoff_of_year(2017), DATE]
    elsewhere = bind(s3.place() / "elsewhere", hub)  # type: ignore[arg-type]
    assert elsewhere.sync_all_hf_to_local() == [cutoff_of_year(2017), DATE]
    assert elsewhere.load_snapshot(DATE).files == dated(trained, DATE).files
    for number in (10, 2):
        storage.of_seed(number).write_snapshot(trained)
    assert storage.list_seeds() == [2, 10]


def test_what_is_not_what_its_place_says_is_refused(here: Storage, trained: ModelSnapshot) -> None:
    with pytest.raises(SnapshotError, match=r"snapshot-2019-12-31: expected a snapshot, but there is none"):
        here.load_snapshot(DATE)
    here.write_snapshot(trained)
    here.path(DATE).rename(here.path(cutoff_of_year(2020)))
    with pytest.raises(SnapshotError, match=r"2020-12-31/metadata\.json: expected cutoff_date 2020-12-31, got .*; do"):
        here.load_snapshot(cutoff_of_year(2020))
    with pytest.raises(SnapshotError, match="expected a snapshot of lstm, got one of ppo"):
        here.write_snapshot(replace(trained, family="ppo"))
    with pytest.raises(SnapshotError, match=r"expected one of lstm, patchtst, .*, got gru"):
        Storage("gru", here.folder)


def test_names_have_one_spelling() -> None:
    assert snapshot_name(DATE) == "snapshot-2019-12-31"
    assert parse_snapshot_name("snapshot-2019-12-31") == datetime.date(2019, 12, 31)
    for ending in ("2020-02-31", "19-12-31", "../../x", "2019-12-31x"):
        assert parse_snapshot_name(f"snapshot-{ending}") is None


# On a Hub


def moved(verb: str, storage: Storage, force: bool = False, dry_run: bool = False) -> list[tuple[str, str, str]]:
    """Push or pull; gives what became of each branch."""
    own = {"lstm": storage}
    done = transfer(verb, own, compare(own), force, dry_run)
    return [(each.name, each.state, each.detail) for each in done]


def test_broken_snapshot_is_not_sent(storage: Storage, hub: LoopbackHub) -> None:
    (storage.path(DATE) / "weights.pt").write_bytes(b"half")
    for date, words in ((DATE, r"weights\.pt: expected the SHA-256 .*; it is damaged"), (ABSENT, "but there is none")):
        with pytest.raises(SnapshotError, match=words):
            storage.upload_snapshot_to_hf(date)
    assert hub.requests == []


def test_a_pull_gives_the_very_bytes_of_one_commit(
    storage: Storage, empty: Storage, hub: LoopbackHub, files: Files, other_files: Files
) -> None:
    storage.upload_snapshot_to_hf(DATE)
    hub.before("/resolve/", lambda: publish(hub, {DATE: other_files}))  # pushed while the pull is under way
    assert empty.download_snapshot_from_hf(DATE) == empty.path(DATE)
    assert local_files(empty) == files
    assert os.listdir(empty.folder) == [BRANCH]


def test_what_is_not_here_is_pulled_when_it_is_needed(
    empty: Storage, hub: LoopbackHub, files: Files, caplog: pytest.LogCaptureFixture
) -> None:
    publish(hub, {DATE: {**files, "run.py": b"import os"}})
    assert not empty.ensure_snapshot_available(DATE)
    assert f"{REPO}@{BRANCH}/'run.py': expected no files but " in caplog.text
    with pytest.raises(RefusedSnapshotError, match=r"'run\.py': expected no files but .*; do not use this snapshot"):
        empty.fetch_snapshot(DATE)
    assert not empty.folder.exists()
    publish(hub, {DATE: files})
    assert empty.ensure_snapshot_available(DATE)
    assert local_files(empty) == files
    hub.requests.clear()
    assert empty.ensure_snapshot_available(DATE)
    assert empty.fetch_snapshot(DATE).card == files["README.md"].decode()
    assert hub.requests == []
    assert not empty.ensure_snapshot_available(ABSENT)
    (empty.path(DATE) / "weights.pt").write_bytes(b"half")  # what is damaged is not here
    assert empty.fetch_snapshot(DATE).files == files


def test_candidates_are_asked_for_only_if_a_wanted_one_is_not_here_and_then_they_must_be_seen(
    empty: Storage, hub: LoopbackHub, three: Years
) -> None:
    """Else a forecast would fall back to an older model without a word."""
    *here, there = three
    fill(empty, {date: three[date] for date in here})
    with pytest.raises(HubError, match=REPO):
        empty.list_candidates([DATE])
    publish(hub, {there: three[there]})
    hub.requests.clear()
    assert empty.list_candidates(here) == here
    assert hub.requests == []
    assert empty.list_candidates([here[0], DATE]) == list(three)
    assert len(hub.requests) == 1
    hub.fail(Fault("503", times=None))
    for act in (lambda: empty.ensure_snapshot_available(DATE), lambda: empty.list_candidates([DATE])):
        with pytest.raises(HubError, match="try again later"):
            act()


def test_a_push_transfers_only_what_is_missing_or_differs_and_names_what_it_replaces(
    empty: Storage, hub: LoopbackHub, three: Years, files: Files, other_files: Files
) -> None:
    equal, missing, hub_only = three
    publish(hub, {DATE: files, equal: three[equal], hub_only: three[hub_only]})
    fill(empty, {DATE: other_files, equal: three[equal], missing: three[missing]})
    states = {equal: "equal", missing: "here only", DATE: "different", hub_only: "on the Hub only"}
    rows = [
        ModelCopy("lstm", snapshot_name(date), state, hub.branches(REPO).get(snapshot_name(date), ""))
        for date, state in states.items()
    ]
    assert compare({"lstm": empty}) == rows
    assert compare({"lstm": empty}, [missing.year, 1999]) == [rows[1]]
    replaced = f"in place of commit {hub.branches(REPO)[BRANCH][:8]}"
    name = snapshot_name(missing)
    assert moved("push", empty, dry_run=True) == [(name, "would push", "here only"), (BRANCH, "would push", replaced)]
    assert moved("push", empty) == [(name, "pushed", ""), (BRANCH, "pushed", replaced)]
    assert hub.files(REPO, BRANCH) == other_files
    assert hub.files(REPO, name) == three[missing]
    assert len(hub.commits(REPO, snapshot_name(equal))) == 1
    assert empty.list_snapshots() == [equal, missing, DATE]
    assert empty.sync_all_local_to_hf() == []


def test_a_pull_takes_what_is_missing_and_keeps_what_differs_unless_forced_and_what_is_refused(
    empty: Storage, hub: LoopbackHub, three: Years, files: Files, other_files: Files, caplog: pytest.LogCaptureFixture
) -> None:
    local_only, refused, missing = three
    publish(hub, {DATE: files, refused: {**three[refused], "weights.pt": b"\0other"}, missing: three[missing]})
    for name in ("snapshot-2020-02-31", "snapshot-../../x", "v2020"):  # no dates: ignored
        hub.put(REPO, name, {"x": b"x"})
    assert empty.list_hf_snapshots() == [refused, DATE, missing]
    fill(empty, {DATE: other_files, local_only: three[local_only]})
    would = [(snapshot_name(refused), "would pull"), (BRANCH, "would keep"), (snapshot_name(missing), "would pull")]
    assert [each[:2] for each in moved("pull", empty, dry_run=True)] == would
    assert empty.sync_all_hf_to_local() == [missing]
    assert f"lstm {BRANCH}: kept: it differs from that of the Hub: push it, or pull with force" in caplog.text
    assert f"refused: {REPO}@{snapshot_name(refused)}/weights.pt: expected the" in caplog.text
    assert (local_files(empty), local_files(empty, missing)) == (other_files, three[missing])
    assert snapshot_name(local_only) not in hub.branches(REPO)
    assert empty.sync_all_hf_to_local(force=True) == [DATE]
    assert local_files(empty) == files
    publish(hub, {DATE: {}})
    assert ("refused", "metadata.json") in [
        (each[1], each[2].split(":")[0][-13:]) for each in moved("pull", empty, True)
    ]
    assert local_files(empty) == files


def test_snapshot_of_another_market_is_neither_pulled_nor_replaced(
    tmp_path: Path, hub: LoopbackHub, files: Files, other_files: Files
) -> None:
    publish(hub, {DATE: files})
    live = fill(bind(tmp_path, hub, market="live"), {DATE: other_files})
    with pytest.raises(HubError, match="expected to replace a snapshot of market live, got one of 'simulator'"):
        live.upload_snapshot_to_hf(DATE)
    assert hub.files(REPO, BRANCH) == files
    with pytest.raises(RefusedSnapshotError, match=r"metadata\.json: expected market live, got 'simulator'"):
        live.download_snapshot_from_hf(DATE)


def test_storage_without_a_hub_works_with_what_is_here_and_says_what_it_cannot(tmp_path: Path, files: Files) -> None:
    storage = fill(bind(tmp_path, None), {DATE: files})
    assert (storage.ensure_snapshot_available(DATE), storage.ensure_snapshot_available(ABSENT)) == (True, False)
    assert storage.list_candidates([cutoff_of_year(2020)]) == [DATE]
    for ask in (lambda: storage.upload_snapshot_to_hf(DATE), storage.list_hf_snapshots, storage.sync_all_hf_to_local):
        with pytest.raises(HubError) as caught:
            ask()
        assert str(caught.value) == (
            "lstm: expected snapshots that go to the Hub too, got STORAGE_BACKEND=local; set it to hf, and "
            "HF_LSTM_MODEL_REPO."
        )


# Main versions: whole or not there, and one current that changes in one step


@pytest.fixture(scope="module")
def made(panel: PricePanel, tiny_lstm: LstmConfig) -> list[ModelSnapshot]:
    """Two versions, the older first."""
    days = (datetime.date(2021, 6, 15), datetime.date(2021, 9, 30))
    return [train_version("lstm", panel.until(day), tiny_lstm, MADE_UP) for day in days]


@pytest.fixture
def versions(tmp_path: Path, hub: LoopbackHub, made: list[ModelSnapshot]) -> Storage:
    """Both on this machine, and an empty Hub."""
    storage = bind(tmp_path / "models", hub)
    for version in made:
        storage.write_snapshot(version)
    return storage


def test_promoting_goes_forward_and_back_to_versions_that_are_whole(versions: Storage, made: list) -> None:
    old, new = (version.name for version in made)
    assert (versions.list_versions(), versions.list_snapshots(), versions.current()) == ([old, new], [], None)
    for name in (old, new, old):
        versions.promote(name)
        assert (versions.current(), (versions.folder / "current").read_text()) == (name, f"{name}\n")
    (versions.folder / new / "weights.pt").write_bytes(b"half")
    assert versions.list_versions() == [old]
    for name, words in (
        (new, r"/weights\.pt: expected the .* it is damaged"),
        *((name, "expected a main version that is there, ") for name in ("../lstm", "v2021-02-30-0123456789ab")),
    ):
        with pytest.raises(SnapshotError, match=words):
            versions.promote(name)
    assert versions.current() == old


def test_a_current_file_or_a_folder_that_lies_is_said_so(versions: Storage, made: list) -> None:
    old, other = made[0].name, "v2021-06-15-0123456789ab"
    for content in (f"{other}\n", "../../elsewhere"):
        (versions.folder / "current").write_text(content)
        with pytest.raises(SnapshotError, match=rf"expected the name of a main version .* promote one of {old}"):
            versions.current()
    (versions.folder / old).rename(versions.folder / other)
    with pytest.raises(SnapshotError, match=f"{other}/metadata.json: expected version {other}, got '{old}'; do not"):
        versions.load(other)


def test_versions_are_branches_main_follows_current_and_both_load_from_the_hub(
    versions: Storage, hub: LoopbackHub, made: list, monkeypatch: pytest.MonkeyPatch
) -> None:
    old, new = (version.name for version in made)
    own = {"lstm": versions}

    def push() -> list[str]:
        done = transfer("push", own, compare(own, versions=True))
        return [each.name for each in done if each.state == "pushed"]

    versions.promote(old)
    assert push() == [old, new, "main"]
    for branch, version in ((old, made[0]), (new, made[1]), ("main", made[0])):
        assert hub.files(REPO, branch) == version.files
    assert push() == []
    versions.promote(new)
    assert push() == ["main"]
    assert hub.files(REPO, "main") == made[1].files
    assert versions.upload("main").changed is False
    monkeypatch.setattr("huggingface_hub.constants.ENDPOINT", hub.endpoint)
    for revision, version in ((old, made[0]), ("main", made[1])):
        assert ModelSnapshot.from_hub(REPO, revision=revision, token=TOKEN).files == version.files


@pytest.mark.parametrize(
    ("change", "sentence"),
    [
        ({"version": "v2021-06-16-0123456789ab"}, "expected the name of a version of 2021-06-15, got v2021-06-16"),
        ({"version": 7}, "expected version to be a text, got 7"),
        ({"scores": {}}, "expected scores.first_week, got nothing"),
    ],
)
def test_a_stranger_s_version_that_lies_about_itself_is_refused(made: list, change: dict, sentence: str) -> None:
    with pytest.raises(SnapshotError, match=sentence):
        replace(made[0], metadata={**made[0].metadata, **change}).check()
