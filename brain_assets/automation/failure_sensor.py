"""The sensor that tells of a run that failed: in the log of its tick and, if the settings name a webhook, by Slack.

The webhook's address is its secret, and never part of a message. Dagster's Slack library posts with a token and needs
another client; its e-mail sensor, `dagster.make_email_on_run_failure_sensor`, is for a plug-in of whoever wants mail.
"""

from urllib.parse import urlsplit

import dagster as dg
from pydantic import SecretStr

from brain_assets.graph.runs import failed_steps
from brain_assets.settings import Settings

TIMEOUT_SECONDS = 10.0
"""Of a delivery: a daemon that waits for a dead server does nothing else."""

EVENTS = {dg.DagsterEventType.STEP_FAILURE, dg.DagsterEventType.ASSET_CHECK_EVALUATION}


def send_to_slack(text: str, webhook: SecretStr) -> str:
    """Post a text to an incoming webhook; gives a sentence if that failed, else nothing."""
    import httpx2

    url = webhook.get_secret_value()
    try:
        httpx2.post(url, json={"text": text}, timeout=TIMEOUT_SECONDS).raise_for_status()
    except (httpx2.HTTPError, httpx2.InvalidURL) as error:  # its words may hold the address
        return (
            f"Slack ({urlsplit(url).hostname}): expected it to take the alert, got {type(error).__name__}; check "
            "BRAIN_ALERT_SLACK_WEBHOOK, and whether it is up."
        )
    return ""


def alert_of(context: dg.RunFailureSensorContext, ui_url: str) -> str:
    """Put together what is told of a failed run: a line for each asset that failed, then the link."""
    run, instance = context.dagster_run, context.instance
    records = instance.get_records_for_run(run.run_id, of_type=EVENTS).records
    events = [record.event_log_entry.dagster_event for record in records if record.event_log_entry.dagster_event]
    failed = failed_steps(events, instance)
    if not failed:  # the process was killed, or never began
        failed = {run.job_name: context.failure_event.message or "the run ended without a word of its own"}
    year = f"[{context.partition_key}]" if context.partition_key else ""
    lines = [f"{asset}{year}: {sentence}" for asset, sentence in failed.items()]
    return "\n".join([*lines, f"{ui_url}/runs/{run.run_id}"])


def failure_sensor(settings: Settings) -> dg.SensorDefinition:
    """Define the sensor ``failure_alert``; on by itself if there is a webhook."""
    webhook = settings.alert_slack_webhook

    @dg.run_failure_sensor(
        name="failure_alert",
        description=(
            "Tells of a run that failed: asset, year, the sentence of the cause, and a link. Always in the log of its "
            "tick; by Slack if BRAIN_ALERT_SLACK_WEBHOOK is set."
        ),
        default_status=dg.DefaultSensorStatus.RUNNING if webhook else dg.DefaultSensorStatus.STOPPED,
    )
    def failure_alert(context: dg.RunFailureSensorContext) -> dg.SkipReason | None:
        """Send one message of a run; what cannot be delivered is said in the tick, and stops nothing."""
        alert = alert_of(context, settings.ui_url)
        context.log.error(alert)
        problem = send_to_slack(alert, webhook) if webhook else ""
        return dg.SkipReason(problem) if problem else None

    return failure_alert
