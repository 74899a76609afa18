import hashlib
import json
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from brain_assets.errors import DamagedSnapshotError
from brain_assets.store.manifest import CONFIG, FILES, MANIFEST, PAYLOAD, build, parse, parse_json, verify

CONTENT = {name: f"{name} é".encode() * 20 for name in PAYLOAD}
METADATA: dict[str, Any] = {"family": "lstm", "n_threads": 1, "training": {"curve": [{"epoch": 0, "train": 0.1}]}}


def signed(**changes: Any) -> bytes:
    """A manifest with other values, and the right hash over itself."""
    values = {**json.loads(build(CONTENT, METADATA)[MANIFEST]), **changes}
    del values["manifest"]
    own = hashlib.sha256(json.dumps(values, sort_keys=True).encode()).hexdigest()
    return (json.dumps({**values, "manifest": own}, indent=2, sort_keys=True) + "\n").encode()


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
def test_absent_short_long_and_further_files_are_named(name: str) -> None:
    files = build(CONTENT, METADATA)
    for other in (files[name][:-1], files[name] + b"\n", b""):
        with pytest.raises(DamagedSnapshotError, match=f"^{name}: "):
            verify({**files, name: other})
    with pytest.raises(DamagedSnapshotError, match=r"'\.\./x': expected no files but .*, got one more"):
        verify({**files, "../x": b""})
    del files[name]
    with pytest.raises(DamagedSnapshotError, match=f"^{name}: expected a file, got none;"):
        verify(files)


def test_what_a_manifest_states_may_be_anything() -> None:
    for key in ("files", "sizes"):
        for stated in (None, [], {}, {"a": 1}):
            with pytest.raises(DamagedSnapshotError, match=rf"metadata.json: expected model.safetensors, .* {key}"):
                parse(signed(**{key: stated}))
    listed = json.loads(build(CONTENT, METADATA)[MANIFEST])["files"]
    for stated in (None, "x", [], -1):
        with pytest.raises(DamagedSnapshotError, match=r"^config.json: expected"):
            verify({**CONTENT, MANIFEST: signed(files={**listed, CONFIG: stated})})


HOSTILE = (b"", b"\xff", b"[]\n", b"[" * 100_000, b'{\n  "a": NaN\n}\n', b'{\n  "a": 1e400\n}\n', b'{"a": 1}')
HOSTILE += (b'{\n  "a": 1' + b"0" * 5000 + b"\n}\n", b'{\n  "a": 1,\n  "a": 2\n}\n', b" " * (4 * 2**20 + 1))


def test_hostile_json_is_refused_in_one_sentence() -> None:
    for data in HOSTILE:
        for read in (parse, lambda data: parse_json(MANIFEST, data)):
            with pytest.raises(DamagedSnapshotError, match=r"^metadata.json: expected [^\n]{1,200}$"):
                read(data)


@given(st.binary(max_size=200))
def test_any_bytes_are_read_or_refused(data: bytes) -> None:
    with pytest.raises(DamagedSnapshotError):
        parse(data)
