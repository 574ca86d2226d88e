"""``pairmill health`` beside a server that says what it is told to."""

from __future__ import annotations

import threading
from http.server import BaseHTTPRequestHandler, HTTPServer
from typing import TYPE_CHECKING

import pytest
import typer

from pairmill.commands.health import health
from pairmill.errors import ConfigError, UsageError

if TYPE_CHECKING:
    from collections.abc import Iterator

WELL = {"/livez": (200, b"last progress 2 s ago\n"), "/readyz": (503, b"reading\x1b[31m input\n")}


class _Handler(BaseHTTPRequestHandler):
    def do_GET(self) -> None:
        status, text = WELL[self.path]
        self.send_response(status)
        self.send_header("Content-Length", str(len(text)))
        self.end_headers()
        self.wfile.write(text)

    def log_message(self, *_: object) -> None:
        pass


@pytest.fixture
def port() -> Iterator[int]:
    with HTTPServer(("127.0.0.1", 0), _Handler) as server:
        thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.01})
        thread.start()
        yield server.server_port
        server.shutdown()
        thread.join()


def test_it_says_what_the_run_does_and_ends_with_what_a_probe_wants(
    port: int, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    health(f"0.0.0.0:{port}")
    assert capsys.readouterr().out == "last progress 2 s ago\n"
    monkeypatch.setenv("PAIRMILL__STATUS", str(port))
    monkeypatch.setenv("http_proxy", "http://127.0.0.1:1")
    health()
    with pytest.raises(typer.Exit) as ended:
        health(ready=True)
    assert ended.value.exit_code == 1
    assert capsys.readouterr().out == "last progress 2 s ago\nreading [31m input\n"


def test_no_server_is_no_life(capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(typer.Exit) as ended:
        health("1")
    assert ended.value.exit_code == 1
    assert "no answer from 127.0.0.1:1" in capsys.readouterr().out


def test_an_address_is_needed(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("PAIRMILL__STATUS", raising=False)
    with pytest.raises(UsageError, match="set PAIRMILL__STATUS"):
        health()
    with pytest.raises(ConfigError, match="'here' is not of the form"):
        health("here")
