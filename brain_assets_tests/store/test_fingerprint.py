import numpy as np

from brain_assets.store.fingerprint import hash_arrays


def test_equal_bytes_of_another_name_shape_or_type_are_other_data() -> None:
    values = np.arange(6.0)
    others = [(values.reshape(2, 3),), (values.reshape(3, 2),), (values.view(np.int64),), (values[:2], values[2:])]
    hashes = [hash_arrays(["a"], values), hash_arrays(["b"], values), *(hash_arrays(["a"], *other) for other in others)]
    assert len(set(hashes)) == len(hashes)
    assert hash_arrays(["a"], values.copy()) == hashes[0]
