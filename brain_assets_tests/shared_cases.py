"""The cases of ``../shared/cases``: files and answers as people have them, and what must come of each."""

import atexit
import datetime
import json
import re
import runpy
import shutil
import tempfile
from functools import cache
from pathlib import Path
from typing import Any

import pytest

from brain_assets.market.calendar import sessions_between
from brain_assets.market.price_checks import price_verdicts
from brain_assets_tests.backfills import REPOSITORY

SCRIPT = REPOSITORY.parent / "shared" / "cases" / "make_cases.py"
START, END = datetime.date(2018, 1, 1), datetime.date(2020, 1, 1)
needed = pytest.mark.skipif(not SCRIPT.is_file(), reason="../shared/cases is not there")


@cache
def make_cases() -> tuple[Path, dict[str, Any]]:
    """Write all cases, once a process; gives their folder, and what must come of each."""
    out = Path(tempfile.mkdtemp()) / "out"
    atexit.register(shutil.rmtree, out.parent)
    runpy.run_path(str(SCRIPT))["main"](out)
    return out, json.loads((out / "expected.json").read_text())


def doubts_of(table: Any) -> list[str]:
    """Give what the checks of prices warn of."""
    verdicts = price_verdicts(table, sessions_between(START, END)).values() if "close" in table else ()
    return [verdict.words for verdict in verdicts if not verdict.passed]


def unsaid(said: str, wanted: list[str | list[str]], whole: bool = True) -> list[str | list[str]]:
    """Give what is not said, of a list none of it. Numbers and names in capitals are `whole`: 10 not in 2019-10-07."""

    def is_said(word: str) -> bool:
        pattern = rf"(?<![\w.-]){re.escape(word)}(?![\w-])" if whole and word.upper() == word else re.escape(word)
        return re.search(pattern, said, re.IGNORECASE) is not None

    return [words for words in wanted if not any(map(is_said, [words] if isinstance(words, str) else words))]
