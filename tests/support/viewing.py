"""``pairmill view`` as a real process, and what is asked of it."""

from __future__ import annotations

import time
from contextlib import contextmanager
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any
from urllib.parse import urlsplit

import httpx2 as httpx
from tests.support.cli import start

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator
    from pathlib import Path

__all__ = ["View", "viewing"]


@dataclass
class View:
    """A running viewer."""

    address: str
    client: httpx.Client
    token: str
    pid: int

    @property
    def origin(self) -> str:
        return f"http://{urlsplit(self.address).netloc}"

    def get(self, path: str, **given: Any) -> Any:
        answer = self.client.get(path, params=given)
        assert answer.status_code == 200, answer.text
        return answer.json()

    def post(self, path: str, body: Any) -> Any:
        answer = self.client.post(path, json=body)
        assert answer.status_code == 200, answer.text
        return answer.json()

    def wait(self, look: Callable[[dict[str, Any]], Any], within_s: float = 40.0) -> dict[str, Any]:
        """The state, once it is as wanted."""
        until = time.monotonic() + within_s
        while True:
            state: dict[str, Any] = self.get("/api/state")
            if look(state):
                return state
            assert time.monotonic() < until, state
            time.sleep(0.05)

    def ready(self) -> dict[str, Any]:
        """The state, once all that is there has been read."""
        return self.wait(lambda state: state["progress"]["is_done"])


@contextmanager
def viewing(dataset: Path, *flags: str) -> Iterator[View]:
    """Serve a dataset on a free port of this machine."""
    process = start("view", dataset, "--port", "0", *flags)
    try:
        assert process.stdout is not None
        address = process.stdout.readline().strip()
        if not address:
            assert process.stderr is not None
            raise AssertionError(process.stderr.read())
        parts = urlsplit(address)
        token = parts.query.removeprefix("token=")
        headers = {"X-Pairmill-Token": token}
        base = f"http://{parts.netloc}"
        with httpx.Client(base_url=base, headers=headers, timeout=30, trust_env=False) as client:
            yield View(address, client, token, process.pid)
    finally:
        process.terminate()
        out, err = process.communicate(timeout=30)
        assert process.returncode == 0, (out, err)
        assert "Traceback" not in err, err
