"""The sensor on new data: asks for the years of the raw tables that are new or have changed; all else follows them.

What a tick asks for is a run a year, of those raw tables alone whose rows are not the stored ones. Nothing is
downloaded in a tick, and no run is asked for twice: the cursor remembers, and a run key is made of the year, of the
rows that are wanted and of the materialization that they shall replace.
"""

import datetime
from collections.abc import Mapping, Sequence

import dagster as dg

from brain_assets.errors import MarketError
from brain_assets.graph.checks import with_own_checks
from brain_assets.graph.io_managers import TableIOManager
from brain_assets.graph.so_far import Clock
from brain_assets.graph.years import Years
from brain_assets.market.base import Market
from brain_assets.market.calendar import sessions_after_year
from brain_assets.market.file_sums import Partitions
from brain_assets.market.file_watch import FileWatch, Look, Memory, Need, recall
from brain_assets.market.files import FilesMarket, complete_year
from brain_assets.market.schema import RAW
from brain_assets.settings import Settings
from brain_assets.store.fingerprint import hash_json
from brain_assets.store.tables import TableStore

GRACE_SESSIONS = 5
"""Sessions from the end of a year until `live` is asked for it: Yahoo corrects closes and volumes for some days, and a
year is fetched once."""

COMPLETE = "complete"
"""Fingerprint of a year of the market `live`."""


def new_data_sensor(settings: Settings, years: Years, raw: Sequence[dg.AssetsDefinition]) -> dg.SensorDefinition:
    """Define the sensor ``new_data`` on the raw tables."""

    @dg.sensor(
        name="new_data",
        target=with_own_checks(raw),
        description=(
            "Asks for the raw tables of years that are new or whose rows have changed: in BRAIN_FILES_DIR, or, for the "
            f"market live, years that were over {GRACE_SESSIONS} sessions ago. Downloads nothing itself."
        ),
        minimum_interval_seconds=60,
    )
    def new_data(
        context: dg.SensorEvaluationContext,
        market: dg.ResourceParam[Market],
        table_io: dg.ResourceParam[TableIOManager],
        clock: dg.ResourceParam[Clock],
    ) -> dg.SensorResult | dg.SkipReason:
        """Compare what there is with what is stored."""
        if isinstance(market, FilesMarket):
            try:
                needs, memory, sentences = _needs_of_files(settings, years, context, market, table_io.store, clock)
            except MarketError as error:  # no folder: what is remembered stays
                return dg.SkipReason(str(error))
        elif market.name == "live":
            needs, memory, sentences = _needs_of_live(settings, years, context, clock)
        else:
            return dg.SkipReason(f"market {market.name}: nothing new to come, its data is always the same")
        for sentence in sentences[1:]:  # the first says what was looked at
            context.log.warning(sentence)
        cursor = memory.model_dump_json()
        if not needs:
            context.update_cursor(cursor)
            return dg.SkipReason(" ".join(sentences))
        return dg.SensorResult(run_requests=[*_requests(context.instance, needs)], cursor=cursor)

    return new_data


def _needs_of_files(
    settings: Settings,
    years: Years,
    context: dg.SensorEvaluationContext,
    market: FilesMarket,
    tables: TableStore,
    clock: Clock,
) -> tuple[list[Need], Memory, list[str]]:
    watch = FileWatch(market.folder, Partitions(settings.first_year, years.first, market.symbols), tables, clock)
    memory, begun_anew = recall(context.cursor, watch.made_for)
    look = watch.look(memory)
    last = complete_year(look.last_day, clock()) if look.last_day else years.first - 1
    existing = years.existing()
    needs = watch.needs(look, [year for year in existing if year <= last], _materialized(context.instance))
    return (
        needs,
        look.memory,
        [_looked_at(market, look), *filter(None, [begun_anew, _later_years(years, existing, last)]), *_held(look)],
    )


def _looked_at(market: FilesMarket, look: Look) -> str:
    counts = ", ".join(f"{count} of {table}" for table, count in look.counts.items())
    return f"{market.folder}: looked at {counts}; {look.n_read or 'none'} with other content than at the last look."


def _held(look: Look) -> list[str]:
    return [f"{table} waits: {why}" for table, why in look.held.items()]


def _later_years(years: Years, existing: Sequence[int], last: int) -> str:
    """Name a year that is complete in the files, but no partition yet: which there are was read when this began."""
    newest = existing[-1] if existing else years.first - 1
    if last <= newest or years.last_asked is not None:
        return ""
    return (
        f"the files are complete until {last}, but this code location was loaded when they were until {newest}: reload "
        "it (Deployment in the UI) or restart Dagster."
    )


def _needs_of_live(
    settings: Settings, years: Years, context: dg.SensorEvaluationContext, clock: Clock
) -> tuple[list[Need], Memory, list[str]]:
    memory, begun_anew = recall(context.cursor, {"market": "live", "symbols": ",".join(settings.symbols)})
    due = [year for year in years.existing() if sessions_after_year(year, clock()) >= GRACE_SESSIONS]
    needs = []
    for year in due:
        for table in RAW:
            handled = memory.handled.setdefault(table, {})
            if year not in handled:
                handled[year] = COMPLETE
                why = _why_of_live(context.instance, table, year)
                needs += [Need(table, year, COMPLETE, why)] if why else []
    span = f"{due[0]} to {due[-1]}" if due else "no year"
    said = (
        f"market live: {span} over for {GRACE_SESSIONS} sessions; looked at the materializations of "
        f"{', '.join(RAW)}: each year is there, or was asked for."
    )
    return needs, memory, [said, *filter(None, [begun_anew])]


def _why_of_live(instance: dg.DagsterInstance, table: str, year: int) -> str:
    """Tell why a year that is over shall be fetched; empty: it was, when corrections were in."""
    record = instance.get_latest_data_version_record(dg.AssetKey(table), partition_key=str(year))
    if record is None:
        return "not materialized"
    made = datetime.datetime.fromtimestamp(record.timestamp, datetime.UTC)
    return "" if sessions_after_year(year, made) >= GRACE_SESSIONS else "made before corrections were in"


def _materialized(instance: dg.DagsterInstance) -> Mapping[str, set[int]]:
    return {name: {int(key) for key in instance.get_materialized_partitions(dg.AssetKey(name))} for name in RAW}


def _requests(instance: dg.DagsterInstance, needs: Sequence[Need]) -> Sequence[dg.RunRequest]:
    """Put together what is needed of a year; the oldest first."""
    by_year: dict[int, list[Need]] = {}
    for need in needs:
        by_year.setdefault(need.year, []).append(need)
    return [
        dg.RunRequest(
            run_key=_run_key(instance, year, wanted),
            partition_key=str(year),
            asset_selection=[dg.AssetKey(need.table) for need in wanted],
            run_config={"ops": {need.table: {"config": {"force": True}} for need in wanted}},
            tags={"brain_assets/new_data": "; ".join(f"{need.table}: {need.why}" for need in wanted)},
        )
        for year, wanted in sorted(by_year.items())
    ]


def _run_key(instance: dg.DagsterInstance, year: int, wanted: Sequence[Need]) -> str:
    """Name a request by its year, the rows that are wanted, and the materializations that they shall replace.

    The last tell a change from its second coming: rows that are corrected, put back, and corrected again.
    """
    replaced = {}
    for need in wanted:
        record = instance.get_latest_data_version_record(dg.AssetKey(need.table), partition_key=str(year))
        replaced[need.table] = record.storage_id if record else 0
    content = {"rows": {need.table: need.fingerprint for need in wanted}, "replaced": replaced}
    return f"{year}-{hash_json(content)[:16]}"
