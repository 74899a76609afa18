"""Snapshots in a bucket: the contracts of those on disk, and what there is no rename for."""

import datetime
import hashlib
import json
import logging
import os
import signal
import subprocess
import sys
import threading
from collections.abc import Iterator, Mapping
from pathlib import Path

import pytest
from upath import UPath

from brain_assets.errors import SnapshotError, StorageError
from brain_assets.paths import DataPath, list_names, read_bytes
from brain_assets.portfolio.trials import Trial, read_trials, record_trial
from brain_assets.settings import read_settings
from brain_assets.store import remote_folder
from brain_assets.store.folder import (
    MANIFEST,
    PAYLOAD,
    list_verified,
    read_files,
    read_folder,
    read_manifest_file,
    verify,
    write_files,
    write_folder,
)
from brain_assets.store.main_versions import MainVersions
from brain_assets.store.model_snapshot import ModelSnapshot
from brain_assets.store.names import cutoff_of_year
from brain_assets.store.objects import find_objects, read_object, remove_objects, write_object
from brain_assets.store.storage import SnapshotLocalStorage
from brain_assets_tests.backfills import REPOSITORY
from brain_assets_tests.loopback_s3 import STALL, LoopbackS3
from brain_assets_tests.store.hubs import DATE, Files, WatchedHub, bind, dated
from brain_assets_tests.store.test_two_writers import at_once, repeated

SMALL = {name: name.encode() * 3 for name in PAYLOAD}
NAME = "snapshot-2019-12-31"
N_PUTS = 6
"""Requests that write a snapshot: its payload, and the manifest twice."""


