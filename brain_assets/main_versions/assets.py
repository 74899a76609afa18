"""The assets ``<forecaster>_model``, without partitions, and the job that makes them all."""

import dagster as dg
import pandas as pd

from brain_assets.device import resolve_device
from brain_assets.errors import EmptyResponseError, SnapshotFileError
from brain_assets.forecasting.forecaster import Forecaster
from brain_assets.graph.assets.inputs import inputs, panel_of
from brain_assets.graph.assets.raw import fetch_year_to_date, join, recent_window
from brain_assets.graph.instance import TRAINING_POOL
from brain_assets.graph.io_managers import SnapshotIOManager, TableIOManager, publish, show_epochs, snapshot_metadata
from brain_assets.graph.options import ModelRunConfig
from brain_assets.graph.project import Project
from brain_assets.graph.years import Years
from brain_assets.main_versions.training import CODE_VERSION, train_version, version_of
from brain_assets.market.base import Market, MarketNote
from brain_assets.market.calendar import Clock
from brain_assets.market.schema import RAW
from brain_assets.progress import report, warn
from brain_assets.store.snapshot import ModelSnapshot
from brain_assets.store.storage import SnapshotLocalStorage


def definitions(project: Project) -> dg.Definitions:
    """Define a main version of each forecaster, and their job."""
    assets = [main_model_asset(family, project.years) for family in project.settings.families.forecasters.values()]
    job = dg.define_asset_job(
        "main_versions",
        selection=dg.AssetSelection.assets(*assets),
        description="Trains the forecasters on all data until the last finished session; what is no worse "
        "becomes current.",
    )
    return dg.Definitions(assets, jobs=[job])


def main_model_asset(family: Forecaster, years: Years) -> dg.AssetsDefinition:
    """Define the asset ``<family>_model`` of a forecaster."""
    run_config = ModelRunConfig(family)
    description = (
        f"{family.label} main version: trained on all data until the last finished session; current if its "
        "configuration is no worse than the last one's.\n\nMore: docs/main-versions.md."
    )
    if family.tables == RAW:
        description += "\n\nHeadlines of the current year are scored by the default model of `raw_news_sentiment`."

    @dg.asset(
        name=f"{family.name}_model",
        description=description,
        ins=inputs(family.tables, dg.AllPartitionMapping()),
        code_version=f"{CODE_VERSION}.{family.code_version}",
        config_schema=run_config,
        pool=TRAINING_POOL,
        group_name="main_versions",
        kinds=set(family.kinds),
    )
    def main_model(
        context: dg.AssetExecutionContext,
        market: dg.ResourceParam[Market],
        table_io: dg.ResourceParam[TableIOManager],
        snapshot_io: dg.ResourceParam[SnapshotIOManager],
        clock: dg.ResourceParam[Clock],
        **tables: pd.DataFrame,
    ) -> dg.MaterializeResult[None]:
        window = recent_window(years, clock)
        try:
            recent = fetch_year_to_date(market, window, table_io.headline_cache, family.tables) if window else {}
        except EmptyResponseError as error:
            report(f"no bars after the last complete year: {error}")
            recent = {}
        tables |= {name: join(name, tables[name], frame) for name, frame in recent.items()}  # not stored
        options, given = run_config.read(context.op_execution_context.op_config)
        panel, device, note = panel_of(tables), resolve_device(given.device), MarketNote.of(market)
        storage, version = snapshot_io.storages[family.name], version_of(family.name, panel, options, note.name, device)
        reused = storage.store.find(version) is not None and not given.force
        if reused:
            context.log.info(f"{storage.folder / version} is there already: not trained again")
            snapshot = storage.load(version)
        else:
            show = show_epochs(f"{family.name} main version", options)
            snapshot = train_version(family.name, panel, options, note, _previous(storage, version), show, device)
            storage.write_snapshot(snapshot)
            if snapshot.metadata["scores"]["promoted"]:
                storage.promote(version)
            report(f"{family.name} {version}: {snapshot.metadata['scores']['verdict']}")
        scores = snapshot.metadata["scores"]
        return dg.MaterializeResult(
            metadata={
                "reused": reused,
                "version": version,
                "current_version": storage.current() or "none",
                "held_out/loss": scores["loss"],
                "held_out/loss_of_zero": scores["zero_loss"],
                "held_out/loss_of_previous": scores["previous_loss"] if scores["previous"] else "no version before",
                "held_out/weeks": scores["n_weeks"],
                "promoted_when_made": scores["promoted"],
                "verdict": scores["verdict"],
                "snapshot": dg.MetadataValue.path(str(storage.folder / version)),
                **publish(storage, lambda: storage.upload_version(version)),
                **snapshot_metadata(snapshot),
            },
            data_version=dg.DataVersion(version),
        )

    return main_model


def _previous(storage: SnapshotLocalStorage, name: str) -> ModelSnapshot | None:
    """Read the current version to compare with; one that cannot be read, as of older code, is named, and none."""
    current = storage.current()
    if current in (None, name):
        return None
    try:
        return storage.load(str(current))
    except SnapshotFileError as error:
        warn(f"not compared with the current version: {error}")
        return None
