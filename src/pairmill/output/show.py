"""Draws random rows of a run folder, even while it grows, and prints them beside their text."""

from __future__ import annotations

import random
import sys
import textwrap
from typing import TYPE_CHECKING, Generic, TypeVar

import orjson
from rich.console import Console
from rich.rule import Rule
from rich.text import Text

from pairmill.display import sanitize
from pairmill.errors import FolderError
from pairmill.output.facts import why_nothing_published
from pairmill.output.rows import complete_lines, open_shards, parse, published_shards, turns_of
from pairmill.output.source_texts import find_chunks
from pairmill.store.folder import read_folder
from pairmill.store.superseded import read_superseded

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping
    from pathlib import Path

    from pairmill.output.rows import Row, ShardLine
    from pairmill.records import Chunk

__all__ = ["Reservoir", "print_pairs", "print_texts", "random_rows"]

Item = TypeVar("Item")


class Reservoir(Generic[Item]):
    """Keeps ``size`` of the items offered, each with the same chance (Vitter's algorithm R).

    The same seed and the same items in the same order give the same choice.
    """

    def __init__(self, size: int, seed: int) -> None:
        self.items: list[Item] = []
        self._size = size
        self._random = random.Random(seed)  # noqa: S311 (a choice to look at, no secret)
        self._offered = 0

    def offer(self, item: Item) -> None:
        """Perhaps keep the item, in the place of another."""
        self._offered += 1
        if len(self.items) < self._size:
            self.items.append(item)
            return
        place = self._random.randrange(self._offered)
        if place < self._size:
            self.items[place] = item


def random_rows(folder: Path, count: int, seed: int) -> list[Row]:
    """Up to ``count`` rows, from published shards and from complete lines of open ones.

    Only reads; a run may be writing meanwhile. Holds ``count`` lines in memory, never a shard.

    Raises:
        FolderError: A published shard cannot be read, or a line that is parsed is no row: a chosen
            one; where some rows are superseded, any.
    """
    reservoir: Reservoir[tuple[Path, ShardLine]] = Reservoir(count, seed)
    superseded = read_superseded(folder)
    for shard, line in _all_lines(folder):
        if not superseded or parse(line, shard).get("chunk_id") not in superseded:
            reservoir.offer((shard, line))
    rows = [parse(line, shard) for shard, line in reservoir.items]
    return list({str(row.get("id")): row for row in rows}.values())


def _all_lines(folder: Path) -> Iterator[tuple[Path, ShardLine]]:
    # Open ones first: one that is published meanwhile is then met twice at worst, never missed.
    for shard in open_shards(folder):
        try:
            yield from ((shard, line) for line in complete_lines(shard))
        except FolderError:
            continue  # published, and so renamed, since we looked
    for shard in published_shards(folder):
        yield from ((shard, line) for line in complete_lines(shard))


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
    name = " \u00b7 ".join(sanitize(row[key], 80) for key in ("title", "source") if row.get(key))
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
    flagged = ", ".join(sanitize(flag) for flag in flags) if isinstance(flags, list) else ""
    out.print(
        Text(
            f"model {sanitize(row['model'])} \u00b7 grounding {shown}"
            f" \u00b7 flags {flagged or 'none'} \u00b7 id {sanitize(row['id'])}\n",
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
            _print_part(sanitize(name, 80), str(value), out)


def _print_part(label: str, text: str, out: Console, style: str = "") -> None:
    cut = text if len(text) <= SHOWN_CHARS else f"{text[:SHOWN_CHARS]} \u2026"
    width = max(40, min(out.width, WIDTH) - 4)
    out.print(Text(label, style="dim"))
    for line in cut.split("\n"):
        safe = sanitize(line, SHOWN_CHARS + 2)
        wrapped = textwrap.wrap(safe, width) or [""]
        for part in wrapped:
            out.print(Text(f"  {part}", style=style), soft_wrap=True)
