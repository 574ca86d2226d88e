from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING, cast

import pytest
from tests.support.asks import make_chunk
from tests.support.questions import request

from pairmill.errors import Kind, ProviderError
from pairmill.events import Bus, CallReplayed, Event
from pairmill.llm.token_estimate import AnswerTokens
from pairmill.records import Completion, Usage
from pairmill.run.asking import InFlight, UnitCalls
from pairmill.run.reader import Work
from pairmill.run.stop import Stop
from pairmill.run.work_rounds import WorkRounds

if TYPE_CHECKING:
    from pairmill.llm.admission import SendLog
    from pairmill.llm.client import Client
    from pairmill.records import Request
    from pairmill.run.writer import Writer
    from pairmill.store.entries import BilledSend, PaidAnswer

ANSWER = Completion("hi", "stop", "m", Usage(1, 1), 1.0)


@dataclass
class Setting:
    """A unit whose calls fail with what is given, then are answered."""

    failures: list[ProviderError] = field(default_factory=list)
    counts: list[int] = field(default_factory=list)  # what the log said when each was sent
    answers: list[PaidAnswer] = field(default_factory=list)
    sends: list[BilledSend] = field(default_factory=list)
    events: list[Event] = field(default_factory=list)

    def __post_init__(self) -> None:
        self.work = Work("a" * 32, make_chunk("text"), {})
        bus = Bus()
        bus.subscribe(self.events.append)
        client, writer = cast("Client", self), cast("Writer", self)
        flight = InFlight(Stop())
        self.ask = UnitCalls(self.work, client, writer, bus, flight, AnswerTokens(), WorkRounds())

    async def complete(self, asked: Request, sends: SendLog) -> Completion:
        self.counts.append(sends.count)
        if self.failures:
            error = self.failures.pop(0)
            sends.failed(error)
            raise error
        return ANSWER

    def put_answer(self, answer: PaidAnswer) -> None:
        self.answers.append(answer)

    def put_send(self, send: BilledSend) -> None:
        self.sends.append(send)


def lost() -> ProviderError:
    return ProviderError(Kind.LOST, "cut off", code="cut", maybe_paid=True)


async def test_a_unit_that_is_done_once_more_buys_nothing_twice() -> None:
    it = Setting()
    assert await it.ask(request("one")) == await it.ask(request("one")) == ANSWER
    assert len(it.counts) == len(it.answers) == 1
    assert CallReplayed() in it.events


async def test_sends_are_counted_over_starts_and_the_third_is_not_made() -> None:
    it = Setting([lost(), lost(), lost()])
    for count in (0, 1):
        with pytest.raises(ProviderError):
            await it.ask(request("one"))
        assert it.counts == list(range(count + 1))
    with pytest.raises(ProviderError, match="sent 2 times") as raised:
        await it.ask(request("one"))
    assert raised.value.was_known
    assert len(it.counts) == 2
    assert [send.sends for send in it.sends] == [1, 1]  # the ledger adds them up


async def test_an_answer_after_a_break_is_an_answer() -> None:
    it = Setting([lost()])
    with pytest.raises(ProviderError):
        await it.ask(request("one"))
    assert await it.ask(request("one")) == await it.ask(request("one")) == ANSWER
    assert it.counts == [0, 1]


async def test_an_empty_reply_that_was_counted_is_not_asked_for_again() -> None:
    empty = ProviderError(
        Kind.BADOUT, "nothing", code="empty", prompt_tokens=9, completion_tokens=3
    )
    it = Setting([empty])
    for _ in range(2):
        with pytest.raises(ProviderError) as raised:
            await it.ask(request("one"))
        assert (raised.value.code, raised.value.completion_tokens) == ("empty", 3)
    assert len(it.counts) == 1
