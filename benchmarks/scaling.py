"""What `benchmarks.growth` measured as a cost model, what that predicts, and the pictures of `docs/scaling.md`.

``python -m benchmarks.scaling docs/scaling`` reads ``docs/scaling/points.json``, prints the tables as Markdown, and
draws ``docs/scaling/time.png`` and ``docs/scaling/memory.png``. ``--symbols 5000 --years 30 --seeds 100`` is what it
predicts unless told otherwise.

A cost is a sum of terms in symbols s and years y, each with a coefficient of 0 or more, such that the squares of the
relative errors are least. Which terms a stage has is what its code does; see `TERMS`.
"""

import argparse
import math
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import NamedTuple

import numpy as np

from benchmarks.growth import BOOTSTRAP_YEARS, N_SEEDS, SEEDS, SIMULATE, STAGES, Point, read_points

Size = tuple[int, int]
"""Symbols and years."""

BASIS: dict[str, Callable[[int, int], float]] = {
    "1": lambda s, y: 1.0,  # noqa: ARG005
    "s": lambda s, y: float(s),  # noqa: ARG005
    "s y": lambda s, y: float(s * y),
    "s^2": lambda s, y: float(s * s),  # noqa: ARG005
}
TERMS = {"backtest": ("1", "s", "s y", "s^2"), SEEDS: ("1", "s", "s y", "s^2")}
"""All others have the first three. The square is the tree of risk parity, a matrix of distances every week."""

LINEAR = ("1", "s", "s y")
EPOCH = ("1", "s y")
MANY_SYMBOLS = 104
"""Up to so many, two of the backtest's rules go another way, so that those points say nothing of many symbols."""

FORECASTERS, POLICIES = ("lstm_snapshot", "patchtst_snapshot"), ("ppo_policy", "sac_policy")
RAW = ("raw_prices", "raw_news_sentiment", "raw_fundamentals")
FAMILY = {"lstm_snapshot": "lstm", "patchtst_snapshot": "patchtst", "ppo_policy": "ppo", "sac_policy": "sac"}

FILES_A_SNAPSHOT = 6
"""Each is one request to an object store, as a year of a table is; one more removes the manifest of before."""

EVENTS_A_TASK, EVENT_BYTES_A_TASK = 30, 170_000
"""Rows that a run leaves in Dagster's event log, and their bytes, pictures among them; with 20 symbols, an LSTM
snapshot left 24 rows of 160 kB in all, the forecasts of a year 31 rows of 180 kB."""


class Cost(NamedTuple):
    """A sum of terms."""

    terms: tuple[str, ...]
    coefficients: tuple[float, ...]

    def at(self, symbols: int, years: int) -> float:
        """Give the cost at a size."""
        return sum(
            coefficient * BASIS[term](symbols, years)
            for term, coefficient in zip(self.terms, self.coefficients, strict=True)
        )

    def words(self) -> str:
        """Write the sum, zeros left out."""
        parts = [
            f"{coefficient:.3g}" if term == "1" else f"{coefficient:.3g} {term}"
            for term, coefficient in zip(self.terms, self.coefficients, strict=True)
            if coefficient > 0
        ]
        return " + ".join(parts) or "0"


def fit(sizes: Sequence[Size], values: Sequence[float], terms: Sequence[str]) -> Cost:
    """Find the coefficients, 0 or more, with the least squares of relative errors (Lawson & Hanson 1974)."""
    from scipy.optimize import nnls

    matrix = np.array([[BASIS[term](*size) for term in terms] for size in sizes])
    found = np.array(values, dtype=np.float64)
    scale = matrix.max(axis=0)
    coefficients, _ = nnls(matrix / scale / found[:, None], np.ones(len(found)))
    return Cost(tuple(terms), tuple((coefficients / scale).tolist()))


def exponent(sizes: Sequence[float], values: Sequence[float]) -> float:
    """Give the slope of the logarithms: 1 is linear, 2 quadratic."""
    return float(np.polyfit(np.log(sizes), np.log(values), 1)[0])


@dataclass(frozen=True)
class Model:
    """What one stage costs."""

    cpu: Cost
    """Seconds of processor after the imports; of a forecaster, without its epochs."""

    epoch: Cost | None
    epochs: float
    """Mean over the points; 0: there are none."""

    peak: Cost
    """MiB."""

    stored: dict[str, Cost]
    """Bytes of a year: table or family -> by symbols."""

    def cpu_at(self, symbols: int, years: int) -> float:
        """Give all seconds at a size."""
        epochs = 0.0 if self.epoch is None else self.epochs * self.epoch.at(symbols, years)
        return self.cpu.at(symbols, years) + epochs


