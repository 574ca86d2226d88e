from __future__ import annotations

from itertools import pairwise

import pytest
from tests.support.questions import request

from pairmill.errors import Kind, ProviderError
from pairmill.llm.answer_tokens import MOST, AnswerTokens
from pairmill.records import Completion, Request, Usage


def size(room: AnswerTokens) -> int:
    return room.grant(request()).prompt.sampling.max_tokens


def test_a_model_that_does_not_think_gets_what_its_answer_needs() -> None:
    room = AnswerTokens()
    asked = request()
    assert room.grant(asked) is asked


async def test_room_is_made_for_thoughts_and_the_request_keeps_its_name() -> None:
    room = AnswerTokens()
    seen: list[Request] = []

    async def complete(granted: Request) -> Completion:
        seen.append(granted)
        return Completion("{}", "stop", "m", Usage(9, 1010, 0, 1000), 1.0)

    for _ in range(2):
        await room.ask(request(), complete)
    assert [it.prompt.sampling.max_tokens for it in seen] == [64, 64 + 4000]
    assert request().id == request().id


async def test_an_answer_without_room_makes_more_than_twice_as_much_for_all() -> None:
    room = AnswerTokens()

    async def complete(granted: Request) -> Completion:
        raise ProviderError(Kind.BADOUT, "thinking took all", code="length")

    sizes = []
    for _ in range(12):
        sizes.append(size(room))
        with pytest.raises(ProviderError):
            await room.ask(request(), complete)
    assert all(b > 2 * a or b >= MOST for a, b in pairwise(sizes))
    assert size(room) <= MOST + 64


def test_what_the_user_set_stands() -> None:
    room = AnswerTokens(5000)
    room.saw("m", 90_000)
    assert size(room) == 5000


def test_room_shrinks_again_when_thoughts_do() -> None:
    room = AnswerTokens()
    room.saw("m", 8000)
    before = size(room)
    for _ in range(240):
        room.saw("m", 100)
    assert size(room) < before / 10
