"""One pair for the page: plain values, every text shortened and without control characters."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from pairmill.output.markup import page_text
from pairmill.output.rows import mean_score, turns_of
from pairmill.quality.language import identify

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from pairmill.output.marks.overlay import Mark
    from pairmill.output.qc.shapes import PairRow
    from pairmill.output.rows import Row
    from pairmill.records import Chunk

__all__ = [
    "Finding",
    "badness_of",
    "foreign_item",
    "pair_item",
    "reject_item",
    "rows_words",
]

Finding = tuple[str, str, int]
"""A figure's key, what was found, and how much it weighs."""

_TEXT_CHARS = 8_000
_CHUNK_CHARS = 6_000
_NOT_RATED = 0.5  # how bad an entry of rejected/ counts: behind every pair with a finding


def badness_of(row: Row, found: Sequence[Finding] = ()) -> float:
    """Score how much a pair deserves a look: findings by weight, then flags, then coverage."""
    grounding = row.get("grounding")
    ungrounded = 1 - grounding if isinstance(grounding, int | float) else 0.0
    flags = row.get("flags") or ()
    return sum(weight for _, _, weight in found) + len(flags) + min(ungrounded, 0.99)


def pair_item(
    row: Row,
    number: int,
    found: Sequence[Finding] = (),
    chunk: Chunk | None = None,
    mark: Mark | None = None,
    *,
    language: str | None = None,
) -> dict[str, Any]:
    """Make the page's item for a row of a run.

    Args:
        row: As it counts, with edited texts.
        number: Its place in the order in which pairs were written, from 1.
        found: What ``qc`` found in it.
        chunk: What it was written from, where it is at hand.
        mark: What a person decided.
        language: Of the answer; None: to be told from it.
    """
    turns = _turns(row)
    said = " ".join(text for role, text in turns if role != "user")
    fields = row.get("fields")
    other = row.get("alternative")
    scores = row.get("scores")
    return {
        **_common(row, number, chunk),
        **_marked(mark),
        "turns": [[_text(role), _text(text)] for role, text in turns],
        "system": _text(row.get("system")),
        "reasoning": _text(row.get("reasoning")),
        "findings": [[key, _text(detail)] for key, detail, _ in found],
        "flags": [_text(flag) for flag in row.get("flags") or ()],
        "grounding": _number(row.get("grounding")),
        "support": _number(row.get("support")),
        "score": mean_score(row),
        "scores": _named(scores),
        "kind": _text(row.get("kind")),
        "title": _text(row.get("title")),
        "evidence": _text(row.get("evidence")),
        "language": (identify(said) if language is None else language) or "",
        "fields": _named(fields),
        "alternative": _text(other.get("answer")) if isinstance(other, dict) else "",
        "length": len(said.split()),
        "badness": round(badness_of(row, found), 3),
    }


def reject_item(
    row: Row,
    number: int,
    chunk: Chunk | None = None,
    mark: Mark | None = None,
    pair: Row | None = None,
) -> dict[str, Any]:
    """Make the page's item for an entry of ``rejected/``; see `pair_item`.

    Args:
        row: The entry.
        number: See `pair_item`.
        chunk: Likewise.
        mark: Likewise.
        pair: The row that it would have been, as edited; None if it holds no pair.
    """
    raw = _text(row.get("raw"))
    if pair is not None:
        told = {
            "reason": _text(row.get("reason")) or "rejected",
            "detail": _text(row.get("detail")),
            "badness": _NOT_RATED,
            "flags": [],
            "can_decide": True,
        }
        return pair_item(pair, number, (), chunk, mark) | told
    return {
        "can_decide": False,
        **_common(row, number, chunk), **_marked(mark),
        "turns": [["raw answer", raw]] if raw else [],
        "system": "", "reasoning": "", "findings": [], "flags": [], "grounding": None,
        "support": None, "score": None, "scores": "", "kind": "", "title": "", "evidence": "",
        "fields": "", "alternative": "", "language": "", "length": len(raw.split()),
        "badness": _NOT_RATED, "reason": _text(row.get("reason")) or "rejected",
        "detail": _text(row.get("detail")),
    }  # fmt: skip


def foreign_item(
    row: PairRow,
    number: int,
    found: Sequence[Finding] = (),
    mark: Mark | None = None,
    *,
    language: str | None = None,
) -> dict[str, Any]:
    """Make the page's item for a record of any dataset; see `pair_item`."""
    turns = [
        turn
        for asked, said in row.exchanges
        for turn in (["user", asked], ["assistant" if asked else "text", said])
    ]
    said = " ".join(text for _, text in row.exchanges)
    file = row.place.file.rpartition("/")[2]
    return {
        "place": number, "id": f"{file}:{row.place.line}", "source": _text(file),
        "model": "", "author": "",
        "chunk": page_text(row.passage, _CHUNK_CHARS), "reason": "", "detail": "",
        **_marked(mark),
        "turns": [[role, _text(text)] for role, text in turns if text],
        "system": _text(row.surroundings), "reasoning": "",
        "findings": [[key, _text(detail)] for key, detail, _ in found],
        "flags": ["edited"] if mark and mark.edits else [],
        "grounding": None, "support": None, "score": None, "scores": "", "kind": _text(row.task),
        "title": "", "evidence": "",
        "language": (identify(said) if language is None else language) or "",
        "fields": "", "alternative": "", "length": len(said.split()),
        "badness": sum(weight for *_, weight in found),
    }  # fmt: skip


def _marked(mark: Mark | None) -> dict[str, Any]:
    """Return a person's decision, for the page."""
    return {
        "decision": mark.decision if mark else "",
        "edited": bool(mark and mark.edits),
        "note": _text(mark.note) if mark else "",
    }


def rows_words(row: PairRow) -> int:
    """Count the words of a record of any dataset."""
    return sum(len(text.split()) for _, text in row.exchanges)


def _turns(row: Row) -> list[tuple[str, str]]:
    return turns_of(row) or [("text", str(row.get("answer") or ""))]


def _common(row: Row, number: int, chunk: Chunk | None) -> dict[str, Any]:
    return {
        "place": number,
        "id": _text(row.get("id")),
        "source": _text(row.get("source")),
        "model": _text(row.get("model")),
        "chunk": page_text(chunk.text, _CHUNK_CHARS) if chunk else "",
        "author": _text(chunk.author) if chunk else "",
        "reason": "",
        "detail": "",
    }


def _named(values: Mapping[str, Any] | Any) -> str:
    if not isinstance(values, dict):
        return ""
    return _text("; ".join(f"{key}: {value}" for key, value in values.items() if value is not None))


def _text(value: object) -> str:
    return page_text(str(value), _TEXT_CHARS) if value is not None else ""


def _number(value: object) -> float | None:
    return float(value) if isinstance(value, int | float) else None
