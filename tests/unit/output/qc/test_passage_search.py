from __future__ import annotations

import random

from tests.unit.quality.corpus import make_examples, make_source

from pairmill.output.qc.passage_search import PassageIndex
from pairmill.quality.grounding import prepare_pair
from pairmill.records import Document


def document(text: str, name: str = "a") -> Document:
    return Document(id=name, text=text, source="", title="Kettles")


def test_every_chunk_of_1400_characters_lies_in_one_window() -> None:
    rng = random.Random(1)
    text = " ".join(make_source(rng).text for _ in range(8))
    passages = PassageIndex([document(text)])
    windows = [passages.window(number).text.text for number in range(len(passages))]
    assert len(windows) > 3
    for start in range(0, len(text) - 1400, 37):
        assert any(text[start : start + 1400] in window for window in windows)


def test_text_without_spaces_is_cut_as_well() -> None:
    passages = PassageIndex([document("銅" * 5000)])
    assert "".join(passages.window(0).text.words).startswith("銅" * 2000)
    assert len(passages) == 3


def test_the_best_window_is_the_source_and_the_rival_another_document() -> None:
    examples = make_examples(90, seed=3)
    texts = list(dict.fromkeys(example.source.text for example in examples))
    passages = PassageIndex([document(text, str(at)) for at, text in enumerate(texts)])
    for example in examples:
        best, rival = passages.find(prepare_pair("", example.answer))
        assert passages.window(best).text.text == example.source.text
        assert rival is not None
        assert passages.window(rival).text.text != example.source.text


def test_a_pair_that_names_its_document_is_held_against_that_one() -> None:
    """Documents of one form share nearly all words: another one may cover an answer as well."""
    texts = [
        " ".join(
            f"In {town} the mill number {at * 100 + number} turns for {at + number} people."
            for number, town in enumerate(("Oslo", "Riga", "Lima", "Turin") * 12)
        )
        for at in range(1, 40)
    ]
    passages = PassageIndex([document(text, str(at)) for at, text in enumerate(texts)])
    of = {passages.window(number).text.text: number for number in range(len(passages))}
    for at in (0, 17, 38):
        answer = " ".join(texts[at].split(". ")[-3:])
        best, rival = passages.find(prepare_pair("", answer), str(at))
        assert passages.window(best).text.text in texts[at]
        assert rival is not None
        assert passages.window(rival).text.text not in texts[at]
    foreign = prepare_pair("", texts[3])
    assert passages.find(foreign, "5")[0] in [of[text] for text in of if text in texts[5]]
    assert passages.find(foreign, "unknown") == passages.find(foreign)


def test_of_a_long_document_the_window_with_the_answer_is_found() -> None:
    rng = random.Random(5)
    sources = [make_source(rng).text for _ in range(60)]
    passages = PassageIndex([document(" ".join(sources), "book"), document(sources[0], "other")])
    for text in sources[10:50:10]:
        best, _ = passages.find(prepare_pair("", text), "book")
        assert text[:300] in passages.window(best).text.text or text[-300:] in (
            passages.window(best).text.text
        )


def test_words_that_stand_nowhere_find_the_first_window_and_no_rival() -> None:
    passages = PassageIndex([document("Copper kettles spread heat.")])
    assert passages.find(prepare_pair("", "Zither quartets!")) == (0, None)
    assert "kettl" in passages.window(0).content


def test_sentences_come_in_a_random_order_and_none_from_the_overlap() -> None:
    text = " ".join(f"Sentence number {at} stands here by itself." for at in range(400))
    passages = PassageIndex([document(text)])
    found = list(passages.sentences(random.Random(1)))
    numbers = [word for sentence in found for word in sentence.split() if word.isdigit()]
    assert numbers != sorted(numbers, key=int)
    assert len(set(numbers)) > 300
    assert len(numbers) < 1.15 * len(set(numbers))


def test_no_window_of_any_document_overlaps_with_another_that_is_taken() -> None:
    texts = [
        " ".join(f"Sentence number {at} of text {name} stands here." for at in range(120))
        for name in range(9)
    ]
    passages = PassageIndex([document(text, str(name)) for name, text in enumerate(texts)])
    assert len(passages) % len(texts) == 0
    assert len(passages) // len(texts) % 2 == 1  # every second document begins at an odd number
    found = list(passages.sentences(random.Random(1)))
    assert len(found) < 1.1 * len(set(found))
