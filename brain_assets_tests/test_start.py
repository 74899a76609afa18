"""Ctrl-C ends a command in one line, from its first import to its last line."""

import time
from pathlib import Path

import pytest

from brain_assets_tests.backfills import Finished, Terminal, assert_nothing_half, in_own_process, screen
from brain_assets_tests.conftest import FAMILIES
from brain_assets_tests.loopback_hub import LoopbackHub
from brain_assets_tests.store.hubs import TOKEN

N_MOMENTS = 10
REPOS = {f"HF_{family.upper()}_MODEL_REPO": f"user/{family}" for family in FAMILIES}
IMPORT = "import os, signal\nos.kill(os.getpid(), signal.SIGINT)\n"
COMMAND = """
import concurrent.futures, os, signal, threading, time
from brain_assets.plugins import Plugin

PLUGIN = Plugin(commands={"wait": "mine:interrupted"})

def interrupted():
    threading.Timer(0.5, lambda: os.kill(os.getpid(), signal.SIGINT)).start()
    with concurrent.futures.ThreadPoolExecutor() as pool:
        list(pool.map(time.sleep, [300, 300]))
"""


@pytest.mark.parametrize(
    ("module", "line"),
    [(IMPORT, "stopped\n"), (COMMAND, "stopped; nothing is half-written: run it again\n")],
    ids=["in an import", "in a command, while threads wait for what does not answer"],
)
def test_ctrl_c_is_one_line_and_exit_code_130(tmp_path: Path, module: str, line: str) -> None:
    (tmp_path / "mine.py").write_text(module)
    run = in_own_process(tmp_path / "data", "wait", BRAIN_PLUGINS="mine", PYTHONPATH=str(tmp_path), seconds=120)
    assert (run.returncode, run.stdout, run.stderr) == (130, line, "")
    assert not (tmp_path / "data").exists()


@pytest.mark.slow
@pytest.mark.claim
@pytest.mark.parametrize(
    ("command", "seconds"), [("train lstm --force", 10), ("prove no-lookahead", 15), ("report", 5), ("sync push", 2)]
)
def test_ctrl_c_ends_each_command_at_any_moment(
    finished: Finished, tmp_path: Path, command: str, seconds: float
) -> None:
    data, codes = finished.copy(tmp_path), []
    with LoopbackHub() as hub:
        variables = {"STORAGE_BACKEND": "hf", "HF_TOKEN": TOKEN, "HF_ENDPOINT": hub.endpoint, **REPOS}
        given = [*command.split(), *(["--config", str(finished.config)] if "train" in command else [])]
        for moment in range(N_MOMENTS):
            running = Terminal(data, *given, **variables)
            time.sleep(0.2 + moment / N_MOMENTS * seconds)
            pressed = time.monotonic()
            running.press_ctrl_c()
            code, shown = running.ended(30)
            codes.append(code)
            assert time.monotonic() - pressed < 5  # 0.5 s on a machine that does nothing else
            if code:  # else it had just ended
                assert (code, shown.count("stopped"), "Traceback" in shown) == (130, 1, False), shown
                *_, last = filter(None, screen(shown))
                assert last.startswith("stopped")
                assert shown.rfind("\x1b[?25h") >= shown.rfind("\x1b[?25l")  # the cursor is back
            assert_nothing_half(data)
        assert codes.count(130) >= N_MOMENTS / 2
        if "prove" not in command:  # which begins from nothing, in a folder of its own
            again = in_own_process(data, *given, seconds=300, **variables)
            assert again.returncode == 0, again.stdout + again.stderr
