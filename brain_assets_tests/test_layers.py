"""What may import what, how deep and how large, and what loading the definitions costs."""

import ast
import graphlib
import os
import re
import subprocess
import sys
from fnmatch import fnmatch
from functools import cache
from pathlib import Path

import brain_assets
from brain_assets_tests.conftest import FAMILIES

PACKAGE = Path(brain_assets.__file__).parent
MAX_LINES_IN_ALL, MAX_LINES_OF_CORE, MAX_LINES_OF_A_WING = 20_319, 14_594, 1_173
MAX_DEPTH, MAX_LINES, MAX_OWN_IMPORTS_IN_FUNCTIONS = 12, 400, 10
LOADER = "registry"
"""The one module that imports own modules when they are asked for."""

LAYERS = (
    "arrays configuration device errors formatting parquet paths plugins progress retry start store.names",
    "market",
    "registry",
    "settings",
    "store",
    "forecasting",
    "portfolio main_versions.training",
    "live simulator user_files",
    "graph",
    "terminal definitions cli_* study testing",
    "adopt allocate automation cluster main_versions prove report user_files.check",
    "cli",
)
"""Bottom up: a module imports none of a layer above its own. The longest name that fits a module decides."""

WINGS = {
    name: name
    for name in (
        *("adopt", "allocate", "automation", "cluster", "live"),
        *("main_versions", "prove", "report", "simulator", "user_files"),
    )
}
"""Features that the core does without; each gets a folder of its own."""

COLLECTORS = ("definitions", "graph.build", "graph.assets", "cli")
"""What puts core and wings together."""

HEAVY = ("torch", "transformers", "stable_baselines3", "yfinance", "huggingface_hub", "skfolio", "sklearn", "arch")
HEAVY += ("plotly", "matplotlib", "jinja2", "cvxpy", "ray", "s3fs", "botocore", "aiohttp")
UNSAFE = ("pickle", "joblib", "dill", "torch", "cloudpickle")
"""Packages whose ``load`` and ``loads`` can run what a file says."""

MODULES = {
    path.relative_to(PACKAGE).with_suffix("").as_posix().replace("/", ".").removesuffix(".__init__"): path
    for path in PACKAGE.rglob("*.py")
    if path != PACKAGE / "__init__.py"
}


@cache
def tree(module: str) -> ast.Module:
    return ast.parse(MODULES[module].read_text())


@cache
def imports(module: str) -> tuple[frozenset[str], tuple[str, ...], frozenset[str]]:
    """Give the own modules imported at the top and in functions, and other packages; not those for type checkers."""
    top, inside, others = set(), [], set()

    def visit(node: ast.AST, in_function: bool) -> None:
        for child in ast.iter_child_nodes(node):
            if isinstance(child, ast.If) and "TYPE_CHECKING" in ast.dump(child.test):
                continue
            names = [alias.name for alias in child.names] if isinstance(child, ast.Import) else []
            if isinstance(child, ast.ImportFrom):
                names = [f"{child.module}.{alias.name}" for alias in child.names]
            for name in names:
                package, _, rest = name.partition(".")
                if package != "brain_assets":
                    others.add(package)
                elif own := rest if rest in MODULES else rest.rpartition(".")[0]:
                    inside.append(own) if in_function else top.add(own)
            visit(child, in_function or isinstance(child, ast.FunctionDef | ast.AsyncFunctionDef | ast.Lambda))

    visit(tree(module), False)
    return frozenset(top - {module}), tuple(inside), frozenset(others)


def fits(module: str, patterns: str) -> str:
    """Give the longest pattern that a module, or a package that it lies in, fits; empty: none does."""
    found = [each for each in patterns.split() if fnmatch(module, each) or fnmatch(module, f"{each}.*")]
    return max(found, key=len, default="")


def place(module: str, groups: dict[object, str]) -> object:
    best = max(groups, key=lambda group: len(fits(module, groups[group])))
    return best if fits(module, groups[best]) else None


USES = {module: {*imports(module)[0], *imports(module)[1]} for module in MODULES}
ARROWS = [(module, used) for module, below in USES.items() for used in sorted(below)]


def test_no_module_imports_from_a_layer_above_it() -> None:
    layers: dict[object, str] = dict(enumerate(LAYERS))
    assert [module for module in MODULES if place(module, layers) is None] == []
    wrong = [f"{a} -> {b}" for a, b in ARROWS if place(a, layers) < place(b, layers)]  # type: ignore[operator]
    assert wrong == []


def test_the_core_does_without_wings_and_wings_without_each_other() -> None:
    wings: dict[object, str] = dict(WINGS.items())
    wrong = [f"{a} -> {b}" for a, b in ARROWS if place(b, wings) not in (None, place(a, wings)) and a not in COLLECTORS]
    assert wrong == []


