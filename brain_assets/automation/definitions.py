"""The two switches under *Automation*: `new_data` asks for raw tables that are new or have changed; all else follows.

What a tick asks for is a run a year, of those raw tables alone that are not done, as ``brain-assets status`` says.
Nothing is downloaded in a tick. What was asked for is not asked for again until the market has other rows once more.
"""

import json
import warnings
from collections.abc import Sequence

import dagster as dg

from brain_assets.errors import MarketError
from brain_assets.graph.checks import with_own_checks
from brain_assets.graph.project import Project
from brain_assets.graph.status import State, StatusReader
from brain_assets.market.base import ObservableMarket
from brain_assets.market.schema import RAW

with warnings.catch_warnings(category=dg.BetaWarning, action="ignore"):  # the last argument is still called beta
    downstream = dg.AutomationConditionSensorDefinition(
        name="downstream",
        target=dg.AssetSelection.all(),
        description=(
            "Makes every year that is missing and whose inputs are there, and makes again what was made from data that "
            "has changed since; with the default configuration of each asset."
        ),
        minimum_interval_seconds=30,
        emit_backfills=False,  # a run a year: what one tick asks for does not depend on itself
        use_user_code_server=True,  # the daemon does not know `brain_assets.graph.conditions.NotDone`
    )
"""Off until somebody switches it on; the conditions of the assets say what it asks for."""

Asked = dict[str, dict[str, str]]
"""What the cursor remembers: raw table -> year -> the data version that was last asked for, until it is stored."""


def definitions(project: Project) -> dg.Definitions:
    """Define the sensors."""
    raw = [asset for asset in project.yearly if asset.key.to_user_string() in RAW]
    return dg.Definitions(sensors=[new_data_sensor(raw), downstream])


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
        try:
            found = reader.source
        except MarketError as error:  # no folder: what is remembered stays
            return dg.SkipReason(str(error))
        for sentence in found.sentences[1:]:
            context.log.warning(sentence)
        asked: Asked = json.loads(context.cursor or "{}")
        requests = [_request(year, reasons) for year, reasons in sorted(_wanted(reader, asked).items())]
        said = None if requests else " ".join(found.sentences)
        return dg.SensorResult(requests, skip_reason=said, cursor=json.dumps(asked))

    return new_data


def _wanted(reader: StatusReader, asked: Asked) -> dict[int, dict[str, str]]:
    """Tell which raw tables of which years shall be fetched, and why; it is remembered as asked for."""
    wanted: dict[int, dict[str, str]] = {}
    for table, versions in reader.source.versions.items():
        before, statuses = asked.get(table, {}), {year: reader.read(table, year) for year in versions}
        reasons = {year: status.reason for year, status in statuses.items() if status.state is not State.DONE}
        asked[table] = {str(year): versions[year] for year in reasons}
        for year, reason in reasons.items():
            if before.get(str(year)) != versions[year]:
                wanted.setdefault(year, {})[table] = reason
    return wanted


def _request(year: int, reasons: dict[str, str]) -> dg.RunRequest:
    return dg.RunRequest(
        partition_key=str(year),
        asset_selection=[dg.AssetKey(table) for table in RAW if table in reasons],
        tags={"brain_assets/new_data": "; ".join(f"{table}: {why}" for table, why in reasons.items())},
    )
