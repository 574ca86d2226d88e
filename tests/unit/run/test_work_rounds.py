from __future__ import annotations

import asyncio

import pytest

from pairmill.recipes.checks import CheckJob, CheckReply, Checks, ChunkText
from pairmill.run.work_rounds import JudgingQueue, WorkRounds


class Loop:
    """Tasks whose work takes time of a fake clock, and the clock's time in each round."""

    def __init__(self, round_s: float) -> None:
        self.now = 0.0
        self.turns = WorkRounds(round_s, lambda: self.now)
        self.done: list[int] = []
        self.rounds: list[list[int]] = [[]]

    async def work(self, number: int, cost_s: float) -> None:
        await self.turns.take()
        self.now += cost_s
        self.done.append(number)
        self.rounds[-1].append(number)

    async def look(self) -> None:
        """Begin a list with each round of the loop."""
        while True:
            await asyncio.sleep(0)
            if self.rounds[-1]:
                self.rounds.append([])

    async def run(self, costs_s: list[float]) -> list[float]:
        """Let all come at once; return how long each round took."""
        looking = asyncio.create_task(self.look())
        await asyncio.gather(*(self.work(at, cost) for at, cost in enumerate(costs_s)))
        looking.cancel()
        return [sum(costs_s[at] for at in numbers) for numbers in self.rounds]


@pytest.mark.parametrize("cost_s", [0.0001, 0.0007, 0.003])
async def test_no_round_takes_longer_than_it_may_but_for_the_last_work(cost_s: float) -> None:
    loop = Loop(0.002)
    rounds_s = await loop.run([cost_s] * 200)
    assert loop.done == list(range(200))
    assert max(rounds_s) <= 0.002 + cost_s + 1e-9
    whole = [it for it in rounds_s[8:-2] if it > 0]  # once it knows what they take
    assert min(whole) >= min(0.001, cost_s)  # and rounds are not nearly empty


async def test_work_that_becomes_dear_is_let_go_in_smaller_numbers() -> None:
    loop = Loop(0.002)
    rounds_s = await loop.run([0.00005] * 300 + [0.001] * 50)
    assert sorted(rounds_s)[-3] <= 0.004  # two were made for the cheap ones, or for both
    assert max(rounds_s) <= 0.033


async def test_nobody_waits_where_there_is_little_to_do() -> None:
    loop = Loop(0.002)
    for number in range(3):
        step = loop.work(number, 0.0001)
        with pytest.raises(StopIteration):  # it never gave the loop away
            step.send(None)


async def test_who_is_cancelled_while_waiting_holds_up_nobody() -> None:
    loop = Loop(0.002)
    tasks = [asyncio.create_task(loop.work(at, 0.003)) for at in range(6)]
    await asyncio.sleep(0)
    for at in (1, 2, 4):
        tasks[at].cancel()
    await asyncio.gather(*tasks, return_exceptions=True)
    assert loop.done == [0, 3, 5]
    await loop.work(6, 0.0)
    assert loop.done[-1] == 6


def job(name: str) -> CheckJob:
    return CheckJob(ChunkText(name, "", [], None), Checks(), [])


class Judge:
    """Judges in seconds of a fake clock; counts how many were judged in a row."""

    def __init__(self, cost_s: float) -> None:
        self.now = 0.0
        self.cost_s = cost_s
        self.rows: list[list[str]] = []
        self.queue = JudgingQueue(self.judge, 0.002, self.look)
        self._is_new = True

    def look(self) -> float:
        return self.now

    def judge(self, given: CheckJob) -> CheckReply:
        if given.source.id == "bad":
            raise LookupError
        self.now += self.cost_s
        if self._is_new:
            self.rows.append([])
            self._is_new = False
            asyncio.get_running_loop().call_soon(self._end)
        self.rows[-1].append(given.source.id)
        return CheckReply([])

    def _end(self) -> None:
        self._is_new = True


async def test_what_came_together_is_judged_together_for_as_long_as_a_round_may_take() -> None:
    judge = Judge(0.0006)
    names = [str(at) for at in range(10)]
    await asyncio.gather(*(judge.queue.judge(job(name)) for name in names))
    assert [name for row in judge.rows for name in row] == names
    assert [len(row) for row in judge.rows] == [4, 4, 2]


async def test_a_check_that_fails_and_a_waiter_that_is_gone_cost_nobody_else_a_verdict() -> None:
    judge = Judge(0.003)
    names = ["a", "gone", "bad", "b"]
    tasks = [asyncio.create_task(judge.queue.judge(job(name))) for name in names]
    await asyncio.sleep(0)
    tasks[1].cancel()
    found = await asyncio.gather(*tasks, return_exceptions=True)
    assert [type(it) for it in found] == [
        CheckReply,
        asyncio.CancelledError,
        LookupError,
        CheckReply,
    ]
    assert [name for row in judge.rows for name in row] == ["a", "b"]
    assert await judge.queue.judge(job("c")) == CheckReply([])
