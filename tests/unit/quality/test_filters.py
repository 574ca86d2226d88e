# ruff: noqa: E501 (sentences stand on one line)
from __future__ import annotations

import pytest
from tests.unit.quality.corpus import make_examples

from pairmill.quality.filters import CHECKS, Finding, inspect, prompt_terms, worst
from pairmill.quality.grounding import prepare_chunk, prepare_pair, score
from pairmill.quality.thresholds import DEFAULT, POLICIES, TABLES, CheckPolicy, override

TEXT = (
    "The copper kettle was first used by the brewers of Hallstein, because its broad base spread "
    "the heat evenly across the mash. In 1874 a law asked every brewery with more than twelve "
    "workers to keep a second kettle of clean water at hand, since sparks jumped from one wooden "
    "roof to the next. After the law, losses fell by a third within five years."
)
CHUNK = prepare_chunk(TEXT, context=["Kettles"])
ASKED = "Why did the brewers of Hallstein use copper kettles, and what did a law change?"
ANSWER = (
    "Copper suited the brewers of Hallstein: a kettle with a broad base spreads heat evenly in the "
    "mash. Because sparks could jump between wooden roofs, a law from 1874 made each brewery of "
    "more than 12 workers keep clean water in a second kettle, and losses fell by a third."
)


def found(
    instruction: str = ASKED, answer: str = ANSWER, evidence: str = "", **given: object
) -> set[str]:
    pair = prepare_pair(instruction, answer, evidence, language=CHUNK.language)
    return {finding.check for finding in inspect(pair, CHUNK, **given)}  # type: ignore[arg-type]


def test_a_good_pair_has_no_findings() -> None:
    assert found(evidence="its broad base spread the heat evenly") == set()


def test_clean_pairs_have_no_findings() -> None:
    earlier: list = []  # type: ignore[type-arg]
    last = None
    for example in make_examples(300, seed=9):
        chunk = prepare_chunk(example.source.text)
        earlier = earlier if example.source is last else []
        last = example.source
        pair = prepare_pair(
            example.instruction, example.answer, example.evidence, language=chunk.language
        )
        findings = [finding.check for finding in inspect(pair, chunk, earlier)]
        assert findings in ([], ["twin"])  # two facts may call for the same question
        earlier.append(pair)


@pytest.mark.parametrize(
    ("check", "given"),
    [
        ("points_at_source", {"instruction": "What does the passage say about copper kettles?"}),
        ("points_at_source", {"answer": f"{ANSWER} The author argues that copper is best."}),
        ("ungrounded", {"answer": "Modern students enjoy music. " * 10}),
        ("weakly_grounded", {"answer": "Copper kettles spread heat; students enjoy music, films, books, sport daily."}),
        ("unseen_number", {"answer": f"{ANSWER} It cost 350 crowns."}),
        ("unseen_name", {"answer": f"{ANSWER} Ask Marie Curie."}),
        ("evidence_missing", {"evidence": "students love modern music a lot"}),
        ("near_copy", {"answer": TEXT}),
        ("instruction_length", {"instruction": "Why copper?"}),
        ("instruction_length", {"instruction": "Why copper kettles? " * 30}),
        ("answer_length", {"answer": "Copper spreads heat."}),
        ("answer_length", {"answer": "Copper spreads heat. " * 250}),
        ("yes_no", {"instruction": "Is copper good for kettles?", "answer": "Yes, it is."}),
        ("refusal", {"answer": f"I'm sorry, but as an AI I can't say. {ANSWER}"}),
        ("refusal", {"answer": " \n"}),
        ("meta_text", {"answer": f"Sure! {ANSWER}"}),
        ("meta_text", {"answer": f"Here are 3 instruction pairs: {ANSWER}"}),
        ("meta_text", {"instruction": f"Instruction 1: {ASKED}"}),
        ("meta_text", {"answer": f'{ANSWER} "answer": "x".'}),
        ("meta_text", {"answer": "..."}),
        ("meta_text", {"answer": f"Here is a concise summary of the passage: {ANSWER}"}),
        ("meta_text", {"answer": f"Here's my rewritten version: {ANSWER}"}),
        ("points_at_source", {"answer": f"In the passage, {ANSWER}"}),
        ("points_at_source", {"answer": f"The passage contains advice. {ANSWER}"}),
        ("points_at_source", {"answer": f"The passage is about brewing. {ANSWER}"}),
        ("prompt_leak", {"answer": f"{ANSWER} As for sourdough starter, feed it."}),
        ("prompt_leak", {"answer": f"{ANSWER} zq81xv."}),
        ("language", {"answer": "Die Brauer benutzten einen Kessel aus Kupfer, weil er nicht rostet."}),
        ("truncated", {"answer": ANSWER[:-12]}),
        ("truncated", {"answer": f"{ANSWER}\n```\nx = 1"}),
        ("personal_data", {"answer": f"{ANSWER} Write to a.berg@hallstein.org."}),
        ("secret", {"answer": f"{ANSWER} Use {'AKIA' + 'IOSFODNN7ABCDEFG'}."}),
    ],
)  # fmt: skip
def test_each_check_finds_its_fault(check: str, given: dict[str, str]) -> None:
    terms = prompt_terms(["sourdough starter", "heat"], canary="zq81xv")
    assert check in found(terms=terms, **given)


