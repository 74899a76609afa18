"""What modules of one's own bring: families of models, and definitions, commands, markets, engines."""

import re
import sys
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

import pydantic
import pytest

from brain_assets import registry
from brain_assets.cli import main
from brain_assets.configuration import ModelConfig
from brain_assets.errors import PluginError, SettingsError
from brain_assets.forecasting.forecaster import Forecaster
from brain_assets.graph.build import open_project
from brain_assets.plugins import resolve
from brain_assets.registry import Family, families_of
from brain_assets.settings import brought_commands, read_settings
from examples.pls_forecaster import Pls


class Plain(ModelConfig):
    size: int = pydantic.Field(3, ge=1, description="Size.")


class Needs(ModelConfig):
    size: int


class Toy(Family):
    role = "policy"
    label = "Toy"
    Config = Plain
    code_version = "1"
    forecaster = "lstm"

    def layout(self, config: Any) -> Mapping[str, tuple[int, ...]]:
        return {"weights": (config.size,)}

    def check(self, snapshot: object) -> None:
        """Find nothing wrong."""


FAMILY = """
from abc import abstractmethod
from brain_assets.registry import register
from brain_assets_tests.test_registry import Needs, Toy

@register
class Mine(Toy):
    """


@pytest.fixture(autouse=True)
def here(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Iterator[None]:
    """Each test has a working directory and modules of its own."""
    monkeypatch.setattr(sys, "path", list(sys.path))
    monkeypatch.chdir(tmp_path)
    yield
    files = {name: getattr(module, "__file__", None) or "" for name, module in sys.modules.items()}
    for name in [name for name, file in files.items() if file.startswith(str(tmp_path))]:
        del sys.modules[name]  # others that a test has loaded stay, since more rests on them


def write(name: str, body: str) -> str:
    Path(f"{name}.py").write_text(body)
    return name


def refused(given: Any, problem: str) -> None:
    with pytest.raises(PluginError, match=f"^{re.escape(problem)}") as caught:
        given()
    assert "\n" not in str(caught.value)


# Families


def test_plugins_come_after_ours_in_the_order_in_which_they_are_named_and_two_lists_share_nothing() -> None:
    ours = families_of()
    second, first = write("plug_b", f"{FAMILY}name = 'bbb'"), write("plug_a", f"{FAMILY}name = 'aaa'")
    assert list(families_of([second, first]).policies) == [*ours.policies, "bbb", "aaa"]
    assert families_of([second, first]).forecasters == ours.forecasters
    assert registry.get("aaa").layout(Plain(size=2)) == {"weights": (2,)}
    assert families_of([second]).by_name.keys() - ours.by_name.keys() == {"bbb"}
    assert families_of() == ours


def test_a_family_that_is_loaded_again_takes_its_place_and_its_version_follows_its_file(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    found = []
    for label in ("Old", "New and longer", "Old"):
        sys.modules.pop("plug_a", None)
        body = f"{FAMILY}name, label = 'aaa', '{label}'"
        found.append(families_of([write("plug_a", body)]).policies["aaa"])
    assert [each.label for each in found] == ["Old", "New and longer", "Old"]
    assert found[0].code_version == found[2].code_version != found[1].code_version
    monkeypatch.setattr(Forecaster, "code_version", "another")  # of how all are trained
    assert registry._file_hash(type("Mine", (Forecaster,), {"__module__": Pls.__module__})) != Pls.code_version


def test_a_package_brings_the_families_of_its_modules_and_an_installed_one_needs_no_variable() -> None:
    Path("pack").mkdir()
    write("pack/__init__", "from pack import inner\n")
    write("pack/inner", f"{FAMILY}name = 'inner'")
    families_of([write("packed", f"{FAMILY}name = 'other'")])  # begins with the package's name, but is not in it
    assert families_of(["pack"]).by_name.keys() & {"inner", "other"} == {"inner"}
    Path("pack-1.0.dist-info").mkdir()
    Path("pack-1.0.dist-info/METADATA").write_text("Metadata-Version: 2.1\nName: pack\nVersion: 1.0\n")
    Path("pack-1.0.dist-info/entry_points.txt").write_text("[brain_assets.plugins]\nany = pack\n")
    sys.path.append(str(Path.cwd()))
    assert "inner" in families_of().policies


@pytest.mark.parametrize(
    ("body", "problem"),
    [
        ("name = 'my model'", "plug.Mine: expected a name of at most 40 lower-case letters, digits and underscores"),
        ("name = 'class'", "plug.Mine: expected a name of at most 40"),
        ("name = 'momentum'", "plug.Mine: expected a name that means nothing else, got 'momentum'; correct"),
        ("name = 'mine_tilt'", "plug.Mine: expected a name that means nothing else, got 'mine_tilt'"),
        ("name = 'mine_seed_2'", "plug.Mine: expected a name that means nothing else, got 'mine_seed_2'"),
        ("label = 'No name'", "plug.Mine: expected a text as name, got None"),
        ("name, code_version = 'mine', 1", "plug.Mine: expected a text as code_version, got 1"),
        ("name, Config = 'mine', dict", "plug.Mine: expected a subclass of ModelConfig as Config, got <class 'dict'>"),
        ("name, Config = 'mine', Needs", "plug.Mine: expected a default for every field of Config, got none for size"),
        ("name, act = 'mine', abstractmethod(lambda _: _)", "plug.Mine: expected the methods act, got none; correct"),
        ("name, forecaster = 'mine', 'gbm'", "mine: expected a forecaster to follow among lstm, patchtst, ridge, "),
        ("name = 'taken'", "plug.Mine: expected a name that no other family has, got taken, that of taken.Mine"),
        ("raise SystemExit(3)", "plug: expected a module that can be imported, got SystemExit: 3; correct it"),
        ("name = 'mine", "plug: expected a module that can be imported, got SyntaxError: "),
    ],
)
def test_a_broken_family_is_refused_in_one_sentence(body: str, problem: str) -> None:
    write("taken", f"{FAMILY}name = 'taken'")
    refused(lambda: families_of(["taken", write("plug", f"{FAMILY}{body}")]), problem)


def test_what_is_not_there_is_named() -> None:
    refused(lambda: families_of(["no_such"]), "no_such: expected a module that can be imported, got Mod")
    refused(lambda: families_of([write("empty", "")]), "empty: expected a module that registers a family, got none; ")
    refused(lambda: registry.get("no_such"), f"family: expected one of {', '.join(registry.names())}, got 'no_such'; ")


# What else a plug-in brings

PLUGIN = """
from brain_assets.plugins import Plugin

PLUGIN = Plugin(
    definitions="plug_graph:definitions",
    commands={"hello": "plug_graph:hello"},
    markets={"flat": "plug_graph:market"},
    engines={"elsewhere": "plug_graph:engine"},
)
"""
GRAPH = """
import dagster as dg
from brain_assets.simulator.market import SimulatorMarket

def definitions(project):
    @dg.asset(deps=["backtest"], description=f"of {project.market.name} since {project.years.first}")
    def summary(): ...
    return dg.Definitions([summary], jobs=[dg.define_asset_job("summaries", [summary])])

def market(settings):
    return SimulatorMarket(settings.symbols or ("AAA",))

def hello():
    '''Say hello.'''
"""


def test_it_joins_ours_once_it_is_used_and_no_other_process_sees_it(monkeypatch: pytest.MonkeyPatch) -> None:
    write("plug_graph", GRAPH)
    settings = read_settings(plugins=write("plug", PLUGIN), market="flat", symbols="AAA,BBB", engine="elsewhere")
    assert "plug_graph" not in sys.modules
    project = open_project(settings)
    asset = project.definitions.get_assets_def("summary")
    assert asset.descriptions_by_key[asset.key] == "of simulator since 2019"
    assert [project.definitions.resolve_job_def(name).name for name in ("summaries", "walkforward")]
    with pytest.raises(SettingsError, match=r"^BRAIN_MARKET: expected one of .*sample.*, got 'flat'; correct it\.$"):
        read_settings(market="flat")
    assert "summary" not in str(open_project(read_settings()).definitions.resolve_all_asset_keys())
    monkeypatch.setenv("BRAIN_PLUGINS", "plug")
    monkeypatch.setenv("BRAIN_MARKET", "nowhere")  # commands are known whatever else is wrong
    assert resolve(brought_commands()["hello"]).__doc__ == "Say hello."


def test_a_wing_whose_extra_is_not_installed_says_what_to_install(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "yfinance", None)
    sentence = r"^BRAIN_MARKET=live: expected the packages of the extra live, got none named yfinance; install them .*"
    with pytest.raises(SettingsError, match=sentence):
        open_project(read_settings(market="live"))


def bringing(given: str) -> str:
    return write("plug", f"from brain_assets.plugins import Plugin\nPLUGIN = Plugin({given})")


def test_a_broken_one_is_refused_in_one_sentence() -> None:
    for given, problem in (
        ("markets={'sample': 'x:y'}", "plug: expected markets of other names, got sample; rename them."),
        ("commands={'allocate': 'x:y'}", "plug: expected commands of other names, got allocate; rename them."),
        ("engines={'local': 'x:y'}", "plug: expected engines of other names, got local; rename them."),
    ):
        bringing(given)
        refused(lambda: read_settings(plugins="plug"), problem)
        del sys.modules["plug"]
    write("plug", "PLUGIN = 3")
    refused(lambda: read_settings(plugins="plug"), "plug: expected a Plugin as PLUGIN, got int; correct it.")


DOES = """
import dagster as dg
from brain_assets.market.sample import SampleMarket

@dg.asset
def backtest(): ...

class Late(SampleMarket):
    def last_complete_year(self): raise KeyError("x")

"""
NAMES = "plug_does:it: expected a module and a name in it, got "
COMMAND = "plug_does:it: expected a function that typer makes a command of, or a Typer, got"


@pytest.mark.parametrize(
    ("given", "does", "problem"),
    [
        ("definitions", "raise KeyError('x')", "plug_does:it: expected a Definitions, got KeyError: 'x'; correct the"),
        ("definitions", "return dg.Definitions([backtest])", "plug-ins: expected definitions that go together with"),
        ("markets", "return None", "plug_does:it: expected a Market, got NoneType; correct the plug-in."),
        ("markets", "return Late()", "plug_does:it: expected a market that names its last complete year, got KeyError"),
        ("engines", "raise KeyError('x')", "plug_does:it: expected a Pool, got KeyError: 'x'; correct the plug-in."),
        ("commands", "...\nit = 3", COMMAND),
        ("commands", "...\nimport typer\nit = typer.Typer()\n@it.command()\ndef mine(number: 'Nothing'): ...", COMMAND),
        ("commands", "...\nraise OSError('x')", f"{NAMES}OSError: x; correct the plug-in, or install what it needs."),
        ("markets", "...\ndel it", f"{NAMES}AttributeError: module 'plug_does' has no attribute 'it'"),
        ("markets", "...\nimport no_such_library", f"{NAMES}ModuleNotFoundError"),
        ("markets", "...\nraise SystemExit(3)", f"{NAMES}SystemExit: 3"),
    ],
)
def test_what_goes_wrong_in_it_is_one_sentence_and_exit_code_2(
    given: str, does: str, problem: str, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    write("plug_does", f"{DOES}def it(*_): {does}")
    brought = "'plug_does:it'" if given == "definitions" else "{'mine': 'plug_does:it'}"
    monkeypatch.setenv("BRAIN_PLUGINS", bringing(f"{given}={brought}"))
    monkeypatch.setenv("BRAIN_MARKET", "mine" if given == "markets" else "sample")
    monkeypatch.setenv("BRAIN_ENGINE", "mine" if given == "engines" else "local")
    monkeypatch.setattr(sys, "argv", ["brain-assets", "backfill", "2019"])
    with pytest.raises(SystemExit, match=r"^2$"):
        main()
    assert f"error: {problem}" in capsys.readouterr().err
