"""The compiled loops give what the reference in Python gives, on texts that try to differ."""

from __future__ import annotations

from itertools import pairwise

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from pairmill.quality import speedups
from pairmill.quality.canary import ChunkComparer
from pairmill.quality.filters import prompt_terms
from pairmill.quality.grounding import (
    coded_fragments,
    count_unseen_negations,
    count_unseen_numbers,
    covered_by,
    prepare_chunk,
    prepare_pair,
    shared_fragments,
    unseen_names,
    unseen_single_names,
)
from pairmill.quality.language import _has_own_words, is_confirmed
from pairmill.quality.support import SupportSignals, measure_support
from pairmill.quality.text import Prepared, count_words, prepare, shared_content
from pairmill.recipes.checks import CheckJob, Checks, ChunkText, PairText, judge
from pairmill.sources import characters

needs_extension = pytest.mark.skipif(not speedups.are_used(), reason="the extension was not built")
pytestmark = needs_extension
calm = settings(deadline=None)

_WORDS = st.sampled_from(
    ["the", "of", "and", "not", "never", "no", "without", "kettle", "kettles", "Kettle", "brewing",
     "brewed", "copper", "Hallstein", "Hallstein's", "don't", "don\u2019t", "twelve", "12", "1,000",
     "1000", "3.5", "12:30", "1", "7,", "x1984", "DE12", "a", "I", "is", "was", "water", "fire",
     "roofs", "the article", "passage", "above", "According to the passage", "sourdough starter",
     "café", "naïve", "Straße", "STRASSE", "été", "ﬁre", "İstanbul", "Ελλάδα", "Москва", "не", "и",
     "на", "der", "und", "das", "nicht", "la", "les", "des", "pas", "日本語", "水", "น้ำ", "한국어",
     "snake_case", "e\u0301", "\u00a0", "\x1c", "\x85", "\ud7ff", "mail@host.net", "+49 30 1234567",
     "AKIAIOSFODNN7EXAMPLE", "```", "\u2028", "\u200b", "1\u0661\u0662", "²", "½", "a" * 70]
)  # fmt: skip
_GAPS = st.sampled_from([" ", " ", " ", ", ", ". ", "; ", "\n", "-", "'", "_", ""])
_PARTS = st.tuples(st.one_of(_WORDS, _WORDS, _WORDS, st.text(max_size=4)), _GAPS)


def _phrases(least: int) -> st.SearchStrategy[str]:
    return st.lists(_PARTS, min_size=least, max_size=40).map(
        lambda parts: characters.strip_surrogates("".join(word + gap for word, gap in parts))
    )


PHRASES = _phrases(0)
LANGUAGES = st.sampled_from(["en", None, "de", "ru", "fr", "zh", "th", "und", "xx"])


@st.composite
def sources_with_answers(draw: st.DrawFn) -> tuple[str, str, str]:
    """A text, a heading, and an answer that mostly repeats parts of the text."""
    text, heading = draw(st.one_of(PHRASES, _phrases(25), _phrases(25))), draw(PHRASES)
    parts = [draw(PHRASES)]
    for _ in range(draw(st.integers(1, 3))):
        at = draw(st.integers(0, max(len(text) - 1, 0)))
        parts.append(text[at : at + draw(st.integers(10, 150))])
    if draw(st.booleans()):
        parts.append(" ".join(draw(st.permutations(text.split()[:30]))))
    return text, heading, draw(st.sampled_from([" ", "", ". "])).join(draw(st.permutations(parts)))


def _told(text: Prepared, language: str | None) -> list[object]:
    known = language or "en"
    return [
        text.words, text.length, text.vocabulary, text.content_length, text.content,
        count_words(text), is_confirmed(text, known), is_confirmed(text, "en"),
        _has_own_words(text, known), _has_own_words(text, "fr"),
        [text.holds(word) for word in ("the", "kettle", "не", "straße", "12", "zzz")],
    ]  # fmt: skip


def _measured(text: str, heading: str, answer: str, language: str | None) -> list[object]:
    chunk = prepare_chunk(text, context=[heading], language=language)
    pair = prepare_pair(heading, answer, language=chunk.language)
    said = pair.answer
    return [
        chunk.language, _told(chunk.text, chunk.language), _told(said, chunk.language),
        covered_by(said, chunk), measure_support(pair, chunk), count_unseen_numbers(said, chunk),
        count_unseen_negations(said, chunk), unseen_names(answer, chunk),
        unseen_single_names(answer, chunk), shared_content(said, pair.instruction),
        shared_content(said, chunk.text), shared_fragments(said, chunk, 0),
        coded_fragments(chunk.encode(said.words), chunk),
    ]  # fmt: skip


