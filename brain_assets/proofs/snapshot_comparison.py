"""Files of snapshots in two runs, and what of a later forecaster its training weeks alone decide."""

import datetime
import json
from pathlib import Path

from brain_assets.proofs.differences import ABSENT, Comparison, Difference, compare_mappings, flat
from brain_assets.proofs.pipeline import Run
from brain_assets.registry import Family
from brain_assets.store.manifest import FILES, MODEL, SCALER, WEIGHTS
from brain_assets.store.names import cutoff_of_year
from brain_assets.store.scaler import NAMES as SCALER_NAMES
from brain_assets.store.weights import read_arrays


def compare_snapshot(comparison: Comparison, before: Run, after: Run, family: Family, year: int) -> None:
    """Compare a year's snapshot: all of it if its cut-off has passed by the date, else what was settled by then."""
    stage, cutoff = family.asset, cutoff_of_year(year)
    folders = [Path(str(run.storage(family.name).path(cutoff))) for run in (before, after)]  # proofs run on disk
    artifact = folders[0].relative_to(before.folder).as_posix()
    if not any(folder.is_dir() for folder in folders):
        return
    contents = [_files(folder) for folder in folders]
    if cutoff <= comparison.after:
        for name in FILES:
            _compare_file(comparison, stage, f"{artifact}/{name}", cutoff, [each.get(name) for each in contents])
        return
    comparison.note_later(stage, 1, int(contents[0] != contents[1]))
    if family.role == "forecaster" and all("metadata.json" in each for each in contents):
        _compare_learned_before(comparison, stage, artifact, contents)


def _compare_learned_before(
    comparison: Comparison, stage: str, artifact: str, contents: list[dict[str, bytes]]
) -> None:
    """Compare what a later forecaster has from its training weeks alone, if the last of them ended by the date."""
    metadata = [json.loads(each["metadata.json"]) for each in contents]
    known = datetime.date.fromisoformat(metadata[0]["data"]["last_training_target"])
    if known > comparison.after:
        return
    scalers = [_scaler(each[MODEL]) for each in contents]
    compare_mappings(comparison, stage, f"{artifact}/{MODEL}", known, scalers, "parts of later snapshots")
    parts = []
    n_epochs = min(len(each["training"]["curve"]) for each in metadata)  # when it stops, its validation weeks decide
    for each in metadata:
        data, training = each["data"], each["training"]
        parts.append(
            flat(
                {
                    "data": {name: data[name] for name in ("first_session", "last_training_target")}
                    | {"n_training_windows": data["n_training_windows"]},
                    "forecast_scale": each["forecast_scale"],
                    "neutral_channels": each["neutral_channels"],
                    "training": {
                        "zero_train_loss": training["zero_train_loss"],
                        "curve": [losses["train"] for losses in training["curve"][:n_epochs]],
                    },
                }
            )
        )
    compare_mappings(comparison, stage, f"{artifact}/metadata.json", known, parts, "parts of later snapshots")


def _files(folder: Path) -> dict[str, bytes]:
    return {path.name: path.read_bytes() for path in folder.iterdir()} if folder.is_dir() else {}


def _scaler(model: bytes) -> dict[str, str]:
    return flat({name: read_arrays(model)[name].tolist() for name in SCALER_NAMES})


def _compare_file(
    comparison: Comparison, stage: str, artifact: str, known: datetime.date, contents: list[bytes | None]
) -> None:
    comparison.compared[stage, "snapshot files"] += 1
    if contents[0] == contents[1]:
        return
    found = [_readable(artifact, content) for content in contents]
    if found[0] != found[1]:
        count = comparison.compared.copy()
        compare_mappings(comparison, stage, artifact, known, found, "keys")
        comparison.compared = count  # the file counts, not its keys
        return
    was, became = (ABSENT if content is None else f"{len(content):,} other bytes" for content in contents)
    comparison.differences.append(Difference(known, stage, artifact, "the file's bytes", "", was, became))


def _readable(artifact: str, content: bytes | None) -> dict[str, str]:
    """Give what a file of a snapshot says in single values; empty where it cannot be taken apart."""
    if content is None:
        return {}
    if artifact.endswith(".json"):
        return flat(json.loads(content))
    if artifact.endswith(MODEL):
        weights = {name: str(array.sum()) for name, array in read_arrays(content).items() if name not in SCALER_NAMES}
        return {**_scaler(content), **weights}
    if artifact.endswith((WEIGHTS, SCALER)):  # never opened; what they hold is in the model too
        return {}
    return {f"line {number}": line for number, line in enumerate(content.decode().splitlines(), start=1)}
