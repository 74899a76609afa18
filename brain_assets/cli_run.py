"""How a backfill shows on the command line: a live line of what is under way, a line for whatever ends, a summary."""

import re
from collections.abc import Callable, Mapping, Sequence
from contextlib import closing
from typing import Any

from rich.markup import escape

from brain_assets.graph.backfill import Backfill
from brain_assets.graph.project import Project
from brain_assets.graph.tasks import BAD, Event, Pool, Task
from brain_assets.graph.workers import local_pool
from brain_assets.registry import label
from brain_assets.terminal import console, print_error, progress_shown, shown_live


def run_years(
    backfill: Backfill,
    years: Sequence[int],
    pool: Pool,
    last: Sequence[Task] = (),
    line: Callable[[Event], str] | None = None,
) -> list[Event]:
    """Run years, then what comes last, and print a line for whatever ends; what Ctrl-C raises tells what is left.

    Parameters
    ----------
    backfill : Backfill
    years : sequence of int
    pool : Pool
    last : sequence of Task
    line : callable, optional
        Gives the line of an event, empty for none; None: `event_line`.
    """
    outcomes: list[Event] = []
    try:
        console.print(f"[dim]{pool.words}[/]", soft_wrap=True)
        with progress_shown() as live, closing(backfill.run(years, pool, last)) as events:
            for event in shown_live(events, live):
                outcomes.append(event)
                if text := (line or event_line)(event):
                    console.print(text, soft_wrap=True)
    except KeyboardInterrupt:
        left = [f"{backfill.unfinished} unfinished"] if backfill.unfinished else []
        raise KeyboardInterrupt(*left, "run again to go on") from None
    return outcomes


def run_alone(session: tuple[Project, Any], *tasks: Task) -> Event:
    """Run assets without years in a process of this machine, and give how the last ended, or the first that failed.

    Parameters
    ----------
    session : Project and DagsterInstance
    *tasks : Task
    """
    project, instance = session
    backfill, pool = Backfill(project.definitions, instance), local_pool(project, instance, 1)
    with progress_shown() as live, closing(backfill.run([], pool, tasks)) as events:
        ended = list(shown_live(events, live))
    return next((event for event in ended if event.kind == "failed"), ended[-1])


def event_line(outcome: Event) -> str:
    """Say how a year of an asset ended."""
    colors = {"done": "dim", "made": "green", "reused": "green", "failed": "red", "blocked": "yellow"}
    said = {"done": "done already, skipped", "made": "made", "reused": "run, nothing had changed"}
    color = colors[outcome.kind]
    head = f"{outcome.year or '':<4} {outcome.asset:<22} [{color}]{said.get(outcome.kind, outcome.kind)}[/]"
    took = f" in {outcome.seconds:.1f} s" if outcome.seconds else ""
    metadata = outcome.metadata
    if outcome.kind in ("failed", "blocked"):
        detail = f": {outcome.detail}"
    elif "verdict" in metadata:
        detail = f", {metadata['verdict']}"
    elif "validation/loss" in metadata:
        epochs = f", {metadata['epochs']} epochs" if "epochs" in metadata else ""
        detail = (
            f"{epochs}, validation loss {metadata['validation/loss']:.4f} "
            f"(of zero: {metadata['validation/loss_of_zero']:.4f})"
        )
    elif words := _rank_correlations(metadata):
        detail = f", rank correlation {words}"
    elif "neutral" in metadata:
        detail = f", empty (source {metadata['source']})" if "source" in metadata else ", empty"
    else:
        detail = ""
    return head + escape(took + detail) + hub_words(metadata)


def _rank_correlations(metadata: Mapping[str, Any]) -> str:
    """Name the forecasters with the rank correlation of their forecasts, if these are forecasts and it is known."""
    found = {re.fullmatch("eval/(.+)_rank_correlation", key): value for key, value in metadata.items()}
    families = {match[1]: value for match, value in found.items() if match and isinstance(value, float)}
    families.pop("momentum", None)
    return ", ".join(f"{label(family)} {value:+.3f}" for family, value in families.items())


def hub_words(metadata: Mapping[str, Any]) -> str:
    """Say how a model's copy on the Hub stands, if it has one."""
    if "hub" not in metadata:
        return ""
    reason = f": {metadata['hub_reason']}" if "hub_reason" in metadata else ""
    color = "yellow" if metadata["hub"] == "pending" else "default"
    return f", [{color}]hub: {escape(metadata['hub'] + reason)}[/]"


def print_summary(outcomes: Sequence[Event]) -> None:
    """Count what ended how, and say once each why something failed."""
    counts = {name: sum(outcome.kind == name for outcome in outcomes) for name in ("made", "reused", "done")}
    bad = [outcome for outcome in outcomes if outcome.kind in BAD]
    console.print(
        f"{counts['made']} made, {counts['reused']} run without change, {counts['done']} done before, "
        f"{len(bad)} not done"
    )
    years_by_cause: dict[str, dict[str, list[str]]] = {}
    for outcome in bad:
        if outcome.kind == "failed":  # what is blocked has its cause in its own line
            years = years_by_cause.setdefault(outcome.detail, {}).setdefault(outcome.asset, [])
            years += [str(outcome.year)] if outcome.year else []
    for cause, failed in years_by_cause.items():
        places = "; ".join(f"{asset} {', '.join(years)}".strip() for asset, years in failed.items())
        print_error(f"{places}: {cause}")
