"""Check pairs in separate processes, to keep the event loop free.

Jobs are sent in batches and verdicts come back in batches; each worker waits for its own unit's. A
process that dies, or answers nothing for two minutes, is restarted, and its jobs are judged again.
While no process is ready, jobs are judged on the event loop; and if they wait for a process, so are
some of them whenever the loop has nothing else to do.
"""

from __future__ import annotations

import asyncio
import os
import time
from collections import deque
from typing import TYPE_CHECKING, Protocol

import msgspec
from msgspec import Struct

from pairmill.errors import InputError, RejectedError, StoppedError
from pairmill.recipes.checks import CheckReply
from pairmill.run.checking_process import (
    JobBatch,
    JobFrame,
    ReplyBatch,
    ReplyFrame,
    checks_as_data,
)
from pairmill.run.work_rounds import JudgingQueue
from pairmill.sources.processes import Process, widen

if TYPE_CHECKING:
    from collections.abc import Callable

    from pairmill.recipes.checks import CheckJob, Checks

__all__ = ["Checkers"]

BATCH_JOBS = 32  # some 10 ms of work
_IN_HAND = 2  # batches per process: the one being judged, and the next
_PATIENCE_S = 0.02  # that a job waits for a process before it may be judged here
_IDLE_S = 0.0001  # that a round of the event loop takes at most, if it has nothing to do
_PAUSE_S = 0.003  # between two batches; each one wakes a process
_BUSY_PER_S = 100  # units a second from which a process is worth its memory
_MOST_DEATHS = 3  # caused by a single job, or in a row at the start
_LOOK_S = 5.0  # between two checks of the processes
_MOST_SILENT_LOOKS = 24  # of a process with work: two minutes, while a batch takes 10 ms
_HEAD_BYTES = 8
_READ_BYTES = 2**18
_PIPE_BYTES = 2**18  # two batches of texts of usual size
_MODULE = "pairmill.run.checking_process"

_encode = msgspec.msgpack.Encoder().encode
_decode = msgspec.msgpack.Decoder(ReplyBatch).decode


class Started(Protocol):
    """A process that was started; see `pairmill.sources.processes.Process`."""

    inward: int
    outward: int

    def end(self) -> int | None:
        """End it."""
        ...

    def close(self) -> None:
        """Close its descriptors."""
        ...


class _Sent(Struct, eq=False):
    """A job with a waiter; ``deaths`` counts processes that died with it."""

    job: CheckJob
    reply: asyncio.Future[CheckReply]
    since: float
    deaths: int = 0


