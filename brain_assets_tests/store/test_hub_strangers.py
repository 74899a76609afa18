"""What a repo of somebody else's may hold, and how it is refused: in one sentence, before any of it runs."""

import json
import pickle
import traceback
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
from brain_assets.store.folder import MANIFEST, PAYLOAD, write_folder

from brain_assets.errors import HubError, RefusedSnapshotError, SnapshotError
from brain_assets.market.calendar import complete_weeks
from brain_assets.market.prices import PricePanel
from brain_assets.store import admission
from brain_assets.store.names import cutoff_of_year
from brain_assets.store.snapshot import ModelSnapshot
from brain_assets.store.storage import SnapshotLocalStorage
from brain_assets_tests.loopback_hub import Symlink
from brain_assets_tests.store.hubs import BRANCH, DATE, REPO, TOKEN, Files, WatchedHub, publish
from brain_assets_tests.store.test_storage import Ran


def remade(files: Files, folder: Path, payload: Files) -> Files:
    """Give the files with other content, and a manifest that matches it."""
    write_folder(folder, {**{name: files[name] for name in PAYLOAD}, **payload}, json.loads(files[MANIFEST]))
    return {path.name: path.read_bytes() for path in folder.iterdir()}


def refusal(hub: WatchedHub, empty: SnapshotLocalStorage, files: Files) -> str:
    """Put files on the branch, pull it, and give the sentence; nothing may have been written."""
    hub.add_repo(REPO)
    hub.put(REPO, BRANCH, files, "a present")
    with pytest.raises(RefusedSnapshotError) as caught:
        empty.download_snapshot_from_hf(DATE)
    sentence = str(caught.value)
    assert sentence.startswith(f"{REPO}@{BRANCH}")
    assert "\n" not in sentence
    assert not empty.path(DATE).exists()
    assert empty.list_snapshots() == []
    assert not empty.ensure_snapshot_available(DATE)
    assert empty.sync_all_hf_to_local() == []
    return sentence


@pytest.mark.parametrize(
    "name",
    [
        "../x",
        "../../etc/passwd",
        "/etc/passwd",
        "a\\b",
        "..\\x",
        "extra.py",
        "folder/weights.pt",
        "weights.pt.exe",
        ".",
    ],
)
def test_file_of_any_other_name_is_refused_before_anything_is_read(
    hub: WatchedHub, empty: SnapshotLocalStorage, files: Files, name: str
) -> None:
    sentence = refusal(hub, empty, {**files, name: b"!"})
    assert f"got one named {name!r}" in sentence
    assert not hub.asked("/resolve/")


@pytest.mark.parametrize("name", [*PAYLOAD, MANIFEST])
def test_absent_file_is_refused(hub: WatchedHub, empty: SnapshotLocalStorage, files: Files, name: str) -> None:
    sentence = refusal(hub, empty, {path: data for path, data in files.items() if path != name})
    assert f"expected a file {name}, got none" in sentence


def test_links_are_refused(hub: WatchedHub, empty: SnapshotLocalStorage, files: Files) -> None:
    sentence = refusal(hub, empty, {**files, "weights.pt": Symlink(b"/etc/passwd")})
    assert "expected a file weights.pt, got a link" in sentence
    hub.put(REPO, BRANCH, {**files, "elsewhere": Symlink(b"/etc")}, "another")
    with pytest.raises(RefusedSnapshotError, match="got one named 'elsewhere'"):
        empty.download_snapshot_from_hf(DATE)
    assert not hub.asked("/resolve/")


def test_housekeeping_of_the_hub_is_no_reason_to_refuse(
    hub: WatchedHub, empty: SnapshotLocalStorage, files: Files
) -> None:
    hub.add_repo(REPO)
    hub.put(REPO, BRANCH, {**files, ".gitattributes": b"*.pt filter=lfs"}, "as the Hub makes them")
    empty.download_snapshot_from_hf(DATE)
    assert empty.list_snapshots() == [DATE]
    assert sorted(path.name for path in empty.path(DATE).iterdir()) == sorted([*PAYLOAD, MANIFEST])


