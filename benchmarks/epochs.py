"""How long a network is best trained: rank correlations out of sample by epoch, a training a year.

``python -m benchmarks.epochs prepare wide FILE.npz`` (or ``sample``) lays the bars out in one file; ``run FILE.npz
OUT.json`` trains (`Options` has what it is told), ``show OUT.json...`` prints what came of it. Nothing but the core of
the package, torch and transformers is asked for by ``run``, and each training is a process of one thread.

Weights after some epochs of a longer training are those of a shorter one, so one training has the whole curve. Two ways
are trained for each cut-off: ``all`` learns from every week up to it, ``held`` from all but the last year's, on which
its loss is measured. So three ways of choosing can be compared: a fixed number of epochs, the epoch of the lowest loss
on the last year (the weights of that training), and as many epochs of a training on everything.
"""

import argparse
import datetime
import itertools
import json
import multiprocessing
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np

from brain_assets import registry
from brain_assets.device import repeatable
from brain_assets.forecasting import forecaster
from brain_assets.forecasting.features import (
    WindowIndex,
    Windows,
    fit_scaler,
    scale_features,
    split_weeks,
    training_target,
)
from brain_assets.forecasting.metrics import mean_skill, weekly_rank_correlation
from brain_assets.forecasting.network import Batches, NetworkConfig, NetworkForecaster
from brain_assets.market.calendar import years_of
from brain_assets.market.prices import PRICE_FIELDS, PricePanel
from brain_assets.market.signals import add_signals
from brain_assets.market.weekly import WeeklyPanel

WAYS = ("all", "held")
PARTS = 4
"""Of the first epoch, after which forecasts are looked at too: an epoch of a wide universe is long."""
PATIENCE = 5
DECAY = 0.998
"""Of the running average of weights (Polyak and Juditsky 1992), a second reading of the same training."""
START, COST = 1995, {"patchtst": 2}
"""Of `wide`, and what a window takes, roughly: they decide on the order of trainings only."""
SHARED = Path(__file__).parents[2] / "shared" / "data"


Weekly = list[float | None] | None


class Options(NamedTuple):
    """What every training of a run is told."""

    data: Path
    epochs: int
    deadline: float
    """By `time.time`; a training that is not done then gives the checkpoints that it has."""


class Job(NamedTuple):
    """One training: a cut-off at the end of a year."""

    family: str
    year: int
    way: str
    seed: int


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    commands = parser.add_subparsers(dest="command", required=True)
    command = commands.add_parser("prepare")
    command.add_argument("market", choices=("wide", "sample"))
    command.add_argument("out", type=Path)
    command = commands.add_parser("run")
    command.add_argument("data", type=Path)
    command.add_argument("out", type=Path)
    command.add_argument("--families", default="patchtst,lstm")
    command.add_argument("--years", default="2003-2011", help="cut-offs; each forecasts the year after")
    command.add_argument("--ways", default=",".join(WAYS))
    command.add_argument("--seeds", default="0")
    command.add_argument("--epochs", type=int, default=8)
    command.add_argument("--processes", type=int, default=1)
    command.add_argument("--seconds", type=float, default=float("inf"), help="after which trainings end as they are")
    command.add_argument("--symbols", type=int, help="the first few only, to try it out")
    command = commands.add_parser("show")
    command.add_argument("files", type=Path, nargs="+")
    given = parser.parse_args()
    if given.command == "prepare":
        prepare(given.market, given.out)
    elif given.command == "run":
        run(given)
    else:
        show([made for path in given.files for made in json.loads(path.read_text())])


def prepare(market: str, out: Path) -> None:
    """Write the bars of a market as arrays; float32, as `wide` has them."""
    import pandas as pd

    if market == "wide":
        frame = pd.read_parquet(SHARED / "wide" / "prices.parquet")
        frame = frame.astype(dict.fromkeys(PRICE_FIELDS, "float64"))
    else:
        from brain_assets.market.sample import SampleMarket

        frame = SampleMarket().prices(datetime.date(1990, 1, 1), datetime.date(2004, 1, 1))
    panel = PricePanel.from_frame(frame)
    np.savez_compressed(
        out, values=panel.values.astype(np.float32), sessions=panel.sessions, symbols=np.array(panel.symbols)
    )


