"""The sensor on new data: asks for the years of the raw tables that are new or have changed; all else follows them.

What a tick asks for is a run a year, of those raw tables alone whose data version is another than the one that was last
asked for. Nothing is downloaded in a tick. Without a cursor, all years of a market are asked for whose rows may not be
the stored ones; a forced fetch that gives the same rows changes nothing.
"""

from collections.abc import Mapping, Sequence

import dagster as dg
import pydantic

from brain_assets.errors import MarketError
from brain_assets.graph.checks import with_own_checks
from brain_assets.graph.years import Years
from brain_assets.market.base import FileState, Market, ObservableMarket, Observation
from brain_assets.market.calendar import Clock
from brain_assets.market.schema import RAW


class Cursor(pydantic.BaseModel, extra="forbid"):
    """What is known from one tick to the next."""

    asked: dict[str, dict[int, str]] = {}
    """Raw table -> year -> the data version that was last asked for, or found to be stored."""
    files: dict[str, FileState] = {}


def new_data_sensor(years: Years, raw: Sequence[dg.AssetsDefinition]) -> dg.SensorDefinition:
    """Define the sensor ``new_data`` on the raw tables."""

    @dg.sensor(
        name="new_data",
        target=with_own_checks(raw),
        description=(
            "Asks for the raw tables of years that are new or whose rows have changed: in BRAIN_FILES_DIR, or, for the "
            "market live, years that are final. Downloads nothing itself."
        ),
        minimum_interval_seconds=60,
    )
    def new_data(
        context: dg.SensorEvaluationContext, market: dg.ResourceParam[Market], clock: dg.ResourceParam[Clock]
    ) -> dg.SensorResult | dg.SkipReason:
        """Compare what there is with what was asked for."""
        if not isinstance(market, ObservableMarket):
            return dg.SkipReason(f"market {market.name}: nothing new to come, its data is always the same")
        cursor, begun_anew = read_cursor(context.cursor)
        existing = years.existing()
        try:
            found = market.observe(existing, cursor.files, clock())
        except MarketError as error:  # no folder: what is remembered stays
            return dg.SkipReason(str(error))
        first, *warnings = [*found.sentences, *begun_anew, *_later_years(years, existing, found)]
        for sentence in warnings:
            context.log.warning(sentence)
        requests = _requests(_wanted(context.instance, cursor.asked, found))
        kept = Cursor(asked=cursor.asked, files=dict(found.files)).model_dump_json()
        return dg.SensorResult(requests, skip_reason=None if requests else " ".join([first, *warnings]), cursor=kept)

    return new_data


def read_cursor(text: str | None) -> tuple[Cursor, list[str]]:
    """Read a cursor; one that is damaged, or of another version, is begun anew, and a sentence says so."""
    try:
        return Cursor.model_validate_json(text or "{}"), []
    except pydantic.ValidationError as error:
        return Cursor(), [f"the cursor cannot be read ({error.errors()[0]['msg']}): it is begun anew"]


def _later_years(years: Years, existing: Sequence[int], found: Observation) -> list[str]:
    """Name a year that is complete, but no partition yet: which there are was read when this began."""
    newest, last = existing[-1] if existing else years.first - 1, found.complete_until
    if last is None or last <= newest or years.last_asked is not None:
        return []
    return [
        f"the data are complete until {last}, but this code location was loaded when they were until {newest}: reload "
        "it (Deployment in the UI) or restart Dagster."
    ]


def _wanted(
    instance: dg.DagsterInstance, asked: dict[str, dict[int, str]], found: Observation
) -> dict[int, dict[str, str]]:
    """Tell which raw tables of which years shall be fetched, and why; it is remembered as asked for."""
    wanted: dict[int, dict[str, str]] = {}
    for table, versions in found.versions.items():
        before = asked.setdefault(table, {})
        for year, version in versions.items():
            if year in before and before[year] != version:
                wanted.setdefault(year, {})[table] = "rows changed"
            elif year not in before and not _is_final(instance, table, year, found):
                wanted.setdefault(year, {})[table] = "not asked for before"
        before.update(versions)
    return wanted


def _is_final(instance: dg.DagsterInstance, table: str, year: int, found: Observation) -> bool:
    """Tell whether what is stored of a year is known to be what the market has."""
    record = instance.get_latest_data_version_record(dg.AssetKey(table), partition_key=str(year))
    since = found.final_since.get(year)
    return record is not None and since is not None and record.timestamp >= since.timestamp()


def _requests(wanted: Mapping[int, Mapping[str, str]]) -> list[dg.RunRequest]:
    """Ask for a run a year, the oldest first."""
    return [
        dg.RunRequest(
            partition_key=str(year),
            asset_selection=[dg.AssetKey(table) for table in RAW if table in reasons],
            run_config={"ops": {table: {"config": {"force": True}} for table in reasons}},
            tags={"brain_assets/new_data": "; ".join(f"{table}: {why}" for table, why in reasons.items())},
        )
        for year, reasons in sorted(wanted.items())
    ]
