"""What docs/operations.md says of running for months: units, read-only server, proxy with a password, loopback."""

import base64
import os
import re
import shlex
import shutil
import signal
import socket
import ssl
import subprocess
import sys
import urllib.error
import urllib.request
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from importlib import resources
from pathlib import Path

import dagster as dg
import pytest
import yaml

from brain_assets.settings import Settings
from brain_assets_tests.backfills import (
    ASSETS,
    REPOSITORY,
    YEARS,
    brain_assets,
    contents,
    environment,
    identities,
    outcomes,
    parses,
    shared_backfill,
)
from brain_assets_tests.backfills import weights as weights_of
from brain_assets_tests.graph.test_ui import Server, running, serving, wait_until
from brain_assets_tests.graph.worlds import MODELS
from brain_assets_tests.postgres import free_port, home_on_postgres, postgres_url

pytestmark = pytest.mark.wings

DEPLOY = REPOSITORY / "deploy"
UNITS = sorted((DEPLOY / "systemd").glob("*.service"))
MODULES = {"dagster": "dagster", "dagster-daemon": "dagster._daemon", "dagster-webserver": "dagster_webserver"}
"""Command of the virtual environment -> the module that it runs."""


def commands_of(unit: Path, key: str = "ExecStart") -> list[list[str]]:
    return [shlex.split(line) for line in re.findall(rf"^{key}=(.*)$", unit.read_text(), re.MULTILINE)]


def given(name: str) -> str:
    return (DEPLOY / name).read_text()


# What lies in deploy/


def test_the_units_run_what_is_installed_and_listen_on_this_machine_only() -> None:
    for program, *options in (command for unit in UNITS for command in commands_of(unit)):
        assert program in {f"/opt/brain-assets/.venv/bin/{name}" for name in MODULES}
        assert "-h" not in options or options[options.index("-h") + 1] == "127.0.0.1"


def test_the_variables_of_the_service_are_known() -> None:
    lines = [line for line in given("systemd/brain-assets.env").splitlines() if not line.startswith("#")]
    names = {line.split("=", 1)[0] for line in lines}
    known = {str(field.alias) for field in Settings.model_fields.values()}
    assert names - known == {"DAGSTER_POSTGRES_URL", "OMP_NUM_THREADS"}
    Settings(**dict(line.split("=", 1) for line in lines))
    assert yaml.safe_load(given("postgres.yaml"))["storage"]["postgres"]["postgres_url"] == {
        "env": "DAGSTER_POSTGRES_URL"
    }


PAGE = (REPOSITORY / "docs" / "operations.md").read_text()


def test_the_page_names_commands_and_files_that_there_are() -> None:
    blocks = "".join(re.findall(r"```bash\n(.*?)```", PAGE, re.DOTALL))
    commands = re.findall(r"^brain-assets .*$", blocks, re.MULTILINE)
    assert len(commands) == 4
    assert [command for command in commands if not parses(command)] == []
    named = set(re.findall(r"\b(?:deploy|brain_assets)/[\w./-]+\w", PAGE))
    assert len(named) > 5
    assert [name for name in sorted(named) if not (REPOSITORY / name).exists()] == []


# Running them


@contextmanager
def started(name: str, variables: dict[str, str], folder: Path, ports: dict[str, str]) -> Iterator[None]:
    """Run the command of a unit, with other ports."""
    unit = DEPLOY / "systemd" / f"brain-assets-{name}.service"
    for before, *options in commands_of(unit, "ExecStartPre"):
        subprocess.run([sys.executable, "-m", MODULES[Path(before).name], *options], env=variables, check=True)
    [[program, *arguments]] = commands_of(unit)
    arguments = [ports.get(argument, argument) for argument in arguments]
    if "-w" in arguments:
        workspace = given(Path(arguments[arguments.index("-w") + 1]).name)
        (folder / "workspace.yaml").write_text(workspace.replace("4000", ports["4000"]))
        arguments[arguments.index("-w") + 1] = str(folder / "workspace.yaml")
    with running(["-m", MODULES[Path(program).name], *arguments], variables, folder / f"{name}.log"):
        yield


