"""What the environment may say, and in which words it is refused."""

import os
import shlex
import socket
import traceback
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


def refusal(**overrides: object) -> str:
    with pytest.raises(SettingsError) as caught:
        read_settings(**overrides)
    message = str(caught.value)
    assert "\n" not in message
    return message


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


def test_every_variable_is_read(monkeypatch: pytest.MonkeyPatch) -> None:
    for name, text, _ in (*GIVEN.values(), *((name, text, None) for name, text in HUB.items())):
        monkeypatch.setenv(name, text)
    settings = read_settings()
    assert settings.model_repos == {family: f"user/{family}" for family in FAMILIES}
    assert settings.model_dump() == {name: value for name, (_, _, value) in GIVEN.items()}


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("AAA", ("AAA",)),
        ("AAA,BBB", ("AAA", "BBB")),
        ("BBB,AAA", ("BBB", "AAA")),  # the order is the user's
        (" AAA , BBB ,", ("AAA", "BBB")),
        ("BRK-B,005930.KS", ("BRK-B", "005930.KS")),
        (",", ()),
    ],
)
def test_symbols_are_separated_by_commas(monkeypatch: pytest.MonkeyPatch, text: str, expected: tuple[str, ...]) -> None:
    monkeypatch.setenv("BRAIN_SYMBOLS", text)
    assert read_settings().symbols == expected


def test_an_empty_variable_is_no_variable(monkeypatch: pytest.MonkeyPatch) -> None:
    default = read_settings()
    for name, _, _ in GIVEN.values():
        monkeypatch.setenv(name, "")
    assert read_settings() == default


