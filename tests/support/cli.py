"""The command line as a real process, against a simulated endpoint."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from pathlib import Path

KEY = "sk-test-abcdefghijklmnopqrstuvwxyz0123456789"


def environment(url: str | None) -> dict[str, str]:
    """An environment with nothing of the caller's that could reach an endpoint."""
    kept = {name: value for name, value in os.environ.items() if not name.startswith("OPENAI")}
    given = {"OPENAI_BASE_URL": url, "OPENAI_API_KEY": KEY} if url else {}
    return {**kept, **given, "NO_COLOR": "1"}


def start(*arguments: str | Path, url: str | None = None) -> subprocess.Popen[str]:
    """Start ``pairmill``; the caller waits for it, or kills it."""
    return subprocess.Popen(
        [sys.executable, "-m", "pairmill", *map(str, arguments)],
        env=environment(url),
        stdin=subprocess.DEVNULL,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    )


def pairmill(
    *arguments: str | Path, url: str | None = None, input_text: str | None = None
) -> subprocess.CompletedProcess[str]:
    """Run ``pairmill`` to its end."""
    return subprocess.run(
        [sys.executable, "-m", "pairmill", *map(str, arguments)],
        env=environment(url),
        input=input_text if input_text is not None else "",
        capture_output=True,
        text=True,
        timeout=50,
        check=False,
    )


def rows(folder: Path) -> list[dict[str, Any]]:
    """All published rows; fails on a torn line."""
    return _lines(folder / "data")


def rejects(folder: Path) -> list[dict[str, Any]]:
    """All published rejects."""
    return _lines(folder / "rejected")


def _lines(folder: Path) -> list[dict[str, Any]]:
    found: list[dict[str, Any]] = []
    for shard in sorted(folder.glob("*.jsonl")):
        data = shard.read_bytes()
        assert data.endswith(b"\n"), f"{shard} ends in the middle of a line"
        found.extend(json.loads(line) for line in data.split(b"\n")[:-1])
    return found
