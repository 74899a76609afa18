"""How a backfill shows on the command line: a live line of what is under way, a line for whatever ends, a summary.

And what it found, a row a year, which is read from the data folder.
"""

import re
from collections import Counter
from collections.abc import Collection, Generator, Iterable, Iterator, Mapping, Sequence
from contextlib import closing
from textwrap import shorten
from typing import Any

import pandas as pd
from rich.markup import escape

from brain_assets.forecasting.metrics import mean_skill
from brain_assets.forecasting.walkforward import YARDSTICKS, column_label, weekly_correlations
from brain_assets.formatting import format_figure, listed
from brain_assets.graph.backfill import Backfill
from brain_assets.graph.checks import SKILL
from brain_assets.graph.project import Project
from brain_assets.graph.status import State, Status, rests_on
from brain_assets.graph.tasks import BAD, ENDS, Event, Pool, Task
from brain_assets.graph.workers import local_pool
from brain_assets.parquet import read_table
from brain_assets.paths import DataPath, is_file
from brain_assets.portfolio.backtest import growth
from brain_assets.portfolio.baselines import EQUAL_WEIGHT
from brain_assets.registry import AVERAGE, Families, label
from brain_assets.store.names import cutoff_of_year
from brain_assets.store.storage import SnapshotLocalStorage
from brain_assets.store.tables import FOLDERS
from brain_assets.terminal import console, new_table, print_error, progress_shown

N_DOUBTS = 3
"""Years that are named in a line."""
LOSSES = ("train_loss", "validation_loss", "zero_validation_loss")
"""Of a snapshot; the last is that of predicting zero on the validation weeks."""
SKILL_FORMS = ("+.3f", "+.1f", ".3f")
"""Of the mean rank correlation, its t statistic, and the smallest mean that can be detected."""


def run_years(backfill: Backfill, years: Sequence[int], pool: Pool, last: Sequence[Task] = ()) -> list[Event]:
    """Run years, then what comes last, and print a line for whatever ends; what Ctrl-C raises tells what is left."""
    outcomes = []
    console.print(f"[dim]{pool.words}[/]")
    with closing(_ends(backfill, years, pool, last)) as ends:
        for event in ends:
            outcomes.append(event)
            if text := event_line(event):
                console.print(text)
            for warning in data_warnings(event.warnings):
                said = escape(f"{event.year} {event.asset}, {warning}")
                console.print(f"  [yellow]warning:[/] {said}")
    return outcomes


def _ends(backfill: Backfill, years: Sequence[int], pool: Pool, last: Sequence[Task]) -> Generator[Event]:
    """Run years, then what comes last, and show what is under way; gives what ends."""
    try:
        with progress_shown() as live, closing(backfill.run(years, pool, last)) as events:
            for event in events:
                live.show(event, len(backfill.unfinished))
                if event.kind in ENDS:
                    yield event
    except KeyboardInterrupt:
        found = sorted({year for _, year in backfill.unfinished if year})
        left = [_spans(found), *(asset for asset, year in backfill.unfinished if not year)]
        named = ", ".join(filter(None, left))
        raise KeyboardInterrupt(*([f"{named} unfinished"] if named else []), "run again to go on") from None


def run_alone(session: tuple[Project, Any], years: Collection[int], *tasks: Task) -> Event:
    """Run assets without years in a process of this machine, and give how the last ended, or the first that failed.

    Before that it prints a line if the last rests on a stale, damaged or warned year among these or those before them.
    """
    project, instance = session
    if said := doubts_of(rests_on(project.definitions, instance, tasks[-1].asset, years)):
        console.print(f"[yellow]{escape(said)}[/]")
    backfill, pool = Backfill(project.definitions, instance), local_pool(project, instance, 1)
    ended = list(_ends(backfill, [], pool, tasks))
    return next((event for event in ended if event.kind == "failed"), ended[-1])


def doubts_of(found: Mapping[tuple[str, int], Status]) -> str:
    """Say in a line which years are stale, damaged or warned of; empty: none."""
    said = []
    for (asset, year), status in found.items():
        if status.state in (State.STALE, State.DAMAGED):
            said.append(f"{asset}[{year}] {status.state.value}: {status.reason.removesuffix('.')}")
        elif warnings := data_warnings(status.warnings):
            said.append(f"{asset}[{year}] warned: {first_sentence(warnings[0])}")
    more = f"; and {len(said) - N_DOUBTS} more, which brain-assets status names" if len(said) > N_DOUBTS else ""
    return f"This rests on {'; '.join(said[:N_DOUBTS])}{more}." if said else ""


def first_sentence(words: str) -> str:
    """Give the first of some sentences, without its full stop."""
    return words.split(". ")[0].removesuffix(".")


