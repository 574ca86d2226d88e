"""Prints an explanation: a page of plain text, or one JSON object."""

from __future__ import annotations

import sys
import time
from typing import TYPE_CHECKING, Any

import orjson
from rich.console import Console
from rich.rule import Rule
from rich.text import Text

from pairmill.output.show import print_texts
from pairmill.plain import hanging, plain

if TYPE_CHECKING:
    from pairmill.output.explain import Explanation
    from pairmill.records import Completion, Request

__all__ = ["explanation_to_json", "print_explanation"]

WIDTH = 100
_LONGEST = 20_000


def explanation_to_json(found: Explanation) -> dict[str, Any]:
    """Return the explanation as plain values under stable names."""
    chunk = found.chunk
    return {
        "row": found.row,
        "shard": str(found.shard),
        "rejected": found.is_rejected,
        "chunk": None
        if chunk is None
        else {"id": chunk.id, "text": chunk.text, "start": chunk.start, "end": chunk.end,
              "source": chunk.source, "section": list(chunk.section), "title": chunk.title},
        "exchanges": [
            {"messages": _messages(request), "model": request.model} | _answer(answer)
            for request, answer in found.exchanges
        ],
        "other_answers": [_answer(answer) for answer in found.unmatched],
        "note": found.note,
        "dropped": [
            {"reason": entry.reason, "detail": entry.detail, "raw": entry.raw}
            for entry in found.dropped
        ],
        "measures": [
            {"check": entry.check, "value": entry.value, "limit": entry.limit}
            for entry in found.measures
            if not entry.policy
        ],
        "findings": [
            {"check": entry.check, "policy": entry.policy, "detail": entry.finding}
            for entry in found.measures
            if entry.policy
        ],
        "usd": found.usd,
    }  # fmt: skip


def print_explanation(
    found: Explanation, *, as_json: bool = False, console: Console | None = None
) -> None:
    """Print it; ``console`` is for tests."""
    if as_json:
        options = orjson.OPT_INDENT_2 | orjson.OPT_APPEND_NEWLINE
        data = orjson.dumps(explanation_to_json(found), option=options, default=str)
        sys.stdout.write(data.decode())
        return
    out = console or Console(highlight=False)
    out = out if out.is_terminal else Console(highlight=False, width=WIDTH, file=out.file)
    _print_origin(found, out)
    for number, (request, answer) in enumerate(found.exchanges, 1):
        _head(f"question {number}, to {request.model}", out)
        for turn in _messages(request):
            _block(f"[{turn['role']}]\n{turn['content']}", out)
        _head(_label(f"raw answer {number}", answer), out)
        _block(answer.text, out)
    for answer in found.unmatched:
        _head(_label("raw answer, without its question", answer), out)
        _block(answer.text, out)
    if found.note:
        _line(f"note: {plain(found.note, 400)}", out, style="yellow")
    for entry in found.dropped:
        _head(f"dropped: {entry.reason}", out)
        _block(f"{entry.detail}\n{entry.raw or ''}".strip(), out)
    _print_verdict(found, out)


def _print_origin(found: Explanation, out: Console) -> None:
    row, chunk = found.row, found.chunk
    place = "rejected" if found.is_rejected else "kept"
    _head(f"{plain(row.get('id'), 80)}: {place}, in {found.shard.name}", out)
    for label in ("reason", "detail", "title", "source", "url", "document_id", "chunk_id"):
        if row.get(label):
            _line(f"{label:<12} {plain(row[label], 400)}", out, 13)
    if chunk:
        section = " > ".join(plain(part, 80) for part in chunk.section)
        where = f", under {section}" if section else ""
        _head(f"chunk: characters {chunk.start:,} to {chunk.end:,}{where}", out)
        _block(chunk.text, out)


def _print_verdict(found: Explanation, out: Console) -> None:
    row = found.row
    if not found.is_rejected:
        _head("the pair", out)
        print_texts(row, out)
    if found.measures:
        _head("measured", out)
    for entry in found.measures:
        if not entry.policy:
            out.print(Text(f"{entry.check:<20} {entry.value:>8g}   {entry.limit}"))
        else:
            line = f"{entry.policy:<6} {entry.check}: {plain(entry.finding, 300)}"
            _line(line, out, style="yellow")
    flags, scores = row.get("flags"), row.get("scores")
    if flags:
        out.print(Text(f"flags        {', '.join(plain(flag) for flag in flags)}"))
    if isinstance(scores, dict):
        given = ", ".join(f"{plain(name)} {value}" for name, value in scores.items())
        out.print(Text(f"scores       {given}"))
    prompt, completion = row.get("prompt_tokens") or 0, row.get("completion_tokens") or 0
    cost = "price not known" if found.usd is None else f"${found.usd:.6f} for the whole chunk"
    out.print(
        Text(f"cost         {prompt:,} + {completion:,} tokens, its share of the chunk's; {cost}")
    )


def _messages(request: Request) -> list[dict[str, str]]:
    turns = [
        {"role": turn.role, "content": turn.content} for turn in request.prompt.template.messages
    ]
    return [*turns, {"role": "user", "content": request.prompt.text}]


def _answer(answer: Completion) -> dict[str, Any]:
    return {
        "answer": answer.text,
        "reasoning": answer.reasoning,
        "finish_reason": answer.finish_reason,
        "answered_by": answer.model,
        "prompt_tokens": answer.usage.prompt_tokens,
        "completion_tokens": answer.usage.completion_tokens,
        "created": answer.created,
    }


def _label(name: str, answer: Completion) -> str:
    at = time.strftime("%Y-%m-%d %H:%M:%SZ", time.gmtime(answer.created))
    used = answer.usage
    return (
        f"{name}: {plain(answer.model, 60)}, {plain(answer.finish_reason, 20)},"
        f" {used.prompt_tokens:,} + {used.completion_tokens:,} tokens, {at}"
    )


def _head(text: str, out: Console) -> None:
    out.print(Rule(Text(plain(text, 200), style="bold"), align="left"))


def _line(text: str, out: Console, indent: int = 2, style: str = "") -> None:
    """Print a line, wrapped at blanks if the terminal is too narrow."""
    width = out.width if out.is_terminal else len(text)
    out.print(Text(hanging(text, width, indent), style=style), soft_wrap=True)


def _block(text: str, out: Console) -> None:
    cut = text if len(text) <= _LONGEST else f"{text[:_LONGEST]} …"
    for line in cut.split("\n"):
        _line(f"  {plain(line, _LONGEST + 2)}", out, 0)
