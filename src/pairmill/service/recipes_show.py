"""Prints a trial of a recipe on one unit: prompts, raw answers, rows and findings."""

from __future__ import annotations

import os
from typing import TYPE_CHECKING

from msgspec import Struct
from rich.console import Console
from rich.rule import Rule
from rich.table import Table
from rich.text import Text

from pairmill.plain import plain

if TYPE_CHECKING:
    from collections.abc import Sequence

    from pairmill.records import Chunk, Completion, Pair, Rejection, Request, Usage

__all__ = ["TriedUnit", "print_unit"]

_WIDTH = 120  # width without a terminal
_SHOWN_CHARS = 3_000


class TriedUnit(Struct, frozen=True):
    """Result of trying a recipe on one unit.

    Attributes:
        exchanges: All questions that were asked for it, each with its answer, in order.
    """

    chunk: Chunk
    exchanges: Sequence[tuple[Request, Completion]]
    pairs: Sequence[Pair]
    dropped: Sequence[Rejection]
    usage: Usage


def print_unit(unit: TriedUnit, console: Console | None = None) -> None:
    """Print a unit to standard output."""
    out = console or Console(highlight=False)
    if not out.is_terminal and "COLUMNS" not in os.environ:
        out = Console(highlight=False, width=_WIDTH, file=out.file)
    chunk = unit.chunk
    name = " · ".join(plain(part, 80) for part in (chunk.title, chunk.source) if part)
    out.print(Rule(Text(name, style="bold"), align="left"))
    for number, (request, completion) in enumerate(unit.exchanges, 1):
        system = "\n\n".join(turn.content for turn in request.prompt.template.messages)
        label = f"prompt {number}, to {plain(request.model, 60)}"
        _print_beside(
            (label, f"[system]\n{system}\n\n[user]\n{request.prompt.text}"),
            (f"raw answer ({plain(completion.finish_reason, 20)})", completion.text),
            out,
        )
    for pair in unit.pairs:
        _print_beside((f"row {pair.index} ({pair.task})", _texts(pair)), _findings(pair), out)
    for rejection in unit.dropped:
        told = f"{plain(rejection.reason, 60)}: {plain(rejection.detail, 400)}"
        _print_beside(("dropped", rejection.raw or "-"), ("why", told), out)
    used = unit.usage
    out.print(
        Text(
            f"{_counted(len(unit.pairs), 'row')}, {_counted(len(unit.exchanges), 'answer')},"
            f" {used.prompt_tokens:,} + {used.completion_tokens:,} tokens\n",
            style="dim",
        )
    )


def _counted(number: int, word: str) -> str:
    return f"{number:,} {word}" if number == 1 else f"{number:,} {word}s"


def _texts(pair: Pair) -> str:
    parts = [("system", pair.system)]
    if pair.messages:
        parts += [(turn.role, turn.content) for turn in pair.messages]
    else:
        parts += [("instruction", pair.instruction), ("reasoning", pair.reasoning)]
        parts.append(("answer", pair.answer))
    parts += [(name, str(value)) for name, value in (pair.fields or {}).items()]
    return "\n".join(f"{name}: {text}" for name, text in parts if text)


def _findings(pair: Pair) -> tuple[str, str]:
    scores = {"grounding": pair.grounding, "support": pair.support}
    lines = [
        f"{name}: {'not checked' if score is None else f'{score:.2f}'}"
        for name, score in scores.items()
    ]
    return "findings", "\n".join([*lines, f"flags: {', '.join(pair.flags) or 'none'}"])


def _print_beside(left: tuple[str, str], right: tuple[str, str], out: Console) -> None:
    table = Table.grid(padding=(0, 2), expand=True)
    table.add_column(ratio=1, overflow="fold")
    table.add_column(ratio=1, overflow="fold")
    table.add_row(Text(left[0], style="bold cyan"), Text(right[0], style="bold cyan"))
    table.add_row(_safe(left[1]), _safe(right[1]))
    out.print(table)
    out.print()


def _safe(text: str) -> Text:
    """Sanitize and shorten text of a page or a model for a terminal."""
    cut = text if len(text) <= _SHOWN_CHARS else f"{text[:_SHOWN_CHARS]} …"
    return Text("\n".join(plain(line, _SHOWN_CHARS + 2) for line in cut.split("\n")))
