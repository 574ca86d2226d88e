"""A process that says nothing until it is killed."""

from __future__ import annotations

import signal


def main() -> int:
    """Wait without end."""
    while True:
        signal.pause()
