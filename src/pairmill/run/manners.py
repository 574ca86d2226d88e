"""The first pass over the input: how each author writes, pooled over several texts of theirs.

It is made once for the same files, and keeps a card for each author in the run folder. What it
keeps in memory is bounded: so many authors, and so many texts of each, those with the least
digests, so that the order of the input changes nothing.
"""

from __future__ import annotations

from bisect import insort
from collections import Counter
from itertools import islice
from typing import TYPE_CHECKING

from pairmill.chunking.gates import Dropped
from pairmill.chunking.reader import read_documents, usable
from pairmill.errors import PairmillError
from pairmill.recipes.style import Manner, card_name, manner_of, pool, why_no_card
from pairmill.records import digest
from pairmill.run.threads import run_aside
from pairmill.sources.files import find_files

if TYPE_CHECKING:
    from collections.abc import Iterable

    from pairmill.chunking.job import Job
    from pairmill.records import Document
    from pairmill.run.memory import RunMemory

__all__ = ["Manners", "pool_manners"]

MOST_DOCUMENTS = 20_000  # that are looked at: of more, the first ones
MOST_AUTHORS = 20_000
MOST_TEXTS = 12  # of an author
_READ_CHARS = 8_000  # of a text


class Manners:
    """The manners of authors, as many as are kept."""

    def __init__(self, most_authors: int = MOST_AUTHORS, most_texts: int = MOST_TEXTS) -> None:
        self._most_authors = most_authors
        self._most_texts = most_texts
        self._known: dict[str, list[tuple[str, str, Manner]]] = {}

    def add(self, author: str, document: str, text: str) -> None:
        """Take a text into account, unless others of lower digest are enough."""
        texts = self._known.get(author)
        if texts is None:
            if len(self._known) >= 2 * self._most_authors:
                self._thin_out()
            texts = self._known[author] = []
        rank = digest(document)
        if len(texts) < self._most_texts or rank < texts[-1][0]:
            insort(texts, (rank, document, manner_of(text[:_READ_CHARS])), key=lambda it: it[:2])
            del texts[self._most_texts :]

    def pooled(self) -> dict[str, list[Manner]]:
        """Author to the manners of their texts."""
        self._thin_out()
        return {author: [manner for *_, manner in texts] for author, texts in self._known.items()}

    def _thin_out(self) -> None:
        kept = sorted(self._known, key=digest)[: self._most_authors]
        self._known = {author: self._known[author] for author in kept}


async def pool_manners(job: Job, memory: RunMemory) -> list[str]:
    """Make and keep the cards of authors that have none yet; return what there is to say.

    Input that cannot be read twice for nothing (standard input, remote files) gives none.
    """
    try:
        named = _named(job)
        if named is None:
            return ["style cards need a second look at the input: a pipe or remote file gives none"]
        name = f"manners of {named}"
        if memory.get(name) is not None:
            return []
        manners = await run_aside(lambda: _read(job))
    except (PairmillError, OSError):
        return []  # the run itself reads the same, and says what is wrong
    told = _keep(manners.pooled(), memory)
    memory.set(name, "made")
    return told


def _read(job: Job) -> Manners:
    manners = Manners()
    most = min(MOST_DOCUMENTS, max(job.limit or MOST_DOCUMENTS, 200))
    documents: Iterable[Document] = read_documents(job, lambda _: None)
    for document in islice(documents, most):
        cleaned = usable(document, job) if document.author else None
        if cleaned is not None and not isinstance(cleaned, Dropped) and cleaned.author:
            manners.add(cleaned.author, cleaned.id, cleaned.text)
    return manners


def _keep(pooled: dict[str, list[Manner]], memory: RunMemory) -> list[str]:
    cards = 0
    without: Counter[str] = Counter()
    for author, manners in pooled.items():
        card = pool(manners)
        cards += bool(card)
        if not card:
            without[why_no_card(manners)] += 1
        memory.set(card_name(author), card)
    if not pooled:
        return []
    reasons = ", ".join(f"{count:,} {reason}" for reason, count in without.most_common())
    rest = f"; {without.total():,} without one ({reasons})" if without else ""
    return [f"style cards of {cards:,} authors, each pooled over their texts{rest}"]


def _named(job: Job) -> str | None:
    """Digest of the names, sizes and times of all input files; None where some are no files."""
    found = []
    for file in find_files(job.inputs, job.output, lambda _: None):
        if file.path is None:
            return None
        about = file.path.stat()
        found.append(f"{file.label} {about.st_size} {about.st_mtime_ns}")
    return digest(*sorted(found))