def fit_stage(points: Sequence[Point]) -> Model:
    """Make the model of one stage."""
    terms = TERMS.get(points[0].stage, LINEAR)
    if points[0].stage in TERMS:
        points = [point for point in points if point.symbols > MANY_SYMBOLS] or points
    sizes = [(point.symbols, point.years) for point in points]
    trained = [point for point in points if point.epochs is not None and point.epoch_cpu_seconds is not None]
    rest = [max(point.cpu_seconds - (point.epochs or 0) * (point.epoch_cpu_seconds or 0.0), 1e-3) for point in points]
    epoch_seconds = [point.fastest_epoch for point in trained]
    return Model(
        cpu=fit(sizes, rest, terms),
        epoch=fit([(point.symbols, point.years) for point in trained], epoch_seconds, EPOCH) if trained else None,
        epochs=float(np.mean([point.epochs for point in trained])) if trained else 0.0,
        peak=fit(sizes, [point.peak_mib for point in points], terms),
        stored={
            name: fit(sizes, [point.stored[name] for point in points], ("1", "s")) for name in sorted(points[0].stored)
        },
    )


def fit_all(points: Iterable[Point]) -> dict[str, Model]:
    """Make a model of every stage that was measured."""
    by_stage: dict[str, list[Point]] = {}
    for point in points:
        by_stage.setdefault(point.stage, []).append(point)
    return {stage: fit_stage(found) for stage, found in by_stage.items()}


@dataclass(frozen=True)
class Prediction:
    """What a whole walk-forward would cost."""

    core_hours: dict[str, float]
    """Stage -> of all years and seeds, imports included."""

    peak_gib: dict[str, float]
    """Stage -> of the last year."""

    longest_hours: float
    """Of the last year's tasks, one after the other: with any number of machines it does not end sooner."""

    sequence_hours: float
    """The same, if every year waits for the one before, as runs of the job do."""

    tasks: int
    """Processes: one a stage, year and seed."""

    stored_gib: dict[str, float]
    read_gib: float
    """What tasks read from the store if nothing is kept between them."""

    puts: int
    gets: int
    deletes: int
    event_rows: int
    """Of Dagster's record."""

    event_gib: float


