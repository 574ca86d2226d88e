"""Measures how much of an answer occurs in its text: words, runs, numbers, names, evidence.

Coverage by content words separates a rewritten answer (about 0.7) from an unrelated one (about
0.25), and three-word runs separate them further (0.19 against 0.003). Coverage by all words does
not: unrelated English reaches 0.45 on "the" and "of" alone.
"""

from __future__ import annotations

import re
import string
from dataclasses import dataclass, replace
from functools import cached_property
from itertools import count, repeat
from typing import TYPE_CHECKING

from rapidfuzz.distance.Prefix import similarity as common_prefix
from rapidfuzz.fuzz import partial_ratio

from pairmill.quality.language import (
    UNDETERMINED,
    identify,
    is_confirmed,
    is_strange_script,
    is_unnamed,
    primary,
)
from pairmill.quality.opposites import opposites
from pairmill.quality.text import ENGLISH, Prepared, Trigram, content_stem, join, prepare, words

if TYPE_CHECKING:
    from collections.abc import Container, Iterable, Mapping, Sequence

__all__ = [
    "Fragments",
    "PreparedChunk",
    "PreparedPair",
    "beside",
    "coded_fragments",
    "coverage",
    "evidence_match",
    "fragments",
    "may_share_run",
    "names",
    "negated_words",
    "prepare_chunk",
    "prepare_pair",
    "score",
    "trigram_overlap",
    "trigrams",
    "unseen_names",
    "unseen_numbers",
    "unseen_single_names",
]


_UNKNOWN = "\0"


class _Reach(dict[int, int]):
    """Places to the places up to five behind them; filled as asked."""

    def __missing__(self, places: int) -> int:
        one = places << 1
        two = one | one << 1
        found = self[places] = two | two << 2 | one << 4
        return found


class _Step(dict[int, int]):
    """Places to the two places behind them; filled as asked."""

    def __missing__(self, places: int) -> int:
        found = self[places] = places << 1 | places << 2
        return found


class _Around(dict[int, int]):
    """Places to the three places before and behind them; filled as asked."""

    def __missing__(self, places: int) -> int:
        found = self[places] = (
            places << 1 | places << 2 | places << 3 | places >> 1 | places >> 2 | places >> 3
        )
        return found


@dataclass(frozen=True)
class PreparedChunk:
    """A chunk prepared for the checks; made once for all its pairs.

    Attributes:
        text: The chunk's own text.
        heading: Its title, author and section headings.
        language: Two-letter code, or None if unknown.
        content: Stems that an answer may use.
        joined: The text's words in one string, to search for runs.
    """

    text: Prepared
    heading: Prepared
    language: str | None
    content: frozenset[str]
    joined: str

    @cached_property
    def numbers(self) -> frozenset[str]:
        """Numbers of text and headings, including those spelled out."""
        spelled = _SPELLED.keys() & self.text.vocabulary
        written = self.text.written_numbers | self.heading.written_numbers
        return written.union([_SPELLED[word] for word in spelled])

    @cached_property
    def trigrams(self) -> frozenset[Trigram]:
        """Three-word runs of the text."""
        return frozenset(trigrams(self.text.words))

    @cached_property
    def places(self) -> dict[str, int]:
        """For each content stem of the text a number: bit ``n`` is set where it stands ``n``-th.

        Where a stem is near another one is then a question of shifts, for all places at once.
        """
        places = dict.fromkeys(self.text.stems, 0)
        bit = 1
        for stem in self.text.stems:
            places[stem] |= bit
            bit += bit
        return places

    @cached_property
    def reach(self) -> dict[int, int]:
        """For the places of a stem, those up to five content words behind it; 0 for none."""
        return _Reach({0: 0})

    @cached_property
    def step(self) -> dict[int, int]:
        """For the places of a stem, the two behind each."""
        return _Step({0: 0})

    @cached_property
    def around(self) -> dict[int, int]:
        """For the places of a stem, those up to three content words away."""
        return _Around({0: 0})

    @cached_property
    def opposable(self) -> frozenset[str]:
        """Stems of which the text holds an opposite."""
        known = opposites()
        held = self.text.content & known.content
        return frozenset().union(*map(known.stems.__getitem__, held))

    @cached_property
    def opposable_little(self) -> frozenset[str]:
        """Function words of which the text holds an opposite; likewise."""
        known = opposites()
        held = self.text.vocabulary & known.little
        return frozenset().union(*map(known.words.__getitem__, held))

    @cached_property
    def beside_little(self) -> Mapping[str, list[frozenset[str]]]:
        """For each function word with an opposite, the content words beside it, by place."""
        return beside(self.text.words, opposites().little & self.text.vocabulary)

    @cached_property
    def negated(self) -> frozenset[str]:
        """Stems that the text negates somewhere."""
        return negated_words(self.text)

    @cached_property
    def codes(self) -> dict[str, str]:
        """Character for each word of the text, so that runs of words can be found as strings."""
        return dict(zip(self.text.vocabulary, map(chr, count(1)), strict=False))

    @cached_property
    def coded(self) -> str:
        """Text encoded in these characters."""
        return "".join(map(self.codes.__getitem__, self.text.words))

    def encode(self, answer: Iterable[str]) -> str:
        """Encode an answer in these characters; a word that the text lacks is a NUL."""
        return "".join(map(self.codes.get, answer, repeat(_UNKNOWN)))


