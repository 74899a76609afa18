"""`brain-assets` on a bucket: what it makes on disk, byte for byte, whatever the store does meanwhile."""

import os
import shutil
import subprocess
import threading
from pathlib import Path

import pytest

from brain_assets.paths import DataPath, filesystem, read_bytes, replace_file
from brain_assets.store.manifest import MANIFEST, PAYLOAD
from brain_assets.store.places import read_files
from brain_assets_tests.backfills import in_own_process, outcomes, states, write_config
from brain_assets_tests.cli.test_sync import REPOS
from brain_assets_tests.conftest import FAMILIES
from brain_assets_tests.graph.worlds import NAMES as ASSETS
from brain_assets_tests.loopback_hub import TOKEN, LoopbackHub
from brain_assets_tests.loopback_s3 import BUCKET, LoopbackS3

pytestmark = pytest.mark.slow

SAMPLE = {"BRAIN_MARKET": "sample", "BRAIN_SYMBOLS": "AAPL,JPM,KO,MSFT,PG,XOM", "BRAIN_LAST_YEAR": "2020"}
URL = f"s3://{BUCKET}/prefix"


class Driver:
    """A user with a machine of his own: his own Dagster instance and cache, on whatever data folder."""

    def __init__(self, folder: Path, data_dir: Path | str) -> None:
        folder.mkdir(exist_ok=True)
        self.data_dir = data_dir
        self.config = str(write_config(folder / "tiny.yaml"))
        self.variables = {**SAMPLE, "DAGSTER_HOME": str(folder / "home")}

    def run(self, *arguments: str, **variables: str) -> subprocess.CompletedProcess[str]:
        return in_own_process(self.data_dir, *arguments, **self.variables, **variables)  # type: ignore[arg-type]

    def backfill(self, years: str, **variables: str) -> subprocess.CompletedProcess[str]:
        return self.run("backfill", years, "--config", self.config, **variables)


@pytest.fixture(scope="module")
def on_disk(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """What one machine makes of 2019 and 2020."""
    folder = tmp_path_factory.mktemp("disk")
    driver = Driver(folder, folder / "data")
    done = driver.backfill("2019-2020")
    assert done.returncode == 0, done.stdout + done.stderr
    return folder / "data"


def artifacts_on_disk(data_dir: Path) -> list[str]:
    """Name every snapshot, and every file that is in none."""
    files = [path.relative_to(data_dir) for path in data_dir.rglob("*") if path.is_file()]
    names = {
        str(path.parent if path.name in (MANIFEST, *PAYLOAD) else path) for path in files if path.parts[0] != "dagster"
    }
    return sorted(names)


def content(place: DataPath) -> object:
    """Give a file, or the files of a snapshot."""
    return read_files(place) if place.name.startswith("snapshot-") else read_bytes(place)


def assert_same_bytes(on_disk: Path, s3: LoopbackS3) -> None:
    names = artifacts_on_disk(on_disk)
    assert sum("snapshot-" in name for name in names) == 2 * len(FAMILIES)
    assert sum(name.endswith(".parquet") for name in names) == 2 * 5
    differing = [name for name in names if content(on_disk / name) != content(s3.place() / name)]
    assert differing == []
    found = [Path(key).relative_to(s3.place().path) for key in filesystem("s3", os.getpid()).find(s3.place().path)]
    assert {str(path.parent if path.name in (MANIFEST, *PAYLOAD) else path) for path in found} == set(names)


def assert_all_done(driver: Driver) -> None:
    seen = driver.run("status", "--config", driver.config)
    assert seen.returncode == 0, seen.stderr
    assert states(seen.stdout) == {(year, asset): "done" for year in (2019, 2020) for asset in ASSETS}


def test_a_bucket_holds_what_a_disk_holds_byte_for_byte(s3: LoopbackS3, on_disk: Path, tmp_path: Path) -> None:
    """Through a store that answers every eleventh request with an error."""
    driver, lock = Driver(tmp_path / "driver", URL), threading.Lock()
    counter = 0

    def now_and_then(request: str) -> int | None:
        nonlocal counter
        with lock:
            counter += 1
            return (500, 503)[counter // 11 % 2] if counter % 11 == 0 else None

    with s3.faulty(now_and_then):
        done = driver.backfill("2019-2020")
    assert done.returncode == 0, done.stdout + done.stderr
    assert_same_bytes(on_disk, s3)
    assert_all_done(driver)
    with s3.counted() as requests:
        again = driver.backfill("2019-2020")
    assert set(outcomes(again.stdout).values()) == {"done already, skipped"}
    assert not any(request.startswith(("PUT", "DELETE")) for request in requests)
    with s3.counted() as requests:
        report = driver.run("report")
    assert f"{URL}/reports/sample-2019-2020.html" in report.stdout
    assert read_bytes(s3.place() / "reports" / "sample-2019-2020.html").startswith(b"<!doctype html>")
    assert driver.run("allocate", "--date", "2020-06-01").returncode == 0


def test_a_folder_copied_up_from_a_disk_is_gone_on_with_and_goes_to_the_hub(
    s3: LoopbackS3, on_disk: Path, tmp_path: Path
) -> None:
    """Copied by another tool, file by file; Dagster's records stay on this machine."""
    for path in on_disk.rglob("*"):
        if path.is_file():
            replace_file(s3.place() / path.relative_to(on_disk).as_posix(), path.read_bytes())
    driver = Driver(tmp_path / "driver", URL)
    shutil.copytree(on_disk.parent / "home", tmp_path / "driver" / "home")
    assert_all_done(driver)
    count = 2 * len(FAMILIES)
    with LoopbackHub() as hub:
        hub_variables = {"STORAGE_BACKEND": "hf", "HF_TOKEN": TOKEN, "HF_ENDPOINT": hub.endpoint, **REPOS}
        variables = driver.variables | hub_variables
        pushed = in_own_process(URL, "sync", "push", **variables)  # type: ignore[arg-type]
        assert f"{count} pushed" in pushed.stdout, pushed.stdout + pushed.stderr
        assert f"nothing to push; {count} equal" in in_own_process(URL, "sync", "push", **variables).stdout  # type: ignore[arg-type]
        variables["DAGSTER_HOME"] = str(tmp_path / "other-home")
        other = f"{URL}-of-another"
        pulled = in_own_process(other, "sync", "pull", **variables)  # type: ignore[arg-type]
        assert f"{count} pulled" in pulled.stdout, pulled.stdout + pulled.stderr
        adopted = in_own_process(other, "adopt", **variables)  # type: ignore[arg-type]
        assert f"{count} adopted" in adopted.stdout, adopted.stdout + adopted.stderr
    for family in FAMILIES:
        for year in (2019, 2020):
            name = f"models/{family}/snapshot-{year}-12-31"
            assert read_files(s3.place("prefix-of-another") / name) == read_files(on_disk / name)