def test_there_is_no_circle_and_no_chain_is_too_deep() -> None:
    chains: dict[str, tuple[str, ...]] = {}
    for module in graphlib.TopologicalSorter(USES).static_order():  # raises `CycleError`, which names a circle
        chains[module] = (module, *max((chains[used] for used in USES[module]), key=len, default=()))
    deepest = max(chains.values(), key=len)
    assert len(deepest) <= MAX_DEPTH, " -> ".join(deepest)


def test_own_modules_are_imported_in_functions_by_the_loader_alone() -> None:
    found = {module: imports(module)[1] for module in MODULES if imports(module)[1]}
    assert [module for module in found if module != LOADER] == []
    assert sum(map(len, found.values())) <= MAX_OWN_IMPORTS_IN_FUNCTIONS


def test_names_that_docstrings_give_are_there() -> None:
    """Such as `brain_assets.graph.workers.open_pool`; what a class has is not looked up."""
    named = {name for path in MODULES.values() for name in re.findall(r"`brain_assets\.([\w.]+)`", path.read_text())}
    nodes = [(module, node) for module in MODULES for node in ast.walk(tree(module))]
    things = {f"{module}.{getattr(node, 'name', None) or getattr(node, 'id', None)}" for module, node in nodes}
    known = things | {*MODULES, *dir(brain_assets)} | {module.rpartition(".")[0] for module in MODULES}
    assert {name for name in named if name not in known and name.rpartition(".")[0] not in things} == set()


def test_no_file_is_too_long() -> None:
    lengths = {module: len(path.read_text().splitlines()) for module, path in MODULES.items()}
    assert {module: length for module, length in lengths.items() if length > MAX_LINES} == {}


def test_the_whole_the_core_and_each_wing_keep_to_their_size() -> None:
    """Lines with docstrings; a limit goes down when the code has become smaller, and never up."""
    wings: dict[object, str] = dict(WINGS.items())
    sizes = {"whole": 0, "core": 0, **dict.fromkeys(WINGS, 0)}
    for module, path in MODULES.items():
        length = len(path.read_text().splitlines())
        sizes["whole"] += length
        sizes[str(place(module, wings) or "core")] += length
    largest = max(WINGS, key=lambda wing: sizes[wing])
    assert sizes["whole"] <= MAX_LINES_IN_ALL
    assert sizes["core"] <= MAX_LINES_OF_CORE
    assert sizes[largest] <= MAX_LINES_OF_A_WING, largest


def test_only_graph_and_what_wings_define_know_dagster() -> None:
    users = {module for module in MODULES if "dagster" in imports(module)[2]}
    assert {
        module
        for module in users
        if not fits(module, "graph definitions cluster.pool prove.runs *.assets *.definitions *_sensor *_check")
    } == set()
    assert "graph.checks" in users


def test_nothing_reads_what_can_run_code() -> None:
    for module in MODULES:
        assert not {"pickle", "joblib", "dill"} & imports(module)[2], module
        for call in (node for node in ast.walk(tree(module)) if isinstance(node, ast.Call)):
            called = ast.unparse(call.func).split(".")
            assert called[0] not in UNSAFE or called[-1] not in ("load", "loads"), f"{module}: {ast.unparse(call)}"
            allowed = [keyword for keyword in call.keywords if keyword.arg == "allow_pickle"]
            assert all(ast.unparse(keyword.value) == "False" for keyword in allowed), f"{module}: {ast.unparse(call)}"


def test_definitions_and_commands_load_without_the_heavy_libraries() -> None:
    environment = {
        **{f"HF_{family.upper()}_MODEL_REPO": f"user/{family}" for family in (*FAMILIES, "pls", "momentum_rank")},
        "STORAGE_BACKEND": "hf",
        "HF_TOKEN": "hf_secret",
        "BRAIN_PLUGINS": "examples.pls_forecaster,examples.momentum_policy",
    }
    code = "import sys, brain_assets.definitions, brain_assets.cli; "
    code += f"print([name for name in {HEAVY} if name in sys.modules])"
    given = {"cwd": PACKAGE.parent, "env": {**os.environ, **environment}}
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True, **given)
    assert done.stdout.strip() == "[]"


def test_the_package_itself_loads_nothing() -> None:
    code = "import sys; known = set(sys.modules); import brain_assets; print(len(set(sys.modules) - known) < 30)"
    code += "; from brain_assets import *; print({'numpy', 'dagster'} & set(sys.modules))"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.split("\n")[:2] == ["True", "set()"]


def test_asset_modules_keep_real_annotations() -> None:
    """Dagster reads them when an asset is defined; as strings they break it."""
    for path in (PACKAGE / "graph").rglob("*.py"):
        assert "from __future__ import annotations" not in path.read_text(), path
