"""Formats figures with their verdicts as lines for people."""

from __future__ import annotations

from typing import TYPE_CHECKING

from rich.text import Text

from pairmill.plain import hanging, plain

if TYPE_CHECKING:
    from collections.abc import Iterable

    from rich.console import Console

    from pairmill.quality.verdict import Check

__all__ = ["print_checks"]

_STYLES = {"ok": "green", "warn": "yellow", "fail": "bold red", "info": "dim"}
_LONGEST = 400
_NO_END = 10_000  # columns of a file or a pipe


def print_checks(checks: Iterable[Check], console: Console) -> None:
    """Print a line for each, with advice below those that are not well."""
    for check in checks:
        width = console.width if console.is_terminal else _NO_END
        said = hanging(f"{' ' * 6}{plain(check.name)}: {plain(check.found, _LONGEST)}", width, 0)
        line = Text(f"{check.status:<6}", style=_STYLES[check.status])
        line.append(said[6:], style="not dim")
        console.print(line, soft_wrap=True)
        if check.status in {"warn", "fail"} and check.hint:
            hint = hanging(f"{' ' * 6}{plain(check.hint)}", width, 0)
            console.print(Text(hint, style="dim"), soft_wrap=True)
