"""The sensor on new data: asks for the years of the raw tables that are new or have changed; all else follows them.

What a tick asks for is a run a year, of those raw tables alone that are not done, as ``brain-assets status`` says.
Nothing is downloaded in a tick. What was asked for is not asked for again until the market has other rows once more.
"""

from collections.abc import Mapping, Sequence

import dagster as dg
import pydantic

from brain_assets.errors import MarketError
from brain_assets.graph.checks import with_own_checks
from brain_assets.graph.status import State, StatusReader
from brain_assets.graph.years import Years
from brain_assets.market.base import ObservableMarket, Observation
from brain_assets.market.schema import RAW


class Cursor(pydantic.BaseModel, extra="forbid"):
    """What is known from one tick to the next."""

    asked: dict[str, dict[int, str]] = {}
    """Raw table -> year -> the data version that was last asked for, until it is stored."""


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
        context: dg.SensorEvaluationContext,
    ) -> dg.SensorResult | dg.SkipReason:
        """Compare what there is with what was asked for."""
        graph = context.repository_def.asset_graph  # type: ignore[union-attr]  # there is one in every tick
        reader = StatusReader(graph, context.instance, {}, in_passing=True)
        if not isinstance(reader.market, ObservableMarket):
            return dg.SkipReason(f"market {reader.market.name}: nothing new to come, its data is always the same")
        existing, begun_anew, cursor = years.existing(), [], Cursor()
        try:
            cursor = Cursor.model_validate_json(context.cursor or "{}")
        except pydantic.ValidationError as error:  # damaged, or of another version
            begun_anew = [f"the cursor cannot be read ({error.errors()[0]['msg']}): it is begun anew"]
        try:
            found = reader.source
        except MarketError as error:  # no folder: what is remembered stays
            return dg.SkipReason(str(error))
        first, *warnings = [*found.sentences, *begun_anew, *_later_years(years, existing, found)]
        for sentence in warnings:
            context.log.warning(sentence)
        requests = _requests(_wanted(reader, cursor.asked, found))
        said = None if requests else " ".join([first, *warnings])
        return dg.SensorResult(requests, skip_reason=said, cursor=cursor.model_dump_json())

    return new_data


def _later_years(years: Years, existing: Sequence[int], found: Observation) -> list[str]:
    """Name a year that is complete, but no partition yet: which there are was read when this began."""
    newest, last = existing[-1] if existing else years.first - 1, found.complete_until
    if last is None or last <= newest or years.last_asked is not None:
        return []
    return [
        f"the data are complete until {last}, but this code location was loaded when they were until {newest}: reload "
        "it (Deployment in the UI) or restart Dagster."
    ]


def _wanted(reader: StatusReader, asked: dict[str, dict[int, str]], found: Observation) -> dict[int, dict[str, str]]:
    """Tell which raw tables of which years shall be fetched, and why; it is remembered as asked for."""
    wanted: dict[int, dict[str, str]] = {}
    for table, versions in found.versions.items():
        before, statuses = asked.get(table, {}), {year: reader.read(table, year) for year in versions}
        reasons = {year: status.reason for year, status in statuses.items() if status.state is not State.DONE}
        asked[table] = {year: versions[year] for year in reasons}
        for year, version in asked[table].items():
            if before.get(year) != version:
                wanted.setdefault(year, {})[table] = reasons[year]
    return wanted


def _requests(wanted: Mapping[int, Mapping[str, str]]) -> list[dg.RunRequest]:
    """Ask for a run a year, the oldest first."""
    return [
        dg.RunRequest(
            partition_key=str(year),
            asset_selection=[dg.AssetKey(table) for table in RAW if table in reasons],
            tags={"brain_assets/new_data": "; ".join(f"{table}: {why}" for table, why in reasons.items())},
        )
        for year, reasons in sorted(wanted.items())
    ]
