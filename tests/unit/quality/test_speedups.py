from __future__ import annotations

import tracemalloc

import pytest

from pairmill.quality import speedups
from pairmill.quality.stems import ENGLISH_STEMS, Stems
from pairmill.quality.text import prepare

pytestmark = pytest.mark.skipif(not speedups.are_used(), reason="the extension was not built")


def _texts(first: int, last: int) -> list[str]:
    """Texts of ten words each that no other one has."""
    return [" ".join(f"w{text}x{word}" for word in range(10)) for text in range(first, last)]


def test_words_are_kept_by_the_extension_alone() -> None:
    """A second memory of the same words, of 14 MB, filled up over a hundred thousand texts."""
    before = len(ENGLISH_STEMS)
    for text in _texts(0, 100):
        assert prepare(text, "en").content_length == 10
    assert len(ENGLISH_STEMS) == before


def test_a_lexicon_takes_no_more_for_ten_times_as_many_words() -> None:
    held = []
    tracemalloc.start()
    try:
        lexicon = speedups.Lexicon(lambda word: (word, 0), 3_000)
        for texts in (_texts(0, 400), _texts(400, 4_000)):
            for text in texts:
                speedups.Text(lexicon, text.encode(), b"")
            del texts, text
            held.append(tracemalloc.get_traced_memory()[0])
    finally:
        tracemalloc.stop()
    assert held[1] < 1.01 * held[0]


def test_the_reference_forgets_words_when_it_has_enough() -> None:
    stems = Stems("en")
    for number in range(2 * Stems.MOST + 10):
        assert stems[f"w{number}"]
        assert stems[f"{number}"] == ""
    assert len(stems) == 10
