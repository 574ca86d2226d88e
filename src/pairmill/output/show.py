"""Prints a few random pairs beside their source text."""

from __future__ import annotations

import sys
import textwrap
from typing import TYPE_CHECKING

import orjson
from rich.console import Console
from rich.rule import Rule
from rich.text import Text

from pairmill.output.facts import why_nothing_published
from pairmill.output.rows import turns_of
from pairmill.output.sample import random_rows
from pairmill.output.source_texts import find_chunks
from pairmill.plain import plain
from pairmill.store.folder import read_folder

if TYPE_CHECKING:
    from collections.abc import Mapping
    from pathlib import Path

    from pairmill.records import Chunk

__all__ = ["print_pairs", "print_texts"]

SHOWN_CHARS = 1200
WIDTH = 100


def print_pairs(
    path: Path,
    count: int,
    seed: int,
    console: Console | None = None,
    *,
    as_json: bool = False,
    run_code: bool = False,
) -> None:
    """Print random pairs of a run, each beside the chunk that it was written from.

    As JSON: one object, whose ``pairs`` are rows, each with its ``chunk``; null where the text is
    gone.

    Rows hold no text twice, so the chunk is read again from the run's inputs; where they are gone,
    the pair's evidence is in its place.

    Raises:
        FolderError: It is not a run folder, or a shard cannot be read.
    """
    folder = read_folder(path)
    rows = random_rows(folder.path, count, seed)
    if as_json:
        chunks = find_chunks(folder, {str(row["chunk_id"]) for row in rows}, run_code=run_code)
        texts = {name: chunk.text for name, chunk in chunks.items()}
        pairs = [{**row, "chunk": texts.get(str(row["chunk_id"]))} for row in rows]
        options = orjson.OPT_INDENT_2 | orjson.OPT_APPEND_NEWLINE
        sys.stdout.write(orjson.dumps({"pairs": pairs}, option=options, default=str).decode())
        return
    out = console or Console(highlight=False)
    out = out if out.is_terminal else Console(highlight=False, width=WIDTH, file=out.file)
    if not rows:
        out.print(why_nothing_published(path), markup=False, soft_wrap=True)
        return
    chunks = find_chunks(folder, {str(row["chunk_id"]) for row in rows}, run_code=run_code)
    for row in rows:
        _print_row(row, chunks, out)


def _print_row(row: Mapping[str, object], chunks: Mapping[str, Chunk], out: Console) -> None:
    name = " \u00b7 ".join(plain(row[key], 80) for key in ("title", "source") if row.get(key))
    out.print(Rule(Text(name, style="bold"), align="left"))
    chunk = chunks.get(str(row["chunk_id"]))
    if chunk is None:
        _print_part("evidence", str(row.get("evidence") or "none"), out)
    else:
        _print_part("chunk", chunk.text, out)
    print_texts(row, out)
    grounding = row.get("grounding")
    shown = f"{grounding:.2f}" if isinstance(grounding, float) else "unknown"
    flags = row.get("flags")
    flagged = ", ".join(plain(flag) for flag in flags) if isinstance(flags, list) else ""
    out.print(
        Text(
            f"model {plain(row['model'])} \u00b7 grounding {shown}"
            f" \u00b7 flags {flagged or 'none'} \u00b7 id {plain(row['id'])}\n",
            style="dim",
        )
    )


def print_texts(row: Mapping[str, object], out: Console) -> None:
    """Print what a row trains, each part under its name, and the recipe's own fields."""
    if row.get("system"):
        _print_part("system", str(row["system"]), out)
    labels = {"assistant": "answer", "user": "instruction"}
    turns = turns_of(dict(row)) or [("text", str(row["answer"]))]
    for role, content in turns:
        if role == "assistant" and row.get("reasoning"):
            _print_part("reasoning", str(row["reasoning"]), out)
        _print_part(labels.get(role, role), content, out, "bold green" if role == "user" else "")
    fields = row.get("fields")
    if isinstance(fields, dict):
        for name, value in fields.items():
            _print_part(plain(name, 80), str(value), out)


def _print_part(label: str, text: str, out: Console, style: str = "") -> None:
    cut = text if len(text) <= SHOWN_CHARS else f"{text[:SHOWN_CHARS]} \u2026"
    width = max(40, min(out.width, WIDTH) - 4)
    out.print(Text(label, style="dim"))
    for line in cut.split("\n"):
        safe = plain(line, SHOWN_CHARS + 2)
        wrapped = textwrap.wrap(safe, width) or [""]
        for part in wrapped:
            out.print(Text(f"  {part}", style=style), soft_wrap=True)