def predict(points: Sequence[Point], symbols: int, years: int, seeds: int) -> Prediction:
    """Predict a walk-forward of every partition, each policy trained with some seeds, each of them a task.

    Parameters
    ----------
    points : sequence of Point
        Of all stages, with `benchmarks.growth.SEEDS` among them.
    symbols, years, seeds : int
        The first partition holds the first `BOOTSTRAP_YEARS` years, and every later one a year more.
    """
    models = fit_all(points)
    imports = float(np.mean([point.import_cpu_seconds for point in points]))
    histories = range(BOOTSTRAP_YEARS, years + 1)
    n_partitions = len(histories)
    times = {**dict.fromkeys(STAGES, 1), **dict.fromkeys(POLICIES, seeds)}

    def a_seed(of: Callable[[Model], float]) -> float:
        """Give what one more seed of both families adds to a backtest."""
        return max(of(models[SEEDS]) - of(models["backtest"]), 0.0) / N_SEEDS

    def seconds(stage: str, history: int) -> float:
        own = models[stage].cpu_at(symbols, history) + imports
        return own + (seeds - 1) * a_seed(lambda model: model.cpu_at(symbols, history)) * (stage == "backtest")

    def chain(history: int) -> float:
        """Give the seconds of a year's tasks that wait for one another; forecasters and policies go side by side."""
        forecaster, policy = (max(seconds(stage, history) for stage in group) for group in (FORECASTERS, POLICIES))
        return forecaster + seconds("forecasts", history) + policy + seconds("backtest", history)

    def peak(stage: str) -> float:
        own = models[stage].peak.at(symbols, years)
        return own + (seeds - 1) * a_seed(lambda model: model.peak.at(symbols, years)) * (stage == "backtest")

    def bytes_of(stage: str, name: str) -> float:
        return models[stage].stored[name].at(symbols, 1)

    raw_year = sum(bytes_of(SIMULATE, name) for name in RAW)
    prices_year = bytes_of(SIMULATE, "raw_prices")
    forecasts_year = bytes_of("forecasts", "walkforward_forecasts")
    backtest_year = bytes_of("backtest", "backtest")
    backtest_year += (seeds - 1) * max(bytes_of(SEEDS, "backtest") - backtest_year, 0.0) / N_SEEDS
    snapshot = {stage: bytes_of(stage, family) for stage, family in FAMILY.items()}
    models_read = sum(snapshot[stage] for stage in FORECASTERS)
    traded = seeds * sum(snapshot[stage] for stage in POLICIES)
    history_years = sum(histories)
    n_read = n_partitions * (n_partitions + 1) // 2  # partitions that tasks of one kind read, over all years
    reads = history_years * (prices_year + raw_year * (3 + 2 * seeds) + forecasts_year * 2 * seeds) + n_partitions * (
        models_read + traded + forecasts_year
    )
    tasks = n_partitions * (len(RAW) + sum(times.values()))
    n_snapshots = n_partitions * (len(FORECASTERS) + seeds * len(POLICIES))
    return Prediction(
        core_hours={
            stage: times[stage] * sum(seconds(stage, history) for history in histories) / 3600 for stage in STAGES
        },
        peak_gib={stage: peak(stage) / 1024 for stage in STAGES},
        longest_hours=chain(years) / 3600,
        sequence_hours=sum(map(chain, histories)) / 3600,
        tasks=tasks,
        stored_gib={
            "raw tables": years * raw_year / 2**30,
            "forecasts": years * forecasts_year / 2**30,
            "backtests": n_partitions * backtest_year / 2**30,
            "forecasters": n_partitions * models_read / 2**30,
            "policies": n_partitions * traded / 2**30,
        },
        read_gib=reads / 2**30,
        puts=n_partitions * (len(RAW) + 2) + FILES_A_SNAPSHOT * n_snapshots,
        gets=n_read * (1 + 3 * len(RAW) + 2 * seeds * (len(RAW) + 1)) + n_partitions + FILES_A_SNAPSHOT * n_snapshots,
        deletes=n_snapshots,
        event_rows=tasks * EVENTS_A_TASK,
        event_gib=tasks * EVENT_BYTES_A_TASK / 2**30,
    )


def table(heads: Sequence[str], rows: Iterable[Sequence[str]]) -> str:
    """Write a table as Markdown does."""
    return "\n".join(f"| {' | '.join(line)} |" for line in (heads, ["---"] * len(heads), *rows))


def measured(points: Sequence[Point], cell: Callable[[Point], str]) -> str:
    """Write a row a size, a column a stage; empty where nothing was measured."""
    by_key = {point.key: point for point in points}
    stages = [stage for stage in (SIMULATE, *STAGES) if any(point.stage == stage for point in points)]
    sizes = sorted({(point.symbols, point.years) for point in points})
    return table(
        ("symbols", "years", *(stage.removesuffix("_snapshot").removesuffix("_policy") for stage in stages)),
        (
            (f"{s:,}", str(y), *(cell(by_key[stage, s, y]) if (stage, s, y) in by_key else "" for stage in stages))
            for s, y in sizes
        ),
    )


def seconds_cell(point: Point) -> str:
    """Give the seconds of processor, and the epochs that they hold."""
    text = f"{point.cpu_seconds:,.1f}"
    return text if point.epochs is None else f"{text}<br>{point.epochs} × {point.fastest_epoch:.2f}"


def growth_rows(points: Sequence[Point]) -> Iterable[tuple[str, ...]]:
    """Give for every stage how its costs grow with symbols x years."""
    for stage in STAGES:
        found = [point for point in points if point.stage == stage]
        if len({point.symbols * point.years for point in found}) < 2:
            continue
        sizes = [point.symbols * point.years for point in found]
        once = [point.fastest_epoch or point.cpu_seconds for point in found]
        steep = _steepest({(point.symbols, point.years): value for point, value in zip(found, once, strict=True)})
        own = [max(point.peak_mib - point.imports_mib, 1.0) for point in found]
        yield (
            stage + (" (an epoch)" if found[0].epochs else ""),
            f"{exponent(sizes, once):.2f}",
            "" if steep is None else f"{steep:.2f}",
            f"{exponent(sizes, own):.2f}",
            f"{max(point.peak_mib for point in found):,.0f} MiB",
        )


