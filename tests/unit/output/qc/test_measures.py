from __future__ import annotations

import json
import random
from collections.abc import Callable
from dataclasses import replace
from functools import cache

import pytest
from tests.unit.quality.corpus import Example, make_examples, stray_answer

from pairmill.errors import InputError, UsageError
from pairmill.output.qc.limits import LIMITS
from pairmill.output.qc.read import PairRow, Pairs
from pairmill.output.qc.report import Report, check, failures, render, to_json
from pairmill.quality.trust import Status
from pairmill.records import Document, digest

COUNT = 500
TERM = "sourdough starter"
EXAMPLES = make_examples(COUNT, seed=21)
DOCUMENTS = [
    Document(id=digest(text), text=text, source="")
    for text in dict.fromkeys(example.source.text for example in EXAMPLES)
]
ROWS = [PairRow(example.instruction, example.answer) for example in EXAMPLES]
GERMAN = (
    "Die Brauer im Tal nahmen einen Kessel aus Kupfer, weil er die Wärme gut verteilt. Nach dem "
    "Brand war das auch in der Stadt so, und man hat es nicht bereut. Wir wissen es von ihnen."
)

Plant = Callable[[PairRow, Example, random.Random], PairRow]


def plant(share: float, fault: Plant, seed: int = 5) -> list[PairRow]:
    """The clean rows with a fault in this share of them, drawn at random."""
    rng = random.Random(seed)
    hit = set(rng.sample(range(COUNT), round(share * COUNT)))
    return [fault(row, EXAMPLES[at], rng) if at in hit else row for at, row in enumerate(ROWS)]


def run(rows: list[PairRow], *, documents: bool = True) -> Report:
    given = DOCUMENTS if documents else None
    return check(Pairs(rows, 0), documents=given, examples=[TERM, "Sicilian defence"])


@cache
def clean() -> Report:
    return run(ROWS)


def values(report: Report) -> dict[str, float]:
    return {metric.key: metric.value for metric in report.metrics}


FAULTS: list[tuple[str, float, Plant]] = [
    ("exact_repeats", 0.24, lambda row, _, rng: replace(row, instruction="Describe the kettle.")),
    ("near_repeats", 0.20, lambda row, _, rng: replace(
        row, instruction="Describe at some length how brewers of the northern valley used to heat "
        f"the mash in a {rng.choice(['copper', 'granite', 'brass', 'cedar', 'tin'])} kettle")),
    ("ungrounded", 0.30, lambda row, _, rng: replace(row, answer=stray_answer(rng))),
    ("leaked_terms", 0.16, lambda row, _, rng: replace(
        row, instruction=f"{row.instruction[:-1]} for a {TERM}?")),
    ("meta_references", 0.12, lambda row, _, rng: replace(
        row, instruction=f"{row.instruction[:-1]}, according to the passage?")),
    ("copied", 0.18, lambda row, example, rng: replace(
        row, answer=example.source.text[: example.source.text.index(".", 250) + 1])),
    ("wrong_language", 0.10, lambda row, _, rng: replace(row, answer=GERMAN)),
    ("personal_data", 0.08, lambda row, _, rng: replace(
        row, answer=f"{row.answer} Write to {rng.choice('abc')}.berg@brewmail.org.")),
    ("secrets", 0.05, lambda row, _, rng: replace(
        row, answer=f"{row.answer} The key is {'AKIA' + 'IOSFODNN7ABCDEFG'}.")),
    ("refusals", 0.07, lambda row, _, rng: replace(
        row, answer="I'm sorry, but I cannot help with the request about kettles and brewing.")),
    ("meta_text", 0.07, lambda row, _, rng: replace(row, answer=f"Sure! {row.answer}")),
    ("truncated", 0.15, lambda row, _, rng: replace(row, answer=row.answer[:-9])),
    ("yes_no", 0.20, lambda row, example, rng: replace(
        row, instruction=f"Is it true that {row.instruction}", answer=row.answer[:120] + ".")),
]  # fmt: skip


def test_clean_pairs_raise_nothing() -> None:
    report = clean()
    assert {metric.key: metric.value for metric in report.metrics
            if metric.status in {Status.WARN, Status.FAIL}} == {}  # fmt: skip
    assert report.status is Status.OK
    assert failures(report, "warn") == []


@pytest.mark.parametrize(("key", "share", "fault"), FAULTS)
def test_a_planted_fault_is_found_within_two_points(key: str, share: float, fault: Plant) -> None:
    report = run(plant(share, fault))
    expected = share if key not in {"exact_repeats", "near_repeats"} else share - 5 / COUNT
    assert values(report)[key] == pytest.approx(values(clean())[key] + expected, abs=0.02)
    assert key in {metric.key for metric in failures(report, "warn")}


