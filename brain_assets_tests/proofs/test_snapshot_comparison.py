from brain_assets.proofs.snapshot_comparison import SNAPSHOT_FILES
from brain_assets.store.manifest import MANIFEST, PAYLOAD


def test_every_file_of_a_snapshot_is_compared() -> None:
    assert set(SNAPSHOT_FILES) == {*PAYLOAD, MANIFEST}
