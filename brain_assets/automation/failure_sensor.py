"""The sensor that tells somebody of a run that failed: by Slack, by e-mail, or both, as the settings say.

Slack gets the text through an incoming webhook, a mail server by SMTP. Both have a time limit, since whoever calls this
has more to do, and neither the webhook nor a password is ever part of a message: the webhook's address is its secret.
Dagster's own e-mail sensor has no time limit and cannot do without a login, and its Slack library posts with a token
and needs another client; so this stays with what is installed.
"""

import smtplib
import ssl
from collections.abc import Callable
from email.message import EmailMessage
from typing import NamedTuple
from urllib.parse import unquote, urlsplit

import dagster as dg
from pydantic import SecretStr

from brain_assets.errors import AlertError
from brain_assets.graph.runs import failed_steps
from brain_assets.settings import Settings

TIMEOUT_SECONDS = 10.0
"""Of each step of a delivery: a daemon that waits for a dead mail server does nothing else."""

PORTS = {"smtp": 587, "smtps": 465}


class Alert(NamedTuple):
    """What is told of a failed run."""

    subject: str
    """What failed, in a line."""
    text: str


def deliver(alert: Alert, settings: Settings) -> list[str]:
    """Send an alert through all that is configured; gives a sentence for each that failed."""
    slack, mail, problems = settings.alert_slack_webhook, settings.alert_smtp, []
    if slack is not None:
        problems += _problem_of(lambda: send_to_slack(alert, slack))
    if mail is not None:
        problems += _problem_of(lambda: send_by_mail(alert, mail, settings.alert_email))
    return problems


def _problem_of(send: Callable[[], None]) -> list[str]:
    try:
        send()
    except AlertError as error:
        return [str(error)]
    return []


def send_to_slack(alert: Alert, webhook: SecretStr) -> None:
    """Post the text to an incoming webhook; raises `AlertError`."""
    import httpx2

    url, setting = webhook.get_secret_value(), "BRAIN_ALERT_SLACK_WEBHOOK"
    place = f"Slack ({urlsplit(url).hostname})"
    try:
        answer = httpx2.post(url, json={"text": alert.text}, timeout=TIMEOUT_SECONDS)
    except (httpx2.HTTPError, httpx2.InvalidURL) as error:  # its words may hold the address
        raise AlertError.undelivered(place, type(error).__name__, setting) from None
    if answer.status_code != httpx2.codes.OK:
        raise AlertError.undelivered(place, f"status {answer.status_code}", setting)


def send_by_mail(alert: Alert, server: SecretStr, to: tuple[str, ...]) -> None:
    """Send the text by SMTP, over TLS if the server offers it; a password over TLS only. Raises `AlertError`."""
    address = urlsplit(server.get_secret_value())
    host, port = address.hostname or "", address.port or PORTS[address.scheme]
    user, password = unquote(address.username or ""), unquote(address.password or "")
    place, setting = f"mail server {host}", "BRAIN_ALERT_SMTP"
    message = EmailMessage()
    message["Subject"] = " ".join(alert.subject.split())
    message["From"] = user if "@" in user else to[0]
    message["To"] = ", ".join(to)
    message.set_content(alert.text)
    tls = ssl.create_default_context()
    try:
        with (
            smtplib.SMTP_SSL(host, port, timeout=TIMEOUT_SECONDS, context=tls)
            if address.scheme == "smtps"
            else smtplib.SMTP(host, port, timeout=TIMEOUT_SECONDS)
        ) as smtp:
            smtp.ehlo()
            if smtp.has_extn("starttls"):
                smtp.starttls(context=tls)
            if user:
                if not isinstance(smtp.sock, ssl.SSLSocket):
                    raise AlertError.undelivered(place, "no TLS, so no password was sent", setting)
                smtp.login(user, password)
            smtp.send_message(message)
    except (smtplib.SMTPException, OSError) as error:
        raise AlertError.undelivered(place, type(error).__name__, setting) from None


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