def test_what_a_command_line_gave_wins_and_none_gives_nothing(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("BRAIN_MARKET", "sample")
    monkeypatch.setenv("BRAIN_FIRST_YEAR", "not a year")
    settings = read_settings(first_year=1999, market=None)
    assert settings.first_year == 1999
    assert settings.market == "sample"


def test_a_process_that_is_started_sees_what_the_command_line_said(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("BRAIN_MARKET", "sample")
    monkeypatch.setenv("BRAIN_FIRST_YEAR", "2001")
    monkeypatch.setenv("HF_TOKEN", "hf_secret")
    said = read_settings(market="live", engine="ray", symbols=("AAA", "BBB"), data_dir="elsewhere")
    told = said.environment()  # live is the default, but said
    assert (told["BRAIN_MARKET"], told["BRAIN_ENGINE"], told["BRAIN_FIRST_YEAR"]) == ("live", "ray", "2001")
    assert (told["BRAIN_SYMBOLS"], told["BRAIN_DATA_DIR"], told["HF_TOKEN"]) == ("AAA,BBB", "elsewhere", "hf_secret")
    assert "BRAIN_LAST_YEAR" not in told
    assert os.environ["BRAIN_MARKET"] == "sample"


# Wrong values


@pytest.mark.parametrize(
    ("name", "value", "expected"),
    [
        ("BRAIN_MARKET", "Sample", "expected one of files, live, sample, simulator, got"),
        ("BRAIN_FIRST_YEAR", "2016.5", "input should be a valid integer"),
        ("BRAIN_FIRST_YEAR", "1970", "input should be greater than or equal to 1971"),
        ("BRAIN_BOOTSTRAP_YEARS", "1", "input should be greater than or equal to 2"),
        ("BRAIN_LAST_YEAR", "latest", "input should be a valid integer"),
        ("BRAIN_SYMBOLS", "AAA,BBB,AAA", "expected each symbol once"),
        ("BRAIN_OWNERS", "ada@a.org, ada", "expected mail addresses, or team:name"),
        ("STORAGE_BACKEND", "s3", "input should be 'local' or 'hf'"),
    ],
)
def test_a_wrong_value_is_one_sentence_with_the_variables_name(
    monkeypatch: pytest.MonkeyPatch, name: str, value: str, expected: str
) -> None:
    monkeypatch.setenv(name, value)
    message = refusal()
    assert message.startswith(f"{name}: {expected}")
    assert message.endswith(f", got '{value}'; correct it.")


def test_two_wrong_values_are_two_sentences(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("BRAIN_BOOTSTRAP_YEARS", "four")
    monkeypatch.setenv("BRAIN_FIRST_YEAR", "soon")
    message = refusal()
    assert "BRAIN_BOOTSTRAP_YEARS: input should be " in message
    assert "; BRAIN_FIRST_YEAR: input should be " in message or message.startswith("BRAIN_FIRST_YEAR: input should be ")


@pytest.mark.parametrize(
    ("variables", "expected"),
    [
        ({"BRAIN_MARKET": "files"}, "BRAIN_FILES_DIR: expected a folder of price files, as BRAIN_MARKET is files; got"),
        ({"BRAIN_LAST_YEAR": "2018"}, "BRAIN_LAST_YEAR: expected 2019 (BRAIN_FIRST_YEAR + BRAIN_BOOTSTRAP_YEARS - 1)"),
    ],
)
def test_values_that_do_not_go_together_are_one_sentence(
    monkeypatch: pytest.MonkeyPatch, variables: dict[str, str], expected: str
) -> None:
    for name, value in variables.items():
        monkeypatch.setenv(name, value)
    assert refusal().startswith(expected)
    monkeypatch.setenv("BRAIN_LAST_YEAR", "2019")  # 2016 + 4 - 1
    settings = read_settings(market="files", files_dir=Path("prices"))
    assert settings.last_year == settings.first_partition_year == 2019


# Telling settings


def test_differing_variables_are_those_that_differ_from_their_defaults(monkeypatch: pytest.MonkeyPatch) -> None:
    assert read_settings().differing_variables() == {}
    monkeypatch.setenv("BRAIN_FIRST_YEAR", "2016")  # as it is anyway
    monkeypatch.setenv("BRAIN_MARKET", "simulator")
    monkeypatch.setenv("BRAIN_SYMBOLS", "AAA, BBB")
    monkeypatch.setenv("BRAIN_LAST_YEAR", "2021")
    settings = read_settings(data_dir=Path("elsewhere"))
    differing = settings.differing_variables()
    assert differing == {
        "BRAIN_MARKET": "simulator",
        "BRAIN_DATA_DIR": "elsewhere",
        "BRAIN_SYMBOLS": "AAA,BBB",
        "BRAIN_LAST_YEAR": "2021",
    }
    for name, value in differing.items():
        monkeypatch.setenv(name, value)
    assert read_settings() == settings


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
    with pytest.raises(SettingsError, match=r"^BRAIN_REPORTS_URL: Port out of range 0-65535, got "):
        read_settings(reports_url="http://127.0.0.1:99999")


@pytest.mark.parametrize("text", ["hf_secret", "../hf_secret/y", "https://ada:hf_secret@huggingface.co/ada/lstm"])
def test_what_is_no_repo_is_not_shown_as_it_may_be_a_token(monkeypatch: pytest.MonkeyPatch, text: str) -> None:
    monkeypatch.setenv("HF_LSTM_MODEL_REPO", text)
    assert refusal() == (
        "HF_LSTM_MODEL_REPO: expected a model repo of the Hub, user/name, got another text (not shown: it may be a "
        "token); correct it."
    )


def test_an_override_nobody_knows_is_refused() -> None:
    with pytest.raises(SettingsError, match=r"expected settings among plugins, market, .* got nonsense"):
        read_settings(nonsense=3)


HUB = {
    "STORAGE_BACKEND": "hf",
    "HF_TOKEN": "hf_secret",
    **{f"HF_{family.upper()}_MODEL_REPO": f"user/{family}" for family in FAMILIES},
}


@pytest.mark.parametrize(
    ("repo", "expected"),
    [
        ("", "^HF_SAC_MODEL_REPO: expected a model repo each"),
        ("user/ppo", "expected a repo of its own for every family"),
    ],
)
def test_each_family_needs_a_repo_of_its_own(monkeypatch: pytest.MonkeyPatch, repo: str, expected: str) -> None:
    for name, value in {**HUB, "HF_SAC_MODEL_REPO": repo}.items():
        monkeypatch.setenv(name, value)
    with pytest.raises(SettingsError, match=expected):
        read_settings()


def test_the_token_is_never_shown(monkeypatch: pytest.MonkeyPatch) -> None:
    for name, value in HUB.items():
        monkeypatch.setenv(name, value)
    settings = read_settings()
    assert "hf_secret" not in repr(settings) + str(settings.differing_variables())
    monkeypatch.setenv("HF_TOKEN", "hf_secret\nX: y")
    with pytest.raises(SettingsError, match=r"^HF_TOKEN: expected printable ASCII") as caught:
        read_settings()
    assert "hf_secret" not in "".join(traceback.format_exception(caught.value))
    monkeypatch.setenv("HF_TOKEN", "hf_secret")
    monkeypatch.delenv("HF_SAC_MODEL_REPO")  # an error about all variables together
    with pytest.raises(SettingsError) as caught:
        read_settings()
    assert "hf_secret" not in "".join(traceback.format_exception(caught.value))
