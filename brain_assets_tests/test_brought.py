"""What plug-ins bring beside families: definitions, commands, markets, engines."""

import re
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from brain_assets.cli import main
from brain_assets.errors import PluginError, SettingsError
from brain_assets.graph.build import open_project
from brain_assets.plugins import resolve
from brain_assets.settings import brought_commands, read_settings

BODY = """
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
    print("hello")
"""


@pytest.fixture(autouse=True)
def here(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(sys, "path", list(sys.path))
    known = set(sys.modules)
    write("plug", BODY)
    write("plug_graph", GRAPH)
    yield
    for name in set(sys.modules) - known:
        if name.startswith("plug"):
            del sys.modules[name]


def write(name: str, body: str) -> str:
    Path(f"{name}.py").write_text(body)
    return name


def test_assets_jobs_and_a_market_join_ours() -> None:
    project = open_project(read_settings(plugins="plug", market="flat", symbols="AAA,BBB"))
    asset = project.definitions.get_assets_def("summary")
    assert asset.descriptions_by_key[asset.key] == "of simulator since 2019"
    assert project.definitions.resolve_job_def("summaries").name == "summaries"
    assert project.definitions.resolve_job_def("walkforward").name == "walkforward"


def test_another_process_without_the_plug_in_sees_nothing_of_it() -> None:
    read_settings(plugins="plug", market="flat")
    with pytest.raises(SettingsError, match=r"^BRAIN_MARKET: expected one of .*sample.*, got 'flat'; correct it\.$"):
        read_settings(market="flat")
    assert "summary" not in str(open_project(read_settings()).definitions.resolve_all_asset_keys())


def test_what_it_brings_is_imported_when_it_is_used() -> None:
    assert read_settings(plugins="plug", engine="elsewhere").engine == "elsewhere"
    assert "plug_graph" not in sys.modules


def test_a_command_is_one_of_ours(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("BRAIN_PLUGINS", "plug")
    monkeypatch.setenv("BRAIN_MARKET", "nowhere")  # commands are known whatever else is wrong
    assert brought_commands()["hello"] == "plug_graph:hello"
    assert resolve(brought_commands()["hello"]).__doc__ == "Say hello."


@pytest.mark.parametrize(
    ("body", "problem"),
    [
        ("PLUGIN = 3", "plug: expected a Plugin as PLUGIN, got int; correct it."),
        ("", "plug: expected a module that registers a family, got none; remove it."),
        *(
            (
                f"from brain_assets.plugins import Plugin\nPLUGIN = Plugin({kind}={{'{name}': 'x:y'}})",
                f"plug: expected {kind} of other names, got {name}; rename them.",
            )
            for kind, name in (("markets", "sample"), ("commands", "allocate"), ("engines", "local"))
        ),
    ],
)
def test_a_broken_one_is_refused_in_one_sentence(body: str, problem: str) -> None:
    write("plug", body)
    with pytest.raises(PluginError, match=f"^{re.escape(problem)}$"):
        read_settings(plugins="plug")


@pytest.mark.parametrize("text", ["plug_graph:nothing", "no_such:market", "plug_needs:market", "plug_ends:market"])
def test_a_name_that_is_not_there_is_refused_when_it_is_used(text: str) -> None:
    write("plug_needs", "import no_such_library")
    write("plug_ends", "raise SystemExit(3)")
    write("plug", f"from brain_assets.plugins import Plugin\nPLUGIN = Plugin(markets={{'flat': '{text}'}})")
    with pytest.raises(PluginError, match=f"^{text}: expected a module and a name in it, got .*; correct the plug-in"):
        open_project(read_settings(plugins="plug", market="flat"))


def test_a_wing_whose_extra_is_not_installed_says_what_to_install(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "yfinance", None)
    sentence = r"^BRAIN_MARKET=live: expected the packages of the extra live, got none named yfinance; install them .*"
    with pytest.raises(SettingsError, match=sentence):
        open_project(read_settings(market="live"))


DOES = """
import dagster as dg
from brain_assets.market.sample import SampleMarket

@dg.asset
def backtest(): ...

class Late(SampleMarket):
    def last_complete_year(self): raise KeyError("x")

"""
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
        ("commands", "...\nraise OSError('x')", "plug_does:it: expected a module and a name in it, got OSError: x; c"),
    ],
)
def test_what_goes_wrong_in_it_is_one_sentence_and_exit_code_2(
    given: str, does: str, problem: str, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    write("plug_does", f"{DOES}def it(*_): {does}")
    brought = "'plug_does:it'" if given == "definitions" else "{'mine': 'plug_does:it'}"
    write("plug", f"from brain_assets.plugins import Plugin\nPLUGIN = Plugin({given}={brought})")
    monkeypatch.setenv("BRAIN_PLUGINS", "plug")
    monkeypatch.setenv("BRAIN_MARKET", "mine" if given == "markets" else "sample")
    monkeypatch.setenv("BRAIN_ENGINE", "mine" if given == "engines" else "local")
    monkeypatch.setattr(sys, "argv", ["brain-assets", "backfill", "2019"])
    with pytest.raises(SystemExit, match=r"^2$"):
        main()
    assert f"error: {problem}" in capsys.readouterr().err
