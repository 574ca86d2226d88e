"""Whole runs in virtual time, with a wire and a disk that misbehave by the roll of a die.

The real session, reader, workers, gate, retries, repair, writer, journal and ledger; only the
network, the clock, the threads and the disk's failures are made up. One seed is one history: what
the model answers, when the power fails, when somebody presses Ctrl-C. After each crash the next
start works with what the disk kept. What must be true all the while is checked all the while.
"""

from __future__ import annotations

import asyncio
import errno
import json
import os
import random
import shutil
import time
from collections import Counter
from contextlib import ExitStack, chdir, contextmanager, nullcontext
from dataclasses import dataclass, field
from types import SimpleNamespace
from typing import TYPE_CHECKING, Any
from unittest.mock import patch

import anyio
from tests.support.corpus import article
from tests.support.journals import Killed
from tests.support.power import PowerDisk
from tests.support.virtual_time import VirtualLoop

from pairmill.chunking.chunk_batches import read_batches
from pairmill.config import load
from pairmill.errors import (
    EXIT_DONE,
    EXIT_FAILED,
    EXIT_RESUMABLE,
    Kind,
    PairmillError,
    ProviderError,
    first_error,
)
from pairmill.events import Bus
from pairmill.llm.price_files import load_prices
from pairmill.llm.providers.provider import ProviderReply
from pairmill.records import Completion, Usage
from pairmill.run import (
    author_styles,
    connect,
    ending,
    loop,
    monitor,
    probing,
    recipe_context,
    session,
)
from pairmill.run.probing import make_question
from pairmill.run.stop import Stop
from pairmill.run.work_rounds import JudgingQueue, WorkRounds
from pairmill.run.writer import Writer
from pairmill.store.folder import RunFolder
from pairmill.store.journal import Journal
from pairmill.store.shards import read_lines
from pairmill.store.sqlite import ledger, store
from pairmill.store.sqlite.ledger import SqliteLedger
from pairmill.store.sqlite.lookup import SqliteLookup

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Sequence
    from pathlib import Path

    from pairmill.llm.providers.provider import Mode
    from pairmill.records import Request
    from pairmill.store.entries import Batch, PaidAnswer, UnitOutcome
    from pairmill.store.journal import Receipt

__all__ = ["History", "simulate"]

PRICES = load_prices(None)
MOST_STARTS = 40
CALM_AFTER = 8  # starts, from which on nothing goes wrong any more
GRACE_S = 25.0
COMMIT_S = 0.1
SLOWEST_S = 0.2  # of what the disk takes for one commit


@dataclass
class History:
    """What happened in one simulated life of a run folder."""

    seed: int
    starts: int = 0
    kills: int = 0
    power_losses: int = 0
    stops: int = 0
    refusals: int = 0
    calls: int = 0
    noise: int = 0
    wasted: int = 0
    pairs: int = 0
    wrong: list[str] = field(default_factory=list)


@dataclass
class World:
    """What outlasts a start: the endpoint's memory, and what the disk acknowledged."""

    history: History
    dice: random.Random
    units: int
    answered: set[str] = field(default_factory=set)  # calls whose answers were acknowledged
    lines: Counter[bytes] = field(default_factory=Counter)  # rows that were acknowledged
    pairs: int = 0
    serial: int = 0
    noise: Noise | None = None
    own: set[str] = field(default_factory=set)  # questions of the run's own

    def complain(self, what: str) -> None:
        self.history.wrong.append(f"start {self.history.starts}: {what}")


@dataclass
class Noise:
    """What a server refuses for reasons of its own: by chance, in waves, by a sick replica."""

    dice: random.Random

    def __post_init__(self) -> None:
        dice = self.dice
        self._share = dice.choice([0.02, 0.1, 0.4])
        self._period_s = dice.choice([0.0, 0.0, 10.0, 60.0])
        self._kind, self._status = dice.choice(
            [(Kind.RATE, 429), (Kind.OVERLOAD, 503), (Kind.OVERLOAD, 498), (Kind.OVERLOAD, 529)]
        )
        self._wait_s = dice.choice([None, 0.0, 1.0, 30.0])

    def refusal(self, now: float) -> ProviderError | None:
        """The refusal that a call meets now, if it does."""
        share = self._share
        if self._period_s:  # all of it for a part of the time
            share = float(now % self._period_s < share * self._period_s)
        if self.dice.random() >= share:
            return None
        wait_s = self._wait_s
        return ProviderError(self._kind, "busy", status=self._status, retry_after_s=wait_s)


