"""Documents that share text, and pairs that repeat others: what an export keeps together or drops.

Two answers from different documents make those kin when half of the 8-word runs of the one are in
the other: what the leak test calls a copied answer. Two documents are kin by their own texts when
three fifths of the 3-word runs of a chunk of the one are in the other, or in a document that is kin
to it: for chunks of one length a Jaccard similarity of 0.43, which a copy with every tenth word
changed passes (0.57 expected). Only every fourth run is looked at, chosen by its hash, so that the
same run is looked at wherever it is.
"""

from __future__ import annotations

import zlib
from array import array
from collections import Counter
from functools import partial
from typing import TYPE_CHECKING

from pairmill.errors import UsageError
from pairmill.output.rows import key_text, mean_score, said_in
from pairmill.output.split import Components
from pairmill.quality.duplicates import Item, find_alike, find_duplicates, load_embedder
from pairmill.quality.text import words
from pairmill.quality.thresholds import LEAST_JACCARD

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Iterator, Mapping

    from pairmill.output.rows import Row
    from pairmill.quality.duplicates import Embed

__all__ = [
    "NEAR",
    "SourceSketches",
    "choose_embedder",
    "choose_repeats",
    "near_repeats",
    "related_documents",
    "sketch_of",
]

_GRAM = 8
_EACH = 4
_LEAST_SHARE = 0.5
_SOURCE_GRAM = 3
_LEAST_OF_CHUNK = 0.6
_LEAST_RUNS = 10  # that are looked at; a chunk of some 40 words, such as a footer, makes no kin
_MOST_OWNERS = 8  # of a run, beside its first; the rest of a larger family is met through them
_PASSES = 3  # a family is only known when all of it has been seen


def related_documents(rows: Iterable[Row]) -> set[tuple[str, str]]:
    """Pairs of ids of documents that belong into one split.

    Holds some 25 bytes for each word of all answers. The same rows in the same order give the same.
    """
    first: dict[int, int] = {}  # run to the first answer that holds it
    sizes: list[int] = []
    owners: list[str] = []
    found: set[tuple[str, str]] = set()
    for number, row in enumerate(rows):
        owner = row["document_id"]
        runs = set(_runs(said_in(row), _GRAM))
        sizes.append(len(runs))
        owners.append(owner)
        found.update((other, owner) for other in _written_from(row) if other != owner)
        shared = Counter(first.setdefault(run, number) for run in runs)
        for other, count in shared.items():
            if owners[other] != owner and count >= _LEAST_SHARE * min(len(runs), sizes[other]):
                found.add((owners[other], owner))
    return found


def _written_from(row: Row) -> Iterator[str]:
    """Yield the documents of a row whose unit spans several."""
    listed = (row.get("fields") or {}).get("document_ids")
    if isinstance(listed, list):
        yield from (name for name in listed if isinstance(name, str))


