# ruff: noqa: RUF001 (words of several scripts)
"""The notation of the lists of phrases."""

from __future__ import annotations

import pytest

from pairmill.quality.phrases import LANGUAGES, phrases_of
from pairmill.quality.text import prepare
from pairmill.quality.wording import find_chatter, find_reference


@pytest.mark.parametrize("language", LANGUAGES)
def test_no_list_finds_anything_in_an_empty_text(language: str) -> None:
    known = phrases_of(language)
    assert known is not None
    for name in ("pointers", "instruction_pointers", "refusals", "chatter", "answer_chatter"):
        pattern = getattr(known, name)
        assert pattern is None or pattern.search(" 1. ") is None, name


def test_choices_and_the_rest_of_a_word_are_found_and_nothing_else() -> None:
    refusals = phrases_of("tr").refusals  # type: ignore[union-attr]
    assert refusals is not None
    assert refusals.search("bu konuda yorum yapamayız")  # "{yorum yapam*|...}"
    assert refusals.search("yorum yaptım") is None


def test_a_noun_for_the_source_points_unless_a_word_makes_it_a_certain_one() -> None:
    def points(instruction: str) -> bool:
        return find_reference(prepare(instruction, "de"), language="de") is not None

    assert points("Welche Zahl nennt der Artikel für 1850?")
    assert not points("Welche Zahl nennt der Artikel von Hutton für 1850?")
    assert not points("Was regelt der Artikel 12 der Verfassung?")


def test_what_a_person_may_open_with_is_chatter_of_an_answer_only() -> None:
    said = "Let me explain my problem: the lamp smells."
    assert find_chatter(said, "") is None
    assert find_chatter(said, said.lower()) is not None
    assert find_chatter("Great question! It burns.", "")
