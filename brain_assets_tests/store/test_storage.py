import datetime
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from brain_assets.errors import DamagedSnapshotError, SnapshotError
from brain_assets.forecasting.lstm import LstmConfig
from brain_assets.forecasting.training import train_snapshot
from brain_assets.market.calendar import complete_weeks
from brain_assets.market.prices import PricePanel
from brain_assets.paths import replace_file
from brain_assets.store.main_versions import MainVersions
from brain_assets.store.manifest import PAYLOAD
from brain_assets.store.names import cutoff_of_year, parse_snapshot_name, snapshot_name
from brain_assets.store.snapshot import ModelSnapshot
from brain_assets.store.storage import SnapshotLocalStorage
from brain_assets_tests.conftest import MADE_UP
from brain_assets_tests.loopback_s3 import LoopbackS3
from brain_assets_tests.store.hubs import WatchedHub, bind, dated
from brain_assets_tests.store.places import memory_place

DATE = datetime.date(2019, 12, 31)


@pytest.fixture(scope="module")
def snapshot(panel: PricePanel, tiny_lstm: LstmConfig) -> ModelSnapshot:
    return train_snapshot("lstm", panel, DATE, tiny_lstm, MADE_UP)


@pytest.fixture
def storage(tmp_path: Path) -> SnapshotLocalStorage:
    return SnapshotLocalStorage("lstm", tmp_path / "models")


def test_loaded_snapshot_forecasts_exactly_as_the_trained_one(
    storage: SnapshotLocalStorage, snapshot: ModelSnapshot, panel: PricePanel
) -> None:
    folder = storage.write_snapshot(snapshot)
    assert folder == storage.folder / "snapshot-2019-12-31"
    assert sorted(path.name for path in folder.iterdir()) == sorted([*PAYLOAD, "metadata.json"])
    loaded = storage.load_snapshot(DATE)
    weeks = complete_weeks(panel.sessions)
    weeks = weeks.select(weeks.year == 2021)
    np.testing.assert_array_equal(loaded.forecast(panel, weeks), snapshot.forecast(panel, weeks))
    assert loaded.config == snapshot.config
    assert loaded.fingerprint == snapshot.fingerprint
    assert loaded.card == snapshot.card


def damage_of(storage: SnapshotLocalStorage, year: int) -> str | None:
    try:
        storage.refuse_damaged(cutoff_of_year(year))
    except DamagedSnapshotError as error:
        return error.file
    return None


def test_only_folders_that_verify_are_listed(storage: SnapshotLocalStorage, snapshot: ModelSnapshot) -> None:
    assert storage.list_snapshots() == []
    for year in (2019, 2017, 2021):
        storage.write_snapshot(replace(snapshot, cutoff_date=cutoff_of_year(year)))
    (storage.folder / "snapshot-2018-12-31").mkdir()  # an empty folder is not a snapshot
    (storage.folder / "snapshot-2020-02-31").mkdir()  # nor is one of a day that does not exist
    (storage.folder / "v2024-01-01-abc123").mkdir()
    (storage.path(cutoff_of_year(2021)) / "weights.pt").write_bytes(b"half")
    assert storage.list_snapshots() == [cutoff_of_year(2017), cutoff_of_year(2019)]
    assert not storage.snapshot_exists(cutoff_of_year(2021))
    damaged = {year: damage_of(storage, year) for year in (2017, 2018, 2020, 2021)}
    assert damaged == {2017: None, 2018: None, 2020: None, 2021: "weights.pt"}
    assert storage.read_metadata(cutoff_of_year(2021)) is None


def test_year_without_a_snapshot_goes_to_the_closest_earlier_one(
    storage: SnapshotLocalStorage, snapshot: ModelSnapshot
) -> None:
    for year in (2017, 2019):
        storage.write_snapshot(replace(snapshot, cutoff_date=cutoff_of_year(year)))
    assert storage.get_snapshot_for_year(2017) is None
    assert storage.get_snapshot_for_year(2018) == cutoff_of_year(2017)
    assert storage.get_snapshot_for_year(2019) == cutoff_of_year(2017)
    assert storage.get_snapshot_for_year(2020) == cutoff_of_year(2019)
    assert storage.get_snapshot_for_year(2030) == cutoff_of_year(2019)


