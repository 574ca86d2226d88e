from __future__ import annotations

import random

import pytest
from tests.unit.quality.corpus import make_examples, stray_answer

from pairmill.quality.grounding import (
    coverage,
    evidence_match,
    fragments,
    prepare_chunk,
    prepare_pair,
    score,
    trigram_overlap,
    unseen_names,
    unseen_numbers,
)
from pairmill.quality.text import prepare, words

TEXT = (
    "The copper kettle was first used by the brewers of Hallstein. In 1874 a law asked every "
    "brewery with more than twelve workers to keep 1,500 litres of clean water at hand."
)


def test_a_verbatim_answer_is_covered_whole_and_in_one_run() -> None:
    chunk = prepare_chunk(TEXT)
    pair = prepare_pair("Why?", TEXT)
    found = fragments(pair.answer.words, chunk)
    assert score(pair, chunk) == 1.0
    assert trigram_overlap(pair, chunk) == 1.0
    assert found.coverage == 1.0
    assert found.longest == len(pair.answer.words) == found.density


def test_score_separates_own_from_stray_answers() -> None:
    rng = random.Random(4)
    for example in make_examples(60, seed=4):
        chunk = prepare_chunk(example.source.text)
        assert score(prepare_pair("", example.answer), chunk) > 0.6
        assert score(prepare_pair("", stray_answer(rng)), chunk) < 0.2


def test_grounding_works_in_japanese() -> None:
    chunk = prepare_chunk("銅の釜は北の谷の醸造者が最初に使った。火事を防ぐために水を貯えた。")
    own = prepare_pair("", "醸造者は銅の釜を使い、水を貯えた。", language=chunk.language)
    stray = prepare_pair("", "現代の音楽は多くの学生に人気がある。", language=chunk.language)
    assert chunk.language == "ja"
    assert score(own, chunk) > 0.5
    assert score(stray, chunk) < 0.2


def test_fragments_match_a_plain_reading_of_the_paper() -> None:
    rng = random.Random(0)
    letters = ["a", "b", "c", "d", "e"]
    for _ in range(300):
        source = rng.choices(letters, k=rng.randrange(1, 14))
        answer = rng.choices(letters, k=rng.randrange(1, 14))
        runs = plain_fragments(answer, source)
        found = fragments(answer, prepare_chunk(" ".join(source)))
        assert found.coverage == pytest.approx(sum(runs) / len(answer))
        assert found.density == pytest.approx(sum(run * run for run in runs) / len(answer))
        assert found.longest == max(runs, default=0)


def plain_fragments(answer: list[str], source: list[str]) -> list[int]:
    runs = []
    at = 0
    while at < len(answer):
        best = 0
        for start in range(len(source)):
            length = 0
            while (
                at + length < len(answer)
                and start + length < len(source)
                and answer[at + length] == source[start + length]
            ):
                length += 1
            best = max(best, length)
        if best:
            runs.append(best)
        at += max(best, 1)
    return runs


def test_numbers_are_compared_without_commas_and_as_words() -> None:
    chunk = prepare_chunk(TEXT, context=["Brewing since 1821"])
    assert unseen_numbers(prepare("In 1874, 12 workers kept 1500 litres; since 1821."), chunk) == []
    assert unseen_numbers(prepare("1. First, 2. then 99 litres in 1875"), chunk) == ["1875", "99"]


def test_names_are_looked_up_in_text_and_headings() -> None:
    chunk = prepare_chunk(TEXT, context=["By Anna Berg"])
    assert unseen_names("Anna Berg wrote of Hallstein. The Copper Kettle was new.", chunk) == []
    assert unseen_names("As Marie Curie said, use it.", chunk) == ["As Marie Curie"]


def test_evidence_is_found_exactly_or_nearly_or_not() -> None:
    chunk = prepare_chunk(TEXT)
    assert evidence_match("First used, by the BREWERS of Hallstein", chunk) == 100
    assert 90 <= evidence_match("first used by the brewer of Hallstein", chunk) < 100
    assert evidence_match("students love modern music", chunk) < 90
    assert evidence_match(" ... ", chunk) == 0


def test_an_empty_answer_has_nothing_uncovered() -> None:
    assert coverage(frozenset(), frozenset({"a"})) == 1.0
    assert fragments(words(""), prepare_chunk(TEXT)).longest == 0
