"""Delivering alerts to servers on this machine, and what happens if they do not take them."""

import contextlib
import email
import email.policy
import http.server
import json
import socket
import socketserver
import threading
from collections.abc import Iterator
from email.message import EmailMessage
from typing import Any

import pytest
from pydantic import SecretStr

from brain_assets.automation import failure_sensor
from brain_assets.automation.failure_sensor import Alert, deliver
from brain_assets.errors import SettingsError
from brain_assets.settings import Settings, read_settings

TEXT = "lstm_snapshot[2020]: raw_prices[2020] is not materialized: expected … first.\nhttp://127.0.0.1:3000/runs/abc"
ALERT = Alert("brain_assets: failed: lstm_snapshot[2020]", TEXT)


@contextlib.contextmanager
def serving(handler: Any) -> Iterator[int]:
    """Run a server on this machine; gives its port."""
    with socketserver.ThreadingTCPServer(("127.0.0.1", 0), handler) as server:
        server.daemon_threads = True
        thread = threading.Thread(target=server.serve_forever)
        thread.start()
        try:
            yield server.server_address[1]
        finally:
            server.shutdown()
            thread.join()


class Slack:
    """What was posted to a webhook, and how it answers."""

    def __init__(self, status: int = 200) -> None:
        self.posts: list[tuple[str, Any]] = []
        posts = self.posts

        class Handler(http.server.BaseHTTPRequestHandler):
            def do_POST(self) -> None:
                body = self.rfile.read(int(self.headers["Content-Length"]))
                posts.append((self.path, json.loads(body)))
                self.send_response(status)
                self.end_headers()

            def log_message(self, *_: Any) -> None:
                pass

        self.handler = Handler


class Mailbox:
    """What was mailed through an SMTP server without TLS, and every line that it was told."""

    def __init__(self, greeting: str = "220 here") -> None:
        self.mails: list[EmailMessage] = []
        self.lines: list[str] = []
        mails, lines = self.mails, self.lines

        class Handler(socketserver.StreamRequestHandler):
            def say(self, line: str) -> None:
                self.wfile.write(f"{line}\r\n".encode())

            def handle(self) -> None:
                self.say(greeting)
                while line := self.rfile.readline().decode().strip():
                    lines.append(line)
                    verb = line.split()[0].upper()
                    if verb == "EHLO":
                        self.say("250-here")
                        self.say("250-8BITMIME")
                        self.say("250 AUTH PLAIN")
                    elif verb == "DATA":
                        self.say("354 go on")
                        text = b"".join(iter(self.rfile.readline, b".\r\n"))
                        mails.append(email.message_from_bytes(text, policy=email.policy.default))
                        self.say("250 taken")
                    elif verb == "QUIT":
                        self.say("221 bye")
                        return
                    else:
                        self.say("250 yes")

        self.handler = Handler


def settings(**overrides: Any) -> Settings:
    return read_settings(market="simulator", **overrides)


def closed_port() -> int:
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        return int(free.getsockname()[1])


def test_whoever_is_named_is_told_and_nobody_else() -> None:
    slack, box = Slack(), Mailbox()
    with serving(slack.handler) as web, serving(box.handler) as mail:
        webhook = {"alert_slack_webhook": f"http://127.0.0.1:{web}/services/T0/B0/secret"}
        both = {"alert_smtp": f"smtp://127.0.0.1:{mail}", "alert_email": "ada@example.org, bob@example.org"}
        for chosen in ({}, webhook, both):
            assert deliver(ALERT, settings(**chosen)) == []
    assert slack.posts == [("/services/T0/B0/secret", {"text": TEXT})]
    [sent] = box.mails
    assert sent["Subject"] == ALERT.subject
    assert (sent["From"], sent["To"]) == ("ada@example.org", "ada@example.org, bob@example.org")
    assert sent.get_content().splitlines() == TEXT.splitlines()
    assert [line[8:] for line in box.lines if line.startswith("rcpt")] == ["<ada@example.org>", "<bob@example.org>"]


def test_one_channel_that_fails_does_not_stop_the_other_and_secrets_stay_out_of_the_sentence() -> None:
    slack = Slack(status=403)
    box = Mailbox()
    with serving(slack.handler) as web, serving(box.handler) as mail:
        chosen = settings(
            alert_slack_webhook=f"http://127.0.0.1:{web}/services/secret",
            alert_smtp=f"smtp://127.0.0.1:{mail}",
            alert_email="ada@example.org",
        )
        assert deliver(ALERT, chosen) == [
            "Slack (127.0.0.1): expected it to take the alert, got status 403; check BRAIN_ALERT_SLACK_WEBHOOK, and "
            "whether it is up."
        ]
    assert len(box.mails) == 1


