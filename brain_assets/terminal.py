"""What the commands share: options, the console, how an error looks, how years and files are read."""

import logging
import re
import sys
from collections.abc import Iterable, Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Annotated, Any

import typer
import yaml
from rich import box
from rich.console import Console
from rich.markup import escape
from rich.table import Table

from brain_assets.errors import ConfigError, SettingsError
from brain_assets.graph.tasks import ENDS, Event
from brain_assets.graph.years import Years
from brain_assets.progress import overheard

MIN_WIDTH = 130
"""Columns; tables are read in log files too, where there is no terminal to ask for its width."""

IN_NOTEBOOK: Any = {"force_jupyter": False, "force_terminal": False} if "ipykernel" in sys.modules else {}
"""Plain lines: a notebook says that it is a terminal, but shows each picture of a live line below the one before."""

console = Console(highlight=False, emoji=False, width=None if sys.stdout.isatty() else MIN_WIDTH, **IN_NOTEBOOK)


MarketOption = Annotated[
    str | None, typer.Option("--market", help="live, sample, files or simulator; default: BRAIN_MARKET, else live.")
]
ConfigOption = Annotated[
    Path | None, typer.Option("--config", help="Dagster run configuration (YAML), as in the UI's launchpad.")
]
EngineOption = Annotated[
    str | None,
    typer.Option(
        "--engine", help="local, or ray: workers on the nodes of a cluster; default: BRAIN_ENGINE, else local."
    ),
]
JobsOption = Annotated[
    int | None,
    typer.Option(
        min=1, help="Years of assets at a time. Default: as many as there are cores and memory for, which is said."
    ),
]
YearsArgument = Annotated[str | None, typer.Argument(help="A year or a range: 2021, 2019-2022. Default: all.")]


def new_table(*heads: Any, title: str | None = None, caption: str | None = None) -> Table:
    """Begin a table as commands print it."""
    style: Any = {"box": box.SIMPLE_HEAD, "collapse_padding": True, "pad_edge": False}
    return Table(*heads, title=title, caption=caption, **style)


def print_error(message: str) -> None:
    """Print one sentence to standard error."""
    Console(stderr=True, highlight=False, emoji=False, **IN_NOTEBOOK).print(
        f"[red]error:[/] {escape(message)}", soft_wrap=True
    )


def read_years(text: str) -> range:
    """Read ``2021`` or ``2019-2022``."""
    first, _, last = text.partition("-")
    if not re.fullmatch(r"(19|20)[0-9]{2}(-(19|20)[0-9]{2})?", text):
        raise SettingsError(f"years: expected 2021 or 2019-2022, got {text}; correct it.")
    start, end = int(first), int(last or first)
    if start > end:
        raise SettingsError(f"years: expected the earlier year first, got {text}; turn it round: {end}-{start}.")
    return range(start, end + 1)


@contextmanager
def warnings_shown() -> Iterator[None]:
    """Show the package's warnings on standard error while a command runs, each once."""
    shown: set[str] = set()

    def show(message: str, _level: int) -> None:
        if message not in shown:
            shown.add(message)
            Console(stderr=True, highlight=False, emoji=False, **IN_NOTEBOOK).print(
                f"[yellow]warning:[/] {escape(message)}", soft_wrap=True
            )

    with overheard(show, logging.WARNING):
        yield


def parse_years(text: str | None, years: Years) -> list[int]:
    """Read ``2021`` or ``2019-2022`` against the years that exist."""
    existing = range(years.first, years.last() + 1)
    if text is None:
        return list(existing)
    asked = read_years(text)
    outside = [year for year in asked if year not in existing]
    if outside:
        raise SettingsError(
            f"years: expected years from {existing[0]} to {existing[-1]}, got {outside[0]}; choose among those (the "
            "first holds the whole bootstrap window; BRAIN_FIRST_YEAR, BRAIN_BOOTSTRAP_YEARS and BRAIN_LAST_YEAR move "
            "them)."
        )
    return list(asked)


def read_config(path: Path | None) -> Mapping[str, Any]:
    """Read a run configuration; none: an empty one. Raises `ConfigError`."""
    if path is None:
        return {}
    try:
        content = yaml.safe_load(path.read_text())
    except OSError as error:
        raise ConfigError(f"{path}: expected a YAML file, got: {error.strerror}; correct --config.") from error
    except (yaml.YAMLError, UnicodeDecodeError) as error:
        raise ConfigError(f"{path}: expected YAML, got: {' '.join(str(error).split())}; correct the file.") from error
    if not isinstance(content, dict):
        raise ConfigError(
            f"{path}: expected a mapping with the key ops, got {type(content).__name__}; correct the file."
        )
    return content


@contextmanager
def progress_shown() -> Iterator[Any]:
    """Show the newest progress message in a live status line, which is given."""
    with console.status("") as live, overheard(lambda line, _: live.update(escape(line))):
        yield live


def shown_live(events: Iterable[Event], live: Any) -> Iterator[Event]:
    """Show in a live status line what is under way, and give what has ended."""
    under_way: dict[tuple[str, int], str] = {}
    for event in events:
        place = (event.asset, event.year)
        if event.kind in ENDS:
            under_way.pop(place, None)
            yield event
        elif event.kind != "waiting":
            under_way[place] = event.detail if event.kind == "progress" else f"{event.asset} {event.year or ''}"
        live.update(escape(" | ".join(under_way.values())))