@pytest.mark.parametrize(("name", "claim"), [("weights.pt", 10**12), (MANIFEST, 10**9), ("README.md", 10**10)])
def test_huge_files_are_refused_before_they_are_read(
    hub: WatchedHub, empty: SnapshotLocalStorage, files: Files, name: str, claim: int
) -> None:
    publish(hub, {DATE: files})
    hub.claim_size(REPO, BRANCH, name, claim)
    with pytest.raises(RefusedSnapshotError, match=rf"expected at most [\d,]+ bytes in {name}, got {claim:,}"):
        empty.download_snapshot_from_hf(DATE)
    assert not hub.asked("/resolve/")


def test_file_larger_than_its_manifest_says_is_refused_before_it_is_read(
    hub: WatchedHub, empty: SnapshotLocalStorage, files: Files
) -> None:
    publish(hub, {DATE: files})
    hub.claim_size(REPO, BRANCH, "weights.pt", 10**8)
    with pytest.raises(RefusedSnapshotError, match=r"bytes of weights\.pt that metadata\.json states, got 100,000,000"):
        empty.download_snapshot_from_hf(DATE)
    assert hub.asked("/resolve/") == 1  # the manifest


def test_manifest_over_the_limit_is_not_read(
    hub: WatchedHub, empty: SnapshotLocalStorage, files: Files, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(admission, "LARGEST_MANIFEST", 100)
    publish(hub, {DATE: files})
    with pytest.raises(RefusedSnapshotError, match=r"expected at most 100 bytes in metadata\.json, got 2,"):
        empty.repo.read_manifest(DATE, hub.branches(REPO)[BRANCH])
    assert not hub.asked("/resolve/")


def _manifest(files: Files, change: Callable[[dict], object]) -> bytes:
    manifest = json.loads(files[MANIFEST])
    change(manifest)
    return json.dumps(manifest).encode()


@pytest.mark.parametrize(
    ("change", "words"),
    [
        (lambda m: m.update(family="patchtst"), "expected family lstm in metadata.json, got 'patchtst'"),
        (lambda m: m.update(family="ppo"), "expected family lstm in metadata.json, got 'ppo'"),
        (lambda m: m.update(cutoff_date="2030-12-31"), "expected cutoff_date 2019-12-31 in metadata.json"),
        (lambda m: m.pop("fingerprint"), "metadata.json: expected fingerprint, got nothing"),
        (lambda m: m["fingerprint"].pop("config"), "metadata.json: expected fingerprint.config, got nothing"),
        (lambda m: m["fingerprint"].update(value="x" * 64), "fingerprint.value to be 64 hexadecimal digits"),
        (lambda m: m["data"].update(last_training_target="2022-12-30"), "on or before the cut-off 2019-12-31"),
        (lambda m: m["data"].update(last_session="2020-01-02"), "on or before the cut-off 2019-12-31"),
        (lambda m: m.pop("files"), "metadata.json does not list"),
        (lambda m: m["files"].update({"../x": "0" * 64}), "metadata.json does not list"),
        (lambda m: m["files"].update({"README.md": "0" * 64}), "README.md does not match the SHA-256"),
        (lambda m: m.pop("sizes"), "that metadata.json states"),
        (lambda m: m["sizes"].update({"weights.pt": 10**12}), "bytes of weights.pt that metadata.json states"),
        (lambda m: m["training"].update(curve="long"), "metadata.json"),
    ],
)
def test_manifest_that_does_not_fit_is_refused(
    hub: WatchedHub, empty: SnapshotLocalStorage, files: Files, change: Callable[[dict], object], words: str
) -> None:
    assert words in refusal(hub, empty, {**files, MANIFEST: _manifest(files, change)})


@pytest.mark.parametrize("data", [b"", b"{", b"[]", b"\xff\xfe", b"[" * 100_000, b"1" * 5000])
def test_manifest_that_is_none_is_refused(
    hub: WatchedHub, empty: SnapshotLocalStorage, files: Files, data: bytes
) -> None:
    assert MANIFEST in refusal(hub, empty, {**files, MANIFEST: data})


@pytest.mark.parametrize(
    ("key", "value", "words"),
    [
        ("surprise", 1, "surprise"),
        ("hidden_size", 10**9, "hidden_size"),
        ("window", 10**7, "window"),
        ("hidden_size", "4", "hidden_size"),
        ("hidden_size", 8, "weights.pt"),
    ],
)
def test_configuration_that_does_not_fit_is_refused(
    hub: WatchedHub, empty: SnapshotLocalStorage, files: Files, tmp_path: Path, key: str, value: object, words: str
) -> None:
    config = json.dumps({**json.loads(files["config.json"]), key: value}).encode()
    assert words in refusal(hub, empty, remade(files, tmp_path / "made", {"config.json": config}))


def test_pickles_that_would_run_code_are_refused_and_do_not_run(
    hub: WatchedHub, empty: SnapshotLocalStorage, files: Files, tmp_path: Path
) -> None:
    marker = tmp_path / "was-here"
    poisoned = remade(files, tmp_path / "made", {"feature_scaler.pkl": pickle.dumps(Ran(marker))})
    sentence = refusal(hub, empty, poisoned)
    assert f"{REPO}@{BRANCH}/feature_scaler.pkl" in sentence
    assert not marker.exists()
    pickle.loads(poisoned["feature_scaler.pkl"])  # what a careless reader would have done
    assert marker.exists()


def test_snapshot_is_read_from_the_hub_into_a_notebook(
    hub: WatchedHub, files: Files, trained: ModelSnapshot, panel: PricePanel, monkeypatch: pytest.MonkeyPatch
) -> None:
    from huggingface_hub import constants

    publish(hub, {DATE: files})
    monkeypatch.setattr(constants, "ENDPOINT", hub.endpoint)  # HF_ENDPOINT is read once
    snapshot = ModelSnapshot.from_hub(REPO, revision=BRANCH)
    weeks = complete_weeks(panel.sessions)
    weeks = weeks.select(weeks.year == 2021)
    np.testing.assert_array_equal(snapshot.forecast(panel, weeks), trained.forecast(panel, weeks))
    assert (snapshot.family, snapshot.cutoff_date) == ("lstm", DATE)
    for repo in ("a/b/c", "https://hub/user/lstm", "lstm"):
        with pytest.raises(HubError, match="expected a model repo of the Hub, user/name, got"):
            ModelSnapshot.from_hub(repo, revision=BRANCH)
    with pytest.raises(HubError, match="user/none: expected a model repo that HF_TOKEN lets us read, got none"):
        ModelSnapshot.from_hub("user/none", revision=BRANCH)
    with pytest.raises(HubError, match="printable ASCII") as caught:
        ModelSnapshot.from_hub(REPO, revision=BRANCH, token=f"{TOKEN}\n")
    assert TOKEN not in "".join(traceback.format_exception(caught.value))
    with pytest.raises(SnapshotError, match=r"expected a branch such as snapshot-2020-12-31, .*, got 'latest'"):
        ModelSnapshot.from_hub(REPO, revision="latest")
    with pytest.raises(SnapshotError, match=r"user/lstm@snapshot-2001-12-31: expected a snapshot on the Hub"):
        ModelSnapshot.from_hub(REPO, revision="snapshot-2001-12-31")
    hub.put(REPO, BRANCH, {**files, "extra": b"!"}, "a present")
    with pytest.raises(RefusedSnapshotError, match="got one named 'extra'"):
        ModelSnapshot.from_hub(REPO, revision=BRANCH)


def test_snapshot_of_another_date_under_this_name_is_refused(
    hub: WatchedHub, empty: SnapshotLocalStorage, files: Files
) -> None:
    later = cutoff_of_year(2030)
    publish(hub, {later: files})
    with pytest.raises(RefusedSnapshotError, match=r"snapshot-2030-12-31: expected cutoff_date 2030-12-31"):
        empty.download_snapshot_from_hf(later)
