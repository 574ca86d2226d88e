"""How varied the requests are: their first words, their phrases, and how much they repeat."""

from __future__ import annotations

import random
import re
import zlib
from collections import Counter
from dataclasses import dataclass, field
from enum import StrEnum
from itertools import pairwise
from typing import TYPE_CHECKING, NamedTuple

from pairmill.output.qc.general import languages_named
from pairmill.quality.duplicates import Item, find_alike, find_duplicates, group, jaccard, shingles
from pairmill.quality.text import is_spaceless, words
from pairmill.quality.thresholds import LEAST_JACCARD
from pairmill.quality.word_lists import ENGLISH, FUNCTION_WORDS

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence

    from pairmill.output.qc.passage_search import PassageIndex
    from pairmill.output.qc.record_formats import PairRow
    from pairmill.quality.duplicates import Embed

__all__ = [
    "Hit",
    "Profile",
    "QcMetrics",
    "Variety",
    "count_repeats",
    "describe_variety",
    "find_leaks",
]


class Profile(StrEnum):
    """What kind of data is judged.

    ``grounded``: answers that rest on documents, or on a text of their own.
    ``general``: any requests with their replies.
    """

    GROUNDED = "grounded"
    GENERAL = "general"


class Hit(NamedTuple):
    """One thing found: in which row (from 1) and exchange (from 0), what, and the figure if any."""

    row: int
    exchange: int
    detail: str
    number: float | None = None


class Variety(NamedTuple):
    """How much a sample of texts repeats itself.

    Attributes:
        name: What the texts are.
        words: How many words the sample has.
        distinct_2: Different word pairs among all.
        compression: How far zlib packs it.
    """

    name: str
    words: int
    distinct_2: float
    compression: float


@dataclass(slots=True)
class QcMetrics:
    """Measured values.

    Attributes:
        values: Key to figure.
        hits: For shares: key to everything found, in the order of the rows.
        notes: Key to a remark.
        unchecked: Key to why it could not be measured.
        grounding: Of each answer that was held against a passage: coverage by it, and by the best
            passage of another document where there is one.
        variety: Of the instructions, and of as many words of the documents' sentences where these
            are at hand; empty for too few rows.
    """

    values: dict[str, float] = field(default_factory=dict)
    hits: dict[str, list[Hit]] = field(default_factory=dict)
    notes: dict[str, str] = field(default_factory=dict)
    unchecked: dict[str, str] = field(default_factory=dict)
    grounding: list[tuple[float, float | None]] = field(default_factory=list)
    variety: list[Variety] = field(default_factory=list)

    def rows(self, key: str) -> list[int]:
        """Numbers of the rows with something of this key, each once."""
        return list(dict.fromkeys(hit.row for hit in self.hits.get(key, ())))


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
    """Find sentences shared by so many requests that they must come from a template."""
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


_SAMPLE = 1000
_LEAST_SAMPLE = 200  # below, diversity figures say more about the size than about the rows
_TOP_WORDS = 3
_TASK_WORDS = frozenset(
    [
        "following",
        "sentence",
        "sentences",
        "text",
        "answer",
        "answers",
        "question",
        "questions",
        "step",
        "steps",
        "write",
        "written",
        "given",
        "input",
        "output",
        "word",
        "words",
        "list",
        "code",
        "function",
        "python",
        "paragraph",
        "article",
        "passage",
        "provide",
        "example",
        "examples",
        "generate",
        "create",
        "describe",
        "explain",
        "find",
        "calculate",
        "number",
        "numbers",
        "based",
        "using",
        "short",
        "story",
        "help",
        "please",
        "correct",
        "choose",
        "option",
        "options",
        "statement",
        "true",
        "false",
        "translate",
        "summarize",
        "classify",
        "identify",
        "rewrite",
    ]
)


def describe_variety(
    rows: Sequence[PairRow],
    figures: QcMetrics,
    seed: int,
    language: str | None,
    profile: Profile,
    passages: PassageIndex | None = None,
) -> None:
    """Put the figures on first words, phrases and variety beside the others.

    Sentences of the documents, as many words of them, say what the texts themselves would give:
    both figures depend on how much they are taken of.
    """
    if len(rows) < _LEAST_SAMPLE:
        return
    asked = [words(row.request if not row.further else row.key_text) for row in rows]
    openings = Counter(tokens[0] for tokens in asked if tokens)
    top = openings.most_common(_TOP_WORDS)
    figures.values["first_words"] = sum(count for _, count in top) / len(rows)
    figures.notes["first_words"] = ", ".join(f"{word} {count}" for word, count in top)
    _find_common_phrase(rows, asked, figures, language, profile)
    rng = random.Random(seed)  # noqa: S311 (a sample, no secret)
    sample = rng.sample(range(len(rows)), min(len(rows), _SAMPLE))
    own = _variety("instructions", [asked[at] for at in sample])
    figures.variety = [own]
    figures.values["distinct_2"] = own.distinct_2
    figures.values["compression_ratio"] = own.compression
    if passages is None:
        return
    taken: list[tuple[str, ...]] = []
    left = own.words
    for sentence in passages.sentences(rng):
        tokens = words(sentence)[:left]
        taken.append(tokens)
        left -= len(tokens)
        if left <= 0:
            break
    else:
        return  # the documents are smaller than the sample: nothing of its size to compare with
    texts = _variety("sentences of the documents", taken)
    figures.variety.append(texts)
    figures.notes["distinct_2"] = f"sentences of the documents: {texts.distinct_2:.2f}"
    figures.notes["compression_ratio"] = f"sentences of the documents: {texts.compression:.2f}"


def _variety(name: str, texts: Sequence[tuple[str, ...]]) -> Variety:
    pairs = [pair for tokens in texts for pair in pairwise(tokens)]
    joined = "\n".join(map(" ".join, texts)).encode("utf-8", "backslashreplace")
    return Variety(
        name,
        sum(map(len, texts)),
        len(set(pairs)) / max(len(pairs), 1),
        len(joined) / max(len(zlib.compress(joined, 9)), 1),
    )


def _find_common_phrase(
    rows: Sequence[PairRow],
    asked: Sequence[tuple[str, ...]],
    figures: QcMetrics,
    language: str | None,
    profile: Profile,
) -> None:
    """Find the two words, neither a function word, that most requests share.

    In general data also none that merely says what to do.
    """
    common = ENGLISH | FUNCTION_WORDS.get(language or "en", frozenset())
    if profile is Profile.GENERAL:
        common |= _TASK_WORDS
    spaceless = sum(bool(tokens) and is_spaceless(tokens[0]) for tokens in asked)
    if 2 * spaceless > len(rows):
        figures.unchecked["common_phrase"] = "the script has no spaces between words"
        return
    phrases = Counter(
        phrase
        for tokens in asked
        for phrase in {
            (one, two) for one, two in pairwise(tokens) if one not in common and two not in common
        }
    )
    if phrases:
        phrase, count = min(phrases.items(), key=lambda entry: (-entry[1], entry[0]))
        figures.values["common_phrase"] = count / len(rows)
        figures.notes["common_phrase"] = " ".join(phrase)
        both = f" {' '.join(phrase)} "
        figures.hits["common_phrase"] = [
            Hit(number, 0, f"holds '{both.strip()}'")
            for number, tokens in enumerate(asked, 1)
            if both in f" {' '.join(tokens)} "
        ]