@pytest.mark.parametrize(
    ("check", "given"),
    [
        ("near_copy", {"answer": f"Run this:\n```\n{TEXT}\n```\nIt holds the whole law of brewers."}),
        ("yes_no", {"instruction": "Can copper kettles burn the mash of a brewer?"}),
        ("prompt_leak", {"answer": f"{ANSWER} Heat matters."}),
        ("truncated", {"answer": f"{ANSWER}\n- a second kettle"}),
        ("truncated", {"answer": f'{ANSWER} They said: "use copper."'}),
        ("truncated", {"answer": f"{ANSWER}\n```\nx = 1\n```"}),
        ("truncated", {"answer": "銅の釜を使った。"}),
        ("truncated", {"answer": f"{ANSWER}\n\n#brewing #copper"}),
        ("truncated", {"answer": f"Dear brewers,\n{ANSWER}\nYours,\nAnna Berg"}),
        ("truncated", {"answer": "Bright copper glows\nwhile the slow mash sings\nof the old valley"}),
        ("truncated", {"answer": f"{ANSWER}\n    kettle.heat(copper=True)"}),
        ("truncated", {"answer": f"{ANSWER} \U0001f37a"}),
        ("unseen_name", {"answer": f"{ANSWER} Ask the Hallstein's Brewers'."}),
        ("points_at_source", {"answer": f"{ANSWER} A passage of the valley was closed."}),
        ("meta_text", {"answer": f"Here are three reasons. {ANSWER}"}),
        ("refusal", {"answer": f"{ANSWER} Sailors say: I cannot brew without copper."}),
        ("unseen_number", {"answer": f"1. {ANSWER}\n2. Twelve workers."}),
    ],
)  # fmt: skip
def test_what_only_looks_like_a_fault_is_let_through(check: str, given: dict[str, str]) -> None:
    assert check not in found(terms=prompt_terms(["sourdough starter", "heat"]), **given)


def test_the_second_of_two_twins_is_found() -> None:
    first = prepare_pair(ASKED, ANSWER)
    assert found(earlier=[first]) == {"twin"}
    other = prepare_pair("Give advice on fire safety to a brewery.", ANSWER)
    assert found(earlier=[other]) == {"twin"}
    other = prepare_pair("Give advice on fire safety to a brewery.", "Keep clean water at hand.")
    assert found(earlier=[other]) == set()


