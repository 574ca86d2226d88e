"""A process that says nothing until it is killed: ``python -m tests.support.idle``."""

from __future__ import annotations

import signal

if __name__ == "__main__":
    while True:
        signal.pause()