class Wire:
    """A model and the way to it. Bills on receipt, like any provider."""

    def __init__(self, world: World, start: Start) -> None:
        self._world = world
        self._start = start

    async def complete(self, request: Request, mode: Mode) -> ProviderReply:
        world, dice = self._world, self._world.dice
        if request.id in world.answered:
            world.complain("bought an answer that the disk had acknowledged")
        if self._start.stop.is_requested:
            world.complain("sent something after a stop")
        world.history.calls += 1
        await anyio.sleep(dice.choice([0.0, 0.01, dice.uniform(0, 3), dice.uniform(0, 3)]))
        is_calm = world.history.starts > CALM_AFTER
        fate = 0.0 if is_calm else dice.random()
        if fate > 0.97:
            await anyio.sleep(dice.choice([10, 600]))
            raise ProviderError(Kind.TIMEOUT, "no answer", code="timeout", maybe_paid=True)
        if fate > 0.93:
            wait_s = dice.choice([None, 0.5, 20.0])
            raise ProviderError(Kind.RATE, "slow down", status=429, retry_after_s=wait_s)
        if fate > 0.88:
            raise ProviderError(Kind.OVERLOAD, "busy", status=503)
        if fate > 0.86:
            raise ProviderError(Kind.BADOUT, "html", code="html", maybe_paid=True)
        refusal = world.noise.refusal(time.monotonic()) if world.noise and not is_calm else None
        if refusal is not None:
            world.history.noise += 1
            raise refusal
        if request.prompt.text not in world.own:  # what is asked to see who is well is not kept
            self._start.delivered.append(time.monotonic())
        return ProviderReply(self._completion(fate))

    def _completion(self, fate: float) -> Completion:
        world = self._world
        world.serial += 1
        pairs = [
            {
                "type": "fact",
                "evidence": "",
                "instruction": f"What does answer {world.serial} say about item {n}?",
                "answer": f"Answer {world.serial} says something about item {n}.",
            }
            for n in range(world.dice.randint(1, 3))
        ]
        text = json.dumps({"skip": None, "pairs": pairs})
        if fate > 0.78:
            text = world.dice.choice(["", f"no JSON {world.serial}", text[:-30], "{" + text])
        return Completion(text, "stop", "model", Usage(10, 5), 1e9 + world.serial)

    async def aclose(self) -> None:
        return


class Disk(PowerDisk):
    """Loses power, dies with its process, refuses for a while, or fails for good."""

    def __init__(self, world: World, start: Start, path: Path, place: Path) -> None:
        dice = world.dice
        is_calm = world.history.starts > CALM_AFTER
        crash_at = dice.randint(0, 90) if not is_calm and dice.random() < 0.75 else 10**9
        super().__init__(path, crash_at, place, dice)
        self.keeps_all = dice.random() < 0.5
        self._world = world
        self._start = start
        self.has_refused = False
        self._count = 0
        kinds = [errno.ENOSPC, errno.EDQUOT, errno.EMFILE, errno.EIO]
        self._code = dice.choice(kinds)
        first = dice.randint(0, 100)
        length = dice.choice([1, 2, 5, 400])
        is_refusing = not is_calm and dice.random() < 0.4
        self._refused = range(first, first + length) if is_refusing else range(0)

    def cut(self) -> None:
        """Die. What is lost was in flight, or is younger than a commit and the one before it."""
        super().cut()
        unkept = self._start.delivered[self._start.kept :]
        if (
            unkept
            and not self.has_refused
            and time.monotonic() - unkept[0] > COMMIT_S + 2 * SLOWEST_S + 0.01
        ):
            self._world.complain(
                f"an answer was not committed for {time.monotonic() - unkept[0]} s"
            )

    def step(self) -> None:
        super().step()
        self._count += 1
        if self._count in self._refused:
            self.has_refused = True
            self._world.history.refusals += 1
            raise OSError(self._code, "not for users")


@dataclass
class Start:
    """One process's life."""

    stop: Stop
    delivered: list[float] = field(default_factory=list)  # when each answer came
    kept: int = 0  # how many of them were acknowledged


def simulate(seed: int, folder: Path, *, is_noisy: bool = True) -> History:
    """Live through one history; its ``wrong`` says what should not have happened.

    Args:
        seed: Of the history.
        folder: An empty one, or one with histories of other seeds.
        is_noisy: The server refuses calls for reasons of its own, in every other history.
    """
    with chdir(folder):  # so that names in rows are as long wherever the folder is
        return _simulate(seed, folder, is_noisy=is_noisy)


