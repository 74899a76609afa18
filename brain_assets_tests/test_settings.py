"""What the environment may say, and in which words it is refused."""

import os
import shlex
import socket
import traceback
from collections.abc import Mapping
from pathlib import Path

import pytest
from pydantic import SecretStr

from brain_assets.cli import print_ui_hint, serve_reports
from brain_assets.errors import SettingsError
from brain_assets.settings import read_settings
from brain_assets.terminal import OurConsole
from brain_assets_tests.conftest import FAMILIES


@pytest.fixture(autouse=True)
def _no_variables(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in list(os.environ):
        if name.startswith(("BRAIN_", "HF_", "STORAGE_", "DAGSTER_")):
            monkeypatch.delenv(name)


def give(monkeypatch: pytest.MonkeyPatch, variables: Mapping[str, str]) -> None:
    for name, value in variables.items():
        monkeypatch.setenv(name, value)


# Values


PPO, LSTM = "brain_assets.portfolio.ppo", "brain_assets.forecasting.lstm"
GIVEN: dict[str, tuple[str, str, object]] = {
    "market": ("BRAIN_MARKET", "files", "files"),
    "data_dir": ("BRAIN_DATA_DIR", "/tmp/elsewhere", Path("/tmp/elsewhere")),
    "symbols": ("BRAIN_SYMBOLS", "AAA,BBB", ("AAA", "BBB")),
    "first_year": ("BRAIN_FIRST_YEAR", "2001", 2001),
    "bootstrap_years": ("BRAIN_BOOTSTRAP_YEARS", "3", 3),
    "last_year": ("BRAIN_LAST_YEAR", "2010", 2010),
    "files_dir": ("BRAIN_FILES_DIR", "/tmp/files", Path("/tmp/files")),
    "edgar_identity": ("BRAIN_EDGAR_IDENTITY", "Ada Lovelace ada@example.org", "Ada Lovelace ada@example.org"),
    "storage_backend": ("STORAGE_BACKEND", "hf", "hf"),
    "hf_token": ("HF_TOKEN", "hf_secret", SecretStr("hf_secret")),
    "plugins": ("BRAIN_PLUGINS", f"{PPO}, {LSTM}", (PPO, LSTM)),
    "owners": ("BRAIN_OWNERS", "ada@a.org, team:risk", ("ada@a.org", "team:risk")),
    "reports_url": ("BRAIN_REPORTS_URL", "https://dagster.example.org/reports/", "https://dagster.example.org/reports"),
    "engine": ("BRAIN_ENGINE", "ray", "ray"),
    "cluster_config": ("BRAIN_CLUSTER_CONFIG", "/tmp/cluster.yaml", Path("/tmp/cluster.yaml")),
    "dagster_home": ("DAGSTER_HOME", "/tmp/home", Path("/tmp/home")),
}


HUB = {
    "STORAGE_BACKEND": "hf",
    "HF_TOKEN": "hf_secret",
    **{f"HF_{family.upper()}_MODEL_REPO": f"user/{family}" for family in FAMILIES},
}


def test_every_variable_is_read_and_an_empty_one_is_none(monkeypatch: pytest.MonkeyPatch) -> None:
    default = read_settings()
    give(monkeypatch, dict.fromkeys((name for name, _, _ in GIVEN.values()), ""))
    assert read_settings() == default
    give(monkeypatch, {name: text for name, text, _ in GIVEN.values()} | HUB)
    settings = read_settings()
    assert settings.model_repos == {family: f"user/{family}" for family in FAMILIES}
    assert settings.model_dump() == {name: value for name, (_, _, value) in GIVEN.items()}


@pytest.mark.parametrize(
    ("text", "expected"), [(" BBB , AAA ,", ("BBB", "AAA")), ("BRK-B,005930.KS", ("BRK-B", "005930.KS")), (",", ())]
)
def test_symbols_are_separated_by_commas(monkeypatch: pytest.MonkeyPatch, text: str, expected: tuple[str, ...]) -> None:
    monkeypatch.setenv("BRAIN_SYMBOLS", text)
    assert read_settings().symbols == expected  # the order is the user's


def test_what_a_command_line_gave_wins_and_a_process_that_is_started_sees_it(monkeypatch: pytest.MonkeyPatch) -> None:
    give(monkeypatch, {"BRAIN_MARKET": "sample", "BRAIN_FIRST_YEAR": "not a year", "HF_TOKEN": "hf_secret"})
    assert read_settings(first_year=1999, market=None).market == "sample"
    said = read_settings(market="live", engine="ray", symbols=("AAA", "BBB"), data_dir="elsewhere", first_year=2001)
    told = said.environment()  # live is the default, but said
    assert (told["BRAIN_MARKET"], told["BRAIN_ENGINE"], told["BRAIN_FIRST_YEAR"]) == ("live", "ray", "2001")
    assert (told["BRAIN_SYMBOLS"], told["BRAIN_DATA_DIR"], told["HF_TOKEN"]) == ("AAA,BBB", "elsewhere", "hf_secret")
    assert "BRAIN_LAST_YEAR" not in told
    assert os.environ["BRAIN_MARKET"] == "sample"


# Wrong values


HIDDEN = (
    "HF_LSTM_MODEL_REPO: expected a model repo of the Hub, user/name, got another text (not shown: it may be a token); "
    "correct it."
)


@pytest.mark.parametrize(
    ("variables", "sentence"),
    [
        ({"BRAIN_MARKET": "Sample"}, "expected one of files, live, sample, simulator, got 'Sample'; correct it."),
        ({"BRAIN_FIRST_YEAR": "1970"}, "input should be greater than or equal to 1971, got '1970'; correct it."),
        ({"BRAIN_BOOTSTRAP_YEARS": "1"}, "input should be greater than or equal to 2, got '1'; correct it."),
        ({"BRAIN_LAST_YEAR": "latest"}, "input should be a valid integer, unable to parse string as an integer, got "),
        ({"BRAIN_SYMBOLS": "AAA,BBB,AAA"}, "expected each symbol once, got 'AAA,BBB,AAA'; correct it."),
        ({"BRAIN_OWNERS": "ada@a.org, ada"}, "expected mail addresses, or team:name, got 'ada@a.org, ada'; correct"),
        ({"BRAIN_REPORTS_URL": "http://h:99999"}, "Port out of range 0-65535, got 'http://h:99999'; correct it."),
        ({"STORAGE_BACKEND": "s3"}, "input should be 'local' or 'hf', got 's3'; correct it."),
        (
            {"BRAIN_LAST_YEAR": "soon", "BRAIN_FIRST_YEAR": "2016.5"},
            "BRAIN_FIRST_YEAR: input should be a valid integer, unable to parse string as an integer, got '2016.5'; "
            "correct it.; BRAIN_LAST_YEAR: input should be a valid integer",
        ),
        (
            {"BRAIN_MARKET": "files"},
            "BRAIN_FILES_DIR: expected a folder of price files, as BRAIN_MARKET is files; got nothing; set it",
        ),
        (
            {"BRAIN_LAST_YEAR": "2018"},
            "expected 2019 (BRAIN_FIRST_YEAR + BRAIN_BOOTSTRAP_YEARS - 1) or later, got 2018",
        ),
        ({**HUB, "HF_SAC_MODEL_REPO": ""}, "HF_SAC_MODEL_REPO: expected a model repo each (user/name), as STORAGE_"),
        (
            {**HUB, "HF_SAC_MODEL_REPO": "user/ppo"},
            "HF_*_MODEL_REPO: expected a repo of its own for every family, as branches are named by date alone; got ",
        ),
        ({**HUB, "HF_TOKEN": "hf_secret\nX: y"}, "HF_TOKEN: expected printable ASCII characters without blanks, got "),
        ({"HF_LSTM_MODEL_REPO": "hf_secret"}, HIDDEN),
        ({"HF_LSTM_MODEL_REPO": "../hf_secret/y"}, HIDDEN),
        ({"HF_LSTM_MODEL_REPO": "https://ada:hf_secret@huggingface.co/ada/lstm"}, HIDDEN),
    ],
)
def test_what_is_wrong_is_a_sentence_each_with_the_variables_name_and_no_token(
    monkeypatch: pytest.MonkeyPatch, variables: dict[str, str], sentence: str
) -> None:
    give(monkeypatch, variables)
    with pytest.raises(SettingsError) as caught:
        read_settings()
    name = next(iter(variables))
    assert str(caught.value).startswith((sentence, f"{name}: {sentence}"))
    assert "\n" not in str(caught.value)
    assert "hf_secret" not in "".join(traceback.format_exception(caught.value))


def test_values_that_go_together_are_taken_and_an_override_nobody_knows_is_not() -> None:
    settings = read_settings(market="files", files_dir=Path("prices"), last_year=2019)  # 2016 + 4 - 1
    assert settings.last_year == settings.first_partition_year
    with pytest.raises(SettingsError, match=r"expected settings among plugins, market, .* got nonsense"):
        read_settings(nonsense=3)


# Telling settings


def test_differing_variables_are_those_that_differ_from_their_defaults(monkeypatch: pytest.MonkeyPatch) -> None:
    assert read_settings().differing_variables() == {}
    given = {"BRAIN_MARKET": "simulator", "BRAIN_SYMBOLS": "AAA, BBB", "BRAIN_LAST_YEAR": "2021"}
    give(monkeypatch, {"BRAIN_FIRST_YEAR": "2016", **given})  # the first as it is anyway
    settings = read_settings(data_dir=Path("elsewhere"))
    differing = settings.differing_variables()
    assert differing == {**given, "BRAIN_SYMBOLS": "AAA,BBB", "BRAIN_DATA_DIR": "elsewhere"}
    give(monkeypatch, differing)
    assert read_settings() == settings
    give(monkeypatch, HUB)
    assert "hf_secret" not in repr(read_settings()) + str(read_settings().differing_variables())


def test_what_a_backfill_ends_with_can_be_pasted_and_names_nobody(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr("brain_assets.cli.console", OurConsole(force_terminal=True, color_system=None, width=40))
    monkeypatch.setenv("BRAIN_EDGAR_IDENTITY", "Ada Lovelace ada@example.org")
    monkeypatch.setenv("BRAIN_OWNERS", "ada@example.org")
    folder = "my data; $(touch x)"
    print_ui_hint(None, read_settings(market="live", data_dir=folder))
    words = shlex.split(capsys.readouterr().out.partition(": ")[2])
    assert words == [f"BRAIN_DATA_DIR={folder}", "brain-assets", "ui"]


def test_reports_are_served_unless_their_address_is_taken_which_is_said(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        taken.listen()
        address = f"http://127.0.0.1:{taken.getsockname()[1]}"
        serve_reports(read_settings(data_dir=tmp_path, reports_url=address))
    assert caplog.messages == [
        f"reports: expected {address} to be free, got Address already in use; set BRAIN_REPORTS_URL."
    ]