def test_all_faults_together_are_each_found_within_two_points() -> None:
    rng = random.Random(8)
    order = rng.sample(range(COUNT), COUNT)
    rows = list(ROWS)
    planted = {}
    for key, _, fault in FAULTS:
        if key in {"near_repeats", "yes_no", "exact_repeats"}:
            continue  # these change what other rows are compared with
        share = rng.choice([0.04, 0.06, 0.08])
        mine, order = order[: round(share * COUNT)], order[round(share * COUNT) :]
        planted[key] = share
        for at in mine:
            rows[at] = fault(rows[at], EXAMPLES[at], rng)
    found = values(run(rows))
    planted["ungrounded"] += planted["refusals"]  # a refusal stands in no text either
    for key, share in planted.items():
        assert found[key] == pytest.approx(share, abs=0.02), key


def test_a_model_that_never_saw_its_text_fails_loudly() -> None:
    report = run(plant(1.0, lambda row, _, rng: replace(row, answer=stray_answer(rng))))
    bad = {metric.key for metric in failures(report)}
    assert {"ungrounded", "grounding_lift"} <= bad
    assert "is the text in the prompt?" in render(report)


def reports_of_one_form() -> tuple[list[Document], list[str]]:
    """Documents that share nearly all of their words, and an answer from each."""
    rng = random.Random(4)
    towns = ("Oslo", "Riga", "Lima", "Turin", "Kyoto", "Quebec", "Accra", "Hobart")
    things = ("mill", "canal", "bakery", "harbour", "library", "railway")
    documents, answers = [], []
    for at in range(60):
        said = [(rng.choice(towns), rng.choice(things), rng.randrange(100, 999)) for _ in range(12)]
        text = " ".join(f"In {a} the {b} serves {n} people, as it did before." for a, b, n in said)
        documents.append(Document(id=str(at), text=text, source=""))
        answers.append(
            " ".join(f"The {b} in {a} serves {n} people, as before." for a, b, n in said[3:9])
        )
    return documents, answers


def test_documents_of_one_form_are_no_fault() -> None:
    """Words alone do not tell them apart; a row that names its document is held against that."""
    documents, answers = reports_of_one_form()
    rows = [
        PairRow(
            f"What do people rely on, number {at}?", answer, is_from_text=True, document=str(at)
        )
        for at, answer in enumerate(answers)
    ]
    keys = ("grounding_lift", "ungrounded", "weakly_supported", "unseen_numbers")
    told = {m.key: m for m in check(Pairs(rows, 0), documents=documents).metrics}
    assert told["grounding_lift"].value < 0.08
    assert {told[key].status for key in keys} <= {Status.OK, Status.INFO}
    assert "share most of their words" in told["grounding_lift"].note
    swapped = [replace(row, document=str((at + 7) % 60)) for at, row in enumerate(rows)]
    told = {m.key: m for m in check(Pairs(swapped, 0), documents=documents).metrics}
    assert told["unseen_numbers"].value > 0.9
    assert told["grounding_lift"].status is Status.FAIL


def test_without_documents_it_does_what_can_be_done() -> None:
    fault = FAULTS[4][2]
    report = run(plant(0.12, fault), documents=False)
    assert values(report)["meta_references"] == pytest.approx(0.12, abs=0.02)
    assert "ungrounded" not in values(report)
    assert "not checked: grounding_lift, copied: give the documents" in render(report)
    assert "copied" in report.unchecked


def test_a_leak_between_splits_is_found() -> None:
    rows = [replace(row, split="test" if at % 10 == 0 else "train") for at, row in enumerate(ROWS)]
    before = values(run(rows))["train_test_leak"]
    assert before <= 1 / 50  # a twin by chance
    for at in range(0, 150, 10):
        rows[at] = replace(rows[at], instruction=rows[at + 1].instruction.upper())
    assert values(run(rows))["train_test_leak"] == pytest.approx(before + 0.3, abs=0.02)


def test_an_instruction_set_that_is_all_alike_is_seen() -> None:
    openings = ["Describe the role of the", "Explain the role of the", "Discuss the role of the"]

    def alike(row: PairRow, example: Example, rng: random.Random) -> PairRow:
        subject = example.source.facts[0]["what"]
        return replace(row, instruction=f"{rng.choice(openings)} {subject} today.")

    bad = {metric.key: metric for metric in failures(run(plant(1.0, alike)), "warn")}
    assert {"first_words", "distinct_2", "compression_ratio"} <= bad.keys()
    assert "describe" in bad["first_words"].note


