"""What `test_hub_kill` kills: a process that writes snapshots, pushes them, and pulls them into another folder.

``python -m brain_assets_tests.store.hub_rounds ROOT ENDPOINT FIRST_VARIANT YEAR ...`` goes on until it is killed.
"""

import datetime
import itertools
import json
import sys
from pathlib import Path

from brain_assets.store.folder import MANIFEST, PAYLOAD, read_folder, write_folder
from brain_assets.store.names import cutoff_of_year
from brain_assets.store.sync import Transfer, compare, pull, push
from brain_assets_tests.store.hubs import LEARNED, Files, bind

N_VARIANTS = 40


class Rounds:
    """Two machines that share a repo: `here` writes and pushes, `there` pulls.

    Parameters
    ----------
    root : Path
        Holds the folder ``variants``, whose snapshots 0, 1, ... are what is written.
    endpoint : str
        Of the Hub.
    """

    def __init__(self, root: Path, endpoint: str) -> None:
        self.variants = root / "variants"
        self.here, self.there = bind(root / "here", endpoint), bind(root / "there", endpoint)

    def write(self, cutoff_date: datetime.date, variant: int) -> None:
        """Write the snapshot of a date, with the weights, card and metadata of a variant."""
        payload, metadata = read_folder(self.variants / str(variant % N_VARIANTS))
        end = cutoff_date.isoformat()
        data = {**metadata["data"], **dict.fromkeys(LEARNED, end)}
        metadata |= {"cutoff_date": end, "data": data, "variant": variant}
        write_folder(self.here.path(cutoff_date), payload, metadata)

    def exchange(self) -> list[Transfer]:
        """Push and pull what differs; gives what was neither transferred nor there already."""
        transfers = push(self.here, compare(self.here)) + pull(self.there, compare(self.there))
        return [transfer for transfer in transfers if not transfer.done and transfer.result != "unchanged"]


def variant_of(files: Files) -> tuple[int, bytes]:
    """Give the variant that a snapshot's metadata name, and its other files: they must belong together."""
    return json.loads(files[MANIFEST])["variant"], b"".join(files[name] for name in PAYLOAD)


def main(root: str, endpoint: str, first_variant: str, *years: str) -> None:
    rounds = Rounds(Path(root), endpoint)
    variants = itertools.count(int(first_variant))
    while True:
        for year in years:
            rounds.write(cutoff_of_year(int(year)), next(variants))
        failed = rounds.exchange()
        if failed:
            raise SystemExit(f"not transferred: {failed}")


if __name__ == "__main__":
    main(*sys.argv[1:])
