"""What policies earn more than equal weight, after costs, on `wide` 2004-2012, following one forecaster.

``python -m benchmarks.active_return PANEL.npz`` needs that file alone, which ``python -m benchmarks.epochs prepare wide
PANEL.npz`` writes, and neither Dagster nor Parquet. TTNP, SANM and NCR are left out: their histories are broken. Years
from 2000 on are forecast by snapshots of the year before. Then each policy is trained with each seed at the end of each
year before a traded one; the years of a seed are one portfolio, which starts in cash. Trainings run in as many
processes as are asked for, of one thread each.
"""

import argparse
import itertools
import json
import os
import tempfile
import time
from collections.abc import Iterator, Mapping, Sequence
from multiprocessing import get_context
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np

from benchmarks.policies import summary
from benchmarks.wide import walkforward, weeks_of
from brain_assets import registry
from brain_assets.arrays import DateArray, FloatArray
from brain_assets.device import CPU
from brain_assets.forecasting.metrics import mean_skill
from brain_assets.market.prices import PricePanel
from brain_assets.market.signals import add_signals
from brain_assets.portfolio.constraints import CONSTRAINTS
from brain_assets.portfolio.dataset import BY_WEEK_AND_ASSET, PolicyDataset, market_weeks
from brain_assets.portfolio.observations import fit_observation_scaler
from brain_assets.portfolio.policy import PolicyRunner
from brain_assets.portfolio.strategy import run_equal_weight, run_strategy
from brain_assets.store.names import cutoff_of_year

BROKEN = ("TTNP", "SANM", "NCR")
FIRST_FORECAST = 2000
PERCENT_A_YEAR = 5200


class Training(NamedTuple):
    """A policy that learns all weeks before a year, in which it trades."""

    family: str
    seed: int
    year: int
    options: Mapping[str, Any]

    @property
    def config(self) -> Any:
        """How it is trained."""
        return registry.get(self.family).Config(**self.options, seed=self.seed)


def read_panel(path: Path, n_symbols: int | None) -> PricePanel:
    """Read bars, without the broken symbols; only the first few, if asked."""
    with np.load(path) as file:
        symbols, values, sessions = file["symbols"], file["values"].astype(np.float64), file["sessions"]
    kept = np.flatnonzero(~np.isin(symbols, BROKEN))[:n_symbols]
    return add_signals(PricePanel(sessions, tuple(symbols[kept].tolist()), values[kept]))


def forecast(job: tuple[Path, int | None, str, int]) -> FloatArray:
    """Forecast a year, (n_weeks, n_assets)."""
    path, n_symbols, family, year = job
    return walkforward(read_panel(path, n_symbols), family, registry.get(family).Config(), [year])


def write_weeks(path: Path, panel: PricePanel, forecasts: Sequence[FloatArray], years: range) -> None:
    """Lay out what policies see, and when each week ends."""
    bars = weeks_of(panel, years)
    weeks = market_weeks(bars, np.concatenate(forecasts))
    usable = weeks.available.any(axis=1)
    arrays = {name: getattr(weeks, name)[usable] for name in ("week_start", *BY_WEEK_AND_ASSET)}
    np.savez(path, week_end=bars.weeks.end[usable], symbols=np.array(weeks.symbols), **arrays)


def read_weeks(path: Path) -> tuple[PolicyDataset, DateArray]:
    """Undo `write_weeks`."""
    with np.load(path) as file:
        arrays = {name: file[name] for name in ("week_start", *BY_WEEK_AND_ASSET)}
        return PolicyDataset(symbols=tuple(file["symbols"].tolist()), **arrays), file["week_end"]


def train(job: tuple[Path, Training]) -> tuple[Training, dict[str, np.ndarray], float]:
    """Train a policy; processor seconds last."""
    path, training = job
    weeks, end = read_weeks(path)
    learned = weeks.select(end <= np.datetime64(cutoff_of_year(training.year - 1), "D"))
    started = time.process_time()
    fitted = registry.get(training.family).fit(learned, training.config, CONSTRAINTS, lambda _: None, CPU)
    seconds = time.process_time() - started
    return training, {**fitted, **fit_observation_scaler(learned).arrays}, seconds


