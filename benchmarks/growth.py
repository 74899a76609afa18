"""How time and memory grow with symbols and years: each stage of the last year of a window, in a process of its own.

``python -m benchmarks.growth --out points.json`` measures all stages at 20, 100 and 500 symbols x 5, 10 and 15 years,
which takes hours; ``--symbols 20 100 --years 5 --stages forecasts backtest`` keeps to some, and what is in the file
already stays. A stage is the very asset, with the defaults, on the simulator's market, read from and written to disk.
What it needs comes from models that are hardly trained: what a model costs to run does not depend on what it learned.

Only one thread is used. Processor seconds are those of a process after its imports, user and system; compare them,
since wall seconds depend on who else computes. `benchmarks.scaling` makes a cost model of the points.
"""

import argparse
import datetime
import importlib
import itertools
import json
import logging
import math
import os
import platform
import resource
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator, Sequence
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any

from brain_assets import registry

SYMBOLS, YEARS = (20, 100, 500), (5, 10, 15)
SMALL, SMALL_STAGES = ((100, 5), (500, 5)), ("forecasts", "backtest")
"""What `make bench` compares."""

LAST_YEAR, BOOTSTRAP_YEARS = 2022, 4
SIMULATE = "simulate"
MODELS = {"lstm_snapshot": "lstm", "patchtst_snapshot": "patchtst", "ppo_policy": "ppo", "sac_policy": "sac"}
TABLES = {"forecasts": "walkforward_forecasts", "backtest": "backtest", "backtest_seeds": "backtest"}
STAGES = ("lstm_snapshot", "patchtst_snapshot", "forecasts", "ppo_policy", "sac_policy", "backtest")
"""`simulate`, which makes the tables, goes before all of them and is measured apart."""

SEEDS, N_SEEDS = "backtest_seeds", 5
"""The backtest again, beside so many more seeds of each policy."""

HARDLY = {"total_steps": 1, "n_envs": 2, "n_steps": 2, "batch_size": 2}
N_TAUGHT = 8
"""Symbols that the models which are hardly trained learn from."""

IMPORTS = (
    "brain_assets.definitions",
    "brain_assets.forecasting.patchtst",
    "brain_assets.portfolio.training",
    "cvxpy",
    "matplotlib.figure",
    "pyarrow.parquet",
    "skfolio.optimization",
    "sklearn.preprocessing",
)
THREADS = ("OMP_NUM_THREADS", "OPENBLAS_NUM_THREADS", "MKL_NUM_THREADS", "ARROW_NUM_THREADS")


@dataclass(frozen=True)
class Point:
    """One stage at one size."""

    stage: str
    symbols: int
    years: int

    wall_seconds: float
    """After the imports."""

    cpu_seconds: float
    """User and system, all threads, after the imports."""

    import_cpu_seconds: float
    peak_mib: float
    """Largest resident set of the process."""

    imports_mib: float
    """Resident set after the imports."""

    stored: dict[str, int] = field(default_factory=dict)
    """Bytes of what was written for one year: table or model family -> bytes."""

    epochs: int | None = None
    epoch_cpu_seconds: float | None = None
    """Of one pass over the training and the validation windows; mean of all but the first."""

    fastest_epoch_cpu_seconds: float | None = None
    """Of all but the first: who else computes on the machine slows the others down, processor seconds too."""

    @property
    def key(self) -> tuple[str, int, int]:
        """What tells points apart."""
        return self.stage, self.symbols, self.years

    def words(self) -> str:
        """Say what was found, one line."""
        text = (
            f"{self.stage} | {self.symbols} symbols | {self.years} years | {self.cpu_seconds:.2f} s of processor, "
            f"{self.wall_seconds:.2f} s | {self.peak_mib:,.0f} MiB, {self.imports_mib:,.0f} MiB after imports"
        )
        if self.epochs is None:
            return text
        return f"{text} | {self.epochs} epochs of {self.epoch_cpu_seconds:.2f} s, fastest {self.fastest_epoch:.2f} s"

    @property
    def fastest_epoch(self) -> float:
        """The fastest epoch's seconds of processor; 0: there are no epochs."""
        return self.fastest_epoch_cpu_seconds or self.epoch_cpu_seconds or 0.0


