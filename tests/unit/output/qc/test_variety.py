from __future__ import annotations

import random

from pairmill.output.qc.passage_search import PassageIndex
from pairmill.output.qc.record_formats import PairRow
from pairmill.output.qc.variety import Profile, QcMetrics, describe_variety
from pairmill.output.rows import Place
from pairmill.records import Document


def described(requests: list[str], texts: list[str]) -> QcMetrics:
    rows = [
        PairRow(instruction=asked, answer="So.", place=Place("a", at))
        for at, asked in enumerate(requests, 1)
    ]
    passages = PassageIndex([Document(str(at), text, "a") for at, text in enumerate(texts)])
    figures = QcMetrics()
    describe_variety(rows, figures, 0, "en", Profile.GROUNDED, passages)
    return figures


def text_of(rng: random.Random, words: int) -> str:
    names = [f"word{at}" for at in range(3000)]
    return " ".join(" ".join(rng.choices(names, k=9)) + "." for _ in range(words // 9))


def test_variety_stands_beside_that_of_as_many_words_of_the_documents() -> None:
    rng = random.Random(3)
    requests = [f"What does the text say about word{at % 20} today?" for at in range(300)]
    own, texts = described(requests, [text_of(rng, 9000)]).variety
    assert own.name == "instructions"
    assert own.words == texts.words
    assert own.distinct_2 < 0.1
    assert texts.distinct_2 > 0.9
    assert own.compression > 3 * texts.compression


def test_documents_smaller_than_the_sample_are_no_measure() -> None:
    rng = random.Random(3)
    requests = [f"What does the text say about word{at} today?" for at in range(300)]
    figures = described(requests, [text_of(rng, 900)])
    assert [entry.name for entry in figures.variety] == ["instructions"]
    assert "distinct_2" not in figures.notes
