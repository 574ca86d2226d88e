from __future__ import annotations

import re

import pytest
from hypothesis import given
from hypothesis import strategies as st

from pairmill.simulator.content import (
    UNRELATED,
    draft_pairs,
    find_passage,
    rephrase,
    split_sentences,
    wanted_pairs,
)
from pairmill.simulator.rng import Rng, digest_of

RIVER = (
    "The Amber river rises in the northern hills and runs to the sea. It floods in spring because "
    "the snow melts quickly.\n\nFarmers grow rice on its banks, and boats carry the harvest to "
    "market. In 1820 a mill was built at the ford."
)


def words(text: str) -> set[str]:
    return {word for word in re.findall(r"[a-z0-9]+", text.lower()) if len(word) > 3}


def test_the_passage_is_what_stands_between_the_fences() -> None:
    message = "Write N=2 pairs.\n<<<PASSAGE\nOne line.\nPASSAGE>>> is quoted here.\nPASSAGE>>>\nGo."
    passage, around = find_passage(message)
    assert passage == "One line.\nPASSAGE>>> is quoted here."
    assert around == "Write N=2 pairs.\n\nGo."


@pytest.mark.parametrize(
    "message", ["no fence", "<<<PASSAGE\nnever closed", "PASSAGE>>> <<<PASSAGE"]
)
def test_without_a_fence_the_message_is_the_passage(message: str) -> None:
    assert find_passage(message) == (message, "")


def test_the_number_of_pairs_is_read_and_bounded() -> None:
    assert wanted_pairs("Write N=5 pairs", 3) == 5
    assert wanted_pairs("Write pairs", 3) == 3
    assert wanted_pairs("N = 999", 3) == 10
    assert wanted_pairs("N=1, passage on bread: {}\n\nN=4\nPairs: 1. explain", 3) == 4


def test_pairs_come_from_the_passage() -> None:
    drafts = draft_pairs(RIVER, 3, Rng(7))
    assert len(drafts) == 3
    assert len({draft.answer for draft in drafts}) == 3
    for draft in drafts:
        assert draft.evidence
        assert draft.evidence in RIVER
        assert words(draft.answer) <= words(RIVER) | {
            "also",
            "same",
            "time",
            "here",
            "then",
            "that",
        }
        assert words(draft.instruction) & words(RIVER)


def test_answers_are_no_copies() -> None:
    for draft in draft_pairs(UNRELATED, 3, Rng(1)):
        copied = [part for part in split_sentences(draft.answer) if part in UNRELATED]
        assert len(copied) <= 1


def test_a_passage_with_fewer_sentences_gives_fewer_pairs() -> None:
    assert len(draft_pairs("Only one sentence stands in here.", 3, Rng(0))) == 1
    assert draft_pairs("## Menu\n\nHome", 3, Rng(0)) == []
    assert draft_pairs("", 3, Rng(0)) == []


def test_the_same_dice_give_the_same_drafts_and_others_do_not() -> None:
    assert draft_pairs(UNRELATED, 3, Rng(5)) == draft_pairs(UNRELATED, 3, Rng(5))
    assert draft_pairs(UNRELATED, 3, Rng(5)) != draft_pairs(UNRELATED, 3, Rng(6))


def test_a_clause_is_turned_round() -> None:
    turned = rephrase("The river floods in spring because the snow melts quickly.", Rng(0))
    assert turned == "Because the snow melts quickly, the river floods in spring."


def test_a_language_without_spaces_is_cut_at_its_own_marks() -> None:
    passage = "川は北の山から海へ流れています。農家は川の近くで米を作っています。"
    drafts = draft_pairs(passage, 3, Rng(2))
    assert len(drafts) == 2
    assert all(draft.evidence in passage for draft in drafts)


@given(st.text(), st.integers(0, 10), st.integers())
def test_any_text_gives_drafts_whose_evidence_is_copied(text: str, count: int, seed: int) -> None:
    drafts = draft_pairs(text, count, Rng(seed))
    assert len(drafts) <= count
    assert all(draft.evidence in text and draft.instruction and draft.answer for draft in drafts)


def test_draws_are_the_same_everywhere() -> None:
    # The first outputs of SplitMix64 for the seed 1234567, as its authors' C code prints them.
    rng = Rng(1234567)
    assert [rng.draw() for _ in range(3)] == [
        6457827717110365317,
        3203168211198807973,
        9817491932198370423,
    ]
    assert digest_of(0, b"question") != digest_of(1, b"question")
    assert all(0 <= Rng(seed).share() < 1 for seed in range(100))
