"""Rows that are alike: requests that come again, and those that are in train and elsewhere."""

from __future__ import annotations

import re
from collections import Counter
from typing import TYPE_CHECKING

from pairmill.output.qc.metrics import Hit, Profile
from pairmill.output.qc.tasks import languages_named
from pairmill.quality.duplicates import Item, find_duplicates, group, jaccard, shingles
from pairmill.quality.embedding import find_alike
from pairmill.quality.text import words
from pairmill.quality.thresholds import LEAST_JACCARD

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence

    from pairmill.output.qc.metrics import QcMetrics
    from pairmill.output.qc.shapes import PairRow
    from pairmill.quality.embedding import Embed

__all__ = ["count_repeats", "find_leaks"]

_LEAST_FRAME = 5  # requests that share a sentence, from which on it may be a template's
_FRAME_SHARE = 3.0  # and how many times as often as sentences are met on average
_VERY_ALIKE = 0.85  # requests that are no two fillings of one template
_ANSWERS_ALIKE = 0.5
_SENTENCE = re.compile(r"(?<=[.?!:])\s+|\n+")
_DIGITS = re.compile(r"\d+")


def count_repeats(
    rows: Sequence[tuple[int, PairRow]], embed: Embed | None, figures: QcMetrics, profile: Profile
) -> None:
    """Requests that come again; one may have several preferences, told apart by their answers."""
    texts = {
        number: f"{row.key_text}\n{row.answer}" if row.is_choice else row.key_text
        for number, row in rows
    }
    items = [Item(f"{number:012}", text) for number, text in texts.items()]
    repeats = find_duplicates(items)
    if profile is Profile.GENERAL:
        frames = _find_frames(texts.values())
        said = {f"{number:012}": row.answer for number, row in rows}
        repeats = {
            name: found
            for name, found in repeats.items()
            if found.similarity == 1.0
            or (
                _asks_the_same(texts[int(name)], texts[int(found.of)], frames)
                and (found.similarity >= _VERY_ALIKE or _says_the_same(said[name], said[found.of]))
            )
        }
    first: dict[tuple[str, ...], int] = {}
    exact: list[Hit] = []
    for number, text in texts.items():
        earlier = first.setdefault(words(text), number)
        if earlier != number:
            exact.append(Hit(number, 0, f"repeats record {earlier}", 1.0))
    near = [
        Hit(int(name), 0, f"nearly repeats record {int(found.of)}", found.similarity)
        for name, found in sorted(repeats.items())
    ]
    found = [("exact_repeats", exact), ("near_repeats", near)]
    if embed is not None:
        rest = [item for item in items if item.id not in repeats]
        alike = [
            Hit(int(name), 0, "means what an earlier one means") for name in find_alike(rest, embed)
        ]
        found.append(("alike_meanings", sorted([*near, *alike], key=lambda hit: hit.row)))
    for key, hits in found:
        figures.hits[key] = hits
        figures.values[key] = len(hits) / len(rows)


def _find_frames(texts: Iterable[str]) -> frozenset[str]:
    """Find the sentences that so many requests share that they are a template's."""
    counts = Counter(part for text in texts for part in {*_SENTENCE.split(text)})
    least = max(_LEAST_FRAME, _FRAME_SHARE * counts.total() / max(len(counts), 1))
    return frozenset(part for part, count in counts.items() if count >= least)


def _asks_the_same(one: str, other: str, frames: frozenset[str]) -> bool:
    """Return whether two requests are alike without their template, numbers and languages too."""
    if _DIGITS.findall(one) != _DIGITS.findall(other):
        return False
    if languages_named(one) != languages_named(other):
        return False
    bare = [
        " ".join(part for part in _SENTENCE.split(text) if part not in frames)
        for text in (one, other)
    ]
    return jaccard(shingles(bare[0]), shingles(bare[1])) >= LEAST_JACCARD


def _says_the_same(one: str, other: str) -> bool:
    return jaccard(shingles(one), shingles(other)) >= _ANSWERS_ALIKE


def find_leaks(rows: Sequence[PairRow], figures: QcMetrics) -> None:
    """Find the rows of other splits that have a near-duplicate in train."""
    apart = [number for number, row in enumerate(rows, 1) if row.split not in {None, "train"}]
    if not apart or not any(row.split == "train" for row in rows):
        return
    groups = group(
        Item(f"{number:012}", row.key_text) for number, row in enumerate(rows, 1) if row.split
    )
    trained = {
        groups[f"{number:012}"] for number, row in enumerate(rows, 1) if row.split == "train"
    }
    hits = [number for number in apart if groups[f"{number:012}"] in trained]
    figures.hits["train_test_leak"] = [Hit(at, 0, "stands in train as well") for at in hits]
    figures.values["train_test_leak"] = len(hits) / len(apart)
