"""Verdicts from other processes are those of this one, whatever happens to the processes."""

from __future__ import annotations

import asyncio
import os
import random
import signal
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

import pytest
from tests.support.asks import KETTLES, ScriptedAsk, make_chunk
from tests.support.deadly_checker import POISON, SLEEP
from tests.unit.quality.languages import TEXTS

from pairmill.errors import RejectedError, StoppedError
from pairmill.quality.canary import ChunkComparer
from pairmill.quality.thresholds import override
from pairmill.recipes.checks import CheckJob, Checks, PairText, judge, source_of
from pairmill.recipes.recipe import NullContext
from pairmill.recipes.refine import refine
from pairmill.recipes.writing import TERMS
from pairmill.records import Message, Pair
from pairmill.run.checking import Checkers
from pairmill.run.checking_process import checks_as_data, checks_of
from pairmill.simulator.content import draft_pairs
from pairmill.simulator.rng import Rng
from pairmill.sources.processes import Process

if TYPE_CHECKING:
    from collections.abc import Iterator

    from pairmill.quality.canary import CanaryInput
    from pairmill.recipes.checks import CheckReply, Verdict
    from pairmill.records import Chunk

CHECKS = Checks(terms=TERMS)
LANGUAGES = ("en", "de", "fr", "ru", "zh")


@dataclass
class Bench:
    """Checkers, what was judged here, what they told, and the processes that they started."""

    module: str = "pairmill.run.checking_process"
    most: int = 1
    here: list[CheckJob] = field(default_factory=list)
    told: list[str] = field(default_factory=list)
    processes: list[Process] = field(default_factory=list)
    comparer: ChunkComparer = field(default_factory=ChunkComparer)
    given: dict[str, Any] = field(default_factory=dict)

    def __post_init__(self) -> None:
        self.checkers = Checkers(
            self.most, self.judge, self.told.append, **{"start": self.start, **self.given}
        )

    def judge(self, job: CheckJob) -> CheckReply:
        self.here.append(job)
        return judge(job, self.comparer)

    def start(self) -> Process:
        self.processes.append(Process(self.module, leads=True))
        return self.processes[-1]

    async def check(self, text: str = KETTLES) -> CheckReply:
        job = CheckJob(source_of(make_chunk(text)), CHECKS, [PairText("Why is it so?", text)])
        return await self.checkers.check(job)

    async def warm_up(self) -> None:
        """Return once jobs are judged elsewhere."""
        async with asyncio.timeout(60):
            while True:
                before = len(self.here)
                await self.check()
                if len(self.here) == before:
                    return
                await asyncio.sleep(0.01)


@pytest.fixture
def bench() -> Iterator[Bench]:
    bench = Bench()
    yield bench
    bench.checkers.close()


def look_often(bench: Bench) -> None:
    """Let two minutes pass for those who look at the processes."""
    for _ in range(25):
        bench.checkers._look()


@dataclass(frozen=True)
class Around(NullContext):
    checkers: Checkers | None = None
    comparer: ChunkComparer = field(default_factory=ChunkComparer)
    seen: list[CanaryInput | None] = field(default_factory=list)

    async def check(self, job: CheckJob) -> list[Verdict]:
        checkers = self.checkers
        reply = await checkers.check(job) if checkers else judge(job, self.comparer)
        self.seen.append(reply.canary_input)
        return reply.verdicts


def faulty_pairs(draw: random.Random, code: str) -> tuple[Chunk, list[Pair], Pair]:
    """A chunk, pairs of which some have faults or are twins, and what one is written anew as."""
    texts = TEXTS[code]
    drafts = draft_pairs(texts.passage, 3, Rng(draw.randrange(1000)))
    pairs = [(it.instruction, it.answer, it.evidence) for it in drafts]
    pairs += [(texts.instruction, texts.answer, ""), (texts.instruction, texts.answer, "")]
    pairs += [(texts.pointing_instructions[0], texts.answer, ""), ("Why?", texts.passage, "")]
    pairs += [(texts.yes_no[0], f"{texts.refusals[0]} +49 30 1234567 anna@brewmail.org", "")]
    draw.shuffle(pairs)
    made = [Pair(*pair[:2], at, evidence=pair[2]) for at, pair in enumerate(pairs)]
    talk = (Message("user", texts.instruction), Message("assistant", texts.answer)) * 2
    made.append(Pair(*pairs[0][:2], 9, task="conversation", messages=talk, fields={"a": "x@y.org"}))
    chunk = make_chunk(texts.passage, title="Kettles", language=draw.choice([code, None]))
    return chunk, made, Pair(texts.instruction, texts.answer, 3)


