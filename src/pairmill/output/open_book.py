"""Adds passages to the prompts of rows, to train reading rather than recall (``--open-book``).

A share of the rows is written with the passage that the answer rests on, as a rule among others of
the same split, and some of them without it: there the answer is that the texts do not say. A model
that is trained to answer from memory what it cannot know learns to invent (Gekhman et al. 2024,
arXiv:2405.05904); questions with context and distractors teach to look (RAFT, arXiv:2403.10131).
"""

# ruff: noqa: RUF001 (words of many scripts)
from __future__ import annotations

import sqlite3
from collections import Counter
from typing import TYPE_CHECKING

from pairmill.errors import StorageError
from pairmill.output.rows import task_of
from pairmill.quality.grounding import coverage
from pairmill.quality.language import identify
from pairmill.quality.text import prepare
from pairmill.recipes.draws import hash_share

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

    from pairmill.output.rows import Row

__all__ = ["WORDS", "OpenBook", "PassageStore"]

WORDS = {
    "en": ("Text", "The texts do not say."),
    "de": ("Text", "Das geht aus den Texten nicht hervor."),
    "fr": ("Texte", "Les textes ne le disent pas."),
    "es": ("Texto", "Los textos no lo dicen."),
    "pt": ("Texto", "Os textos não o dizem."),
    "it": ("Testo", "I testi non lo dicono."),
    "ru": ("Текст", "В текстах об этом не говорится."),
    "zh": ("文本", "文本中没有说明。"),
    "ja": ("テキスト", "テキストには書かれていません。"),
    "ko": ("텍스트", "텍스트에는 나와 있지 않습니다."),
    "ar": ("نص", "لا تذكر النصوص ذلك."),
    "hi": ("पाठ", "पाठों में यह नहीं बताया गया है।"),
    "th": ("ข้อความ", "ข้อความไม่ได้กล่าวถึงเรื่องนี้"),
    "vi": ("Văn bản", "Các văn bản không nói điều này."),
    "tr": ("Metin", "Metinler bunu söylemiyor."),
}
"""Language to the word above a passage, and to the answer where none of them says.

Rows in another language are opened under the English word, and always with their own passage.
"""
_DISTRACTORS = 3  # at most; of answerable rows 0 to 3, of others 1 to 3
_TRIED = 60
_FOREIGN_BELOW = 0.45  # of the answer's content words: more might answer after all
_SCHEMA = """
CREATE TABLE passage (chunk_id TEXT PRIMARY KEY, place REAL, document_id TEXT, text TEXT);
CREATE INDEX by_place ON passage (place);
"""


class PassageStore:
    """Passages by the id of their chunk, on disk, in the order of a hash.

    ``scratch`` is a file that does not exist yet; the caller removes it.
    """

    def __init__(self, scratch: Path) -> None:
        self._database = sqlite3.connect(scratch, isolation_level=None)
        try:
            self._database.executescript(f"PRAGMA journal_mode = OFF;{_SCHEMA}BEGIN;")
        except sqlite3.Error as error:
            raise _refused(error) from None

    def close(self) -> None:
        """Close the file."""
        self._database.close()

    def add(self, document_id: str, chunk_id: str, text: str) -> None:
        """Take in a passage; one that is there already stays."""
        entry = (chunk_id, hash_share("passage", chunk_id), document_id, text)
        try:
            self._database.execute("INSERT OR IGNORE INTO passage VALUES (?, ?, ?, ?)", entry)
        except sqlite3.Error as error:
            raise _refused(error) from None

    def text(self, chunk_id: str) -> str | None:
        """Return the passage of a chunk, or None."""
        query = "SELECT text FROM passage WHERE chunk_id = ?"
        found = self._database.execute(query, (chunk_id,)).fetchone()
        return str(found[0]) if found else None

    def from_place(self, place: float) -> list[tuple[str, str]]:
        """Document and text of some passages behind a place from 0 to 1, then from the start."""
        query = "SELECT document_id, text FROM passage WHERE place >= ? ORDER BY place LIMIT ?"
        found = self._database.execute(query, (place, _TRIED)).fetchall()
        if len(found) < _TRIED:
            found += self._database.execute(query, (0.0, _TRIED - len(found))).fetchall()
        return found


class OpenBook:
    """Gives a share of the rows their passage.

    Args:
        percent: Share of the rows that can have one, chosen by hash.
        unanswerable: Percent of these whose own passage is left out.
        seed: Seed of the choice.
        passage_store: The passages.

    Attributes:
        counts: Rows ``opened``, of these ``unanswerable``; ``no_text``: chosen, but their passage
            was not at hand.
    """

    def __init__(
        self, percent: float, unanswerable: float, seed: int, passage_store: PassageStore
    ) -> None:
        self._share = percent / 100
        self._unanswerable = unanswerable / 100
        self._seed = str(seed)
        self._passage_store = passage_store
        self.counts: Counter[str] = Counter()

    def open(
        self, row: Row, may_stand_beside: Callable[[str], bool], *, apart: bool = False
    ) -> Row | None:
        """Return the row with passages in its instruction; None if it stays unchanged.

        Args:
            row: A row of one request and one answer; any other stays as it is.
            may_stand_beside: Whether a document's passages may be shown with this row: of the same
                split, and no kin of the row's own.
            apart: Put the passages under the key ``passage`` instead of into the instruction.
        """
        if task_of(row) not in {"pair", "question"} or row.get("messages"):
            return None
        if self._draw(row, "open") >= self._share:
            return None
        own = self._passage_store.text(row["chunk_id"])
        if own is None:
            self.counts["no_text"] += 1
            return None
        language = identify(row["answer"]) or "en"
        label, unsaid = WORDS.get(language, WORDS["en"])
        is_unsaid = language in WORDS and self._draw(row, "unanswerable") < self._unanswerable
        least = 1 if is_unsaid else 0
        wanted = least + int(self._draw(row, "how many") * (_DISTRACTORS + 1 - least))
        others = self._distractors(row, wanted, may_stand_beside, language)
        if is_unsaid and not others:
            is_unsaid = False
        texts = others if is_unsaid else [*others, own]
        texts.sort(key=lambda text: hash_share(self._seed, "order", row["id"], text[:200]))
        passages = "\n\n".join(f"{label} {at}:\n{text}" for at, text in enumerate(texts, 1))
        self.counts["opened"] += 1
        self.counts["unanswerable"] += is_unsaid
        opened = {**row, "passage": passages}
        if not apart:
            opened["instruction"] = f"{passages}\n\n{row['instruction']}"
        if is_unsaid:
            opened |= {"answer": unsaid, "reasoning": None}
        return opened

    def _distractors(
        self, row: Row, wanted: int, may_stand_beside: Callable[[str], bool], language: str
    ) -> list[str]:
        """Passages that may be beside the row's own, and do not hold its answer."""
        if not wanted:
            return []
        said = prepare(row["answer"], language).content
        found: list[str] = []
        for document, text in self._passage_store.from_place(self._draw(row, "place")):
            if document == row["document_id"] or not may_stand_beside(document) or text in found:
                continue
            if coverage(said, prepare(text, language).content) < _FOREIGN_BELOW:
                found.append(text)
                if len(found) == wanted:
                    break
        return found

    def _draw(self, row: Row, what: str) -> float:
        return hash_share("open book", self._seed, what, row["id"])


def _refused(error: sqlite3.Error) -> StorageError:
    return StorageError(f"cannot write scratch data for the export: {error}")