@pytest.fixture(params=["disk", "s3", "memory"])
def root(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[DataPath]:
    if request.param == "disk":
        yield tmp_path / "root"
    elif request.param == "s3":
        yield request.getfixturevalue("s3").place()
    else:
        from brain_assets.paths import parse_place

        request.getfixturevalue("monkeypatch").setenv("BRAIN_CACHE_DIR", str(tmp_path / "cache"))
        place = parse_place("memory://test-remote-folder")
        yield place
        remove_objects(list(find_objects(place)))  # type: ignore[arg-type]


@pytest.fixture
def place(s3: LoopbackS3) -> UPath:
    return s3.place() / NAME


@pytest.fixture
def no_cache(s3: LoopbackS3, monkeypatch: pytest.MonkeyPatch) -> None:
    """Let every read fetch the payload."""
    monkeypatch.setattr(remote_folder, "_remembered", lambda manifest: None)


def forget_cache() -> None:
    for path in sorted(cache().rglob("*"), reverse=True):
        path.rmdir() if path.is_dir() else path.unlink()


def cache() -> Path:
    found = read_settings().snapshot_cache
    assert found is not None
    return found


def inner(place: UPath) -> UPath:
    return place / hashlib.sha256(read_object(place / MANIFEST)).hexdigest()[:12]


def objects(place: UPath) -> set[str]:
    return {str(path).removeprefix(f"{place}/") for path in find_objects(place)}


# As on disk


def test_a_folder_verifies_and_reads_back(root: DataPath) -> None:
    assert verify(root / NAME) == f"{MANIFEST} is absent"
    write_folder(root / NAME, SMALL, {"a": 1})
    assert verify(root / NAME) is None
    payload, metadata = read_folder(root / NAME)
    assert payload == SMALL
    assert metadata["a"] == 1
    assert read_manifest_file(root / NAME) == read_bytes(root / NAME / MANIFEST)
    write_folder(root / NAME, SMALL, {"a": 2})
    assert read_folder(root / NAME)[1]["a"] == 2
    assert list_names(root) == [NAME]


@pytest.mark.parametrize(
    ("manifest", "problem"),
    [("", "cannot be read"), ("[]", "does not list"), ('{"files": {"weights.pt": "x"}}', "does not list")],
)
def test_without_a_whole_manifest_there_is_none(root: DataPath, manifest: str, problem: str) -> None:
    write_folder(root / NAME, SMALL, {})
    path = root / NAME / MANIFEST
    write_object(path, manifest.encode()) if isinstance(path, UPath) else path.write_text(manifest)
    assert problem in str(verify(root / NAME))
    assert list_verified(root, lambda name: True) == []
    with pytest.raises(SnapshotError, match=f"{root / NAME}: expected a complete snapshot, but .*; train it again"):
        read_files(root / NAME)


def test_files_that_do_not_verify_are_not_written(root: DataPath) -> None:
    with pytest.raises(SnapshotError, match="nothing is written"):
        write_files(root / NAME, {**SMALL, MANIFEST: b"{}"})
    assert list_names(root) == []


def test_a_storage_does_what_it_does_on_disk(root: DataPath, trained: ModelSnapshot) -> None:
    storage = SnapshotLocalStorage("lstm", root)
    assert storage.list_snapshots() == []
    assert not storage.snapshot_exists(DATE)
    assert storage.read_metadata(DATE) is None
    with pytest.raises(SnapshotError, match="expected a snapshot, but there is none; materialize lstm for 2019"):
        storage.load_snapshot(DATE)
    for year in (2019, 2017):
        storage.write_snapshot(dated(trained, cutoff_of_year(year)))
    assert storage.list_snapshots() == [cutoff_of_year(2017), DATE]
    assert storage.get_snapshot_for_year(2019) == cutoff_of_year(2017)
    assert storage.load_snapshot(DATE).fingerprint == trained.fingerprint
    metadata = storage.read_metadata(DATE)
    assert metadata is not None
    assert metadata["fingerprint"] == trained.metadata["fingerprint"]
    assert storage.list_pending() == []
    assert storage.list_seeds() == []
    storage.of_seed(10).write_snapshot(trained)
    storage.of_seed(2).write_snapshot(trained)
    SnapshotLocalStorage("ppo", root).of_seed(3).path(DATE)
    assert storage.list_seeds() == [2, 10]
    assert SnapshotLocalStorage("ppo", root).list_seeds() == []


def test_main_versions_and_the_current_one(root: DataPath, trained: ModelSnapshot) -> None:
    names = ["v2019-06-01-0123456789ab", "v2019-12-31-0123456789ab"]
    versions = MainVersions(SnapshotLocalStorage("lstm", root))
    assert versions.list_versions() == []
    assert versions.current() is None
    for name in names:
        trained.save(versions.path(name))
    assert versions.list_versions() == names
    assert versions.read_metadata(names[0])["fingerprint"] == trained.metadata["fingerprint"]
    with pytest.raises(SnapshotError, match="expected a main version, but there is none"):
        versions.load("v2020-06-01-0123456789ab")
    from brain_assets.store.folder import replace_file

    replace_file(versions.folder / "current", lambda temporary: temporary.write_text(f"{names[1]}\n"))
    assert versions.current() == names[1]
    replace_file(versions.folder / "current", lambda temporary: temporary.write_text("v2020-06-01-0123456789ab\n"))
    with pytest.raises(SnapshotError, match="expected the name of a main version that is there"):
        versions.current()


def test_trials_come_back_and_a_damaged_one_is_named(root: DataPath) -> None:
    assert read_trials(root / "trials") == []
    trials = [Trial("ppo", "aaaaaaaaaaaa", year, 52, 0.001, 0.02) for year in (2020, 2021)]
    for trial in trials:
        record_trial(root / "trials", trial, {}, None)
    assert read_trials(root / "trials") == trials
    path = root / "trials" / "sac-aaaaaaaaaaaa-2020.json"
    write_object(path, b"{") if isinstance(path, UPath) else path.write_text("{")
    from brain_assets.errors import TableError

    with pytest.raises(TableError, match=f"{path}: expected the record of a configuration"):
        read_trials(root / "trials")


def test_the_hub_gets_and_gives_the_same_snapshot(root: DataPath, hub: WatchedHub, files: Files) -> None:
    storage = bind(root, hub)
    write_files(storage.path(DATE), files)
    copy = storage.upload_snapshot_to_hf(DATE)
    assert hub.files("user/lstm", NAME) == files
    assert storage.is_copied(DATE, copy.commit)
    assert not storage.changed_here(DATE)
    assert storage.list_pending() == []
    empty = bind(root / "elsewhere", hub)
    assert empty.sync_all_hf_to_local() == [DATE]
    assert read_files(empty.path(DATE)) == files


# What an object store has no rename for


def test_the_folder_inside_is_an_ordinary_one(place: UPath, files: Files, tmp_path: Path) -> None:
    write_files(place, files)
    digest = hashlib.sha256(files[MANIFEST]).hexdigest()[:12]
    assert objects(place) == {MANIFEST, *(f"{digest}/{name}" for name in (*PAYLOAD, MANIFEST))}
    assert read_object(place / MANIFEST) == files[MANIFEST]  # those of the folder on disk
    (tmp_path / "copy").mkdir()
    for name in (*PAYLOAD, MANIFEST):
        (tmp_path / "copy" / name).write_bytes(read_object(place / digest / name))
    assert read_files(tmp_path / "copy") == files
    assert ModelSnapshot.load(tmp_path / "copy").name == NAME


@pytest.mark.parametrize("n_written", range(N_PUTS))
def test_a_write_that_breaks_off_anywhere_leaves_what_stood_there(
    s3: LoopbackS3, place: UPath, files: Files, other_files: Files, n_written: int
) -> None:
    left = iter([None] * n_written)
    with s3.faulty(lambda request: next(left, 403) if request.startswith("PUT") else None):
        with pytest.raises(StorageError, match="expected to be allowed to write it"):
            write_files(place, files)
        assert verify(place) == f"{MANIFEST} is absent"
    write_files(place, files)
    left = iter([None] * n_written)
    with (
        s3.faulty(lambda request: next(left, 403) if request.startswith("PUT") else None),
        pytest.raises(StorageError, match="expected to be allowed to write it"),
    ):
        write_files(place, other_files)
    forget_cache()
    assert read_files(place) == files
    write_files(place, other_files)
    assert read_files(place) == other_files


WRITER = """
import sys
from pathlib import Path
from brain_assets.paths import parse_place
from brain_assets.store.folder import read_files, write_files
write_files(parse_place(sys.argv[1]), read_files(Path(sys.argv[2])))
"""


@pytest.mark.slow
@pytest.mark.parametrize("n_written", range(N_PUTS))
def test_a_writer_that_is_killed_leaves_what_stood_there(
    s3: LoopbackS3, place: UPath, files: Files, other_files: Files, n_written: int, tmp_path: Path
) -> None:
    write_files(place, files)
    write_files(tmp_path / "other", other_files)
    reached = threading.Event()
    lock, n_seen = threading.Lock(), 0

    def stall(request: str) -> str | None:
        nonlocal n_seen
        with lock:
            n_seen += request.startswith("PUT")
            if request.startswith("PUT") and n_seen > n_written:
                reached.set()
                return STALL
        return None

    with s3.faulty(stall):
        process = subprocess.Popen(
            [sys.executable, "-c", WRITER, str(place), str(tmp_path / "other")], cwd=REPOSITORY, env=dict(os.environ)
        )
        assert reached.wait(60)
        process.send_signal(signal.SIGKILL)
        process.wait(10)
    assert verify(place) is None
    forget_cache()
    assert read_files(place) == files
    write_files(place, other_files)
    assert read_files(place) == other_files


def test_what_the_manifest_no_longer_names_is_removed_once_it_is_old(
    place: UPath, files: Files, other_files: Files, monkeypatch: pytest.MonkeyPatch
) -> None:
    write_files(place, files)
    write_object(place / "0123456789ab" / "weights.pt", b"of a writer that died")
    old = inner(place)
    write_files(place, other_files)
    assert read_object(old / "weights.pt") == files["weights.pt"]  # a reader may be about to read it
    monkeypatch.setattr(remote_folder, "LEFT_ALONE", -1.0)
    write_files(place, other_files)
    assert objects(place) == {MANIFEST, *(f"{inner(place).name}/{name}" for name in (*PAYLOAD, MANIFEST))}
    forget_cache()
    assert read_files(place) == other_files


def test_a_writer_that_may_not_remove_still_writes(
    s3: LoopbackS3,
    place: UPath,
    files: Files,
    other_files: Files,
    monkeypatch: pytest.MonkeyPatch,
    caplog: pytest.LogCaptureFixture,
) -> None:
    write_files(place, files)
    monkeypatch.setattr(remote_folder, "LEFT_ALONE", -1.0)
    with s3.faulty(lambda request: 403 if request.startswith("DELETE") else None):
        write_files(place, other_files)
    assert "replaced, but the objects of the one before stay" in caplog.text
    assert read_files(place) == other_files


@pytest.mark.usefixtures("no_cache")
def test_a_reader_sees_one_snapshot_or_the_other_while_it_is_replaced(
    place: UPath, files: Files, other_files: Files, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Even if what is replaced is removed at once."""
    monkeypatch.setattr(remote_folder, "LEFT_ALONE", -1.0)
    write_files(place, files)
    seen: list[Files] = []

    def write_both() -> None:
        write_files(place, other_files)
        write_files(place, files)

    at_once(repeated(6, write_both), *[repeated(12, lambda: seen.append(read_files(place)))] * 2)
    assert len(seen) == 24
    assert all(found in (files, other_files) for found in seen)
    assert {found[MANIFEST] for found in seen} == {files[MANIFEST], other_files[MANIFEST]}


@pytest.mark.usefixtures("no_cache")
def test_a_reader_that_finds_the_payload_removed_looks_at_the_manifest_again(
    s3: LoopbackS3, place: UPath, files: Files, other_files: Files, monkeypatch: pytest.MonkeyPatch
) -> None:
    write_files(place, files)
    monkeypatch.setattr(remote_folder, "LEFT_ALONE", -1.0)
    fetch, replaced = remote_folder._fetch, []

    def replaced_first(folder: UPath, manifest: bytes) -> tuple[dict[str, bytes], str | None]:
        if not replaced:
            replaced.append(True)
            write_files(place, other_files)
        return fetch(folder, manifest)

    monkeypatch.setattr(remote_folder, "_fetch", replaced_first)
    assert read_files(place) == other_files


@pytest.mark.parametrize("n_contents", [1, 2], ids=["same content", "different content"])
@pytest.mark.usefixtures("no_cache")
def test_of_several_writers_one_whole_snapshot_stands(
    place: UPath, files: Files, other_files: Files, n_contents: int
) -> None:
    contents = (files, other_files)[:n_contents]
    seen: list[Files] = []
    write_files(place, files)
    at_once(
        *(repeated(5, lambda content=content: write_files(place, content)) for content in (*contents, *contents)),
        repeated(10, lambda: seen.append(read_files(place))),
    )
    assert all(found in contents for found in seen)
    assert read_files(place) in contents


@pytest.mark.parametrize("name", PAYLOAD)
def test_damaged_and_absent_payload_is_found_on_reading(place: UPath, files: Files, name: str) -> None:
    write_files(place, files)
    forget_cache()
    write_object(inner(place) / name, b"other")
    assert verify(place) is None  # the manifest alone is looked at
    with pytest.raises(SnapshotError, match=f"^{place}: expected a complete snapshot, but {name} does not match the"):
        read_files(place)
    remove_objects([inner(place) / name])
    with pytest.raises(SnapshotError, match=f"but {name} is absent; train it again with --force"):
        read_files(place)
    write_files(place, files)
    forget_cache()
    assert read_files(place) == files


def test_a_folder_copied_up_by_another_tool_is_read(
    place: UPath, files: Files, other_files: Files, monkeypatch: pytest.MonkeyPatch
) -> None:
    for name, content in files.items():
        write_object(place / name, content)
    assert verify(place) is None
    assert read_files(place) == files
    forget_cache()
    monkeypatch.setattr(remote_folder, "LEFT_ALONE", -1.0)
    write_files(place, other_files)
    assert read_files(place) == other_files
    assert objects(place) == {MANIFEST, *(f"{inner(place).name}/{name}" for name in (*PAYLOAD, MANIFEST))}


# Requests, and the cache


def test_listing_reads_manifests_alone_at_the_same_time(s3: LoopbackS3, years: Mapping[datetime.date, Files]) -> None:
    storage = SnapshotLocalStorage("lstm", s3.place())
    dates = sorted(years)[-15:]
    for date in dates:
        write_files(storage.path(date), years[date])
    with s3.counted() as requests:
        assert storage.list_snapshots() == dates
    assert len(requests) == 1 + 15
    assert all("list-type" in request or request.endswith(f"/{MANIFEST}") for request in requests)
    with s3.counted() as requests:
        assert storage.read_metadata(dates[0]) is not None
    assert len(requests) == 1


def test_payload_is_downloaded_once(s3: LoopbackS3, place: UPath, files: Files) -> None:
    write_files(place, files)
    manifest_only = [f"GET /results/prefix/{NAME}/{MANIFEST}"]
    with s3.counted() as requests:
        assert read_files(place) == files
    assert requests == manifest_only  # what was written here is here
    forget_cache()
    for expected in (5, 1, 1):
        with s3.counted() as requests:
            assert read_files(place) == files
        assert len(requests) == expected
        assert requests[:1] == manifest_only
    entry = cache() / hashlib.sha256(files[MANIFEST]).hexdigest()
    assert read_files(entry) == files  # an ordinary folder


@pytest.mark.parametrize("name", [*PAYLOAD, MANIFEST])
def test_a_damaged_cache_is_fetched_again(s3: LoopbackS3, place: UPath, files: Files, name: str) -> None:
    write_files(place, files)
    entry = cache() / hashlib.sha256(files[MANIFEST]).hexdigest()
    (entry / name).write_bytes(b"junk")
    with s3.counted() as requests:
        assert read_files(place) == files
    assert len(requests) == 5
    assert read_files(entry) == files
    with s3.counted() as requests:
        assert read_files(place) == files
    assert len(requests) == 1


def test_the_cache_never_hides_what_others_wrote(place: UPath, files: Files, other_files: Files) -> None:
    write_files(place, files)
    write_files(place, other_files)
    assert read_files(place) == other_files
    write_files(place, files)
    assert read_files(place) == files


def test_another_whole_snapshot_under_a_name_of_the_cache_is_not_believed(
    place: UPath, files: Files, other_files: Files
) -> None:
    write_files(place, files)
    write_files(cache() / hashlib.sha256(files[MANIFEST]).hexdigest(), other_files)
    assert read_files(place) == files


def test_without_a_cache_it_goes_on_and_warns_once(
    s3: LoopbackS3, files: Files, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    (tmp_path / "file").write_text("no folder")
    monkeypatch.setenv("BRAIN_CACHE_DIR", str(tmp_path / "file" / "cache"))
    remote_folder._warn_once.cache_clear()
    for name in ("snapshot-2019-12-31", "snapshot-2020-12-31"):
        write_files(s3.place() / name, files)
        assert read_files(s3.place() / name) == files
    warnings = [record.getMessage() for record in caplog.records if record.levelno == logging.WARNING]
    assert len(warnings) == 1
    assert (
        "expected a folder with room for snapshots that were read, got: Not a directory; goes on without" in warnings[0]
    )


def test_metadata_says_the_same_here_and_there(s3: LoopbackS3, trained: ModelSnapshot, tmp_path: Path) -> None:
    """Nothing of where it lies goes into a snapshot."""
    trained.save(tmp_path / NAME)
    trained.save(s3.place() / NAME)
    assert read_files(s3.place() / NAME) == read_files(tmp_path / NAME)
    assert json.loads(read_object(s3.place() / NAME / MANIFEST)) == json.loads((tmp_path / NAME / MANIFEST).read_text())
