"""What the failure sensor tells of real runs that failed, and that a message which gets stuck stops nothing."""

import contextlib
import http.server
import json
import socket
import threading
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import dagster as dg
import pytest
from pydantic import SecretStr

from brain_assets.automation import failure_sensor as module
from brain_assets.automation.failure_sensor import alert_of, failure_sensor, send_to_slack
from brain_assets.errors import SettingsError
from brain_assets.settings import Settings, read_settings
from brain_assets.simulator.market import SimulatorMarket
from brain_assets_tests.graph.test_checks import Changed, swap
from brain_assets_tests.graph.worlds import DEFS, run_year, world

URL = "http://127.0.0.1:3000"
STUCK = (
    "Slack (127.0.0.1): expected it to take the alert, got {}; check BRAIN_ALERT_SLACK_WEBHOOK, and whether it is up."
)


@contextlib.contextmanager
def slack(status: int = 200) -> Iterator[tuple[str, list[str]]]:
    """Serve a webhook on this machine; gives its address, and the texts that were posted to it. 0: it never answers."""
    texts: list[str] = []
    over = threading.Event()

    class Handler(http.server.BaseHTTPRequestHandler):
        def do_POST(self) -> None:
            texts.append(json.loads(self.rfile.read(int(self.headers["Content-Length"])))["text"])
            if not status:
                over.wait(10)
            self.send_response(status or 200)
            self.end_headers()

        def log_message(self, *_: Any) -> None:
            pass

    with http.server.ThreadingHTTPServer(("127.0.0.1", 0), Handler) as server:
        thread = threading.Thread(target=server.serve_forever)
        thread.start()
        try:
            yield f"http://127.0.0.1:{server.server_address[1]}/services/secret", texts
        finally:
            over.set()
            server.shutdown()
            thread.join()


def settings(**overrides: Any) -> Settings:
    return read_settings(market="simulator", **overrides)


def tick(instance: dg.DagsterInstance, cursor: str | None, **overrides: Any) -> tuple[str | None, str | None]:
    """Evaluate the sensor as the daemon does; gives the cursor, and the words of a tick that skipped."""
    context = dg.build_sensor_context(instance, cursor, definitions=DEFS)
    data = failure_sensor(settings(**overrides)).evaluate_tick(context)
    assert not [reaction.error for reaction in data.dagster_run_reactions or () if reaction.error]
    return data.cursor, data.skip_message


def fail(instance: dg.DagsterInstance, market: SimulatorMarket, folder: Path) -> dg.ExecuteInProcessResult:
    """Train on prices that are not there."""
    result = run_year(2020, world(market, folder), instance, ["lstm_snapshot", "raw_news_sentiment"], None, False)
    assert not result.success
    return result


def test_slack_is_told_once_of_asset_year_cause_and_link(
    instance: dg.DagsterInstance, market: SimulatorMarket, tmp_path: Path
) -> None:
    cursor, _ = tick(instance, None)  # what failed before it began is not told
    result = fail(instance, market, tmp_path)
    with slack() as (webhook, texts):
        chosen = {"alert_slack_webhook": webhook, "ui_url": "https://dagster.example.org"}
        cursor, said = tick(instance, cursor, **chosen)
        assert said is None
        tick(instance, cursor, **chosen)
    [text] = texts
    assert text.splitlines() == [
        "lstm_snapshot[2020]: raw_prices[2019] is not materialized: expected every year up to the one asked for, got "
        "none for 2019; materialize raw_prices for 2019 first.",
        f"https://dagster.example.org/runs/{result.run_id}",
    ]


def test_check_that_blocks_is_told_with_what_it_found(
    instance: dg.DagsterInstance, market: SimulatorMarket, tmp_path: Path
) -> None:
    resources = world(Changed(market, swap), tmp_path)  # type: ignore[arg-type]
    result = run_year(2019, resources, instance, ["raw_prices", "lstm_snapshot"], None, False)
    context = dg.build_run_status_sensor_context(
        "failure_alert", result.get_run_failure_event(), instance, result.dagster_run, partition_key="2019"
    ).for_run_failure()
    alert = alert_of(context, URL)
    assert alert.startswith("raw_prices[2019]: ohlc_in_order: ")
    assert "2019-03-05" in alert


def test_run_that_died_without_a_failed_step_is_told_by_its_job(instance: dg.DagsterInstance) -> None:
    run = instance.create_run_for_job(DEFS.resolve_job_def("walkforward"), tags={"dagster/partition": "2020"})
    event = instance.report_run_failed(run, "process 7 died")
    context = dg.build_run_status_sensor_context("failure_alert", event, instance, run, partition_key="2020")
    assert alert_of(context.for_run_failure(), URL).startswith("walkforward[2020]: ")


def test_message_that_is_stuck_is_said_in_the_tick_and_the_next_run_is_told(
    instance: dg.DagsterInstance, market: SimulatorMarket, tmp_path: Path
) -> None:
    cursor, _ = tick(instance, None)
    fail(instance, market, tmp_path)
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        webhook = f"http://127.0.0.1:{free.getsockname()[1]}/secret"
    cursor, said = tick(instance, cursor, alert_slack_webhook=webhook)
    assert said == STUCK.format("ConnectError")
    fail(instance, market, tmp_path)
    with slack() as (webhook, texts):
        tick(instance, cursor, alert_slack_webhook=webhook)
    assert len(texts) == 1


@pytest.mark.parametrize(("status", "got"), [(403, "HTTPStatusError"), (0, "ReadTimeout")])
def test_slack_that_refuses_or_is_silent_is_one_sentence(
    status: int, got: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(module, "TIMEOUT_SECONDS", 0.3)
    with slack(status) as (webhook, texts):
        assert send_to_slack("told", SecretStr(webhook)) == STUCK.format(got)
    assert texts == ["told"]


@pytest.mark.parametrize("given", [{"alert_slack_webhook": "secret"}, {"ui_url": "dagster.example.org/secret"}])
def test_wrong_settings_are_one_sentence_without_secrets(given: dict[str, str]) -> None:
    with pytest.raises(SettingsError, match=r"^BRAIN_\w+: expected an address that begins with http") as caught:
        settings(**given)
    assert ("secret" in str(caught.value)) is ("ui_url" in given)
    chosen = settings(alert_slack_webhook="https://hooks.slack.com/secret")
    assert "secret" not in repr(chosen)
    assert chosen.differing_variables() == {"BRAIN_MARKET": "simulator"}  # they are enough to start again with
