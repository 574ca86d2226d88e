"""Formats figures with their verdicts as lines for people."""

from __future__ import annotations

from typing import TYPE_CHECKING

from rich.text import Text

from pairmill.plain import plain

if TYPE_CHECKING:
    from collections.abc import Iterable

    from rich.console import Console

    from pairmill.quality.verdict import Check

__all__ = ["print_checks"]

_STYLES = {"ok": "green", "warn": "yellow", "fail": "bold red", "info": "dim"}
_LONGEST = 400


def print_checks(checks: Iterable[Check], console: Console) -> None:
    """Print a line for each, with advice below those that are not well."""
    for check in checks:
        line = Text(f"{check.status:<6}", style=_STYLES[check.status])
        line.append(f"{plain(check.name)}: {plain(check.found, _LONGEST)}", style="not dim")
        console.print(line, soft_wrap=True)
        if check.status in {"warn", "fail"} and check.hint:
            console.print(Text(f"      {plain(check.hint)}", style="dim"), soft_wrap=True)
