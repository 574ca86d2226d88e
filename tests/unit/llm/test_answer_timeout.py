from __future__ import annotations

import math

import anyio
import pytest

from pairmill.clock import FakeClock
from pairmill.errors import Kind, ProviderError
from pairmill.llm.answer_timeout import AnswerTimeout


async def test_an_answer_in_time_is_returned_and_timed() -> None:
    clock = FakeClock(auto=False)
    answer_timeout = AnswerTimeout(clock)
    answer_timeout.most_s = 30.0

    async def send() -> str:
        clock.now += 7.0
        return "answer"

    assert await answer_timeout.bound(send) == "answer"
    assert answer_timeout.took_s == 7.0


async def test_one_that_takes_too_long_is_cancelled_and_may_be_billed() -> None:
    answer_timeout = AnswerTimeout(FakeClock())  # whose sleeps end at once
    answer_timeout.most_s = 30.0
    with pytest.raises(ProviderError, match="no answer in time") as caught:
        await answer_timeout.bound(anyio.sleep_forever)
    assert caught.value.kind is Kind.TIMEOUT
    assert caught.value.maybe_paid
    assert answer_timeout.took_s == 30.0


async def test_nothing_is_bounded_at_first() -> None:
    clock = FakeClock()
    answer_timeout = AnswerTimeout(clock)

    async def send() -> float:
        await clock.sleep(1e6)
        return clock.now

    assert answer_timeout.most_s == math.inf
    assert await answer_timeout.bound(send) > 1e6
