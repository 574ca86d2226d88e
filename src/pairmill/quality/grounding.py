"""Measures how much of an answer occurs in its text: words, runs, numbers, names, evidence.

Coverage by content words separates a rewritten answer (about 0.7) from an unrelated one (about
0.25), and three-word runs separate them further (0.19 against 0.003). Coverage by all words does
not: unrelated English reaches 0.45 on "the" and "of" alone.
"""

from __future__ import annotations

import re
import string
from itertools import count, repeat
from typing import TYPE_CHECKING

from msgspec import Struct
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
from pairmill.quality.opposites import fast_tables, opposites
from pairmill.quality.speedups import Comparison, Flag
from pairmill.quality.stems import content_stem, is_stemmed, stems_in
from pairmill.quality.text import Prepared, Trigram, in_language, join, lazy, prepare, words
from pairmill.quality.word_lists import ENGLISH, NEGATIONS, SPELLED_NUMBERS

if TYPE_CHECKING:
    from collections.abc import Container, Iterable, Mapping, Sequence

__all__ = [
    "Fragments",
    "PreparedChunk",
    "PreparedPair",
    "beside",
    "coded_fragments",
    "compare",
    "count_unseen_negations",
    "count_unseen_numbers",
    "coverage",
    "covered_by",
    "evidence_match",
    "fragments",
    "may_share_run",
    "names",
    "negated_words",
    "prepare_chunk",
    "prepare_pair",
    "score",
    "shared_fragments",
    "trigram_overlap",
    "trigrams",
    "unseen_names",
    "unseen_numbers",
    "unseen_single_names",
]


_UNKNOWN = "\0"


class _Reach(dict[int, int]):
    """Map of bit sets of places to the five places behind each; filled on demand."""

    def __missing__(self, places: int) -> int:
        one = places << 1
        two = one | one << 1
        found = self[places] = two | two << 2 | one << 4
        return found


class _Step(dict[int, int]):
    """Map of bit sets of places to the two places behind each; filled on demand."""

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


class PreparedChunk(Struct, frozen=True, dict=True, eq=False):
    """A chunk prepared for the checks; made once for all its pairs.

    Attributes:
        text: The chunk's own text.
        heading: Its title, author and section headings.
        language: Two-letter code, or None if unknown.
    """

    text: Prepared
    heading: Prepared
    language: str | None

    @lazy
    def content(self) -> frozenset[str]:
        """Stems that an answer may use."""
        return self.text.content | self.heading.content

    @lazy
    def joined(self) -> str:
        """Words of the text in one string, to search for runs."""
        return join(self.text.folded.split())

    @lazy
    def numbers(self) -> frozenset[str]:
        """Numbers in the text and its headings, including those spelled out."""
        spelled = SPELLED_NUMBERS.keys() & self.text.vocabulary
        written = self.text.written_numbers | self.heading.written_numbers
        return written.union([SPELLED_NUMBERS[word] for word in spelled])

    @lazy
    def trigrams(self) -> frozenset[Trigram]:
        """Three-word runs of the text."""
        return frozenset(trigrams(self.text.words))

    @lazy
    def places(self) -> dict[str, int]:
        """Content stem of the text to its places: bit ``n`` is set if it is the ``n``-th stem.

        Shifting a bit set finds the neighbours of all places at once.
        """
        places = dict.fromkeys(self.text.stems, 0)
        bit = 1
        for stem in self.text.stems:
            places[stem] |= bit
            bit += bit
        return places

    @lazy
    def reach(self) -> dict[int, int]:
        """Places up to five content words behind those of a stem, as a bit set; 0 if none."""
        return _Reach({0: 0})

    @lazy
    def step(self) -> dict[int, int]:
        """Return the two places behind each place of a stem, as a bit set."""
        return _Step({0: 0})

    @lazy
    def around(self) -> dict[int, int]:
        """Return the places up to three content words from those of a stem, as a bit set."""
        return _Around({0: 0})

    @lazy
    def opposable(self) -> frozenset[str]:
        """Stems whose opposite occurs in the text."""
        known = opposites()
        held = self.text.content & known.content
        return frozenset().union(*map(known.stems.__getitem__, held))

    @lazy
    def opposable_little(self) -> frozenset[str]:
        """Function words whose opposite occurs in the text."""
        known = opposites()
        held = self.text.vocabulary & known.little
        return frozenset().union(*map(known.words.__getitem__, held))

    @lazy
    def beside_little(self) -> Mapping[str, list[frozenset[str]]]:
        """For each function word with an opposite, the stems beside it, by place."""
        return beside(self.text, opposites().little & self.text.vocabulary)

    @lazy
    def negated(self) -> frozenset[str]:
        """Stems that the text negates somewhere."""
        return negated_words(self.text)

    @lazy
    def codes(self) -> dict[str, str]:
        """One character per word of the text, so that runs of words can be searched as strings."""
        return dict(zip(self.text.vocabulary, map(chr, count(1)), strict=False))

    @lazy
    def coded(self) -> str:
        """Text encoded in these characters."""
        return "".join(map(self.codes.__getitem__, self.text.words))

    def encode(self, answer: Iterable[str]) -> str:
        """Encode an answer in these characters; words that are not in the text become NUL."""
        return "".join(map(self.codes.get, answer, repeat(_UNKNOWN)))