def data_warnings(warnings: Mapping[str, str]) -> list[str]:
    """Say what the checks that are none of the skill of models found, a line each."""
    return [f"{name}: {words}" for name, words in warnings.items() if name not in SKILL]


def event_line(outcome: Event) -> str:
    """Say how a year of an asset ended; empty for what is blocked, which the summary counts."""
    if outcome.kind == "blocked":
        return ""
    head = f"{outcome.year or '':<4} {outcome.asset:<22} {ENDED[outcome.kind]}"
    took = f" in {outcome.seconds:.1f} s" if outcome.seconds else ""
    metadata = outcome.metadata
    if outcome.kind == "failed":
        width = console.width - len("2020 ") - max(len(outcome.asset), 22) - len(" failed: ")
        # the summary says it in full, once for all
        return head + escape(f"{took}: {shorten(outcome.detail, width, placeholder='…')}")
    if outcome.detail.startswith(("stale", "damaged", "made with")):
        took += f" ({outcome.detail})"
    elif kept := metadata.get("replaced_prices") or metadata.get("replaced"):
        took += f" (other rows than before, which are kept: {kept})"
    return head + escape(took + "".join(f", {words}" for words in _findings(metadata))) + _hub_words(metadata)


ENDED = {
    "done": "[dim]done already, skipped[/]",
    "made": "[green]made[/]",
    "reused": "[green]run, nothing had changed[/]",
    "failed": "[red]failed[/]",
}


def _findings(metadata: Mapping[str, Any]) -> Iterator[str]:
    """Give what tells most of what was made."""
    if "verdict" in metadata:
        yield f"{metadata['version']}: {metadata['verdict']}"
    elif "validation/loss" in metadata:
        if "epochs" in metadata:
            yield f"{metadata['epochs']} epochs"
        loss, of_zero = metadata["validation/loss"], metadata["validation/loss_of_zero"]
        yield f"validation loss {loss:.4f} (of zero: {of_zero:.4f})"
    found = {re.fullmatch("eval/(.+)_rank_correlation", key): value for key, value in metadata.items()}
    known = {match[1]: value for match, value in found.items() if match and isinstance(value, float)}
    if ranks := [f"{label(name)} {value:+.3f}" for name, value in known.items() if name not in YARDSTICKS]:
        yield f"rank correlation {', '.join(ranks)}"
    days = {"listed late": metadata.get("listed_late", "none"), "ended early": metadata.get("ended_early", "none")}
    if said := [f"{what}: {listed(named.split(', '))}" for what, named in days.items() if named != "none"]:
        yield "; ".join(said)
    if "neutral" in metadata:
        yield f"empty (source {metadata['source']})" if "source" in metadata else "empty"


def _hub_words(metadata: Mapping[str, Any]) -> str:
    """Say how a model's copy on the Hub stands, if it has one."""
    if "hub" not in metadata:
        return ""
    reason = f": {metadata['hub_reason']}" if "hub_reason" in metadata else ""
    color = "yellow" if metadata["hub"] == "failed" else "default"
    return f", [{color}]hub: {escape(metadata['hub'] + reason)}[/]"


def print_summary(outcomes: Sequence[Event]) -> None:
    """Count what ended how, and say once each what warns of models, what blocks, and why something failed."""
    counts = {name: sum(outcome.kind == name for outcome in outcomes) for name in ("made", "reused", "done")}
    bad = [outcome for outcome in outcomes if outcome.kind in BAD]
    console.print(
        f"{counts['made']} made, {counts['reused']} run without change, {counts['done']} done before, "
        f"{len(bad)} not done"
    )
    for line in skill_lines((each.asset, each.year, each.warnings) for each in outcomes):
        console.print(f"[yellow]{escape(line)}[/]")
    causes = {(each.asset, each.year): each.detail for each in bad if each.kind == "failed"}
    blocked: dict[tuple[str, ...], list[Event]] = {}
    for outcome in bad:
        if outcome.roots:
            blocked.setdefault(tuple(dict.fromkeys(causes.get(root, "") for root in outcome.roots)), []).append(outcome)
    for alike in blocked.values():
        roots, assets = dict.fromkeys(root for each in alike for root in each.roots), {each.asset for each in alike}
        places = f"{counted(len(alike), 'year')} of {counted(len(assets), 'asset')}"
        console.print(f"[yellow]blocked[/] by {places_of(roots)}: {places}")
    for cause in dict.fromkeys(causes.values()):
        print_error(f"{places_of(place for place in causes if causes[place] == cause)}: {cause}")


def skill_lines(found: Iterable[tuple[str, int, Mapping[str, str]]]) -> list[str]:
    """Say in a line each which models did not pass the checks of what they are worth; of asset, year and warnings."""
    places: dict[str, list[tuple[str, int]]] = {}
    for asset, year, warnings in found:
        for name in warnings:
            if name in SKILL:
                places.setdefault(name, []).append((asset, year))
    return [f"{name} did not pass: {places_of(places[name])}" for name in SKILL if name in places]


