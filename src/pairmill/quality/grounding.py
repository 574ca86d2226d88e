"""How much of an answer stands in its text: words, runs of words, numbers, names, the evidence.

Coverage by content words separates a rewritten answer (about 0.7) from an unrelated one (about
0.25), and three-word runs separate them further (0.19 against 0.003). Coverage by all words does
not: unrelated English reaches 0.45 on "the" and "of" alone.
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from typing import TYPE_CHECKING

from rapidfuzz.fuzz import partial_ratio

from pairmill.quality.language import identify, primary
from pairmill.quality.stopwords import ENGLISH
from pairmill.quality.text import Prepared, Trigram, join, prepare, words

if TYPE_CHECKING:
    from collections.abc import Collection, Sequence

__all__ = [
    "Fragments",
    "PreparedChunk",
    "PreparedPair",
    "coverage",
    "evidence_match",
    "fragments",
    "lift",
    "names",
    "numbers",
    "prepare_chunk",
    "prepare_pair",
    "score",
    "trigram_overlap",
    "trigrams",
    "unseen_names",
    "unseen_numbers",
]


@dataclass(frozen=True, slots=True)
class PreparedChunk:
    """A chunk as the checks read it; made once for all its pairs.

    Attributes:
        text: The chunk's own text. What follows also counts its title and sections.
        language: Two-letter code, or None where unknown.
        content: Stems that an answer may use.
        vocabulary: Words that a name in an answer may use.
        joined: The text's words in one string, to look runs up in.
    """

    text: Prepared
    language: str | None
    content: frozenset[str]
    vocabulary: frozenset[str]
    numbers: frozenset[str]
    trigrams: frozenset[Trigram]
    joined: str


@dataclass(frozen=True, slots=True)
class PreparedPair:
    """A pair as the checks read it; made once.

    Attributes:
        trigrams: Three-word runs of the answer, in order.
        folded: The answer in lower case, for phrases.
    """

    instruction: Prepared
    answer: Prepared
    evidence: str
    kind: str
    trigrams: tuple[Trigram, ...]
    folded: str


@dataclass(frozen=True, slots=True)
class Fragments:
    """Runs of words that an answer shares with its text.

    Attributes:
        coverage: Share of the answer's words that lie in a shared run, 0 to 1.
        density: Mean length of the run that a word of the answer lies in.
        longest: Words of the longest run.
    """

    coverage: float
    density: float
    longest: int


def prepare_chunk(
    text: str, *, context: Sequence[str] = (), language: str | None = None
) -> PreparedChunk:
    """Prepare a chunk.

    Args:
        text: The chunk's text.
        context: Its title, author and section headings.
        language: What its source claims, such as ``en`` or ``pt-BR``; the text's own words decide
            where they are plain enough.
    """
    tokens = words(text)
    language = identify(frozenset(tokens), primary(language)) or primary(language)
    body = prepare(text, language, tokens=tokens)
    heading = prepare(" \n".join(context), language)
    return PreparedChunk(
        text=body,
        language=language,
        content=body.content | heading.content,
        vocabulary=body.vocabulary | heading.vocabulary,
        numbers=numbers(f"{text}\n{heading.text}") | _spelled(body.vocabulary),
        trigrams=frozenset(trigrams(body.words)),
        joined=join(body.words),
    )


def prepare_pair(
    instruction: str,
    answer: str,
    evidence: str = "",
    *,
    kind: str = "",
    language: str | None = "en",
) -> PreparedPair:
    """Prepare a pair; ``language`` is that of its prepared chunk."""
    said = prepare(answer, language)
    return PreparedPair(
        instruction=prepare(instruction, language),
        answer=said,
        evidence=evidence,
        kind=kind,
        trigrams=trigrams(said.words),
        folded=answer.lower(),
    )


def score(pair: PreparedPair, chunk: PreparedChunk) -> float:
    """The row's ``grounding``: content-word coverage of the answer by its chunk, 0 to 1."""
    return coverage(pair.answer.content, chunk.content)


def coverage(answer: frozenset[str], source: frozenset[str]) -> float:
    """Share of an answer's content stems that the source holds; 1 for an answer without any."""
    return len(answer & source) / len(answer) if answer else 1.0


def trigram_overlap(pair: PreparedPair, chunk: PreparedChunk) -> float:
    """Share of the answer's three-word runs that stand in the chunk, 0 to 1."""
    runs = pair.trigrams
    return sum(map(chunk.trigrams.__contains__, runs)) / len(runs) if runs else 0.0