class PreparedPair(Struct, frozen=True, dict=True, eq=False):
    """A pair prepared for the checks; made once."""

    instruction: Prepared
    answer: Prepared
    evidence: str
    kind: str

    @lazy
    def folded(self) -> str:
        """Answer in lower case, for phrases."""
        return self.answer.text.lower()

    @lazy
    def trigrams(self) -> tuple[Trigram, ...]:
        """Three-word runs of the answer, in order."""
        return trigrams(self.answer.words)

    @lazy
    def runs(self) -> frozenset[Trigram]:
        """Three-word runs of the answer, each once."""
        return frozenset(self.trigrams)

    @lazy
    def asked(self) -> str:
        """Instruction's words in alphabetical order."""
        return " ".join(sorted(self.instruction.words))


class Fragments(Struct, frozen=True):
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
        language: What its source claims, such as ``en`` or ``pt-BR``; the text's own words override
            it if they are clear enough.
    """
    body = prepare(text, primary(language), is_source=True)
    if body.language is not None and is_confirmed(body, body.language):
        known: str | None = body.language
    elif body.language is None and is_confirmed(body, "en"):
        known = "en"
    else:
        known = identify(text, body.language) or body.language
        if is_strange_script(text) or (known in {None, "en"} and is_unnamed(body)):
            known = UNDETERMINED
    heading = prepare(" \n".join(context), known, is_source=True)
    return PreparedChunk(in_language(body, known), heading, known)


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
    )


def score(pair: PreparedPair, chunk: PreparedChunk) -> float:
    """Return the row's ``grounding``: content-word coverage of the answer by its chunk, 0 to 1."""
    counted = compare(pair.answer, chunk)
    if counted is None:
        return covered_by(pair.answer, chunk)
    total = pair.answer.content_length
    return counted.shared / total if total else 1.0


def covered_by(answer: Prepared, chunk: PreparedChunk) -> float:
    """Share of an answer's content stems that a chunk holds; 1 for an answer without any."""
    body, heading = chunk.text.fast, chunk.heading.fast
    if answer.fast is None or body is None or heading is None:
        return coverage(answer.content, chunk.content)
    total = answer.fast.content
    return answer.fast.shared(body, heading) / total if total else 1.0


def compare(answer: Prepared, chunk: PreparedChunk) -> Comparison | None:
    """Compute, once, all counts of an answer and its chunk; None without the extension."""
    body, heading = chunk.text.fast, chunk.heading.fast
    if answer.fast is None or body is None or heading is None:
        return None
    known: tuple[PreparedChunk, Comparison] | None = answer.__dict__.get("_compared")
    if known is not None and known[0] is chunk:
        return known[1]
    tables = fast_tables() if is_stemmed(answer.language) else ()
    found = Comparison._make(answer.fast.compare(body, heading, *tables))
    answer.__dict__["_compared"] = chunk, found
    return found


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


def shared_fragments(answer: Prepared, chunk: PreparedChunk, least: int) -> Fragments:
    """Return the fragments of a prepared answer; empty if no run has ``least`` words."""
    counted = compare(answer, chunk)
    if counted is not None:
        total = answer.length or 1
        return Fragments(counted.covered / total, counted.squares / total, counted.longest)
    coded = chunk.encode(answer.words)
    if not may_share_run(coded, chunk, least):
        return Fragments(0.0, 0.0, 0)
    return coded_fragments(coded, chunk)


