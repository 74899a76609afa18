"""A worker that runs out of memory: what it says of it, and that the next run goes on."""

import re
from pathlib import Path

import pytest

from brain_assets_tests.backfills import REPOSITORY, assert_nothing_half, in_own_process

FAMILY = """
import os, resource
from pathlib import Path
import torch
from brain_assets import register
from examples.pls_forecaster import Pls

@register
class Hungry(Pls):
    name, label = "hungry", "Hungry"

    def fit(self, *given):
        eaten = os.environ["EATEN"]
        if eaten:
            used = int(Path("/proc/self/statm").read_text().split()[0]) * resource.getpagesize()
            resource.setrlimit(resource.RLIMIT_AS, (used + 2**28, used + 2**28))
            bytes(2**31) if eaten == "bytes" else torch.empty(2**31, dtype=torch.uint8)
        return super().fit(*given)
"""


@pytest.mark.slow
@pytest.mark.parametrize(
    ("eaten", "sentence"),
    [
        ("bytes", r"hungry_snapshot 2019: expected enough memory for it, got too little \(MemoryError.*\); give .*\."),
        ("tensor", r"hungry_snapshot 2019: expected enough memory for it, got too little \(.*allocate.*\); give .*\."),
    ],
)
def test_a_worker_out_of_memory_is_one_sentence(tmp_path: Path, eaten: str, sentence: str) -> None:
    (tmp_path / "mine.py").write_text(FAMILY)
    variables = {"BRAIN_PLUGINS": "mine", "PYTHONPATH": f"{tmp_path}:{REPOSITORY}"}
    command = ("backfill", "2019", "--assets", "raw_prices,hungry_snapshot", "--jobs", "2")
    run = in_own_process(tmp_path / "data", *command, seconds=600, EATEN=eaten, **variables)
    assert (run.returncode, "Traceback" in run.stdout + run.stderr) == (1, False), run.stdout + run.stderr
    [said] = [line.removeprefix("error: ") for line in run.stderr.splitlines() if line.startswith("error: ")]
    assert re.fullmatch(sentence, said), said
    assert "1 made, 0 run without change, 0 done before, 1 not done" in run.stdout
    assert_nothing_half(tmp_path / "data")
    again = in_own_process(tmp_path / "data", *command, seconds=600, EATEN="", **variables)
    assert "1 made, 0 run without change, 1 done before, 0 not done" in again.stdout, again.stdout + again.stderr
