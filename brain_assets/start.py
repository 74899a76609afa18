"""Where the command `brain-assets` begins: before long imports, which it tells of at once, and in which Ctrl-C works.

What is imported stays, and is hidden from Python's collector of unreachable objects, which would go through all of it
while it grows and once more at the end: that takes as long as the rest of both.
"""

import gc
import importlib
import os
import signal
import sys
from contextlib import suppress
from typing import Any

INTERRUPTED = 130
"""Exit code of what Ctrl-C has ended, as shells count it: 128 and the number of the signal."""

LOADING = "brain-assets loads its libraries ..."
ERASE_LINE = "\r\x1b[K"


def main() -> None:
    """Run the command line."""
    signal.signal(signal.SIGINT, _stop_at_once)
    try:
        show(LOADING)
        command_line = import_to_stay("brain_assets.cli")
    finally:
        show(ERASE_LINE)
    try:
        command_line.main()
    except SystemExit as ended:
        if ended.code == INTERRUPTED:  # Python would wait for threads that still ask a bucket or the Hub
            with suppress(OSError):
                sys.stdout.flush()
            os._exit(INTERRUPTED)
        raise
    finally:
        signal.signal(signal.SIGINT, signal.SIG_IGN)  # it ends already


def import_to_stay(module: str) -> Any:
    """Import a module by its name, and all that it needs, as a process does that has done nothing yet."""
    gc.disable()
    imported = importlib.import_module(module)
    gc.freeze()
    gc.enable()
    return imported


def show(text: str) -> None:
    """Write to the terminal, if there is one."""
    if sys.stderr.isatty():
        os.write(2, text.encode())


def _stop_at_once(*_: object) -> None:
    """End the process: raised in an import, `KeyboardInterrupt` may come out as something else, or get lost."""
    show(ERASE_LINE)
    os.write(1, b"stopped\n")
    os._exit(INTERRUPTED)


if __name__ == "__main__":
    main()
