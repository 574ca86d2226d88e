"""Prints the findings of ``doctor``: for people, or as JSON."""

from __future__ import annotations

import sys
from typing import TYPE_CHECKING, Any

import orjson
from rich.console import Console
from rich.table import Table
from rich.text import Text

from pairmill.llm.limits.headers import Unit
from pairmill.plain import hanging, plain

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    from pairmill.service.doctor import Findings

__all__ = ["print_findings", "to_json"]

_NO_THOUGHT = 48  # tokens; fewer are not worth mentioning
WIDTH = 120  # width without a terminal
_NAMES = {
    Unit.REQUESTS: "requests",
    Unit.INPUT: "input_tokens",
    Unit.OUTPUT: "output_tokens",
    Unit.TOKENS: "tokens",
}


def to_json(found: Findings, plan: Sequence[str]) -> dict[str, Any]:
    """Return the findings as plain values under stable names."""
    return {
        "schema": 1,
        "ok": not found.problem,
        "problem": found.problem,
        "exit_code": found.exit_code,
        "endpoint": found.place,
        "key": found.has_key,
        "model": found.model,
        "listed": found.is_listed,
        "answers_as": found.answers_as,
        "structured_output": {str(mode): told for mode, told in found.modes.items()},
        "mode": str(found.mode) if found.mode else None,
        "provider": found.profile,
        "reasoning": {
            "thinks": found.thinks,
            "tokens": found.thought_tokens,
            "words": found.reasoning,
        },
        "left_out": list(found.left_out),
        "usage": found.has_usage,
        "limits": _limits(found),
        "gauge": found.has_gauge,
        "round_trip_s": found.round_trip_s,
        "tokens_per_s": found.tokens_per_s,
        "calls": found.calls,
        "plan": list(plan),
    }


def print_findings(
    results: Sequence[tuple[Findings, Sequence[str]]],
    *,
    as_json: bool,
    console: Console | None = None,
) -> None:
    """Print what was found at each endpoint: one JSON object, or a list of several."""
    if as_json:
        values = [to_json(found, plan) for found, plan in results]
        options = orjson.OPT_INDENT_2 | orjson.OPT_APPEND_NEWLINE
        data = orjson.dumps(values if len(values) > 1 else values[0], option=options)
        sys.stdout.write(data.decode())
        return
    out = console or Console(highlight=False)
    out = out if out.is_terminal else Console(highlight=False, width=WIDTH, file=out.file)
    for found, plan in results:
        table = Table(show_header=False, box=None, padding=(0, 2, 0, 0))
        for name, value in _rows(found):
            table.add_row(Text(name, style="dim"), Text(value))
        out.print(table)
        for line in plan:
            told = f"  {line}"
            width = out.width if out.is_terminal else len(told)
            out.print(Text(hanging(told, width)), soft_wrap=True)


def thinking_line(found: Findings) -> str:
    """Describe what was found out about a model's thoughts, and what to set."""
    words = orjson.dumps(found.reasoning).decode()
    said = f" with {plain(words)}" if found.reasoning else ""
    tokens = found.thought_tokens or 0
    if tokens <= _NO_THOUGHT:
        return f"off{said}" if found.reasoning or found.thinks else "none seen"
    return (
        f"about {tokens:,} tokens before an answer{said}, billed as part of it; no parameter"
        " that was tried stops it: use another model, or make room for it (answer_tokens)"
    )


def _limits(found: Findings) -> dict[str, float]:
    spans = (("min", found.hint.minute), ("day", found.hint.day))
    return {
        f"{_NAMES[unit]}_per_{span}": reading.limit
        for span, readings in spans
        for unit, reading in readings.items()
        if reading.limit is not None
    }


def _rows(found: Findings) -> Iterator[tuple[str, str]]:
    yield "endpoint", f"{plain(found.place)} (provider profile: {plain(found.profile)})"
    yield "key", "sent" if found.has_key else "none"
    listed = {True: "listed", False: "not listed", None: "the endpoint has no model list"}
    yield "model", f"{plain(found.model)} ({listed[found.is_listed]})"
    if found.answers_as and found.answers_as != found.model:
        yield "answers as", plain(found.answers_as)
    for mode, told in found.modes.items():
        yield str(mode), plain(told)
    if found.thought_tokens is not None:
        yield "thinking", thinking_line(found)
    if found.left_out:
        yield "left out", f"{', '.join(found.left_out)}: not accepted as set"
    if found.has_usage is not None:
        yield "usage", "counted in every reply" if found.has_usage else "missing"
    limits = _limits(found)
    if found.calls and found.has_usage is not None:
        told = ", ".join(f"{limit:,.0f} {name.replace('_', ' ')}" for name, limit in limits.items())
        yield "limit headers", told or "none"
    if found.round_trip_s is not None:
        yield "round trip", f"{found.round_trip_s:.2f} s"
    if found.tokens_per_s is not None:
        yield "speed", f"{found.tokens_per_s:,.0f} tokens/s in one call"
    yield "calls made", str(found.calls)
    if found.problem:
        yield "problem", plain(found.problem)