LAUNCH = """mutation { launchRun(executionParams: {
    selector: {
        jobName: "walkforward", repositoryLocationName: "brain_assets.definitions", repositoryName: "__repository__",
        assetSelection: [{path: "raw_prices"}, {path: "lstm_snapshot"}]
    },
    executionMetadata: {tags: [{key: "dagster/partition", value: "2019"}]},
    runConfigData: {ops: {lstm_snapshot: {config: {epochs: 30}}}}
}) { __typename ... on LaunchRunSuccess { run { runId } } ... on Error { message } } }"""
STATUS = "query ($id: ID!) { runOrError(runId: $id) { ... on Run { status } } }"


@pytest.mark.slow
@pytest.mark.parametrize("storage", ["sqlite", "postgres"])
def test_the_units_run_a_year_though_web_server_and_daemon_are_restarted(storage: str, tmp_path: Path) -> None:
    ports = {"3000": str(free_port()), "4000": str(free_port())}
    home, data = tmp_path / "home", tmp_path / "data"
    server = Server(int(ports["3000"]))
    with ExitStack() as stack:
        variables = environment(data, DAGSTER_HOME=str(home))
        if storage == "postgres":
            variables["DAGSTER_POSTGRES_URL"] = stack.enter_context(postgres_url())
            home_on_postgres(home)
        else:
            home.mkdir()
            (home / "dagster.yaml").write_text((resources.files("brain_assets.graph") / "dagster.yaml").read_text())
        stack.enter_context(started("code", variables, tmp_path, ports))

        def status() -> str:
            return str(server.ask(STATUS, id=run_id)["runOrError"]["status"])

        with started("webserver", variables, tmp_path, ports), started("daemon", variables, tmp_path, ports):
            wait_until(server.is_up, 120)
            answer = server.ask(LAUNCH)["launchRun"]
            assert answer["__typename"] == "LaunchRunSuccess", answer
            run_id = answer["run"]["runId"]
            wait_until(lambda: status() in ("STARTED", "SUCCESS", "FAILURE"), 120)
            assert status() == "STARTED"
        assert not server.is_up()
        with started("webserver", variables, tmp_path, ports):  # the run went on in the code server
            wait_until(lambda: server.is_up() and status() in ("SUCCESS", "FAILURE"), 180)
            assert status() == "SUCCESS"
    assert (data / "models" / "lstm" / "snapshot-2019-12-31" / "weights.pt").exists()
    assert bool(list(home.rglob("*.db"))) == (storage == "sqlite")


# Who may ask the web server


@pytest.mark.slow
def test_the_ui_of_the_command_line_and_its_reports_are_for_this_machine_only(tmp_path: Path) -> None:
    port, reports, log = free_port(), free_port(), tmp_path / "log"
    (tmp_path / "data" / "reports").mkdir(parents=True)
    (tmp_path / "data" / "reports" / "sample-2020.html").write_text("a report")
    command = ["-m", "brain_assets.start", "ui", "--port", str(port)]
    variables = environment(tmp_path / "data", BRAIN_REPORTS_URL=f"http://127.0.0.1:{reports}")
    with running(command, variables, log) as process:
        wait_until(lambda: log.read_text().endswith(f"Dagster's UI: http://127.0.0.1:{port}, until Ctrl-C\n"), 240)
        assert Server(port).is_up()
        assert len(log.read_text().splitlines()) < 4
        wait_until(lambda: "by its heartbeat" in brain_assets(tmp_path / "data", "ui").stderr, 60)
        busy = brain_assets(tmp_path / "data", "ui", "--port", str(port))
        assert (busy.returncode, len(busy.stderr.splitlines())) == (2, 1)
        assert urllib.request.urlopen(f"http://127.0.0.1:{reports}/sample-2020.html").read() == b"a report"
        for taken in (port, reports):
            with socket.socket() as other, pytest.raises(ConnectionRefusedError):
                other.connect(("127.0.0.2", taken))  # of this machine too: open, if every address was
        process.send_signal(signal.SIGINT)
        process.wait(timeout=60)
        with dg.DagsterInstance.from_config(str(tmp_path / "data" / "dagster")) as instance:
            assert not instance.get_daemon_heartbeats()  # another may begin at once


