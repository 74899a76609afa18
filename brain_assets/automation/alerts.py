"""Delivering alerts by Slack, by e-mail, or both, as the settings say.

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

from pydantic import SecretStr

from brain_assets.errors import AlertError
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
