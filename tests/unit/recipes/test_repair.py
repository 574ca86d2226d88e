from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any

import pytest

from pairmill.errors import Kind, ProviderError, RejectedError
from pairmill.events import AnswerRead, Bus, Event, RepairAsked, RepairEnded
from pairmill.recipes.answers import AnswerModel, Fault, ParsedAnswer, ParseStep
from pairmill.recipes.backtranslate import WrittenAnswer
from pairmill.recipes.evolve import Evolved
from pairmill.recipes.judge import ListedRatings, Ratings
from pairmill.recipes.prompts import load_template
from pairmill.recipes.repair import Asker, Attempt, Questions, RepairStep, next_step
from pairmill.recipes.verify import Verdicts
from pairmill.recipes.writing import Answers
from pairmill.records import Completion, Prompt, Request, Sampling, Usage

if TYPE_CHECKING:
    from collections.abc import Sequence

PROMPT = load_template("backtranslate", {"style": "", "canary": "C"}).fill(
    {
        "count": "3",
        "plan": "",
        "title": "t",
        "section": "s",
        "about": "",
        "passage": "the secret chunk",
    },
    Sampling(0.8, 1000, 5),
)


def _pair(number: int, **changes: Any) -> dict[str, Any]:
    pair = {"type": "why", "evidence": "e", "instruction": f"Why {number}?", "answer": f"A{number}"}
    return {**pair, **changes}


def _reply(*pairs: dict[str, Any]) -> str:
    return json.dumps({"skip": None, "pairs": list(pairs)})


class Script:
    """Answers each request with the next of its texts, and keeps the requests."""

    def __init__(self, replies: Sequence[str | tuple[str, str] | ProviderError]) -> None:
        self.replies = list(replies)
        self.requests: list[Request] = []

    async def __call__(self, request: Request) -> Completion:
        self.requests.append(request)
        reply = self.replies.pop(0)
        if isinstance(reply, ProviderError):
            raise reply
        text, reason = reply if isinstance(reply, tuple) else (reply, "stop")
        return Completion(text, reason, "model-as-returned", Usage(100, 10), 1.5)


ENDED: list[str] = []
"""What came of the repairs, in their order."""


async def _ask(
    *replies: str | tuple[str, str] | ProviderError, max_attempts: int = 3
) -> tuple[Asker, Script, list[str], WrittenAnswer]:
    script, said = Script(replies), []
    bus = Bus()

    def listen(event: Event) -> None:
        if isinstance(event, RepairAsked):
            said.append(str(event.reason))
        elif isinstance(event, RepairEnded):
            ENDED.append(event.result)

    bus.subscribe(listen)
    asker = Asker(Questions(bus, model="m", max_attempts=max_attempts), script)

    def again(kept: int) -> Prompt:
        return Prompt(PROMPT.template, f"only {3 - kept} more", PROMPT.sampling)

    value = await asker(PROMPT, WrittenAnswer, again)
    return asker, script, said, value


def _answers(written: WrittenAnswer) -> list[str]:
    return [pair.answer for pair in written.pairs]


@pytest.mark.parametrize(
    ("values", "then"),
    [(["good", None], "accept"), ([None, "good"], "accept"), ([None, None], "reject")],
)
def test_at_the_end_of_the_attempts_what_one_of_them_gave_is_taken(
    values: list[str | None], then: str
) -> None:
    faults = (Fault("invalid", "it lacks a field"),)
    attempts = [Attempt("Some words.", ParsedAnswer(it, ParseStep.FAILED, faults)) for it in values]
    assert next_step(attempts, 2) == RepairStep(then, "invalid")
    assert next_step(attempts, 3) == RepairStep("repair", "invalid")


@pytest.mark.parametrize("was_known", [False, True])
async def test_a_reply_without_an_answer_is_counted_by_the_start_that_received_it(
    *, was_known: bool
) -> None:
    heard: list[AnswerRead] = []
    bus = Bus()
    bus.subscribe(heard.append, AnswerRead)
    empty = ProviderError(Kind.BADOUT, "no answer", code="empty")
    empty.was_known = was_known
    asker = Asker(Questions(bus, model="m", max_attempts=3), Script([empty, _reply(_pair(1))]))
    await asker(PROMPT, WrittenAnswer)
    assert [event.how for event in heard].count("failed") == (not was_known)


