"""The report of ``qc`` on standard output: a table for people, or JSON."""

from __future__ import annotations

import sys
from typing import TYPE_CHECKING

import orjson
from rich.console import Console
from rich.table import Table
from rich.text import Text

from pairmill.output.qc import shown, to_json
from pairmill.output.qc_limits import Status
from pairmill.plain import plain

if TYPE_CHECKING:
    from pairmill.output.qc import Metric, Report

__all__ = ["print_report"]

WIDTH = 120  # where there is no terminal
_STYLES = {Status.OK: "green", Status.WARN: "yellow", Status.FAIL: "bold red", Status.INFO: "dim"}


def print_report(report: Report, *, as_json: bool, console: Console | None = None) -> None:
    """Print all figures; ``console`` is for tests."""
    if as_json:
        options = orjson.OPT_INDENT_2 | orjson.OPT_APPEND_NEWLINE
        sys.stdout.write(orjson.dumps(to_json(report), option=options).decode())
        return
    out = console or Console(highlight=False)
    out = out if out.is_terminal else Console(highlight=False, width=WIDTH, file=out.file)
    table = Table(box=None, padding=(0, 2, 0, 0), header_style="dim")
    for name in ("", "figure", "found", "what to do"):
        table.add_column(name, justify="right" if name == "found" else "left", vertical="top")
    for metric in report.metrics:
        table.add_row(
            Text(metric.status.value, style=_STYLES[metric.status]),
            Text(_label(metric)),
            Text(shown(metric)),
            Text(_advice(metric), style="dim"),
        )
    out.print(f"{report.pairs:,} pairs, {report.unreadable:,} unreadable records: {report.status}")
    out.print(table)
    for line in report.skipped:
        out.print(Text(f"not measured: {line}", style="dim"))


def _label(metric: Metric) -> str:
    return f"{metric.limit.label} ({plain(metric.note)})" if metric.note else metric.limit.label


def _advice(metric: Metric) -> str:
    if metric.status not in {Status.WARN, Status.FAIL}:
        return ""
    rows = f"; rows {', '.join(map(str, metric.rows))}" if metric.rows else ""
    return f"{metric.limit.hint}{rows}"
