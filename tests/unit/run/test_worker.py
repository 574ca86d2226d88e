from __future__ import annotations

from types import SimpleNamespace
from typing import TYPE_CHECKING, Any, cast

import anyio
from tests.support.asks import make_chunk

from pairmill.events import Bus
from pairmill.llm.token_estimate import AnswerTokens
from pairmill.recipes.recipe import Recipe
from pairmill.recipes.repair import Questions
from pairmill.run.reader import Inbox, Work
from pairmill.run.stop import Stop
from pairmill.run.suspects import Suspects
from pairmill.run.work_rounds import WorkRounds
from pairmill.run.worker import WorkerContext, work_on

if TYPE_CHECKING:
    from pairmill.recipes.recipe import Ask
    from pairmill.records import Chunk, Pair


async def _no_wait() -> None:
    pass


async def _is_well(_model: str) -> bool:
    return True


def shop_with(stop: Stop, write: Any, inbox: Inbox) -> WorkerContext:
    writer = SimpleNamespace(put_result=lambda _: None, is_behind=False, wait_for_room=_no_wait)
    bus = Bus()
    return WorkerContext(
        recipe=Recipe("r", "1", "1", "i", write),
        questions=Questions(bus, model="m", max_attempts=1),
        client=cast("Any", None),
        writer=cast("Any", writer),
        bus=bus,
        stop=stop,
        flight=cast("Any", None),
        room=AnswerTokens(),
        suspects=Suspects(writer.put_result, inbox, stop, _is_well),
        turns=WorkRounds(),
    )


async def test_who_finishes_during_a_stop_does_not_wait_for_an_inbox_that_nobody_fills() -> None:
    stop = Stop()

    async def write(chunk: Chunk, ask: Ask) -> list[Pair]:
        stop.request("enough")
        return []

    inbox = Inbox(8)
    await inbox.put([Work("a" * 32, make_chunk(), {})])
    with anyio.fail_after(5):
        await work_on(inbox, shop_with(stop, write, inbox))


async def test_the_end_of_the_work_is_passed_on() -> None:
    done: list[str] = []

    async def write(chunk: Chunk, ask: Ask) -> list[Pair]:
        done.append(chunk.text)
        return []

    inbox = Inbox(8)
    for text in ("one", "two"):
        await inbox.put([Work(text.ljust(32, "0"), make_chunk(text), {})])
    inbox.end()
    shop = shop_with(Stop(), write, inbox)
    with anyio.fail_after(5):
        await work_on(inbox, shop)
        await work_on(inbox, shop)
    assert done == ["one", "two"]


async def test_a_worker_waits_where_the_disk_is_far_behind() -> None:
    waited: list[str] = []

    async def write(chunk: Chunk, ask: Ask) -> list[Pair]:
        return []

    async def wait() -> None:
        waited.append("for room")

    inbox = Inbox(8)
    await inbox.put([Work("a" * 32, make_chunk(), {})])
    inbox.end()
    shop = shop_with(Stop(), write, inbox)
    vars(shop.writer).update(is_behind=True, wait_for_room=wait)
    await work_on(inbox, shop)
    assert waited == ["for room"]