def run(given: argparse.Namespace) -> None:
    """Train every job, the longest first, and write what came of them, the newest first, after each."""
    first, last = map(int, given.years.split("-"))
    started = time.time()
    options = Options(given.data, given.epochs, started + given.seconds)
    jobs = [
        Job(family, year, way, seed)
        for seed in map(int, given.seeds.split(","))
        for year in range(last, first - 1, -1)
        for way in given.ways.split(",")
        for family in given.families.split(",")
    ]
    jobs.sort(key=lambda job: -(job.year - START) * COST.get(job.family, 1))  # the longest first
    made: list[dict[str, Any]] = []
    with multiprocessing.get_context("spawn").Pool(given.processes, _start, (options, given.symbols)) as pool:
        for result in pool.imap_unordered(train, jobs):
            made.append(result)
            given.out.write_text(json.dumps(made))
            head = " ".join(str(result[name]) for name in Job._fields)
            print(
                f"{time.time() - started:5.0f} s  {head}: {result['checkpoints'][-1]['epoch']} epochs, "
                f"{result['windows']:,} windows, {result['seconds_an_epoch']:.1f} s each",
                flush=True,
            )


def _start(options: Options, n_symbols: int | None) -> None:
    """Read the panel once a process."""
    global OPTIONS, PANEL
    with np.load(options.data) as data:
        values, sessions, symbols = data["values"][:n_symbols].astype(np.float64), data["sessions"], data["symbols"]
    OPTIONS, PANEL = options, add_signals(PricePanel(sessions, tuple(symbols[:n_symbols].tolist()), values))


def train(job: Job) -> dict[str, Any]:
    """Train for one cut-off, and correlate forecasts of the year after it at every checkpoint."""
    family = registry.get(job.family)
    assert isinstance(family, NetworkForecaster)
    config = family.Config(seed=job.seed)
    cutoff = datetime.date(job.year, 12, 31)
    past, future = PANEL.until(cutoff), PANEL.until(datetime.date(job.year + 2, 1, 10))
    bars = WeeklyPanel.from_panel(past)
    split = split_weeks(bars.weeks, cutoff)
    rows = np.concatenate([split.train, split.validation]) if job.way == "all" else split.train
    features, index = family.inputs(past, bars.weeks, config)
    target = training_target(bars.realized, config.target)
    known = np.isfinite(target[index.week, index.asset])
    keeps = (known & np.isin(index.week, each) for each in (rows, split.validation))
    learned, held = (WindowIndex(index.asset[keep], index.start[keep], index.week[keep]) for keep in keeps)
    scale = float(np.std(target[learned.week, learned.asset]))
    scaler = fit_scaler(features, int(learned.start.max()) + config.window - 1)
    scaled = scale_features(features, scaler, config.clip)
    windows, validation = (
        Windows(scaled, each, config.window, target[each.week, each.asset] / scale) for each in (learned, held)
    )
    after = WeeklyPanel.from_panel(future)
    after = after.select(years_of(after.weeks.start) == job.year + 1)
    features, index = family.inputs(future, after.weeks, config)
    asked = Windows(scale_features(features, scaler, config.clip), index, config.window, np.full(len(index), np.nan))

    def weekly(layers: Any) -> list[float | None]:
        forecasts = forecaster.by_week(family._predict(layers, Batches(asked, "cpu")), index, after.realized.shape)
        return [
            round(each, 5) if np.isfinite(each) else None
            for each in weekly_rank_correlation(forecasts, after.realized).tolist()
        ]

    started, checkpoints = time.process_time(), []
    with repeatable(config.seed):
        held_out = Batches(validation, "cpu") if job.way == "held" else None
        for epoch, step, layers, average in _checkpoints(family, Batches(windows, "cpu"), config):
            loss = None
            if held_out is not None and epoch == int(epoch):
                loss = float(np.mean((family._predict(layers, held_out) - validation.target) ** 2))
            shown = {"weekly": weekly(layers), "average": weekly(average)}
            checkpoints.append({"epoch": epoch, "step": step, "validation": loss, **shown})
    seconds = (time.process_time() - started) / checkpoints[-1]["epoch"]
    zero = float(np.mean(validation.target**2))
    return {
        **job._asdict(),
        "windows": len(windows),
        "zero": zero,
        "seconds_an_epoch": seconds,
        "weeks": [str(each) for each in after.weeks.start],
        "checkpoints": checkpoints,
    }


