"""How varied the requests are: their first words, their phrases, and how much they repeat."""

from __future__ import annotations

import random
import zlib
from collections import Counter
from itertools import pairwise
from typing import TYPE_CHECKING

from pairmill.output.qc.metrics import Hit, Profile, Variety
from pairmill.quality.text import is_spaceless, words
from pairmill.quality.word_lists import ENGLISH, FUNCTION_WORDS

if TYPE_CHECKING:
    from collections.abc import Sequence

    from pairmill.output.qc.library import Library
    from pairmill.output.qc.metrics import QcMetrics
    from pairmill.output.qc.shapes import PairRow

__all__ = ["describe_variety"]

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
    library: Library | None = None,
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
    if library is None:
        return
    taken: list[tuple[str, ...]] = []
    left = own.words
    for sentence in library.sentences(rng):
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
