import datetime
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from brain_assets.errors import SnapshotError
from brain_assets.forecasting.lstm import LstmConfig
from brain_assets.forecasting.training import train_snapshot
from brain_assets.market.calendar import complete_weeks
from brain_assets.market.prices import PricePanel
from brain_assets.store.manifest import PAYLOAD
from brain_assets.store.names import cutoff_of_year, parse_snapshot_name, snapshot_name
from brain_assets.store.snapshot import ModelSnapshot
from brain_assets.store.storage import SnapshotLocalStorage
from brain_assets_tests.conftest import MADE_UP

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


def test_absent_snapshot_is_one_sentence(storage: SnapshotLocalStorage) -> None:
    with pytest.raises(SnapshotError, match="expected a snapshot, but there is none; materialize lstm for 2019"):
        storage.load_snapshot(DATE)


def test_unknown_family_is_one_sentence(tmp_path: Path) -> None:
    with pytest.raises(SnapshotError, match="expected one of lstm, patchtst, ppo, sac, got gru"):
        SnapshotLocalStorage("gru", tmp_path)


def test_folder_of_another_date_or_family_is_refused(storage: SnapshotLocalStorage, snapshot: ModelSnapshot) -> None:
    storage.write_snapshot(snapshot)
    storage.path(DATE).rename(storage.path(cutoff_of_year(2020)))
    with pytest.raises(SnapshotError, match="expected family lstm and cut-off 2020-12-31, got lstm and 2019-12-31"):
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
