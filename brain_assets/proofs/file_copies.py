"""A user's files with another future: copies, changed row by row, which the market `files` reads like the originals.

Changing files instead of what is read from them puts the reader to the test too: when a headline counts, how rows of a
day become a score, when a filing is known.
"""

import datetime
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import NamedTuple

import pandas as pd

from brain_assets.errors import ProofError
from brain_assets.market.files import (
    FUNDAMENTAL_LAYOUT,
    FUNDAMENTAL_PATTERNS,
    MIN_HISTORY_SESSIONS,
    PATTERNS,
    PRICE_LAYOUT,
    FilesMarket,
)
from brain_assets.market.headlines import HEADLINE_LAYOUT, HEADLINE_PATTERNS, SCORE_LAYOUT, SCORE_PATTERNS
from brain_assets.market.prices import PRICE_FIELDS
from brain_assets.market.table_files import TableLayout, find_files, read_files
from brain_assets.proofs.corruption import ADDED, LOOK_BACK, Corruption

Change = Callable[[Corruption, pd.DataFrame], pd.DataFrame]


class _Sort(NamedTuple):
    """A sort of files, and how its rows change."""

    patterns: Sequence[str]
    layout: TableLayout
    change: Change


SORTS = (
    _Sort(PATTERNS, PRICE_LAYOUT, Corruption.prices),
    _Sort(SCORE_PATTERNS, SCORE_LAYOUT, Corruption.news),
    _Sort(HEADLINE_PATTERNS, HEADLINE_LAYOUT, Corruption.headlines),
    _Sort(FUNDAMENTAL_PATTERNS, FUNDAMENTAL_LAYOUT, Corruption.fundamentals),
)


def corrupted_files(market: FilesMarket, folder: Path, after: datetime.date, seed: int) -> FilesMarket:
    """Copy the files of a market into an empty folder, changed after a date, and open them.

    Raises `TableError` if a file cannot be read, as the market itself would say; `ProofError` if no symbol has enough
    bars up to the date, or one that appears after it would have too few.

    Parameters
    ----------
    folder : Path
        Made if it is not there. Each sort of files becomes one file for every file it has, of the same name and format.
    after : datetime.date
        The last day that stays as it is.

    Returns
    -------
    FilesMarket
        Of the same symbols; where some were chosen, of the added ones as well.
    """
    folder.mkdir(parents=True, exist_ok=True)
    corruption = _corruption(market, after, seed)
    for patterns, layout, change in SORTS:
        paths = find_files(market.folder, patterns, "data")
        if not paths:
            continue
        rows = read_files(paths, layout)
        changed = change(corruption, rows)
        # a new row has the origin of the row that it was copied from; what is made from nothing goes to the first file
        origin = changed["source"].fillna(rows["source"].iloc[0] if len(rows) else "")
        for path in paths:
            _write(folder / path.name, changed[origin.str.startswith(f"{path.name}, ")], layout)
    return FilesMarket(folder, (*market.symbols, *ADDED) if market.symbols else (), clock=market.clock)


def _corruption(market: FilesMarket, after: datetime.date, seed: int) -> Corruption:
    """Choose among the symbols that the reader admits with what they have up to the date."""
    rows = read_files(find_files(market.folder, PATTERNS, "price"), PRICE_LAYOUT)
    rows = rows[rows[list(PRICE_FIELDS[:-1])].notna().any(axis=1)]
    if market.symbols:
        rows = rows[rows["symbol"].isin(market.symbols)]
    early = rows[rows["date"] <= pd.Timestamp(after)]
    n_bars = early["symbol"].value_counts()
    recent = set(early.loc[early["date"] >= pd.Timestamp(after - LOOK_BACK), "symbol"])
    known = [name for name, count in n_bars.items() if name in recent and count >= MIN_HISTORY_SESSIONS]
    corruption = Corruption.of(known, after, seed)
    n_left = min(
        int(((rows["symbol"] == name) & (rows["date"] > pd.Timestamp(after))).sum()) for name in corruption.donors
    )
    if n_left < MIN_HISTORY_SESSIONS:
        raise ProofError(
            f"--after: expected at least {MIN_HISTORY_SESSIONS} sessions after the date, so that a symbol can appear "
            f"there, got {n_left} after {after}; choose an earlier date."
        )
    return corruption


def _write(path: Path, rows: pd.DataFrame, layout: TableLayout) -> None:
    rows = rows[list(layout.columns)]
    if path.suffix == ".csv":
        rows.to_csv(path, index=False)
    else:
        rows.to_parquet(path, index=False)
