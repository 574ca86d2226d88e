"""Against servers that take, refuse or ignore each way of asking, over the real wire."""

from __future__ import annotations

import math
from collections import Counter
from typing import TYPE_CHECKING, Any

import anyio.lowlevel
import orjson
import pytest
from tests.support.questions import request
from tests.support.scripted import answer, reply, serve

from pairmill.clock import FakeClock
from pairmill.errors import Kind, ProviderError
from pairmill.llm.answer_timeout import AnswerTimeout
from pairmill.llm.providers.direct import DirectProvider
from pairmill.llm.providers.endpoint import Endpoint, Secret
from pairmill.llm.providers.provider import Mode
from pairmill.llm.providers.requests import RequestEncoder
from pairmill.llm.providers.sdk import SdkProvider
from pairmill.llm.structured_output import ProbeQuestion, find_mode
from pairmill.records import Completion, Usage

if TYPE_CHECKING:
    from collections.abc import Callable

    from pairmill.llm.structured_output import ModeFinding
    from pairmill.records import Request


SCHEMA = {
    "type": "object",
    "properties": {"colour": {"type": "string"}},
    "required": ["colour"],
    "additionalProperties": False,
}


class Kept(dict[str, str]):
    """A memory."""

    def set(self, key: str, value: str) -> None:
        self[key] = value


def answer_timeout() -> AnswerTimeout:
    return AnswerTimeout(FakeClock())


async def found(*script: bytes, memory: Kept | None = None) -> tuple[Mode, list[str | None]]:
    """The mode found, and the response formats that the server saw."""
    async with serve(*script) as server:
        encoder = RequestEncoder()
        provider = SdkProvider(
            Endpoint(server.base_url, Secret("")),
            FakeClock(),
            concurrency=1,
            timeout_s=1.0,
            encoder=encoder,
        )

        async def ask(request: Request, mode: Mode) -> Completion:
            return (await provider.complete(request, mode)).completion

        try:
            memory = memory if memory is not None else Kept()
            mode = (
                await find_mode(ask, encoder, ASKED, "http://x/v1 m", memory, answer_timeout())
            ).mode
        finally:
            await provider.aclose()
    formats = [sent.get("response_format", {}).get("type") for sent in server.requests]
    return mode, formats


def is_usable(text: str) -> bool:
    return text == '{"colour": "green"}'


ASKED = ProbeQuestion(request(schema=SCHEMA), is_usable)


def refused(message: str, status: int = 400, code: str | None = None) -> bytes:
    return reply({"error": {"message": message, "code": code}}, status)


GREEN = reply(answer('{"colour": "green"}'))
PROSE = reply(answer("Green."))
OTHER_KEY = reply(answer('{"color": "green"}'))
NO_FORMAT = refused("'response_format' of type 'json_schema' is not supported with this model")


async def test_a_server_that_keeps_to_the_schema_costs_one_call() -> None:
    assert await found(GREEN) == (Mode.JSON_SCHEMA, ["json_schema"])


@pytest.mark.parametrize(
    ("script", "mode"),
    [
        ([NO_FORMAT, GREEN], Mode.JSON_OBJECT),
        ([refused("bad request", 422), GREEN], Mode.JSON_SCHEMA),
        ([refused("bad request", 422), refused("bad request", 422), GREEN], Mode.JSON_OBJECT),
        ([PROSE, GREEN], Mode.JSON_SCHEMA),
        ([PROSE, PROSE, GREEN], Mode.JSON_OBJECT),
        ([PROSE, PROSE, PROSE, GREEN], Mode.JSON_OBJECT),
        ([PROSE, NO_FORMAT, GREEN], Mode.JSON_OBJECT),
        ([OTHER_KEY, OTHER_KEY, GREEN], Mode.JSON_OBJECT),
        ([PROSE, PROSE, PROSE, PROSE], Mode.PROMPT),
        ([PROSE, PROSE, refused("JSON mode is not enabled"), GREEN], Mode.PROMPT),
        ([NO_FORMAT, NO_FORMAT, PROSE], Mode.PROMPT),
        ([reply(answer("", finish="length")), GREEN], Mode.JSON_SCHEMA),
        ([reply(answer("{}")), reply(answer("{}")), GREEN], Mode.JSON_OBJECT),
        ([refused("oops", 500), GREEN], Mode.JSON_OBJECT),
        ([refused("guided decoding backend not available", 503), GREEN], Mode.JSON_OBJECT),
        (
            [refused("No endpoints found that can handle the requested parameters", 404)] * 2
            + [GREEN],
            Mode.PROMPT,
        ),
        ([refused("x", code="json_validate_failed"), GREEN], Mode.JSON_SCHEMA),
        ([refused("oops", 500)] * 3 + [GREEN], Mode.JSON_SCHEMA),  # without a system message
    ],
)
async def test_the_strongest_mode_that_works_is_found(script: list[bytes], mode: Mode) -> None:
    assert (await found(*script))[0] is mode


