"""A real browser, driven by Chrome's DevTools protocol over a web socket on loopback."""

from __future__ import annotations

import base64
import itertools
import json
import shutil
import subprocess
import time
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

import pytest
from websockets.sync.client import connect

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator
    from pathlib import Path

    from websockets.sync.client import ClientConnection

__all__ = ["CHROMIUM", "Page", "needs_chromium", "open_page"]

CHROMIUM = next(
    (
        found
        for name in ("chromium", "chromium-browser", "google-chrome")
        if (found := shutil.which(name))
    ),
    None,
)
needs_chromium = pytest.mark.skipif(
    CHROMIUM is None, reason="needs a browser: apt-get install chromium"
)
_FLAGS = (
    "--headless=new --no-sandbox --disable-gpu --disable-quic --no-first-run --hide-scrollbars "
    "--disable-background-networking --disable-component-update --disable-sync "
    "--disable-dev-shm-usage --remote-debugging-port=0 --remote-allow-origins=*"
)


@dataclass
class Page:
    """One tab.

    Attributes:
        problems: Console errors and warnings, and exceptions that nobody caught.
        requests: Addresses of all that was asked for.
    """

    socket: ClientConnection
    problems: list[str] = field(default_factory=list)
    requests: list[str] = field(default_factory=list)
    _numbers: Iterator[int] = field(default_factory=lambda: itertools.count(1))

    def call(self, method: str, **parameters: Any) -> dict[str, Any]:
        """Ask the browser for something."""
        number = next(self._numbers)
        self.socket.send(json.dumps({"id": number, "method": method, "params": parameters}))
        while True:
            message = json.loads(self.socket.recv(timeout=40))
            if message.get("id") == number:
                assert "error" not in message, message
                result: dict[str, Any] = message["result"]
                return result
            self._note(message)

    def goto(
        self, address: str, *, width: int = 1440, height: int = 900, dark: bool = False
    ) -> None:
        """Open an address, and wait until it is loaded."""
        self.resize(width, height, dark=dark)
        self.call("Page.navigate", url="about:blank")  # else a new # alone loads nothing
        self.call("Page.navigate", url=address)
        self.wait("document.readyState === 'complete'")

    def resize(self, width: int, height: int, *, dark: bool = False) -> None:
        """Look at the page in another size, or at night."""
        self.call(
            "Emulation.setDeviceMetricsOverride",
            width=width, height=height, deviceScaleFactor=1, mobile=width < 600,
        )  # fmt: skip
        scheme = {"name": "prefers-color-scheme", "value": "dark" if dark else "light"}
        self.call("Emulation.setEmulatedMedia", features=[scheme])

    def run(self, script: str) -> Any:
        """The value of an expression; a promise is waited for."""
        found = self.call(
            "Runtime.evaluate", expression=script, returnByValue=True, awaitPromise=True
        )
        assert "exceptionDetails" not in found, found["exceptionDetails"]
        return found["result"].get("value")

    def wait(self, condition: str, within_s: float = 30.0) -> None:
        """Until an expression is true."""
        until = time.monotonic() + within_s
        while not self.run(f"Boolean({condition})"):
            assert time.monotonic() < until, f"{condition} does not come true; {self.problems}"
            time.sleep(0.03)

    def press(self, key: str, **modifiers: Any) -> None:
        """Press and let go of a key."""
        text = {"text": key} if len(key) == 1 else {}
        self.call("Input.dispatchKeyEvent", type="keyDown", key=key, **text, **modifiers)
        self.call("Input.dispatchKeyEvent", type="keyUp", key=key, **modifiers)

    def shoot(self, path: Path) -> None:
        """Keep a picture of what is seen."""
        data = self.call("Page.captureScreenshot", format="png")["data"]
        path.write_bytes(base64.b64decode(data))

    def _note(self, message: dict[str, Any]) -> None:
        method, given = message.get("method"), message.get("params", {})
        if method == "Runtime.exceptionThrown":
            self.problems.append(str(given["exceptionDetails"]))
        elif method == "Runtime.consoleAPICalled" and given["type"] in {"error", "warning"}:
            self.problems.append(str(given["args"]))
        elif method == "Log.entryAdded" and given["entry"]["level"] in {"error", "warning"}:
            self.problems.append(str(given["entry"]))
        elif method == "Network.requestWillBeSent":
            self.requests.append(given["request"]["url"])


@contextmanager
def open_page(profile: Path) -> Iterator[Page]:
    """A browser with one empty tab; ``profile`` is a folder that is its own."""
    profile.mkdir(parents=True, exist_ok=True)
    process = subprocess.Popen(
        [str(CHROMIUM), *_FLAGS.split(), f"--user-data-dir={profile}", "about:blank"],
        stdout=subprocess.DEVNULL,
        stderr=subprocess.DEVNULL,
    )
    try:
        port = int(_wait(lambda: (profile / "DevToolsActivePort").read_text().split()[0]))
        tabs = _wait(lambda: _tabs(port))
        with connect(tabs[0]["webSocketDebuggerUrl"], max_size=2**28, ping_interval=None) as socket:
            page = Page(socket)
            for domain in ("Page", "Runtime", "Log", "Network"):
                page.call(f"{domain}.enable")
            yield page
    finally:
        process.terminate()
        process.wait(20)


def _tabs(port: int) -> list[dict[str, Any]]:
    import urllib.request

    with urllib.request.urlopen(f"http://127.0.0.1:{port}/json", timeout=5) as answer:
        return [tab for tab in json.load(answer) if tab["type"] == "page"]


def _wait(look: Callable[[], Any], within_s: float = 40.0) -> Any:
    until = time.monotonic() + within_s
    while True:
        try:
            if found := look():
                return found
        except (OSError, ValueError, IndexError):
            pass
        assert time.monotonic() < until, "the browser does not start"
        time.sleep(0.05)