async def test_a_valid_answer_is_bought_once() -> None:
    asker, script, said, value = await _ask(_reply(_pair(1), _pair(2)))
    assert _answers(value) == ["A1", "A2"]
    assert (len(script.requests), said, asker.answers) == (1, [], 1)
    assert asker.usage == Usage(100, 10)
    assert (asker.model, asker.created) == ("model-as-returned", 1.5)


async def test_a_bad_form_is_mended_without_the_chunk() -> None:
    broken = _reply(_pair(1)).replace("instruction", "frage")
    _, script, said, value = await _ask(broken, _reply(_pair(1)))
    assert _answers(value) == ["A1"]
    assert said == ["invalid"]
    repair = script.requests[1].prompt
    assert "the secret chunk" not in repair.text
    assert "frage" in repair.text
    assert "Field required" in repair.text
    assert repair.sampling.temperature == 0.0
    assert '"additionalProperties":false' in repair.template.messages[0].content


async def test_good_pairs_are_kept_and_only_the_bad_one_is_mended() -> None:
    first = _reply(_pair(1), _pair(2, answer=None), _pair(3))
    asker, script, _, value = await _ask(first, _reply(_pair(2)))
    assert _answers(value) == ["A1", "A3", "A2"]
    assert "Why 2?" in script.requests[1].prompt.text
    assert "Why 1?" not in script.requests[1].prompt.text
    assert asker.dropped == []


async def test_a_pair_that_cannot_be_mended_is_dropped_with_its_text() -> None:
    bad = _reply(_pair(1), _pair(2, answer=None))
    asker, script, _, value = await _ask(bad, "no idea", "none at all")
    assert _answers(value) == ["A1"]
    assert len(script.requests) == 3
    (dropped,) = asker.dropped
    assert dropped.reason == "invalid"
    assert not dropped.whole_unit
    assert json.loads(dropped.raw)["instruction"] == "Why 2?"


async def test_only_what_writes_pairs_loses_them() -> None:
    """A rating, verdict, second answer or evolved pair that is lost takes no pair along."""
    asker = Asker(
        Questions(Bus(), model="m", max_attempts=1),
        Script(['{"answers":[{"number":1,"answer":"A1"},{"number":2,"answer":null}]}']),
    )
    value = await asker(PROMPT, Answers)
    assert [it.answer for it in value.answers] == ["A1"]
    assert asker.dropped == []
    lose_none = {Answers, Evolved, Ratings, ListedRatings, Verdicts}
    lists = {model for model in _models(AnswerModel) if model.items and "pairmill" in str(model)}
    assert {model for model in lists if not model.items_are_pairs} == lose_none
    assert WrittenAnswer in lists


def _models(base: type[AnswerModel]) -> set[type[AnswerModel]]:
    return {base}.union(*map(_models, base.__subclasses__()))


async def test_a_cut_answer_is_asked_afresh_for_what_is_missing() -> None:
    cut = _reply(_pair(1), _pair(2), _pair(3))[:-30]
    asker, script, said, value = await _ask((cut, "length"), _reply(_pair(4)))
    assert _answers(value) == ["A1", "A2", "A4"]
    assert said == ["cut_off"]
    fresh = script.requests[1].prompt
    assert fresh.text == "only 1 more"
    assert fresh.sampling.max_tokens == 2500
    assert fresh.sampling.seed == 6
    assert asker.usage == Usage(200, 20)


@pytest.mark.parametrize("first", ["", "I cannot help with that."])
async def test_empty_answers_and_refusals_get_another_seed(first: str) -> None:
    _, script, _, value = await _ask(first, _reply(_pair(1)))
    assert _answers(value) == ["A1"]
    assert script.requests[1].prompt.text == PROMPT.text
    assert script.requests[1].id != script.requests[0].id