def _steepest(values: dict[Size, float]) -> float | None:
    """Give the largest exponent of a step to more symbols, the years the same, from 100 symbols on."""
    steps = [
        math.log(values[more] / values[less]) / math.log(more[0] / less[0])
        for less in values
        for more in values
        if less[1] == more[1] and 100 <= less[0] < more[0]
    ]
    return max(steps, default=None)


def model_rows(models: dict[str, Model]) -> Iterable[tuple[str, ...]]:
    """Write the model of every stage."""
    for stage in (*STAGES, SEEDS):
        if stage in models:
            model = models[stage]
            epochs = "" if model.epoch is None else f" + {model.epochs:.1f} epochs x ({model.epoch.words()})"
            yield stage, model.cpu.words() + epochs, model.peak.words()


def prediction_rows(found: Prediction) -> Iterable[tuple[str, str, str]]:
    """Write what is predicted for every stage."""
    for stage in STAGES:
        yield stage, f"{found.core_hours[stage]:,.0f}", f"{found.peak_gib[stage]:,.1f}"
    yield "all; largest", f"{sum(found.core_hours.values()):,.0f}", f"{max(found.peak_gib.values()):,.1f}"


def draw(points: Sequence[Point], value: Callable[[Point], float], label: str, path: Path) -> None:
    """Draw a cost over symbols, both logarithmic: a colour a stage, a line for each number of years."""
    from matplotlib.figure import Figure

    figure = Figure(figsize=(7, 4.4), dpi=100)
    axes = figure.subplots()
    lengths = sorted({point.years for point in points})
    for color, stage in enumerate(STAGES):
        for years in lengths:
            found = sorted((p for p in points if (p.stage, p.years) == (stage, years)), key=lambda p: p.symbols)
            axes.plot(
                [point.symbols for point in found],
                [value(point) for point in found],
                color=f"C{color}",
                marker="o",
                markersize=2 + 0.3 * years,
                linewidth=0.8,
                label=stage if years == lengths[-1] else None,
            )
    axes.set(xscale="log", yscale="log", xlabel="symbols; larger dots: more years", ylabel=label)
    axes.grid(alpha=0.3, which="both")
    axes.legend(fontsize="x-small", frameon=False)
    figure.tight_layout()
    figure.savefig(path, format="png")


def main() -> None:
    """Print the tables, and draw the pictures."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("folder", type=Path, help="has points.json; the pictures go there")
    parser.add_argument("--symbols", type=int, default=5_000)
    parser.add_argument("--years", type=int, default=30)
    parser.add_argument("--seeds", type=int, default=100)
    asked = parser.parse_args()
    points = list(read_points(asked.folder / "points.json").values())
    shown = [point for point in points if point.stage != SEEDS]
    draw(shown, lambda point: point.cpu_seconds, "seconds of processor", asked.folder / "time.png")
    draw(shown, lambda point: point.peak_mib, "peak memory, MiB", asked.folder / "memory.png")
    print(f"Seconds of processor\n\n{measured(shown, seconds_cell)}\n")
    print(f"Peak memory, MiB\n\n{measured(shown, lambda point: f'{point.peak_mib:,.0f}')}\n")
    heads = ("stage", "exponent, time", "steepest, 100 symbols up", "exponent, memory", "largest peak")
    print(f"{table(heads, growth_rows(points))}\n")
    print(f"{table(('stage', 'seconds of processor', 'peak memory, MiB'), model_rows(fit_all(points)))}\n")
    found = predict(points, asked.symbols, asked.years, asked.seeds)
    print(f"{table(('stage', 'core hours', 'peak memory, GiB'), prediction_rows(found))}\n")
    print(f"longest chain {found.longest_hours:.1f} h, years in sequence {found.sequence_hours:.0f} h")
    print(f"{found.tasks:,} tasks, which read {found.read_gib:,.0f} GiB")
    print("stored, GiB: " + ", ".join(f"{name} {size:,.1f}" for name, size in found.stored_gib.items()))
    print(f"Dagster's record: {found.event_rows:,} rows, {found.event_gib:.1f} GiB")
    print(f"requests: {found.puts:,} PUT, {found.gets:,} GET, {found.deletes:,} DELETE")


if __name__ == "__main__":
    main()
