import sys
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

import pydantic
import pytest

from brain_assets import registry
from brain_assets.configuration import ModelConfig
from brain_assets.errors import PluginError, SettingsError
from brain_assets.registry import Family, families_of


class Plain(ModelConfig):
    size: int = pydantic.Field(3, ge=1, description="Size.")


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


class Needs(ModelConfig):
    size: int


PLUGIN = """
from abc import abstractmethod
from brain_assets.registry import register
from brain_assets_tests.test_registry import Needs, Toy

@register
class Mine(Toy):
    {body}
"""


@pytest.fixture(autouse=True)
def as_before(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Iterator[None]:
    """Each test has a working directory and modules of its own."""
    monkeypatch.setattr(sys, "path", list(sys.path))
    monkeypatch.chdir(tmp_path)
    yield
    forget_modules(tmp_path)


def forget_modules(folder: Path) -> None:
    """Let modules of a folder be imported anew; others that a test has loaded stay, since more rests on them."""
    files = {name: getattr(module, "__file__", None) or "" for name, module in sys.modules.items()}
    for name in [name for name, file in files.items() if file.startswith(str(folder))]:
        del sys.modules[name]


def write(name: str, body: str, template: str = PLUGIN) -> str:
    Path(f"{name}.py").write_text(template.format(body=body))
    return name


def test_plugins_come_after_ours_in_the_order_in_which_they_are_named() -> None:
    ours = families_of()
    second, first = write("plug_b", "name = 'bbb'"), write("plug_a", "name = 'aaa'")
    assert list(families_of([second, first]).policies) == [*ours.policies, "bbb", "aaa"]
    assert families_of([second, first]).forecasters == ours.forecasters
    assert registry.get("aaa").layout(Plain(size=2)) == {"weights": (2,)}


def test_a_family_without_a_version_trains_anew_when_its_file_changes() -> None:
    versions = []
    for label in ("Old", "New and longer", "Old"):
        sys.modules.pop("plug_a", None)
        versions.append(families_of([write("plug_a", f"name, label = 'aaa', '{label}'")]).policies["aaa"].code_version)
    assert versions[0] == versions[2] != versions[1]


def test_two_lists_of_families_share_nothing() -> None:
    write("plug_a", "name = 'aaa'")
    write("plug_b", "name = 'bbb'")
    with_both, with_one = families_of(["plug_a", "plug_b"]), families_of(["plug_b"])
    assert "aaa" in with_both.policies
    assert "aaa" not in with_one.by_name
    assert families_of().by_name.keys().isdisjoint({"aaa", "bbb"})


def test_a_package_brings_the_families_of_its_modules() -> None:
    Path("pack").mkdir()
    Path("pack/__init__.py").write_text("from pack import inner\n")
    Path("pack/inner.py").write_text(PLUGIN.format(body="name = 'inner'"))
    write("packed", "name = 'other'")  # begins with the package's name, but is none of its modules
    families_of(["packed"])
    assert list(families_of(["pack"]).policies)[-1:] == ["inner"]
    assert "other" not in families_of(["pack"]).policies


def test_an_installed_package_needs_no_variable() -> None:
    write("installed", "name = 'installed'")
    Path("installed-1.0.dist-info").mkdir()
    Path("installed-1.0.dist-info/METADATA").write_text("Metadata-Version: 2.1\nName: installed\nVersion: 1.0\n")
    Path("installed-1.0.dist-info/entry_points.txt").write_text("[brain_assets.plugins]\nany = installed\n")
    sys.path.append(str(Path.cwd()))
    assert "installed" in families_of().policies


def test_a_module_that_is_loaded_again_replaces_its_family() -> None:
    families_of([write("plug_a", "name, label = 'aaa', 'Old'")])
    del sys.modules["plug_a"]
    write("plug_a", "name, label = 'aaa', 'New and longer'")
    assert families_of(["plug_a"]).policies["aaa"].label == "New and longer"


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
        ("raise SystemExit(3)", "plug: expected a module that can be imported, got SystemExit: 3; correct it"),
        ("name = 'mine", "plug: expected a module that can be imported, got SyntaxError: "),
    ],
)
def test_a_broken_family_is_refused_in_one_sentence(body: str, problem: str) -> None:
    write("plug", body)
    with pytest.raises(SettingsError) as caught:
        families_of(["plug"])
    assert isinstance(caught.value, PluginError)
    assert str(caught.value).startswith(problem)
    assert "\n" not in str(caught.value)


def test_a_module_that_is_not_there_or_brings_nothing_is_refused() -> None:
    with pytest.raises(PluginError, match=r"^no_such: expected a module that can be imported, got Mod"):
        families_of(["no_such"])
    Path("empty.py").touch()
    with pytest.raises(PluginError, match=r"^empty: expected a module that registers a family, got none; remove it"):
        families_of(["empty"])


def test_two_families_of_one_name_are_refused() -> None:
    write("plug_a", "name = 'same'")
    write("plug_b", "name = 'same'")
    with pytest.raises(PluginError, match=r"^plug_b\.Mine: expected a name that no other family has, got same, that"):
        families_of(["plug_a", "plug_b"])


def test_an_unknown_family_is_named() -> None:
    with pytest.raises(PluginError, match=r"^family: expected one of .*, got 'no_such'; correct it, or"):
        registry.get("no_such")
