"""The sensor on new data: asks for the years of the raw tables that are new or have changed; all else follows them.

What a tick asks for is a run a year, of those raw tables alone that are not done, as ``brain-assets status`` says.
Nothing is downloaded in a tick. What was asked for is not asked for again until the market has other rows once more.
"""

import json
from collections.abc import Mapping, Sequence

import dagster as dg

from brain_assets.errors import MarketError
from brain_assets.graph.checks import with_own_checks
from brain_assets.graph.status import State, StatusReader
from brain_assets.market.base import ObservableMarket, Observation
from brain_assets.market.schema import RAW

Asked = dict[str, dict[str, str]]
"""What the cursor remembers: raw table -> year -> the data version that was last asked for, until it is stored."""


def new_data_sensor(raw: Sequence[dg.AssetsDefinition]) -> dg.SensorDefinition:
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
    def new_data(context: dg.SensorEvaluationContext) -> dg.SensorResult | dg.SkipReason:
        """Compare what there is with what was asked for."""
        graph = context.repository_def.asset_graph  # type: ignore[union-attr]  # there is one in every tick
        reader = StatusReader(graph, context.instance, {}, in_passing=True)
        if not isinstance(reader.market, ObservableMarket):
            return dg.SkipReason(f"market {reader.market.name}: nothing new to come, its data is always the same")
        asked: Asked = json.loads(context.cursor or "{}")
        try:
            found = reader.source
        except MarketError as error:  # no folder: what is remembered stays
            return dg.SkipReason(str(error))
        for sentence in found.sentences[1:]:
            context.log.warning(sentence)
        requests = _requests(_wanted(reader, asked, found))
        said = None if requests else " ".join(found.sentences)
        return dg.SensorResult(requests, skip_reason=said, cursor=json.dumps(asked))

    return new_data


def _wanted(reader: StatusReader, asked: Asked, found: Observation) -> dict[int, dict[str, str]]:
    """Tell which raw tables of which years shall be fetched, and why; it is remembered as asked for."""
    wanted: dict[int, dict[str, str]] = {}
    for table, versions in found.versions.items():
        before, statuses = asked.get(table, {}), {year: reader.read(table, year) for year in versions}
        reasons = {year: status.reason for year, status in statuses.items() if status.state is not State.DONE}
        asked[table] = {str(year): versions[year] for year in reasons}
        for year, reason in reasons.items():
            if before.get(str(year)) != versions[year]:
                wanted.setdefault(year, {})[table] = reason
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