def coded_fragments(answer: str, chunk: PreparedChunk) -> Fragments:
    """Return the fragments of an answer that was encoded by its chunk."""
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
    """Return False if certainly no run of ``least`` words of an encoded answer is in the chunk.

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
        at = source.find(rest[: length + 1], at + 1)  # only longer runs are of interest
    return length


def trigrams(tokens: Sequence[str]) -> tuple[Trigram, ...]:
    """Runs of three tokens, in order."""
    return tuple(zip(tokens, tokens[1:], tokens[2:], strict=False))


def evidence_match(evidence: str, chunk: PreparedChunk, *, least: float = 90.0) -> float:
    """Score how well the evidence matches the chunk: 100 if verbatim, less by edits, 0 for none.

    A score below ``least`` may be returned as 0, which saves most of the time.
    """
    if chunk.text.fast is not None and evidence.isascii() and chunk.text.fast.holds_run(evidence):
        return 100.0
    wanted = words(evidence)
    if not wanted:
        return 0.0
    if join(wanted) in chunk.joined:
        return 100.0
    return partial_ratio(" ".join(wanted), chunk.joined, score_cutoff=least)


def unseen_numbers(answer: Prepared, chunk: PreparedChunk) -> list[str]:
    """Return the numbers in an answer that are not in its chunk, sorted.

    Only those of two digits or more (single ones are list marks), without thousands commas.
    """
    if count_unseen_numbers(answer, chunk) == 0:
        return []
    return sorted(answer.written_numbers - chunk.numbers)


def count_unseen_numbers(answer: Prepared, chunk: PreparedChunk) -> int:
    """Count them."""
    counted, body = compare(answer, chunk), chunk.text.fast
    if counted is not None and body is not None:
        unseen = counted.unseen_numbers
        if unseen == 0 or body.count(Flag.SPELLED) == 0:
            return unseen
    return len(answer.written_numbers - chunk.numbers) if answer.numbers else 0


_LEAST_BLOCK = 3
_REACH = 4  # words after a negation among which the negated one is sought
_INSIDE = frozenset(string.ascii_lowercase + ",;")  # the part before the blank
_SINGLE = re.compile(r" (?<=[a-z,;] )([A-Z][\w\u2019'-]*)")
_CASES = bytes.maketrans(
    (string.ascii_uppercase + "".join(_INSIDE)).encode(), b"A" * 26 + b"a" * len(_INSIDE)
)
_NAME = re.compile(r"[A-Z][\w'\u2019-]{1,40}(?: [A-Z][\w'\u2019-]{1,40})+")
_POSSESSIVE = re.compile(r"['\u2019]s?$")
_INSIDE_NAMES = (string.ascii_lowercase + string.digits + "_'-?").encode()  # "?": any other script
_ALL_CAPITALS = bytes.maketrans(string.ascii_uppercase.encode(), b"A" * 26)


def names(text: str) -> list[str]:
    """Return the runs of two or more capitalised words on one line, as written."""
    bare = text.encode("ascii", "replace").translate(_ALL_CAPITALS, _INSIDE_NAMES)
    if b"A A" not in bare:
        return []  # no two words in a row begin with a capital
    return _NAME.findall(text)


def unseen_names(answer: str, chunk: PreparedChunk) -> list[str]:
    """Return the names in an answer with a word that is in neither chunk nor headings."""
    return [
        name
        for name in names(answer)
        if _is_unseen(" ".join(_POSSESSIVE.sub("", word) for word in name.split()), chunk)
    ]


def unseen_single_names(answer: str, chunk: PreparedChunk) -> list[str]:
    """Return words capitalised within a sentence that are in neither chunk nor headings."""
    if b"a A" not in answer.encode("ascii", "replace").translate(_CASES):
        return []  # no capital inside a sentence
    return [
        match[1]
        for match in _SINGLE.finditer(answer)
        if not chunk.text.holds(match[1].lower())  # nearly always; the rest is checked part by part
        and _is_unseen(_POSSESSIVE.sub("", match[1]), chunk)
    ]


def _is_unseen(name: str, chunk: PreparedChunk) -> bool:
    """Return whether a word of a name is in neither chunk nor headings, and no English word."""
    return any(
        not chunk.text.holds(part) and not chunk.heading.holds(part) and part not in ENGLISH
        for part in words(name)
    )


def count_unseen_negations(answer: Prepared, chunk: PreparedChunk) -> int:
    """Count stems that an English answer negates and its chunk does not; 0 in other languages."""
    if not is_stemmed(answer.language):
        return 0
    return len(negated_words(answer) - chunk.negated)


def beside(text: Prepared, wanted: Container[str]) -> dict[str, list[frozenset[str]]]:
    """Map each of the given words to the stems within three words of each of its places."""
    stems = stems_in(text.language)
    said = text.words
    found: dict[str, list[frozenset[str]]] = {}
    for at, word in enumerate(said):
        if word in wanted:
            near = map(stems.__getitem__, said[max(0, at - 3) : at + 4])
            found.setdefault(word, []).append(frozenset(near) - {"", stems[word]})
    return found


def negated_words(prepared: Prepared) -> frozenset[str]:
    """Stems of the first content word behind each English negation."""
    if prepared.vocabulary.isdisjoint(NEGATIONS):
        return frozenset()
    said = prepared.words
    found = set()
    for at, word in enumerate(said):
        if word in NEGATIONS:
            after = said[at + 1 : at + 1 + _REACH]
            found.update(list(filter(None, map(content_stem, after)))[:1])
    return frozenset(found)