async def refined(
    around: Around, chunk: Chunk, pairs: list[Pair], other: Pair, checks: Checks
) -> tuple[list[Pair], list[str]]:
    async def rewrite(pair: Pair, told: str, chunk: Chunk, ask: object) -> Pair | None:
        return other if pair.index % 2 else None

    ask = ScriptedAsk([], around=around)
    kept = await refine(pairs, chunk, ask, checks, rewrite)
    return kept, [f"{drop.reason} {drop.detail}" for drop in ask.dropped]


async def test_pairs_are_kept_and_dropped_as_they_are_in_one_process(bench: Bench) -> None:
    await bench.warm_up()
    tables = [CHECKS, Checks(override({"twin": "flag"}), TERMS), Checks(terms=TERMS, language="fr")]
    there, here = Around(checkers=bench.checkers), Around()
    reasons: set[str] = set()
    for number in range(60):
        draw = random.Random(number)
        chunk, pairs, other = faulty_pairs(draw, LANGUAGES[number % len(LANGUAGES)])
        checks = draw.choice(tables)
        expected = await refined(here, chunk, pairs, other, checks)
        before = len(bench.here)
        assert await refined(there, chunk, pairs, other, checks) == expected
        assert len(bench.here) == before
        reasons.update(told.split()[0] for told in expected[1])
    assert {"twin", "near_copy", "refusal", "points_at_source"} <= reasons
    # the process saw the chunk of the warm-up before; what it compares with lags behind by one
    seen = [one.instructions for one in there.seen if one]
    assert seen == [one.instructions for one in here.seen if one]


async def test_jobs_of_a_process_that_is_killed_are_judged_by_the_next(bench: Bench) -> None:
    await bench.warm_up()
    waiting = [asyncio.create_task(bench.check(f"{KETTLES} {at}")) for at in range(100)]
    await asyncio.sleep(0)
    await asyncio.sleep(0)
    os.kill(bench.processes[0]._child.pid, signal.SIGKILL)
    replies = await asyncio.wait_for(asyncio.gather(*waiting), 60)
    assert all(len(reply.verdicts) == 1 for reply in replies)
    assert bench.told == ["the process that checks was killed (signal 9); it is started again"]
    assert len(bench.processes) == 2


async def test_jobs_of_a_process_that_hangs_are_judged_by_the_next(bench: Bench) -> None:
    await bench.warm_up()
    (process,) = bench.processes
    look_often(bench)
    await bench.check()
    assert len(bench.processes) == 1  # it has no work
    os.kill(process._child.pid, signal.SIGSTOP)
    waiting = [asyncio.create_task(bench.check(f"{KETTLES} {at}")) for at in range(100)]
    await asyncio.wait(waiting, return_when=asyncio.FIRST_COMPLETED)  # this one helps
    look_often(bench)
    replies = await asyncio.wait_for(asyncio.gather(*waiting), 60)
    assert all(len(reply.verdicts) == 1 for reply in replies)
    assert bench.told == [
        "the process that checks answered nothing for 120 s; it is started again",
    ]
    assert process._child.poll() is not None


async def test_what_hangs_process_after_process_is_rejected_alone() -> None:
    bench = Bench("tests.support.deadly_checker")
    try:
        await bench.warm_up()
        texts = [f"{KETTLES} {at}" + f" {SLEEP}" * (at == 3) for at in range(6)]
        waiting = [asyncio.create_task(bench.check(text)) for text in texts]
        while not waiting[3].done():
            await asyncio.sleep(0.2)
            if not bench.checkers._unproven:  # it has begun
                look_often(bench)
        replies = await asyncio.wait_for(asyncio.gather(*waiting, return_exceptions=True), 60)
        failed = [at for at, reply in enumerate(replies) if isinstance(reply, BaseException)]
        assert failed == [3]
        assert "answered nothing for 120 s, 3 times with it alone" in str(replies[3])
    finally:
        bench.checkers.close()


async def test_where_processes_are_slower_than_this_one_it_helps_them(bench: Bench) -> None:
    await bench.warm_up()
    (process,) = bench.processes
    os.kill(process._child.pid, signal.SIGSTOP)
    before = len(bench.here)
    waiting = [asyncio.create_task(bench.check(f"{KETTLES} {at}")) for at in range(100)]
    done, _ = await asyncio.wait(waiting, timeout=60, return_when=asyncio.FIRST_COMPLETED)
    assert done
    os.kill(process._child.pid, signal.SIGCONT)
    replies = await asyncio.wait_for(asyncio.gather(*waiting), 60)
    assert all(len(reply.verdicts) == 1 for reply in replies)
    assert before < len(bench.here) < before + 100
    assert bench.told == []


