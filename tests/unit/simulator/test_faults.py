from __future__ import annotations

import json
from typing import Any

import orjson
import pytest

from pairmill.errors import ConfigError
from pairmill.simulator import FAULTS, Faults, ScheduledStep
from pairmill.simulator.content import UNRELATED, draft_pairs
from pairmill.simulator.fault_choice import FaultPicker, Script
from pairmill.simulator.faults import ENVELOPE_FAULTS, TEXT_FAULTS, mangle_text, spoil_envelope
from pairmill.simulator.rng import Rng
from pairmill.simulator.schema import PAIRS_SCHEMA, Filling, fill
from pairmill.simulator.wire import Answer, ChatRequest, encode_envelope, make_envelope

GOOD = fill(PAIRS_SCHEMA, Filling(draft_pairs(UNRELATED, 3, Rng(1)), Rng(1)))
TEXT = orjson.dumps(GOOD).decode()
REQUEST = ChatRequest(1, "m", "user", "system", "text", None, 500, 10)
STILL_JSON = {
    "bare_list",
    "double_encoded",
    "duplicate_keys",
    "deep_nesting",
    "echoed_schema",
    "empty_pairs",
    "empty_strings",
    "endless_whitespace",
    "extra_pair",
    "huge",
    "lone_surrogate",
    "long_digits",
    "nan",
    "nul",
    "numbers",
    "raw_surrogate",
    "repeated_pairs",
    "two_of_three",
    "wrong_keys",
    "wrong_types",
}


def parsed(text: str) -> Any:
    try:
        return json.loads(text)
    except (ValueError, RecursionError):  # ValueError: also a number of 10,000 digits
        return None


@pytest.mark.parametrize("name", sorted(set(TEXT_FAULTS) - STILL_JSON))
def test_a_text_fault_breaks_the_json(name: str) -> None:
    assert parsed(mangle_text(name, TEXT, 1000)) is None


@pytest.mark.parametrize("name", sorted(STILL_JSON - {"endless_whitespace"}))
def test_other_text_faults_break_its_meaning(name: str) -> None:
    text = mangle_text(name, TEXT, 1000)
    assert text != TEXT
    assert parsed(text) != GOOD


def test_what_some_faults_do() -> None:
    assert json.loads(mangle_text("two_of_three", TEXT, 0))["pairs"][2]["answer"] == ""
    assert mangle_text("trailing_comma", TEXT, 0).endswith(",],}")
    assert json.loads(mangle_text("lone_surrogate", TEXT, 0))["pairs"][2]["answer"].endswith(
        "\ud83d"
    )
    assert len(mangle_text("huge", TEXT, 500_000)) > 500_000
    assert len(mangle_text("endless_whitespace", TEXT, 10_000)) > 10_000
    with pytest.raises(orjson.JSONDecodeError):
        orjson.loads(mangle_text("nan", TEXT, 0))


@pytest.mark.parametrize("name", sorted(TEXT_FAULTS))
@pytest.mark.parametrize("text", ['{"instruction":"What?"}', '{"pairs":[{"answ', ""])
def test_text_faults_take_any_answer(name: str, text: str) -> None:
    assert isinstance(mangle_text(name, text, 100), str)


def good(body: bytes) -> bool:
    """Whether a careful client would take the body for a completion with a text and a usage."""
    try:
        envelope = json.loads(body)
        choice = envelope["choices"][0]
        text = choice["message"]["content"]
        return (
            len(envelope["choices"]) == 1
            and text == TEXT
            and choice["finish_reason"] == "stop"
            and envelope["model"] == "m"
            and envelope["usage"]["prompt_tokens"] == 10
        )
    except (ValueError, TypeError, LookupError):
        return False


@pytest.mark.parametrize("name", sorted(ENVELOPE_FAULTS))
def test_an_envelope_fault_spoils_the_envelope(name: str) -> None:
    envelope = make_envelope(REQUEST, Answer(TEXT, "stop", 5))
    assert good(encode_envelope(envelope))
    body, content_type = spoil_envelope(name, envelope)
    assert not good(body)
    assert (content_type == "text/html") == (name == "html_200")


def test_a_surrogate_in_the_content_still_travels() -> None:
    envelope = make_envelope(REQUEST, Answer("a\ud83d", "stop", 1))
    assert b"\\ud83d" in encode_envelope(envelope)


def test_chance_depends_on_question_and_attempt_alone() -> None:
    rng = FaultPicker(Faults(rates={"hang": 0.25, "reset": 0.25}))
    first = [rng.choose(Rng(number).draw(), 1) for number in range(4000)]
    again = FaultPicker(Faults(rates={"reset": 0.25, "hang": 0.25}))
    assert first == [again.choose(Rng(number).draw(), 1) for number in range(4000)]
    assert first != [rng.choose(Rng(number).draw(), 2) for number in range(4000)]
    for name in ("hang", "reset"):
        assert first.count(name) == pytest.approx(1000, rel=0.1)


def test_faults_can_be_kept_to_first_attempts() -> None:
    rng = FaultPicker(Faults(rates={"hang": 1.0}, attempts=2))
    assert [rng.choose(5, attempt) for attempt in (1, 2, 3)] == ["hang", "hang", None]


def test_a_script_plays_its_turns_in_order() -> None:
    always = ScheduledStep(fault="fences", match="poison", times=None)
    late = ScheduledStep(fault="overloaded", from_call=4)
    script = Script([always, ScheduledStep(fault="reset", times=2), late])
    taken = [script.take(call, "clean") for call in range(1, 6)]
    assert [step.fault if step else None for step in taken] == [
        "reset",
        "reset",
        None,
        "overloaded",
        None,
    ]
    assert script.take(6, "some poison here") is always
    assert script.take(7, "some poison here") is always


def test_unknown_names_are_refused() -> None:
    with pytest.raises(ConfigError, match="no fault is called 'hangs'"):
        FaultPicker(Faults(rates={"hangs": 0.1}))
    with pytest.raises(ConfigError, match="no fault is called 'fence'"):
        Script([ScheduledStep(fault="fence")])
    assert len(FAULTS) == len(set(FAULTS)) > 70
