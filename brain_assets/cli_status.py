"""The command `brain-assets status`: a row an asset, a column a year, and below it why what is not done is not."""

from collections.abc import Mapping, Sequence
from pathlib import Path

from rich.markup import escape

from brain_assets.cli_run import counted, data_warnings, first_sentence, places_of, skill_lines
from brain_assets.graph.build import session
from brain_assets.graph.options import read_options
from brain_assets.graph.status import State, Status, StatusReader, asset_names, last_made
from brain_assets.paths import is_file
from brain_assets.store.tables import IDENTITY_FILE
from brain_assets.terminal import (
    ConfigOption,
    MarketOption,
    YearsArgument,
    console,
    parse_years,
    read_config,
)

MARKS = {
    State.DONE: "[green]✓[/]",
    State.STALE: "[yellow]~[/]",
    State.DAMAGED: "[red]✗[/]",
    State.MISSING: "[dim]·[/]",
}
WARNED = "[yellow]![/]"
WORDS = {mark: state.value for state, mark in MARKS.items()} | {WARNED: "done, with a warning"}
DEMO = Path("data/demo")
"""Where `make demo` leaves its results."""

Found = Mapping[tuple[str, int], Status]


def status(years: YearsArgument = None, market: MarketOption = None, config: ConfigOption = None) -> None:
    """Show by asset and year what is done, missing, stale or damaged, and why; and what checks warn of.

    Nothing is written.
    """
    with session(market, looking=True) as (project, instance):
        defs, chosen = project.definitions, parse_years(years, project.years)
        reader = StatusReader(defs, instance, read_options(defs, read_config(config)))
        ours = [asset.key.to_user_string() for asset in project.yearly]
        names = [*ours, *(name for name in asset_names(defs) if name not in ours)]
        found = {(name, year): reader.read(name, year) for name in names for year in chosen}
        settings, last = project.settings, last_made(defs, instance)
    console.print(f"Market {settings.market}, {escape(str(settings.data_dir))}")
    _print_years(found, names, chosen, width := max(map(len, [*names, *last])))
    console.print()
    for name, made in last.items():
        console.print(f"{name:<{width}}  {MARKS[State.DONE if made else State.MISSING]}  {made}".rstrip())
    marks = {*map(_mark, found.values()), *(MARKS[State.DONE if made else State.MISSING] for made in last.values())}
    console.print("\n" + "  ".join(f"{mark} {word}" for mark, word in WORDS.items() if mark in marks))
    for line in _reasons(found):
        console.print(escape(line))
    if not any(last.values()) and all(each.state is State.MISSING for each in found.values()):
        if is_file(DEMO / IDENTITY_FILE) and settings.data_dir != DEMO:
            console.print(f"Nothing is here. What make demo left lies in {DEMO}:")
            console.print(f"  export BRAIN_MARKET=sample BRAIN_DATA_DIR={DEMO}")
        else:
            console.print(f"Nothing is here yet; to make it: brain-assets backfill {chosen[0]}-{chosen[-1]}")


def _print_years(found: Found, names: Sequence[str], years: Sequence[int], width: int) -> None:
    """Print a mark for each year, as many years beside each other as there is room for."""
    n_beside = (console.width - width) // len(" 2020")
    for block in (years[start : start + n_beside] for start in range(0, len(years), n_beside)):
        console.print(" ".join(["\n" + " " * width, *map(str, block)]))
        for name in names:
            console.print(f"{name:<{width}}  {'    '.join(_mark(found[name, year]) for year in block)}")


def _mark(status: Status) -> str:
    warned = status.state is State.DONE and data_warnings(status.warnings)
    return WARNED if warned else MARKS[status.state]


def _reasons(found: Found) -> list[str]:
    """Say why what is not done is not, and what checks warn of: what is alike in one line."""
    places: dict[tuple[str, str], list[tuple[str, int]]] = {}
    for (name, year), status in found.items():
        if status.reason and status.reason != "not materialized":
            places.setdefault((name, f"{status.state.value}: {status.reason}"), []).append((name, year))
        if doubts := data_warnings(status.warnings):
            said = f"done, {counted(len(doubts), 'warning')}: {first_sentence(doubts[0])}"
            places.setdefault((name, said), []).append((name, year))
    reasons = [f"{places_of(alike)}: {reason}" for (_, reason), alike in places.items()]
    return reasons + skill_lines((name, year, status.warnings) for (name, year), status in found.items())
