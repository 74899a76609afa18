import sqlite3
import subprocess
import sys
from contextlib import nullcontext
from pathlib import Path

import dagster as dg
import pytest
import sqlalchemy.exc

from brain_assets.errors import StorageError
from brain_assets.graph.instance import dagster_home, open_instance, patiently
from brain_assets.settings import read_settings
from brain_assets_tests.backfills import environment


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


@pytest.mark.parametrize("file", ["schedules/schedules.db", "history/runs.db", "history/runs/index.db"])
def test_a_record_that_is_broken_is_one_sentence(file: str, tmp_path: Path) -> None:
    home = dagster_home(read_settings(data_dir=str(tmp_path)))
    with open_instance(home):
        pass
    (home / file).write_text("no database of SQLite's\n")
    sentence = f"^{home}: expected Dagster's record, got: file is not a database; restore it, or move it away: "
    with pytest.raises(StorageError, match=sentence), open_instance(home) as instance:
        instance.all_asset_keys()


@pytest.mark.parametrize(
    ("damage", "said"),
    [
        (("'{'", "'['"), None),
        (('\'{"__class__": "EventLogEntry"\'', '\'{"__class__": "EventLogEntrz"\''), "which is not in the whitelist."),
        (("'EventLogEntry'", "cast(x'ff' as text)"), "Could not decode to UTF-8 column 'event'"),
    ],
)
def test_an_event_that_is_damaged_is_one_sentence(
    damage: tuple[str, str], said: str | None, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    home, key = dagster_home(read_settings(data_dir=str(tmp_path))), dg.AssetKey("x")
    with open_instance(home) as instance:
        for _ in range(3):
            instance.report_runless_asset_event(dg.AssetMaterialization("x"))
    with sqlite3.connect(home / "history/runs/index.db") as database:
        database.execute(f"UPDATE event_logs SET event = replace(event, {damage[0]}, {damage[1]})")
    words = f"^{home}: expected Dagster's record, got: .*{said}; restore it, or move it away: "
    with pytest.raises(StorageError, match=words) if said else nullcontext(), open_instance(home) as instance:
        assert not instance.fetch_materializations(key, limit=3).records
    if not said:
        sentence = f"{home}: some events of Dagster's record are damaged: what they tell of counts as missing."
        assert {record.getMessage() for record in caplog.records} == {sentence}


def test_waiting_for_a_database_that_is_away_ends_when_it_is_asked_to() -> None:
    asked = iter([False, True])

    def stop_if_asked() -> None:
        if next(asked):
            raise KeyboardInterrupt

    def away() -> None:
        raise sqlalchemy.exc.OperationalError("SELECT 1", {}, ConnectionError("no server"))

    with pytest.raises(KeyboardInterrupt):
        patiently(away, stop_if_asked)


@pytest.mark.slow
def test_processes_that_open_a_new_instance_at_once_make_one(tmp_path: Path) -> None:
    """Each finds no tables, and would make them: SQLite was left with two heads, and could not be opened again."""
    imports = "from brain_assets.graph.build import open_session; from brain_assets.settings import read_settings"
    code = f"{imports}\nwith open_session(read_settings()): pass"
    processes = [
        subprocess.Popen([sys.executable, "-c", code], env=environment(tmp_path), stderr=subprocess.PIPE)
        for _ in range(4)
    ]
    assert [process.communicate()[1].decode() for process in processes] == [""] * 4
    assert [process.returncode for process in processes] == [0] * 4