async def test_a_loop_that_is_busy_leaves_what_waits_to_the_processes() -> None:
    clock, step = 0.0, 0.0

    def now() -> float:
        nonlocal clock
        clock += step
        return clock

    bench = Bench(given={"now": now})
    try:
        await bench.warm_up()
        (process,) = bench.processes
        os.kill(process._child.pid, signal.SIGSTOP)
        waiting = [asyncio.create_task(bench.check(f"{KETTLES} {at}")) for at in range(100)]
        await asyncio.sleep(0)
        clock += 1.0  # longer than any job waits for a process
        before, step = len(bench.here), 0.001  # each look at the clock: a busy round
        bench.checkers._flush()
        for _ in range(20):
            await asyncio.sleep(0)
        assert len(bench.here) == before
        step = 0.0
        for _ in range(20):
            await asyncio.sleep(0)
        assert len(bench.here) > before
        os.kill(process._child.pid, signal.SIGCONT)
        await asyncio.wait_for(asyncio.gather(*waiting), 60)
    finally:
        bench.checkers.close()


async def test_what_kills_process_after_process_is_rejected_alone() -> None:
    bench = Bench("tests.support.deadly_checker")
    try:
        await bench.warm_up()
        texts = [f"{KETTLES} {at}" + f" {POISON}" * (at == 20) for at in range(50)]
        waiting = [asyncio.create_task(bench.check(text)) for text in texts]
        replies = await asyncio.wait_for(asyncio.gather(*waiting, return_exceptions=True), 120)
        failed = [at for at, reply in enumerate(replies) if isinstance(reply, BaseException)]
        assert failed == [20]
        assert isinstance(replies[20], RejectedError)
        assert replies[20].reason == "checks_failed"
        assert len(bench.processes) == 4
        await bench.warm_up()  # and it goes on
    finally:
        bench.checkers.close()


async def test_where_no_process_lives_checking_goes_on_here() -> None:
    bench = Bench("tests.support.absent_checker")
    try:
        async with asyncio.timeout(60):
            while not any("continues in the run's own process" in text for text in bench.told):
                assert len((await bench.check()).verdicts) == 1
                await asyncio.sleep(0.01)
        assert len(bench.processes) == 3
    finally:
        bench.checkers.close()


async def test_where_no_process_can_be_started_checking_goes_on_here() -> None:
    def refuse() -> Process:
        raise StoppedError("no process can be started")

    bench = Bench(given={"start": refuse})
    for _ in range(3):
        assert len((await bench.check()).verdicts) == 1
    assert bench.told == [
        "no process can be started; checking continues in the run's own process",
    ]


async def test_a_slow_run_starts_no_process() -> None:
    clock = 0.0
    bench = Bench(given={"lazily": True, "now": lambda: clock})
    try:
        for _ in range(300):
            clock += 0.05
            await bench.check()
        assert not bench.processes
        for _ in range(300):
            clock += 0.005
            await bench.check()
        assert len(bench.processes) == 1
    finally:
        bench.checkers.close()


async def test_a_fault_in_a_check_is_its_own_jobs_alone(bench: Bench) -> None:
    await bench.warm_up()
    job = CheckJob(source_of(make_chunk()), CHECKS, [PairText("", "", messages=(Message("", ""),))])
    with pytest.raises(RuntimeError, match="IndexError"):
        await bench.checkers.check(job)
    assert len((await bench.check()).verdicts) == 1
    assert bench.told == []


async def test_who_waits_at_the_end_is_let_go(bench: Bench) -> None:
    await bench.warm_up()
    waiting = asyncio.create_task(bench.check())
    await asyncio.sleep(0)
    bench.checkers.close()
    with pytest.raises(asyncio.CancelledError):
        await waiting


def test_tables_of_checks_arrive_as_they_were_sent() -> None:
    sent = Checks(
        override({"copy_run_words": 7, "twin": "drop"}),
        TERMS,
        {"text": override({"ungrounded": "keep"})},
        "de",
        is_watched=False,
    )
    came = checks_of(checks_as_data(sent))
    assert came == sent
    assert dict(came.thresholds.policies) == dict(sent.thresholds.policies)
    assert dict(came.by_task["text"].policies) == dict(sent.by_task["text"].policies)
