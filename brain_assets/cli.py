"""The command `brain-assets`."""

import signal
import socket
import subprocess
import sys
import threading
import time
from collections.abc import Mapping, Sequence
from functools import partial
from http.server import SimpleHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Annotated, Any
from urllib.parse import urlsplit

import typer
from rich.markup import escape
from typer.core import TyperGroup

from brain_assets import __version__
from brain_assets.cli_run import (
    counted,
    data_warnings,
    first_sentence,
    places_of,
    print_results,
    print_summary,
    refuse_warnings,
    run_years,
    skill_lines,
)
from brain_assets.errors import BrainAssetsError, SettingsError, StorageError
from brain_assets.graph.backfill import Backfill
from brain_assets.graph.build import session
from brain_assets.graph.instance import open_instance, prepare_ui
from brain_assets.graph.options import last_tasks, read_options
from brain_assets.graph.status import State, Status, StatusReader, asset_names, last_made
from brain_assets.graph.tasks import BAD
from brain_assets.graph.workers import open_pool
from brain_assets.paths import is_file, is_remote
from brain_assets.plugins import blamed, resolve
from brain_assets.progress import warn
from brain_assets.settings import Settings, brought_commands, read_settings
from brain_assets.start import ERASE_LINE, INTERRUPTED, show
from brain_assets.store.tables import IDENTITY_FILE
from brain_assets.terminal import (
    ConfigOption,
    EngineOption,
    JobsOption,
    MarketOption,
    YearsArgument,
    console,
    parse_years,
    print_error,
    read_config,
    warnings_shown,
)

ORDER = (
    *("backfill", "status", "report", "ui", "allocate", "train", "models", "promote"),
    *("sync", "check-files", "prove", "adopt"),
)
"""In which commands are listed: as they are used; any other comes last."""


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


class _Commands(TyperGroup):
    def list_commands(self, ctx: Any) -> list[str]:
        """Name the commands in the order of use."""
        return sorted(super().list_commands(ctx), key=lambda name: (*ORDER, name).index(name))

    def invoke(self, ctx: Any) -> Any:
        """Run a command; what the package warns of is shown, and Ctrl-C ends it in a line."""
        signal.signal(signal.SIGINT, _interrupt)
        try:
            with warnings_shown():
                return super().invoke(ctx)
        except KeyboardInterrupt as stopped:
            show(ERASE_LINE)  # and the ^C that the terminal shows
            console.print("; ".join(["stopped", *(stopped.args or ["nothing is half-written: run it again"])]))
            raise typer.Exit(INTERRUPTED) from None
        finally:
            signal.setitimer(signal.ITIMER_REAL, 0)


def _interrupt(*_: object) -> None:
    """Raise `KeyboardInterrupt`, and once more a second later: Python drops what is raised in a finalizer."""
    signal.signal(signal.SIGALRM, signal.default_int_handler)
    signal.setitimer(signal.ITIMER_REAL, 1.0)
    raise KeyboardInterrupt


def command_line() -> typer.Typer:
    """Give all commands, those of plug-ins too. Raises `PluginError`."""
    app = typer.Typer(
        cls=_Commands,
        help="Walk-forward price forecasters and portfolio policies, a year at a time.",
        no_args_is_help=True,
        add_completion=False,
        pretty_exceptions_enable=False,
    )
    app.callback()(_options)
    for name, text in brought_commands().items():
        command, alone = resolve(text), typer.Typer()
        with blamed(text, "a function that typer makes a command of, or a Typer"):
            if isinstance(command, typer.Typer):
                alone.add_typer(command, name=name)
            else:
                alone.command(name)(command)
            typer.main.get_command(alone)
        app.registered_groups += alone.registered_groups
        app.registered_commands += alone.registered_commands
    return app


def _print_version(asked: bool) -> None:
    if asked:
        console.print(f"brain-assets {__version__}")
        raise typer.Exit


def _options(
    version: Annotated[
        bool, typer.Option("--version", is_eager=True, callback=_print_version, help="Show the version and exit.")
    ] = False,
) -> None:
    """Take what stands before a command."""


