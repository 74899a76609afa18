from pathlib import Path

import pytest

from brain_assets.graph.instance import dagster_home
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