async def test_a_reply_that_is_no_answer_counts_as_an_attempt() -> None:
    html = ProviderError(Kind.BADOUT, "a web page instead of JSON", status=200)
    asker, _, said, value = await _ask(html, _reply(_pair(1)))
    assert _answers(value) == ["A1"]
    assert (said, asker.answers) == (["no_answer"], 2)


async def test_after_three_attempts_the_unit_is_rejected_with_what_was_said() -> None:
    with pytest.raises(RejectedError) as caught:
        await _ask("[1]", "[2]", "[3]", _reply(_pair(1)))
    assert caught.value.reason == "invalid"
    assert caught.value.raw == "[3]"


async def test_prose_is_asked_afresh_once_and_never_mended() -> None:
    prose = "Certainly! This passage tells of many things, all of them worth a question. " * 4
    _, script, said, value = await _ask(prose, _reply(_pair(1)))
    assert _answers(value) == ["A1"]
    assert said == ["no_json"]
    assert "the secret chunk" in script.requests[1].prompt.text
    with pytest.raises(RejectedError, match="no_json"):
        await _ask(prose, prose + "!")  # a third question would find the script empty


async def test_what_was_written_of_another_chunk_word_for_word_is_asked_afresh() -> None:
    broken = _reply(_pair(1, answer="So it is in all of them.")).replace("instruction", "frage")
    script = Script([broken, _reply(_pair(1)), broken, _reply(_pair(2))])
    questions = Questions(Bus(), model="m", max_attempts=3)
    for _ in range(2):
        await Asker(questions, script)(PROMPT, WrittenAnswer)
    mended, afresh = script.requests[1], script.requests[3]
    assert "the secret chunk" not in mended.prompt.text
    assert "the secret chunk" in afresh.prompt.text


SCHEMA_ECHO = '{"type": "object", "properties": {"pairs": {"type": "array"}}, "required": []}'


@pytest.mark.parametrize("nothing", [SCHEMA_ECHO, "{}", '{"a": 1}', '{"pairs": [{}]}', "[[[]]]"])
async def test_what_holds_nothing_to_mend_is_asked_afresh(nothing: str) -> None:
    _, script, _, value = await _ask(nothing, _reply(_pair(1)))
    assert _answers(value) == ["A1"]
    assert "the secret chunk" in script.requests[1].prompt.text


async def test_each_repair_ends_once_mended_or_failed() -> None:
    ENDED.clear()
    broken, worse = _reply(_pair(1, answer="")), _reply(_pair(1, instruction=""))
    await _ask(broken, worse, _reply(_pair(1)))
    assert ENDED == ["failed", "mended"]
    with pytest.raises(RejectedError):
        await _ask(broken, ProviderError(Kind.CHUNK, "too long"))
    assert ENDED == ["failed", "mended", "failed"]
    await _ask(_reply(_pair(1)))
    assert len(ENDED) == 3


async def test_a_repair_that_repeats_itself_ends_early() -> None:
    script = ["prose", "prose", _reply(_pair(1))]
    with pytest.raises(RejectedError, match="no_json"):
        await _ask(*script, max_attempts=9)


async def test_a_repair_that_returns_its_input_is_not_asked_once_more() -> None:
    broken = _reply(_pair(1, answer=""))
    with pytest.raises(RejectedError) as caught:
        await _ask(broken, broken, _reply(_pair(1)), max_attempts=9)
    assert caught.value.raw == broken


@pytest.mark.parametrize(
    ("kind", "code", "reason"),
    [
        (Kind.CHUNK, "context_length_exceeded", "refused_by_server"),
        (Kind.REFUSED, "invalid_request_error", "refused_by_server"),
        (Kind.TIMEOUT, None, "timeout"),
        (Kind.LOST, None, "connection_lost"),
    ],
)
async def test_what_the_chunk_cannot_help_ends_its_unit(
    kind: Kind, code: str | None, reason: str
) -> None:
    with pytest.raises(RejectedError) as caught:
        await _ask(ProviderError(kind, "no", code=code))
    assert caught.value.reason == reason


