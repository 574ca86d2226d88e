"""Context for a run's recipes: the canary, the cap on repeats, and stored values."""

from __future__ import annotations

from collections import OrderedDict
from typing import TYPE_CHECKING

import anyio

from pairmill.errors import EXIT_FAILED
from pairmill.quality.canary import Canary, CanaryLimits, ChunkComparer
from pairmill.quality.text import words
from pairmill.recipes.checks import judge
from pairmill.run.work_rounds import JudgingQueue, WorkRounds

if TYPE_CHECKING:
    from pairmill.events import UnitFinished, UnitSuspended
    from pairmill.quality.canary import CanaryInput
    from pairmill.recipes.checks import CheckJob, CheckReply, Verdict
    from pairmill.run.checking import Checkers
    from pairmill.run.run_memory import RunMemory
    from pairmill.run.stop import Stop

__all__ = ["ON_TRIAL", "CanaryGuard", "Repeats"]

ON_TRIAL = 100  # chunks that may be paid for before the canary has judged the first 50
_COUNTED = 65_536  # latest instructions whose repeats are counted: about 8 MB


class Repeats:
    """Counts instructions in bounded memory, dropping the least recently seen."""

    def __init__(self, most: int | None, counted: int = _COUNTED) -> None:
        """Admit each instruction ``most`` times; None: without limit."""
        self._most = most
        self._counted = counted
        self._counts: OrderedDict[int, int] = OrderedDict()

    def admit(self, instruction: str) -> bool:
        """Return whether an instruction may be used again, ignoring case and punctuation."""
        if self._most is None:
            return True
        name = hash(words(instruction))
        count = self._counts.pop(name, 0) + 1
        self._counts[name] = count
        if len(self._counts) > self._counted:
            self._counts.popitem(last=False)
        return count <= self._most


class CanaryGuard:
    """Checks the pairs of a run, and stops it if they are unrelated to their chunks.

    With ``checkers``, pairs are judged in separate processes. ``turns`` bounds what is done in one
    round of the event loop.

    Until the canary's first verdict, at most 100 chunks that have pairs, or may still get some, are
    handed out, so that a model that ignores the text is found before much is paid.
    """

    def __init__(
        self,
        stop: Stop,
        memory: RunMemory,
        *,
        seed: int = 0,
        max_repeats: int | None = None,
        limits: CanaryLimits | None = None,
        on_trial: bool = True,
    ) -> None:
        """Create it; ``stop`` ends the run, and ``on_trial`` is False if nothing is checked."""
        self.stop = stop
        self.memory = memory
        self.checkers: Checkers | None = None
        self.turns = WorkRounds()
        self._queue = JudgingQueue(self.judge)
        self._comparer = ChunkComparer(seed)
        self._canary = Canary(limits)
        self._repeats = Repeats(max_repeats)
        self._with_pairs = 0
        self._begun = 0
        self._moved = anyio.Event()
        self._judged = not on_trial

    @property
    def is_on_trial(self) -> bool:
        """True if the canary has not judged yet: `hand_out` may have to wait."""
        return not self._judged

    async def check(self, job: CheckJob) -> list[Verdict]:
        """Judge a chunk's pairs, and show them to the canary before any is dropped."""
        if self.checkers is not None:
            reply = await self.checkers.check(job)
        else:
            reply = await self._queue.judge(job)
        if reply.canary_input is not None:
            self.see(reply.canary_input)
        return reply.verdicts

    def judge(self, job: CheckJob) -> CheckReply:
        """Judge the pairs in this process."""
        return judge(job, self._comparer)

    def see(self, canary_input: CanaryInput) -> None:
        """Show the canary a chunk's pairs; if it fails them, stop the run and say why."""
        self._with_pairs += bool(canary_input.instructions)
        window = self._canary.add(canary_input)
        if window is None:
            return
        self._judged = True
        self._moved.set()
        if window.problem:
            self.stop.request(window.problem, EXIT_FAILED)

    def conclude(self) -> str:
        """Return the canary's verdict at the end of a run that it did not stop; "" if all is well.

        It is the only verdict on a run of less than 50 chunks; see ``Canary.conclude``.
        """
        window = self._canary.conclude()
        return window.problem or "" if window else ""

    def admit(self, instruction: str) -> bool:
        """Return whether another pair may have this instruction."""
        return self._repeats.admit(instruction)

    def recall(self, name: str) -> str | None:
        """Return the value stored under a name in the run folder."""
        return self.memory.get(name)

    def remember(self, name: str, value: str) -> None:
        """Store a value in the run folder."""
        self.memory.set(name, value)

    def listen(self, _event: UnitFinished | UnitSuspended) -> None:
        """Count a unit that ended."""
        if not self._judged:
            self._begun -= 1
            self._moved.set()

    async def hand_out(self) -> None:
        """Wait until another chunk may be handed out, and count it."""
        while not self._judged and self._begun and self._with_pairs + self._begun >= ON_TRIAL:
            self._moved = anyio.Event()
            await self._moved.wait()
        self._begun += 1