def _checkpoints(
    family: NetworkForecaster, batches: Batches, config: NetworkConfig
) -> Iterator[tuple[float, int, Any, Any]]:
    """Train as `NetworkForecaster` does; give the epoch, the gradient steps, the layers, and those of average weights.

    Both are to be looked at before the next is asked for.
    """
    import torch
    from torch.optim.swa_utils import AveragedModel, get_ema_multi_avg_fn

    layers = family.layers(config)
    average = AveragedModel(layers, multi_avg_fn=get_ema_multi_avg_fn(DECAY))
    optimizer = torch.optim.Adam(
        layers.parameters(), lr=config.learning_rate, weight_decay=config.weight_decay, fused=True
    )
    generator, step = torch.Generator().manual_seed(config.seed), 0
    for epoch in range(OPTIONS.epochs):
        parts = torch.split(torch.randperm(len(batches), generator=generator), config.batch_size)
        stops = {len(parts) * part // PARTS: part / PARTS for part in range(1, PARTS)} if epoch == 0 else {}
        stops[len(parts)] = 1.0
        for done, which in enumerate(parts, 1):
            layers.train()
            loss = torch.nn.functional.mse_loss(family.forward(layers, batches.gather(which)), batches.target[which])
            optimizer.zero_grad()
            loss.backward()
            optimizer.step()
            average.update_parameters(layers)
            step += 1
            if done in stops:
                yield epoch + stops[done], step, layers, average.module
            if time.time() > OPTIONS.deadline:
                return


def show(made: list[dict[str, Any]]) -> None:
    """Print mean weekly rank correlations by checkpoint, and those of the ways that choose an epoch."""
    for family, seed in sorted({(each["family"], each["seed"]) for each in made}):
        own = [each for each in made if (each["family"], each["seed"]) == (family, seed)]
        curves = {(each["year"], each["way"]): each for each in own}
        print(f"\n{family}, seed {seed}")
        best = {year: epoch for year, way in curves if way == "held" and (epoch := _stopped(curves[year, "held"]))}
        print(
            "  epochs of the lowest loss on the last year:", ", ".join(f"{year}: {best[year]}" for year in sorted(best))
        )
        losses = {year: _at(curves[year, "held"], best[year])["validation"] for year in best}
        never = [str(year) for year in sorted(best) if losses[year] >= curves[year, "held"]["zero"]]
        print("  cut-offs where it is not below that of zero:", ", ".join(never) or "none")
        old = {year: _at(curves[year, "held"], best[year])["weekly"] for year in best}
        _print("stopped early", old, {})
        _print("as many of everything", {year: _read(curves, year, "all", best[year], "weekly") for year in best}, old)
        for way, mark, reading in itertools.product(WAYS, _marks(own), ("weekly", "average")):
            years = sorted({year for year, _ in curves})
            _print(
                f"{way:5}{mark:6.2f} {reading}", {year: _read(curves, year, way, mark, reading) for year in years}, old
            )


def _marks(made: list[dict[str, Any]]) -> list[float]:
    return sorted({point["epoch"] for curve in made for point in curve["checkpoints"]})


def _print(name: str, found: dict[int, Weekly], old: dict[int, Weekly]) -> None:
    """Print one way's mean over the years that have come so far, and its difference from the old way in the same."""
    known = {year: np.array(weekly, float) for year, weekly in found.items() if weekly is not None}
    if known:
        both = [weekly - np.array(old[year], float) for year, weekly in sorted(known.items()) if year in old]
        against = f"   against stopped early: {_summary(both)}" if both else ""
        print(f"  {name:24} {len(known):2} years {_summary([known[year] for year in sorted(known)])}{against}")


def _at(curve: dict[str, Any], epoch: float) -> dict[str, Any]:
    return next((point for point in curve["checkpoints"] if point["epoch"] == epoch), {})


def _stopped(curve: dict[str, Any]) -> float:
    """Give the epoch that early stopping keeps."""
    epoch, lowest = 0.0, float("inf")
    for point in curve["checkpoints"]:
        if point["validation"] is not None and point["validation"] < lowest:
            epoch, lowest = point["epoch"], point["validation"]
        if epoch and point["epoch"] - epoch >= PATIENCE:
            break
    return epoch


def _read(curves: dict[tuple[int, str], dict[str, Any]], year: int, way: str, epoch: float, reading: str) -> Weekly:
    """Give a year's weekly rank correlations at an epoch; None where a training has not come so far."""
    weekly: Weekly = _at(curves[year, way], epoch).get(reading) if (year, way) in curves else None
    return weekly


def _summary(parts: list[np.ndarray]) -> str:
    weekly = np.concatenate(parts)
    known = weekly[np.isfinite(weekly)]
    thirds = ", ".join(f"{third.mean():+.3f}" for third in np.array_split(known, 3))
    return f"{known.mean():+.4f} (t {mean_skill(known).t_statistic:4.1f}; {thirds})"


if __name__ == "__main__":
    main()