def places_of(places: Iterable[tuple[str, int]]) -> str:
    """Name assets with their years, if they have any: ``lstm_snapshot 2019, 2021-2023; backtest 2020; report``."""
    years: dict[str, list[int]] = {}
    for asset, year in sorted(places, key=lambda place: place[1]):
        years.setdefault(asset, []).append(year)
    return "; ".join(f"{asset} {_spans(found)}".strip() for asset, found in years.items())


def _spans(years: Sequence[int]) -> str:
    """Write ascending years, those in a row as one span."""
    starts = [year for year in years if year and year - 1 not in years]
    ends = [year for year in years if year and year + 1 not in years]
    return ", ".join(
        f"{first}" if first == last else f"{first}-{last}" for first, last in zip(starts, ends, strict=True)
    )


def counted(number: int, one: str) -> str:
    """Say how many of something there are: ``1 year``, ``2 years``."""
    return f"{number} {one}" if number == 1 else f"{number} {one}s"


def refuse_warnings(outcomes: Sequence[Event]) -> bool:
    """Say that checks warned, and of what, in one line; tells whether any did."""
    counts = Counter(name for outcome in outcomes for name in outcome.warnings)
    if counts:
        named = ", ".join(f"{name} {number}" for name, number in counts.items())
        print_error(
            f"--strict: expected no check to warn, got {counts.total()}: {named}; what each found is said above."
        )
    return bool(counts)


def print_results(data_dir: DataPath, years: Sequence[int], families: Families) -> None:
    """Print the figures of some partition years; a dash stands for what is not there."""
    forecasters = new_table(
        *("year", "forecaster", "train\nloss", "valid.\nloss", "loss\nof zero", "rank\ncorr.", "t", "detect-\nable"),
        title="Forecasters, by year",
        caption="Losses of the year's snapshot: mean squared error over the targets' variance. Rank correlation: out "
        "of sample, forecasts of the year by the snapshots of the year before, which the first year has none of; mean "
        "over the weeks, t statistic (Newey-West), and the smallest mean that so many weeks can tell from chance.",
    )
    policies = new_table(
        *("year", *(family.label for family in families.policies.values()), "equal weight"),
        title="Portfolios, out of sample",
        caption="Return of the policies of the year before, after costs, beside equal weight on the same weeks.",
    )
    forecasts = {year: _read(data_dir, "walkforward_forecasts", year) for year in years}
    for year in years:
        losses = {name: _losses(data_dir, name, year) for name in families.forecasters}
        for name, figures in _skill(forecasts[year], families):
            forecasters.add_row(str(year), column_label(name), *losses.get(name, [""] * len(LOSSES)), *figures)
        forecasters.add_section()
        policies.add_row(str(year), *_returns(_read(data_dir, "backtest", year), list(families.policies)))
    known = [table for table in forecasts.values() if table is not None]
    for name, figures in _skill(pd.concat(known), families) if len(known) > 1 else ():
        forecasters.add_row("all", column_label(name), *[""] * len(LOSSES), *figures)
    console.print(forecasters)
    console.print(policies)


def _losses(data_dir: DataPath, family: str, year: int) -> list[str]:
    metadata = SnapshotLocalStorage(family, data_dir / "models").read_metadata(cutoff_of_year(year))
    return [format_figure(metadata["training"].get(loss) if metadata else None, ".4f") for loss in LOSSES]


def _skill(forecasts: pd.DataFrame | None, families: Families) -> Iterator[tuple[str, list[str]]]:
    """Give the figures (`SKILL_FORMS`) of each forecaster and yardstick."""
    weekly = pd.DataFrame() if forecasts is None else weekly_correlations(forecasts)
    for name in (*families.forecasters, AVERAGE, *YARDSTICKS):
        if name in weekly:
            *found, _ = mean_skill(weekly[name].to_numpy())
            yield name, [format_figure(value, form) for value, form in zip(found, SKILL_FORMS, strict=True)]
        elif name in families.forecasters:
            yield name, [format_figure(None)] * len(SKILL_FORMS)


def _returns(backtests: pd.DataFrame | None, policies: Sequence[str]) -> list[str]:
    """Write the returns of policies and of equal weight, which alone is compared with nothing."""
    if backtests is None or not set(backtests["strategy"]) & set(policies):
        return [format_figure(None)] * (len(policies) + 1)
    return [format_figure(growth(backtests, name), "+.1%") for name in (*policies, EQUAL_WEIGHT)]


def _read(data_dir: DataPath, name: str, year: int) -> pd.DataFrame | None:
    path = data_dir / FOLDERS[name] / f"{year}.parquet"
    return read_table(path) if is_file(path) else None