@calm
@given(sources_with_answers(), LANGUAGES)
def test_each_measure_is_the_references(texts: tuple[str, str, str], language: str | None) -> None:
    fast = _measured(*texts, language)
    with speedups.reference():
        assert fast == _measured(*texts, language)


@calm
@given(st.lists(sources_with_answers(), min_size=1, max_size=4), LANGUAGES)
def test_verdicts_and_what_the_canary_sees_are_the_references(
    units: list[tuple[str, str, str]], language: str | None
) -> None:
    checks = Checks(terms=prompt_terms(["sourdough starter"], "k3j4"))

    def verdicts() -> list[object]:
        comparer = ChunkComparer(0)
        found: list[object] = []
        for text, heading, answer in units:
            texts = [
                PairText(heading, answer, answer[:40]),
                PairText(answer[:50], text[:200], heading[:40]),
                PairText(heading, answer),
            ]
            reply = judge(
                CheckJob(ChunkText("c", text, [heading], language), checks, texts), comparer
            )
            found += [reply.verdicts, reply.canary_input]
        return found

    fast = verdicts()
    with speedups.reference():
        assert fast == verdicts()


# What some check looks for, or nearly; at the beginning, at the end, or between.
_FAULTS = st.sampled_from(
    ["Is it made of copper? ", "Can it be? ",
     "Sure, ", "Sure! ", "\u017fure, ", "Of course. ", "**Answer:** ", "Here is the answer: ",
     "Great question! ", "That's a great question. ", "Let me explain. ",
     "What an interesting question! ", "Instructions: ", "...", "\u2026", "[insert name]",
     "Lorem Ipsum", "the given prompt", "<|im_start|>", '"pairs":', "I cannot help with that. ",
     "I\u2019m sorry, ", "As an AI, ", "regrettably, ", "It is so. ", "These are ",
     "as mentioned above", "in the passage", "the author argues", "the article", "Marie Curie",
     "MARIE Curie", "Marie  Curie", "Marie\nCurie", "O'Neil Jr", "in Boston", "in Boston?",
     "in Boston\u00e9", "in Co-op", "x; Ada_B", "in " + "B" * 70, "in \u212aelvin",
     "AIzaSyA1234567890abcdefghijklmnopqrstuv", "sk-abcdefghijklmnopqrstuv",
     "xoxb-1234567890-abc", "eyJhbGciOiJI.eyJzdWIiOiIx.c2lnbmF0dXJl",
     "-----BEGIN PRIVATE KEY-----", "a_b", "anna@brewmail.org", "+493012345678", "030 123 45 67",
     "555-123-4567", "4111 1111 1111 1111", "4111111111111111", "DE89 3704 0044 0532 0130 00",
     "DE89370400440532013000", "8.8.8.8", "1.2", "12345678", "2001:4860:4860::8888", "a:b:c",
     "12:30 and 12:45", "k3j4", "sourdough starter", "```python\nx = 1\n```", "`x`", "and so on",
     "and so on\u2026", "end.)", 'end."', "end.\u201d", "end;", "- a list", "\x0b", "\x00", "?",
     "\u0130"]
)  # fmt: skip
_PROSE = (
    "the kettle is of copper and it was made in the town that had no other smith for many years "
)


@settings(deadline=None, max_examples=400)
@given(
    st.lists(st.one_of(_FAULTS, _FAULTS, _phrases(1), st.just(_PROSE)), min_size=2, max_size=9),
    st.integers(0, 9),
    LANGUAGES,
    st.booleans(),
)
def test_what_no_check_is_asked_about_is_no_fault(
    parts: list[str], at: int, language: str | None, is_known: bool
) -> None:
    asked, said = " ".join(parts[:at]), "".join(parts[at:])
    source = (
        f"{_PROSE}{' '.join(parts) if is_known else ''} and Ada came to Boston in 1984. {_PROSE}"
    )
    checks = Checks(terms=prompt_terms(["sourdough starter"], "k3j4"))
    texts = [
        PairText(asked, said, said[:30]),
        PairText(said[:80], f"{_PROSE}{asked}{_PROSE}{said}"),
    ]

    def verdicts() -> list[object]:
        job = CheckJob(ChunkText("c", source, ["On kettles"], language), checks, texts)
        return [*judge(job, ChunkComparer(0)).verdicts]

    fast = verdicts()
    with speedups.reference():
        assert fast == verdicts()


