"""The tables and pictures of `docs/results.md`: what a walk-forward gave, as it came out.

``python -m benchmarks.results docs/results/sample``, with the settings of the walk-forward, prints the tables as
Markdown, and writes ``docs/results/sample-equity.png`` and ``docs/results/sample-rank_correlation.png``.
``--years 1994-2009`` keeps to some years.
"""

import argparse
from pathlib import Path

import pandas as pd

from benchmarks.pictures import report_pictures
from brain_assets.graph.build import open_project
from brain_assets.report.assets import report_of
from brain_assets.report.tables import conclude, forecaster_table, policy_table, strategy_table, trials_sentence
from brain_assets.settings import read_settings
from brain_assets.terminal import parse_years

PICTURES = ("equity", "rank_correlation")


def markdown(table: pd.DataFrame) -> str:
    """Write a table as Markdown does."""
    lines = [table.columns, ("---",) * table.shape[1], *table.itertuples(index=False)]
    return "\n".join(f"| {' | '.join(line)} |".replace("\n", "<br>") for line in lines)


def main() -> None:
    """Print the tables, and draw the pictures."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("pictures", type=Path, help="what the names of the pictures begin with, folder and all")
    parser.add_argument("--years", help="a year or a range; default: all, which must be there")
    asked = parser.parse_args()
    project = open_project(read_settings())
    resources = project.definitions.resources or {}
    table_io, storages = resources["table_io"], resources["snapshot_io"].storages
    chosen = parse_years(asked.years, project.years)
    built = report_of(chosen, project.market, table_io.store, storages, table_io.data_dir / "trials")
    asked.pictures.parent.mkdir(parents=True, exist_ok=True)
    for name, picture in report_pictures(built).items():
        if name in PICTURES:
            picture.savefig(f"{asked.pictures}-{name}.png")
    print(*conclude(built), sep="\n\n")
    for table in (strategy_table(built), policy_table(built), forecaster_table(built)):
        print(f"\n{markdown(table)}")
    print(f"\n{trials_sentence(built)}")


if __name__ == "__main__":
    main()
