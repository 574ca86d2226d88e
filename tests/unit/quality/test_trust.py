from __future__ import annotations

import json
from typing import Any

import pytest

from pairmill.quality.trust import (
    Agreement,
    Check,
    RunFigures,
    VoiceFigures,
    agree,
    parse_figures,
    spearman,
    status_of,
    verdicts,
    weighted_kappa,
)


def test_full_agreement() -> None:
    assert agree([1, 3, 5], [1, 3, 5]) == Agreement(3, 1.0, 1.0, 1.0)


def test_missing_ratings_are_left_out_and_never_scored() -> None:
    found = agree([1, None, 5, 4], [1, 5, None, 2])
    assert (found.compared, found.exact, found.within_one) == (2, 0.5, 0.5)
    assert found.kappa == weighted_kappa([1, 4], [1, 2])
    assert agree([None], [3]) == Agreement(0, None, None, None)


def test_kappa_by_hand() -> None:
    # observed 1+0+1+0 = 2; expected (all 16 combinations) (3 * 6 + 14) / 4 = 8
    assert weighted_kappa([1, 2, 3, 4], [2, 2, 2, 4]) == pytest.approx(1 - 2 / 8)
    assert weighted_kappa([1, 5], [5, 1]) == pytest.approx(-1.0)
    assert weighted_kappa([3, 3], [3, 3]) is None


def test_spearman_with_ties() -> None:
    assert spearman([1, 2, 3], [10, 20, 90]) == pytest.approx(1.0)
    assert spearman([1, 2, 3], [3, 2, 1]) == pytest.approx(-1.0)
    assert spearman([1, 2, 2, 4], [1, 3, 2, 4]) == pytest.approx(0.9486832980505138)
    assert spearman([1, 1], [1, 2]) is None
    assert spearman([], []) is None


def test_unequal_lengths_are_refused() -> None:
    with pytest.raises(ValueError, match="zip"):
        agree([1], [1, 2])


GOOD_AGAIN = {"compared": 40, "exact": 0.9, "within_one": 1.0, "kappa": 0.82}
GOOD_CONTROL = {"planted": 40, "rated": 40, "detected": 36, "share": 0.9}


def judge(**given: Any) -> dict[str, Any]:
    plain = {
        "rated": 500,
        "unscored": 1,
        "aspects": {"truthfulness": {"mean": 4.25, "histogram": {}, "null": 0}},
        "repeated": {"truthfulness": GOOD_AGAIN, "helpfulness": GOOD_AGAIN},
        "controls": {"swapped": GOOD_CONTROL, "cut": GOOD_CONTROL, "number": GOOD_CONTROL},
        "false_alarms": {"rated": 40, "fell": 2, "share": 0.05},
        "mean_by_position": {"1": 4.2, "2": 4.1, "3": 4.15},
        "score_against_length": 0.12,
    }
    return plain | given


def told(judge: dict[str, Any] | None, evolve: dict[str, Any] | None = None) -> dict[str, Check]:
    figures = parse_figures(json.dumps({"judge": judge, "evolve": evolve}).encode())
    assert figures is not None
    return {check.name: check for check in verdicts(figures)}


def find(checks: dict[str, Check], word: str) -> Check:
    (found,) = (check for name, check in checks.items() if word in name)
    return found


def test_a_judge_that_can_be_trusted_is_ok_throughout() -> None:
    checks = told(judge())
    assert [check.status for check in checks.values()] == ["ok"] * 7
    assert all(check.hint.startswith("good: ") for check in checks.values())
    assert find(checks, "unscored").found == "0.2% of 501; means: truthfulness 4.2"
    assert find(checks, "kappa").found == (
        "truthfulness 0.82 (90% exact, 100% within 1); "
        "helpfulness 0.82 (90% exact, 100% within 1); 40 pairs"
    )
    swapped = find(checks, "answer swapped").found
    assert swapped == "36 of 40 (90%; with nothing planted 5% fall as well)"
    assert find(checks, "Spearman").found == "+0.12"
    assert find(checks, "position").found == "1: 4.20, 2: 4.10, 3: 4.15"


