"""Prints the report of ``qc``: a table for people, or JSON."""

from __future__ import annotations

import sys
import time
from typing import TYPE_CHECKING

import orjson
from rich.console import Console
from rich.table import Table
from rich.text import Text

from pairmill.output.qc.limits import LIMITS, Status
from pairmill.output.qc.report import shown, to_json, verdict_line
from pairmill.plain import plain

if TYPE_CHECKING:
    from collections.abc import Callable

    from pairmill.output.qc.report import Metric, Report

__all__ = ["Ticker", "print_report"]

WIDTH = 120  # where there is no terminal
_STYLES = {Status.OK: "green", Status.WARN: "yellow", Status.FAIL: "bold red", Status.INFO: "dim"}
_EVERY_S = 5.0


class Ticker:
    """Shows the progress of a long check on standard error; nothing in the first seconds."""

    def __init__(self, clock: Callable[[], float] = time.monotonic) -> None:
        self._clock = clock
        self._last = clock()

    def __call__(self, what: str, done: int, total: int | None = None) -> None:
        """Say it, if the last time is some seconds ago."""
        now = self._clock()
        if now - self._last >= _EVERY_S:
            self._last = now
            of = f" of {total:,}" if total else ""
            print(f"{what}: {done:,}{of} records", file=sys.stderr, flush=True)  # noqa: T201


def print_report(report: Report, *, as_json: bool, console: Console | None = None) -> None:
    """Print all figures, the worst first; ``console`` is for tests."""
    if as_json:
        options = orjson.OPT_INDENT_2 | orjson.OPT_APPEND_NEWLINE
        sys.stdout.write(orjson.dumps(to_json(report), option=options).decode())
        return
    out = console or Console(highlight=False)
    out = out if out.is_terminal else Console(highlight=False, width=WIDTH, file=out.file)
    table = Table(box=None, padding=(0, 2, 0, 0), header_style="dim")
    for name in ("", "figure", "found", "what to do"):
        table.add_column(name, justify="right" if name == "found" else "left", vertical="top")
    for metric in report.by_severity:
        table.add_row(
            Text(metric.status.value, style=_STYLES[metric.status]),
            Text(_label(metric)),
            Text(shown(metric)),
            Text(_advice(metric), style="dim"),
        )
    out.print(f"{report.pairs:,} pairs, {report.unreadable:,} unreadable records: {report.status}")
    out.print(Text(f"{verdict_line(report)} (judged as {report.profile} data)"))
    out.print(table)
    for line in report.skipped:
        out.print(Text(f"not checked: {_with_labels(line)}", style="dim"))
    for note in report.notes:
        out.print(Text(f"note: {plain(note, 400)}", style="dim"))


def _with_labels(line: str) -> str:
    keys, _, reason = line.partition(": ")
    names = ", ".join(key if key in LIMITS else plain(key) for key in keys.split(", "))
    return f"{names}: {plain(reason, 400)}"


def _label(metric: Metric) -> str:
    return f"{metric.limit.label} ({plain(metric.note)})" if metric.note else metric.limit.label


def _advice(metric: Metric) -> str:
    if not metric.advice:
        return ""
    places = [str(place.line) for place in metric.places if place.line]
    where = ", ".join(places or map(str, metric.rows))
    files = {place.file for place in metric.places if place.file}
    name = f" of {plain(next(iter(files)).rpartition('/')[2])}" if len(files) == 1 else ""
    return f"{metric.advice}; lines {where}{name}" if where else metric.advice
