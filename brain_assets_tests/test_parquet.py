"""Tables as Parquet: what is written comes back, and any flipped bit is noticed and named."""

import json
import random
from io import BytesIO

import numpy as np
import pandas as pd
import pytest

from brain_assets.errors import DamagedTableError
from brain_assets.parquet import decode_table, encode_table


def tables() -> list[pd.DataFrame]:
    """With and without rows and attributes; numbers, days, texts, and what is not known."""
    rows = pd.DataFrame(
        {
            "date": np.arange("2019-01-01", "2019-07-20", dtype="datetime64[D]").astype("datetime64[us]"),
            "symbol": pd.Series(["AAA", None] * 100, dtype="str"),
            "close": np.random.default_rng(0).normal(size=200),
            "n_articles": np.arange(200),
        }
    )
    with_attributes = rows.copy()
    with_attributes.attrs = {"previous_bars": {"AAA": ["2018-12-31", 26.0 + 1e-13, 4000.0]}}
    return [rows, with_attributes, rows.iloc[:0]]


@pytest.mark.parametrize("frame", tables(), ids=["rows", "attributes", "empty"])
def test_a_table_comes_back_bit_for_bit_with_its_attributes(frame: pd.DataFrame) -> None:
    before = dict(frame.attrs)
    data = encode_table(frame)
    back = decode_table(data, "here")
    pd.testing.assert_frame_equal(back, frame, check_exact=True)
    assert back.attrs == frame.attrs == before
    assert encode_table(back) == data
    pd.testing.assert_frame_equal(pd.read_parquet(BytesIO(data)), frame, check_exact=True)  # any reader can


@pytest.mark.parametrize("frame", tables(), ids=["rows", "attributes", "empty"])
def test_one_flipped_bit_anywhere_is_noticed_and_named(frame: pd.DataFrame) -> None:
    data = encode_table(frame)
    places = random.Random(0)
    ends = [0, 8 * len(data) - 1, 8 * data.rfind(b"sha256"), 8 * data.rfind(b"sha256") + 80]
    for bit in [*ends, *(places.randrange(8 * len(data)) for _ in range(1000))]:
        flipped = bytearray(data)
        flipped[bit // 8] ^= 1 << bit % 8
        with pytest.raises(DamagedTableError) as caught:
            decode_table(bytes(flipped), "data/raw/2019.parquet")
        assert str(caught.value).startswith(
            "data/raw/2019.parquet: expected the table as it was written, got a damaged"
        )


def test_a_table_whose_own_texts_look_like_the_checksum_comes_back() -> None:
    frame = tables()[0]
    frame.attrs = {"note": json.dumps({"brain_assets.sha256": "0" * 64}), "brain_assets.other": "0" * 64}
    back = decode_table(encode_table(frame), "here")
    assert back.attrs == frame.attrs
