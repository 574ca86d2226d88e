"""First pass over the input: each author's style, pooled over several texts.

It is made once for the same files, and stores a style card per author in the run folder. Memory is
bounded: it keeps a maximum number of authors and of texts per author, those with the lowest
digests, so that the order of the input does not matter. It runs in a separate process that holds no
key and ends with its parent.
"""

from __future__ import annotations

import signal
import sys
import threading
from bisect import insort
from collections import Counter
from contextlib import suppress
from itertools import islice
from typing import TYPE_CHECKING, NamedTuple

from msgspec import Struct
from msgspec.structs import replace

from pairmill.chunking.document_filters import Dropped
from pairmill.chunking.reader import read_documents, usable
from pairmill.chunking.reader_job import ReaderJob
from pairmill.errors import PairmillError
from pairmill.quality.attribution import few_authors
from pairmill.recipes.style import StyleFeatures, card_name, pool, style_features, why_no_card
from pairmill.records import digest
from pairmill.run.threads import run_in_daemon_thread
from pairmill.sources.files import find_files
from pairmill.sources.processes import (
    BrokenFrameError,
    Process,
    end_with_parent,
    read_frame,
    write_frame,
)
from pairmill.startup import SIGNALS

if TYPE_CHECKING:
    from collections.abc import Iterable

    from pairmill.records import Document
    from pairmill.run.run_memory import RunMemory

__all__ = ["AuthorStyles", "FirstPass", "PooledCards", "main", "pool_styles"]

_MODULE = "pairmill.run.author_styles"

MOST_DOCUMENTS = 20_000  # the first ones, if there are more
MOST_AUTHORS = 20_000
MOST_TEXTS = 12  # of an author
_READ_CHARS = 8_000  # of a text


class AuthorStyles:
    """Styles of authors, up to a maximum number."""

    def __init__(self, most_authors: int = MOST_AUTHORS, most_texts: int = MOST_TEXTS) -> None:
        self._most_authors = most_authors
        self._most_texts = most_texts
        self._known: dict[str, list[tuple[str, str, StyleFeatures]]] = {}

    def add(self, author: str, document: str, text: str) -> None:
        """Add a text, unless enough texts have lower digests."""
        texts = self._known.get(author)
        if texts is None:
            if len(self._known) >= 2 * self._most_authors:
                self._thin_out()
            texts = self._known[author] = []
        rank = digest(document)
        if len(texts) < self._most_texts or rank < texts[-1][0]:
            insort(
                texts, (rank, document, style_features(text[:_READ_CHARS])), key=lambda it: it[:2]
            )
            del texts[self._most_texts :]

    def pooled(self) -> dict[str, list[StyleFeatures]]:
        """Return the styles of each author's texts."""
        self._thin_out()
        return {author: [manner for *_, manner in texts] for author, texts in self._known.items()}

    def _thin_out(self) -> None:
        kept = sorted(self._known, key=digest)[: self._most_authors]
        self._known = {author: self._known[author] for author in kept}


class FirstPass(NamedTuple):
    """What the first pass found for people.

    Attributes:
        notices: Lines about the style cards.
        few: Why answers cannot be attributed to authors, by the number of these; "" if they can.
    """

    notices: list[str]
    few: str = ""


async def pool_styles(job: ReaderJob, memory: RunMemory) -> FirstPass:
    """Make and store missing style cards.

    Input that cannot be read twice (standard input, remote files) gives none. A followed input is
    read once, at the first start, so that prompts stay the same.
    """
    try:
        named = _named(job)
        if named is not None and job.follow:
            named = "the input that is followed"
        if named is None:
            told = "style cards need a second look at the input: a pipe or remote file gives none"
            return FirstPass([told], "the input cannot be read again")
        name = f"manners of {named}"
        if memory.get(name) is not None:
            return FirstPass([], memory.get(f"few authors in {named}") or "")
        found = await run_in_daemon_thread(lambda: _read_apart(job))
    except (PairmillError, OSError, BrokenFrameError):
        return FirstPass([])  # the run reads the same input, and reports the problem
    for author, card in found.cards.items():
        memory.set(card_name(author), card)
    few = few_authors(found.documents)
    memory.set(f"few authors in {named}", few)
    memory.set(name, "made")
    return FirstPass(_told(found), few)


class PooledCards(Struct, frozen=True):
    """Result of the first pass, as sent by its process.

    Attributes:
        cards: Author to card; "" if there is none.
        without: Reason to number of authors without a card.
        documents: Number of documents of each author, 12 at most.
    """

    cards: dict[str, str]
    without: dict[str, int]
    documents: list[int]


def main() -> int:
    """Run the process of the first pass: a job in, cards out; return the exit code."""
    for number in SIGNALS:
        signal.signal(number, signal.SIG_IGN)  # the parent handles them
    lifeline, out = map(int, sys.argv[1:3])
    job = read_frame(lifeline, ReaderJob)
    threading.Thread(target=end_with_parent, args=(lifeline,), daemon=True).start()
    with suppress(PairmillError, OSError):  # the run itself will report the problem
        write_frame(out, _pool(_read(job).pooled()))
    return 0


def _read_apart(job: ReaderJob) -> PooledCards:
    """Run the first pass in a separate process.

    Raises:
        BrokenFrameError: It ended without a result.
        PairmillError: The process cannot be started.
    """
    process = Process(_MODULE, leads=True)
    try:
        write_frame(process.inward, replace(job, follow=False))
        return read_frame(process.outward, PooledCards)
    finally:
        process.end()
        process.close()


def _read(job: ReaderJob) -> AuthorStyles:
    manners = AuthorStyles()
    most = min(MOST_DOCUMENTS, max(job.limit or MOST_DOCUMENTS, 200))
    documents: Iterable[Document] = read_documents(job, lambda _: None)
    for document in islice(documents, most):
        cleaned = usable(document, job) if document.author else None
        if cleaned is not None and not isinstance(cleaned, Dropped) and cleaned.author:
            manners.add(cleaned.author, cleaned.id, cleaned.text)
    return manners


def _pool(pooled: dict[str, list[StyleFeatures]]) -> PooledCards:
    cards: dict[str, str] = {}
    without: Counter[str] = Counter()
    for author, manners in pooled.items():
        cards[author] = pool(manners)
        if not cards[author]:
            without[why_no_card(manners)] += 1
    return PooledCards(cards, dict(without), list(map(len, pooled.values())))


def _told(found: PooledCards) -> list[str]:
    """Describe how many authors have a card, and why others have none."""
    if not found.cards:
        return []
    without = sorted(found.without.items(), key=lambda item: (-item[1], item[0]))
    reasons = ", ".join(f"{count:,} {reason}" for reason, count in without)
    total = sum(found.without.values())
    rest = f"; {total:,} without one ({reasons})" if total else ""
    cards = len(found.cards) - total
    authors = "author" if cards == 1 else "authors"
    return [f"style cards of {cards:,} {authors}, each pooled over their texts{rest}"]


def _named(job: ReaderJob) -> str | None:
    """Return a digest of all input files' names, sizes and times; None if some are not files."""
    found = []
    for file in find_files(job.inputs, job.output, lambda _: None):
        if file.path is None:
            return None
        about = file.path.stat()
        found.append(f"{file.label} {about.st_size} {about.st_mtime_ns}")
    return digest(*sorted(found))