def _simulate(seed: int, folder: Path, *, is_noisy: bool) -> History:
    history = History(seed)
    dice = random.Random(seed)
    world = World(history, dice, units=dice.randint(1, 16))
    noise = random.Random(f"noise {seed}")  # of its own, so that the rest stays as it was
    if is_noisy and noise.random() < 0.5:
        world.noise = Noise(noise)
    corpus = folder / "articles.jsonl"
    texts = [article(seed * 100 + n, 12) for n in range(world.units)]
    corpus.write_text("".join(json.dumps({"text": text}) + "\n" for text in texts))
    path, is_done = folder / "0", False
    concurrency, shard_bytes = dice.randint(1, 8), dice.choice([1024, 4096, 10**6])
    while not is_done and history.starts < MOST_STARTS and not history.wrong:
        history.starts += 1
        settings = {
            "inputs": (corpus.name,),
            "output": path,
            "base_url": "http://127.0.0.1:9/v1",
            "structured_output": "json_schema",
            "checks": "off",
            "concurrency": concurrency,
            "shard_bytes": shard_bytes,
            "commit_interval_s": COMMIT_S,
            "grace_s": GRACE_S,
            "disk_wait_s": 60,
        }
        path, is_done = _live(world, settings, path, folder / str(history.starts))
    if not is_done:
        world.complain("it never came to its end")
    else:
        _check_end(world, path)
    return history


def _live(world: World, settings: dict[str, Any], path: Path, place: Path) -> tuple[Path, bool]:
    """One start, to whatever end. Returns the folder that it leaves, and whether all is done."""
    start = Start(Stop())
    disk = Disk(world, start, path, place)
    loaded = load(given=settings)
    loop_of: list[VirtualLoop] = []

    async def main() -> int:
        loop = loop_of[0]
        if world.history.starts <= CALM_AFTER and world.dice.random() < 0.3:
            after_s = world.dice.uniform(0, 8)
            loop.call_later(after_s, _press, world, start, loop)
        summary = await session.run(loaded, Bus(), handle_signals=False)
        return summary.exit_code

    def make_loop() -> VirtualLoop:
        loop_of.append(VirtualLoop(step_s=1e-6))
        return loop_of[0]

    clock = lambda: loop_of[0].time()  # noqa: E731, PLW0108 (there is no loop yet)
    try:
        with (
            _made_up(world, start, disk, clock),
            asyncio.Runner(loop_factory=make_loop) as runner,
        ):
            code = runner.run(main())
    except BaseException as error:
        if not _is_expected(error, disk):
            raise
        code = EXIT_RESUMABLE
    if disk.crashed is not None:
        world.history.power_losses += not disk.keeps_all
        world.history.kills += disk.keeps_all
        shutil.rmtree(path)
        path = disk.crashed
        code = EXIT_RESUMABLE
    elif code not in {EXIT_DONE, EXIT_RESUMABLE} and (code != EXIT_FAILED or world.pairs):
        world.complain(f"exit code {code}")
    elif not disk.has_refused and len(start.delivered) != start.kept:
        world.complain("an answer was received, and not kept by a run that ended in order")
    world.history.wasted += len(start.delivered) - start.kept
    return path, code != EXIT_RESUMABLE


def _press(world: World, start: Start, loop: VirtualLoop) -> None:
    """Ctrl-C; and it must not take longer than the grace period."""
    world.history.stops += 1
    start.stop.request("stopped by the die")


def _is_expected(error: BaseException, disk: Disk) -> bool:
    """Whether a run may end like this: the process was killed, or it says why it cannot begin."""
    leaves = [error]
    while any(isinstance(leaf, BaseExceptionGroup) for leaf in leaves):
        leaves = [
            inner
            for leaf in leaves
            for inner in (leaf.exceptions if isinstance(leaf, BaseExceptionGroup) else (leaf,))
        ]
    if disk.crashed is not None and any(isinstance(leaf, Killed) for leaf in leaves):
        return True
    told = first_error(error)
    return isinstance(told, PairmillError) and told.exit_code == EXIT_RESUMABLE


async def _silent(*_: Any) -> None:
    """Nothing here is asked over a network."""