class SourceSketches:
    """Sampled 3-word runs of documents' own texts.

    Holds some 35 bytes for each word of all texts.
    """

    def __init__(self) -> None:
        self._chunks: dict[str, array[int]] = {}  # chunk id to its runs
        self._owners: dict[str, list[str]] = {}  # document id to the ids of its chunks

    def __len__(self) -> int:
        """Return the number of added documents."""
        return len(self._owners)

    def add(
        self, document_id: str, chunk_id: str, text: str, sketch: array[int] | None = None
    ) -> None:
        """Take in a chunk of a document; the same text may come in several.

        Args:
            document_id: Of the document.
            chunk_id: Of the chunk.
            text: The chunk's.
            sketch: What `sketch_of` says of the text, where that is known.
        """
        if chunk_id not in self._chunks:
            self._chunks[chunk_id] = sketch_of(text) if sketch is None else sketch
        self._owners.setdefault(document_id, []).append(chunk_id)

    def kin(self) -> set[tuple[str, str]]:
        """Pairs of ids of documents that belong into one split; the same for any order of them."""
        family = Components()
        found: set[tuple[str, str]] = set()
        first, others = self._owners_of_runs()
        for _ in range(_PASSES):
            before = len(found)
            for document, runs in self._all():
                foreign = sum(first[run] != document or run in others for run in runs)
                if foreign < _LEAST_OF_CHUNK * len(runs):
                    continue  # no family can have as many
                mine = family.of(document)
                shared = Counter([family.of(first[run]) for run in runs])
                for run in runs:
                    if run in others:  # each family once
                        also = {family.of(name) for name in others[run]}
                        shared.update(also - {family.of(first[run])})
                for other, count in shared.items():
                    if other != mine and count >= _LEAST_OF_CHUNK * len(runs):
                        family.join(other, mine)
                        found.add((other, mine))
                        mine = family.of(document)
                        break
            if len(found) == before:
                break
        return found

    def leaked(self, rows: Iterable[Row], train: Iterable[str]) -> int:
        """Of some rows, those of whose chunk three fifths are in the texts of train's documents.

        Args:
            rows: Held-out rows; one whose chunk was not added counts as not leaked.
            train: Ids of documents.
        """
        known: set[int] = set()
        for document in train:
            for chunk in self._owners.get(document, ()):
                known.update(self._chunks[chunk])
        leaked = 0
        for row in rows:
            runs = self._chunks.get(row["chunk_id"])
            if runs is not None and len(runs) >= _LEAST_RUNS:
                leaked += sum(map(known.__contains__, runs)) >= _LEAST_OF_CHUNK * len(runs)
        return leaked

    def _owners_of_runs(self) -> tuple[dict[int, str], dict[int, list[str]]]:
        """Return each run's first document in the order of ids, and some of its other documents."""
        first: dict[int, str] = {}
        others: dict[int, list[str]] = {}
        for document, runs in self._all():
            for run in runs:
                if first.setdefault(run, document) != document:
                    known = others.setdefault(run, [])
                    if len(known) < _MOST_OWNERS and document not in known:
                        known.append(document)
        return first, others

    def _all(self) -> Iterator[tuple[str, array[int]]]:
        for document in sorted(self._owners):
            for chunk in self._owners[document]:
                runs = self._chunks[chunk]
                if len(runs) >= _LEAST_RUNS:
                    yield document, runs


def sketch_of(text: str) -> array[int]:
    """Return the sampled 3-word runs of a text, as sorted 32-bit hashes."""
    return array("I", sorted(set(_runs(text, _SOURCE_GRAM))))


def _runs(text: str, gram: int) -> Iterator[int]:
    """Hashes of the runs that are looked at; of a text of fewer words there is none."""
    tokens = words(text)
    for start in range(len(tokens) - gram + 1):
        run = " ".join(tokens[start : start + gram])
        value = zlib.crc32(run.encode("utf-8", "backslashreplace"))
        if value % _EACH == 0:
            yield value


NEAR = ("words", "embed")
"""Methods to find near-duplicates: by shared words, or also by embeddings."""


def choose_embedder(near: str) -> Embed | None:
    """Return the embeddings that ``--near`` asks for, or None for words only.

    Raises:
        UsageError: It is none of ``NEAR``.
        ConfigError: The extra is not installed.
    """
    if near not in NEAR:
        raise UsageError(f"--near: needs one of {', '.join(NEAR)}")
    return load_embedder() if near == "embed" else None


def choose_repeats(near: str) -> Callable[[Iterable[Row]], Mapping[str, str]]:
    """``near_repeats`` as ``--near`` asks for it; errors as of ``choose_embedder``."""
    return partial(near_repeats, embed=choose_embedder(near))


def near_repeats(
    rows: Iterable[Row], *, least: float = LEAST_JACCARD, embed: Embed | None = None
) -> dict[str, str]:
    """Map the rows whose instruction repeats a better or an earlier one: id to reason.

    Of two alike the one that a judge rated higher stays; an unscored one counts as least. Holds
    every instruction in memory. With ``embed``, what the words leave is compared by meaning too.
    """
    items = [Item(row["id"], key_text(row), mean_score(row) or 0.0) for row in rows]
    found = find_duplicates(items, least=least)
    reasons = {
        name: "same_instruction" if duplicate.similarity == 1 else "near_duplicate"
        for name, duplicate in found.items()
    }
    if embed is not None:
        rest = [item for item in items if item.id not in reasons]
        reasons |= dict.fromkeys(find_alike(rest, embed), "same_meaning")
    return reasons
