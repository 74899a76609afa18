import sqlite3
from pathlib import Path

import dagster as dg
import pytest
import sqlalchemy.exc

from brain_assets.errors import StorageError
from brain_assets.graph.instance import dagster_home, open_instance, patiently
from brain_assets.settings import read_settings


@pytest.mark.parametrize(
    ("data_dir", "home"),
    [
        ("elsewhere", "elsewhere/dagster"),
        ("s3://bucket/prefix", "data/dagster-s3-bucket-prefix"),
        ("s3://bucket/a/b_c/", "data/dagster-s3-bucket-a-b-c"),
        ("memory://x", "data/dagster-memory-x"),
    ],
)
def test_dagsters_records_lie_on_this_machine(
    data_dir: str, home: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("BRAIN_DATA_DIR", data_dir)
    assert dagster_home(read_settings()) == tmp_path / home
    assert (tmp_path / home / "dagster.yaml").is_file()
    monkeypatch.setenv("DAGSTER_HOME", str(tmp_path / "own"))
    assert dagster_home(read_settings()) == tmp_path / "own"


def open_damaged(home: Path) -> None:
    with open_instance(home) as instance:
        instance.fetch_materializations(dg.AssetKey("x"), limit=3)


WORDS = "^{}: expected Dagster's record, got: .*{}; start its server, or correct dagster.yaml; if it is broken, "


@pytest.mark.parametrize("file", ["schedules/schedules.db", "history/runs.db", "history/runs/index.db"])
def test_a_record_that_is_broken_is_one_sentence(file: str, tmp_path: Path) -> None:
    home = dagster_home(read_settings(data_dir=str(tmp_path)))
    with open_instance(home):
        pass
    (home / file).write_text("no database of SQLite's\n")
    with pytest.raises(StorageError, match=WORDS.format(home, "file is not a database")):
        open_damaged(home)


@pytest.mark.parametrize(
    ("damage", "said"),
    [
        (('\'{"__class__": "EventLogEntry"\'', '\'{"__class__": "EventLogEntrz"\''), "which is not in the whitelist."),
        (("'EventLogEntry'", "cast(x'ff' as text)"), "Could not decode to UTF-8 column 'event'"),
    ],
)
def test_an_event_that_is_damaged_is_one_sentence(damage: tuple[str, str], said: str, tmp_path: Path) -> None:
    home = dagster_home(read_settings(data_dir=str(tmp_path)))
    with open_instance(home) as instance:
        instance.report_runless_asset_event(dg.AssetMaterialization("x"))
    with sqlite3.connect(home / "history/runs/index.db") as database:
        database.execute(f"UPDATE event_logs SET event = replace(event, {damage[0]}, {damage[1]})")
    with pytest.raises(StorageError, match=WORDS.format(home, said)):
        open_damaged(home)


def test_waiting_for_a_database_that_is_away_ends_when_it_is_asked_to() -> None:
    asked = iter([False, True])

    def stop_if_asked() -> None:
        if next(asked):
            raise KeyboardInterrupt

    def away() -> None:
        raise sqlalchemy.exc.OperationalError("SELECT 1", {}, ConnectionError("no server"))

    with pytest.raises(KeyboardInterrupt):
        patiently(away, stop_if_asked)
