from __future__ import annotations

import time

import pytest

from pairmill.quality.filters import inspect
from pairmill.quality.grounding import prepare_chunk, prepare_pair
from pairmill.quality.text import prepare
from pairmill.quality.wording import find_chatter, find_cut, find_reference, find_refusal, quote


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


@pytest.mark.parametrize(
    "instruction",
    [
        "What does the passage say about kettles?",
        "Summarise the main points of this article.",
        "According to the text, why did brewers use copper?",
        "Why does the author prefer copper?",
        "What are the author's views on copper?",
        "Explain the method described above.",
        "List the tools mentioned in the article.",
        "What is the purpose of the given excerpt?",
        "In the provided context, what is a kettle?",
        "How are kettles built, as mentioned by the speaker?",
        "What happens in this chapter?",
        "How does the document explain brewing?",
        "It was used by brewers. Why?",
        "These are common in valleys; explain.",
        "What does the code above do?",
        "Based on the passage, list two reasons.",
        "What do the authors conclude about heat?",
        "What is discussed in the section?",
        "Summarise the passage for me.",
        "Could you summarize the text in two sentences?",
        "Rewrite the article for a beginner.",
        "Paraphrase the excerpt in your own words",
        "Sum up the document",
        "Translate the paragraph into German.",
        "Give me the gist of the text in plain English.",
        "Explain the passage to me please",
        "Condense the entire essay to three bullet points",
        "Using the text above, list two reasons.",
        "What follows from the section below?",
        "What does the author above recommend",
        "Retell the whole post as a dialogue.",
    ],
)
def test_references_are_found(instruction: str) -> None:
    assert find_reference(prepare(instruction))


@pytest.mark.parametrize(
    "instruction",
    [
        "What does overfitting mean in the context of neural networks?",
        "How does the context window of a language model limit it?",
        "Which text editor suits a beginner?",
        "How do I keep the text editor from wrapping lines?",
        "Write an article about copper kettles.",
        "What did the author of Moby-Dick do before he wrote it?",
        "How does a context switch work, and what does the kernel save?",
        "How is a document stored in the document database?",
        "What does Article 5 of the treaty demand?",
        "Draft a paragraph on tidal mills for the section on energy.",
        "Why do these valleys flood in spring?",
        "This winter I want to brew. Where do I start?",
        "How do page tables map an address?",
        "According to the Geneva Convention, who is a prisoner of war?",
        "How can I search for a passage of music by ear?",
        "Explain how text classification works.",
        "What is passed to the extract function in SQL?",
        "Is the above-ground pool cheaper?",
        "Translate the text editor's menu into German.",
        "How do I place text below an image?",
        "How do I centre the text above the button?",
        "Summarise the Treaty of Versailles for me.",
        "Explain the source code layout of the kernel in two sentences.",
        "How do I extract a table from the document in ten minutes?",
        "Rewrite the text field of a record with SQL.",
        "Shorten the page load time for me.",
        "Write a passage for me about copper.",
        "How do I summarise a document with a local model?",
        "Explain the context of the French Revolution to a beginner.",
    ],
)
def test_idioms_are_let_through(instruction: str) -> None:
    assert find_reference(prepare(instruction)) is None


def test_an_answer_may_look_back_at_itself() -> None:
    answer = prepare("It works. As the list above shows, copper spreads heat.")
    assert find_reference(answer, instruction=False) is None
    answer = prepare("A good ghost writer keeps the voice of the author, and copper in the text.")
    assert find_reference(answer, instruction=False) is None
    answer = prepare("The passage explains that copper spreads heat.")
    assert find_reference(answer, instruction=False) == "the passage explains"