def test_a_phrase_that_many_instructions_share_is_named() -> None:
    def leak(row: PairRow, _: Example, __: random.Random) -> PairRow:
        return replace(row, instruction=f"{row.instruction} Mention the zither quartet.")

    report = run(plant(0.16, leak))
    (metric,) = [metric for metric in failures(report, "warn") if metric.key == "common_phrase"]
    assert metric.value == pytest.approx(0.16, abs=0.02)
    assert metric.note == "zither quartet"


def test_the_same_rows_give_the_same_report() -> None:
    assert run(ROWS[:250]) == run(ROWS[:250])


def test_rows_are_numbered_from_one() -> None:
    rows = [*ROWS[:3], replace(ROWS[3], answer="I cannot help."), *ROWS[4:8]]
    metric = next(m for m in run(rows).metrics if m.key == "refusals")
    assert metric.rows == (4,)
    assert run(rows).unchecked["distinct_2"] == "too few pairs"


def test_json_has_stable_keys() -> None:
    plain = to_json(run(plant(0.3, FAULTS[2][2])))
    assert json.loads(json.dumps(plain)) == plain
    assert plain["status"] == "fail"
    assert plain["metrics"].keys() <= LIMITS.keys()
    assert set(plain["metrics"]["ungrounded"]) == {
        "value", "status", "warn", "fail", "rows", "places", "note", "hint",
    }  # fmt: skip
    assert plain["metrics"]["ungrounded"]["hint"]
    assert plain["metrics"]["truncated"]["hint"] == ""


def test_fail_on_takes_a_level_or_keys() -> None:
    report = run(plant(0.04, FAULTS[4][2]))
    assert failures(report) == []
    assert [metric.key for metric in failures(report, "warn")] == ["meta_references"]
    assert [m.key for m in failures(report, "meta_references,copied")] == ["meta_references"]
    assert failures(report, "never") == []
    with pytest.raises(UsageError, match="unknown figure 'grounded'"):
        failures(report, "grounded")


def test_documents_without_text_are_refused() -> None:
    with pytest.raises(InputError, match="hold no text"):
        check(Pairs(ROWS[:5], 0), documents=[Document(id="a", text=" ", source="")])


def test_hostile_text_does_not_reach_the_terminal() -> None:
    rows = [replace(row, instruction="\x1b[2J evil\u202e phrase " + row.instruction)
            for row in ROWS]  # fmt: skip
    assert "\x1b" not in render(run(rows, documents=False))


def test_what_holds_together_is_told_from_what_only_shares_words() -> None:
    def backwards(row: PairRow, _: Example, __: random.Random) -> PairRow:
        return replace(row, answer=" ".join(reversed(row.answer.split())))

    def value(report: Report, key: str) -> float:
        return next(metric.value for metric in report.metrics if metric.key == key)

    turned = run(plant(1.0, backwards))
    assert value(clean(), "weakly_supported") < 0.05
    assert value(turned, "weakly_supported") > value(clean(), "weakly_supported") + 0.05
    assert value(turned, "support") < value(clean(), "support") - 0.1


def test_what_a_verifier_said_is_summed_up_by_sentences() -> None:
    rows = [*(replace(row, verified=(4, 1)) for row in ROWS[:20]), *ROWS[20:40]]
    found = next(
        metric
        for metric in run(rows, documents=False).metrics
        if metric.key == "unsupported_sentences"
    )
    assert found.value == 0.25
    assert found.status is Status.FAIL
    assert len(found.hits) == 20


def test_a_passage_that_is_to_be_found_is_no_copied_answer() -> None:
    rows = [
        replace(row, answer=example.source.text, task="question", is_found=number % 2 == 0)
        for number, (row, example) in enumerate(zip(ROWS[:60], EXAMPLES, strict=False))
    ]
    found = values(run(rows[::2]))
    assert not found.get("copied")
    assert values(run(rows[1::2]))["copied"] > 0.5


def test_in_a_script_that_is_not_known_no_check_of_words_says_ok() -> None:
    text = "ߓߟߏߦߊ ߟߎ߬ ߦߋ߫ ߞߊ߲ߓߍ߲ߞߊ߲ ߠߋ߬ ߘߌ߫ ߡߍ߲ ߦߋ߫ ߡߐ߱ ߟߎ߬ ߓߍ߯ ߞߊ߲߬"
    report = run(
        [PairRow(f"{text} {at}", f"{text} {text} {at}") for at in range(9)], documents=False
    )
    for key in ("meta_references", "refusals", "meta_text", "wrong_language", "truncated"):
        assert "a language that is not known" in report.unchecked[key], key
