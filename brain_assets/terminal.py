"""What the commands share: options, the console, how an error looks, how years and files are read."""

import datetime
import logging
import re
import sys
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Annotated, Any

import typer
import yaml
from rich import box
from rich.console import Console
from rich.constrain import Constrain
from rich.markup import escape
from rich.progress import Progress, TaskID, TextColumn, TimeElapsedColumn
from rich.table import Column, Table
from rich.text import Text

from brain_assets.errors import ConfigError, SettingsError
from brain_assets.formatting import visible
from brain_assets.graph.tasks import ENDS, Event
from brain_assets.graph.years import Years
from brain_assets.progress import overheard

MIN_WIDTH = 130
"""Columns; tables are read in log files too, where there is no terminal to ask for its width."""


INDENT = "  "
"""Of the second line of what is wrapped, and of all after it."""


class OurConsole(Console):
    """Shows what cannot be seen: a name from outside moves no cursor.

    Texts wrap between words where somebody looks, and a word that is longer than the terminal is wide, such as a path,
    stays whole; elsewhere, and with `soft_wrap`, a line is as long as it is.
    """

    def __init__(self, **given: Any) -> None:
        # a notebook says that it is a terminal, and is none
        usual = {"force_jupyter": False, "force_terminal": False if "ipykernel" in sys.modules else None}
        super().__init__(highlight=False, emoji=False, **{**usual, **given})

    def render_str(self, text: str, **options: Any) -> Text:
        """Give a text as it is shown; Rich asks here for every one that it is given."""
        return super().render_str(visible(text), **options)

    def print(self, *objects: Any, soft_wrap: bool | None = None, **style: Any) -> None:
        """Print."""
        is_text = all(isinstance(each, str) for each in objects)
        if is_text and self.is_terminal and not soft_wrap:
            objects = tuple(self._wrap(self.render_str(text)) for text in objects)
        super().print(*objects, soft_wrap=is_text, **style)

    def _wrap(self, text: Text) -> Text:
        """Break lines between words; Rich itself would cut words that are too long."""
        ends: list[int] = []
        begun = 0
        for word in re.finditer(r"\S+|\n", text.plain):
            if word[0] == "\n":
                begun = word.end()
            elif word.start() > begun and word.end() - begun > self.width - len(INDENT) * bool(ends):
                ends.append(begun := word.start())
        lines = text.divide(ends)
        for line in lines:
            line.rstrip()
        return Text(f"\n{INDENT}").join(lines)


console = OurConsole(width=None if sys.stdout.isatty() else MIN_WIDTH)


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
    _print_aside(f"[red]error:[/] {escape(message)}")


def _print_aside(text: str) -> None:
    """Print to standard error; on a terminal above what is shown live."""
    together = console.is_terminal and sys.stderr.isatty()
    (console if together else OurConsole(stderr=True)).print(text)


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
            _print_aside(f"[yellow]warning:[/] {escape(message)}")

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
    except (OSError, yaml.YAMLError, UnicodeDecodeError) as error:
        got = getattr(error, "strerror", None) or " ".join(str(error).split())
        raise ConfigError(f"{path}: expected a YAML file, got: {got}; correct the file, or --config.") from error
    if not isinstance(content, dict):
        raise ConfigError(
            f"{path}: expected a mapping with the key ops, got {type(content).__name__}; correct the file."
        )
    return content


class _Lines(Progress):
    def get_renderables(self) -> Iterator[Constrain]:
        """Give the lines, with room for the ^C that a terminal adds: it would begin one that nobody counts."""
        yield Constrain(self.make_tasks_table(self.tasks), console.width - len("^C "))


class Live:
    """What is under way, at the foot of a terminal: a line for all, then one a year of an asset that is being made."""

    def __init__(self, shown: Progress) -> None:
        self._shown, self._all, self._n_ended = shown, shown.add_task("", total=None, said=""), 0
        self._lines: dict[tuple[str, int], TaskID] = {}

    def say(self, said: str) -> None:
        """Say in the line for all how far the work is."""
        self._shown.update(self._all, said=visible(said))

    def show(self, event: Event, n_unfinished: int) -> None:
        """Show what has happened to a year of an asset, and how much has ended."""
        unit = (event.asset, event.year)
        if event.kind in ENDS:
            self._n_ended += 1
            if unit in self._lines:
                self._shown.remove_task(self._lines.pop(unit))
        else:
            if unit not in self._lines:
                self._lines[unit] = self._shown.add_task(
                    f"{event.year or ''} {event.asset}".strip(), total=None, said=""
                )
            if event.kind == "progress":  # which begins with family and year; they stand before it
                said = re.sub(r"^\S+ (19|20)[0-9]{2}[:,] ", "", visible(event.detail))
                self._shown.update(self._lines[unit], said=said)
        total = self._n_ended + n_unfinished
        left = 0.0
        if self._n_ended > total / 4:  # what comes first, reading data, is quick
            left = (self._shown.tasks[0].elapsed or 0.0) * n_unfinished / self._n_ended
        said = f"about {datetime.timedelta(seconds=round(left))} left" if left >= 1 else ""
        self._shown.update(self._all, description=f"{self._n_ended} of {total}", said=said, visible=total > 1)


@contextmanager
def progress_shown() -> Iterator[Live]:
    """Show live what is under way, on a terminal only; what is printed meanwhile goes above it."""
    said = TextColumn("{task.fields[said]}", markup=False, table_column=Column(ratio=1))  # wraps between words
    columns = TextColumn("{task.description}", markup=False), said, TimeElapsedColumn()
    with _Lines(*columns, console=console, transient=True, expand=True, disable=not console.is_terminal) as shown:
        live = Live(shown)
        with overheard(lambda line, _: live.say(line)):
            yield live
