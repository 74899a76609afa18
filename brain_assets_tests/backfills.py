"""`brain-assets` as its users run it: a process of its own, on a data folder of its own."""

import contextlib
import fcntl
import os
import pty
import re
import shlex
import shutil
import subprocess
import sys
import tempfile
import termios
import threading
import time
from collections.abc import Collection, Iterator, Sequence
from contextlib import contextmanager, redirect_stderr, redirect_stdout
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import IO
from unittest.mock import patch

import dagster as dg
import pandas as pd
import pytest
import typer
import yaml
from click.testing import CliRunner
from huggingface_hub.constants import ENDPOINT

from brain_assets.cli import command_line, main
from brain_assets.store.storage import SnapshotLocalStorage
from brain_assets_tests.conftest import FAMILIES, SYMBOLS, TINY
from brain_assets_tests.graph.worlds import HERE, pool_here
from brain_assets_tests.graph.worlds import NAMES as ASSETS

REPOSITORY = Path(__file__).parents[1]
COMMAND = (sys.executable, "-m", "brain_assets.start")
YEARS = (2019, 2020, 2021)
COLUMNS = 80
"""Of a terminal."""
STATES = {"✓": "done", "!": "warned", "~": "stale", "✗": "damaged", "·": "missing"}


@dataclass(frozen=True)
class Finished:
    """A backfill of `YEARS` that went through; nobody changes its folder, tests take a copy."""

    data_dir: Path
    config: Path
    output: str

    def copy(self, folder: Path) -> Path:
        """Give a folder with the same results, times of change included."""
        return Path(shutil.copytree(self.data_dir, folder / "data"))


def environment(data_dir: Path, **variables: str) -> dict[str, str]:
    """Give the environment of a process: a small simulated market, unless the variables say otherwise; "" unsets."""
    chosen = {
        "BRAIN_MARKET": "simulator",
        "BRAIN_SYMBOLS": ",".join(SYMBOLS),
        "BRAIN_LAST_YEAR": "2021",
        "BRAIN_DATA_DIR": str(data_dir),
        "PYTHONPATH": str(REPOSITORY),
        **variables,
    }
    return {**os.environ, **chosen}


def brain_assets(data_dir: Path, *arguments: str, **variables: str) -> subprocess.CompletedProcess[str]:
    """Run the command to its end, it and its workers in this process, which has paid their imports."""
    settings = environment(data_dir, **variables)
    plugins = ",".join(filter(None, (settings.get("BRAIN_PLUGINS"), HERE)))
    with (
        patch.dict(os.environ, {"BRAIN_ENGINE": "here", **settings, "BRAIN_PLUGINS": plugins}),
        patch("brain_assets.cli_run.local_pool", pool_here),
        patch("huggingface_hub.constants.ENDPOINT", settings.get("HF_ENDPOINT", ENDPOINT)),  # it is read at import
        patch("sys.argv", ["brain-assets", *arguments]),
        contextlib.chdir(REPOSITORY),
        tempfile.TemporaryFile("w+", buffering=1) as output,
        tempfile.TemporaryFile("w+", buffering=1) as errors,
    ):
        with _diverted(1, output), _diverted(2, errors), redirect_stdout(output), redirect_stderr(errors):
            code = _exit_code()
        output.seek(0), errors.seek(0)
        return subprocess.CompletedProcess(arguments, code, output.read(), errors.read())


@contextmanager
def _diverted(descriptor: int, file: IO[str]) -> Iterator[None]:
    """Let what this process, and those that it starts, write to a descriptor go to a file."""
    kept = os.dup(descriptor)
    os.dup2(file.fileno(), descriptor)
    try:
        yield
    finally:
        os.dup2(kept, descriptor)
        os.close(kept)


def _exit_code() -> int:
    try:
        main()
    except SystemExit as end:
        return int(end.code or 0)
    return 0


def in_own_process(
    data_dir: Path, *arguments: str, seconds: float = 300, **variables: str
) -> subprocess.CompletedProcess[str]:
    """Run the command in a process to its end, which it must reach in so many seconds."""
    return subprocess.run(
        [*COMMAND, *arguments],
        env=environment(data_dir, **variables),
        cwd=REPOSITORY,
        capture_output=True,
        text=True,
        timeout=seconds,
        check=False,
    )


def start(data_dir: Path, *arguments: str, **variables: str) -> subprocess.Popen[bytes]:
    """Start the command, in a process group of its own, as a terminal does."""
    return subprocess.Popen(
        [*COMMAND, *arguments],
        env=environment(data_dir, **variables),
        cwd=REPOSITORY,
        stdout=subprocess.DEVNULL,
        stderr=subprocess.DEVNULL,
        start_new_session=True,
    )