def test_password_is_never_sent_without_tls() -> None:
    box = Mailbox()
    with serving(box.handler) as port:
        server = f"smtp://ada%40example.org:hidden@127.0.0.1:{port}"
        [sentence] = deliver(ALERT, settings(alert_smtp=server, alert_email="ada@example.org"))
    assert sentence == (
        "mail server 127.0.0.1: expected it to take the alert, got no TLS, so no password was sent; check "
        "BRAIN_ALERT_SMTP, and whether it is up."
    )
    assert not box.mails
    assert not any("AUTH" in line.upper() or "hidden" in line for line in box.lines)


@pytest.mark.parametrize("scheme", ["smtp", "smtps"])
def test_server_that_is_not_there_or_speaks_nonsense_is_one_sentence(scheme: str) -> None:
    nonsense = Mailbox("554 go away")
    with serving(nonsense.handler) as port:
        for place in (port, closed_port()):
            server = f"{scheme}://127.0.0.1:{place}"
            [sentence] = deliver(ALERT, settings(alert_smtp=server, alert_email="ada@example.org"))
            assert sentence.startswith("mail server 127.0.0.1: expected it to take the alert, got ")
            [sentence] = deliver(ALERT, settings(alert_slack_webhook=f"http://127.0.0.1:{place}/secret"))
            assert sentence.startswith("Slack (127.0.0.1): expected it to take the alert, got ")
            assert "secret" not in sentence


def test_server_that_is_silent_is_given_up(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(failure_sensor, "TIMEOUT_SECONDS", 0.3)

    class Silent(socketserver.BaseRequestHandler):
        def handle(self) -> None:
            self.request.recv(1 << 16)
            over.wait(10)

    over = threading.Event()
    with serving(Silent) as port:
        chosen = settings(
            alert_slack_webhook=f"http://127.0.0.1:{port}/secret",
            alert_smtp=f"smtp://127.0.0.1:{port}",
            alert_email="ada@example.org",
        )
        slack, mail = deliver(ALERT, chosen)
        over.set()
    assert "Timeout" in slack
    assert "got SMTPServerDisconnected" in mail  # what smtplib makes of a timeout


# Settings


@pytest.mark.parametrize(
    ("given", "words"),
    [
        ({"alert_slack_webhook": "secret"}, "BRAIN_ALERT_SLACK_WEBHOOK: expected an address that begins with https"),
        ({"alert_smtp": "mail.example.org:secret"}, "BRAIN_ALERT_SMTP: expected an address that begins with smtp://"),
        ({"alert_smtp": "smtp://ada:secret@host:port"}, "BRAIN_ALERT_SMTP: expected an address"),
        ({"alert_smtp": "smtp://ada:secret@host"}, "BRAIN_ALERT_SMTP, BRAIN_ALERT_EMAIL: expected both"),
        ({"alert_email": "ada@example.org"}, "BRAIN_ALERT_SMTP, BRAIN_ALERT_EMAIL: expected both"),
        ({"alert_smtp": "smtp://host", "alert_email": "ada"}, "BRAIN_ALERT_EMAIL: expected mail addresses"),
        ({"alert_smtp": "smtp://host", "alert_email": "a@b\nBcc: c@d"}, "BRAIN_ALERT_EMAIL: expected mail addresses"),
        ({"ui_url": "dagster.example.org"}, "BRAIN_UI_URL: expected an address that begins with http://"),
    ],
)
def test_wrong_settings_are_one_sentence_without_secrets(given: dict[str, str], words: str) -> None:
    with pytest.raises(SettingsError) as caught:
        settings(**given)
    assert str(caught.value).startswith(words)
    assert "secret" not in str(caught.value)


def test_secrets_are_not_shown() -> None:
    chosen = settings(
        alert_slack_webhook="https://hooks.slack.com/secret",
        alert_smtp="smtp://ada:secret@host",
        alert_email="ada@example.org",
    )
    assert isinstance(chosen.alert_smtp, SecretStr)
    assert "secret" not in repr(chosen) + str(chosen.differing_variables())
    assert chosen.differing_variables() == {"BRAIN_MARKET": "simulator"}  # they are enough to start again with