async def test_a_clear_refusal_is_believed_at_once_and_a_bad_answer_the_second_time() -> None:
    assert (await found(NO_FORMAT, GREEN))[1] == ["json_schema", "json_object"]
    assert (await found(PROSE, PROSE, GREEN))[1] == ["json_schema"] * 2 + ["json_object"]


@pytest.mark.parametrize(
    ("script", "kind"),
    [
        ([refused("Incorrect API key", 401, "invalid_api_key")], Kind.AUTH),
        ([refused("no such model", 404, "model_not_found")], Kind.CONFIG),
        ([refused("no money", 429, "insufficient_quota")], Kind.QUOTA),
        ([reply("<html>")], Kind.FOREIGN),
    ],
)
async def test_other_failures_come_out_as_they_are_after_one_call(
    script: list[bytes], kind: Kind
) -> None:
    with pytest.raises(ProviderError) as caught:
        await found(*script)
    assert caught.value.kind is kind


async def test_a_server_that_refuses_whatever_is_asked_is_badly_set_up() -> None:
    with pytest.raises(ProviderError, match="tenant is missing") as caught:
        await found(refused("tenant is missing"))
    assert caught.value.kind is Kind.CONFIG


async def test_where_nothing_gets_through_all_that_may_be_left_out_is_left_out() -> None:
    refusals = [refused("Bad Request")] * 2 * len(Mode)  # each mode is tried twice; then once bare
    seed_is_at_fault = [GREEN, GREEN, GREEN, refused("Bad Request"), GREEN]
    async with serve(*refusals, *refusals, *seed_is_at_fault) as server:
        encoder = RequestEncoder()
        provider = SdkProvider(
            Endpoint(server.base_url, Secret("")),
            FakeClock(),
            concurrency=1,
            timeout_s=1.0,
            encoder=encoder,
        )

        async def ask(request: Request, mode: Mode) -> Completion:
            return (await provider.complete(request, mode)).completion

        found = await find_mode(ask, encoder, ASKED, "key", Kept(), answer_timeout())
        await provider.aclose()
    assert found.is_usable
    bare, with_system, with_temperature, with_seed = server.requests[-4:]
    assert not {"temperature", "seed", "stream"} & set(bare)
    assert [it["messages"][0]["role"] for it in (bare, with_system)] == ["user", "system"]
    assert "temperature" in with_temperature
    assert "seed" in with_seed  # refused, so it stays away; all else is said again
    dialect = encoder.accepted("m")
    assert {"seed", "stream"} <= dialect.without
    assert not {"system", "temperature"} & dialect.without


async def test_a_set_up_that_one_replica_finds_wrong_is_asked_another_question() -> None:
    wrong = refused("Incorrect API key", 401, "invalid_api_key")
    async with serve(wrong, GREEN) as server:
        provider = DirectProvider(Endpoint(server.base_url, Secret("")), FakeClock(), concurrency=1)
        encoder = RequestEncoder()

        async def ask(request: Request, mode: Mode) -> Completion:
            return (await provider.complete(request, mode)).completion

        found = await find_mode(ask, encoder, ASKED, "key", Kept(), answer_timeout())
        await provider.aclose()
    assert found.is_usable
    first, second = server.requests
    assert first != second  # the same one would fail in the same way


