"""What a user waits for: loading the definitions, and a backfill of years that are done."""

import os
import statistics
import subprocess
import sys
import tempfile
import time

REPEATS = 3
CLI = [sys.executable, "-m", "brain_assets.start"]
TINY = """
ops:
  lstm_snapshot: {config: {epochs: 1, hidden_size: 4}}
  patchtst_snapshot: {config: {epochs: 1}}
  ppo_policy: {config: {total_steps: 1664}}
  sac_policy: {config: {total_steps: 1664, warmup_steps: 832}}
"""


def seconds(command: list[str], environment: dict[str, str]) -> float:
    started = time.perf_counter()
    subprocess.run(command, check=True, env={**os.environ, **environment}, stdout=subprocess.DEVNULL)
    return time.perf_counter() - started


def definitions() -> float:
    """Give seconds of ``import brain_assets.definitions`` itself, without the start of Python; median."""
    code = "import time; t = time.perf_counter(); import brain_assets.definitions; print(time.perf_counter() - t)"
    runs = [subprocess.run([sys.executable, "-c", code], check=True, capture_output=True, text=True) for _ in range(5)]
    return statistics.median(float(done.stdout) for done in runs)


def demo() -> tuple[float, float]:
    """Give seconds of what `make demo` does after the installation, the first time and the second."""
    with tempfile.TemporaryDirectory() as folder:
        environment = {"BRAIN_DATA_DIR": folder, "BRAIN_MARKET": "sample", "DAGSTER_HOME": ""}
        command = [*CLI, "backfill", "2019-2022", "--then", "lstm_model,patchtst_model"]
        return seconds(command, environment), seconds(command, environment)


def finished_backfill() -> float:
    """Give seconds of a backfill of four years that are done; median."""
    with tempfile.TemporaryDirectory() as folder:
        path = os.path.join(folder, "tiny.yaml")
        with open(path, "w") as file:
            file.write(TINY)
        environment = {"BRAIN_DATA_DIR": folder, "BRAIN_MARKET": "sample", "DAGSTER_HOME": ""}
        command = [*CLI, "backfill", "2019-2022", "--config", path]
        seconds(command, environment)
        return statistics.median(seconds(command, environment) for _ in range(REPEATS))
