from __future__ import annotations

import random

from tests.unit.quality.corpus import make_examples, make_source

from pairmill.output.qc.passage_search import Library
from pairmill.quality.grounding import prepare_pair
from pairmill.records import Document


def document(text: str, name: str = "a") -> Document:
    return Document(id=name, text=text, source="", title="Kettles")


def test_every_chunk_of_1400_characters_lies_in_one_window() -> None:
    rng = random.Random(1)
    text = " ".join(make_source(rng).text for _ in range(8))
    library = Library([document(text)])
    windows = [library.window(number).text.text for number in range(len(library))]
    assert len(windows) > 3
    for start in range(0, len(text) - 1400, 37):
        assert any(text[start : start + 1400] in window for window in windows)


def test_text_without_spaces_is_cut_as_well() -> None:
    library = Library([document("銅" * 5000)])
    assert "".join(library.window(0).text.words).startswith("銅" * 2000)
    assert len(library) == 3


def test_the_best_window_is_the_source_and_the_rival_another_document() -> None:
    examples = make_examples(90, seed=3)
    texts = list(dict.fromkeys(example.source.text for example in examples))
    library = Library([document(text, str(at)) for at, text in enumerate(texts)])
    for example in examples:
        best, rival = library.find(prepare_pair("", example.answer))
        assert library.window(best).text.text == example.source.text
        assert rival is not None
        assert library.window(rival).text.text != example.source.text


def test_a_pair_that_names_its_document_is_held_against_that_one() -> None:
    """Documents of one form share nearly all words: another one may cover an answer as well."""
    texts = [
        " ".join(
            f"In {town} the mill number {at * 100 + number} turns for {at + number} people."
            for number, town in enumerate(("Oslo", "Riga", "Lima", "Turin") * 12)
        )
        for at in range(1, 40)
    ]
    library = Library([document(text, str(at)) for at, text in enumerate(texts)])
    of = {library.window(number).text.text: number for number in range(len(library))}
    for at in (0, 17, 38):
        answer = " ".join(texts[at].split(". ")[-3:])
        best, rival = library.find(prepare_pair("", answer), str(at))
        assert library.window(best).text.text in texts[at]
        assert rival is not None
        assert library.window(rival).text.text not in texts[at]
    foreign = prepare_pair("", texts[3])
    assert library.find(foreign, "5")[0] in [of[text] for text in of if text in texts[5]]
    assert library.find(foreign, "unknown") == library.find(foreign)


def test_of_a_long_document_the_window_with_the_answer_is_found() -> None:
    rng = random.Random(5)
    sources = [make_source(rng).text for _ in range(60)]
    library = Library([document(" ".join(sources), "book"), document(sources[0], "other")])
    for text in sources[10:50:10]:
        best, _ = library.find(prepare_pair("", text), "book")
        assert text[:300] in library.window(best).text.text or text[-300:] in (
            library.window(best).text.text
        )


def test_words_that_stand_nowhere_find_the_first_window_and_no_rival() -> None:
    library = Library([document("Copper kettles spread heat.")])
    assert library.find(prepare_pair("", "Zither quartets!")) == (0, None)
    assert "kettl" in library.window(0).content


def test_sentences_come_in_a_random_order_and_none_from_the_overlap() -> None:
    text = " ".join(f"Sentence number {at} stands here by itself." for at in range(400))
    library = Library([document(text)])
    found = list(library.sentences(random.Random(1)))
    numbers = [word for sentence in found for word in sentence.split() if word.isdigit()]
    assert numbers != sorted(numbers, key=int)
    assert len(set(numbers)) > 300
    assert len(numbers) < 1.15 * len(set(numbers))


def test_no_window_of_any_document_overlaps_with_another_that_is_taken() -> None:
    texts = [
        " ".join(f"Sentence number {at} of text {name} stands here." for at in range(120))
        for name in range(9)
    ]
    library = Library([document(text, str(name)) for name, text in enumerate(texts)])
    assert len(library) % len(texts) == 0
    assert len(library) // len(texts) % 2 == 1  # every second document begins at an odd number
    found = list(library.sentences(random.Random(1)))
    assert len(found) < 1.1 * len(set(found))