def _watched(world: World, start: Start, disk: Disk) -> tuple[type[Journal], type[SqliteLedger]]:
    """Make journal and ledger tell of what they confirm."""

    class WatchedJournal(Journal):
        @classmethod
        def open(cls, folder: RunFolder, **given: Any) -> Any:
            return super().open(folder, **given, files=disk)

        def commit(self, batch: Batch) -> Receipt:
            if disk.crashed is not None:
                raise Killed  # whoever is dead tidies nothing up
            return super().commit(batch)

    class WatchedLedger(SqliteLedger):
        """What it has confirmed counts, though the process may die before it hears of it."""

        def commit(
            self,
            answers: Sequence[PaidAnswer],
            outcomes: Sequence[UnitOutcome],
            *more: Any,
        ) -> None:
            super().commit(answers, outcomes, *more)
            start.kept += len(answers)
            world.answered.update(answer.call_id for answer in answers)
            world.lines.update(line for unit in outcomes for line in (*unit.rows, *unit.rejected))
            world.pairs += sum(len(unit.rows) for unit in outcomes)

    return WatchedJournal, WatchedLedger


@contextmanager
def _made_up(world: World, start: Start, disk: Disk, clock: Callable[[], float]) -> Iterator[None]:
    """Put the made-up wire, disk, clock and threads in the places of the real ones."""

    watched_journal, watched_ledger = _watched(world, start, disk)

    async def inline(_writer: Writer, call: Callable[[], Any]) -> Any:
        await anyio.sleep(world.dice.choice([0.0, 0.001, SLOWEST_S]))
        return call()

    async def aside(call: Callable[[], Any], **_: Any) -> Any:
        await anyio.sleep(world.dice.choice([0.0, 0.01]))
        return call()

    async def question(*given: Any) -> Any:
        asked = await make_question(*given)
        if asked is not None:
            world.own.add(asked.request.prompt.text)
        return asked

    class Clock:
        def monotonic(self) -> float:
            return clock()

        def time(self) -> float:
            return 1e9 + clock()

        async def sleep(self, seconds: float) -> None:
            await anyio.sleep(max(0.0, seconds))

    with ExitStack() as stack:
        for target, name, value in (
            (connect, "make_provider", lambda *_: Wire(world, start)),
            (connect, "SystemClock", Clock),
            (probing, "make_question", question),
            (probing, "SystemClock", Clock),
            (probing, "random", SimpleNamespace(Random=lambda: world.dice)),
            (connect, "random", SimpleNamespace(Random=lambda: world.dice)),
            (time, "monotonic", clock),
            (session, "Journal", watched_journal),
            (store, "SqliteLedger", watched_ledger),
            (ledger, "FOLD_AT", (5, 12)),
            (session, "Stop", lambda: start.stop),
            (loop, "run_in_daemon_thread", aside),
            (session, "run_in_daemon_thread", aside),
            (recipe_context, "WorkRounds", lambda: WorkRounds(now=clock)),
            (recipe_context, "JudgingQueue", lambda judge: JudgingQueue(judge, now=clock)),
            (author_styles, "run_in_daemon_thread", aside),
            (monitor, "run_sync", aside),
            (session, "ReaderProcess", lambda job: nullcontext(read_batches(job))),
            (Writer, "_in_thread", inline),
            # Three slow things that nothing here rests on.
            (session, "calm_collector", nullcontext),
            (ending, "write_card", lambda *_: None),
            (loop, "watch_retirements", _silent),
            (connect, "load_prices", lambda _: PRICES),
        ):
            stack.enter_context(patch.object(target, name, value))
        stack.enter_context(patch.dict(os.environ, {"OPENAI_API_KEY": "none"}))
        yield


def _check_end(world: World, path: Path) -> None:
    """Everything that was ever acknowledged stands there once, and every unit has ended."""
    folder = RunFolder(path)
    with SqliteLookup(folder.ledger) as lookup:
        totals, shards = lookup.totals(), lookup.shards()
    if sum(totals.units.values()) != world.units:
        world.complain(f"{totals.units} of {world.units} units")
    there = Counter(
        line for kind in ("train", "rejected") for line in read_lines(folder, shards, kind)
    )
    if there != world.lines:
        world.complain(
            f"{len(world.lines - there)} lines lost, {len(there - world.lines)} too many"
        )
    ids = [json.loads(line)["id"] for line in read_lines(folder, shards, "train")]
    world.history.pairs = len(ids)
    if len(set(ids)) != len(ids):
        world.complain("a pair stands there twice")