def figures(weeks: PolicyDataset, year: np.ndarray, trained: Sequence[Any]) -> dict[str, Any]:
    """Let a family trade with each seed; percent a year unless said. `year`: in which each week is traded."""
    equal, seeds, weekly = run_equal_weight(weeks, CONSTRAINTS), {}, []
    for seed in sorted({training.seed for training, *_ in trained}):
        runners = {
            each.year: PolicyRunner(registry.get(each.family), arrays, each.config, weeks, CONSTRAINTS)
            for each, arrays, _ in trained
            if each.seed == seed
        }
        run = run_strategy(weeks, CONSTRAINTS, lambda week, held, by=runners: by[year[week]].choose(week, held))
        seeds[seed] = summary([(run, equal)])
        weekly.append(np.log1p(run.net_return) - np.log1p(equal.net_return))
    active, gross = (float(np.mean([each[name] for each in seeds.values()])) for name in ("active", "gross_active"))
    mean, t, *_ = mean_skill(np.mean(weekly, axis=0))
    return {
        "active": active,
        "t": t,
        "interval": [PERCENT_A_YEAR * (mean + side * 1.96 * mean / t) for side in (-1, 1)],
        "gross_active": gross,
        "break_even_bps": CONSTRAINTS.cost_bps * gross / (gross - active),  # costs are proportional to trades
        "turnover": float(np.mean([each["turnover"] for each in seeds.values()])),
        "seconds_a_training": float(np.median([seconds for *_, seconds in trained])),
        "seeds": seeds,
    }


def study(asked: argparse.Namespace, folder: Path) -> Iterator[tuple[str, dict[str, Any]]]:
    """Forecast, train and trade; give the figures of each policy."""
    first, last = (int(year) for year in asked.years.split("-"))
    options: dict[str, dict[str, Any]] = {family: {} for family in asked.policies.split(",")}
    for path, value in (each.split("=", 1) for each in asked.set):
        family, option = path.split(".")
        options[family][option] = json.loads(value)
    panel, years, weeks_path = read_panel(asked.panel, asked.symbols), range(FIRST_FORECAST, last + 1), folder / "w.npz"
    newest_first = range(last, first - 1, -1)  # they take longest
    jobs = [
        (weeks_path, Training(family, seed, year, options[family]))
        for family, year, seed in itertools.product(options, newest_first, range(asked.seeds))
    ]
    trained, started = [], time.perf_counter()
    with get_context("spawn").Pool(asked.jobs) as pool:
        forecasts = pool.map(forecast, [(asked.panel, asked.symbols, asked.forecaster, year) for year in years], 1)
        write_weeks(weeks_path, panel, forecasts, years)
        print(f"{asked.forecaster}: forecasts after {time.perf_counter() - started:.0f} s", flush=True)
        for each in pool.imap_unordered(train, jobs):
            trained.append(each)
            said = f"{each[0].family} {each[0].year} seed {each[0].seed}: {each[2]:.0f} s"
            print(f"{said}, {len(trained)} of {len(jobs)} after {time.perf_counter() - started:.0f} s", flush=True)
    weeks, _ = read_weeks(weeks_path)
    year = weeks.week_start.astype("datetime64[Y]").astype(int) + 1970
    traded = (year >= first) & (year <= last)
    for family in options:
        yield (
            family,
            figures(weeks.select(traded), year[traded], [each for each in trained if each[0].family == family]),
        )


def main() -> None:
    """Read the command line, and print a line a policy."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("panel", type=Path)
    parser.add_argument("--forecaster", default="boosting")
    parser.add_argument("--policies", default="sac,ppo,direct", help="the slowest first")
    parser.add_argument("--years", default="2004-2012", help="traded ones; no later ones are in the data")
    parser.add_argument("--seeds", type=int, default=3)
    parser.add_argument("--jobs", type=int, default=16)
    parser.add_argument("--symbols", type=int, help="the first few only, to try it")
    parser.add_argument("--set", action="append", default=[], metavar="POLICY.OPTION=JSON")
    parser.add_argument("--out", type=Path, help="a JSON file for all figures")
    asked = parser.parse_args()
    os.environ |= dict.fromkeys(("OMP_NUM_THREADS", "OPENBLAS_NUM_THREADS", "MKL_NUM_THREADS"), "1")
    found = {}
    with tempfile.TemporaryDirectory() as folder:
        for family, said in study(asked, Path(folder)):
            found[family] = said
            low, high = said["interval"]
            print(
                f"{family} on {asked.forecaster}: {said['active']:+.2f} points a year after costs [{low:+.2f}, "
                f"{high:+.2f}], t {said['t']:.1f}; before costs {said['gross_active']:+.2f}, breaks even at "
                f"{said['break_even_bps']:.1f} bps; turnover {said['turnover']:.1f}; a training takes "
                f"{said['seconds_a_training']:.0f} s",
                flush=True,
            )
            if asked.out:
                asked.out.write_text(json.dumps(found, indent=2) + "\n")


if __name__ == "__main__":
    main()