BACKFILL = """mutation { launchPartitionBackfill(backfillParams: {
    allPartitions: true, assetSelection: [{path: "raw_prices"}]
}) { __typename ... on Error { message } } }"""


@pytest.fixture(scope="module")
def proxy(tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    """nginx with the site of deploy/, another port and a certificate of its own, before a read-only web server."""
    if shutil.which("nginx") is None or shutil.which("openssl") is None:
        pytest.skip("no nginx, or no openssl: apt-get install nginx openssl")
    folder, port = tmp_path_factory.mktemp("nginx"), free_port()
    certify = "openssl req -x509 -newkey rsa:2048 -nodes -days 1 -subj /CN=localhost -keyout key.pem -out cert.pem"
    subprocess.run(shlex.split(certify), cwd=folder, check=True, capture_output=True)
    entry = subprocess.run(["openssl", "passwd", "-apr1", "secret"], check=True, capture_output=True, text=True).stdout
    (folder / "htpasswd").write_text(f"ada:{entry}")
    with serving(folder / "data", "dagster_webserver", "--read-only") as read_only:
        site = given("nginx.conf")
        for old, new in {
            "listen 443 ssl": f"listen 127.0.0.1:{port} ssl",
            "/etc/ssl/certs/brain.example.org.pem": f"{folder}/cert.pem",
            "/etc/ssl/private/brain.example.org.key": f"{folder}/key.pem",
            "/etc/nginx/brain-assets.htpasswd": f"{folder}/htpasswd",
            "http://127.0.0.1:3000": read_only.url,
        }.items():
            assert site.count(old) == 1, old
            site = site.replace(old, new)
        user = "user root;" if os.geteuid() == 0 else ""
        (folder / "nginx.conf").write_text(
            f"{user} pid {folder}/pid; error_log {folder}/error.log; events {{}}\nhttp {{ access_log off; "
            f"client_body_temp_path {folder}/body; proxy_temp_path {folder}/proxy;\n{site}\n}}\n"
        )
        command = ["nginx", "-p", str(folder), "-c", f"{folder}/nginx.conf", "-e", f"{folder}/error.log"]
        checked = subprocess.run([*command, "-t"], capture_output=True, text=True, check=False)
        assert checked.returncode == 0, checked.stderr
        start = f"import os; os.execvp('nginx', {[*command, '-g', 'daemon off;']})"
        with running(["-c", start], os.environ, folder / "log"), socket.socket() as probe:
            wait_until(lambda: probe.connect_ex(("127.0.0.1", port)) == 0, 20)
            yield f"https://127.0.0.1:{port}"


TRUSTING = ssl._create_unverified_context()


def code_of(url: str, password: str = "", **headers: str) -> int:
    given = {name.replace("_", "-"): value for name, value in headers.items()}
    if password:
        given["Authorization"] = "Basic " + base64.b64encode(f"ada:{password}".encode()).decode()
    try:
        with urllib.request.urlopen(urllib.request.Request(url, headers=given), timeout=30, context=TRUSTING) as answer:
            return int(answer.status)
    except urllib.error.HTTPError as error:
        return error.code


@pytest.mark.slow
def test_the_proxy_asks_for_a_password_and_refuses_pages_of_other_sites(proxy: str) -> None:
    page = f"{proxy}/server_info"
    assert [code_of(page), code_of(page, "guess"), code_of(page, "secret")] == [401, 401, 200]
    origins = {"same-origin": 200, "none": 200, "same-site": 403, "cross-site": 403, "anything": 403}
    assert {said: code_of(page, "secret", Sec_Fetch_Site=said) for said in origins} == origins
    assert code_of(page, "secret", Origin=proxy) == 200
    assert code_of(page, "secret", Origin="https://127.0.0.1") == 403  # another port is another origin
    query = ["-H", "Content-Type: application/graphql", "-d", BACKFILL]
    command = shlex.split(f"curl -s -k -u ada:secret {proxy}/graphql")  # what is behind the proxy is read-only
    assert "UnauthorizedError" in subprocess.run([*command, *query], capture_output=True, text=True, check=True).stdout


@pytest.mark.slow
def test_moving_to_an_empty_server_trains_nothing_and_ends_green(
    tmp_path_factory: pytest.TempPathFactory, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    finished = shared_backfill(tmp_path_factory)
    data, home = finished.copy(tmp_path), home_on_postgres(tmp_path / "home")
    years, config = f"{YEARS[0]}-{YEARS[-1]}", ("--config", str(finished.config))
    tables = {str(path.relative_to(data)): path for path in data.rglob("*.parquet")}
    models, rows = identities(weights_of(data)), contents(tables)
    with postgres_url() as url:
        variables = {"DAGSTER_HOME": str(home), "DAGSTER_POSTGRES_URL": url}
        adopted = brain_assets(data, "adopt", **variables)
        assert adopted.returncode == 0, adopted.stderr
        assert f"{3 * len(MODELS)} adopted" in adopted.stdout
        backfill = brain_assets(data, "backfill", years, *config, **variables)
        assert backfill.returncode == 0, backfill.stdout + backfill.stderr
        said = outcomes(backfill.stdout)
        computed = {asset for (_, asset), words in said.items() if words.startswith("made")}
        assert computed == {"walkforward_forecasts", "backtest"}
        assert all(said[year, asset].startswith("run, nothing had changed") for year in YEARS for asset in MODELS)
        assert f"6 made, {3 * len(ASSETS) - 6} run without change, 0 done before, 0 not done" in backfill.stdout
        again = brain_assets(data, "backfill", years, *config, **variables)
        assert f"0 made, 0 run without change, {3 * len(ASSETS)} done before, 0 not done" in again.stdout
        monkeypatch.setenv("DAGSTER_POSTGRES_URL", url)
        with dg.DagsterInstance.from_config(str(home)) as instance:
            for asset in ASSETS:
                assert instance.get_materialized_partitions(dg.AssetKey(asset)) == {str(year) for year in YEARS}
    assert identities(weights_of(data)) == models
    assert contents(tables) == rows  # what was computed again is the same to the byte
    assert not list(home.rglob("*.db"))


@pytest.mark.parametrize(
    ("url", "said"),
    [
        ("", r"/dagster\.yaml: expected what Dagster can open, got: .*(DAGSTER_POSTGRES_URL|dagster_postgres)"),
        pytest.param(
            "postgresql+psycopg2://brain@127.0.0.1:1/dagster",
            ": expected Dagster's record, got: .*Connection refused",
            marks=pytest.mark.slow,
        ),
    ],
)
def test_a_record_that_cannot_be_opened_is_one_sentence(tmp_path: Path, url: str, said: str) -> None:
    """The variable is not set, or dagster-postgres is not installed; or the server is down."""
    if url:
        pytest.importorskip("dagster_postgres", reason="no dagster-postgres: pip install 'brain_assets[postgres]'")
    home, variables = home_on_postgres(tmp_path / "home"), {"DAGSTER_POSTGRES_URL": url} if url else {}
    failed = brain_assets(tmp_path / "data", "status", DAGSTER_HOME=str(home), **variables)
    assert (failed.returncode, failed.stdout) == (2, "")
    assert "Traceback" not in failed.stderr
    assert re.match(f"error: {home}{said}", failed.stderr.splitlines()[-1])