def lift(own: Sequence[float], other: Sequence[float]) -> float:
    """Mean grounding in the own chunk minus that in another; 0 where there is nothing to compare.

    Near 0 means that the answers know no more of their chunk than of any other.
    """
    if not own or not other:
        return 0.0
    return sum(own) / len(own) - sum(other) / len(other)


def fragments(answer: Sequence[str], chunk: PreparedChunk) -> Fragments:
    """Greedy extractive fragments: coverage, density and longest run.

    After Grusky, Naaman and Artzi, "Newsroom" (NAACL 2018), section 4: from each word the longest
    run that also stands in the source, then on behind it.
    """
    if not answer:
        return Fragments(0.0, 0.0, 0)
    at = covered = squares = longest = 0
    vocabulary = chunk.text.vocabulary
    total = len(answer)
    while at < total:
        if answer[at] not in vocabulary:
            at += 1
            continue
        length = _run_length(answer, at, chunk)
        covered += length
        squares += length * length
        longest = max(longest, length)
        at += length
    return Fragments(covered / total, squares / total, longest)


def _run_length(answer: Sequence[str], at: int, chunk: PreparedChunk) -> int:
    """Length of the longest run of words from ``at`` on that stands in the chunk; at least 1."""
    ahead = tuple(answer[at : at + 3])
    if ahead not in chunk.trigrams:
        return 2 if len(ahead) > 1 and join(ahead[:2]) in chunk.joined else 1
    bound = 3  # the chain of trigrams bounds the run from above; the text itself decides
    most = len(chunk.text.words)
    while bound < most and tuple(answer[at + bound - 2 : at + bound + 1]) in chunk.trigrams:
        bound += 1
    length = 3
    while length < bound:
        middle = (length + bound + 1) // 2
        if join(answer[at : at + middle]) in chunk.joined:
            length = middle
        else:
            bound = middle - 1
    return length


def trigrams(tokens: Sequence[str]) -> tuple[Trigram, ...]:
    """Runs of three tokens, in order."""
    return tuple(zip(tokens, tokens[1:], tokens[2:], strict=False))


def evidence_match(evidence: str, chunk: PreparedChunk, *, least: float = 90.0) -> float:
    """How well the evidence stands in the chunk: 100 word for word, less by edits, 0 for nothing.

    Below ``least`` the figure may be 0 instead of the exact one, which saves most of the time.
    """
    wanted = words(evidence)
    if not wanted:
        return 0.0
    if join(wanted) in chunk.joined:
        return 100.0
    return partial_ratio(" ".join(wanted), chunk.joined, score_cutoff=least)


_NUMBER = re.compile(r"[0-9]+(?:[.,:][0-9]+)*")
_SPELLED = {
    "ten": "10", "eleven": "11", "twelve": "12", "dozen": "12", "thirteen": "13", "fourteen": "14",
    "fifteen": "15", "sixteen": "16", "seventeen": "17", "eighteen": "18", "nineteen": "19",
    "twenty": "20", "thirty": "30", "forty": "40", "fifty": "50", "sixty": "60", "seventy": "70",
    "eighty": "80", "ninety": "90", "hundred": "100", "thousand": "1000",
}  # fmt: skip


def numbers(text: str) -> frozenset[str]:
    """Numbers of two digits or more (single ones are list marks), without thousands commas."""
    found = (number.replace(",", "") for number in _NUMBER.findall(text))
    return frozenset(number for number in found if len(number) > 1)


def _spelled(vocabulary: Collection[str]) -> frozenset[str]:
    return frozenset(_SPELLED[word] for word in _SPELLED.keys() & vocabulary)


def unseen_numbers(answer: str, chunk: PreparedChunk) -> list[str]:
    """Numbers of an answer that its chunk does not hold, sorted."""
    return sorted(numbers(answer) - chunk.numbers)


_NAME = re.compile(r"[A-Z][\w'\u2019-]{1,40}(?: [A-Z][\w'\u2019-]{1,40})+")


def names(text: str) -> list[str]:
    """Runs of two or more capitalised words on one line, as they stand in the text."""
    return _NAME.findall(text)


def unseen_names(answer: str, chunk: PreparedChunk) -> list[str]:
    """Names of an answer of which a word stands neither in the chunk nor in its headings."""
    unseen: list[str] = []
    for name in names(answer):
        parts = [part for part in words(name) if part not in ENGLISH]
        if any(part not in chunk.vocabulary for part in parts):
            unseen.append(name)
    return unseen
