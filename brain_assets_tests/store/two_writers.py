"""What `test_two_writers` runs many of at once: processes that write the same snapshots, and one that reads them.

``python -m brain_assets_tests.store.two_writers write|read START ROOT CONTENT ...``: the contents are snapshot
folders; START is the time at which the first date is written, in seconds since 1970, so that all begin at once. Each
prints what went wrong, as a JSON list. The reader goes on until its standard input ends.
"""

import datetime
import json
import select
import sys
import threading
import time
from pathlib import Path

from brain_assets.store.folder import read_files, verify, write_files
from brain_assets.store.names import cutoff_of_year
from brain_assets.store.storage import SnapshotLocalStorage
from brain_assets_tests.store.hubs import Files

DATES = [cutoff_of_year(year) for year in range(2000, 2020)]
SLOT = 0.08
"""Seconds from one date to the next."""
N_THREADS = 2
N_WRITES = 5
"""Of every thread and date."""


def main(role: str, start: str, root: str, *contents: str) -> None:
    storage = SnapshotLocalStorage("lstm", Path(root))
    files = [read_files(Path(content)) for content in contents]
    print(json.dumps((write if role == "write" else read)(storage, float(start), files)))  # noqa: T201


def write(storage: SnapshotLocalStorage, start: float, contents: list[Files]) -> list[str]:
    """Write every date again and again, with several threads; gives the errors."""
    errors: list[str] = []

    def run(thread: int) -> None:
        for i, date in enumerate(DATES):
            time.sleep(max(0.0, start + i * SLOT - time.time()))
            for repeat in range(N_WRITES):
                try:
                    write_files(storage.path(date), contents[(thread + repeat) % len(contents)])
                except Exception as error:  # noqa: BLE001 - none is allowed
                    errors.append(repr(error))

    threads = [threading.Thread(target=run, args=(thread,)) for thread in range(N_THREADS)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    return errors


def read(storage: SnapshotLocalStorage, start: float, contents: list[Files]) -> list[str]:
    """Look at the snapshots in every way until told to stop; gives what should not have been seen."""
    problems, seen = [], 0
    while not select.select([sys.stdin], [], [], 0)[0]:
        for date in DATES[max(0, seen - 2) : seen]:
            try:
                problems += [f"{date}: {name}" for name in bad_looks(storage, date, contents)]
            except Exception as error:  # noqa: BLE001 - none is allowed
                problems.append(f"{date}: {error!r}")
        listed = storage.list_snapshots()
        if listed[:seen] != DATES[:seen]:
            problems.append(f"listed {len(listed)} after {seen}")
        seen = max(seen, sum(date in listed for date in DATES))
    return problems if seen == len(DATES) else [*problems, f"only {seen} ever seen"]


def bad_looks(storage: SnapshotLocalStorage, date: datetime.date, contents: list[Files]) -> list[str]:
    """Look at a snapshot that is there in every way; gives the ways in which it was not."""
    looks = {
        "verify": verify(storage.path(date)) is None,
        "read_files": read_files(storage.path(date)) in contents,
        "require_snapshot": storage.require_snapshot(date).is_dir(),
        "snapshot_exists": storage.snapshot_exists(date),
        "read_metadata": storage.read_metadata(date) is not None,
    }
    return [name for name, is_good in looks.items() if not is_good]


if __name__ == "__main__":
    main(*sys.argv[1:])