class Breaking:
    """A server that hangs, or closes the connection, at some requests; answers the others."""

    def __init__(self, breaks: Callable[[dict[str, Any], int], bool], kind: Kind) -> None:
        self.breaks = breaks
        self.kind = kind
        self.encoder = RequestEncoder()
        self.sent: list[bytes] = []
        self.broken: Counter[bytes] = Counter()

    async def ask(self, request: Request, mode: Mode) -> Completion:
        body = self.encoder.encode(request, mode)
        self.sent.append(body)
        if self.breaks(orjson.loads(body), len(self.sent)):
            self.broken[body] += 1
            raise ProviderError(self.kind, "it broke", maybe_paid=True)
        return Completion('{"colour": "green"}', "stop", "m", Usage(40, 5), 0.1)

    async def find(self) -> ModeFinding:
        return await find_mode(self.ask, self.encoder, ASKED, "key", Kept(), answer_timeout())


def _has_format(*kinds: str) -> Callable[[dict[str, Any], int], bool]:
    return lambda sent, _: sent.get("response_format", {}).get("type") in kinds


@pytest.mark.parametrize("kind", [Kind.LOST, Kind.TIMEOUT])
@pytest.mark.parametrize(
    ("breaks", "mode", "calls"),
    [
        (_has_format("json_schema"), Mode.JSON_OBJECT, 4),
        (_has_format("json_schema", "json_object"), Mode.PROMPT, 5),
        (lambda _, turn: turn == 1, Mode.JSON_SCHEMA, 3),  # by chance
    ],
)
async def test_what_a_server_breaks_at_is_found_by_the_same_question_without_it(
    breaks: Callable[[dict[str, Any], int], bool], mode: Mode, calls: int, kind: Kind
) -> None:
    server = Breaking(breaks, kind)
    found = await server.find()
    assert (found.mode, found.is_usable) == (mode, True)
    assert bool(found.broke) == (mode is not Mode.JSON_SCHEMA)
    assert len(server.sent) == calls
    assert max(server.broken.values()) <= 2
    assert not server.encoder.accepted("m").without  # nothing else is left out


@pytest.mark.parametrize("name", ["temperature", "seed", "stream"])
async def test_any_word_at_which_a_server_breaks_is_left_out_alone(name: str) -> None:
    server = Breaking(lambda sent, _: name in sent, Kind.LOST)
    found = await server.find()
    assert (found.mode, found.is_usable) == (Mode.JSON_SCHEMA, True)
    without = server.encoder.accepted("m").without
    assert name in without
    assert not ({"system", "temperature", "seed"} - {name}) & without
    assert max(server.broken.values()) <= 2


async def test_a_server_that_answers_nothing_is_sent_two_questions_and_no_more() -> None:
    server = Breaking(lambda *_: True, Kind.TIMEOUT)
    with pytest.raises(ProviderError, match="it broke"):
        await server.find()
    assert len(server.sent) == 2
    assert max(server.broken.values()) == 1


async def test_a_wait_for_a_turn_is_no_silence_of_the_server() -> None:
    """Its first answer broke, so that the next ones are given 30 s: not a pause of a minute."""
    clock = FakeClock()
    bound, encoder, sent = AnswerTimeout(clock), RequestEncoder(), list[Mode]()

    async def send() -> Completion:
        if len(sent) == 1:
            raise ProviderError(Kind.TIMEOUT, "it broke", maybe_paid=True)
        await anyio.lowlevel.checkpoint()
        return Completion('{"colour": "green"}', "stop", "m", Usage(40, 5), 0.1)

    async def ask(_: Request, mode: Mode) -> Completion:
        sent.append(mode)
        await clock.sleep(60.0)  # as the server asks, or the quota
        return await bound.bound(send)

    found = await find_mode(ask, encoder, ASKED, "key", Kept(), bound)
    assert found.mode is Mode.JSON_SCHEMA
    assert sent == [Mode.JSON_SCHEMA, Mode.PROMPT, Mode.JSON_SCHEMA]
    assert bound.most_s == math.inf  # what comes later is bounded by the wire alone


async def test_what_was_found_is_remembered_for_this_endpoint_and_model() -> None:
    memory = Kept()
    assert (await found(NO_FORMAT, GREEN, memory=memory))[0] is Mode.JSON_OBJECT
    assert await found(GREEN, memory=memory) == (Mode.JSON_OBJECT, [])
    assert list(memory) == ["http://x/v1 m"]


async def test_a_failure_and_a_foreign_word_are_not_remembered() -> None:
    memory = Kept()
    with pytest.raises(ProviderError):
        await found(refused("x", 503), memory=memory)
    assert not memory
    memory.set("http://x/v1 m", "telepathy")
    assert (await found(GREEN, memory=memory))[0] is Mode.JSON_SCHEMA
