from __future__ import annotations

from pairmill.quality.contamination import is_contaminated, read_benchmark

QUESTION = (
    "A farmer has seventeen sheep and all but nine run away; how many sheep are left on the farm "
    "at the end of the day?"
)
BENCHMARK = read_benchmark([QUESTION, "What is the capital of France?"])


def test_thirteen_words_in_a_row_are_a_hit() -> None:
    copied = " ".join(QUESTION.split()[3:16])
    assert is_contaminated(f"Consider a riddle I once heard from my uncle: {copied}.", BENCHMARK)
    twelve = " ".join(QUESTION.split()[3:15])
    padding = "I met my uncle at the market, and he told me many riddles that I liked a lot."
    assert not is_contaminated(f"{padding} {twelve}", BENCHMARK)


def test_half_of_the_runs_of_eight_are_a_hit() -> None:
    assert is_contaminated("all but nine run away how many sheep", BENCHMARK)
    assert not is_contaminated("all but nine run away how many goats", BENCHMARK)


def test_short_texts_are_nobodys() -> None:
    assert not is_contaminated("What is the capital of France?", BENCHMARK)
    assert not is_contaminated("", BENCHMARK)
