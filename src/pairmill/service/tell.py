"""Lines for people on standard error, broken at blanks where a terminal is too narrow for them."""

from __future__ import annotations

import re
import shutil
import sys

from pairmill.plain import hanging

__all__ = ["tell"]

_LABEL = re.compile(r" +\S+ {2,}")
"""A name and its value in columns, as in the sums at the end of a run."""


def tell(line: str) -> None:
    """Write a line; into a file or a pipe as one line, whatever its length."""
    if sys.stderr.isatty():
        label = _LABEL.match(line)
        start = len(line) - len(line.lstrip())
        indent = label.end() - start if label else 2
        line = hanging(line, shutil.get_terminal_size().columns, indent)
    sys.stderr.write(f"{line}\n")
