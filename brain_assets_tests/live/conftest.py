"""A Yahoo on this machine, for whatever asks yfinance."""

from urllib.parse import urlsplit

import pytest

from brain_assets_tests.live.loopback import serve
from brain_assets_tests.live.loopback_yahoo import PLAIN, LoopbackYahoo, forget_everything


@pytest.fixture
def yahoo(monkeypatch, tmp_path):
    """A loopback Yahoo that every session of yfinance's ends up at, whatever host it means."""
    import yfinance
    from curl_cffi import requests

    monkeypatch.setenv("no_proxy", "127.0.0.1")
    server = LoopbackYahoo()
    with serve(server) as server.url:

        class LoopbackSession(requests.Session):
            def request(self, method, url, *args, **kwargs):
                parts = urlsplit(url)
                return super().request(method, f"{server.url}/{parts.netloc}{parts.path}", *args, **kwargs)

        for module in ("multi", "data", "base"):
            monkeypatch.setattr(f"yfinance.{module}.new_session", LoopbackSession)
        forget_everything()
        yfinance.set_tz_cache_location(str(tmp_path / "cache"))
        server.bars["AAA"] = PLAIN
        yield server
        forget_everything()