class Terminal:
    """The command in a terminal of its own, whose keys reach all of its processes."""

    def __init__(self, data_dir: Path, *arguments: str, **variables: str) -> None:
        settings = environment(data_dir, **variables)
        self.process_id, self._keys = pty.fork()
        if self.process_id == 0:
            termios.tcsetwinsize(0, (40, COLUMNS))
            os.chdir(REPOSITORY)
            os.execve(sys.executable, [*COMMAND, *arguments], settings)
        self._screen = bytearray()
        self._reader = threading.Thread(target=self._read, daemon=True)
        self._reader.start()

    def press_ctrl_c(self) -> None:
        os.write(self._keys, b"\x03")

    def await_output(self, pattern: str) -> None:
        """Wait until something like it is shown."""
        while not re.search(pattern, self._screen.decode(errors="replace")) and self.is_running():
            time.sleep(0.005)

    def lines(self) -> list[str]:
        """Give what is on the screen."""
        return screen(self._screen.decode(errors="replace"))

    def is_running(self) -> bool:
        return self._reader.is_alive()

    def ended(self, seconds: float) -> tuple[int, str]:
        """Wait for the end, which must come in so many seconds, and give the exit code and what was shown."""
        self._reader.join(seconds)
        assert not self._reader.is_alive(), f"still running after {seconds} s"
        _, status = os.waitpid(self.process_id, 0)
        return os.waitstatus_to_exitcode(status), self._screen.decode(errors="replace")

    def _read(self) -> None:
        with contextlib.suppress(OSError):  # so says a terminal whose last process has ended
            while read := os.read(self._keys, 4096):
                self._screen += read


def screen(shown: str, columns: int = COLUMNS) -> list[str]:
    """Give the lines that a terminal ends with after all that was written to it."""
    lines, row, column = [""], 0, 0
    for number, code, key, text in re.findall(r"\x1b\[([?0-9;]*)([A-Za-z])|([\r\n])|([^\x1b\r\n]+)", shown):
        for letter in text:
            if column == columns:
                row, column = row + 1, 0
            lines += [""] * (row + 1 - len(lines))
            lines[row] = lines[row][:column].ljust(column) + letter + lines[row][column + 1 :]
            column += 1
        if key:
            row, column = (row + 1, column) if key == "\n" else (row, 0)
            lines += [""] * (row + 1 - len(lines))
        elif code == "A":
            row -= int(number)
        elif code == "K":
            lines[row] = "" if number == "2" else lines[row][:column]
    return [line.rstrip() for line in lines]


def states(output: str) -> dict[tuple[int, str], str]:
    """Read the tables of `status`: (year, asset) -> state."""
    years, found = [], {}
    for words in map(str.split, output.splitlines()):
        if words and all(re.fullmatch(r"(19|20)\d\d", word) for word in words):
            years = [int(word) for word in words]
        elif words and words[0] in ASSETS and set(words[1:]) <= set(STATES):
            found |= {(year, words[0]): STATES[mark] for year, mark in zip(years, words[1:], strict=True)}
    return found


def paths_in(data: Path) -> int:
    """Count what lies in a data folder; it grows from the first write of a backfill to its last."""
    # os.walk passes over a folder that is renamed while it looks; Path.rglob fails
    return sum(len(folders) + len(files) for _, folders, files in os.walk(data))


def files_of(data_dir: Path) -> dict[str, bytes]:
    """Give every artifact: tables, snapshots, trials; not Dagster's own record."""
    paths = [path for path in sorted(data_dir.rglob("*")) if path.is_file()]
    names = {path: path.relative_to(data_dir) for path in paths}
    return {str(name): path.read_bytes() for path, name in names.items() if name.parts[0] != "dagster"}


def long_training(folder: Path) -> Path:
    """Give a configuration whose PPO policy takes about a quarter of a minute."""
    ops = {**TINY["ops"], "ppo_policy": {"config": {**TINY["ops"]["ppo_policy"]["config"], "total_steps": 60_000}}}
    return write_config(folder / "long.yaml", {"ops": ops})


def all_but(assets: Collection[str], data: Path, config: Path, **variables: str) -> Path:
    """Make the year 2019 of all other assets, on this machine."""
    others = ",".join(name for name in ASSETS if name not in assets)
    made = brain_assets(data, "backfill", "2019", "--config", str(config), "--assets", others, **variables)
    assert made.returncode == 0, made.stdout + made.stderr
    return data


