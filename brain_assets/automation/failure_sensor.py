"""The sensor that tells somebody of a run that failed."""

import dagster as dg

from brain_assets.automation.alerts import Alert, deliver
from brain_assets.graph.failures import failed_steps
from brain_assets.settings import Settings

EVENTS = {dg.DagsterEventType.STEP_FAILURE, dg.DagsterEventType.ASSET_CHECK_EVALUATION}


def alert_of(context: dg.RunFailureSensorContext, ui_url: str) -> Alert:
    """Put together what is told of a failed run: a line for each asset that failed, then the link."""
    run, instance = context.dagster_run, context.instance
    records = instance.get_records_for_run(run.run_id, of_type=EVENTS).records
    events = [record.event_log_entry.dagster_event for record in records if record.event_log_entry.dagster_event]
    failed = failed_steps(events, instance)
    if not failed:  # the process was killed, or never began
        failed = {run.job_name: context.failure_event.message or "the run ended without a word of its own"}
    year = f"[{context.partition_key}]" if context.partition_key else ""
    return Alert(
        f"brain_assets: failed: {', '.join(f'{asset}{year}' for asset in failed)}",
        "\n".join(
            [*(f"{asset}{year}: {sentence}" for asset, sentence in failed.items()), f"{ui_url}/runs/{run.run_id}"]
        ),
    )


def failure_sensor(settings: Settings) -> dg.SensorDefinition:
    """Define the sensor ``failure_alert``, which tells whom the settings name; on by itself if they name somebody."""
    is_told = settings.alert_slack_webhook is not None or settings.alert_smtp is not None

    @dg.run_failure_sensor(
        name="failure_alert",
        description=(
            "Tells of a run that failed: asset, year, the sentence of the cause, and a link. Always in the log of its "
            "tick; by Slack (BRAIN_ALERT_SLACK_WEBHOOK) and e-mail (BRAIN_ALERT_SMTP, BRAIN_ALERT_EMAIL) if they are "
            "set."
        ),
        default_status=dg.DefaultSensorStatus.RUNNING if is_told else dg.DefaultSensorStatus.STOPPED,
    )
    def failure_alert(context: dg.RunFailureSensorContext) -> dg.SkipReason | None:
        """Send one message of a run; what cannot be delivered is said in the tick, and stops nothing."""
        alert = alert_of(context, settings.ui_url)
        context.log.error(f"{alert.subject}\n{alert.text}")
        problems = deliver(alert, settings)
        for problem in problems:
            context.log.warning(problem)
        return dg.SkipReason(" ".join(problems)) if problems else None

    return failure_alert
