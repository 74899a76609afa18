"""What the failure sensor tells of real runs that failed, and that a message which gets stuck stops nothing."""

from pathlib import Path

import dagster as dg

from brain_assets.automation.failure_sensor import alert_of, failure_sensor
from brain_assets.settings import Settings
from brain_assets.simulator.market import SimulatorMarket
from brain_assets_tests.automation.test_alerts import Slack, closed_port, serving, settings
from brain_assets_tests.graph.test_checks import Changed, swap
from brain_assets_tests.graph.worlds import DEFS, PROJECT, run_year, sensor, world

URL = "http://127.0.0.1:3000"


def tick(
    instance: dg.DagsterInstance, cursor: str | None, chosen: Settings = PROJECT.settings
) -> tuple[str | None, str | None]:
    """Evaluate the sensor as the daemon does; gives the cursor, and the words of a tick that skipped."""
    context = dg.build_sensor_context(instance, cursor, definitions=DEFS)
    data = failure_sensor(chosen).evaluate_tick(context)
    for reaction in data.dagster_run_reactions or ():
        assert reaction.error is None
    return data.cursor, data.skip_message


def fail(instance: dg.DagsterInstance, market: SimulatorMarket, folder: Path) -> dg.ExecuteInProcessResult:
    """Train on prices that are not there."""
    result = run_year(2020, world(market, folder), instance, ["lstm_snapshot", "raw_news_sentiment"], None, False)
    assert not result.success
    return result


def test_slack_is_told_once_of_asset_year_cause_and_link(
    instance: dg.DagsterInstance, market: SimulatorMarket, tmp_path: Path
) -> None:
    slack = Slack()
    cursor, _ = tick(instance, None)  # what failed before it began is not told
    result = fail(instance, market, tmp_path)
    with serving(slack.handler) as port:
        chosen = settings(alert_slack_webhook=f"http://127.0.0.1:{port}/secret", ui_url="https://dagster.example.org")
        cursor, said = tick(instance, cursor, chosen)
        assert said is None
        tick(instance, cursor, chosen)
    [(_, body)] = slack.posts
    assert body["text"].splitlines() == [
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
    assert alert.subject == "brain_assets: failed: raw_prices[2019]"
    assert alert.text.startswith("raw_prices[2019]: ohlc_in_order: ")
    assert "2019-03-05" in alert.text


def test_run_that_died_without_a_failed_step_is_told_by_its_job(instance: dg.DagsterInstance) -> None:
    run = instance.create_run_for_job(DEFS.resolve_job_def("walkforward"), tags={"dagster/partition": "2020"})
    event = instance.report_run_failed(run, "process 7 died")
    context = dg.build_run_status_sensor_context("failure_alert", event, instance, run, partition_key="2020")
    assert alert_of(context.for_run_failure(), URL).text.startswith("walkforward[2020]: ")


def test_message_that_is_stuck_is_said_in_the_tick_and_the_next_run_is_told(
    instance: dg.DagsterInstance, market: SimulatorMarket, tmp_path: Path
) -> None:
    cursor, _ = tick(instance, None)
    fail(instance, market, tmp_path)
    webhook = f"http://127.0.0.1:{closed_port()}/secret"
    cursor, said = tick(instance, cursor, settings(alert_slack_webhook=webhook))
    assert said == (
        "Slack (127.0.0.1): expected it to take the alert, got ConnectError; check BRAIN_ALERT_SLACK_WEBHOOK, and "
        "whether it is up."
    )
    slack = Slack()
    fail(instance, market, tmp_path)
    with serving(slack.handler) as port:
        tick(instance, cursor, settings(alert_slack_webhook=f"http://127.0.0.1:{port}/secret"))
    assert len(slack.posts) == 1


def test_it_runs_by_itself_only_where_there_is_somebody_to_tell() -> None:
    assert sensor("failure_alert").default_status is dg.DefaultSensorStatus.STOPPED
    told = settings(alert_slack_webhook="http://127.0.0.1:1/secret")
    assert failure_sensor(told).default_status is dg.DefaultSensorStatus.RUNNING