def test_most_examples_share_runs_negations_or_numbers() -> None:
    """The generator must make what the loops count; without that, equal results say nothing."""
    seen: list[tuple[bool, ...]] = []

    @settings(deadline=None, max_examples=150, database=None, derandomize=True)
    @given(sources_with_answers())
    def look(texts: tuple[str, str, str]) -> None:
        text, heading, answer = texts
        chunk = prepare_chunk(text, context=[heading], language="en")
        said = prepare(answer, "en")
        pair = prepare_pair(heading, answer)
        near = measure_support(pair, chunk)
        seen.append(
            (
                shared_fragments(said, chunk, 0).longest > 1,
                near is not None and 0 < near.near < 1,
                count_unseen_negations(said, chunk) + count_unseen_numbers(said, chunk) > 0,
            )
        )

    look()
    runs, neighbours, unseen = (sum(column) / len(seen) for column in zip(*seen, strict=True))
    assert runs > 1 / 3
    assert neighbours > 1 / 20
    assert unseen > 1 / 10


_OPPOSITES = {"hot": "cold", "full": "empty", "longer": "shorter", "before": "after",
              "more": "less", "always": "never", "first": "last", "open": "closed"}  # fmt: skip
_TALK = st.lists(
    st.sampled_from([*_OPPOSITES, *_OPPOSITES.values(), "oil", "lamp", "oven", "burns", "winter",
                     "night", "smells", "the", "of", "not"]),
    min_size=12, max_size=40,
)  # fmt: skip


def test_opposites_are_counted_as_by_the_reference() -> None:
    counts = []
    turned = {**_OPPOSITES, **{other: one for one, other in _OPPOSITES.items()}}

    @settings(deadline=None, max_examples=200, derandomize=True, database=None)
    @given(_TALK, st.lists(st.booleans(), min_size=40, max_size=40))
    def look(said: list[str], swaps: list[bool]) -> None:
        answer = [
            turned.get(word, word) if swap else word
            for word, swap in zip(said, swaps, strict=False)
        ]

        def measured() -> SupportSignals | None:
            chunk = prepare_chunk(" ".join(said), language="en")
            return measure_support(prepare_pair("Why?", " ".join(answer)), chunk)

        fast = measured()
        with speedups.reference():
            assert fast == measured()
        counts.append((fast.opposed, fast.strayed) if fast else (0, 0))

    look()
    opposed, strayed = (sum(map(bool, column)) for column in zip(*counts, strict=True))
    assert min(opposed, strayed) > len(counts) / 5


def test_a_lexicon_that_is_full_starts_again_and_keeps_its_answers() -> None:
    asked: list[str] = []

    def describe(word: str) -> tuple[str, int]:
        asked.append(word)
        return word[:3], 1

    lexicon = speedups.Lexicon(describe, 4)
    words = [f"word{number}" for number in range(10)]
    texts = [speedups.Text(lexicon, " ".join(words).encode(), b"") for _ in range(2)]
    assert [text.distinct for text in texts] == [10, 10]
    assert [text.content for text in texts] == [1, 1]
    assert texts[0].shared(texts[1]) == 1
    assert len(asked) == 20


def test_what_goes_wrong_in_a_description_is_raised() -> None:
    def fails(_word: str) -> tuple[str, int]:
        raise LookupError

    with pytest.raises(LookupError):
        speedups.Text(speedups.Lexicon(fails, 4), b"word", b"")
    with pytest.raises(TypeError, match="Lexicon"):
        speedups.Text(object(), b"word", b"")  # type: ignore[arg-type]
    text = prepare("a text").fast
    assert text is not None
    for call in (text.shared, text.holds_run):
        with pytest.raises(TypeError):
            call(7)  # type: ignore[arg-type]
    with pytest.raises(TypeError, match="two or six"):
        text.compare(text)  # type: ignore[call-arg]
    with pytest.raises(TypeError, match="two or six"):
        text.compare(text, "no text")  # type: ignore[arg-type]
    with pytest.raises(ValueError, match="opposite"):
        text.compare(text, text, text, speedups.word_table(["copper", "kettles"]), text, text)
    with pytest.raises(ValueError, match="flag"):
        text.count(99)


def test_hash_collisions_of_short_and_long_words_do_not_occur_in_a_large_vocabulary() -> None:
    words = {f"{head}{number}" for number in range(20_000) for head in ("", "a", "longer-word-")}
    lexicon = speedups.Lexicon(lambda word: (word, 0), 1 << 20)
    text = speedups.Text(lexicon, " ".join(sorted(words)).encode(), b"")
    assert text.distinct == text.content == len(words)
    assert all(text.holds(one) for one, _ in pairwise(sorted(words)))
