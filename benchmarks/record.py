"""Whether a change of the code changed a result: walk-forwards recorded before and after, compared to the bit.

``python -m benchmarks.record make FOLDER`` runs two through the command line, in processes of their own: the demo's
(main versions, then 2019 to 2021, default configurations) and one of the market `files`, whose ragged prices, news and
filings are made up first: small but real models, two seeds each, in three partitions. ``compare A B`` prints what
differs; exit code 1 if something does. The names of main versions are compared without their hash, fingerprints and
model cards not at all.
"""

import argparse
import json
import os
import re
import subprocess
import sys
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import yaml

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
FIGURES = ("data", "training", "forecast_scale", "scores", "uninformative_features")
"""Of a model's metadata."""
COMPARED = ("input/*.csv", "*/**/*.parquet", "*/models/**/model.safetensors", "*/models/**/config.json")
COMPARED += ("*/models/**/weights.pt", "*/models/**/metadata.json")


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


def results_of(folder: Path) -> dict[str, Path]:
    """Find what is compared; the name of a main version is without its hash."""
    found = sorted(path for pattern in COMPARED for path in folder.glob(pattern))
    return {re.sub(r"(v\d{4}-\d\d-\d\d)-[0-9a-f]{12}", r"\1", str(path.relative_to(folder))): path for path in found}


def difference(first: Path | None, second: Path | None) -> str:
    """Say how two files of one name differ; empty: in nothing that counts."""
    if first is None or second is None:
        return "only in one"
    if first.suffix == ".parquet":
        try:
            pd.testing.assert_frame_equal(pd.read_parquet(first), pd.read_parquet(second), check_exact=True)
        except AssertionError as error:
            return " ".join(str(error).split())
        return ""
    read = figures if first.name == "metadata.json" else Path.read_bytes
    return "" if read(first) == read(second) else "differs"


def figures(path: Path) -> Any:
    metadata = json.loads(path.read_text())
    return json.dumps({name: metadata.get(name) for name in FIGURES})


def compare(first: Path, second: Path) -> int:
    """Print what differs, and give the exit code."""
    before, after = results_of(first), results_of(second)
    if not before:
        raise SystemExit(f"{first}: expected a record, got none; make one.")
    told = {name: difference(before.get(name), after.get(name)) for name in {**before, **after}}
    differing = {name: words for name, words in told.items() if words}
    for name, words in differing.items():
        print(f"{name}: {words}")
    print(f"{len(told)} files compared, {len(differing)} differ")
    return int(bool(differing))


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