def environment(folder: Path, n_symbols: int, n_years: int) -> dict[str, str]:
    """Give the settings of a window that ends with `LAST_YEAR`."""
    return {
        **os.environ,
        **dict.fromkeys(THREADS, "1"),
        "BRAIN_MARKET": "simulator",
        "BRAIN_SYMBOLS": ",".join(f"S{position:04d}" for position in range(n_symbols)),
        "BRAIN_FIRST_YEAR": str(LAST_YEAR - n_years + 1),
        "BRAIN_BOOTSTRAP_YEARS": str(BOOTSTRAP_YEARS),
        "BRAIN_LAST_YEAR": str(LAST_YEAR),
        "BRAIN_DATA_DIR": str(folder),
        "STORAGE_BACKEND": "local",
    }


def measure(work: Path, n_symbols: int, n_years: int, stages: Sequence[str]) -> Iterator[Point]:
    """Measure stages at one size; what they need is made first, and left in the folder for the next time."""
    folder = work / f"{n_symbols}x{n_years}"
    made = folder / "made.json"
    if not made.exists():
        point = _child(SIMULATE, folder, n_symbols, n_years)
        _child("prepare", folder, n_symbols, n_years)
        made.write_text(json.dumps(asdict(point)))
    yield Point(**json.loads(made.read_text()))
    for stage in stages:
        if stage == SEEDS:
            _child("prepare_seeds", folder, n_symbols, n_years)
        yield _child(stage, folder, n_symbols, n_years)
        if stage == SEEDS:
            _child("remove_seeds", folder, n_symbols, n_years)


def _child(stage: str, folder: Path, n_symbols: int, n_years: int) -> Point:
    command = [sys.executable, "-m", "benchmarks.growth", "child", stage]
    done = subprocess.run(command, env=environment(folder, n_symbols, n_years), capture_output=True, text=True)
    if done.returncode != 0:
        raise SystemExit(f"{stage}, {n_symbols} symbols, {n_years} years: it failed:\n{done.stderr[-4000:]}")
    return Point(stage, n_symbols, n_years, **json.loads(done.stdout.splitlines()[-1]))


class _Epochs(logging.Handler):
    """Notes the processor time at the end of every epoch, as the progress tells it."""

    def __init__(self) -> None:
        super().__init__(logging.INFO)
        self.ends: list[float] = []

    def emit(self, record: logging.LogRecord) -> None:
        """Take note of one line."""
        if ": epoch " in record.getMessage():
            self.ends.append(time.process_time())

    def figures(self) -> dict[str, Any]:
        """Give how many there were, and what one took; the first is left out, as it begins with the preparation."""
        if len(self.ends) < 2:
            return {}
        took = [end - start for start, end in itertools.pairwise(self.ends)]
        return {
            "epochs": len(self.ends),
            "epoch_cpu_seconds": sum(took) / len(took),
            "fastest_epoch_cpu_seconds": min(took),
        }


def child(stage: str) -> None:
    """Run one stage in this process, and print what it took as JSON."""
    epochs = _Epochs()
    logging.getLogger("brain_assets").addHandler(epochs)
    logging.getLogger("brain_assets").setLevel(logging.INFO)
    others = {SIMULATE: _simulate, "prepare": _prepare, "prepare_seeds": _prepare_seeds, "remove_seeds": _remove_seeds}
    run = others.get(stage, lambda: _materialize(stage))
    _import_all()
    imported, started = time.process_time(), time.perf_counter()
    before = _resident("VmRSS")
    stored = run()
    figures = {
        "wall_seconds": time.perf_counter() - started,
        "cpu_seconds": time.process_time() - imported,
        "import_cpu_seconds": imported,
        "peak_mib": resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024,
        "imports_mib": before,
        "stored": stored,
        **epochs.figures(),
    }
    print(json.dumps(figures))


def _resident(name: str) -> float:
    """Read VmRSS of this process, MiB."""
    lines = Path("/proc/self/status").read_text().splitlines()
    return next(int(line.split()[1]) for line in lines if line.startswith(name)) / 1024


def _import_all() -> None:
    """Load what a stage would load under way: that it takes as long at every size would hide how the rest grows."""
    for name in IMPORTS:
        importlib.import_module(name)


def _open() -> Any:
    """Open what the environment says."""
    from brain_assets.graph.build import open_project
    from brain_assets.settings import read_settings

    return open_project(read_settings())