@pytest.mark.parametrize("kind", [Kind.RATE, Kind.QUOTA, Kind.AUTH, Kind.CONFIG, Kind.OVERLOAD])
async def test_what_is_not_the_chunks_fault_is_passed_up(kind: Kind) -> None:
    with pytest.raises(ProviderError):
        await _ask(ProviderError(kind, "no"))


async def test_a_filtered_answer_is_rejected_at_once() -> None:
    with pytest.raises(RejectedError, match="content_filter"):
        await _ask(("", "content_filter"), _reply(_pair(1)))


async def test_a_wish_to_skip_is_an_answer() -> None:
    _, _, _, value = await _ask('{"skip": "boilerplate", "pairs": []}')
    assert (value.skip, value.pairs) == ("boilerplate", [])


async def test_an_answer_that_must_not_be_mended_is_asked_for_afresh() -> None:
    script = Script(["9 out of 10", _reply(_pair(1))])
    asker = Asker(Questions(Bus(), model="m", max_attempts=3), script)
    value = await asker(PROMPT, WrittenAnswer, mend=False, model="wise")
    assert _answers(value) == ["A1"]
    first, second = script.requests
    assert second.prompt.template is first.prompt.template
    assert second.prompt.sampling.seed != first.prompt.sampling.seed
    assert {first.model, second.model} == {"wise"}
    assert asker.model == "m"  # rows name who wrote them, not who judged


async def test_a_broken_reply_that_is_mended_to_nothing_is_a_reject_and_no_empty_chunk() -> None:
    broken = '{"skip": null, "pairs": [{"instruction": 3, "answer": "SAID"}]}'.replace(
        "SAID", "So it is. " * 9
    )
    with pytest.raises(RejectedError) as caught:
        await _ask(broken, _reply())
    assert caught.value.reason not in {"no_pairs", "boilerplate"}
    assert caught.value.raw == broken


async def test_a_broken_reply_that_says_that_there_is_nothing_may_be_mended_to_that() -> None:
    broken = '{"skip": "boilerplate", "pairs": [{"instruction": 3, "answer": "SAID"}]}'.replace(
        "SAID", "So it is. " * 9
    )
    mended = '{"skip": "boilerplate", "pairs": []}'
    *_, value = await _ask(broken, mended)
    assert (value.skip, value.pairs) == ("boilerplate", [])
    with pytest.raises(RejectedError):  # a mend that makes the reason up
        await _ask(broken.replace('"boilerplate"', "null"), mended)
    *_, value = await _ask(_reply())
    assert value.pairs == []  # said outright


@pytest.mark.parametrize("mend", [True, False])
async def test_whose_answer_was_read_is_told(*, mend: bool) -> None:
    bus, read = Bus(), []
    bus.subscribe(lambda event: read.append((event.how, event.rates)), AnswerRead)
    asker = Asker(Questions(bus, model="m", max_attempts=1), Script(["banana"]))
    with pytest.raises(RejectedError):
        await asker(PROMPT, WrittenAnswer, mend=mend)
    assert read == [("failed", not mend)]


async def test_whether_a_question_was_answered_is_asked_of_its_own_model() -> None:
    asked: list[str] = []

    def holds(request: Request) -> bool:
        asked.append(request.model)
        return request.model == "judge"

    asker = Asker(Questions(Bus(), model="m", max_attempts=1), Script([]), holds=holds)
    assert not asker.is_answered(PROMPT, WrittenAnswer)
    assert asker.is_answered(PROMPT, WrittenAnswer, model="judge")
    assert asked == ["m", "judge"]
    assert not Asker(Questions(Bus(), model="m", max_attempts=1), Script([])).is_answered(
        PROMPT, WrittenAnswer
    )


async def test_a_reject_shows_the_first_reply_where_the_last_one_was_empty() -> None:
    with pytest.raises(RejectedError) as told:
        await _ask("no JSON at all", "", max_attempts=2)
    assert told.value.raw == "no JSON at all"
