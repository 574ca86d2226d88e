"""The figures of ``qc``: one pass over the rows, then what only all of them together show."""

from __future__ import annotations

import random
import zlib
from collections import Counter, defaultdict
from dataclasses import dataclass, field, replace
from itertools import pairwise
from typing import TYPE_CHECKING

from pairmill.quality.duplicates import Item, find_duplicates, group
from pairmill.quality.embedding import find_alike
from pairmill.quality.filters import CHECKS, Case, PromptTerms
from pairmill.quality.grounding import (
    coverage,
    prepare_chunk,
    prepare_pair,
    score,
    trigram_overlap,
)
from pairmill.quality.language import identify
from pairmill.quality.stopwords import ENGLISH
from pairmill.quality.text import count_words, words
from pairmill.quality.thresholds import DEFAULT, Thresholds

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from pairmill.output.qc_library import Library
    from pairmill.output.qc_read import PairRow
    from pairmill.quality.embedding import Embed
    from pairmill.quality.grounding import PreparedChunk, PreparedPair

__all__ = ["QcMetrics", "measure"]

_CHECKS = {
    "points_at_source": "meta_references",
    "meta_text": "meta_text",
    "refusal": "refusals",
    "language": "wrong_language",
    "truncated": "truncated",
    "personal_data": "personal_data",
    "secret": "secrets",
    "yes_no": "yes_no",
}
_BRIEF = {"yes_no", "short_answers", "truncated"}  # no fault of a short answer to be checked
_SAMPLE = 1000
_LEAST_SAMPLE = 200  # below, diversity figures say more about the size than about the rows
_LEAST_TRIGRAMS = 0.05  # of an answer in its passage: paraphrases reach 0.19, unrelated text 0.003
_TOP_WORDS = 3


@dataclass(slots=True)
class QcMetrics:
    """What was measured: key to value, and for shares key to the numbers (from 1) of the rows."""

    values: dict[str, float] = field(default_factory=dict)
    rows: dict[str, list[int]] = field(default_factory=dict)
    notes: dict[str, str] = field(default_factory=dict)


def measure(
    rows: Sequence[PairRow],
    *,
    library: Library | None = None,
    terms: PromptTerms = PromptTerms(),  # noqa: B008 (frozen and empty)
    detect: Callable[[str], str | None] | None = None,
    embed: Embed | None = None,
    limits: Thresholds = DEFAULT,
    seed: int = 0,
) -> QcMetrics:
    """Measure all that can be: groundedness needs ``library``, leaks ``terms``, a leak two splits.

    Args:
        rows: At least one pair.
        library: The documents that the pairs were made from.
        terms: Phrases of the examples in the prompt that made them.
        detect: A trained language detector, instead of scripts and function words.
        embed: Embeddings, to find instructions of like meaning.
        limits: The thresholds of the checks of single pairs.
        seed: Of the samples.
    """
    figures = QcMetrics()
    found = _inspect_rows(rows, library, terms, detect, limits, seed, figures)
    for key, total in found.sums.items():
        figures.values[key] = total / found.counts[key]
    _count_repeats(rows, embed, figures)
    _find_leaks(rows, figures)
    _describe_variety(rows, figures, seed)
    return figures


@dataclass(slots=True)
class _Sums:
    sums: defaultdict[str, float] = field(default_factory=lambda: defaultdict(float))
    counts: Counter[str] = field(default_factory=Counter)

    def add(self, key: str, value: float) -> None:
        self.sums[key] += value
        self.counts[key] += 1


def _inspect_rows(
    rows: Sequence[PairRow],
    library: Library | None,
    terms: PromptTerms,
    detect: Callable[[str], str | None] | None,
    limits: Thresholds,
    seed: int,
    figures: QcMetrics,
) -> _Sums:
    rng = random.Random(seed)  # noqa: S311 (a sample, no secret)
    usual = _usual_language(rows, rng)
    empty = replace(prepare_chunk(""), language=usual)
    keys = [*_CHECKS.values(), "short_answers"]
    keys += ["leaked_terms"] if terms.joined or terms.canary else []
    keys += ["ungrounded", "copied", "unseen_numbers"] if library else []
    figures.rows = {key: [] for key in keys}
    found = _Sums()
    for number, row in enumerate(rows, 1):
        faults: set[str] = set()
        for asked, said in row.exchanges:
            pair = prepare_pair(asked, said, language=usual)
            best, rival = library.find(pair) if library else (0, None)
            chunk = library.window(best) if library else empty
            if library and chunk.language is None:
                chunk = replace(chunk, language=usual)
            case = Case(pair, chunk, (), limits, terms, score(pair, chunk))
            faults |= _faults(case, detect)
            if library and "wrong_language" not in faults:
                faults |= _ground(case, library.window(rival) if rival is not None else None, found)
            if asked:
                found.add("instruction_words", count_words(pair.instruction))
            found.add("answer_words", count_words(pair.answer))
        for key in (faults - _BRIEF if row.task == "question" else faults) & figures.rows.keys():
            figures.rows[key].append(number)
    for key, hits in figures.rows.items():
        figures.values[key] = len(hits) / len(rows)
    return found