class Checkers:
    """Judges jobs in up to ``most`` processes. Use it from one event loop, and close it.

    With ``lazily``, processes only start once 100 units arrive within a second: with a slow
    model they would sit idle and waste memory.
    """

    def __init__(
        self,
        most: int,
        judge: Callable[[CheckJob], CheckReply],
        notice: Callable[[str], None],
        *,
        seed: int = 0,
        lazily: bool = False,
        start: Callable[[], Started] = lambda: Process(_MODULE, leads=True),
        now: Callable[[], float] = time.monotonic,
    ) -> None:
        """Create it; ``judge`` judges a job in this process."""
        self._most = most
        self._judge = judge
        self._notice = notice
        self._seed = seed
        self._queue = JudgingQueue(judge)
        self._start = start
        self._now = now
        self._children: list[_Child] = []
        self._unproven: list[_Child] = []  # started, without a reply yet
        self._waiting: deque[_Sent] = deque()
        self._timer: asyncio.TimerHandle | None = None
        self._due = 0.0
        self._is_helping = False  # in the next round, perhaps
        self._look_timer: asyncio.TimerHandle | None = None
        self._is_lazy = lazily
        self._since, self._seen = now(), 0
        self._deaths = 0  # of unproven ones, in a row

    async def check(self, job: CheckJob) -> CheckReply:
        """Return the verdicts of a job.

        Raises:
            RejectedError: It killed or hung processes.
        """
        if self._is_lazy and not self._is_busy():
            return await self._queue.judge(job)
        while len(self._children) + len(self._unproven) < self._most:
            self._begin()
        if not self._children:
            return await self._queue.judge(job)
        sent = _Sent(job, asyncio.get_running_loop().create_future(), self._now())
        self._waiting.append(sent)
        self._flush_soon()
        return await sent.reply

    def close(self) -> None:
        """End the processes, and cancel all waiters."""
        self._most = 0
        for timer in (self._timer, self._look_timer):
            if timer is not None:
                timer.cancel()
        for child in (*self._children, *self._unproven):
            child.end()
            self._waiting.extend(child.sent.values())
        for sent in self._waiting:
            sent.reply.cancel()
        for each in (self._children, self._unproven, self._waiting):
            each.clear()

    def _is_busy(self) -> bool:
        """Return whether there is enough work for separate processes; stays true once it is."""
        now = self._now()
        if now - self._since >= 1.0:
            self._since, self._seen = now, 0
        self._seen += 1
        self._is_lazy = self._seen < _BUSY_PER_S  # at once: a thousand may arrive in this second
        return not self._is_lazy

    def _begin(self) -> None:
        """Start one more process; it gets its first job after it has reported that it is ready."""
        try:
            process = self._start()
        except (StoppedError, InputError) as error:
            self._give_up(str(error))
            return
        child = _Child(process, self._seed, self._ready, self._deliver, self._bury)
        self._unproven.append(child)
        child.send([])
        if self._look_timer is None:
            self._look_again()

    def _look_again(self) -> None:
        if self._look_timer is not None:
            self._look_timer.cancel()
        self._look_timer = asyncio.get_running_loop().call_later(_LOOK_S, self._look)

    def _look(self) -> None:
        """End hung processes; counts checks instead of seconds, since the run may be suspended."""
        for child in (*self._children, *self._unproven):
            child.silent_looks += bool(child.batches)
            if child.silent_looks > _MOST_SILENT_LOOKS:
                child.end()
                silent_s = round(_MOST_SILENT_LOOKS * _LOOK_S)
                self._bury(child, f"answered nothing for {silent_s} s")
        self._look_again()

    def _ready(self, child: _Child) -> None:
        """Handle the reply of a process to a batch."""
        if child in self._unproven:
            self._unproven.remove(child)
            self._children.append(child)
            self._deaths = 0
        self._flush_soon()

    def _flush_soon(self, pause_s: float = _PAUSE_S) -> None:
        """Schedule sending of the waiting jobs, so that more of them form one batch."""
        loop = asyncio.get_running_loop()
        due = loop.time() + pause_s
        if self._timer is not None:
            if self._due <= due:
                return
            self._timer.cancel()
        self._timer, self._due = loop.call_at(due, self._flush), due

    def _flush(self) -> None:
        if self._timer is not None:
            self._timer.cancel()
            self._timer = None
        while self._waiting:
            first = self._waiting[0]
            able = [child for child in self._children if child.takes(is_suspect=first.deaths > 0)]
            if able:
                self._hand_over(min(able, key=lambda child: len(child.sent)))
            elif not self._children and not self._unproven:
                self._settle(self._waiting.popleft())
            elif first.deaths:
                return  # a process will become free, or be started
            elif (rest_s := first.since + _PATIENCE_S - self._now()) > 0:
                self._flush_soon(rest_s)
                return
            else:
                self._help_if_idle()
                return

    def _help_if_idle(self) -> None:
        """Judge one job here for each round in which the event loop has nothing else to do.

        The processes fall behind; but a loop that is busy itself would only leave them without
        work later.
        """
        if self._is_helping:
            return
        self._is_helping, began = True, self._now()

        def go_on() -> None:
            self._is_helping = False
            is_idle = self._now() - began <= _IDLE_S
            if is_idle and self._waiting and not self._waiting[0].deaths:
                self._settle(self._waiting.popleft())
            self._flush()

        asyncio.get_running_loop().call_soon(go_on)

    def _hand_over(self, child: _Child) -> None:
        """Send the next jobs; one that killed a process goes alone, to identify the culprit."""
        fair = -(-len(self._waiting) // (len(self._children) * _IN_HAND))
        most = 1 if self._waiting[0].deaths else min(fair, BATCH_JOBS)
        batch = [self._waiting.popleft()]
        while len(batch) < most and not self._waiting[0].deaths:
            batch.append(self._waiting.popleft())
        child.send(batch)

    def _settle(self, sent: _Sent) -> None:
        """Judge a job in this process."""
        if not sent.reply.done():
            try:
                sent.reply.set_result(self._judge(sent.job))
            except Exception as error:  # noqa: BLE001 (it is its unit's)
                sent.reply.set_exception(error)

    def _deliver(self, sent: _Sent, reply: ReplyFrame) -> None:
        if sent.reply.done():
            return  # cancelled meanwhile
        if reply.fault:
            sent.reply.set_exception(RuntimeError(reply.fault))
        else:
            sent.reply.set_result(CheckReply(reply.verdicts, reply.canary_input))

    def _bury(self, child: _Child, how: str) -> None:
        """Handle the end of a process: its jobs go to another one."""
        if child in self._unproven:
            self._unproven.remove(child)
            self._deaths += 1
        else:
            self._children.remove(child)
        is_known = len(child.sent) == 1
        for sent in reversed(child.sent.values()):
            sent.deaths += 1
            if sent.reply.done():
                continue
            if is_known and sent.deaths >= _MOST_DEATHS:
                told = f"the process that checks {how}, {sent.deaths} times with it alone"
                sent.reply.set_exception(RejectedError("checks_failed", told))
            else:
                self._waiting.appendleft(sent)
        if self._deaths >= _MOST_DEATHS:
            self._give_up(f"the process that checks {how}, {self._deaths} times at its start")
        elif self._most:
            self._notice(f"the process that checks {how}; it is started again")
            self._begin()
        self._flush_soon()

    def _give_up(self, reason: str) -> None:
        if self._most:
            self._most = 0
            self._notice(f"{reason}; checking continues in the run's own process")
        self._flush_soon()


class _Child:
    """One process: its pipes, and what it was sent."""

    def __init__(
        self,
        process: Started,
        seed: int,
        ready: Callable[[_Child], None],
        deliver: Callable[[_Sent, ReplyFrame], None],
        bury: Callable[[_Child, str], None],
    ) -> None:
        self.sent: dict[int, _Sent] = {}
        self.batches = 0
        self.silent_looks = 0  # since it last answered
        self._process = process
        self._seed = seed
        self._ready = ready
        self._deliver = deliver
        self._bury = bury
        self._number = 0
        self._tables: dict[int, tuple[int, Checks]] = {}  # by id; kept, so no id is reused
        self._outgoing: deque[memoryview] = deque()
        self._incoming = bytearray()
        self._loop = asyncio.get_running_loop()
        self._is_over = False
        for descriptor in (process.inward, process.outward):
            os.set_blocking(descriptor, False)
        widen(process.inward, _PIPE_BYTES)
        self._loop.add_reader(process.outward, self._read)

    def send(self, batch: list[_Sent]) -> None:
        """Send as much of a batch as the pipe takes now; the rest follows when it is writable."""
        tables: dict[int, dict[str, object]] = {}
        jobs = []
        for sent in batch:
            job = sent.job
            known = self._tables.get(id(job.checks))
            if known is None:
                known = self._tables[id(job.checks)] = (len(self._tables), job.checks)
                tables[known[0]] = checks_as_data(job.checks)
            self._number += 1
            self.sent[self._number] = sent
            jobs.append(
                JobFrame(
                    self._number, known[0], job.source, list(job.texts), job.first, job.is_watched
                )
            )
        body = _encode(JobBatch(self._seed, tables, jobs))
        is_idle = not self._outgoing
        self._outgoing.append(memoryview(len(body).to_bytes(_HEAD_BYTES, "big") + body))
        self.batches += 1
        if is_idle:
            self._write()

    def takes(self, *, is_suspect: bool) -> bool:
        """Return True if it can take another batch; a job that killed processes must be alone."""
        if is_suspect or any(sent.deaths for sent in self.sent.values()):
            return not self.batches
        return self.batches < _IN_HAND

    def end(self) -> int | None:
        """Kill it and close its pipes; return its exit status."""
        if self._is_over:
            return None
        self._is_over = True
        self._loop.remove_reader(self._process.outward)
        self._loop.remove_writer(self._process.inward)
        code = self._process.end()
        self._process.close()
        return code

    def _write(self) -> None:
        while self._outgoing:
            part = self._outgoing[0]
            try:
                count = os.write(self._process.inward, part)
            except BlockingIOError:
                self._loop.add_writer(self._process.inward, self._write)
                return
            except OSError:
                self._outgoing.clear()  # it is gone; the other pipe reports that
                break
            if count == len(part):
                self._outgoing.popleft()
            else:
                self._outgoing[0] = part[count:]
        self._loop.remove_writer(self._process.inward)

    def _read(self) -> None:
        try:
            data = os.read(self._process.outward, _READ_BYTES)
        except BlockingIOError:
            return
        except OSError:
            data = b""
        self._incoming += data
        try:
            is_well = bool(data) and self._take()
        except msgspec.DecodeError:
            is_well = False
        if not is_well:
            code = self.end()
            how = f"was killed (signal {-code})" if code and code < 0 else f"ended with {code}"
            self._bury(self, how)

    def _take(self) -> bool:
        """Deliver complete batches; return False if it sent something unexpected."""
        while len(self._incoming) >= _HEAD_BYTES:
            size = int.from_bytes(self._incoming[:_HEAD_BYTES], "big")
            end = _HEAD_BYTES + size
            if len(self._incoming) < end:
                return True
            batch = _decode(memoryview(self._incoming)[_HEAD_BYTES:end].tobytes())
            del self._incoming[:end]
            self.batches -= 1
            self.silent_looks = 0
            for reply in batch.replies:
                sent = self.sent.pop(reply.number, None)
                if sent is None:
                    return False
                self._deliver(sent, reply)
            self._ready(self)
        return True
