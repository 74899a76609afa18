"""Telling somebody that a run failed: by Slack, by e-mail, or both, as the settings say.

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

SMTP_PORT, SMTPS_PORT = 587, 465


class Failure(NamedTuple):
    """What one asset of a run failed with."""

    asset: str
    year: str
    """Empty: it has no partitions."""
    sentence: str

    @property
    def place(self) -> str:
        """The asset, and its year if it has one."""
        return f"{self.asset}[{self.year}]" if self.year else self.asset


class Alert(NamedTuple):
    """What is told of a failed run."""

    failures: tuple[Failure, ...]
    url: str
    """Of the run in the UI."""

    @property
    def subject(self) -> str:
        """What failed."""
        return f"brain_assets: failed: {', '.join(dict.fromkeys(each.place for each in self.failures))}"

    @property
    def text(self) -> str:
        """A line for each asset that failed, then the link."""
        return "\n".join([*(f"{each.place}: {each.sentence}" for each in self.failures), self.url])


def channels(settings: Settings) -> dict[str, Callable[[Alert], None]]:
    """Give what is configured to deliver alerts, by name; each raises `AlertError` if it cannot."""
    found: dict[str, Callable[[Alert], None]] = {}
    slack, smtp = settings.alert_slack_webhook, settings.alert_smtp
    if slack is not None:
        found["Slack"] = lambda alert: send_to_slack(alert, slack)
    if smtp is not None:
        found["e-mail"] = lambda alert: send_by_mail(alert, smtp, settings.alert_email)
    return found


def deliver(alert: Alert, settings: Settings) -> list[str]:
    """Send an alert through all that is configured; gives a sentence for each that failed."""
    problems = []
    for send in channels(settings).values():
        try:
            send(alert)
        except AlertError as error:
            problems.append(str(error))
    return problems


def send_to_slack(alert: Alert, webhook: SecretStr) -> None:
    """Post the text to an incoming webhook; raises `AlertError`."""
    import httpx2

    place = f"Slack ({urlsplit(webhook.get_secret_value()).hostname})"
    try:
        answer = httpx2.post(webhook.get_secret_value(), json={"text": alert.text}, timeout=TIMEOUT_SECONDS)
    except (httpx2.HTTPError, httpx2.InvalidURL) as error:  # its words may hold the address
        raise AlertError.undelivered(place, type(error).__name__, "BRAIN_ALERT_SLACK_WEBHOOK") from None
    if answer.status_code != httpx2.codes.OK:
        raise AlertError.undelivered(place, f"status {answer.status_code}", "BRAIN_ALERT_SLACK_WEBHOOK")


def send_by_mail(alert: Alert, server: SecretStr, to: tuple[str, ...]) -> None:
    """Send a text by SMTP, over TLS if the server offers it; a password over TLS only. Raises `AlertError`."""
    address = urlsplit(server.get_secret_value())
    user, password = unquote(address.username or ""), unquote(address.password or "")
    message = EmailMessage()
    message["Subject"] = " ".join(alert.subject.split())
    message["From"] = user if "@" in user else to[0]
    message["To"] = ", ".join(to)
    message.set_content(alert.text)
    host = address.hostname or ""
    place = f"mail server {host}"
    try:
        with _connection(address.scheme, host, address.port) as smtp:
            smtp.ehlo()
            if smtp.has_extn("starttls"):
                smtp.starttls(context=ssl.create_default_context())
            if user:
                if smtp.sock is not None and not isinstance(smtp.sock, ssl.SSLSocket):
                    raise AlertError.undelivered(place, "no TLS, so no password was sent", "BRAIN_ALERT_SMTP")
                smtp.login(user, password)
            smtp.send_message(message)
    except (smtplib.SMTPException, OSError) as error:
        raise AlertError.undelivered(place, f"{type(error).__name__}", "BRAIN_ALERT_SMTP") from None


def _connection(scheme: str, host: str, port: int | None) -> smtplib.SMTP:
    if scheme == "smtps":
        context = ssl.create_default_context()
        return smtplib.SMTP_SSL(host, port or SMTPS_PORT, timeout=TIMEOUT_SECONDS, context=context)
    return smtplib.SMTP(host, port or SMTP_PORT, timeout=TIMEOUT_SECONDS)
