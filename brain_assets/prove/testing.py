"""For tests of one's own: that a change looks at nothing of the future."""

import datetime
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np

from brain_assets import registry
from brain_assets.graph.build import build_assets
from brain_assets.graph.years import Years
from brain_assets.market.base import Market
from brain_assets.plugins import resolve
from brain_assets.prove.no_lookahead import PASSED, LookaheadResult, prove_no_lookahead
from brain_assets.prove.runs import GraphRuns, RecordedMarket
from brain_assets.registry import Families
from brain_assets.settings import read_settings


def assert_no_lookahead(
    folder: Path,
    market: Market | None = None,
    *,
    first_year: int = 2018,
    bootstrap_years: int = 2,
    last_year: int = 2021,
    dates: Sequence[datetime.date] = (),
    configs: Mapping[str, Any] | None = None,
    seed: int = 0,
) -> list[LookaheadResult]:
    """Assert, in a test, that the code as it is imported looks at nothing of the future; takes seconds.

    Headlines are scored without a model. Raises `AssertionError` with the message of the first date that did not pass.

    Parameters
    ----------
    folder : Path
        Empty; such as pytest's `tmp_path`.
    market : Market, optional
        Default: six simulated symbols.
    first_year, bootstrap_years, last_year : int
        Years to run; the first partition holds the bootstrap years.
    dates, seed
        See `prove_no_lookahead`.
    configs : mapping, optional
        Family -> configuration; a family without an entry is left out. Default: ours, trained for a moment.
    """
    settings = read_settings(
        market="simulator",
        symbols=tuple(f"SIM{i}" for i in range(6)),
        first_year=first_year,
        bootstrap_years=bootstrap_years,
        last_year=last_year,
    )
    source = market or resolve(settings.brought.markets["simulator"])(settings)
    families = registry.families_of() if configs is None else Families.of(map(registry.get, configs))
    years = Years.of(settings, source)
    options = {
        family.asset: family.quick if configs is None else configs[name].model_dump(mode="json", exclude_unset=True)
        for name, family in families.by_name.items()
    }
    runs = GraphRuns(build_assets(years, families), years, families, options)
    recorded = RecordedMarket(source, *runs.span, score=lambda titles: np.zeros(len(titles)))
    results = []
    for result in prove_no_lookahead(recorded, runs, folder, dates, seed):
        if result.result != PASSED:
            raise AssertionError(result.message)
        results.append(result)
    return results
