"""A real S3 API on this machine: moto's server, and before it a proxy that counts, delays and breaks requests."""

import http.client
import logging
import os
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from functools import lru_cache
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any, ClassVar

import pytest
from upath import UPath

from brain_assets import paths
from brain_assets.paths import parse_place

BUCKET = "results"
STALL, DROP, TRUNCATE = "stall", "drop", "truncate"
Fault = Callable[[str], int | str | None]
"""What happens to a request, ``GET /results/key``: an HTTP status instead of an answer, `STALL` (silence), `DROP` (the
connection is closed), `TRUNCATE` (in the middle of the answer), or None: it passes."""

ERROR = """<?xml version="1.0" encoding="UTF-8"?><Error><Code>{code}</Code><Message>{message}</Message></Error>"""
CODES = {500: "InternalError", 503: "SlowDown", 403: "AccessDenied"}
_NOT_FORWARDED = {"transfer-encoding", "connection", "content-length"}


class LoopbackS3:
    """What tests see of the server.

    Attributes
    ----------
    url : str
        Of the proxy: what clients ask.
    requests : list of str
        ``GET /results/key`` in the order of arrival, those that were broken among them.
    latency : float
        Seconds that a request takes at least.
    fault : callable
    """

    def __init__(self, backend: tuple[str, int]) -> None:
        self.requests: list[str] = []
        self.latency = 0.0
        self.fault: Fault = lambda request: None
        self.released = threading.Event()
        handler = type("Handler", (_Handler,), {"server_state": self, "backend": backend})
        self._server = ThreadingHTTPServer(("127.0.0.1", 0), handler)
        self._server.daemon_threads = True
        self.url = f"http://127.0.0.1:{self._server.server_address[1]}"
        self._thread = threading.Thread(target=self._server.serve_forever, args=(0.02,), daemon=True)
        self._thread.start()

    def stop(self) -> None:
        self.released.set()
        self._server.shutdown()
        self._server.server_close()

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


class _Handler(BaseHTTPRequestHandler):
    server_state: ClassVar[LoopbackS3]
    backend: ClassVar[tuple[str, int]]
    protocol_version = "HTTP/1.1"
    disable_nagle_algorithm = True

    def log_message(self, format: str, *args: object) -> None:  # noqa: A002 - named by the library
        pass

    def _pass_on(self) -> None:
        state = self.server_state
        body = self._body()
        request = f"{self.command} {self.path}"
        state.requests.append(request)
        time.sleep(state.latency)
        fault = state.fault(request)
        if fault in (STALL, DROP):
            if fault == STALL:
                state.released.wait()
            self.close_connection = True
            return
        if isinstance(fault, int):
            content = ERROR.format(code=CODES.get(fault, str(fault)), message="made up").encode()
            self._answer(fault, {"Content-Type": "application/xml"}, b"" if self.command == "HEAD" else content)
            return
        connection = http.client.HTTPConnection(*self.backend, timeout=30)
        try:
            headers = {name: value for name, value in self.headers.items() if name.lower() not in _NOT_FORWARDED}
            connection.request(self.command, self.path, body, headers | {"Content-Length": str(len(body))})
            response = connection.getresponse()
            content = response.read()
            length = response.getheader("Content-Length") if self.command == "HEAD" else str(len(content))
            if fault == TRUNCATE:
                content, self.close_connection = content[: len(content) // 2], True
                if not content:  # it is done, but the client cannot know
                    return
            self._answer(response.status, dict(response.getheaders()), content, length)
        finally:
            connection.close()

    def _body(self) -> bytes:
        if "chunked" not in self.headers.get("Transfer-Encoding", ""):
            return self.rfile.read(int(self.headers.get("Content-Length", 0)))
        body = b""
        while size := int(self.rfile.readline().split(b";")[0], 16):
            body += self.rfile.read(size)
            self.rfile.readline()
        self.rfile.readline()
        return body

    def _answer(self, status: int, headers: dict[str, str], content: bytes, length: str | None = None) -> None:
        with suppress(ConnectionError):  # a client that was killed
            self.send_response(status)
            for name, value in headers.items():
                if name.lower() not in _NOT_FORWARDED:
                    self.send_header(name, value)
            self.send_header("Content-Length", length or str(len(content)))
            self.end_headers()
            self.wfile.write(content)

    do_GET = do_PUT = do_HEAD = do_POST = do_DELETE = _pass_on  # noqa: N815 - named by the library


def forget_connections() -> None:
    """Let the next request find its server and credentials anew."""
    paths.filesystem.cache_clear()


@lru_cache
def _backend() -> tuple[str, int]:
    """Start moto's server, once in a process; its threads end with it."""
    from moto.server import ThreadedMotoServer

    logging.getLogger("werkzeug").setLevel(logging.ERROR)  # a line for every request
    moto = ThreadedMotoServer("127.0.0.1", 0, verbose=False)
    moto.start()
    host, port = moto.get_host_and_port()
    return host, port


@contextmanager
def loopback_s3(monkeypatch: pytest.MonkeyPatch) -> Iterator[LoopbackS3]:
    """Start a server with an empty bucket, and let the environment name it; processes that are started find it too."""
    for name in [name for name in os.environ if name.startswith(("AWS_", "FSSPEC_"))]:
        monkeypatch.delenv(name)
    server = LoopbackS3(_backend())
    variables: dict[str, Any] = {
        "AWS_ENDPOINT_URL": server.url,
        "AWS_ACCESS_KEY_ID": "someone",
        "AWS_SECRET_ACCESS_KEY": "secret",
        "AWS_DEFAULT_REGION": "us-east-1",
        "AWS_CONFIG_FILE": os.devnull,
        "AWS_EC2_METADATA_DISABLED": "true",
        "NO_PROXY": "127.0.0.1",
    }
    for name, value in variables.items():
        monkeypatch.setenv(name, value)
    forget_connections()
    try:
        connection = http.client.HTTPConnection(*_backend())
        for method, path in (("POST", "/moto-api/reset"), ("PUT", f"/{BUCKET}")):
            connection.request(method, path, headers={"Content-Length": "0"})
            assert connection.getresponse().read() is not None
        connection.close()
        yield server
    finally:
        server.stop()
        forget_connections()
