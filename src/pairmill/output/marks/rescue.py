"""Pairs that the run dropped and a person wants: read back from ``rejected/``, as rows.

Nothing is moved. The entry stays where it is, the decision is in the file of marks, and
the commands that read the dataset (``export``, ``qc``, ``report``) combine the two.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import orjson

from pairmill.output.marks.overlay import NO_MARKS, RESCUED, reject_key
from pairmill.output.rows import Place, Record, complete_lines, is_row, parse, published_shards
from pairmill.store.columns import REJECTED_FIELDS, ROW_FEATURES

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    from pairmill.output.marks.overlay import Marks
    from pairmill.output.rows import Row

__all__ = ["rescued_records", "rescued_rows", "row_of_reject"]

_SHARED = ROW_FEATURES.keys() & set(REJECTED_FIELDS) - {"id", "grounding", "support"}
_TASKS = frozenset({"pair", "conversation", "text", "question"})


def row_of_reject(
    entry: Row, key: str, marks: Marks = NO_MARKS, *, is_edited: bool = True
) -> Row | None:
    """Return the row that a dropped pair would have been.

    Its id is its key among the marks, its flags are the reason for which it was dropped and
    ``rescued``. Its grounding and support are those that the run measured before it dropped the
    pair, else those of when a person accepted it; null if neither measured it.

    Args:
        entry: A line of ``rejected/``.
        key: Of the line, see `reject_key`.
        marks: Those whose figures and edits the row is to have.
        is_edited: False: leave out the edits.

    Returns:
        The row; None for a whole unit, and where no pair can be read from what the model wrote.
    """
    if entry.get("whole_unit") is True:
        return None
    said = _parsed(entry.get("raw"))
    if said is None:
        return None
    row: Row = dict.fromkeys(ROW_FEATURES)
    row |= {name: entry.get(name) for name in _SHARED}
    task = said.get("task")
    row |= {
        "id": key,
        "task": task if task in _TASKS else "pair",
        "instruction": _first(said, "instruction", "question"),
        "answer": _first(said, "answer"),
        "flags": [str(entry.get("reason") or "rejected"), RESCUED],
    }
    turns = _turns(said.get("messages"))
    if turns:
        row |= {"task": "conversation", "messages": turns}
    mark = marks.of(key)
    for name, told in (("grounding", mark.grounding), ("support", mark.support)):
        measured = _share(entry.get(name))
        row[name] = _share(told) if measured is None else measured
    for name, other in (("system", ""), ("reasoning", ""), ("evidence", ""), ("kind", "type")):
        row[name] = _first(said, name, other)
    fields = said.get("fields")
    row["fields"] = fields if isinstance(fields, dict) else None
    is_named = all(isinstance(row[name], str) for name in ("chunk_id", "document_id"))
    is_whole = bool(row["answer"]) and (row["task"] == "text" or bool(row["instruction"]))
    if not (is_named and is_whole and is_row(row)):
        return None
    return marks.revise(row) if is_edited else row


def rescued_rows(folder: Path, marks: Marks) -> Iterator[tuple[Row, Place]]:
    """Yield every dropped pair that a person accepted or edited, as a row without its edits.

    Raises:
        FolderError: A shard cannot be read.
    """
    wanted = marks.wanted_rejects()
    if not wanted:
        return
    seen: set[str] = set()
    for shard in published_shards(folder, "rejected"):
        for number, line in enumerate(complete_lines(shard), 1):
            key = reject_key(line.data)
            if key not in wanted or key in seen:
                continue
            row = row_of_reject(parse(line, shard), key, marks, is_edited=False)
            if row is not None and not marks.is_superseded(row):
                seen.add(key)
                yield row, Place(str(shard), number)


def rescued_records(folder: Path, marks: Marks) -> Iterator[Record]:
    """Yield the same as records of a dataset, in the split of the run's own shards."""
    for row, place in rescued_rows(folder, marks):
        yield Record(row, "train", place)


def _parsed(raw: object) -> dict[str, Any] | None:
    if not isinstance(raw, str) or not raw.lstrip().startswith("{"):
        return None
    try:
        said = orjson.loads(raw)
    except orjson.JSONDecodeError:
        return None
    return said if isinstance(said, dict) else None


def _first(said: dict[str, Any], *names: str) -> str | None:
    """Return the first non-blank text under one of the names."""
    for name in names:
        text = said.get(name)
        if isinstance(text, str) and text.strip():
            return text
    return None


def _share(found: object) -> float | None:
    """Return a figure of a line, which may come from anyone: a number from 0 to 1."""
    if isinstance(found, bool) or not isinstance(found, int | float):
        return None
    return float(found) if 0 <= found <= 1 else None


def _turns(found: object) -> list[dict[str, str]]:
    """Return the turns of a conversation as pairs of role and content; [] if any is invalid."""
    turns = []
    for turn in found if isinstance(found, list) else ():
        match turn:
            case [str(role), str(content)] | {"role": str(role), "content": str(content)}:
                turns.append({"role": role, "content": content})
            case _:
                return []
    return turns