def _faults(case: Case, detect: Callable[[str], str | None] | None) -> set[str]:
    faults = {key for name, key in _CHECKS.items() if CHECKS[name](case) is not None}
    if detect:
        faults.discard("wrong_language")
        expected = case.chunk.language
        spoken = detect(case.pair.answer.text)
        if expected and spoken and spoken != expected:
            faults.add("wrong_language")
    if count_words(case.pair.answer) < case.thresholds.answer_min_words:
        faults.add("short_answers")
    if CHECKS["prompt_leak"](case) is not None:
        faults.add("leaked_terms")
    return faults


def _ground(case: Case, rival: PreparedChunk | None, found: _Sums) -> set[str]:
    """Compare an answer with its best passage, and with the best of any other document."""
    pair, chunk = case.pair, case.chunk
    found.add("grounding", case.grounding)
    if rival:
        found.add("grounding_lift", case.grounding - coverage(pair.answer.content, rival.content))
    faults = set()
    if _is_ungrounded(case.grounding, pair, chunk, case.thresholds):
        faults.add("ungrounded")
    elif CHECKS["unseen_number"](case) is not None:
        faults.add("unseen_numbers")
    if CHECKS["near_copy"](case) is not None:
        faults.add("copied")
    return faults


def _is_ungrounded(
    grounding: float, pair: PreparedPair, chunk: PreparedChunk, limits: Thresholds
) -> bool:
    """Whether coverage is low, or doubtful without shared runs.

    The best of many passages shares some words with anything.
    """
    if grounding < limits.ungrounded_below:
        return True
    doubtful = grounding < limits.weakly_grounded_below
    return doubtful and trigram_overlap(pair, chunk) < _LEAST_TRIGRAMS


def _usual_language(rows: Sequence[PairRow], rng: random.Random) -> str | None:
    """The language of most answers, by a sample; None where there is no such."""
    sample = rng.sample(rows, min(len(rows), _SAMPLE))
    known = [language for row in sample if (language := identify(row.answer))]
    if not known:
        return None
    language, count = Counter(known).most_common(1)[0]
    return language if count > len(known) / 2 else None


def _count_repeats(rows: Sequence[PairRow], embed: Embed | None, figures: QcMetrics) -> None:
    items = [Item(f"{number:012}", row.key_text) for number, row in enumerate(rows, 1)]
    repeats = find_duplicates(items)
    near = sorted(int(name) for name in repeats)
    seen: set[tuple[str, ...]] = set()
    exact = []
    for number, row in enumerate(rows, 1):
        tokens = words(row.key_text)
        if tokens in seen:
            exact.append(number)
        seen.add(tokens)
    found = [("exact_repeats", exact), ("near_repeats", near)]
    if embed is not None:
        rest = [item for item in items if item.id not in repeats]
        alike = [int(name) for name in find_alike(rest, embed)]
        found.append(("alike_meanings", sorted([*near, *alike])))
    for key, hits in found:
        figures.rows[key] = hits
        figures.values[key] = len(hits) / len(rows)


def _find_leaks(rows: Sequence[PairRow], figures: QcMetrics) -> None:
    """Which rows of other splits have a near-duplicate in train."""
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
    figures.rows["train_test_leak"] = hits
    figures.values["train_test_leak"] = len(hits) / len(apart)


def _describe_variety(rows: Sequence[PairRow], figures: QcMetrics, seed: int) -> None:
    if len(rows) < _LEAST_SAMPLE:
        return
    asked = [words(row.key_text) for row in rows]
    openings = Counter(tokens[0] for tokens in asked if tokens)
    top = openings.most_common(_TOP_WORDS)
    figures.values["first_words"] = sum(count for _, count in top) / len(rows)
    figures.notes["first_words"] = ", ".join(f"{word} {count}" for word, count in top)
    phrases = Counter(phrase for tokens in asked for phrase in _phrases(tokens))
    if phrases:
        phrase, count = min(phrases.items(), key=lambda entry: (-entry[1], entry[0]))
        figures.values["common_phrase"] = count / len(rows)
        figures.notes["common_phrase"] = " ".join(phrase)
    rng = random.Random(seed)  # noqa: S311 (a sample, no secret)
    sample = rng.sample(range(len(rows)), min(len(rows), _SAMPLE))
    pairs = [pair for at in sample for pair in pairwise(asked[at])]
    figures.values["distinct_2"] = len(set(pairs)) / max(len(pairs), 1)
    joined = "\n".join(rows[at].key_text for at in sample).encode("utf-8", "backslashreplace")
    figures.values["compression_ratio"] = len(joined) / len(zlib.compress(joined, 9))


def _phrases(tokens: tuple[str, ...]) -> set[tuple[str, str]]:
    """Neighbouring words of which neither is a function word."""
    return {
        (one, two) for one, two in pairwise(tokens) if one not in ENGLISH and two not in ENGLISH
    }
