"""Why a run failed, in a sentence for each asset, and the sensor that tells somebody."""

from collections.abc import Sequence
from typing import Any

import dagster as dg

from brain_assets import errors
from brain_assets.alerts import Alert, Failure, channels, deliver
from brain_assets.settings import Settings

EVENTS = {dg.DagsterEventType.STEP_FAILURE, dg.DagsterEventType.ASSET_CHECK_EVALUATION}


def cause_of(error: Any, instance: dg.DagsterInstance) -> str:
    """Give our own error's sentence, else make one of the innermost error."""
    while error.cause is not None and not hasattr(errors, error.cls_name or ""):
        error = error.cause
    message = str(error.message).strip().split(": ", 1)[-1]
    if hasattr(errors, error.cls_name or ""):
        return message
    if error.cls_name == "OperationalError":  # of the instance's SQLite
        return str(errors.StorageError.unwritable(instance.root_directory, message))
    return f"expected no error of this kind, got {error.cls_name}: {message}; its run in Dagster's UI has the rest."


def failed_steps(events: Sequence[dg.DagsterEvent], instance: dg.DagsterInstance) -> dict[str, str]:
    """Give the sentence of each step that failed, or whose check that blocks did not pass."""
    failures = {
        str(event.step_key): cause_of(event.step_failure_data.error, instance)
        for event in events
        if event.is_step_failure
    }
    for event in events:
        if event.event_type is dg.DagsterEventType.ASSET_CHECK_EVALUATION:
            found = event.asset_check_evaluation_data
            if found.blocking and not found.passed and found.severity is dg.AssetCheckSeverity.ERROR:
                failures[found.asset_key.to_user_string()] = f"{found.check_name}: {found.description}"
    return failures


def alert_of(context: dg.RunFailureSensorContext, ui_url: str) -> Alert:
    """Put together what is told of a failed run."""
    run, instance = context.dagster_run, context.instance
    records = instance.get_records_for_run(run.run_id, of_type=EVENTS).records
    events = [record.event_log_entry.dagster_event for record in records if record.event_log_entry.dagster_event]
    failed = failed_steps(events, instance)
    if not failed:  # the process was killed, or never began
        failed = {run.job_name: context.failure_event.message or "the run ended without a word of its own"}
    failures = [Failure(asset, context.partition_key or "", sentence) for asset, sentence in failed.items()]
    return Alert(tuple(failures), f"{ui_url}/runs/{run.run_id}")


def failure_sensor(settings: Settings) -> dg.SensorDefinition:
    """Define the sensor ``failure_alert``, which tells whom the settings name."""

    @dg.run_failure_sensor(
        name="failure_alert",
        description=(
            "Tells of a run that failed: asset, year, the sentence of the cause, and a link. Always in the log of its "
            "tick; by Slack (BRAIN_ALERT_SLACK_WEBHOOK) and e-mail (BRAIN_ALERT_SMTP, BRAIN_ALERT_EMAIL) if they are "
            "set."
        ),
        default_status=dg.DefaultSensorStatus.RUNNING if channels(settings) else dg.DefaultSensorStatus.STOPPED,
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
