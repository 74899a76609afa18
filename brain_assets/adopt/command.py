"""The command `brain-assets adopt`."""

from brain_assets.adopt.definitions import find_external
from brain_assets.graph.build import session
from brain_assets.terminal import MarketOption, console


def adopt(market: MarketOption = None) -> None:
    """Tell Dagster of snapshots that it has never seen: copied here, or pulled.

    Each becomes a materialization of its year without a run: the UI shows it as done, and a backfill of what is missing
    does not train it. The sensor of the same name does this while `brain-assets ui` or `dagster dev` runs.
    """
    with session(market) as (project, instance):
        defs, count = project.definitions, 0
        storages = (defs.resources or {})["snapshot_io"].storages
        for event in find_external(instance, defs.resolve_asset_graph(), storages):
            instance.report_runless_asset_event(event)
            console.print(f"{event.partition} {event.asset_key.to_user_string():<22} [green]adopted[/]")
            count += 1
        existing = project.years.existing()
        span = f"of the snapshots of {existing[0]}-{existing[-1]} that could be read" if existing else "of any year"
        console.print(f"{count} adopted" if count else f"nothing to adopt: none {span} is new to Dagster")
