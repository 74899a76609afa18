"""Snapshots by their cut-off, in any place; see `test_copies` for those on the Hub."""

import datetime
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from brain_assets.errors import DamagedSnapshotError, SnapshotError
from brain_assets.market.calendar import complete_weeks
from brain_assets.market.prices import PricePanel
from brain_assets.store.manifest import FILES
from brain_assets.store.names import cutoff_of_year, parse_snapshot_name, snapshot_name
from brain_assets.store.snapshot import ModelSnapshot
from brain_assets.store.storage import SnapshotLocalStorage
from brain_assets_tests.conftest import FAMILIES
from brain_assets_tests.loopback_s3 import LoopbackS3
from brain_assets_tests.store.hubs import DATE, WatchedHub, bind, dated


@pytest.fixture
def here(tmp_path: Path) -> SnapshotLocalStorage:
    """One without a Hub, which holds nothing."""
    return SnapshotLocalStorage("lstm", tmp_path / "models")


def test_loaded_snapshot_forecasts_exactly_as_the_trained_one(
    here: SnapshotLocalStorage, trained: ModelSnapshot, panel: PricePanel
) -> None:
    folder = here.write_snapshot(trained)
    assert folder == here.folder / "snapshot-2019-12-31"
    assert sorted(path.name for path in folder.iterdir()) == sorted(FILES)
    loaded = here.load_snapshot(DATE)
    weeks = complete_weeks(panel.sessions)
    weeks = weeks.select(weeks.year == 2021)
    np.testing.assert_array_equal(loaded.forecast(panel, weeks), trained.forecast(panel, weeks))
    assert (loaded.config, loaded.fingerprint, loaded.card) == (trained.config, trained.fingerprint, trained.card)


@pytest.mark.parametrize(("backend", "repo"), [("hf", "me/lstm"), ("local", None)])
def test_the_environment_names_folder_and_repo(
    backend: str, repo: str | None, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    repos = {f"HF_{family.upper()}_MODEL_REPO": f"me/{family}" for family in FAMILIES}
    for name, value in {"BRAIN_DATA_DIR": str(tmp_path), "STORAGE_BACKEND": backend, **repos}.items():
        monkeypatch.setenv(name, value)
    storage = SnapshotLocalStorage("lstm")
    assert (storage.folder, storage.hub and storage.hub.repo) == (tmp_path / "models" / "lstm", repo)


def damage_of(storage: SnapshotLocalStorage, year: int) -> str | None:
    try:
        storage.refuse_damaged(cutoff_of_year(year))
    except DamagedSnapshotError as error:
        return error.file
    return None


def test_only_folders_that_verify_are_listed(here: SnapshotLocalStorage, trained: ModelSnapshot) -> None:
    assert here.list_snapshots() == []
    for year in (2019, 2017, 2021):
        here.write_snapshot(replace(trained, cutoff_date=cutoff_of_year(year)))
    for name in ("snapshot-2018-12-31", "snapshot-2020-02-31", "v2024-01-01-abc123"):  # empty; no such day; no snapshot
        (here.folder / name).mkdir()
    (here.path(cutoff_of_year(2021)) / "weights.pt").write_bytes(b"half")
    assert here.list_snapshots() == [cutoff_of_year(2017), cutoff_of_year(2019)]
    assert not here.snapshot_exists(cutoff_of_year(2021))
    assert {year: damage_of(here, year) for year in (2017, 2018, 2021)} == {2017: None, 2018: None, 2021: "weights.pt"}
    assert here.read_metadata(cutoff_of_year(2021)) is None
    newest = {year: here.get_snapshot_for_year(year) for year in (2017, 2018, 2019, 2020, 2030)}
    old, new = cutoff_of_year(2017), cutoff_of_year(2019)
    assert newest == {2017: None, 2018: old, 2019: old, 2020: new, 2030: new}


def test_a_wanted_snapshot_that_is_damaged_or_whose_stand_in_is_does_not_give_way_without_a_word(
    here: SnapshotLocalStorage, trained: ModelSnapshot
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


def test_a_storage_elsewhere_does_what_it_does_on_disk(trained: ModelSnapshot, hub: WatchedHub, s3: LoopbackS3) -> None:
    root = s3.place()
    storage = bind(root, hub)
    assert (storage.list_snapshots(), storage.list_seeds()) == ([], [])
    assert (storage.snapshot_exists(DATE), storage.read_metadata(DATE)) == (False, None)
    for year in (2019, 2017):
        storage.write_snapshot(dated(trained, cutoff_of_year(year)))
    assert storage.list_snapshots() == [cutoff_of_year(2017), DATE]
    assert storage.load_snapshot(DATE).files == dated(trained, DATE).files
    assert (storage.read_metadata(DATE) or {})["fingerprint"] == trained.metadata["fingerprint"]
    assert storage.sync_all_local_to_hf() == [cutoff_of_year(2017), DATE]
    assert bind(root / "elsewhere", hub).sync_all_hf_to_local() == [cutoff_of_year(2017), DATE]
    assert bind(root / "elsewhere", hub).load_snapshot(DATE).files == dated(trained, DATE).files
    for number in (10, 2):
        storage.of_seed(number).write_snapshot(trained)
    assert storage.list_seeds() == [2, 10]


def test_listing_a_bucket_reads_manifests_alone(s3: LoopbackS3, trained: ModelSnapshot) -> None:
    storage = SnapshotLocalStorage("lstm", s3.place())
    for year in range(2016, 2020):
        storage.write_snapshot(dated(trained, cutoff_of_year(year)))
    for work, n_requests in (
        (storage.list_snapshots, 1 + 4),
        (lambda: storage.read_metadata(DATE), 1),
        (lambda: storage.load_snapshot(DATE), 6),
    ):
        with s3.counted() as requests:
            assert work()
        assert len(requests) == n_requests


def test_what_is_not_what_its_place_says_is_refused(here: SnapshotLocalStorage, trained: ModelSnapshot) -> None:
    with pytest.raises(SnapshotError, match=r"snapshot-2019-12-31: expected a snapshot, but there is none"):
        here.load_snapshot(DATE)
    here.write_snapshot(trained)
    here.path(DATE).rename(here.path(cutoff_of_year(2020)))
    with pytest.raises(SnapshotError, match=r"2020-12-31/metadata\.json: expected cutoff_date 2020-12-31, got .*; do"):
        here.load_snapshot(cutoff_of_year(2020))
    with pytest.raises(SnapshotError, match="expected a snapshot of lstm, got one of ppo"):
        here.write_snapshot(replace(trained, family="ppo"))
    with pytest.raises(SnapshotError, match=r"expected one of lstm, patchtst, .*, got gru"):
        SnapshotLocalStorage("gru", here.folder)


@pytest.mark.parametrize("ending", ["2020-02-31", "19-12-31", "../../x", "2019-12-31x"])
def test_names_have_one_spelling(ending: str) -> None:
    assert snapshot_name(DATE) == "snapshot-2019-12-31"
    assert parse_snapshot_name("snapshot-2019-12-31") == datetime.date(2019, 12, 31)
    assert parse_snapshot_name(f"snapshot-{ending}") is None
