"""Writes lines for people: wrapped on a terminal, one line each in a file or a pipe."""

from __future__ import annotations

import re
import shutil
import sys
from typing import TYPE_CHECKING

from pairmill.plain import hanging, plain

if TYPE_CHECKING:
    from collections.abc import Iterable

    from rich.console import Console

    from pairmill.quality.check import Check

__all__ = ["print_checks", "tell"]

_LABEL = re.compile(r" +\S+ {2,}")
"""A name and its value in columns, as in the totals at the end of a run."""

_STYLES = {"ok": "green", "warn": "yellow", "fail": "bold red", "info": "dim"}
_LONGEST = 400
_UNLIMITED = 10_000  # columns of a file or a pipe


def tell(line: str) -> None:
    """Write a line to standard error, wrapped at blanks if that is a terminal."""
    if sys.stderr.isatty():
        label = _LABEL.match(line)
        start = len(line) - len(line.lstrip())
        indent = label.end() - start if label else 2
        line = hanging(line, shutil.get_terminal_size().columns, indent)
    sys.stderr.write(f"{line}\n")


def print_checks(checks: Iterable[Check], console: Console) -> None:
    """Print one line per check, followed by its advice if it warns or fails."""
    from rich.text import Text  # noqa: PLC0415 (slow to load; ``tell`` needs none of it)

    for check in checks:
        width = console.width if console.is_terminal else _UNLIMITED
        said = hanging(f"{' ' * 6}{plain(check.name)}: {plain(check.found, _LONGEST)}", width, 0)
        line = Text(f"{check.status:<6}", style=_STYLES[check.status])
        line.append(said[6:], style="not dim")
        console.print(line, soft_wrap=True)
        if check.status in {"warn", "fail"} and check.hint:
            hint = hanging(f"{' ' * 6}{plain(check.hint)}", width, 0)
            console.print(Text(hint, style="dim"), soft_wrap=True)