def await_training(home: Path, known: Collection[str] = (), seconds: float = 600) -> dg.DagsterRun:
    """Wait until a PPO policy trains, and give its run, which is none of those known."""
    deadline = time.monotonic() + seconds
    while time.monotonic() < deadline:
        with dg.DagsterInstance.from_config(str(home)) as instance:
            for run in instance.get_runs(filters=dg.RunsFilter(statuses=[dg.DagsterRunStatus.STARTED])):
                lines = [entry.user_message for entry in instance.all_logs(run.run_id)]
                if run.run_id not in known and any("steps" in line and "ppo 2019" in line for line in lines):
                    return run
        time.sleep(0.5)
    raise AssertionError(f"no policy was trained within {seconds} s")


def statuses(home: Path) -> list[str]:
    """Give those of the runs of the PPO policy, oldest first."""
    with dg.DagsterInstance.from_config(str(home)) as instance:
        runs = [run for run in instance.get_runs() if dg.AssetKey("ppo_policy") in (run.asset_selection or ())]
    return [run.status.value for run in reversed(runs)]


def flip(path: Path) -> None:
    """Flip one bit in the middle of a file."""
    content = bytearray(path.read_bytes())
    content[len(content) // 2] ^= 1
    path.write_bytes(content)


def write_config(path: Path, content: object = TINY) -> Path:
    path.write_text(yaml.safe_dump(content))
    return path


def shared_backfill(factory: pytest.TempPathFactory) -> Finished:
    """Give a finished backfill, made once however many pytest workers ask for it."""
    alone = "PYTEST_XDIST_WORKER" not in os.environ
    folder = (factory.getbasetemp() if alone else factory.getbasetemp().parent) / "finished"
    folder.mkdir(exist_ok=True)
    output = folder / "output.txt"
    with (folder / "lock").open("w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        if not output.exists():
            config = write_config(folder / "tiny.yaml")
            given = ("backfill", f"{YEARS[0]}-{YEARS[-1]}", "--config", str(config))
            run = in_own_process(folder / "data", *given, seconds=900)
            assert run.returncode == 0, run.stdout + run.stderr
            output.write_text(run.stdout)
    return Finished(folder / "data", folder / "tiny.yaml", output.read_text())


def outcomes(output: str) -> dict[tuple[int, str], str]:
    """Read the line of every year and asset: (year, asset) -> what is said of it."""
    found = {}
    for line in output.splitlines():
        words = line.split(maxsplit=2)
        if len(words) == 3 and words[0].isdigit() and words[1] in ASSETS:
            assert (int(words[0]), words[1]) not in found, f"said twice: {line}"
            found[int(words[0]), words[1]] = words[2]
    return found


def weights(data_dir: Path) -> dict[str, Path]:
    """Give the weights of every snapshot by `family/name`."""
    return {
        f"{path.parent.parent.name}/{path.parent.name}": path
        for path in sorted(data_dir.glob("models/*/snapshot-*/weights.pt"))
    }


def identities(paths: dict[str, Path]) -> dict[str, tuple[int, int]]:
    """Tell files apart that were written again, even with the same bytes: inode and time of change."""
    return {name: (path.stat().st_ino, path.stat().st_mtime_ns) for name, path in paths.items()}


def contents(paths: dict[str, Path]) -> dict[str, bytes]:
    return {name: path.read_bytes() for name, path in paths.items()}


def assert_nothing_half(data_dir: Path, families: Sequence[str] = FAMILIES) -> None:
    """Check that whatever counts as there is whole: every snapshot loads, every table reads."""
    for family in families:
        storage = SnapshotLocalStorage(family, data_dir / "models")
        for cutoff_date in storage.list_snapshots():
            assert storage.load_snapshot(cutoff_date).cutoff_date == cutoff_date
        named = sorted(path.name for path in storage.folder.glob("snapshot-*"))
        assert named == [storage.path(cutoff_date).name for cutoff_date in storage.list_snapshots()]
    for table in data_dir.rglob("*.parquet"):  # hidden temporary siblings have another ending
        assert len(pd.read_parquet(table)) > 0


def parses(command: str) -> bool:
    """Tell whether a command of a page, ``brain-assets …``, is one that there is, with such options; it is not run."""
    return CliRunner().invoke(_commands(), [*shlex.split(command, comments=True)[1:], "--help"]).exit_code == 0


@cache
def _commands() -> typer.core.TyperGroup:
    return typer.main.get_command(command_line())  # type: ignore[return-value]
