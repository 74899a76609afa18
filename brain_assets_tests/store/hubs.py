"""What the tests of stores stand on: storages bound to a Hub of this machine, and what lies in them."""

import datetime
from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path

from pydantic import SecretStr

from brain_assets.store.hub import HubAddress, HubStore
from brain_assets.store.manifest import CARD, CONFIG, MODEL, SCALER, WEIGHTS, build
from brain_assets.store.names import snapshot_name
from brain_assets.store.snapshot import ModelSnapshot
from brain_assets.store.storage import SnapshotLocalStorage
from brain_assets_tests.loopback_hub import READ_TOKEN as READ_TOKEN
from brain_assets_tests.loopback_hub import TOKEN, Files, LoopbackHub

REPO = "user/lstm"
DATE = datetime.date(2019, 12, 31)
BRANCH = "snapshot-2019-12-31"


def made_up(number: int) -> Files:
    """Give the files of a snapshot that no family could load: stores do not look into them."""
    payload = {
        MODEL: b"\0model %d" % number * 50,
        WEIGHTS: b"\0weights %d" % number,
        SCALER: b"\0scaler %d" % number,
        CONFIG: b'{\n  "number": %d\n}\n' % number,
        CARD: b"---\nlicense: other\n---\n\n# Number %d\n" % number,
    }
    return build(payload, {"family": "lstm", "market": "sample", "number": number})


def open_store(hub: LoopbackHub | str, token: str = TOKEN) -> HubStore:
    endpoint = hub if isinstance(hub, str) else hub.endpoint
    return HubStore(HubAddress(REPO, SecretStr(token), endpoint))


def bind(
    root: Path, hub: LoopbackHub | str | None, token: str = TOKEN, family: str = "lstm", market: str | None = None
) -> SnapshotLocalStorage:
    """Give a storage whose copies are on a Hub; None: on none."""
    if hub is None:
        return SnapshotLocalStorage(family, root)
    endpoint = hub if isinstance(hub, str) else hub.endpoint
    address = HubAddress(f"user/{family}", SecretStr(token), endpoint)
    return SnapshotLocalStorage(family, root, address, market)


def fill(storage: SnapshotLocalStorage, contents: Mapping[datetime.date, Files]) -> SnapshotLocalStorage:
    """Write snapshots into a storage, and give it back."""
    for date, files in contents.items():
        storage.store.write(snapshot_name(date), files)
    return storage


def local_files(storage: SnapshotLocalStorage, date: datetime.date = DATE) -> Files:
    """Give what a storage's folder of a snapshot holds, whatever it is."""
    return {path.name: path.read_bytes() for path in storage.path(date).iterdir()}


LEARNED = ("last_session", "last_training_target", "last_validation_target")
"""Keys of a forecaster's metadata["data"] that may not lie after its cut-off."""


def dated(snapshot: ModelSnapshot, cutoff_date: datetime.date) -> ModelSnapshot:
    """Give a snapshot another cut-off, as if what it learned from had ended by then."""
    end = min(cutoff_date, snapshot.cutoff_date).isoformat()
    data = {**snapshot.metadata["data"], **dict.fromkeys(LEARNED, end)}
    return replace(snapshot, cutoff_date=cutoff_date, metadata={**snapshot.metadata, "data": data})


def publish(hub: LoopbackHub, contents: Mapping[datetime.date, Files]) -> None:
    """Put snapshots onto a Hub, as a push would have."""
    for date, files in contents.items():
        hub.put(REPO, snapshot_name(date), files)


def is_one_sentence(text: str, *words: str) -> bool:
    """Tell whether an error is one line that names the repo, says these words, and ends as a sentence does."""
    return "\n" not in text and text.count(". ") == 0 and text.endswith(".") and all(w in text for w in (REPO, *words))
