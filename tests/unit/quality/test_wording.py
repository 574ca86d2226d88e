from __future__ import annotations

import time

import pytest

from pairmill.quality.filters import inspect
from pairmill.quality.grounding import prepare_chunk, prepare_pair
from pairmill.quality.wording import find_chatter, find_cut, find_refusal, quote


def test_refusals_count_at_the_start_only() -> None:
    assert find_refusal("i'm sorry, but no.") == "the answer opens with 'i'm sorry'"
    assert find_refusal(f"{'copper spreads heat. ' * 10} i'm sorry for tin.") is None


def test_chatter_is_found_at_the_opening_and_placeholders_anywhere() -> None:
    assert find_chatter("**Answer:** copper", "") == "opens with '**Answer:'"
    assert find_chatter("Use [insert metal].", "use [insert metal].") == "holds '[insert'"
    assert find_chatter("Use [insert metal].", "") is None
    assert find_chatter("Surely copper is best.", "surely copper is best.") is None


@pytest.mark.parametrize(
    "answer", ["It is so.", "Is it so?", "so it is (really).", "1. copper\n2. tin", "| a | b |",
               "```\nx\n```", "そうです。", "He said “so.”", "**So it is.**"],
)  # fmt: skip
def test_whole_answers_are_not_cut(answer: str) -> None:
    assert find_cut(answer) is None


@pytest.mark.parametrize(
    ("language", "answer"),
    [
        ("ur", "یہاں ایک کروڑ سے زیادہ لوگ رہتے ہیں\u06d4"),
        ("hy", "Քաղաքը հիմնադրվել է երկու հազար ութ հարյուր տարի առաջ\u0589"),
        ("am", "በከተማዋ ውስጥ ብዙ ሕዝብ ይኖራል።"),
        ("bo", "པོ་ཏ་ལ་ཕོ་བྲང་ཡང་འདིར་ཡོད།"),
        ("el", "Πού βρίσκεται η πρωτεύουσα της Ελλάδας\u037e"),
        ("hi", "यह नगर बहुत पुराना है।"),
    ],
)
def test_every_scripts_own_full_stop_ends_a_sentence(language: str, answer: str) -> None:
    assert find_cut(answer) is None, language
    assert find_cut(answer[:-1]), language


@pytest.mark.parametrize("answer", ["It is", "It is so. And", "```\nx = 1", "one, two,"])
def test_cut_answers_are_found(answer: str) -> None:
    assert find_cut(answer)


def test_quotes_are_short_and_printable() -> None:
    assert quote("a\x1b[0m\nb") == "'a [0m b'"
    assert quote("x" * 500) == f"'{'x' * 60}…'"


@pytest.mark.parametrize(
    "part",
    ["a ", "1 ", "1234 ", "a@a.", "DE12", "1.1.1.", "a:", "+1 1 ", "eyJaaaaaaaaaaa.", "Aa ",
     "AKIA", "-----BEGIN PRIVATE KEY-----", "the author ", "```a", "\u0301", "\n- ", "a a a b "],
)  # fmt: skip
def test_hostile_text_cannot_hold_up_the_checks(part: str) -> None:
    text = part * (20_000 // len(part))
    started = time.process_time()
    chunk = prepare_chunk(text)
    inspect(prepare_pair(text, text, text), chunk)
    inspect(prepare_pair(text, text, text), prepare_chunk("a a a b " * 100))
    assert time.process_time() - started < 2
