"""Selects the pairs that the report lists, and turns them into what its page shows."""

from __future__ import annotations

import heapq
from collections import defaultdict
from typing import TYPE_CHECKING, Any

from pairmill.output.marks.overlay import NO_MARKS, reject_key
from pairmill.output.marks.rescue import row_of_reject
from pairmill.output.markup import page_text
from pairmill.output.rows import (
    Place,
    complete_lines,
    mean_score,
    parse,
    published_shards,
    turns_of,
)
from pairmill.output.show import Reservoir
from pairmill.quality.language import identify
from pairmill.quality.trust import Status

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Mapping, Sequence
    from pathlib import Path

    from pairmill.output.marks.overlay import Mark, Marks
    from pairmill.output.qc.record_formats import PairRow
    from pairmill.output.qc.report import Report
    from pairmill.output.rows import Row
    from pairmill.records import Chunk

__all__ = [
    "Finding",
    "badness_of",
    "findings_by_place",
    "findings_by_row",
    "foreign_item",
    "list_pairs",
    "list_rows",
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


WORST, RANDOM, REJECTED = 300, 200, 200
_WEIGHT = {Status.FAIL: 8, Status.WARN: 4, Status.OK: 2, Status.INFO: 1}


def findings_by_row(report: Report) -> dict[int, list[Finding]]:
    """Everything that a report found in a row, by the row's number, from 1."""
    found: defaultdict[int, list[Finding]] = defaultdict(list)
    for metric in report.by_severity:
        if metric.status is Status.INFO:
            continue
        for hit in metric.hits:
            found[hit.row].append((metric.key, hit.detail, _WEIGHT[metric.status]))
    return dict(found)


def findings_by_place(report: Report, places: list[Place]) -> dict[Place, list[Finding]]:
    """Everything that a report found in a row, by where the row is.

    Args:
        report: The report.
        places: Of its rows, in their order.
    """
    return {places[row - 1]: found for row, found in findings_by_row(report).items()}


def list_pairs(
    folder: Path,
    found: Mapping[Place, list[Finding]],
    find_chunks: Callable[[set[str]], Mapping[str, Chunk]],
    *,
    seed: int = 0,
    most: tuple[int, int, int] = (WORST, RANDOM, REJECTED),
    marks: Marks = NO_MARKS,
) -> tuple[list[dict[str, Any]], str]:
    """Select the pairs to list as plain values, and describe the selection in a sentence.

    Args:
        folder: The run folder.
        found: What was found in its rows.
        find_chunks: Finds chunks by their ids.
        seed: Of the random ones.
        most: How many of the worst, of the others at random, and of the rejected.
        marks: What people decided.
    """
    worst: list[tuple[float, int, Row, Place]] = []
    others: Reservoir[tuple[int, Row, Place]] = Reservoir(most[1], seed)
    total = 0
    current = (entry for entry in _rows(folder, "train") if not marks.is_superseded(entry[0]))
    for total, (read, place, _) in enumerate(current, 1):
        row = marks.revise(read)
        badness = badness_of(row, found.get(place, ()))
        entry = (badness, -total, row, place)
        if badness < 1:
            others.offer((total, row, place))
        elif len(worst) < most[0]:
            heapq.heappush(worst, entry)
        elif entry[:2] > worst[0][:2]:
            left = heapq.heapreplace(worst, entry)
            others.offer((-left[1], left[2], left[3]))
        else:
            others.offer((total, row, place))
    rejects: Reservoir[tuple[int, Row, Mark, str]] = Reservoir(most[2], seed)
    dropped = 0
    for dropped, (row, _, data) in enumerate(_rows(folder, "rejected"), 1):
        key = reject_key(data)
        rejects.offer((dropped, row, marks.of(key), key))
    kept = [*((-number, row, place) for _, number, row, place in worst), *others.items]
    wanted = {str(row.get("chunk_id")) for _, row, _ in kept}
    wanted |= {str(row.get("chunk_id")) for _, row, *_ in rejects.items}
    chunks = find_chunks(wanted)

    def chunk_of(row: Row) -> Chunk | None:
        return chunks.get(str(row.get("chunk_id")))

    listed = [
        pair_item(row, at, found.get(place, ()), chunk_of(row), marks.of(str(row.get("id"))))
        for at, row, place in kept
    ]
    listed += [
        reject_item(row, total + at, chunk_of(row), mark, row_of_reject(row, key, marks))
        for at, row, mark, key in rejects.items
    ]
    if len(kept) == total and len(rejects.items) == dropped:
        return listed, f"All {total:,} pairs, and all {dropped:,} entries of rejected/."
    return listed, (
        f"A part of the dataset: the {len(worst):,} worst of {total:,} pairs,"
        f" {len(others.items):,} of the others at random, and {len(rejects.items):,} of"
        f" {dropped:,} entries of rejected/. 'pairmill view' shows all."
    )


def list_rows(
    rows: Sequence[PairRow],
    report: Report,
    *,
    seed: int = 0,
    most: tuple[int, int] = (WORST, RANDOM),
) -> tuple[list[dict[str, Any]], str]:
    """Select the rows of any dataset to list, and describe the selection in a sentence.

    Args:
        rows: What the report was made of, in order.
        report: The report.
        seed: Of the random ones.
        most: How many of the worst, and of the others at random.
    """
    found = findings_by_row(report)
    bad = sorted(found, key=lambda at: (-sum(weight for *_, weight in found[at]), at))[: most[0]]
    chosen = set(bad)
    others: Reservoir[int] = Reservoir(most[1], seed)
    for number in range(1, len(rows) + 1):
        if number not in chosen:
            others.offer(number)
    listed = [foreign_item(rows[at - 1], at, found.get(at, [])) for at in (*bad, *others.items)]
    if len(listed) == len(rows):
        return listed, f"All {len(rows):,} pairs."
    return listed, (
        f"A part of the dataset: the {len(bad):,} worst of {len(rows):,} pairs,"
        f" and {len(others.items):,} of the others at random. 'pairmill view' shows all."
    )


def _rows(folder: Path, kind: str) -> Iterator[tuple[Row, Place, bytes]]:
    for shard in published_shards(folder, kind):
        for number, line in enumerate(complete_lines(shard), 1):
            yield parse(line, shard), Place(str(shard), number), line.data