def test_a_definition_may_be_short() -> None:
    answer = (
        "A copper kettle is a vessel in which brewers of Hallstein spread heat evenly across mash."
    )
    long_kind = prepare_pair(ASKED, answer, kind="explain")
    short_kind = prepare_pair(ASKED, answer, kind="definition_with_example")
    assert [finding.check for finding in inspect(long_kind, CHUNK)] == ["answer_length"]
    assert inspect(short_kind, CHUNK) == []


def test_a_check_that_is_kept_does_not_run() -> None:
    limits = override({"near_copy": "keep", "answer_min_words": 1})
    assert found(answer=TEXT, thresholds=limits) == set()
    assert DEFAULT.policies["near_copy"] is CheckPolicy.REPAIR


def test_the_worst_finding_decides() -> None:
    flag, repair, drop = (
        Finding("a", policy, "")
        for policy in (CheckPolicy.FLAG, CheckPolicy.REPAIR, CheckPolicy.DROP)
    )
    assert worst([flag, repair, drop]) is drop
    assert worst([flag, repair]) is repair
    assert worst([]) is None


def test_every_check_has_a_policy() -> None:
    assert list(CHECKS) == list(POLICIES)


def test_details_quote_hostile_text_on_one_short_line() -> None:
    pair = prepare_pair(ASKED, ANSWER, "evil \x1b[31m\n" * 50)
    (finding,) = inspect(pair, CHUNK)
    assert finding.detail.isprintable()
    assert len(finding.detail) < 120


def test_private_data_is_never_quoted() -> None:
    pair = prepare_pair(ASKED, f"{ANSWER} Write to a.berg@hallstein.org.")
    (finding,) = inspect(pair, CHUNK)
    assert finding.detail == "email"


def test_an_answer_is_ungrounded_below_30_percent_and_weakly_grounded_above() -> None:
    stray = [
        "violin",
        "orchestra",
        "sonata",
        "melody",
        "rhythm",
        "chord",
        "harmony",
        "quartet",
        "cello",
        "trumpet",
    ]
    own = [word for word in TEXT.split() if word.isalpha() and len(word) > 5]
    scores: list[float] = []
    for number in range(1, 10):
        answer = " ".join([*own[:number], *stray]) + "."
        grounding = score(prepare_pair(ASKED, answer, language=CHUNK.language), CHUNK)
        scores.append(grounding)
        assert ("ungrounded" in found(answer=answer)) == (grounding < 0.30)
        assert ("weakly_grounded" in found(answer=answer)) == (0.30 <= grounding < 0.45)
    assert any(0.2 < grounding < 0.3 for grounding in scores), scores
    assert any(0.3 <= grounding < 0.45 for grounding in scores), scores


def test_an_answer_that_is_the_text_by_design_may_point_at_itself() -> None:
    text = f"In this article, I describe the kettles of Hallstein. {TEXT}"
    chunk = prepare_chunk(text, context=["Kettles"])
    copies = override({"near_copy": "keep"})

    def policies(instruction: str, answer: str, thresholds: object = copies) -> list[CheckPolicy]:
        pair = prepare_pair(instruction, answer, language=chunk.language)
        findings = inspect(pair, chunk, thresholds=thresholds)  # type: ignore[arg-type]
        return [each.policy for each in findings if each.check == "points_at_source"]

    assert policies(ASKED, text) == [CheckPolicy.FLAG]
    assert policies("What does the article say about kettles?", text) == [CheckPolicy.REPAIR]
    assert policies(ASKED, f"In this article, copper is praised. {ANSWER}") == [CheckPolicy.REPAIR]
    assert policies(ASKED, text, DEFAULT) == [CheckPolicy.REPAIR]


def test_an_answer_of_a_few_words_is_no_foreign_one_for_a_synonym() -> None:
    asked = "Did losses in Hallstein go up or down after the law of 1874?"
    assert found(asked, "Fewer burned.") == {"weakly_grounded", "answer_length", "yes_no"}
    assert "ungrounded" in found(asked, "Fewer burned.", thresholds=TABLES["3"])
    assert "ungrounded" in found(asked, "Modern students enjoy films and music.")
