"""The line with which a report and an allocation begin."""

import pytest

from brain_assets.cli_run import doubts_of
from brain_assets.graph.status import State, Status

DONE, MISSING = Status(State.DONE), Status(State.MISSING, "not materialized")
STALE = Status(State.STALE, "prices.csv changed in 2020 (1 row)")
DAMAGED = Status(State.DAMAGED, "2020.parquet: its bytes do not agree with its checksum; make it again.")
WARNED = Status(State.DONE, warnings={"beats_zero": "not so", "no_jumps": "2 closes lie far off. Look at them."})
UNSKILLED = Status(State.DONE, warnings={"beats_zero": "its loss is above that of zero."})


@pytest.mark.parametrize(
    ("found", "line"),
    [
        ([], ""),
        ([DONE, MISSING, UNSKILLED], ""),
        ([STALE], "This rests on raw_prices[2019] stale: prices.csv changed in 2020 (1 row)."),
        ([DONE, WARNED], "This rests on raw_prices[2020] warned: no_jumps: 2 closes lie far off."),
        (
            [DAMAGED, STALE, WARNED, STALE, DAMAGED],
            "This rests on raw_prices[2019] damaged: 2020.parquet: its bytes do not agree with its checksum; make it "
            "again; raw_prices[2020] stale: prices.csv changed in 2020 (1 row); raw_prices[2021] warned: no_jumps: 2 "
            "closes lie far off; and 2 more, which brain-assets status names.",
        ),
    ],
)
def test_stale_damaged_and_warned_years_are_named_and_no_others(found: list[Status], line: str) -> None:
    assert doubts_of({("raw_prices", 2019 + place): status for place, status in enumerate(found)}) == line
