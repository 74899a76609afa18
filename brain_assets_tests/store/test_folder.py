import json
import os
from pathlib import Path

import pytest

from brain_assets.errors import SnapshotError
from brain_assets.store.folder import MANIFEST, PAYLOAD, read_folder, settle, verify, write_folder

FILES = {name: name.encode() * 3 for name in PAYLOAD}
DEAD = 2**22 + 1
"""A process id that cannot exist: above the kernel's largest."""


def names(folder: Path) -> list[str]:
    return sorted(entry.name for entry in folder.iterdir())


def test_written_folder_verifies_and_reads_back(tmp_path: Path) -> None:
    write_folder(tmp_path / "snapshot-2019-12-31", FILES, {"a": 1})
    assert verify(tmp_path / "snapshot-2019-12-31") is None
    payload, metadata = read_folder(tmp_path / "snapshot-2019-12-31")
    assert payload == FILES
    assert metadata["a"] == 1
    assert names(tmp_path) == ["snapshot-2019-12-31"]  # no temporary is left


@pytest.mark.parametrize("name", PAYLOAD)
def test_changed_or_absent_file_is_no_snapshot(tmp_path: Path, name: str) -> None:
    folder = tmp_path / "snapshot-2019-12-31"
    write_folder(folder, FILES, {})
    (folder / name).write_bytes(b"other")
    assert verify(folder) == f"{name} does not match the SHA-256 in {MANIFEST}"
    (folder / name).unlink()
    assert verify(folder) == f"{name} is absent"
    with pytest.raises(SnapshotError, match=f"expected a complete snapshot, but {name} is absent; train it again"):
        read_folder(folder)


@pytest.mark.parametrize(
    ("manifest", "problem"),
    [
        (None, "is absent"),
        ("", "cannot be read"),
        ("[]", "does not list"),
        ('{"files": {}}', "does not list"),
        ('{"files": {"weights.pt": "x"}}', "does not list"),
    ],
)
def test_folder_without_a_whole_manifest_is_no_snapshot(tmp_path: Path, manifest: str | None, problem: str) -> None:
    folder = tmp_path / "snapshot-2019-12-31"
    write_folder(folder, FILES, {})
    (folder / MANIFEST).unlink()
    if manifest is not None:
        (folder / MANIFEST).write_text(manifest)
    assert problem in str(verify(folder))


def test_empty_folder_is_no_snapshot(tmp_path: Path) -> None:
    assert verify(tmp_path) == f"{MANIFEST} is absent"


def test_replacing_leaves_the_new_one_alone(tmp_path: Path) -> None:
    folder = tmp_path / "snapshot-2019-12-31"
    write_folder(folder, FILES, {"round": 1})
    write_folder(folder, FILES, {"round": 2})
    assert json.loads((folder / MANIFEST).read_text())["round"] == 2
    assert names(tmp_path) == ["snapshot-2019-12-31"]


def test_failed_write_leaves_the_old_one_and_no_temporary(tmp_path: Path) -> None:
    folder = tmp_path / "snapshot-2019-12-31"
    write_folder(folder, FILES, {"round": 1})
    with pytest.raises(TypeError):
        write_folder(folder, FILES, {"round": object()})  # not JSON: fails when the manifest is written, the last file
    assert json.loads((folder / MANIFEST).read_text())["round"] == 1
    assert names(tmp_path) == ["snapshot-2019-12-31"]


def test_replacement_that_died_between_its_renames_is_put_back(tmp_path: Path) -> None:
    folder = tmp_path / "snapshot-2019-12-31"
    write_folder(folder, FILES, {})
    folder.rename(tmp_path / f".old-{DEAD}-0123abcd-snapshot-2019-12-31")
    (tmp_path / f".new-{DEAD}-0123abcd-snapshot-2019-12-31").mkdir()
    settle(tmp_path)
    assert names(tmp_path) == ["snapshot-2019-12-31"]
    assert verify(folder) is None


def test_temporary_folders_of_running_processes_are_left_alone(tmp_path: Path) -> None:
    mine = f".new-{os.getpid()}-0123abcd-snapshot-2019-12-31"
    (tmp_path / mine).mkdir()
    (tmp_path / f".old-{DEAD}-0123abcd-snapshot-2018-12-31").mkdir()  # does not verify: half removed already
    settle(tmp_path)
    assert names(tmp_path) == [mine]
