import hashlib
import json
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from brain_assets.errors import DamagedSnapshotError, SnapshotError
from brain_assets.store.checks import check_identity
from brain_assets.store.manifest import (
    CONFIG,
    FILES,
    MANIFEST,
    PAYLOAD,
    build,
    check_listing,
    parse,
    parse_json,
    verify,
)

CONTENT = {name: f"{name} é".encode() * 20 for name in PAYLOAD}
METADATA: dict[str, Any] = {
    "family": "lstm",
    "cutoff_date": "2019-12-31",
    "fingerprint": {"value": "a" * 64, "config": "b" * 64},
    "market": "made up",
    "caveat": "none",
    "n_threads": 1,
    "training": {"curve": [{"epoch": 0, "train": 0.1}]},
}


def canonical(values: dict[str, Any]) -> bytes:
    return (json.dumps(values, indent=2, sort_keys=True) + "\n").encode()


def signed(**changes: Any) -> bytes:
    """A manifest with other values, and the right hash over itself."""
    values = {**json.loads(build(CONTENT, METADATA)[MANIFEST]), **changes}
    del values["manifest"]
    own = hashlib.sha256(json.dumps(values, sort_keys=True).encode()).hexdigest()
    return canonical({**values, "manifest": own})


def test_a_manifest_states_hash_and_size_of_every_file_and_the_hash_of_itself() -> None:
    files = build(CONTENT, METADATA)
    assert list(files) == list(FILES)
    values = json.loads(files[MANIFEST])
    own = values.pop("manifest")
    assert own == hashlib.sha256(json.dumps(values, sort_keys=True).encode()).hexdigest()
    assert values.pop("files") == {name: hashlib.sha256(data).hexdigest() for name, data in CONTENT.items()}
    assert values.pop("sizes") == {name: len(data) for name, data in CONTENT.items()}
    assert values == METADATA
    assert verify(files) == json.loads(files[MANIFEST])
    assert build(CONTENT, verify(files)) == files  # what came of a manifest may go into one


@pytest.mark.parametrize("name", FILES)
def test_absent_short_long_and_huge_files_are_named(name: str, monkeypatch: pytest.MonkeyPatch) -> None:
    files = build(CONTENT, METADATA)
    for other in (files[name][:-1], files[name] + b"\n", b""):
        with pytest.raises(DamagedSnapshotError, match=f"^{name}: "):
            verify({**files, name: other})
    sizes = {each: len(data) for each, data in files.items()}
    with pytest.raises(DamagedSnapshotError, match=f"^{name}: expected at most [0-9,]+ bytes, got 1,000,000,000;"):
        check_listing({**sizes, name: 10**9})
    del files[name]
    with pytest.raises(DamagedSnapshotError, match=f"^{name}: expected a file, got none;"):
        verify(files)


def test_a_file_more_is_refused() -> None:
    with pytest.raises(DamagedSnapshotError, match=r"'\.\./x': expected no files but .*, got one more"):
        verify({**build(CONTENT, METADATA), "../x": b""})


@pytest.mark.parametrize("key", ["files", "sizes"])
def test_what_a_manifest_states_may_be_anything(key: str) -> None:
    listed = json.loads(build(CONTENT, METADATA)[MANIFEST])[key]
    for stated in (None, [], {}, {"a": 1}, 3):
        with pytest.raises(DamagedSnapshotError, match=rf"metadata.json: expected model.safetensors, .* under {key}"):
            parse(signed(**{key: stated}))
    for stated in (None, "x", [], 1.5, -1) if key == "files" else ():
        with pytest.raises(DamagedSnapshotError, match=r"^config.json: expected"):
            verify({**CONTENT, MANIFEST: signed(**{key: {**listed, CONFIG: stated}})})


HOSTILE = {
    "empty": b"",
    "not UTF-8": b"\xff",
    "a list": b"[]\n",
    "deep": b"[" * 100_000,
    "NaN": b'{\n  "a": NaN\n}\n',
    "beyond floats": b'{\n  "a": 1e400\n}\n',
    "5,000 digits": b'{\n  "a": 1' + b"0" * 5000 + b"\n}\n",
    "a key twice": b'{\n  "a": 1,\n  "a": 2\n}\n',
    "other spacing": b'{"a": 1}',
    "huge": b" " * (4 * 2**20 + 1),
}


@pytest.mark.parametrize("data", HOSTILE.values(), ids=HOSTILE)
def test_hostile_json_is_refused_in_one_sentence(data: bytes) -> None:
    for read in (parse, lambda data: parse_json(MANIFEST, data)):
        with pytest.raises(DamagedSnapshotError, match=r"^metadata.json: expected [^\n]{1,200}$"):
            read(data)


@given(st.binary(max_size=200))
def test_any_bytes_are_read_or_refused(data: bytes) -> None:
    with pytest.raises(DamagedSnapshotError):
        parse(data)


@pytest.mark.parametrize(
    ("wanted", "words"),
    [
        (("snapshot-2019-12-31", "sac"), "expected family sac, got 'lstm'"),
        (("snapshot-2020-12-31",), "expected cutoff_date 2020-12-31, got '2019-12-31'"),
        (("v2020-12-31-0123456789ab",), "expected cutoff_date 2020-12-31, got '2019-12-31'"),
        (("v2019-12-31-0123456789ab",), "expected version v2019-12-31-0123456789ab, got None"),
        (("main", "lstm", "live"), "expected market live, got 'made up'"),
    ],
)
def test_a_manifest_must_be_of_the_name_the_family_and_the_market(wanted: tuple[str, ...], words: str) -> None:
    manifest = parse(build(CONTENT, METADATA)[MANIFEST])
    for right in ((), ("main",), ("snapshot-2019-12-31", "lstm", "made up")):
        check_identity(manifest, *right)
    with pytest.raises(SnapshotError, match=f"^metadata.json: {words}"):
        check_identity(manifest, *wanted)
