"""What may import what, and what loading the definitions costs."""

import ast
import os
import subprocess
import sys
from pathlib import Path

import brain_assets

PACKAGE = Path(brain_assets.__file__).parent
HEAVY = (
    "torch",
    "transformers",
    "stable_baselines3",
    "yfinance",
    "huggingface_hub",
    "skfolio",
    "arch",
    "plotly",
    "matplotlib",
)


def imported(path: Path) -> set[str]:
    """Give the top-level packages that a module imports anywhere."""
    found = set()
    for node in ast.walk(ast.parse(path.read_text())):
        if isinstance(node, ast.Import):
            found |= {name.name.split(".")[0] for name in node.names}
        elif isinstance(node, ast.ImportFrom) and node.module:
            found.add(node.module.split(".")[0])
    return found


def test_only_graph_and_definitions_know_dagster() -> None:
    modules = {path.relative_to(PACKAGE).as_posix(): path for path in PACKAGE.rglob("*.py")}
    users = {name for name, path in modules.items() if "dagster" in imported(path)}
    strangers = {name for name in users if not name.startswith("graph/") and name != "definitions.py"}
    assert not strangers
    assert "graph/build.py" in users


def test_definitions_load_without_the_heavy_libraries() -> None:
    code = f"import sys, brain_assets.definitions; print([name for name in {HEAVY} if name in sys.modules])"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "[]"


HUB = {
    "STORAGE_BACKEND": "hf",
    "HF_TOKEN": "hf_secret",
    **{f"HF_{family.upper()}_MODEL_REPO": f"user/{family}" for family in ("lstm", "patchtst", "ppo", "sac")},
}


def test_definitions_load_without_the_hub_client_even_if_there_is_a_hub() -> None:
    code = f"import sys, brain_assets.definitions; print([name for name in {HEAVY} if name in sys.modules])"
    environment = {**os.environ, **HUB}
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True, env=environment)
    assert done.stdout.strip() == "[]"


def test_asset_modules_keep_real_annotations() -> None:
    """Dagster reads them when an asset is defined; as strings they break it."""
    for path in (PACKAGE / "graph").rglob("*.py"):
        assert "from __future__ import annotations" not in path.read_text(), path