@dataclass(frozen=True)
class PreparedPair:
    """A pair prepared for the checks; made once.

    Attributes:
        folded: The answer in lower case, for phrases.
    """

    instruction: Prepared
    answer: Prepared
    evidence: str
    kind: str
    folded: str

    @cached_property
    def trigrams(self) -> tuple[Trigram, ...]:
        """Three-word runs of the answer, in order."""
        return trigrams(self.answer.words)

    @cached_property
    def runs(self) -> frozenset[Trigram]:
        """Three-word runs of the answer, each once."""
        return frozenset(self.trigrams)

    @cached_property
    def asked(self) -> str:
        """Instruction's words in alphabetical order."""
        return " ".join(sorted(self.instruction.words))


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
    body = prepare(text, primary(language))
    if body.language is not None and is_confirmed(body.vocabulary, body.language):
        known: str | None = body.language
    elif body.language is None and is_confirmed(body.vocabulary, "en"):
        known = "en"
    else:
        known = identify(text, body.language) or body.language
        if is_strange_script(text) or (known in {None, "en"} and is_unnamed(body)):
            known = UNDETERMINED
    if known != body.language:
        body = replace(body, language=known)
    heading = prepare(" \n".join(context), known)
    return PreparedChunk(
        text=body,
        heading=heading,
        language=known,
        content=body.content | heading.content,
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
    return PreparedPair(
        instruction=prepare(instruction, language),
        answer=prepare(answer, language),
        evidence=evidence,
        kind=kind,
        folded=answer.lower(),
    )


def score(pair: PreparedPair, chunk: PreparedChunk) -> float:
    """Return the row's ``grounding``: content-word coverage of the answer by its chunk, 0 to 1."""
    return coverage(pair.answer.content, chunk.content)


def coverage(answer: frozenset[str], source: frozenset[str]) -> float:
    """Share of an answer's content stems that the source holds; 1 for an answer without any."""
    return len(answer & source) / len(answer) if answer else 1.0


def trigram_overlap(pair: PreparedPair, chunk: PreparedChunk) -> float:
    """Share of the answer's three-word runs that are in the chunk, 0 to 1."""
    runs = pair.trigrams
    return sum(map(chunk.trigrams.__contains__, runs)) / len(runs) if runs else 0.0


def fragments(answer: Sequence[str], chunk: PreparedChunk) -> Fragments:
    """Greedy extractive fragments: coverage, density and longest run.

    After Grusky, Naaman and Artzi, "Newsroom" (NAACL 2018), section 4: from each word the longest
    run that is also in the source, then continue behind it.
    """
    return coded_fragments(chunk.encode(answer), chunk)


def coded_fragments(answer: str, chunk: PreparedChunk) -> Fragments:
    """Compute the fragments of an answer that the chunk has encoded."""
    if not answer:
        return Fragments(0.0, 0.0, 0)
    at = covered = squares = longest = 0
    total = len(answer)
    while at < total:
        length = 0 if answer[at] == _UNKNOWN else _run_length(answer[at:], chunk.coded)
        covered += length
        squares += length * length
        longest = max(longest, length)
        at += length or 1
    return Fragments(covered / total, squares / total, longest)


def may_share_run(answer: str, chunk: PreparedChunk, least: int) -> bool:
    """False if surely no run of ``least`` words of an encoded answer is in the chunk.

    Any run that long holds a whole block of two thirds of it (half, where a word is a character)
    that begins at a multiple of the rest.
    """
    block = (least + 1) // 2 if chunk.text.spaceless else least * 2 // 3
    if block < _LEAST_BLOCK:
        return True
    if max(map(len, answer.split(_UNKNOWN))) < least:
        return False
    source = chunk.coded
    for at in range(0, len(answer) - block + 1, least - block + 1):
        if answer[at : at + block] in source:
            return True
    return False


def _run_length(rest: str, source: str) -> int:
    """Length of the longest run at the beginning of ``rest`` that is in the source."""
    length, at = 0, source.find(rest[:1])
    while at >= 0:
        length = common_prefix(rest, source[at : at + len(rest)])
        if length == len(rest):
            break
        at = source.find(rest[: length + 1], at + 1)  # a longer one, if there is any
    return length


def trigrams(tokens: Sequence[str]) -> tuple[Trigram, ...]:
    """Runs of three tokens, in order."""
    return tuple(zip(tokens, tokens[1:], tokens[2:], strict=False))


def evidence_match(evidence: str, chunk: PreparedChunk, *, least: float = 90.0) -> float:
    """Score how well the evidence matches the chunk: 100 if verbatim, less by edits, 0 for none.

    Below ``least`` the figure may be 0 instead of the exact one, which saves most of the time.
    """
    wanted = words(evidence)
    if not wanted:
        return 0.0
    if join(wanted) in chunk.joined:
        return 100.0
    return partial_ratio(" ".join(wanted), chunk.joined, score_cutoff=least)


_SPELLED = {
    "ten": "10", "eleven": "11", "twelve": "12", "dozen": "12", "thirteen": "13", "fourteen": "14",
    "fifteen": "15", "sixteen": "16", "seventeen": "17", "eighteen": "18", "nineteen": "19",
    "twenty": "20", "thirty": "30", "forty": "40", "fifty": "50", "sixty": "60", "seventy": "70",
    "eighty": "80", "ninety": "90", "hundred": "100", "thousand": "1000",
}  # fmt: skip


def unseen_numbers(answer: Prepared, chunk: PreparedChunk) -> list[str]:
    """Numbers of an answer that its chunk does not hold, sorted.

    Only those of two digits or more (single ones are list marks), without thousands commas.
    """
    return sorted(answer.written_numbers - chunk.numbers) if answer.numbers else []


_LEAST_BLOCK = 3
_NEGATIONS = frozenset(
    ("not", "no", "never", "cannot", "without", "nor", "neither", "cant", "dont", "doesnt", "didnt",
     "isnt", "arent", "wasnt", "werent", "wont", "wouldnt", "couldnt", "shouldnt", "hasnt",
     "havent", "hadnt")
)  # fmt: skip
_REACH = 4  # words behind a negation in which the negated one is
_SINGLE = re.compile(r" ([A-Z][\w\u2019'-]*)")
_INSIDE = frozenset(string.ascii_lowercase + ",;")  # what is before the blank
_CASES = bytes.maketrans(
    (string.ascii_uppercase + "".join(_INSIDE)).encode(), b"A" * 26 + b"a" * len(_INSIDE)
)
_NAME = re.compile(r"[A-Z][\w'\u2019-]{1,40}(?: [A-Z][\w'\u2019-]{1,40})+")
_POSSESSIVE = re.compile(r"['\u2019]s?$")
_INSIDE_NAMES = (string.ascii_lowercase + string.digits + "_'-?").encode()  # "?": any other script
_ALL_CAPITALS = bytes.maketrans(string.ascii_uppercase.encode(), b"A" * 26)


def names(text: str) -> list[str]:
    """Runs of two or more capitalised words on one line, as they are in the text."""
    bare = text.encode("ascii", "replace").translate(_ALL_CAPITALS, _INSIDE_NAMES)
    if b"A A" not in bare:
        return []  # no two words in a row begin with a capital
    return _NAME.findall(text)


def unseen_names(answer: str, chunk: PreparedChunk) -> list[str]:
    """Names of an answer of which a word is neither in the chunk nor in its headings."""
    body, heading = chunk.text.vocabulary, chunk.heading.vocabulary
    return [
        name
        for name in names(answer)
        if any(
            part not in body and part not in heading and part not in ENGLISH
            for part in words(" ".join(_POSSESSIVE.sub("", word) for word in name.split()))
        )
    ]


def unseen_single_names(answer: str, chunk: PreparedChunk) -> list[str]:
    """Words with a capital inside a sentence that are neither in the chunk nor its headings."""
    if b"a A" not in answer.encode("ascii", "replace").translate(_CASES):
        return []  # no capital inside a sentence
    body, heading = chunk.text.vocabulary, chunk.heading.vocabulary
    return [
        match[1]
        for match in _SINGLE.finditer(answer)
        if answer[match.start() - 1 : match.start()] in _INSIDE
        and match[1].lower() not in body  # nearly always; what is left is looked at in parts
        and any(
            part not in body and part not in heading and part not in ENGLISH
            for part in words(_POSSESSIVE.sub("", match[1]))
        )
    ]


def beside(said: Sequence[str], wanted: Container[str]) -> dict[str, list[frozenset[str]]]:
    """Map each of some words to the content words within three of it, for each place of it."""
    found: dict[str, list[frozenset[str]]] = {}
    for at, word in enumerate(said):
        if word in wanted:
            near = frozenset(said[max(0, at - 3) : at + 4]) - ENGLISH - {word}
            found.setdefault(word, []).append(near)
    return found


def negated_words(prepared: Prepared) -> frozenset[str]:
    """Stems of the first content word behind each English negation."""
    if prepared.vocabulary.isdisjoint(_NEGATIONS):
        return frozenset()
    said = prepared.words
    found = set()
    for at, word in enumerate(said):
        if word in _NEGATIONS:
            after = said[at + 1 : at + 1 + _REACH]
            found.update(list(filter(None, map(content_stem, after)))[:1])
    return frozenset(found)
