"""Prints an estimate: for people, or as JSON."""

from __future__ import annotations

import sys
from typing import TYPE_CHECKING, Any

import orjson
from rich.console import Console
from rich.table import Table
from rich.text import Text

from pairmill.plain import hanging

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from pairmill.service.estimate import Estimate, Range

__all__ = ["print_estimate", "to_json"]

WIDTH = 100  # width without a terminal


def to_json(total: Estimate, notes: Sequence[str]) -> dict[str, Any]:
    """Return the estimate as plain values under stable names; a range is [low, likely, high]."""
    found = total.survey
    return {
        "schema": 1,
        "documents": found.documents,
        "skipped": found.skipped,
        "skipped_by_reason": dict(found.reasons),
        "skipped_examples": {reason: list(named) for reason, named in found.examples.items()},
        "chunks": found.chunks,
        "finished": found.finished,
        "to_ask": found.fresh,
        "measured_units": found.measured.units if total.is_measured else 0,
        "repaired": round(found.measured.repaired, 4) if total.is_measured else None,
        "repeated_chunks": found.repeated,
        "saved_tokens": total.saved_tokens,
        "saved_usd": None if total.saved_usd is None else round(total.saved_usd, 6),
        "calls": _whole(total.calls),
        "prompt_tokens": _whole(total.prompt_tokens),
        "output_tokens": _whole(total.output_tokens),
        "pairs": _whole(total.pairs),
        "usd": [round(value, 6) for value in total.usd] if total.usd else None,
        "hours": [round(value, 6) for value in total.hours] if total.hours else None,
        "notes": list(notes),
    }


def print_estimate(
    total: Estimate, notes: Sequence[str], *, as_json: bool, console: Console | None = None
) -> None:
    """Print the estimate; ``console`` is for tests."""
    if as_json:
        options = orjson.OPT_INDENT_2 | orjson.OPT_APPEND_NEWLINE
        sys.stdout.write(orjson.dumps(to_json(total, notes), option=options).decode())
        return
    out = console or Console(highlight=False)
    out = out if out.is_terminal else Console(highlight=False, width=WIDTH, file=out.file)
    found = total.survey
    out.print(
        f"{found.documents:,} documents ({found.skipped:,} pieces cannot be used),"
        f" {found.chunks:,} chunks, {found.finished:,} finished, {found.fresh:,} to ask about"
    )
    if found.repeated:
        usd = "" if total.saved_usd is None else f", {_dollars(total.saved_usd)}"
        saved = f": about {total.saved_tokens:,} tokens{usd} saved" if total.saved_tokens else ""
        out.print(f"{found.repeated:,} chunks repeat others and are not asked about{saved}")
    for reason, count in found.reasons.items():
        named = "; ".join(found.examples[reason])
        more = " ..." if count > len(found.examples[reason]) else ""
        out.print(Text(f"  {count:,} {reason}: {named}{more}", style="dim"))
    if not found.chunks:
        return
    table = Table(box=None, padding=(0, 2, 0, 0), header_style="dim")
    table.add_column("")
    for name in ("low", "likely", "high"):
        table.add_column(name, justify="right")
    rows: list[tuple[str, Range | None, Callable[[float], str]]] = [
        ("calls", total.calls, _count),
        ("prompt tokens", total.prompt_tokens, _count),
        ("answer tokens", total.output_tokens, _count),
        ("pairs", total.pairs, _count),
        ("dollars", total.usd, _dollars),
        ("hours", total.hours, _hours),
    ]
    for name, values, show in rows:
        shown = [show(value) for value in values] if values else ["unknown"] * 3
        table.add_row(name, *shown)
    out.print(table)
    for note in notes:
        width = out.width if out.is_terminal else len(note)
        out.print(hanging(note, width), markup=False, soft_wrap=True)


def _whole(values: Range) -> list[int]:
    return [round(value) for value in values]


def _count(value: float) -> str:
    return f"{value:,.0f}"


def _dollars(value: float) -> str:
    return f"${value:,.2f}" if value >= 1 or not value else f"${value:.2g}"


def _hours(value: float) -> str:
    return f"{value:,.1f}" if value >= 1 or not value else f"{value:.2g}"
