"""Whether a change of the code changed a result: walk-forwards recorded before and after, compared to the bit.

``python -m benchmarks.record make FOLDER`` runs two through the command line, in processes of their own: the demo's
(main versions, then 2019 to 2021, default configurations) and one of the market `files`, whose ragged prices, news and
filings are made up first: small but real models, two seeds each, in three partitions. ``compare A B`` reads both
folders without the package's own readers and prints a line for each kind of result; exit code 1 if one differs. The
names of main versions are compared without their hash, fingerprints and model cards not at all.
"""

import argparse
import json
import os
import pickle
import re
import subprocess
import sys
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pyarrow.parquet as pq
import torch
import yaml
from safetensors.numpy import load_file

REPOSITORY = Path(__file__).parents[1]
FILES_YEARS = (2014, 2018)
FORECASTER = {"window": 30, "epochs": 3, "batch_size": 64}
POLICY = {"n_envs": 4, "hidden": 8, "n_seeds": 2}
SMALL = {
    "lstm_snapshot": {**FORECASTER, "hidden_size": 8, "n_layers": 2, "dropout": 0.1, "target": "demeaned"},
    "patchtst_snapshot": {**FORECASTER, "patch_length": 8, "patch_stride": 4, "d_model": 8, "n_heads": 2, "seed": 5},
    "ppo_policy": {**POLICY, "total_steps": 2_000, "n_steps": 26, "batch_size": 52},
    "sac_policy": {**POLICY, "total_steps": 1_500, "n_steps": 13, "batch_size": 32, "warmup_steps": 208},
}
FIGURES = ("data", "training", "forecast_scale", "scores")
SCALER = {"mean": "mean_", "scale": "scale_", "var": "var_", "n_samples_seen": "n_samples_seen_"}
Results = dict[str, dict[str, Any]]
"""Kind -> name -> what is compared."""

CHECKSUM = "brain_assets.sha256"
"""Attribute of a table in which its file keeps its own checksum; no result."""


def make(folder: Path) -> None:
    """Run both walk-forwards in a folder that is not there yet."""
    folder.mkdir(parents=True)
    demo = {"BRAIN_MARKET": "sample", "BRAIN_LAST_YEAR": "2021", "BRAIN_DATA_DIR": str(folder / "demo")}
    run(demo, "train", "lstm", "patchtst")
    run(demo, "backfill", "2019-2021")
    write_input(folder / "input")
    config = folder / "small.yaml"
    config.write_text(yaml.safe_dump({"ops": {name: {"config": options} for name, options in SMALL.items()}}))
    files = {
        "BRAIN_MARKET": "files",
        "BRAIN_FILES_DIR": str(folder / "input"),
        "BRAIN_FIRST_YEAR": str(FILES_YEARS[0]),
        "BRAIN_BOOTSTRAP_YEARS": "3",
        "BRAIN_DATA_DIR": str(folder / "files"),
    }
    run(files, "backfill", "2016-2018", "--config", str(config))


def run(variables: Mapping[str, str], *arguments: str) -> None:
    """Run the command with these settings alone."""
    foreign = ("BRAIN_", "HF_", "STORAGE_", "DAGSTER_", "AWS_")
    kept = {name: value for name, value in os.environ.items() if not name.startswith(foreign)}
    command = [sys.executable, "-m", "brain_assets.start", *arguments]
    subprocess.run(command, env={**kept, **variables}, cwd=REPOSITORY, check=True)


def write_input(folder: Path) -> None:
    """Write the files of a market: one symbol lists in mid-year, one stops, one has a hole and one has no news."""
    from brain_assets.simulator.market import SimulatorMarket

    market = SimulatorMarket(tuple("ABCDEFGH"), seed=7, signal=0.15)
    start, end = (pd.Timestamp(year, 1, 1).date() for year in (FILES_YEARS[0], FILES_YEARS[1] + 1))
    listed = {"B": ("2017-06-14", "2099"), "C": ("2014-05-02", "2018-08-08"), "D": ("2016-03-15", "2099")}
    prices = market.prices(start, end)
    for symbol, (first, last) in listed.items():
        prices = prices[(prices["symbol"] != symbol) | prices["date"].between(first, last)]
    prices = prices[(prices["symbol"] != "E") | ~prices["date"].between("2017-09-05", "2017-09-14")]
    news = market.news_sentiment(start, end, lambda titles: np.zeros(len(titles))).table
    news = news[news["symbol"] != "F"]
    fundamentals = market.fundamentals(start, end).table
    folder.mkdir()
    for name, table in (("prices", prices), ("news_sentiment", news), ("fundamentals", fundamentals)):
        table.to_csv(folder / f"{name}.csv", index=False)


