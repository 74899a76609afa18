"""What the columns of a user's file are: their names as many tools write them, wide tables, a symbol in a file's name.

Names are compared without case, blanks, ``_``, ``.``, ``<`` and ``>``. The rules stand in ``docs/your-own-data.md``.
"""

import ast
import re
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import NamedTuple

OTHERS = ("news_sentiment", "headlines", "fundamentals", "universe")
"""How the names of files begin that are none of prices."""

_ENDING = re.compile(r"\.((csv|txt|tsv)(\.gz)?|parquet)$", re.IGNORECASE)
_PAIR = re.compile(r"\('[^'\\]*', '[^'\\]*'\)")
PRICES = ("open", "high", "low", "close")
ADJUSTED = {name: f"adj_{name}" for name in (*PRICES, "volume")}
"""A column -> the same, adjusted for splits and dividends."""

_CHOICES = {
    "date": ("date", "datetime", "timestamp", "day"),
    "symbol": ("symbol", "ticker", "tic", "stock", "name"),
    "from": ("from", "start", "startdate", "added", "dateadded"),
    "to": ("to", "end", "enddate", "removed", "dateremoved"),
}
"""A column -> the names that it may have, the first of which counts."""

_SAME = {"vol": "volume", "splitcoefficient": "split", "splitfactor": "split"} | {
    written: f"adj{name}"
    for name in ADJUSTED
    for written in (f"adjusted{name}", f"{name}adj", f"{name}adjusted")
}  # fmt: skip
_OF_PRICES = {*ADJUSTED, *(f"adj{name}" for name in ADJUSTED), "dividends", "stocksplits", "capitalgains", "repaired?"}

_SHAPES = (
    ("Stooq", {"per", "openint", "ticker"}),
    ("Alpha Vantage", {"timestamp", "adjclose", "split"}),
    ("Tiingo", {"adjopen", "divcash", "split"}),
    ("yfinance", {"dividends", "stocksplits"}),
    ("Yahoo", {"date", "adjclose"}),
    ("Alpha Vantage", {"timestamp", "volume"}),
    ("FinRL", {"tic", "day"}),
)

Roles = Mapping[str, list[int]]
"""A column -> the places where a file has it; where there are several, their values must be the same."""


class Header(NamedTuple):
    """The names of a file's columns."""

    names: tuple[str, ...]
    tickers: tuple[str, ...] = ()  # of a wide table: the symbol of each column; empty for those that are of all
    n_lines: int = 1


def canonical(name: str) -> str:
    """Give what a name is compared by; ``1. open`` is open."""
    plain = re.sub(r"[\s_.<>]", "", re.sub(r"^\d+\.\s", "", name)).lower()
    return _SAME.get(plain, plain)


def read_header(lines: Sequence[Sequence[str]]) -> Header:
    """Read the first lines of a text file, as they are split into cells: one of names, or two levels of them."""
    first, *others = [[cell.strip() for cell in line] for line in lines] or [[]]
    if not others or len(others[0]) != len(first) or others[0][0][:1].isdigit():
        return Header(tuple(first))
    n_lines = 3 if len(others) > 1 and not any(others[1][1:]) and not others[1][0][:1].isdigit() else 2
    return _two_levels(first, others[0], n_lines) or Header(tuple(first))


def read_names(names: Sequence[str]) -> Header:
    """Read the names of a Parquet file's columns; pandas writes two levels as ``('Close', 'AAA')``."""
    if not any(map(_PAIR.fullmatch, names)):
        return Header(tuple(names))
    pairs = [ast.literal_eval(name) if _PAIR.fullmatch(name) else (name, "") for name in names]
    days = [place for place, (_, ticker) in enumerate(pairs) if not ticker]  # the index, where pandas puts it last
    first, second = zip(*pairs, strict=True)
    wide = _two_levels(first, second, 0, days[0]) if len(days) == 1 else None
    return wide or Header(tuple(names))


def _two_levels(first: Sequence[str], second: Sequence[str], n_lines: int, day: int = 0) -> Header | None:
    """Take one of two lines for prices and the other for symbols; None: they are neither. `day`: where the days are."""
    for names, tickers in ((first, second), (second, first)):
        found = {canonical(name) for place, name in enumerate(names) if place != day}
        symbols = [text for place, text in enumerate(tickers) if place != day]
        are_symbols = all(re.fullmatch(r"[A-Za-z^][\w.^=&/-]*|\d+\.[A-Za-z]+", text) for text in symbols)
        if {"close"} <= found <= _OF_PRICES and are_symbols:
            levels = (*names[:day], "date", *names[day + 1 :]), (*tickers[:day], "", *tickers[day + 1 :])
            return Header(*levels, n_lines)
    return None


def find_roles(names: Sequence[str], wanted: Sequence[str]) -> Roles:
    """Find columns by their names; those that a file lacks are left out.

    Adjusted prices take the place of those as traded: all four, or else the adjusted close stands beside them.
    """
    places: dict[str, list[int]] = {}
    for place, name in enumerate(names):
        places.setdefault(canonical(name), []).append(place)
    roles = {}
    for name in wanted:
        for written in _CHOICES.get(name, (canonical(name),)):
            if written in places:
                roles[name] = places[written]
                break
    adjusted = {name: roles.pop(other) for name, other in ADJUSTED.items() if other in roles}
    if set(PRICES) <= set(adjusted):
        roles |= adjusted
    elif "close" in adjusted:
        roles[ADJUSTED["close"]] = adjusted["close"]
        roles |= {name: adjusted[name] for name in ("volume",) if name in adjusted}
    if "volume" in adjusted or "close" not in adjusted:  # without an adjusted close all count as they are
        roles.pop("split", None)
    return roles


def shape(header: Header) -> str:
    """Say in a word which tool writes such columns, if that is known."""
    found = {*map(canonical, header.names)}
    known = (tool for tool, columns in _SHAPES if columns <= found)
    return "yfinance" if header.tickers else next(known, "table")


def symbols_of_names(names: Sequence[str]) -> list[str]:
    """Give the symbol that each file's name has: its longest token in capitals, or what it is called without them.

    A token that all names with some have, such as a vendor's, is taken only where there is no other. Empty: none.
    """
    stems = [_ENDING.sub("", name) for name in names]
    tokens = [_tokens(stem) for stem in stems]
    some = [set(found) for found in tokens if found]
    shared = set.intersection(*some) if len(some) > 1 else set()
    symbols = []
    for stem, found in zip(stems, tokens, strict=True):
        small = re.sub(r"^prices?[\W_]*", "", stem, flags=re.IGNORECASE).upper()
        if not re.search("[A-Z]", small) or stem.lower().startswith(OTHERS):
            small = ""
        symbols.append(max([token for token in found if token not in shared] or found or [small], key=len))
    return symbols


def is_table(path: Path) -> bool:
    """Say whether a file is one that is read, by its name."""
    return _ENDING.search(path.name) is not None and not path.name.startswith((".", "~"))


def _tokens(stem: str) -> list[str]:
    """Split a name at ``_`` and blanks, and at ``-`` where what is between them is no symbol such as BRK-B."""
    parts: list[str] = []
    for part in re.split(r"[_\s]+", stem):
        parts += [part] if re.fullmatch(r"[A-Z][A-Z0-9]*-[A-Z]{1,3}", part) else part.split("-")
    known = [part for part in parts if re.fullmatch(r"\^?[A-Z0-9][A-Z0-9.=&-]*", part) and re.search("[A-Z]", part)]
    return [part for part in known if part != "PRICES"]
