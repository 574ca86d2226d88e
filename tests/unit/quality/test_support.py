# ruff: noqa: E501 (sentences of texts)
from __future__ import annotations

import pytest

from pairmill.quality.filters import inspect
from pairmill.quality.grounding import (
    negated_words,
    prepare_chunk,
    prepare_pair,
    score,
    unseen_single_names,
)
from pairmill.quality.support import measure_support, support
from pairmill.quality.text import prepare
from pairmill.quality.thresholds import TABLES

TEXT = (
    "The copper kettle was first used by the brewers of the northern valley, because its broad "
    "base spread the heat evenly across the mash. In 1874 the town of Hallstein passed a law that "
    "every brewery with more than 12 workers keep a second kettle filled with clean water. Fires "
    "were common, and the wooden roofs stood so close that sparks jumped from one to the next. "
    "After the law, losses did not rise again, and the mayor of Brunn thanked the council."
)
TRUE = (
    "Brewers of the northern valley used a copper kettle because its broad base spreads the heat "
    "evenly. In 1874 Hallstein passed a law: a brewery with more than 12 workers keeps a second "
    "kettle of clean water. Losses did not rise again."
)
CHUNK = prepare_chunk(TEXT)


def of(answer: str, language: str | None = "en") -> float:
    found = support(prepare_pair("Why?", answer, language=language), CHUNK)
    assert found is not None
    return found


@pytest.mark.parametrize(
    "wrong",
    [
        TRUE.replace("1874", "1892"),
        TRUE.replace("Hallstein", "Brunn"),
        TRUE.replace("In 1874 Hallstein", "In 1874, Salzburg"),
        TRUE.replace("spreads the heat", "does not spread the heat"),
        TRUE.replace("broad base", "narrow base"),
        TRUE.replace("second kettle of clean water", "second kettle of dirty water"),
        f"{TRUE} Before the law, losses rose.",
        TRUE.replace("brewery with more than 12 workers keeps a second kettle",
                     "worker with more than 12 kettles keeps a second brewery"),
        f"{TRUE} Captains steered the ferry home by the note of an old brass horn in winter storms.",
        " ".join(sorted(TRUE.split())),
    ],
)  # fmt: skip
def test_each_kind_of_change_lowers_the_support_that_the_answer_had(wrong: str) -> None:
    assert wrong != TRUE
    assert of(wrong) < of(TRUE) - 0.02


def test_words_that_stand_in_the_text_in_another_order_are_grounded_and_hardly_supported() -> None:
    pair = prepare_pair("Why?", " ".join(reversed(TEXT.split())))
    assert score(pair, CHUNK) > 0.95
    found = measure_support(pair, CHUNK)
    assert found is not None
    assert found.turned > 0.3
    assert found.score < 0.25
    assert of(TEXT) > 0.5


def opposed(answer: str, text: str = TEXT) -> int:
    found = measure_support(prepare_pair("Why?", answer), prepare_chunk(text))
    assert found is not None
    return found.opposed


def test_a_word_that_stands_where_the_text_has_its_opposite_is_opposed() -> None:
    text = (
        "The cheaper oil burns longer before the lamp is dry. A cold oven stays empty all winter, "
        "and always smells of ash. A difficult lock is not open at night."
    )
    said = "{} oil burns {} before the lamp is dry, and the {} oven stays {} all winter."
    true = said.format("cheaper", "longer", "cold", "empty")
    assert opposed(true, text) == 0
    assert opposed(said.format("cheaper", "shorter", "cold", "empty"), text) == 1
    assert opposed(said.format("cheaper", "longer", "hot", "full"), text) == 2
    assert opposed(true.replace("before the lamp is dry", "after the lamp is dry"), text) == 1
    # The same said by way of its opposite, and a word that the text has elsewhere.
    assert opposed("At night the difficult lock is closed, as the lock was.", text) == 0
    assert opposed("The oven that is not hot stays empty all winter, and smells.", text) == 0


def test_a_folder_begun_before_keeps_its_score_and_its_flag() -> None:
    pair = prepare_pair("Why?", TRUE)
    signals = measure_support(pair, CHUNK)
    assert signals is not None
    before = TABLES["4"]
    assert support(pair, CHUNK, before.support_formula) == signals.first_score
    assert support(pair, CHUNK) == signals.score != signals.first_score
    assert before.weakly_supported_below == 0.15


def test_an_answer_that_its_text_does_not_back_up_is_flagged_and_no_other() -> None:
    for answer, flagged in (
        (TRUE, False),
        ("Storms broke the gallery windows in Paris. " * 5, True),
    ):
        pair = prepare_pair("Why were copper kettles used?", answer)
        found = {each.check for each in inspect(pair, CHUNK, support=support(pair, CHUNK))}
        assert ("weakly_supported" in found) == flagged
        assert "weakly_supported" not in {each.check for each in inspect(pair, CHUNK)}


def test_nothing_is_said_of_scripts_without_spaces_and_of_answers_of_few_words() -> None:
    chinese = prepare_chunk("\u94dc\u58f6\u4f20\u70ed\u5747\u5300\u3002" * 9, language="zh")
    assert (
        support(prepare_pair("?", "\u94dc\u58f6\u4f20\u70ed" * 9, language="zh"), chinese) is None
    )
    assert support(prepare_pair("Why?", "Copper spreads heat."), CHUNK) is None


def test_a_possessive_and_the_first_word_of_a_sentence_are_no_unseen_names() -> None:
    said = "Owners liked it, as Hallstein's law and Brunn\u2019s mayor say. Nobody asked Vienna's."
    assert unseen_single_names(said, CHUNK) == ["Vienna's"]
    assert (
        unseen_single_names("the Mayor of Austria", prepare_chunk(TEXT, context=["Austria"])) == []
    )


def test_the_word_behind_a_negation_is_negated() -> None:
    assert negated_words(prepare("It did not rise, and cannot ever burn; no losses.")) == {
        "ris",
        "burn",
        "loss",
    }
    assert negated_words(prepare("It rose.")) == frozenset()


def test_other_languages_with_spaces_have_a_support_too() -> None:
    text = (
        "Der kupferne Kessel wurde zuerst von den Brauern im Norden benutzt, weil sein breiter Boden "
        "die Hitze gleichmäßig verteilt. Danach erließ die Stadt ein Gesetz über sauberes Wasser."
    )
    chunk = prepare_chunk(text, language="de")
    good = prepare_pair("?", "Brauer im Norden benutzten kupferne Kessel, weil der breite Boden die "
                        "Hitze gleichmäßig verteilt.", language="de")  # fmt: skip
    bad = prepare_pair("?", "Die Stadt verteilt das Gesetz, weil Brauer zuerst sauberes Wasser und den "
                       "Boden im Norden benutzten.", language="de")  # fmt: skip
    told, other = support(good, chunk), support(bad, chunk)
    assert told is not None
    assert other is not None
    assert told > other + 0.3