@pytest.mark.parametrize("kind", ["s3", "memory"])
def test_a_storage_elsewhere_does_what_it_does_on_disk(
    kind: str, snapshot: ModelSnapshot, hub: WatchedHub, request: pytest.FixtureRequest
) -> None:
    root = memory_place() if kind == "memory" else request.getfixturevalue("s3").place()
    storage = bind(root, hub)
    assert (storage.list_snapshots(), storage.list_pending(), storage.list_seeds()) == ([], [], [])
    assert (storage.snapshot_exists(DATE), storage.read_metadata(DATE)) == (False, None)
    for year in (2019, 2017):
        storage.write_snapshot(dated(snapshot, cutoff_of_year(year)))
    assert storage.list_snapshots() == [cutoff_of_year(2017), DATE]
    assert storage.get_snapshot_for_year(2019) == cutoff_of_year(2017)
    assert storage.load_snapshot(DATE).files == dated(snapshot, DATE).files
    metadata = storage.read_metadata(DATE)
    assert metadata is not None
    assert metadata["fingerprint"] == snapshot.metadata["fingerprint"]
    assert storage.sync_all_local_to_hf() == [cutoff_of_year(2017), DATE]
    assert not storage.changed_here(DATE)
    assert bind(root / "elsewhere", hub).sync_all_hf_to_local() == [cutoff_of_year(2017), DATE]
    assert bind(root / "elsewhere", hub).load_snapshot(DATE).files == dated(snapshot, DATE).files
    storage.of_seed(10).write_snapshot(snapshot)
    storage.of_seed(2).write_snapshot(snapshot)
    assert storage.list_seeds() == [2, 10]


@pytest.mark.parametrize("kind", ["s3", "memory"])
def test_main_versions_elsewhere(kind: str, snapshot: ModelSnapshot, request: pytest.FixtureRequest) -> None:
    root = memory_place() if kind == "memory" else request.getfixturevalue("s3").place()
    versions = MainVersions(SnapshotLocalStorage("lstm", root))
    assert (versions.list_versions(), versions.current()) == ([], None)
    names = ["v2019-06-01-0123456789ab", "v2019-12-31-0123456789ab"]
    for name in names:
        versions.write(replace(snapshot, metadata={**snapshot.metadata, "version": name}))
    replace_file(versions.folder / "current", f"{names[1]}\n")
    assert (versions.list_versions(), versions.current()) == (names, names[1])
    with pytest.raises(SnapshotError, match="expected a snapshot, but there is none"):
        versions.load("v2020-06-01-0123456789ab")
    replace_file(versions.folder / "current", "v2020-06-01-0123456789ab\n")
    with pytest.raises(SnapshotError, match="expected the name of a main version that is there"):
        versions.current()


def test_listing_a_bucket_reads_manifests_alone(s3: LoopbackS3, snapshot: ModelSnapshot) -> None:
    storage = SnapshotLocalStorage("lstm", s3.place())
    dates = [cutoff_of_year(year) for year in range(2010, 2020)]
    for date in dates:
        storage.write_snapshot(dated(snapshot, date))
    with s3.counted() as requests:
        assert storage.list_snapshots() == dates
    assert len(requests) == 1 + 10
    with s3.counted() as requests:
        assert storage.read_metadata(DATE) is not None
    assert len(requests) == 1
    with s3.counted() as requests:
        assert storage.load_snapshot(DATE).fingerprint == snapshot.fingerprint
    assert len(requests) == 6


def test_absent_snapshot_is_one_sentence(storage: SnapshotLocalStorage) -> None:
    with pytest.raises(SnapshotError, match="expected a snapshot, but there is none; train it, or pull it"):
        storage.load_snapshot(DATE)


def test_unknown_family_is_one_sentence(tmp_path: Path) -> None:
    with pytest.raises(SnapshotError, match="expected one of lstm, patchtst, ppo, sac, got gru"):
        SnapshotLocalStorage("gru", tmp_path)


def test_folder_of_another_date_or_family_is_refused(storage: SnapshotLocalStorage, snapshot: ModelSnapshot) -> None:
    storage.write_snapshot(snapshot)
    storage.path(DATE).rename(storage.path(cutoff_of_year(2020)))
    with pytest.raises(SnapshotError, match="expected lstm snapshot-2020-12-31, got lstm snapshot-2019-12-31; do"):
        storage.load_snapshot(cutoff_of_year(2020))
    with pytest.raises(SnapshotError, match="expected a snapshot of lstm, got one of ppo"):
        storage.write_snapshot(replace(snapshot, family="ppo"))


def test_model_card_says_what_it_is_and_what_it_is_not(snapshot: ModelSnapshot) -> None:
    for words in ("cut-off 2019-12-31", "All made up.", "predicting 0", "companies that failed", "ModelSnapshot.load"):
        assert words in snapshot.card


def test_names_have_one_spelling() -> None:
    assert snapshot_name(DATE) == "snapshot-2019-12-31"
    assert parse_snapshot_name("snapshot-2019-12-31") == DATE
    for name in (
        "snapshot-2020-02-31",
        "snapshot-19-12-31",
        "snapshot-../../x",
        "v2019-12-31-abc",
        "snapshot-2019-12-31x",
    ):
        assert parse_snapshot_name(name) is None
