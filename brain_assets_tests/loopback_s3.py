"""A real S3 API on this machine: moto's, and before it what counts, delays and breaks requests."""

import http.client
import logging
import os
import socket
import threading
import time
from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager
from functools import lru_cache
from typing import Any

import pytest
from upath import UPath

from brain_assets import paths
from brain_assets.paths import parse_place

BUCKET = "results"
STALL, DROP, TRUNCATE = "stall", "drop", "truncate"
Fault = Callable[[str], int | str | None]
"""What happens to a request, ``GET /results/key``: an HTTP status instead of an answer, `STALL` (silence), `DROP` (the
connection is closed), `TRUNCATE` (in the middle of the answer), or None: it passes."""

ERROR = """<?xml version="1.0" encoding="UTF-8"?><Error><Code>{code}</Code><Message>made up</Message></Error>"""
CODES = {500: "InternalError", 503: "SlowDown", 403: "AccessDenied"}


class LoopbackS3:
    """The server: `requests` in the order of arrival, those that were broken among them; `fault` breaks them."""

    def __init__(self) -> None:
        from moto.moto_server.werkzeug_app import MotoRequestHandler
        from werkzeug.serving import make_server

        self.requests: list[str] = []
        self.fault: Fault = lambda request: None
        self.released = threading.Event()
        self._moto = _moto()
        told_once = {"handle_expect_100": lambda _: True}  # werkzeug says "100 Continue" too; the second ends time-outs
        handler = type("Handler", (MotoRequestHandler,), {"disable_nagle_algorithm": True, **told_once})
        logging.getLogger("werkzeug").setLevel(logging.ERROR)  # a line for every request
        self._server = make_server("127.0.0.1", 0, self._answer, threaded=True, request_handler=handler)
        self.url = f"http://127.0.0.1:{self._server.server_port}"
        threading.Thread(target=self._server.serve_forever, args=(0.02,), daemon=True).start()

    def place(self, prefix: str = "prefix") -> UPath:
        place = parse_place(f"s3://{BUCKET}/{prefix}")
        assert isinstance(place, UPath)
        return place

    @contextmanager
    def counted(self) -> Iterator[list[str]]:
        """Give the requests that are made inside."""
        found: list[str] = []
        before = len(self.requests)
        try:
            yield found
        finally:
            found.extend(self.requests[before:])

    @contextmanager
    def faulty(self, fault: Fault) -> Iterator[None]:
        self.fault = fault
        try:
            yield
        finally:
            self.fault = lambda request: None

    def _answer(self, environ: dict[str, Any], start_response: Any) -> Iterable[bytes]:
        from werkzeug.wrappers import Response
        from werkzeug.wsgi import get_input_stream

        request = f"{environ['REQUEST_METHOD']} {environ['REQUEST_URI']}"
        self.requests.append(request)
        fault = self.fault(request)
        if fault is not None and fault != TRUNCATE:
            get_input_stream(environ).read()
        if fault == STALL:
            self.released.wait()
        if fault in (STALL, DROP):
            self._hang_up(environ)
        if isinstance(fault, int):
            error = ERROR.format(code=CODES.get(fault, str(fault)))
            return Response(error, fault, content_type="application/xml")(environ, start_response)
        if fault is None:
            return self._moto(environ, start_response)
        answer = Response.from_app(self._moto, environ)
        content = answer.get_data()
        if not content:  # it is done, but the client cannot know
            self._hang_up(environ)
        start_response(answer.status, [*answer.headers.items()])
        return self._cut(content[: len(content) // 2], environ)

    def _cut(self, content: bytes, environ: dict[str, Any]) -> Iterator[bytes]:
        yield content
        time.sleep(0.05)
        self._hang_up(environ)

    def _hang_up(self, environ: dict[str, Any]) -> None:
        environ["werkzeug.socket"].shutdown(socket.SHUT_RDWR)
        raise ConnectionAbortedError


def forget_connections() -> None:
    """Let the next request find its server and credentials anew."""
    paths.filesystem.cache_clear()


@lru_cache
def _moto() -> Any:
    from moto.moto_server.werkzeug_app import DomainDispatcherApplication, create_backend_app

    return DomainDispatcherApplication(create_backend_app)


@contextmanager
def loopback_s3(monkeypatch: pytest.MonkeyPatch) -> Iterator[LoopbackS3]:
    """Start a server with an empty bucket, and let the environment name it; processes that are started find it too.

    In this process, the client waits for a moment only before it asks again.
    """
    for name in [name for name in os.environ if name.startswith(("AWS_", "FSSPEC_"))]:
        monkeypatch.delenv(name)
    monkeypatch.setattr("botocore.retries.standard.ExponentialBackoff.delay_amount", lambda *_: 0.003)
    server = LoopbackS3()
    variables = {"AWS_ACCESS_KEY_ID": "someone", "AWS_SECRET_ACCESS_KEY": "secret", "AWS_DEFAULT_REGION": "us-east-1"}
    variables |= {"AWS_CONFIG_FILE": os.devnull, "AWS_EC2_METADATA_DISABLED": "true"}
    variables |= {"AWS_ENDPOINT_URL": server.url, "NO_PROXY": "127.0.0.1"}
    for name, value in variables.items():
        monkeypatch.setenv(name, value)
    forget_connections()
    try:
        connection = http.client.HTTPConnection(server.url.removeprefix("http://"))
        for method, path in (("POST", "/moto-api/reset"), ("PUT", f"/{BUCKET}")):
            connection.request(method, path, headers={"Content-Length": "0"})
            assert connection.getresponse().read() is not None
        connection.close()
        server.requests.clear()
        yield server
    finally:
        server.released.set()
        server._server.shutdown()
        server._server.server_close()
        forget_connections()
