"""How reading starts Python beside itself, and what such a process gets to know."""

from __future__ import annotations

import os
import sys

__all__ = ["environment", "python"]

_KEPT = ("PATH", "HOME", "TMPDIR", "VIRTUAL_ENV", "LANG", "SYSTEMROOT")
_KEPT_BEGINNINGS = ("PYTHON", "LC_", "LD_", "DYLD_")


def python(module: str, *arguments: str) -> list[str]:
    """Return the command that runs one of our modules."""
    # -P: a file in the user's folder cannot stand in for a module.
    return [sys.executable, "-P", "-m", module, *arguments]


def environment() -> dict[str, str]:
    """Return what of ours a process gets that works on what was crawled: no key, no token."""
    return {
        name: value
        for name, value in os.environ.items()
        if name in _KEPT or name.startswith(_KEPT_BEGINNINGS)
    }