def _simulate() -> dict[str, int]:
    """Make the market and write its tables, the years as the raw assets leave them."""
    from brain_assets.graph.project import table_store
    from brain_assets.market.archive import fetch_prices
    from brain_assets.market.schema import RAW

    project = _open()
    settings, market, years = project.settings, project.market, project.years
    first, end = datetime.date(settings.first_year, 1, 1), datetime.date(LAST_YEAR + 1, 1, 1)
    whole = _Made(market.prices(first, end))
    dated = {
        "raw_news_sentiment": ("date", market.news_sentiment(first, end, len).table),
        "raw_fundamentals": ("filed", market.fundamentals(first, end).table),
    }
    tables = table_store(settings)
    for year in years.existing():
        start, stop = years.window(year)
        overlap = year > years.first
        tables.write("raw_prices", year, fetch_prices(whole, start, stop, overlap))  # type: ignore[arg-type]
        for name, (column, frame) in dated.items():
            inside = (frame[column] >= str(start)) & (frame[column] < str(stop))
            tables.write(name, year, frame[inside].reset_index(drop=True))
    return {name: tables.path(name, LAST_YEAR).stat().st_size for name in RAW}


class _Made:
    """A market whose prices have been made: to make them anew for every year would take most of the time."""

    name = "simulator"

    def __init__(self, frame: Any) -> None:
        self._frame = frame

    def prices(self, start: datetime.date, end: datetime.date) -> Any:
        """Give the bars of some days."""
        inside = (self._frame["date"] >= str(start)) & (self._frame["date"] < str(end))
        return self._frame[inside].reset_index(drop=True)


def _prepare() -> dict[str, int]:
    """Write models of the year before, hardly trained, and forecasts of every year, which are momentum under a name."""
    from dataclasses import replace

    from brain_assets.forecasting.training import train_snapshot
    from brain_assets.forecasting.walkforward import build_forecast_features
    from brain_assets.market.base import MarketNote
    from brain_assets.market.prices import PricePanel
    from brain_assets.market.schema import RAW
    from brain_assets.market.signals import add_signals
    from brain_assets.market.weekly import WeeklyPanel
    from brain_assets.portfolio.policies import train_policy_snapshot, training_weeks
    from brain_assets.store.names import cutoff_of_year, snapshot_name
    from brain_assets_tests.portfolio.toy_results import Stored

    project = _open()
    market, years, definitions = project.market, project.years, project.definitions
    given = definitions.resources or {}
    tables, snapshots, note = given["table_io"].store, given["snapshot_io"].storages, MarketNote.of(market)
    prices, news, fundamentals = (tables.read(name, years.existing()) for name in RAW)
    panel = add_signals(PricePanel.from_frame(prices), news, fundamentals)
    few = replace(
        panel, symbols=panel.symbols[:N_TAUGHT], values=panel.values[:N_TAUGHT], signals=panel.signals[:N_TAUGHT]
    )
    cutoff_date = cutoff_of_year(LAST_YEAR - 1)
    families = registry.families_of()
    for family, forecaster in families.forecasters.items():
        config = forecaster.Config(**({"epochs": 1} if "epochs" in forecaster.Config.model_fields else {}))
        snapshots[family].write_snapshot(train_snapshot(family, few, cutoff_date, config, note))
    for year in years.existing():
        forecasts = build_forecast_features(
            panel, years.calendar_years(year), dict.fromkeys(families.forecasters, Stored())
        )
        if year == LAST_YEAR:  # so that the rules that follow forecasts trade, too
            for family in families.forecasters:
                forecasts[f"{family}_source"] = snapshot_name(cutoff_date)
        tables.write("walkforward_forecasts", year, forecasts)
    bars = WeeklyPanel.from_panel(panel)
    known = tables.read("walkforward_forecasts", years.existing())
    for family, policy in families.policies.items():
        config = policy.Config(**{name: value for name, value in HARDLY.items() if name in policy.Config.model_fields})
        weeks = training_weeks(bars, known, family, cutoff_date, config)
        snapshots[family].write_snapshot(train_policy_snapshot(family, weeks, cutoff_date, config, note))
    return {}


def _prepare_seeds() -> dict[str, int]:
    """Write the policies of the year before again, under fingerprints of other seeds: it costs the same to run them."""
    from dataclasses import asdict, replace

    from brain_assets.portfolio.arithmetic import with_seed
    from brain_assets.store.fingerprint import Fingerprint, hash_json
    from brain_assets.store.names import cutoff_of_year

    for family in registry.families_of().policies:
        storage = (_open().definitions.resources or {})["snapshot_io"].storages[family]
        snapshot = storage.load_snapshot(cutoff_of_year(LAST_YEAR - 1))
        for number in range(1, N_SEEDS + 1):
            options = with_seed(snapshot.config, number)
            parts = {name: value for name, value in snapshot.metadata["fingerprint"].items() if name != "value"}
            fingerprint = Fingerprint(**{**parts, "config": hash_json(options)})
            metadata = {**snapshot.metadata, "fingerprint": {**asdict(fingerprint), "value": fingerprint.value}}
            storage.of_seed(number).write_snapshot(replace(snapshot, config=options, metadata=metadata))
    return {}