def results_of(folder: Path) -> Results:
    """Read what a record holds; of each kind at least something, or it is no record."""
    found: Results = {kind: {} for kind in ("inputs", "tables", "weights", "scalers", "configurations", "figures")}
    found["inputs"] = {path.name: path.read_bytes() for path in (folder / "input").glob("*.csv")}
    for path in sorted(folder.glob("*/**/*.parquet")):
        table, name = pq.read_table(path), str(path.relative_to(folder))
        found["tables"][name] = {
            "types": dict(zip(table.column_names, map(str, table.schema.types), strict=True)),
            "attrs": {key: each for key, each in pd.read_parquet(path).attrs.items() if key != CHECKSUM},
            **{f"column {column}": table[column].to_pylist() for column in table.column_names},
        }
    for name, place in snapshots(folder):
        weights, scaler = parts_of(place)
        found["weights"][name] = {"weights.pt": (place / "weights.pt").read_bytes(), **as_bytes(weights)}
        found["scalers"][name] = as_bytes(scaler)
        found["configurations"][name] = json.loads((place / "config.json").read_text())
        metadata = json.loads((place / "metadata.json").read_text())
        found["figures"][name] = {
            key: value for key, value in metadata.items() if key in FIGURES or key.startswith("neutral")
        }
    return found


def snapshots(folder: Path) -> Iterator[tuple[str, Path]]:
    """Find every model folder; its name is without the hash of a main version."""
    for path in sorted(folder.glob("*/models/**/weights.pt")):
        yield re.sub(r"(v\d{4}-\d\d-\d\d)-[0-9a-f]{12}", r"\1", str(path.parent.relative_to(folder))), path.parent


def parts_of(place: Path) -> tuple[dict[str, np.ndarray], dict[str, np.ndarray]]:
    """Read weights and scaler of a folder that this benchmark made itself: elsewhere no pickle is opened."""
    weights = torch.load(place / "weights.pt", weights_only=True)
    scaler = pickle.loads((place / "feature_scaler.pkl").read_bytes())
    return (
        {name: value.numpy() for name, value in weights.items()},
        {name: np.asarray(getattr(scaler, attribute)) for name, attribute in SCALER.items()},
    )


def as_bytes(arrays: Mapping[str, np.ndarray]) -> dict[str, Any]:
    """Give types, shapes and bytes of arrays."""
    return {name: (str(value.dtype), value.shape, value.tobytes()) for name, value in arrays.items()}


def safetensors_differences(folder: Path) -> tuple[int, list[str]]:
    """Compare each ``model.safetensors`` with the weights and the scaler beside it; a scalar may have one axis."""
    count, found = 0, []
    for name, place in snapshots(folder):
        if not (place / "model.safetensors").exists():
            continue
        count += 1
        weights, scaler = parts_of(place)
        expected = {**weights, **{f"scaler.{key}": value for key, value in scaler.items()}}
        got = load_file(place / "model.safetensors")
        flat = ({key: np.atleast_1d(value) for key, value in arrays.items()} for arrays in (expected, got))
        found += differences(name, *map(as_bytes, flat))
    return count, found


def differences(name: str, first: Any, second: Any) -> list[str]:
    """Name what differs, down to the key of a mapping and the first row of a list; numbers to their last digit."""
    if isinstance(first, dict) and isinstance(second, dict):
        keys = [*first, *(key for key in second if key not in first)]
        return [line for key in keys for line in differences(f"{name}: {key}", first.get(key), second.get(key))]
    if type(first) is type(second) and repr(first) == repr(second):
        return []
    if isinstance(first, list) and isinstance(second, list) and len(first) == len(second):
        pairs = enumerate(zip(first, second, strict=True))
        return next(filter(None, (differences(f"{name}: row {row}", *pair) for row, pair in pairs)))
    return [f"{name}: {_shown(first)} became {_shown(second)}"]


def _shown(value: Any) -> str:
    text = "nothing" if value is None else repr(value)
    return text if len(text) < 80 else f"{text[:60]}… ({len(text)} characters)"


def compare(first: Path, second: Path) -> int:
    """Print a line a kind, and the first difference of each; gives the exit code."""
    before, after = results_of(first), results_of(second)
    lines = {
        kind: (len(names), differences(kind, names, after[kind]) or ([] if names else [f"{kind}: none"]))
        for kind, names in before.items()
    }
    for place in (first, second):
        count, found = safetensors_differences(place)
        if count:
            lines[f"model.safetensors of {place}, against weights.pt and feature_scaler.pkl"] = count, found
    for kind, (count, found) in lines.items():
        print(f"{kind}: {count} compared, {len(found)} differences{f'; the first: {found[0]}' if found else ''}")
    return int(any(found for _, found in lines.values()))


def main() -> None:
    """Read the command line."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    commands = parser.add_subparsers(dest="command", required=True)
    commands.add_parser("make").add_argument("folder", type=Path)
    commands.add_parser("compare").add_argument("folders", type=Path, nargs=2)
    asked = parser.parse_args()
    if asked.command == "make":
        make(asked.folder.resolve())
    else:
        sys.exit(compare(*asked.folders))


if __name__ == "__main__":
    main()