@pytest.mark.parametrize(
    ("given", "word", "status", "hint"),
    [
        ({"unscored": 20}, "unscored", "warn", "under 2 %; take"),
        ({"unscored": 100}, "unscored", "fail", "under 2 %; take"),
        (
            {"repeated": {"honesty": GOOD_AGAIN | {"kappa": 0.5}, "helpfulness": GOOD_AGAIN}},
            "kappa", "warn", "0.6 and more; under 0.4",
        ),
        ({"repeated": {"honesty": GOOD_AGAIN | {"kappa": 0.1}}}, "kappa", "fail", "mostly noise"),
        ({"repeated": {"honesty": GOOD_AGAIN | {"kappa": None}}}, "kappa", "warn", "sort nothing"),
        ({"repeated": {"honesty": GOOD_AGAIN | {"compared": 9}}}, "kappa", "info", "good: "),
        ({"controls": {"cut": GOOD_CONTROL | {"detected": 24}}}, "cut", "warn", "good: 8 in 10"),
        ({"controls": {"cut": GOOD_CONTROL | {"detected": 10}}}, "cut", "fail", "good: 8 in 10"),
        ({"controls": {"cut": GOOD_CONTROL | {"rated": 3}}}, "cut", "info", "good: "),
        ({"score_against_length": 0.35}, "Spearman", "warn", "likes long answers"),
        ({"score_against_length": -0.6}, "Spearman", "fail", "likes short answers"),
        ({"score_against_length": None}, "Spearman", "info", "near 0"),
        ({"rated": 12}, "position", "info", "judge more chunks"),
        ({"mean_by_position": {"1": 4.5, "2": 4.1}}, "position", "warn", "drawn by hash"),
        ({"mean_by_position": {"1": 4.5}}, "position", "info", "good: "),
    ],
)  # fmt: skip
def test_what_is_wrong_is_said_with_what_good_looks_like(
    given: dict[str, Any], word: str, status: str, hint: str
) -> None:
    found = find(told(judge(**given)), word)
    assert found.status == status
    assert hint in found.hint


def test_a_judge_that_throws_dice_is_not_praised_for_what_it_finds() -> None:
    dice = {"false_alarms": {"rated": 40, "fell": 32, "share": 0.8}}
    assert find(told(judge(**dice)), "answer cut").status == "fail"


def test_operators_are_told_with_their_commonest_reason() -> None:
    checks = told(
        None,
        {
            "deepen": {"tried": 40, "kept": 30, "left_out": {"nothing_gained": 7, "twin": 3}},
            "clearer": {"tried": 40, "kept": 2, "left_out": {"too_long": 38}},
            "more_depth": {"tried": 3, "kept": 0, "left_out": {"missing": 3}},
        },
    )
    assert [check.status for check in checks.values()] == ["fail", "ok", "info"]
    assert find(checks, "deepen").found.startswith("30 of 40 kept (75%); ")
    assert find(checks, "clearer").found.endswith("most often for too_long")
    assert find(checks, "more depth").found.endswith("too few to say")


@pytest.mark.parametrize(
    "data",
    [b"", b"{", b"[]", b'{"judge": {"rated": "many"}}', b"\xff", b'{"evolve": {"deepen": 3}}'],
)
def test_figures_that_are_missing_or_damaged_say_nothing(data: bytes) -> None:
    assert verdicts(parse_figures(data)) == ()


def test_a_bound_counts_from_itself_on_in_both_directions() -> None:
    assert [status_of(value, warn=2, fail=4) for value in (1, 2, 3, 4)] == [
        "ok", "warn", "warn", "fail",
    ]  # fmt: skip
    assert [status_of(value, warn=4, fail=2) for value in (5, 4, 3, 2)] == [
        "ok", "warn", "warn", "fail",
    ]  # fmt: skip


@pytest.mark.parametrize("kind", ["unproven", "missing"])
def test_a_verifier_that_gave_no_valid_verdict_makes_no_answer_ok(kind: str) -> None:
    sentences = {"supported": 3, "contradicted": 0, "not_in_text": 0, kind: 400}
    verify = {"pairs": 90, "outcomes": {"unverified": 90}, "sentences": sentences, "controls": {}}
    figures = parse_figures(json.dumps({"judge": None, "evolve": None, "verify": verify}).encode())
    assert figures is not None
    checks = {check.name: check for check in verdicts(figures)}
    supported = find(checks, "the text does not support")
    assert (supported.status, "too few to say" in supported.found) == ("info", True)
    assert find(checks, "without a verdict").status == "fail"


def test_a_voice_that_cannot_be_measured_says_why() -> None:
    given = VoiceFigures(voice="author", unmeasured="no document names its author")
    (check,) = verdicts(parse_figures(b"", given.model_dump_json().encode()))
    assert (check.status, check.found) == ("info", "not measured: no document names its author")


@pytest.mark.parametrize(
    ("voice", "answers", "documents", "status"),
    [
        ("author", 18, 20, "ok"),
        ("author", 7, 20, "fail"),
        ("neutral", 7, 20, "ok"),
        ("neutral", 18, 20, "warn"),
        ("assistant", 18, 20, "warn"),
        ("neutral", 6, 6, "info"),  # too few documents
    ],
)
def test_the_voice_is_judged_by_what_was_asked_for(
    voice: str, answers: int, documents: int, status: str
) -> None:
    given = VoiceFigures(
        voice=voice, authors=3, documents=documents, answers=answers, sources=documents
    )
    (check,) = verdicts(RunFigures(voice=given))
    assert check.status == status, check