def _remove_seeds() -> dict[str, int]:
    """Leave the folder as it was before `_prepare_seeds`."""
    import shutil

    from brain_assets.store.names import cutoff_of_year

    for family in registry.families_of().policies:
        storage = (_open().definitions.resources or {})["snapshot_io"].storages[family]
        for number in storage.list_seeds():
            shutil.rmtree(storage.of_seed(number).path(cutoff_of_year(LAST_YEAR - 1)).parent)
    return {}


def _materialize(stage: str) -> dict[str, int]:
    """Run the asset of a stage for the last year, whatever is there; give what it has written."""
    import dagster as dg

    from brain_assets.store.names import cutoff_of_year

    project = _open()
    asset, given = TABLES.get(stage, stage), project.definitions.resources or {}
    config = {"ops": {asset: {"config": {"force": True}}}} if stage in MODELS else None
    done = dg.materialize(
        project.definitions.assets,
        selection=[asset],
        partition_key=str(LAST_YEAR),
        resources=given,
        run_config=config,
        raise_on_error=True,
    )
    assert done.success
    if stage in TABLES:
        return {asset: given["table_io"].store.path(asset, LAST_YEAR).stat().st_size}
    folder = given["snapshot_io"].storages[MODELS[stage]].path(cutoff_of_year(LAST_YEAR))
    return {MODELS[stage]: sum(path.stat().st_size for path in folder.iterdir())}


def small() -> dict[str, float]:
    """Give the exponents of processor time in symbols, from 100 to 500, of what costs most beside training."""
    with tempfile.TemporaryDirectory() as work:
        less, more = ({each.stage: each for each in measure(Path(work), *size, SMALL_STAGES)} for size in SMALL)
    larger = math.log(SMALL[1][0] / SMALL[0][0])
    return {stage: math.log(more[stage].cpu_seconds / less[stage].cpu_seconds) / larger for stage in SMALL_STAGES}


def read_points(path: Path) -> dict[tuple[str, int, int], Point]:
    """Read what a run has written; nothing, where there is no file."""
    found = json.loads(path.read_text())["points"] if path.exists() else []
    return {point.key: point for point in (Point(**each) for each in found)}


def machine() -> str:
    """Name the processor, how many cores there are, and Python."""
    with open("/proc/cpuinfo") as file:
        model = next((line.split(":", 1)[1].strip() for line in file if line.startswith("model name")), "unknown CPU")
    return f"{model}, {os.cpu_count()} cores, Python {platform.python_version()}"


def write_points(path: Path, points: dict[tuple[str, int, int], Point]) -> None:
    """Write points in order, with the machine that they are from."""
    lines = ",\n".join(json.dumps(asdict(points[key])) for key in sorted(points))
    path.write_text(f'{{"machine": {json.dumps(machine())}, "points": [\n{lines}\n]}}\n')


def main() -> None:
    """Measure what was asked for, smallest first."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--symbols", type=int, nargs="+", default=SYMBOLS)
    parser.add_argument("--years", type=int, nargs="+", default=YEARS)
    parser.add_argument("--stages", nargs="+", default=STAGES, choices=(*STAGES, SEEDS))
    parser.add_argument("--out", type=Path, help="JSON file of points; those in it that are not measured again stay")
    parser.add_argument("--work", type=Path, help="folder for data, kept for the next time; default: a temporary one")
    asked = parser.parse_args()
    sizes = sorted(((s, y) for s in asked.symbols for y in asked.years), key=lambda size: (size[0] * size[1], size))
    with tempfile.TemporaryDirectory() as temporary:
        for size in sizes:
            for point in measure(asked.work or Path(temporary), *size, asked.stages):
                print(point.words(), flush=True)
                if asked.out:
                    write_points(asked.out, {**read_points(asked.out), point.key: point})


if __name__ == "__main__":
    if sys.argv[1:2] == ["child"]:
        child(sys.argv[2])
    else:
        main()
