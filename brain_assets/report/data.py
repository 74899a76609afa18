"""What was left out, joined, changed or doubted in the raw tables that a report rests on."""

from collections.abc import Iterable
from typing import NamedTuple

from brain_assets.graph.years import Years
from brain_assets.market.calendar import sessions_between
from brain_assets.market.members import describe_members
from brain_assets.market.price_checks import table_verdicts
from brain_assets.market.schema import RAW
from brain_assets.store.tables import TableStore


class Doubt(NamedTuple):
    """What a check of a year of a raw table warns of, or how many members of the universe it has."""

    year: int
    table: str
    check: str
    words: str


def read_doubts(tables: TableStore, years: Years, until: int) -> list[Doubt]:
    """Ask what is stored of the years up to one, which models learned from or traded in; by year."""
    return [doubt for year in years.up_to(until) for doubt in _doubts_of(tables, year, years)]


def _doubts_of(tables: TableStore, year: int, years: Years) -> Iterable[Doubt]:
    scheduled = sessions_between(*years.window(year))
    for name in RAW:
        if (table := tables.find(name, year)) is not None:
            if members := describe_members(table):
                yield Doubt(year, name, "universe", f"{members}.")
            for check, found in table_verdicts(name, table, scheduled).items():
                if not found.passed:
                    yield Doubt(year, name, check, found.words)