def backfill(
    years: Annotated[str, typer.Argument(help="A year or a range: 2021, 2019-2022.")],
    market: MarketOption = None,
    assets: Annotated[
        str | None, typer.Option(help="Which to run, separated by commas: lstm_snapshot,ppo_policy. Default: all.")
    ] = None,
    then: Annotated[
        str | None, typer.Option(help="Assets without years, each run when what it is made from is done: report.")
    ] = None,
    config: ConfigOption = None,
    force: Annotated[bool, typer.Option("--force", help="Do again what is done already.")] = False,
    jobs: JobsOption = None,
    engine: EngineOption = None,
    seeds: Annotated[
        int | None,
        typer.Option(min=1, max=100, help="Train each policy so many times; the report shows the spread. Default: 1."),
    ] = None,
    strict: Annotated[bool, typer.Option("--strict", help="End with exit code 1 if a check warns, too.")] = False,
    ui_command: Annotated[str | None, typer.Option(hidden=True, help="How the caller opens the UI.")] = None,
) -> None:
    """Run years of assets, each as a Dagster run on your instance, as soon as what they are made from is there.

    What is done is skipped. A failed year does not stop what does not depend on it. What checks warn of is said under
    the line of its year. The exit code is 1 if anything failed. Ctrl-C stops at once; run it again to go on.
    """
    with session(market, engine) as (project, instance):
        chosen = parse_years(years, project.years)
        options = read_options(project.definitions, read_config(config))
        for family in project.settings.families.policies.values() if seeds else ():
            options[family.asset] = {**options.get(family.asset, {}), "n_seeds": seeds}
        job = Backfill(project.definitions, instance, _names(assets), options, force)
        last = last_tasks(project.definitions, _names(then), options)
        outcomes = run_years(job, chosen, open_pool(project, instance, jobs), last)
        print_results(project.settings.data_dir, chosen, project.settings.families)
        print_summary(outcomes)
        print_ui_hint(ui_command, project.settings)
    refused = strict and refuse_warnings(outcomes)
    if refused or any(outcome.kind in BAD for outcome in outcomes):
        raise typer.Exit(1)


def _names(text: str | None) -> list[str]:
    return [name.strip() for name in (text or "").split(",") if name.strip()]


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


def ui(
    market: MarketOption = None,
    port: Annotated[int, typer.Option(help="Port of the web server on this machine.")] = 3000,
) -> None:
    """Open Dagster's UI (`dagster dev`) on the same results; stop it with Ctrl-C."""
    settings = read_settings(market=market)
    home = prepare_ui(settings)
    if _is_open(port):
        raise SettingsError(f"--port: expected a free one, got {port}, where somebody listens; choose another.")
    # several runs side by side: a core each
    environment = {"OMP_NUM_THREADS": "1", **settings.environment(), "DAGSTER_HOME": str(home)}
    options = "-W ignore -m dagster dev --log-level error -m brain_assets.definitions --port"
    command = [sys.executable, *options.split(), str(port)]
    serve_reports(settings)
    server = subprocess.Popen(command, env=environment, start_new_session=True)  # noqa: S603 - ours
    for number in (signal.SIGINT, signal.SIGTERM, signal.SIGHUP):
        signal.signal(number, lambda given, _: server.send_signal(given))
    while server.poll() is None and not _is_open(port):
        time.sleep(0.2)
    if server.poll() is None:
        console.print(f"Dagster's UI: http://127.0.0.1:{port}, until Ctrl-C")
    code = server.wait()
    with open_instance(home) as instance:
        instance.wipe_daemon_heartbeats()  # another may begin at once
    raise typer.Exit(code)


def serve_reports(settings: Settings) -> None:
    """Serve the folder of reports while the process lives, if their address is of this machine.

    Dagster's UI links to them: it can show none itself.
    """
    address, folder = urlsplit(settings.reports_url), settings.data_dir / "reports"
    if address.hostname != "127.0.0.1" or is_remote(folder):
        return
    try:
        server = ThreadingHTTPServer(("127.0.0.1", address.port or 80), partial(_Reports, directory=str(folder)))
    except OSError as error:
        warn(f"reports: expected {settings.reports_url} to be free, got {error.strerror}; set BRAIN_REPORTS_URL.")
        return
    threading.Thread(target=server.serve_forever, daemon=True).start()


class _Reports(SimpleHTTPRequestHandler):
    def log_message(self, *_: object) -> None:
        """Say nothing of requests."""


def _is_open(port: int) -> bool:
    with socket.socket() as probe:
        return probe.connect_ex(("127.0.0.1", port)) == 0


def main() -> None:
    """Run the command line; an error that a user can act on is one sentence and exit code 2."""
    try:
        command_line()()
    except BrainAssetsError as error:
        message = str(error)
    except OSError as error:
        message = str(StorageError.unwritable(error.filename or read_settings().data_dir, error.strerror or error))
    else:
        return
    print_error(message)
    sys.exit(2)


def print_ui_hint(command: str | None, settings: Settings) -> None:
    """Say how to open the UI on these very results."""
    asked = escape(command or settings.command("brain-assets ui"))
    console.print(f"Look at them in Dagster's UI: {asked}", soft_wrap=True)  # whole: it is pasted
