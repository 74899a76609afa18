"""What is found of a table goes where the table goes, year by year, and is no part of its content."""

import pandas as pd

from brain_assets.market.schema import NEWS_TABLE, Finding, added_up, attach, finding_verdicts, findings_of
from brain_assets.store.tables import MemoryTableStore, content_hash


def closed(year: int, count: int, first: str) -> Finding:
    words = "rows on days when the exchange was closed"
    return Finding("rows_taken", "prices.csv", words, "left out", year, count, first)


def test_findings_are_stored_with_the_table_and_change_no_hash() -> None:
    frame = pd.DataFrame({"date": pd.to_datetime(["2019-01-02"]), "value": [1.5]})
    before = content_hash(frame)
    attach(frame, [closed(2019, 2, "2019-07-04 (line 13)")])
    store = MemoryTableStore()
    store.write("features", 2019, frame)
    assert findings_of(store.read_year("features", 2019)) == [closed(2019, 2, "2019-07-04 (line 13)")]
    assert content_hash(frame) == before
    assert "findings" not in attach(frame, []).attrs
    [found] = added_up([closed(2019, 1_000, "2019-07-04 (line 13)"), closed(2018, 2, "2018-12-05 (line 7)")])
    assert found.sentence == (
        "prices.csv: 1,002 rows on days when the exchange was closed, the first 2018-12-05 (line 7); left out."
    )


def test_findings_go_to_their_check_with_ten_sentences_at_most_and_all_counts() -> None:
    frame = attach(
        NEWS_TABLE.empty(),
        [
            Finding("symbols_found", "GONE", "symbol that is in no file"),
            Finding("of a plug-in", "x.csv", "odd rows"),
            *(Finding("rows_taken", f"{n:02}.csv", "rows that are there twice", n_rows=n) for n in range(1, 13)),
        ],
    )
    found = finding_verdicts(frame)
    gone = "GONE: 1 symbol that is in no file."
    assert found["symbols_found"] == (False, gone, {"GONE: symbol that is in no file": 1})
    rows = found["rows_taken"]  # what names no check of ours is said too
    assert rows.words.startswith("x.csv: 1 odd rows. 01.csv: 1 rows that are there twice. 02.csv: 2 ")
    assert rows.words.endswith("09.csv: 9 rows that are there twice. 3 more of the kind.")
    assert sum(rows.counts.values()) == 1 + 78
    sound = finding_verdicts(NEWS_TABLE.empty())
    assert [(result.passed, result.counts) for result in sound.values()] == [(True, {}), (True, {})]
