from __future__ import annotations

from typing import Any

from tests.support.questions import SCHEMA, request

from pairmill.llm.budget import Budget, Caps
from pairmill.llm.estimate import worst_prompt_tokens
from pairmill.llm.purse import Purse


class Counting(dict[str, Any]):
    """A schema that knows how often it was written out."""

    written = 0

    def __repr__(self) -> str:
        Counting.written += 1
        return super().__repr__()


async def test_the_worst_is_reserved_and_what_is_constant_of_it_computed_once() -> None:
    budget = Budget(Caps(tokens=10**9), now=0.0)
    purse = Purse(budget, lambda: 0.0)
    total = 0
    for number in range(20):
        asked = request("hello " * number, schema=Counting(SCHEMA))
        await purse.reserve(asked, None)
        total += worst_prompt_tokens(asked.prompt, str(SCHEMA)) + 64
        assert budget.reserved.tokens == total
    assert Counting.written == 1
    await purse.reserve(request("hello", schema=None), None)
    assert budget.reserved.tokens == total + worst_prompt_tokens(request("hello").prompt) + 64
